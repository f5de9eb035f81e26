/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sink: a bounded queue of lines in front of something that may block, and the thread that writes them. Putting a line
 * in never waits. When the queue is full, lines are dropped and counted; a part of it is kept for important ones.
 *
 * Until sink_start() there is no thread, and a line is written by the call that puts it in. So it is again in the child
 * of a fork(), which has no threads. */
#ifndef BASE_SINK_H
#define BASE_SINK_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/count.h"
#include "base/text.h"

#define SINK_MAX ((size_t)2 << 20)    /* bytes that wait; a line that is larger is taken when nothing else waits */
#define SINK_KEPT ((size_t)512 << 10) /* of them, for important lines */
#define SINK_TEND_MS 2000

/* [the sink's thread; without one, the thread that puts a line in calls write] */
struct sink_events {
    const char *thread;                                          /* its name */
    void (*begin)(void *context);                                /* before all others; may be NULL */
    void (*write)(void *context, const char *lines, size_t len); /* whole lines, as they were put in */
    void (*dropped)(void *context, unsigned long count);         /* after the lines that came before */
    void (*last)(void *context, const char *words);              /* of sink_last(); may be NULL */
    void (*tend)(void *context);                                 /* every SINK_TEND_MS; may be NULL */
};

struct sink {
    const struct sink_events *events;
    void *context;
    pthread_mutex_t lock; /* all down to `stopping`; never held while the thread writes */
    struct text waiting;
    unsigned long dropped; /* and not reported yet */
    count_cell all_dropped;
    bool threaded;
    bool asleep; /* the thread, or about to be */
    bool stopping;
    struct text writing; /* the thread's */
    pthread_t thread;
    sem_t wake;
    atomic_uint taken, written; /* lines, and calls of sink_last() */
    _Atomic(const char *) words;
};

void sink_init(struct sink *sink, const struct sink_events *events, void *context);
void sink_start(struct sink *sink);

/* False if this line is the first of a row that is dropped. */
bool sink_put(struct sink *sink, const char *line, size_t len, bool important);

/* [any thread] How many lines were ever dropped; takes no lock. */
uint64_t sink_dropped(const struct sink *sink);

/* True if all that was put in is written when clock_ms() shows until_ms. [any thread; async-signal-safe] */
bool sink_flush(struct sink *sink, int64_t until_ms);

/* Hands words over to the thread, which have to last; nothing where there is no thread. [async-signal-safe] */
void sink_last(struct sink *sink, const char *words);

/* Writes what waits. False: the thread has not come to its end in time, and still uses the sink. */
bool sink_stop(struct sink *sink, int64_t until_ms) __attribute__((warn_unused_result));
void sink_free(struct sink *sink);

/* Around a fork(): the child may write, and what waits is written by the parent alone. */
void sink_before_fork(struct sink *sink);
void sink_after_fork(struct sink *sink, bool child);

#endif
