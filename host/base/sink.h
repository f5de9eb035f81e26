/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sink: a bounded queue of lines before an output that may block, and the thread that writes them. Putting a line in
 * never waits. When the queue is full, lines are dropped and counted; a part of it is reserved for important lines.
 *
 * Before sink_start(), and in the child of a fork(), there is no thread, and the call that puts a line in writes it. */
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

#define SINK_MAX ((size_t)2 << 20)    /* waiting bytes; a larger line is accepted when the queue is empty */
#define SINK_KEPT ((size_t)512 << 10) /* bytes of them reserved for important lines */
#define SINK_TEND_MS 2000

/* [the sink's thread; without one, the thread that puts a line in calls write] */
struct sink_events {
    const char *thread;                                          /* its name */
    void (*begin)(void *context);                                /* before all others; may be NULL */
    void (*write)(void *context, const char *lines, size_t len); /* whole lines, as they were put in */
    void (*dropped)(void *context, unsigned long count);         /* after the lines that precede them */
    void (*last)(void *context, const char *words);              /* of sink_last(); may be NULL */
    void (*tend)(void *context);                                 /* every SINK_TEND_MS; may be NULL */
};

struct sink {
    const struct sink_events *events;
    void *context;
    pthread_mutex_t lock; /* all down to `stopping`; never held while the thread writes */
    struct text waiting;
    unsigned long dropped; /* not reported yet */
    count_cell all_dropped;
    bool threaded;
    bool asleep; /* the thread sleeps, or is about to */
    bool stopping;
    struct text writing; /* belongs to the thread */
    pthread_t thread;
    sem_t wake;
    atomic_uint taken, written; /* lines, and calls of sink_last() */
    _Atomic(const char *) words;
};

void sink_init(struct sink *sink, const struct sink_events *events, void *context);
void sink_start(struct sink *sink);

/* False if this line is the first of a dropped sequence. */
bool sink_put(struct sink *sink, const char *line, size_t len, bool important);

/* [any thread] The number of lines dropped so far. Takes no lock. */
uint64_t sink_dropped(const struct sink *sink);

/* Waits until all lines are written. False: until_ms came first. [any thread; async-signal-safe] */
bool sink_flush(struct sink *sink, int64_t until_ms);

/* Passes words, which must stay valid, to the thread. Does nothing without a thread. [async-signal-safe] */
void sink_last(struct sink *sink, const char *words);

/* Writes the waiting lines and ends the thread. False: the thread has not ended in time, and still uses the sink. */
bool sink_stop(struct sink *sink, int64_t until_ms) __attribute__((warn_unused_result));
void sink_free(struct sink *sink);

/* Around a fork(): the child may write, and only the parent writes the waiting lines. */
void sink_before_fork(struct sink *sink);
void sink_after_fork(struct sink *sink, bool child);

#endif
