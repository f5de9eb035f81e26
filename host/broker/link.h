/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * link: maintains one connection to the broker. It connects, lets the owner serve the connection until it is lost,
 * pauses, and connects again, until stopping is set. link_failed() decides what follows a failed attempt; it takes the
 * clock and holds no socket. */
#ifndef BROKER_LINK_H
#define BROKER_LINK_H

#include <stdatomic.h>

#include "base/log.h"
#include "broker/connection.h"

/* The functions run on the thread of link_run(). */
struct link_events {
    const char *thread; /* its name */
    /* False if a new connection is unsuitable; this counts as a refusal. May be NULL. */
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
    const char *name;      /* prefix of log records, such as "publishing connection"; NULL: none */
    bool is_first_bounded; /* the first connection has max_retries attempts; otherwise there is no bound */
    const atomic_bool *stopping;
    const struct link_events *events;
    void *context;

    bool has_been_connected;
    long attempt;                     /* since the last connection */
    struct backoff backoff, refusals; /* pauses after a failed attempt, and after a refused login */
};

struct link_pause {
    bool gives_up;
    bool is_said; /* whether to log the attempt: of many, only some are */
    int64_t until_ms;
};

/* What follows a failed attempt that began at that time. */
struct link_pause link_failed(struct link *link, enum opened opened, int64_t began, int64_t now);

void link_run(struct link *link);

#endif
