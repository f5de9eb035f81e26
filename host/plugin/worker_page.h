/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_page: memory that the host and a worker share, so that a worker that ends at any moment leaves a record of
 * its messages, without a system call for each of them. A worker in another language has none, and is judged by its
 * frames. */
#ifndef PLUGIN_WORKER_PAGE_H
#define PLUGIN_WORKER_PAGE_H

#include <stdatomic.h>

#define WORKER_PLACES 4096 /* messages that a worker may have; the message n has the place n % WORKER_PLACES */
#define WORKER_WORDS 4096

enum place_state {
    PLACE_WAITS,  /* no handler has begun it */
    PLACE_CALLED, /* its handler is running */
    PLACE_OPEN,   /* its handler has returned, and the message has no verdict yet */
    PLACE_JUDGED, /* it has one, which may not have left yet */
};

/* The host makes it, zeroed. The worker may write anything into it: the host reads it byte by byte, and no more. */
struct worker_page {
    _Atomic unsigned char places[WORKER_PLACES]; /* the worker writes; the host sets PLACE_WAITS before it sends */
    char words[WORKER_WORDS];                    /* the last ones of a worker that crashes */
};

#endif
