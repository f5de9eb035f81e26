/* SPDX-License-Identifier: MIT
 *
 * How to write a plugin for valawai-host. This header is the whole interface and its manual.
 *
 * A plugin is one shared object. It is one VALAWAI component: the name comes from its AsyncAPI document, which lies
 * inside the .so. It exports one constant object, `valawai_plugin_entry`, that says all the host has to know before it
 * runs any of the plugin's code. The host connects, registers, receives, publishes, logs and reconnects; a plugin holds
 * behaviour only:
 *
 *     static int greeted(void *self, const struct valawai_message *message)
 *     {
 *         const struct valawai_host *host = self;
 *         if (host->publish(host, "valawai/c1/greeter/data/answer", message->body, message->len) != 0)
 *             return VALAWAI_FAILED;
 *         return VALAWAI_DONE;
 *     }
 *
 *     static int start(const struct valawai_host *host, void **self)
 *     {
 *         *self = (void *)host;
 *         return 0;
 *     }
 *
 *     const struct valawai_plugin valawai_plugin_entry = {
 *         VALAWAI_PLUGIN_HEAD,
 *         .version = "1.0.0",
 *         .asyncapi = document,
 *         .topics = (const struct valawai_topic[]){{"valawai/c1/greeter/data/question", greeted, {0}}, {0}},
 *         .start = start,
 *     };
 *
 * Threads. Every function says on which it runs or from which it may be called:
 *   [plugin-thread]  the thread that the host made for this plugin: start, the handlers, every other callback and stop
 *                    all run there, one at a time. A handler may take minutes: connections are kept alive by other
 *                    threads. (A plugin that says VALAWAI_THREAD_SAFE and is given `threads` in plugins.conf: its
 *                    handlers run on those, several at a time; everything else stays as it is.)
 *   [any-thread]     also from threads that the plugin made itself, from start until stop returns.
 *
 * Memory. A pointer that the host gives says until when it is valid; copy what has to live longer. A pointer given to
 * the host is read before the call returns and stays the caller's.
 *
 * Versions. The major number changes when an old plugin could not run any more: a host refuses another major and says
 * so. Everything else grows at the end of its structure, and `size` tells how much of it is there: an older plugin
 * loads in a newer host, and a newer one in an older host if it asks VALAWAI_HAS before it uses what was appended.
 *
 * Misuse. A call that breaks a rule of this file is answered with an error and an ERROR record that names the plugin
 * and the rule; a host built for debugging ends there (SIGABRT). A callback must return: one that throws (C++), exits
 * or crashes ends the host, which says whose it was; no message is lost by it. */
#ifndef VALAWAI_PLUGIN_H
#define VALAWAI_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VALAWAI_PLUGIN_MAGIC 0x49574c56u /* "VLWI" in memory on a little-endian machine */
#define VALAWAI_ABI_MAJOR 1u
#define VALAWAI_ABI_MINOR 1u

/* The one symbol that a plugin exports. */
#define VALAWAI_PLUGIN_SYMBOL "valawai_plugin_entry"

/* What becomes of a message; a handler returns one of these. */
enum valawai_verdict {
    VALAWAI_DONE = 0, /* Handled. Its publications leave; once the broker has confirmed them all, it is acknowledged. */
    VALAWAI_RETRY = -1, /* Not now. The host calls again with the same message after a growing delay, and keeps the
                         * order of this topic meanwhile. After `attempts` (plugins.conf) tries it is rejected. */
    VALAWAI_WRONG = -2, /* The message can never be handled. Rejected, not put back: a dead-letter policy catches it. */
    VALAWAI_FAILED = -3, /* The plugin could not do it and another try would not help. Rejected as well. */

    VALAWAI_LATER = 1 /* since 1.1: not decided yet. The handler took a ticket with later(); settle() will say. */
};

enum valawai_level { VALAWAI_DEBUG = 0, VALAWAI_INFO = 1, VALAWAI_WARN = 2, VALAWAI_ERROR = 3 };

/* What the functions of struct valawai_host answer. The host writes an ERROR record with the reason as well. */
enum valawai_error {
    VALAWAI_OK = 0,
    VALAWAI_E_ARGUMENT = -1, /* NULL, an empty topic, a topic longer than 255 bytes */
    VALAWAI_E_BODY = -2,     /* not one JSON object in UTF-8, nested too deep, or too large (message_max_bytes) */
    VALAWAI_E_TOPIC = -3,    /* the AsyncAPI document does not say that this component publishes there */
    VALAWAI_E_STATE = -4     /* not at this time: inside start, after stop, with a ticket that is settled already */
};

enum valawai_message_flags {
    VALAWAI_REDELIVERED = 1u << 0 /* the broker handed it out before, perhaps to an instance that died with it */
};

struct json_object; /* json-c's; only a plugin that asks for it has to link json-c */

/* A received message: one JSON object in UTF-8, checked. The host's memory, yours to read until the handler returns, or
 * with a ticket of later() until it is settled (the body and the topic; this structure only until the handler returns).
 */
struct valawai_message {
    uint32_t size;     /* of this structure, as the host knows it */
    uint32_t flags;    /* valawai_message_flags; ignore those that you do not know */
    const char *topic; /* where it came from */
    const char *body;  /* len bytes, and body[len] is '\0' */
    size_t len;
    uint32_t attempt; /* 1 at the first try, one more after each VALAWAI_RETRY */
};

/* since 1.1: what can be asked of the MOV. */
enum valawai_query {
    VALAWAI_COMPONENTS = 0, /* pattern (an exact name, or /regex/), type, order, offset, limit */
    VALAWAI_CONNECTIONS = 1 /* source_channel_name, source_component_id, target_…, order, offset, limit */
};

/* What the host does for a plugin. One constant table per plugin, valid from start until stop returns. */
struct valawai_host {
    uint32_t size;
    uint32_t abi_minor;
    void *impl; /* the host's */

    /* Writes a record to the console and the log file by their levels, and sends it to the MOV under this component's
     * id once it has one (best effort: a record never holds up a message). payload: a JSON text that goes with it, or
     * NULL. file and line say where in the plugin; VALAWAI_INFO_LOG and its like fill them in. [any-thread] */
    void (*log)(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                const char *format, ...) __attribute__((format(printf, 6, 7)));

    /* The value of `key = value` in this plugin's section of plugins.conf, or NULL. Valid until stop returns.
     * [any-thread] */
    const char *(*option)(const struct valawai_host *host, const char *key);

    /* Publishes one JSON object on a topic: persistent, and confirmed by the broker. The bytes are copied.
     * From a handler: it leaves when the handler returns VALAWAI_DONE, and with any other verdict it is dropped, so a
     * message that is tried again does not publish twice. The message is acknowledged after the confirmation.
     * From a thread of the plugin's own: it leaves at once, and the call waits while the outbox is full (a broker that
     * raised an alarm). Answers VALAWAI_OK or a valawai_error. [any-thread] */
    int (*publish)(const struct valawai_host *host, const char *topic, const char *body, size_t len);

    /* The message as a json-c object, parsed at the first call. Borrowed: valid until the handler returns, or with a
     * ticket until that is settled, then for one thread at a time (json-c does not lock). Take no reference beyond
     * that. [plugin-thread], in a handler */
    struct json_object *(*json)(const struct valawai_host *host, const struct valawai_message *message);

    /* Says why the message in hand is not done, for the ERROR record that the host writes about it, and gives the
     * verdict back: `return host->explain(host, VALAWAI_WRONG, "content: is empty");` [plugin-thread], in a handler */
    int (*explain)(const struct valawai_host *host, int verdict, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

    /* ---- since 1.1; ask VALAWAI_HAS(host, later) if the plugin is to run in a host of 1.0, too ---- */

    /* Lets the message in hand be answered later: gives a ticket for it, and the handler returns VALAWAI_LATER. Until
     * the ticket is settled its body stays readable. Handlers go on with the next messages meanwhile, as many as the
     * broker hands out ahead (broker.prefetch for each topic), and then no more: a plugin that never settles stands
     * still, and is named in a record. A handler that returns another verdict gives its ticket up.
     * 0: not in a handler, or not its message. [plugin-thread], in a handler */
    uint64_t (*later)(const struct valawai_host *host, const struct valawai_message *message);

    /* As publish() in a handler, for the message of a ticket: leaves when the ticket is settled with VALAWAI_DONE.
     * Answers VALAWAI_OK or a valawai_error. [any-thread] */
    int (*publish_for)(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                       size_t len);

    /* Says what becomes of the message of a ticket: a valawai_verdict, and a reason for the record or NULL. Once; the
     * ticket, the message and its JSON are gone afterwards. With VALAWAI_RETRY the handler is called again, with a new
     * ticket. Messages are settled in whatever order this is called, and their publications leave in that order; one
     * whose handler is still at work waits for its return. Works until stop returns.
     * Answers VALAWAI_OK, or VALAWAI_E_STATE: no such ticket. [any-thread] */
    int (*settle)(const struct valawai_host *host, uint64_t ticket, int verdict, const char *reason);

    /* Calls ring(self, context) after first_ms milliseconds, and then every every_ms; 0: only once. What ring publishes
     * leaves at once. Late calls are not made up for. Gives the timer's number, never 0 (0: ring is NULL).
     * Ends with stop. [any-thread]; ring: [plugin-thread] */
    uint64_t (*timer)(const struct valawai_host *host, uint32_t first_ms, uint32_t every_ms,
                      void (*ring)(void *self, void *context), void *context);

    /* Ends a timer. On the plugin's thread ring is not called any more; on others a call may be under way.
     * Answers VALAWAI_OK, or VALAWAI_E_ARGUMENT: there is no such timer (any more). [any-thread] */
    int (*cancel)(const struct valawai_host *host, uint64_t timer);

    /* Asks the MOV for components or connections. query: a JSON object with the members that enum valawai_query names,
     * or NULL for the first hundred; the host adds the id. answer is called once, before stop: with the page as the MOV
     * sent it ({"query_id", "total", "components": […]} or "connections"), valid until it returns; or with NULL when
     * nothing came within ten seconds. To change the topology, publish on valawai/topology/create or …/change.
     * Answers VALAWAI_OK or a valawai_error; then answer is not called. [any-thread]; answer: [plugin-thread] */
    int (*query)(const struct valawai_host *host, int what, const char *query,
                 void (*answer)(void *self, const char *page, size_t len, void *context), void *context);
};

/* A topic that the plugin handles: a `subscribe` channel of its AsyncAPI document. Frozen: the element of an array. */
struct valawai_topic {
    const char *name;
    /* Returns a valawai_verdict. Calls of one plugin never overlap and keep the order of the topic. [plugin-thread] */
    int (*handle)(void *self, const struct valawai_message *message);
    const void *reserved[2]; /* NULL */
};

/* The exported object. The first four members are frozen for all majors; the others only grow at the end. */
struct valawai_plugin {
    uint32_t magic;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t size;

    const char *version;                /* x.y.z */
    const char *asyncapi;               /* the AsyncAPI 2.6.0 document, YAML or JSON, ends with '\0' */
    const struct valawai_topic *topics; /* ends with an element whose name is NULL; NULL: handles none */

    /* Prepares the plugin; what it puts into *self comes back in every call. Returns 0, or anything else when it cannot
     * run: log the reason and free what was made, because stop will not come. May be NULL. [plugin-thread] */
    int (*start)(const struct valawai_host *host, void **self);

    /* The last call: join your threads, free self. The code stays mapped. May be NULL. [plugin-thread] */
    void (*stop)(void *self);

    /* ---- since 1.1; zero or NULL in whatever is older ---- */

    uint32_t flags; /* valawai_plugin_flags */

    /* The MOV knows the component, under this id (valid until the call returns; 24 hexadecimal digits): called after
     * each registration. And it does not any more: the MOV went, or the connection did and the MOV has forgotten; the
     * host registers again by itself. Not called at the end. Topics are handled and publications leave whether it is
     * registered or not. May be NULL. [plugin-thread] */
    void (*registered)(void *self, const char *component_id);
    void (*unregistered)(void *self);
};

enum valawai_plugin_flags {
    /* since 1.1: the handlers may be called on several threads at a time. With `threads = N` in the plugin's section of
     * plugins.conf they are, and the order of a topic is not kept. */
    VALAWAI_THREAD_SAFE = 1u << 0
};

/* The first four members of the exported object. */
#define VALAWAI_PLUGIN_HEAD                                                                                            \
    VALAWAI_PLUGIN_MAGIC, VALAWAI_ABI_MAJOR, VALAWAI_ABI_MINOR, (uint32_t)sizeof(struct valawai_plugin)

/* Declared here with C linkage and default visibility, so the plugin's definition needs neither. */
extern __attribute__((visibility("default"))) const struct valawai_plugin valawai_plugin_entry;

/* True if the other side's structure reaches as far as member. */
#define VALAWAI_HAS(pointer, member)                                                                                   \
    ((pointer)->size >= (size_t)((const char *)(&(pointer)->member + 1) - (const char *)(pointer)))

/* Log records with their place in the source: VALAWAI_INFO_LOG(host, message->body, "took %d", n). */
#define VALAWAI_LOG(host, level, payload, ...) (host)->log((host), (level), __FILE__, __LINE__, (payload), __VA_ARGS__)
#define VALAWAI_DEBUG_LOG(host, payload, ...) VALAWAI_LOG(host, VALAWAI_DEBUG, payload, __VA_ARGS__)
#define VALAWAI_INFO_LOG(host, payload, ...) VALAWAI_LOG(host, VALAWAI_INFO, payload, __VA_ARGS__)
#define VALAWAI_WARN_LOG(host, payload, ...) VALAWAI_LOG(host, VALAWAI_WARN, payload, __VA_ARGS__)
#define VALAWAI_ERROR_LOG(host, payload, ...) VALAWAI_LOG(host, VALAWAI_ERROR, payload, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
