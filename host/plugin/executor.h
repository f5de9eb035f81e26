/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * executor: calls one plugin, on a thread of its own. Deliveries go in; what comes out is a verdict and publications.
 * The host knows no more of it than these functions, so a child process can take the thread's place one day.
 *
 * A plugin that is safe for several threads and is given them has its handlers called on those; all else, and every
 * verdict, still passes through the one thread. */
#ifndef PLUGIN_EXECUTOR_H
#define PLUGIN_EXECUTOR_H

#include "plugin/services.h"

struct executor_events {
    /* [executor's thread] Handled: the publications belong to it, and its settlement is set. Empties the list. */
    void (*handled)(void *context, struct delivery *delivery, struct list *publications);
    /* [executor's thread] It is rejected, and handled() comes next: what is put into the list leaves with it. detail
     * may be NULL. The member may be NULL. */
    void (*rejected)(void *context, struct delivery *delivery, const char *detail, struct list *publications);
    /* [executor's thread] The plugin's start has returned; executor_started() tells what. May be NULL. */
    void (*started)(void *context);
};

struct executor_options {
    const struct plugin *plugin;
    struct services *services;
    struct log *log;
    uint32_t attempts;
    bool notes_times;    /* when the handling of a delivery begins */
    bool hides_payloads; /* of rejected messages: no record shows them */
    int64_t slow_ms;
    unsigned threads; /* for the handlers; 0 and 1: the executor's own */
    const struct executor_events *events;
    void *context;
};

struct executor;

struct executor *executor_new(const struct executor_options *options);

/* Starts the thread and, on it, the plugin. Deliveries that come before its start has returned wait. */
void executor_start(struct executor *executor);
enum started {
    STARTING, /* not returned yet */
    STARTED,
    START_FAILED, /* the plugin cannot run; the fault says why */
};
enum started executor_started(struct executor *executor, int wait_ms, struct fault *fault)
    __attribute__((warn_unused_result));

/* [any thread] Deliveries whose subscription's owner is a struct valawai_topic of the plugin. Empties the list. */
void executor_put(struct executor *executor, struct list *deliveries);

/* [any thread] Warns of a handler that takes long, and of answers that do; to be called every second or so. */
void executor_tend(struct executor *executor, int64_t now);

/* [any thread] When the call began that has been in a handler for longest; 0: none is. */
int64_t executor_busy_since(struct executor *executor);

/* [any thread] Lets the calls in hand end, and gives the answers that are to come later until until_ms; drops what was
 * not begun: the broker puts it back. */
void executor_close(struct executor *executor, int64_t until_ms);

/* Waits for the plugin's stop and the thread's end. False: a handler did not come back; it cannot be freed. */
bool executor_join(struct executor *executor, int64_t until_ms) __attribute__((warn_unused_result));
void executor_free(struct executor *executor);

#endif
