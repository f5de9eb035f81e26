/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * link: keeps one connection to the broker. It connects, has the connection served until it is lost, pauses, and
 * connects again, until it is told to stop. link_failed() decides what follows a failed attempt; it takes the clock and
 * holds no socket. */
#ifndef BROKER_LINK_H
#define BROKER_LINK_H

#include <stdatomic.h>

#include "base/log.h"
#include "broker/connection.h"

/* The functions run on the thread of link_run(). */
struct link_events {
    const char *thread; /* its name */
    /* Whether a connection that was just made is of use; if not, that is a refusal. May be NULL. */
    bool (*suits)(void *context, struct fault *why);
    void (*connected)(void *context);              /* may be NULL */
    void (*serve)(void *context);                  /* returns when the connection is lost or stopping is set */
    void (*rest)(void *context, int64_t until_ms); /* without a connection; ends early when stopping is set */
    void (*gave_up)(void *context, const char *why);
};

struct link {
    struct connection *connection;
    const struct broker *broker;
    struct log *log;
    const char *name;      /* in front of what is logged, such as "publishing connection"; NULL: nothing */
    bool is_first_bounded; /* the first connection has max_retries attempts; otherwise it has no bound */
    const atomic_bool *stopping;
    const struct link_events *events;
    void *context;

    bool has_been_connected;
    long attempt;                     /* since the last connection */
    struct backoff backoff, refusals; /* pauses after an attempt that failed, and after a login that was refused */
};

struct link_pause {
    bool gives_up;
    bool is_said; /* not each of many attempts is */
    int64_t until_ms;
};

/* After an attempt that began at that time and failed. */
struct link_pause link_failed(struct link *link, enum opened opened, int64_t began, int64_t now);

void link_run(struct link *link);

#endif
