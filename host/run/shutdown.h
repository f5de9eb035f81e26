/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * shutdown: the order in which a running host stops, and the time of each step. A table of functions performs the steps
 * and tells the time, so a test can drive every order of events without waiting. */
#ifndef RUN_SHUTDOWN_H
#define RUN_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

#define SHUTDOWN_ANSWERS_MS 300     /* rest of the grace time when the wait for answers of plugins ends */
#define SHUTDOWN_LATE_MS 500        /* for handlers that waited for room in the closed outbox */
#define SHUTDOWN_UNREGISTER_MS 1000 /* the least time, even if the plugins used up the grace time */
#define SHUTDOWN_CONNECTION_MS 2000 /* for each connection to close */

/* Each `until` is a time of now(). A step returns false if it has not ended by then. */
struct shutdown_steps {
    int64_t (*now)(void *context);
    void (*announce)(void *context); /* removes the health file, notifies the service manager, stops consuming */
    void (*close_plugins)(void *context, int64_t answers_until); /* no new calls */
    bool (*join_plugins)(void *context, int64_t until);
    bool (*drain)(void *context, int64_t until); /* waits for confirmations */
    void (*close_outbox)(void *context);         /* plugins can publish nothing from here on */
    void (*unregister)(void *context, int64_t until);
    bool (*stop_consumer)(void *context, int64_t until); /* unsettled messages return to their queues */
    bool (*stop_publisher)(void *context, int64_t until);
    void (*warn)(void *context, const char *what);
};

/* True if every part has ended, so that the caller may free its memory. */
bool shutdown_run(const struct shutdown_steps *steps, void *context, int64_t grace_ms)
    __attribute__((warn_unused_result));

#endif
