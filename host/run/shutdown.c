/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/shutdown.h"

static bool end_plugins(const struct shutdown_steps *steps, void *context, int64_t deadline)
{
    steps->close_plugins(context, deadline - SHUTDOWN_ANSWERS_MS);
    bool joined = steps->join_plugins(context, deadline);
    if (!steps->drain(context, deadline))
        steps->warn(context,
                    "the broker has not confirmed everything in time; it will deliver the unconfirmed messages again");
    steps->close_outbox(context);
    if (!joined)
        joined = steps->join_plugins(context, steps->now(context) + SHUTDOWN_LATE_MS);
    if (!joined)
        steps->warn(context, "a handler has not returned in time; its message returns to its queue");
    return joined;
}

bool shutdown_run(const struct shutdown_steps *steps, void *context, int64_t grace_ms)
{
    int64_t deadline = steps->now(context) + grace_ms;
    steps->announce(context);
    bool ended = end_plugins(steps, context, deadline);
    int64_t least = steps->now(context) + SHUTDOWN_UNREGISTER_MS;
    steps->unregister(context, deadline > least ? deadline : least);
    ended = steps->stop_consumer(context, steps->now(context) + SHUTDOWN_CONNECTION_MS) && ended;
    ended = steps->stop_publisher(context, steps->now(context) + SHUTDOWN_CONNECTION_MS) && ended;
    return ended;
}
