/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_hands: which messages a worker has. Each has a number, greater than those before, and by its number a place
 * that no other message has at the same time. */
#ifndef PLUGIN_WORKER_HANDS_H
#define PLUGIN_WORKER_HANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/worker_page.h"

struct handling;

struct hand {
    uint64_t number; /* 0: a free place */
    struct handling *handling;
    int64_t sent_us;
    int64_t called_since; /* when its handler was first seen to run; 0: it was not */
    bool warned;
    bool refused; /* the host has refused a publication of it */
};

struct hands {
    struct hand places[WORKER_PLACES];
    size_t count;
    uint64_t last;
};

/* NULL: there is no place. */
struct hand *hands_take(struct hands *hands, struct handling *handling);
/* NULL: the worker has no such message. */
struct hand *hands_find(struct hands *hands, uint64_t number);
void hands_free(struct hands *hands, struct hand *hand);

/* The next one from *at on, which starts as 0. NULL: there are no more. */
struct hand *hands_next(struct hands *hands, size_t *at);

#endif
