/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * timers: the timers of one plugin. Any thread sets and ends them; one thread takes those that are due. A plugin has
 * few timers, so a linear search is enough. */
#ifndef PLUGIN_TIMERS_H
#define PLUGIN_TIMERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMERS_NEVER INT64_MAX

struct timer {
    uint64_t id;
    int64_t at; /* by clock_ms() */
    uint32_t every_ms;
    void (*due)(void *self, void *context);
    void *context;
};

struct timers {
    pthread_mutex_t lock;
    struct timer *at;
    size_t count;
    uint64_t last_id;
};

void timers_init(struct timers *timers);
void timers_destroy(struct timers *timers);

/* [any thread] Returns the new timer's number, which is never 0 and never used twice. */
uint64_t timers_add(struct timers *timers, struct timer timer);
bool timers_cancel(struct timers *timers, uint64_t id);

/* When the next timer is due, or TIMERS_NEVER. [any thread] */
int64_t timers_next(struct timers *timers);

/* Takes the timer that has been due longest, if any. A repeating timer is set again, from now if it is late. */
bool timers_take(struct timers *timers, int64_t now, struct timer *due);

#endif
