/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * executor: calls one plugin on its own thread. It takes deliveries and returns a verdict and publications. The rest of
 * the host uses only these functions. A plugin in a process of its own has two executors: the host's passes each
 * message on to the process (plugin/worker.c), and the other one calls the plugin there.
 *
 * The handlers of a plugin with several threads run on those; everything else, and every verdict, still passes through
 * the one thread. */
#ifndef PLUGIN_EXECUTOR_H
#define PLUGIN_EXECUTOR_H

#include <poll.h>

#include "plugin/services.h"

/* The record when the process has more threads after a plugin's end than before. */
#define PLUGIN_LEFT_THREADS "a plugin has left threads running after its stop; join them in stop"

struct executor_events {
    /* [executor's thread] The delivery is handled and its settlement is set. Takes its publications and empties the
     * list. */
    void (*handled)(void *context, struct delivery *delivery, struct list *publications);
    /* [executor's thread] The delivery is rejected, and handled() follows; publications that are put into the list
     * leave with it. detail may be NULL. The member may be NULL. */
    void (*rejected)(void *context, struct delivery *delivery, const char *detail, struct list *publications);
    /* [executor's thread] The plugin's start has returned; see executor_started(). May be NULL. */
    void (*started)(void *context);

    /* [executor's thread] It closes, has begun no message without a verdict, and begins none. May be NULL. */
    void (*drained)(void *context);

    /* For an executor whose verdicts another one acts on; all of them or none. */
    /* [executor's thread] There is a verdict, instead of rejected() and handled(). The delivery stays the executor's.
     */
    void (*judged)(void *context, struct handling *handling);
    /* [executor's thread] The message waits for its next attempt. */
    void (*postponed)(void *context, const struct delivery *delivery);
    /* [the thread that calls] Its handler is called next, or has returned. */
    void (*calling)(void *context, const struct delivery *delivery, bool begins);
};

#define EXECUTOR_LINK_POLLS 3

/* What the executor's thread waits for besides its queue: the process that a plugin lives in. */
struct executor_link {
    /* [executor's thread] Before it sleeps: sets all of what to poll. Returns when attend() is due anyway. */
    int64_t (*prepare)(void *context, struct pollfd polls[EXECUTOR_LINK_POLLS]);
    /* [executor's thread] After that. */
    void (*attend)(void *context);
    /* [any thread] executor_close() was called. */
    void (*close)(void *context, int64_t until_ms);
    /* [any thread] Since when the handler runs that has run longest, by clock_ms(); 0: none does. */
    int64_t (*busy_since)(void *context);
    void *context;
};

struct executor_options {
    const struct plugin *plugin;
    struct services *services;
    struct log *log;
    uint32_t attempts;
    bool notes_times;        /* notes when the handling of a delivery begins */
    uint32_t crash_attempts; /* calls for a message that end the plugin's process */
    bool trusts_messages;    /* another executor has checked them */
    bool hides_payloads;     /* of rejected messages, in all records */
    int64_t slow_ms;
    unsigned threads;                 /* for the handlers; 0 and 1: the executor's own */
    const struct executor_link *link; /* NULL: none */
    const struct executor_events *events;
    void *context;
};

struct executor;

struct executor *executor_new(const struct executor_options *options);

/* Starts the thread, which starts the plugin. Deliveries wait until the plugin's start has returned. */
void executor_start(struct executor *executor);
enum started {
    STARTING, /* start has not returned */
    STARTED,
    START_FAILED, /* the plugin cannot run; see the fault */
};
enum started executor_started(struct executor *executor, int wait_ms, struct fault *fault)
    __attribute__((warn_unused_result));

/* What the plugin's start returned, once it has. */
int executor_start_answer(const struct executor *executor);

/* [any thread] Passes deliveries to the plugin; the owner of their subscription is a struct valawai_topic of the
 * plugin. Empties the list. */
void executor_put(struct executor *executor, struct list *deliveries);

/* [any thread] Warns of slow handlers and slow answers. Call it about once a second. */
void executor_tend(struct executor *executor, int64_t now);

/* [any thread] When the longest current call of a handler began; 0: there is none. */
int64_t executor_busy_since(struct executor *executor);

/* [any thread] Finishes the calls in hand, and waits for answers of tickets until until_ms. Drops the messages that
 * were not begun, which the broker puts back. */
void executor_close(struct executor *executor, int64_t until_ms);

/* Waits for the plugin's stop and the thread's end. False: a handler has not returned, and the executor cannot be
 * freed. */
bool executor_join(struct executor *executor, int64_t until_ms) __attribute__((warn_unused_result));
/* After executor_join() returned true: drops the messages that it still has, and those that came since. */
void executor_drop(struct executor *executor);
void executor_free(struct executor *executor);

#endif
