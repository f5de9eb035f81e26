/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_child_parts: what worker_child.c and worker_child_out.c share, and no other includes. */
#ifndef PLUGIN_WORKER_CHILD_PARTS_H
#define PLUGIN_WORKER_CHILD_PARTS_H

#include <stdatomic.h>

#include "plugin/executor.h"
#include "plugin/parts.h"
#include "plugin/worker_frames.h"
#include "plugin/worker_page.h"

struct query_number {
    struct query_number *next;
    uint64_t number;
    struct plugin_query *query;
};

struct child {
    int socket;
    struct worker_page *page;
    struct frame_reader reader;
    struct log *log;
    struct plugin *plugin;
    struct plugin_section section;
    const struct contract *mov;
    struct transport transport;
    struct services *services;
    struct executor *executor;
    struct subscription *subscriptions; /* one for each topic */
    atomic_int in_hand;
    atomic_bool start_failed;
    unsigned long threads; /* before the plugin's */
    bool closing;
    int64_t close_until;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t room;
    struct text out;
    int64_t out_since; /* when the first frame came into it */
    size_t free_sent;  /* publications that the host has not taken yet */
    bool stopped;
    struct query_number *queries;
    uint64_t last_query;

    pthread_mutex_t write_lock; /* of the socket's sending half */
    struct text sending;
};

/* The host is gone, or no longer needs this worker. Processes that the plugin has started end, too. */
_Noreturn void child_end_now(void);

/* --- worker_child_out.c --- */

/* Between the two, frames are put into the text; the child is locked. waits: inside a handler, whose verdict will take
 * them along. */
struct text *child_begin(struct child *child);
void child_end(struct child *child, bool waits);
/* Sends what has waited for a millisecond. */
void child_send_if_late(struct child *child);

/* The process crashes: sends what the plugin's other messages have come to, unless a thread is just writing it. */
void child_send_last(void *context);

extern const struct executor_events child_events;

/* [any thread] A record of the plugin, or about what it did. */
void child_on_record(void *context, int level, const char *file, int line, const char *payload, const char *text);
/* [any thread] A record of the host's own code in this process. */
void child_on_note(void *context, enum log_level level, const char *name, const char *said);
/* [any thread] Publications outside of a handler. Waits for the host's room. */
bool child_on_send(void *context, struct list *publications);
void child_on_flush(void *context);
/* [any thread] */
void child_on_asked(void *context, struct plugin_query *query);

#endif
