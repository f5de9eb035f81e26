/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * executor_parts: shared by executor.c, judge.c and lanes.c only. */
#ifndef PLUGIN_EXECUTOR_PARTS_H
#define PLUGIN_EXECUTOR_PARTS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "message/counts.h"
#include "plugin/executor.h"

/* The messages of one topic. While one waits for another attempt, those behind it also wait, to keep the order. */
struct lane {
    const struct valawai_topic *topic;
    const struct contract_topic *declared;
    struct counts *counts;
    struct list waiting;
    int64_t until; /* the lane waits until then; 0: it does not wait */
    struct backoff backoff;
    struct list late; /* handlings of messages that the broker took back before the verdict */
};

/* A thread that calls handlers: the executor's own, or one of several. */
struct caller {
    struct executor *executor;
    pthread_t thread;

    /* Read by the control thread, which reports slow calls: */
    atomic_int_fast64_t busy_since;
    _Atomic(const char *) busy_with;
    int64_t warned_of;
};

struct executor {
    struct executor_options options;
    struct queue inbox;
    struct list ready; /* taken from the inbox, in the order of arrival */
    struct lane *lanes;
    void *self; /* of the plugin */

    pthread_t thread;
    bool started_thread;
    sem_t begun;             /* start has returned … */
    atomic_int start_answer; /* … this */
    bool known;              /* executor_started() has returned the result */
    atomic_bool closing;
    atomic_int_fast64_t close_until;

    struct caller own, *callers; /* callers: of a plugin with several threads */
    struct handling *spare;      /* for the next message, so that most messages need no allocation */
    struct handling *under_way;  /* handlings on other threads, or waiting for their answer */
    int64_t timer_at;
    int64_t open_warned_of;

    /* The queue of the callers. */
    pthread_mutex_t work_lock;
    pthread_cond_t work_there;
    struct list work;
    bool work_ended;
};

static inline const struct plugin *plugin_of(const struct executor *executor)
{
    return executor->options.plugin;
}

/* --- judge.c --- */

/* Calls the handler and sets the verdict. False: the plugin answers later, and another thread may own the handling.
 * */
bool judge(struct caller *caller, struct handling *handling);

/* --- lanes.c --- */

/* True if its verdict is that a worker ended: it has none. */
static inline bool handling_is_returned(const struct handling *handling)
{
    return handling->verdict == RETURNED_UNTRIED || handling->verdict == RETURNED_CRASHED;
}

void lane_put_back(struct lane *lane, struct delivery *delivery);
/* A worker that ended had the message. True if it waits for another call, in its place of the order. */
bool lane_take_back(struct handling *handling, uint32_t crash_attempts);
void lane_drop_late(struct lane *lane);
struct handling *lane_take_late(struct lane *lane, const struct delivery *delivery);
struct handling *lane_find(struct handling *under_way, const struct lane *lane, const struct delivery *delivery);
void handling_drop(struct handling *handling); /* frees its deliveries, too */

#endif
