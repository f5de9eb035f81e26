/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/sink.h"

#include <signal.h>
#include <time.h>

#include "base/backoff.h"
#include "base/thread.h"

#define ROOM_KEPT ((size_t)64 << 10) /* memory that an empty queue keeps */

void sink_init(struct sink *sink, const struct sink_events *events, void *context)
{
    *sink = (struct sink){.events = events, .context = context};
    pthread_mutex_init(&sink->lock, NULL);
    sem_init(&sink->wake, 0, 0);
}

void sink_free(struct sink *sink)
{
    text_free(&sink->waiting);
    text_free(&sink->writing);
    pthread_mutex_destroy(&sink->lock);
    sem_destroy(&sink->wake);
}

bool sink_put(struct sink *sink, const char *line, size_t len, bool important)
{
    pthread_mutex_lock(&sink->lock);
    if (!sink->threaded) {
        sink->events->write(sink->context, line, len);
        pthread_mutex_unlock(&sink->lock);
        return true;
    }
    size_t limit = important ? SINK_MAX : SINK_MAX - SINK_KEPT, waiting = sink->waiting.len;
    if (waiting > 0 && (waiting >= limit || len > limit - waiting)) {
        bool first = sink->dropped++ == 0;
        count_add(&sink->all_dropped, 1);
        pthread_mutex_unlock(&sink->lock);
        return !first;
    }
    text_put(&sink->waiting, line, len);
    atomic_fetch_add(&sink->taken, 1);
    bool wake = sink->asleep;
    sink->asleep = false;
    pthread_mutex_unlock(&sink->lock);
    if (wake)
        sem_post(&sink->wake);
    return true;
}

uint64_t sink_dropped(const struct sink *sink)
{
    return count_get(&sink->all_dropped);
}

/* ---- the thread ---- */

/* This thread runs no signal handler of a plugin, because it must write the record of a crash. */
static void block_signals(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        sigdelset(&set, fatal[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void empty(struct text *text)
{
    if (text->room > ROOM_KEPT)
        text_free(text);
    else
        text_clear(text);
}

/* Writes all waiting lines. False: there were none, and the thread may sleep, or end. */
static bool write_waiting(struct sink *sink, bool *stopping)
{
    pthread_mutex_lock(&sink->lock);
    unsigned taken = atomic_load(&sink->taken);
    unsigned long dropped = sink->dropped;
    struct text writing = sink->waiting;
    sink->waiting = sink->writing;
    sink->writing = writing;
    sink->dropped = 0;
    const char *words = atomic_exchange(&sink->words, NULL);
    bool something = writing.len > 0 || dropped > 0 || words != NULL;
    sink->asleep = !something;
    *stopping = sink->stopping;
    pthread_mutex_unlock(&sink->lock);

    if (writing.len > 0)
        sink->events->write(sink->context, writing.at, writing.len);
    if (dropped > 0)
        sink->events->dropped(sink->context, dropped);
    if (words != NULL && sink->events->last != NULL)
        sink->events->last(sink->context, words);
    empty(&sink->writing);
    atomic_store(&sink->written, taken);
    return something;
}

static void *run(void *argument)
{
    struct sink *sink = argument;
    bool stopping = false;
    block_signals();
    thread_name(sink->events->thread);
    if (sink->events->begin != NULL)
        sink->events->begin(sink->context);
    for (;;) {
        if (write_waiting(sink, &stopping))
            continue;
        if (stopping)
            return NULL;
        int64_t due = clock_ms() + SINK_TEND_MS;
        struct timespec until = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
        bool idle = sem_clockwait(&sink->wake, CLOCK_MONOTONIC, &until) != 0;
        if (idle && sink->events->tend != NULL)
            sink->events->tend(sink->context);
    }
}

void sink_start(struct sink *sink)
{
    sink->threaded = true;
    sink->thread = thread_start(run, sink);
}

bool sink_flush(struct sink *sink, int64_t until_ms)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    unsigned taken = atomic_load(&sink->taken);
    while ((int)(taken - atomic_load(&sink->written)) > 0 && sink->threaded) {
        if (clock_ms() >= until_ms)
            return false;
        sem_post(&sink->wake);
        nanosleep(&moment, NULL);
    }
    return true;
}

void sink_last(struct sink *sink, const char *words)
{
    atomic_store(&sink->words, words);
    atomic_fetch_add(&sink->taken, 1);
    sem_post(&sink->wake);
}

bool sink_stop(struct sink *sink, int64_t until_ms)
{
    pthread_mutex_lock(&sink->lock);
    bool threaded = sink->threaded;
    sink->stopping = true;
    pthread_mutex_unlock(&sink->lock);
    if (!threaded)
        return true;
    sem_post(&sink->wake);
    return thread_join(sink->thread, until_ms);
}

/* ---- fork ---- */

void sink_before_fork(struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
}

void sink_after_fork(struct sink *sink, bool child)
{
    if (child) {
        sink->threaded = false;
        sink->dropped = 0;
        text_clear(&sink->waiting);
    }
    pthread_mutex_unlock(&sink->lock);
}
