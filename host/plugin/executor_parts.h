/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * executor_parts: what executor.c, judge.c and lanes.c share, and no other includes. */
#ifndef PLUGIN_EXECUTOR_PARTS_H
#define PLUGIN_EXECUTOR_PARTS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "message/counts.h"
#include "plugin/executor.h"

/* The messages of one topic. While one of them waits for another try, those behind it wait too: the order is kept. */
struct lane {
    const struct valawai_topic *topic;
    const struct contract_topic *declared;
    struct counts *counts;
    struct list waiting;
    int64_t until; /* nothing of it is handled before; 0: not held up */
    struct backoff backoff;
    struct list late; /* handlings whose message the broker took back before their verdict was there */
};

/* A thread that calls handlers: the executor's own, or one of several. */
struct worker {
    struct executor *executor;
    pthread_t thread;

    /* Read by the control thread, which reports a call that takes long: */
    atomic_int_fast64_t busy_since;
    _Atomic(const char *) busy_with;
    int64_t warned_of;
};

struct executor {
    struct executor_options options;
    struct queue inbox;
    struct list ready; /* taken from the inbox, in the order of arrival */
    struct lane *lanes;
    void *self; /* the plugin's */

    pthread_t thread;
    bool started_thread;
    sem_t begun;             /* start has returned … */
    atomic_int start_answer; /* … this */
    bool known;              /* executor_started() has told so */
    atomic_bool closing;
    atomic_int_fast64_t close_until;

    struct worker own, *workers; /* workers: of a plugin that has several threads */
    struct handling *spare;      /* for the next message, so that most need no allocation */
    struct handling *under_way;  /* those that other threads have, or that wait for their answer */
    int64_t timer_at;
    int64_t open_warned_of;

    /* What the workers take from. */
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

/* Calls the handler and sets the verdict. False: the plugin answers later, and the handling may be on another thread.
 */
bool judge(struct worker *worker, struct handling *handling);

/* --- lanes.c --- */

void lane_put_back(struct lane *lane, struct delivery *delivery);
void lane_drop_late(struct lane *lane);
struct handling *lane_take_late(struct lane *lane, const struct delivery *delivery);
struct handling *lane_find(struct handling *under_way, const struct lane *lane, const struct delivery *delivery);
void handling_drop(struct handling *handling); /* with its deliveries */

#endif
