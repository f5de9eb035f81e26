/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The plugin interface as it is released: numbers, sizes and offsets. A plugin is built once and runs in later hosts,
 * so a line of this file never changes; each appended member gets a new line. Compiles as C11 and as C++17, and runs
 * nothing. */
#include <assert.h>
#include <valawai/plugin.h>

/* ---- numbers ---- */

static_assert(VALAWAI_PLUGIN_MAGIC == 0x49574c56u, "magic");
static_assert(VALAWAI_ABI_MAJOR == 1u, "another major version is another interface: copy this file for it");
static_assert(sizeof(VALAWAI_PLUGIN_SYMBOL) == sizeof("valawai_plugin_entry"), "symbol");

static_assert(VALAWAI_DONE == 0, "verdict");
static_assert(VALAWAI_RETRY == 101, "verdict");
static_assert(VALAWAI_WRONG == 102, "verdict");
static_assert(VALAWAI_FAILED == 103, "verdict");
static_assert(VALAWAI_LATER == 104, "verdict");

static_assert(VALAWAI_DEBUG == 0, "level");
static_assert(VALAWAI_INFO == 1, "level");
static_assert(VALAWAI_WARN == 2, "level");
static_assert(VALAWAI_ERROR == 3, "level");

static_assert(VALAWAI_OK == 0, "error");
static_assert(VALAWAI_E_ARGUMENT == -201, "error");
static_assert(VALAWAI_E_BODY == -202, "error");
static_assert(VALAWAI_E_TOPIC == -203, "error");
static_assert(VALAWAI_E_STATE == -204, "error");

static_assert(VALAWAI_REDELIVERED == 1, "flag");
static_assert(VALAWAI_THREAD_SAFE == 1, "flag");

static_assert(VALAWAI_COMPONENTS == 0, "query");
static_assert(VALAWAI_CONNECTIONS == 1, "query");

/* ---- structures ---- */

/* A structure that grows ends with its last member, on every machine. An appended member begins where an older `size`
 * ends, so VALAWAI_HAS never mistakes padding for a member. */
#define ENDS_WITH(structure, member)                                                                                   \
    static_assert(sizeof(struct structure) ==                                                                          \
                      offsetof(struct structure, member) + sizeof(((struct structure *)0)->member),                    \
                  #structure " has padding at its end")

ENDS_WITH(valawai_message, len);
ENDS_WITH(valawai_host, publish_with);
ENDS_WITH(valawai_plugin, needs_minor);

/* Where long and pointers have 64 bits. */
#if defined(__LP64__)

#define PLACE(structure, member, place) static_assert(offsetof(struct structure, member) == (place), #member " moved")
/* For structures that may grow: at least the released size. */
#define REACHES(structure, size) static_assert(sizeof(struct structure) >= (size), #structure " shrank")

PLACE(valawai_message, size, 0);
PLACE(valawai_message, attempt, 4);
PLACE(valawai_message, flags, 8);
PLACE(valawai_message, topic, 16);
PLACE(valawai_message, body, 24);
PLACE(valawai_message, len, 32);
REACHES(valawai_message, 40);

PLACE(valawai_host, size, 0);
PLACE(valawai_host, abi_minor, 4);
PLACE(valawai_host, impl, 8);
PLACE(valawai_host, log, 16);
PLACE(valawai_host, option, 24);
PLACE(valawai_host, options, 32);
PLACE(valawai_host, publish, 40);
PLACE(valawai_host, json, 48);
PLACE(valawai_host, explain, 56);
PLACE(valawai_host, later, 64);
PLACE(valawai_host, publish_for, 72);
PLACE(valawai_host, answer, 80);
PLACE(valawai_host, timer, 88);
PLACE(valawai_host, cancel, 96);
PLACE(valawai_host, query, 104);
PLACE(valawai_host, log_text, 112);
PLACE(valawai_host, property, 120);
PLACE(valawai_host, header, 128);
PLACE(valawai_host, properties, 136);
PLACE(valawai_host, publish_with, 144);
REACHES(valawai_host, 152);

/* The element of an array: never larger. */
PLACE(valawai_topic, name, 0);
PLACE(valawai_topic, handle, 8);
PLACE(valawai_topic, reserved, 16);
static_assert(sizeof(struct valawai_topic) == 32, "valawai_topic is the element of an array");

/* The first four for all majors. */
PLACE(valawai_plugin, magic, 0);
PLACE(valawai_plugin, abi_major, 4);
PLACE(valawai_plugin, abi_minor, 8);
PLACE(valawai_plugin, size, 12);
PLACE(valawai_plugin, version, 16);
PLACE(valawai_plugin, asyncapi, 24);
PLACE(valawai_plugin, topics, 32);
PLACE(valawai_plugin, start, 40);
PLACE(valawai_plugin, stop, 48);
PLACE(valawai_plugin, registered, 56);
PLACE(valawai_plugin, unregistered, 64);
PLACE(valawai_plugin, flags, 72);
PLACE(valawai_plugin, needs_minor, 76);
REACHES(valawai_plugin, 80);

/* Minor 0 has no more members; a later minor version replaces this line. */
static_assert(VALAWAI_ABI_MINOR != 0 || (sizeof(struct valawai_message) == 40 && sizeof(struct valawai_host) == 152 &&
                                         sizeof(struct valawai_plugin) == 80),
              "an appended member needs another minor number");

#endif

/* ---- a plugin as its author writes it ---- */

static int handle(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = (const struct valawai_host *)self;
    VALAWAI_DEBUG_LOG(host, "plain");
    VALAWAI_INFO_LOG(host, "attempt %u", (unsigned)message->attempt);
    VALAWAI_WARN_LOG(host, "%s", message->topic);
    VALAWAI_ERROR_LOG(host, "%d", 1);
    VALAWAI_DEBUG_LOG_PAYLOAD(host, message->body, "plain");
    VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "attempt %u", (unsigned)message->attempt);
    VALAWAI_WARN_LOG_PAYLOAD(host, NULL, "%s", message->topic);
    VALAWAI_ERROR_LOG_PAYLOAD(host, "[1]", "%d", 1);
#if defined(WRONG_PAYLOAD) /* each of these must not compile */
    VALAWAI_INFO_LOG(host, message->body, "attempt %u", (unsigned)message->attempt);
#elif defined(WRONG_FORMAT)
    VALAWAI_INFO_LOG(host, "name", message->topic);
#elif defined(WRONG_ARGUMENT)
    VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "attempt %s", message->attempt);
#elif defined(WRONG_REASON)
    return host->explain(host, VALAWAI_WRONG, "%s", 1);
#endif
    if (!VALAWAI_HAS(host, explain) || (message->flags & VALAWAI_REDELIVERED) != 0 ||
        host->option(host, "key") == NULL || host->json(host, message) == NULL)
        return host->explain(host, VALAWAI_WRONG, "%s", "no");
    return host->publish(host, message->topic, message->body, message->len);
}

static int start(const struct valawai_host *host, void **self)
{
    *self = (void *)host;
    return 0;
}

static void stop(void *self)
{
    (void)self;
}

static const struct valawai_topic topics[] = {VALAWAI_TOPIC("valawai/c1/a/data/in", handle), VALAWAI_TOPICS_END};

/* C++17 has no designated initialisers: the order is part of the interface. */
const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD, "1.0.0", "asyncapi: 2.6.0", topics, start, stop, NULL, NULL, 0, 0};
