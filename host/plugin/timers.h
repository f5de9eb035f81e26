/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * timers: the timers of one plugin. Any thread sets and ends them; one thread takes those that are due. A plugin has a
 * handful, so they are searched one after the other. */
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

/* [any thread] The new timer's number, never 0 and never given twice. */
uint64_t timers_add(struct timers *timers, struct timer timer);
bool timers_cancel(struct timers *timers, uint64_t id);

/* When the next one is due, or TIMERS_NEVER. [any thread] */
int64_t timers_next(struct timers *timers);

/* Takes the one that has been due longest, if there is one; one that repeats is set anew, from now if it is late. */
bool timers_take(struct timers *timers, int64_t now, struct timer *due);

#endif
