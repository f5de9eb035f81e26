/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/timers.h"

#include <stdlib.h>

#include "base/memory.h"

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
    pthread_mutex_init(&timers->lock, NULL);
}

void timers_destroy(struct timers *timers)
{
    pthread_mutex_destroy(&timers->lock);
    free(timers->at);
}

uint64_t timers_add(struct timers *timers, struct timer timer)
{
    pthread_mutex_lock(&timers->lock);
    timer.id = ++timers->last_id;
    timers->at = memory_resize(timers->at, (timers->count + 1) * sizeof *timers->at);
    timers->at[timers->count++] = timer;
    pthread_mutex_unlock(&timers->lock);
    return timer.id;
}

bool timers_cancel(struct timers *timers, uint64_t id)
{
    bool found = false;
    pthread_mutex_lock(&timers->lock);
    for (size_t i = 0; i < timers->count && !found; i++) {
        found = timers->at[i].id == id;
        if (found)
            timers->at[i] = timers->at[--timers->count];
    }
    pthread_mutex_unlock(&timers->lock);
    return found;
}

/* The caller holds the lock. NULL: there is none. */
static struct timer *earliest(struct timers *timers)
{
    struct timer *first = NULL;
    for (size_t i = 0; i < timers->count; i++)
        if (first == NULL || timers->at[i].at < first->at)
            first = &timers->at[i];
    return first;
}

int64_t timers_next(struct timers *timers)
{
    pthread_mutex_lock(&timers->lock);
    const struct timer *first = earliest(timers);
    int64_t at = first == NULL ? TIMERS_NEVER : first->at;
    pthread_mutex_unlock(&timers->lock);
    return at;
}

bool timers_take(struct timers *timers, int64_t now, struct timer *due)
{
    pthread_mutex_lock(&timers->lock);
    struct timer *first = earliest(timers);
    bool is_due = first != NULL && first->at <= now;
    if (is_due) {
        *due = *first;
        if (first->every_ms == 0)
            *first = timers->at[--timers->count];
        else
            first->at = first->at + first->every_ms > now ? first->at + first->every_ms : now + first->every_ms;
    }
    pthread_mutex_unlock(&timers->lock);
    return is_due;
}
