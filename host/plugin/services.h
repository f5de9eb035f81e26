/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * services: what a plugin may call. One table for each plugin; what a handler asks for goes to the handling that its
 * thread is in. What other threads bring about for the plugin's thread (an answer that comes late, a new id, a page of
 * the MOV's) becomes a notice; the executor takes them. */
#ifndef PLUGIN_SERVICES_H
#define PLUGIN_SERVICES_H

#include <stdatomic.h>
#include <valawai/plugin.h>

#include "base/text.h"
#include "message/transport.h"
#include "plugin/plugin.h"
#include "plugin/timers.h"

struct json_object;

/* Something for the plugin's thread to see to. */
struct notice {
    struct node node;
    enum { NOTICE_ANSWERED, NOTICE_ID, NOTICE_REPLY } kind;
};

/* One message on its way through the plugin: what it is about and what it brings about. Becomes a notice when the
 * answer comes late. */
struct handling {
    struct notice notice;
    struct services *services;
    struct delivery *delivery;
    struct list publications;
    struct json_object *json;          /* of the body, once asked for */
    const struct contract_topic *fits; /* the body is as this topic declares it; NULL: not known */
    char *reason;                      /* why it is not done; NULL: not stated */
    struct list kept;                  /* texts that the plugin was given */
    struct text record;                /* one in the making; like the next, kept for the next message */
    struct text quoted;                /* the body as a JSON string, once asked for */
    int verdict;
    bool called;     /* the handler was … */
    int64_t took_us; /* … and took so long */

    /* The executor's: */
    struct lane *lane;
    struct delivery
        *again; /* the broker has taken the delivery back and handed it out once more: this is to be settled */
    struct handling *next, *prev; /* others that are under way */

    bool shared; /* there is or was a ticket: what it holds may be asked for on other threads, under the services' lock
                  */

    /* The services', under their lock: */
    uint64_t ticket; /* 0: none */
    int64_t since;   /* when the ticket was taken */
    bool answered;   /* the ticket was answered */
    bool returned;   /* the handler has come back and left it to the ticket */
};

/* Another id, or NULL: unregistered. */
struct id_notice {
    struct notice notice;
    char *id;
};

/* What the plugin asks the MOV. Becomes a notice when the reply is there. */
struct plugin_query {
    struct notice notice;
    struct services *services;
    int what;   /* a valawai_query */
    char *text; /* a JSON object without an id */
    void (*reply)(void *self, const char *page, size_t len, void *context);
    void *context;
    char *page; /* NULL: no reply */
    size_t len;
    struct plugin_query *next; /* without a reply, under the services' lock */
};

struct services_options {
    const struct plugin *plugin;
    const struct contract *mov; /* of the MOV's own queues, on which every component may publish */
    struct log *log;
    const struct transport *transport;
    size_t message_max_bytes;
    /* [any thread] Takes a query over; services_reply() ends it, with a page or without. */
    void (*ask)(void *context, struct plugin_query *query);
    void *context;
};

struct services {
    struct valawai_host table; /* what the plugin gets */
    struct services_options options;
    enum validate validate;
    atomic_bool running; /* after start, before stop */
    atomic_bool ended;   /* stop has come back */
    bool given;          /* the table is the plugin's to call */
    struct services *next_gone;
    struct account account; /* the publisher's */
    struct counts *counts;  /* of each topic of the document, then of each queue of the MOV */
    atomic_uint open;       /* tickets, written under the lock */
    struct timers timers;

    struct queue notices;
    atomic_bool noticed;  /* there is one that the executor has not seen to */
    struct queue *waking; /* the executor's: woken with each notice */

    pthread_mutex_t lock;  /* of what follows */
    char id[64];           /* that the MOV gave the component; "" without … */
    struct text id_member; /* … and as the member of a record */
    struct ticket {
        struct handling *handling; /* NULL: free */
        uint32_t use;              /* how often it was given out: tells old tickets from new ones */
    } * tickets;
    size_t ticket_count, first_free;
    struct plugin_query *queries; /* without a reply */
};

/* A verdict that settles the message: not VALAWAI_LATER. */
static inline bool is_verdict(int value)
{
    return value == VALAWAI_DONE || (value >= VALAWAI_RETRY && value <= VALAWAI_FAILED);
}

/* What a plugin returned instead of a verdict, for a record: an error of plugin.h by its name, or the number. */
struct verdict_name {
    char text[64];
};
const char *verdict_name(int value, struct verdict_name *name);

struct services *services_new(const struct services_options *options);

/* The table that a plugin was given stays, and answers that it is too late: destructors of a plugin's static objects
 * run when nothing else is left, and its code is never unmapped. */
void services_free(struct services *services);

/* What is counted of a topic of the document, or of a queue of the MOV. The counts live as long as the services. */
struct counts *services_counts(const struct services *services, const struct contract_topic *topic, bool of_mov);

/* [any thread] The id under which records go to the MOV, and the plugin is told of it; NULL when there is none. */
void services_set_id(struct services *services, const char *id);

/* [any thread] A record of the component: console and file by their levels, and the MOV. payload may be NULL. */
void services_record(struct services *services, int level, const char *file, int line, const char *payload,
                     const char *text);

/* [any thread] The reply to a query, which it takes over; NULL: there is none. */
void services_reply(struct plugin_query *query, const char *page, size_t len);

/* --- the thread that calls a handler --- */

/* The records of handlers leave with what these publish. To be called before a sleep, for the others. */
void services_flush(struct services *services);

/* Between the two the thread's calls belong to the handling. */
void services_begin(struct handling *handling);
void services_end(void);

/* [any thread] The verdict is set; the executor's thread concludes the handling. */
void services_concluded(struct handling *handling);

/* The handler returned VALAWAI_LATER. False: the answer is there already, or there will be none; the verdict is set. */
bool services_leave(struct handling *handling);
/* It returned something else: whatever ticket it took is void. */
void services_revoke(struct handling *handling);

/* Whether the body is one JSON object. If it will be checked against its schema, it is parsed at the same time. */
bool services_read(struct handling *handling, struct fault *fault) __attribute__((warn_unused_result));
/* The body that is handled, parsed at the first call. */
struct json_object *services_json(struct handling *handling);
void handling_explain(struct handling *handling, const char *format, ...) __attribute__((format(printf, 2, 3)));
void handling_clear(struct handling *handling); /* for the next message; the delivery has another owner by then */
void handling_free(struct handling *handling);

/* --- the executor's thread --- */

/* The table for the plugin's start. From here on it is never freed. */
const struct valawai_host *services_give_table(struct services *services);
void services_begin_running(struct services *services);
enum validate services_validate(const struct services *services);
struct timers *services_timers(struct services *services);

/* Which queue is woken for each notice; NULL: none. */
void services_wake(struct services *services, struct queue *waking);
bool services_has_notices(const struct services *services);
struct list services_take_notices(struct services *services);

/* Calls back for a notice and frees it; not for NOTICE_ANSWERED, which is the executor's. */
void services_notify(struct services *services, struct notice *notice, void *self);
/* Stop is next: nothing is published or asked any more, but for a ticket. */
void services_end_running(struct services *services);
/* Stop has come back: what waits for its answer is the broker's again, whatever a thread that was left behind says. */
void services_end_tickets(struct services *services);
/* Calls back for the queries that have no reply yet. */
void services_end_queries(struct services *services, void *self);

/* [any thread] How many messages wait for their answer, and since when the oldest one does, and of which topic. */
size_t services_open(struct services *services, int64_t *since, const char **topic);

#endif
