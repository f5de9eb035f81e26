/* SPDX-License-Identifier: MIT
 *
 * How to write a plugin for valawai-host. This header is the whole interface and its manual.
 *
 * A plugin is one shared object and one VALAWAI component. Its AsyncAPI document, which names the component and
 * declares its topics, is part of the .so. The plugin exports one constant object, `valawai_plugin_entry`, which the
 * host reads before it runs any of the plugin's code. The host connects, registers, receives, checks, publishes, logs
 * and reconnects. The plugin contains only behaviour:
 *
 *     static int greeted(void *self, const struct valawai_message *message)
 *     {
 *         const struct valawai_host *host = self;
 *         return host->publish(host, "valawai/c1/greeter/data/answer", message->body, message->len);
 *     }
 *
 *     static int start(const struct valawai_host *host, void **self)
 *     {
 *         *self = (void *)host;
 *         return 0;
 *     }
 *
 *     static const struct valawai_topic topics[] = {
 *         VALAWAI_TOPIC("valawai/c1/greeter/data/question", greeted),
 *         VALAWAI_TOPICS_END,
 *     };
 *
 *     const struct valawai_plugin valawai_plugin_entry = {
 *         VALAWAI_PLUGIN_HEAD, .version = "1.0.0", .asyncapi = document, .topics = topics, .start = start,
 *     };
 *
 * Threads. Each function carries a tag:
 *   [plugin-thread]  Runs on the one thread that the host makes for this plugin. start, stop, registered, unregistered,
 *                    timers and replies to queries always run there, one at a time. Handlers run there too, unless the
 *                    plugin sets VALAWAI_THREAD_SAFE and plugins.conf gives it `threads`: then handlers run on threads
 *                    of their own, several at a time, also while another callback runs.
 *   [any-thread]     May be called from every thread, including threads that the plugin makes, from the beginning of
 *                    start until stop returns.
 * A callback may take minutes. Connections are kept alive by other threads, and other plugins are not delayed.
 *
 * Blocking. In a handler, publish() never waits. Everywhere else (in a timer, in registered, in a reply, on a thread of
 * the plugin) it waits while the outbox is full, which happens when the broker raises an alarm or cannot be reached. On
 * the plugin-thread such a wait also delays this plugin's messages and its stop.
 *
 * Memory. Each pointer that the host passes is documented with its lifetime; copy what must live longer. The host reads
 * what the plugin passes before the call returns, and the plugin keeps ownership.
 *
 * Versions. A host refuses a plugin of another ABI major version. Within a major version structures grow only at their
 * end, and `size` tells how many bytes the other side has set. Before a plugin uses a member that was added in a minor
 * version, it either asks VALAWAI_HAS(host, member) and does without, or states the version that it requires in
 * `needs_minor`; an older host then refuses it and prints both numbers.
 *
 * Misuse. A call that breaks a rule of this file returns an error, and the host writes an ERROR record that names the
 * plugin and the rule. A host built with VALAWAI_ABORT_ON_MISUSE aborts there. A callback must return normally: an
 * exception that leaves it, exit(), pthread_exit() or a crash ends the host, which first names the plugin and the
 * callback. Messages that are not yet acknowledged return to their queues. */
#ifndef VALAWAI_PLUGIN_H
#define VALAWAI_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VALAWAI_PLUGIN_MAGIC 0x49574c56u /* "VLWI" in the memory of a little-endian machine */
#define VALAWAI_ABI_MAJOR 1u
#define VALAWAI_ABI_MINOR 0u

/* The one symbol that a plugin exports. */
#define VALAWAI_PLUGIN_SYMBOL "valawai_plugin_entry"

/* Zero is success everywhere. Verdicts and errors share no other value, so `return host->publish(…)` is a correct end
 * of a handler: an error that a handler returns is reported by its name and rejects the message. */

/* What a handler returns: what happens to the message. */
enum valawai_verdict {
    VALAWAI_DONE = 0,     /* Handled. Its publications leave; the message is acknowledged when the broker has confirmed
                           * them all. */
    VALAWAI_RETRY = 101,  /* Not now. The handler is called again with the same message after a growing delay; later
                           * messages of the topic wait. After `host.attempts` calls the message is rejected. */
    VALAWAI_WRONG = 102,  /* The message can never be handled. It is rejected. */
    VALAWAI_FAILED = 103, /* The plugin could not handle it, and another attempt would not help. It is rejected. */
    VALAWAI_LATER = 104   /* Not decided yet: the handler took a ticket with later(), and answer() will decide. */
};

enum valawai_level { VALAWAI_DEBUG = 0, VALAWAI_INFO = 1, VALAWAI_WARN = 2, VALAWAI_ERROR = 3 };

/* What the functions of struct valawai_host return. The host also writes an ERROR record with the reason. */
enum valawai_error {
    VALAWAI_OK = 0,
    VALAWAI_E_ARGUMENT = -201, /* NULL, an empty topic, a topic longer than 255 bytes, no such timer */
    VALAWAI_E_BODY = -202,     /* not one JSON object in UTF-8, nested too deep, too large (host.message_max_bytes), or
                                * does not match the AsyncAPI document */
    VALAWAI_E_TOPIC = -203,    /* the AsyncAPI document does not declare that this component publishes on the topic */
    VALAWAI_E_STATE = -204     /* not now: inside start, after stop, or with a ticket that is already answered */
};

enum valawai_message_flags {
    VALAWAI_REDELIVERED = 1u << 0 /* the broker has delivered it before, perhaps to a process that then died */
};

struct json_object; /* json-c's; only a plugin that uses json() links json-c */

/* A received message: one JSON object in UTF-8, checked against the AsyncAPI document. Owned by the host, valid until
 * the handler returns. With a ticket of later(), topic and body stay valid until the ticket is answered, but this
 * structure does not. */
struct valawai_message {
    uint32_t size;     /* of this structure, as the host knows it */
    uint32_t attempt;  /* 1 for the first call, one more after each VALAWAI_RETRY */
    uint64_t flags;    /* valawai_message_flags; ignore flags that you do not know */
    const char *topic; /* where it was received */
    const char *body;  /* len bytes, followed by '\0' */
    size_t len;
};

/* What query() asks the MOV for. */
enum valawai_query {
    VALAWAI_COMPONENTS = 0, /* pattern (an exact name, or /regex/), type, order, offset, limit */
    VALAWAI_CONNECTIONS = 1 /* source_channel_name, source_component_id, target_…, order, offset, limit */
};

/* What the host does for a plugin. One constant table for each plugin, valid from start until stop returns. */
struct valawai_host {
    uint32_t size;
    uint32_t abi_minor;
    void *impl; /* the host's */

    /* Writes a log record: to the console and the log file according to their levels, and to the MOV under this
     * component's id. Best effort: a record never delays a message. payload: a JSON text that belongs to the record, or
     * NULL. file, line: the place in the plugin's source. Use VALAWAI_INFO_LOG and its siblings, which fill these in.
     * [any-thread] */
    void (*log)(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                const char *format, ...) __attribute__((format(printf, 6, 7)));

    /* Returns the value of an option as text, or NULL. If the AsyncAPI document declares options (`x-options`, a schema
     * with a property for each), the value is checked and comes from the environment
     * (VALAWAI_OPTION_<PLUGIN>_<KEY>, or the file that …_FILE names), from this plugin's section of plugins.conf, or
     * from the default, in this order. Otherwise it is the unchecked text of plugins.conf. Owned by the host, valid
     * until stop returns. [any-thread] */
    const char *(*option)(const struct valawai_host *host, const char *key);

    /* Returns all options as a json-c object, with the types that the schema gives them. Owned by the host, valid until
     * stop returns. Read it, do not change it, and take no reference: json-c does not lock. [any-thread] */
    struct json_object *(*options)(const struct valawai_host *host);

    /* Publishes one JSON object on a topic: persistent, and confirmed by the broker. The bytes are copied.
     * In a handler: the publication leaves when the handler returns VALAWAI_DONE and is dropped with every other
     * verdict, so a message that is tried again does not publish twice. Never waits.
     * Elsewhere: it leaves at once, and the call waits while the outbox is full.
     * Returns VALAWAI_OK or a valawai_error. [any-thread], not in start */
    int (*publish)(const struct valawai_host *host, const char *topic, const char *body, size_t len);

    /* Returns the message as a json-c object; it is parsed once. Borrowed: valid until the handler returns, or with a
     * ticket until the ticket is answered, for one thread at a time (json-c does not lock). Take no reference beyond
     * that. NULL: not in the handler of this message. In a handler */
    struct json_object *(*json)(const struct valawai_host *host, const struct valawai_message *message);

    /* States why the message in hand is not done, for the ERROR record that the host writes, and returns the verdict:
     * `return host->explain(host, VALAWAI_WRONG, "content: is empty");` In a handler */
    int (*explain)(const struct valawai_host *host, int verdict, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

    /* Takes a ticket for the message in hand, so that the handler can return VALAWAI_LATER. Until the ticket is
     * answered topic and body stay valid. Meanwhile the handler is called with the next messages, up to broker.prefetch
     * for each topic; a plugin that answers no tickets is then idle, and a WARNING record names it. If the handler
     * returns another verdict, the ticket is void. Returns 0 when it is not called in the handler of this message. In a
     * handler */
    uint64_t (*later)(const struct valawai_host *host, const struct valawai_message *message);

    /* Like publish() in a handler, for the message of a ticket: the publication leaves when the ticket is answered with
     * VALAWAI_DONE. Never waits. Returns VALAWAI_OK or a valawai_error. [any-thread] */
    int (*publish_for)(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                       size_t len);

    /* Answers a ticket: a valawai_verdict other than VALAWAI_LATER, and a reason for the record or NULL. Each ticket is
     * answered once; afterwards the ticket, the message and its JSON are invalid. With VALAWAI_RETRY the handler is
     * called again and takes a new ticket. Messages are settled, and their publications leave, in the order of these
     * calls; if the handler has not returned yet, the message is settled when it does. Works until stop returns.
     * Returns VALAWAI_OK, or VALAWAI_E_STATE for an unknown ticket. [any-thread] */
    int (*answer)(const struct valawai_host *host, uint64_t ticket, int verdict, const char *reason);

    /* Calls due(self, context) after first_ms milliseconds, and then every every_ms (0: only once). Publications of due
     * leave at once, and publish() can wait there. Missed calls are not repeated. The timer ends with stop.
     * Returns the timer's number, or 0 if due is NULL. [any-thread]; due: [plugin-thread] */
    uint64_t (*timer)(const struct valawai_host *host, uint32_t first_ms, uint32_t every_ms,
                      void (*due)(void *self, void *context), void *context);

    /* Ends a timer. After a call on the plugin-thread, due is not called any more; on another thread one call may still
     * be in progress. Returns VALAWAI_OK, or VALAWAI_E_ARGUMENT for an unknown timer. [any-thread] */
    int (*cancel)(const struct valawai_host *host, uint64_t timer);

    /* Asks the MOV for components or connections. query: a JSON object with the members that enum valawai_query lists,
     * without an id, or NULL for the first hundred. reply is called exactly once, before stop: with the page as the MOV
     * sent it ({"query_id", "total", "components": […]} or "connections"), valid until reply returns; or with NULL if
     * the MOV does not reply within ten seconds. To change the topology, publish on valawai/topology/create or
     * valawai/topology/change. Returns VALAWAI_OK, or a valawai_error, and then reply is not called.
     * [any-thread]; reply: [plugin-thread] */
    int (*query)(const struct valawai_host *host, int what, const char *query,
                 void (*reply)(void *self, const char *page, size_t len, void *context), void *context);

    /* Like log, with a text instead of a format: for languages without variable arguments, and for texts that may
     * contain '%'. [any-thread] */
    void (*log_text)(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                     const char *text);

    /* The AMQP properties of a message. property: message_id, correlation_id, timestamp (seconds since 1970), type,
     * reply_to, app_id and so on, by name. header: one of its headers. properties: all of them as one JSON object,
     * {"message_id": …, "headers": {…}}. Each returns a text that is valid as long as json() of the message, or NULL if
     * the message does not have it. Messages without properties cost nothing. In a handler */
    const char *(*property)(const struct valawai_host *host, const struct valawai_message *message, const char *name);
    const char *(*header)(const struct valawai_host *host, const struct valawai_message *message, const char *name);
    const char *(*properties)(const struct valawai_host *host, const struct valawai_message *message);

    /* Like publish(), or with a ticket other than 0 like publish_for(), and sets AMQP properties: a JSON object with
     * any of message_id, correlation_id, type, reply_to, app_id (texts), timestamp, priority (whole numbers) and
     * headers (an object of texts, numbers and booleans), or NULL. Returns VALAWAI_OK or a valawai_error. [any-thread]
     */
    int (*publish_with)(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                        size_t len, const char *properties);
};

/* A topic that the plugin handles: a `subscribe` channel of its AsyncAPI document. Never grows: it is the element of an
 * array. Use VALAWAI_TOPIC. */
struct valawai_topic {
    const char *name;
    /* Returns a valawai_verdict. Messages of a topic arrive in order, and handlers of a plugin do not overlap, unless
     * the plugin is given `threads` (VALAWAI_THREAD_SAFE). [plugin-thread] */
    int (*handle)(void *self, const struct valawai_message *message);
    const void *reserved[2]; /* NULL */
};

/* One element of the table of topics, and the element that ends it. */
#define VALAWAI_TOPIC(name, handle)                                                                                    \
    {                                                                                                                  \
        (name), (handle),                                                                                              \
        {                                                                                                              \
            NULL, NULL                                                                                                 \
        }                                                                                                              \
    }
#define VALAWAI_TOPICS_END VALAWAI_TOPIC(NULL, NULL)

/* The exported object. The first four members are the same in all major versions; members are added at the end only. */
struct valawai_plugin {
    uint32_t magic;
    uint32_t abi_major;
    uint32_t abi_minor; /* of the header that the plugin was built with */
    uint32_t size;

    const char *version;                /* x.y.z */
    const char *asyncapi;               /* the AsyncAPI 2.6.0 document, YAML or JSON, ends with '\0' */
    const struct valawai_topic *topics; /* ends with VALAWAI_TOPICS_END; NULL: the plugin handles no topic */

    /* Prepares the plugin. The host passes what it stores in *self to every callback. Returns 0, or another number if
     * the plugin cannot run: then log the reason and free everything, because stop is not called; the host ends.
     * Plugins start at the same time, and messages wait until start has returned. May be NULL. [plugin-thread] */
    int (*start)(const struct valawai_host *host, void **self);

    /* The last call: join your threads, free self. The code stays mapped. May be NULL. [plugin-thread] */
    void (*stop)(void *self);

    /* registered: the MOV knows the component under this id (24 hexadecimal digits, valid until the call returns).
     * Called after each registration. unregistered: the MOV does not know it any more, because the MOV restarted or the
     * connection was lost; the host registers again by itself. Neither is called while the host stops. Messages are
     * handled and publications leave whether the component is registered or not. May be NULL. [plugin-thread] */
    void (*registered)(void *self, const char *component_id);
    void (*unregistered)(void *self);

    uint32_t flags;       /* valawai_plugin_flags */
    uint32_t needs_minor; /* the oldest ABI minor version of a host that can run the plugin */
};

enum valawai_plugin_flags {
    /* Handlers may run on several threads at a time. With `threads = N` in the plugin's section of plugins.conf they
     * do, and the order of a topic's messages is not kept. */
    VALAWAI_THREAD_SAFE = 1u << 0
};

/* The first four members of the exported object. */
#define VALAWAI_PLUGIN_HEAD                                                                                            \
    VALAWAI_PLUGIN_MAGIC, VALAWAI_ABI_MAJOR, VALAWAI_ABI_MINOR, (uint32_t)sizeof(struct valawai_plugin)

/* Declared with C linkage and default visibility, so that the plugin's definition needs neither. */
extern __attribute__((visibility("default"))) const struct valawai_plugin valawai_plugin_entry;

/* True if the other side has set the member. No structure that grows has padding at its end, so `size` is exact. */
#define VALAWAI_HAS(pointer, member)                                                                                   \
    ((pointer)->size >= (size_t)((const char *)(&(pointer)->member + 1) - (const char *)(pointer)))

/* Log records with their place in the source: VALAWAI_INFO_LOG(host, "took %d ms", n). The format must be a string
 * literal; the compiler checks it. The second form adds a payload, a JSON text or NULL:
 * VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "took %d ms", n). */
#define VALAWAI_LOG(host, level, ...) VALAWAI_LOG_PAYLOAD(host, level, NULL, __VA_ARGS__)
#define VALAWAI_LOG_PAYLOAD(host, level, payload, ...)                                                                 \
    (host)->log((host), (level), __FILE__, __LINE__, (payload), "" __VA_ARGS__)

#define VALAWAI_DEBUG_LOG(host, ...) VALAWAI_LOG(host, VALAWAI_DEBUG, __VA_ARGS__)
#define VALAWAI_INFO_LOG(host, ...) VALAWAI_LOG(host, VALAWAI_INFO, __VA_ARGS__)
#define VALAWAI_WARN_LOG(host, ...) VALAWAI_LOG(host, VALAWAI_WARN, __VA_ARGS__)
#define VALAWAI_ERROR_LOG(host, ...) VALAWAI_LOG(host, VALAWAI_ERROR, __VA_ARGS__)

#define VALAWAI_DEBUG_LOG_PAYLOAD(host, payload, ...) VALAWAI_LOG_PAYLOAD(host, VALAWAI_DEBUG, payload, __VA_ARGS__)
#define VALAWAI_INFO_LOG_PAYLOAD(host, payload, ...) VALAWAI_LOG_PAYLOAD(host, VALAWAI_INFO, payload, __VA_ARGS__)
#define VALAWAI_WARN_LOG_PAYLOAD(host, payload, ...) VALAWAI_LOG_PAYLOAD(host, VALAWAI_WARN, payload, __VA_ARGS__)
#define VALAWAI_ERROR_LOG_PAYLOAD(host, payload, ...) VALAWAI_LOG_PAYLOAD(host, VALAWAI_ERROR, payload, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
