/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * shutdown: the order in which a running host stops, and how long each step may take. What the steps do is told by a
 * table of functions, and the time by one of them, so a test can drive every order of events without waiting. */
#ifndef RUN_SHUTDOWN_H
#define RUN_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

#define SHUTDOWN_ANSWERS_MS 300 /* of the grace time, that are left when no more answers of a plugin are waited for */
#define SHUTDOWN_LATE_MS 500    /* for handlers that waited for room in an outbox which is closed by now */
#define SHUTDOWN_UNREGISTER_MS 1000 /* at least, even if the plugins took all of the grace time */
#define SHUTDOWN_CONNECTION_MS 2000 /* for each connection to close */

/* Every until is a time that now() tells. A step returns false if it has not come to its end by then. */
struct shutdown_steps {
    int64_t (*now)(void *context);
    void (*announce)(void *context); /* the health file goes, the service manager is told, consuming stops */
    void (*close_plugins)(void *context, int64_t answers_until); /* no new calls */
    bool (*join_plugins)(void *context, int64_t until);
    bool (*drain)(void *context, int64_t until); /* what is published gets confirmed */
    void (*close_outbox)(void *context);         /* from here on nothing is published for a plugin */
    void (*unregister)(void *context, int64_t until);
    bool (*stop_consumer)(void *context, int64_t until); /* what is not settled goes back to its queue */
    bool (*stop_publisher)(void *context, int64_t until);
    void (*warn)(void *context, const char *what);
};

/* True if every part came to its end, so that what it uses may be freed. */
bool shutdown_run(const struct shutdown_steps *steps, void *context, int64_t grace_ms)
    __attribute__((warn_unused_result));

#endif
