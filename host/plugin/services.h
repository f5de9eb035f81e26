/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * services: the functions that a plugin may call, with one table for each plugin. A handler's calls apply to the
 * current handling of its thread. Events of other threads for the plugin's thread (a late answer, a new id, a page of
 * the MOV) become notices, which the executor takes. */
#ifndef PLUGIN_SERVICES_H
#define PLUGIN_SERVICES_H

#include <stdatomic.h>
#include <valawai/plugin.h>

#include "base/text.h"
#include "message/transport.h"
#include "plugin/plugin.h"
#include "plugin/timers.h"

struct json_object;

/* An event for the plugin's thread. */
struct notice {
    struct node node;
    enum { NOTICE_ANSWERED, NOTICE_ID, NOTICE_REPLY } kind;
};

/* One message in the plugin, with its inputs and results. Becomes a notice when the answer comes later. */
struct handling {
    struct notice notice;
    struct services *services;
    struct delivery *delivery;
    struct list publications;
    struct json_object *json;          /* of the body, after the first request */
    const struct contract_topic *fits; /* the body matches this topic's schema; NULL: not known */
    char *reason;                      /* of a verdict other than VALAWAI_DONE; NULL: not stated */
    struct list kept;                  /* texts that were returned to the plugin */
    struct text record;                /* buffer for a record; like the next member, reused for the next message */
    struct text quoted;                /* the body as a JSON string, after the first request */
    int verdict;
    bool called;     /* the handler was … */
    int64_t took_us; /* … and took so long */
    bool held;       /* a worker has the message; worker.c sets the verdict */

    /* For the executor: */
    struct lane *lane;
    struct delivery *again;       /* the new copy of a delivery that the broker has taken back: settle this one */
    struct handling *next, *prev; /* in the list of current handlings */

    bool shared; /* other threads may use the handling, because it has or had a ticket; then under the services' lock */

    /* For the services, under their lock: */
    uint64_t ticket; /* 0: none */
    int64_t since;   /* when the ticket was taken */
    bool answered;   /* the ticket was answered */
    bool returned;   /* the handler has returned VALAWAI_LATER */
};

/* A new id, or NULL: unregistered. */
struct id_notice {
    struct notice notice;
    char *id;
};

/* A query of the plugin to the MOV. Becomes a notice when the reply arrives. */
struct plugin_query {
    struct notice notice;
    struct services *services;
    int what;   /* a valawai_query */
    char *text; /* a JSON object without an id */
    void (*reply)(void *self, const char *page, size_t len, void *context);
    void *context;
    char *page; /* NULL: no reply */
    size_t len;
    struct plugin_query *next; /* in the list of open queries, under the services' lock */
};

struct services_options {
    const struct plugin *plugin;
    const struct contract *mov; /* of the MOV's own queues, on which every component may publish */
    struct log *log;
    const struct transport *transport;
    size_t message_max_bytes;
    /* [any thread] Takes ownership of a query; services_reply() ends it, with or without a page. */
    void (*ask)(void *context, struct plugin_query *query);
    /* [any thread] Takes a record over, for the log and for the MOV. NULL: the log and the transport do. */
    void (*record)(void *context, int level, const char *file, int line, const char *payload, const char *text);
    bool passes_properties_on; /* those of publications stay the JSON text that the plugin gave */
    void *context;
};

struct services {
    struct valawai_host table; /* the plugin's table */
    struct services_options options;
    enum validate validate;
    atomic_bool running; /* after start, before stop */
    atomic_bool ended;   /* stop has returned */
    bool given;          /* the plugin has the table */
    struct services *next_gone;
    struct account account; /* for the publisher */
    struct counts *counts;  /* of each topic of the document, then of each queue of the MOV */
    atomic_uint open;       /* tickets, written under the lock */
    atomic_uint asked;      /* queries that await services_reply() */
    struct timers timers;

    struct queue notices;
    atomic_bool noticed;  /* there is a notice for the executor */
    struct queue *waking; /* of the executor; woken with each notice */

    pthread_mutex_t lock;  /* for the members below */
    char id[64];           /* of the component at the MOV; "" if it has none … */
    struct text id_member; /* … and as the member of a record */
    struct ticket {
        struct handling *handling; /* NULL: free */
        uint32_t use;              /* number of uses, which distinguishes old tickets from new ones */
    } * tickets;
    size_t ticket_count, first_free;
    struct plugin_query *queries; /* without a reply */
};

/* True for a verdict that settles the message: all but VALAWAI_LATER. */
static inline bool is_verdict(int value)
{
    return value == VALAWAI_DONE || (value >= VALAWAI_RETRY && value <= VALAWAI_FAILED);
}

/* What a worker's end makes of the messages that it had. The plugin never returns these. */
enum returned {
    RETURNED_UNTRIED = 201, /* it had not begun: the call does not count */
    RETURNED_CRASHED = 202, /* it had begun, and may be what ended it */
};

/* The text for a return value that is not a verdict: the name of an error of plugin.h, or the number. */
struct verdict_name {
    char text[64];
};
const char *verdict_name(int value, struct verdict_name *name);

struct services *services_new(const struct services_options *options);

/* The table of a plugin that lives in this process stays allocated and reports that every call is too late, because
 * destructors of a plugin's static objects run last, and its code is never unmapped. */
void services_free(struct services *services);

/* The counters of a topic of the document, or of a queue of the MOV. They are valid as long as the services. */
struct counts *services_counts(const struct services *services, const struct contract_topic *topic, bool of_mov);

/* [any thread] Sets the id for records to the MOV, and notifies the plugin; NULL: there is none. */
void services_set_id(struct services *services, const char *id);

/* [any thread] True if a query awaits services_reply(). */
bool services_await_reply(const struct services *services);

/* [any thread] Writes a record of the component: to console and file by their levels, and to the MOV. payload may be
 * NULL. */
void services_record(struct services *services, int level, const char *file, int line, const char *payload,
                     const char *text);

/* [any thread] Replies to a query, and takes ownership of it. page NULL: there is no reply. */
void services_reply(struct plugin_query *query, const char *page, size_t len);

/* --- the thread that calls a handler --- */

/* Records of handlers leave with their publications. Call this before a sleep, for the others. */
void services_flush(struct services *services);

/* Between the two, the thread's calls belong to the handling. */
void services_begin(struct handling *handling);
void services_end(void);

/* [any thread] The verdict is set; the executor's thread concludes the handling. */
void services_concluded(struct handling *handling);

/* The handler returned VALAWAI_LATER. False: the verdict is set, because the answer has come already or cannot come. */
bool services_leave(struct handling *handling);
/* The handler returned another value, so its ticket is void. */
void services_revoke(struct handling *handling);

/* True if the body is one JSON object. If a schema check follows, the body is parsed at the same time. */
bool services_read(struct handling *handling, struct fault *fault) __attribute__((warn_unused_result));
/* The body in hand, parsed at the first call. */
struct json_object *services_json(struct handling *handling);
void handling_explain(struct handling *handling, const char *format, ...) __attribute__((format(printf, 2, 3)));
void handling_clear(struct handling *handling); /* for the next message; the delivery already has another owner */
void handling_free(struct handling *handling);

/* --- the executor's thread --- */

/* Returns the table for the plugin's start. From here on it is never freed. */
const struct valawai_host *services_give_table(struct services *services);
void services_begin_running(struct services *services);
enum validate services_validate(const struct services *services);
struct timers *services_timers(struct services *services);

/* Sets the queue to wake for each notice; NULL: none. */
void services_wake(struct services *services, struct queue *waking);
bool services_has_notices(const struct services *services);
struct list services_take_notices(struct services *services);

/* Calls back for a notice and frees it. Not for NOTICE_ANSWERED, which belongs to the executor. */
void services_notify(struct services *services, struct notice *notice, void *self);
/* Stop follows: from here on publications need a ticket, and there are no queries. */
void services_end_running(struct services *services);
/* Stop has returned: messages that wait for an answer return to the broker, and answers of left-over threads are
 * refused. */
void services_end_tickets(struct services *services);
/* Calls back for the queries without a reply. */
void services_end_queries(struct services *services, void *self);

/* [any thread] The number of messages that wait for their answer, and the time and the topic of the oldest. */
size_t services_open(struct services *services, int64_t *since, const char **topic);
/* [executor's thread] The number, where the plugin takes its tickets in another process. */
void services_set_open(struct services *services, size_t open);

#endif
