/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * watch: reads the number of a queue's consumers twice a second, by a passive declare on its own AMQP channel. The MOV
 * is available while valawai/component/register has a consumer. For a queue that does not exist the broker closes the
 * channel (404); this counts as no consumers. */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include "broker/connection.h"

enum watch_state {
    WATCH_CLOSED, /* the next declare opens the channel */
    WATCH_OPEN,
    WATCH_ASKED, /* a declare is pending; one at a time */
};

struct watch {
    const char *queue; /* NULL: nothing is watched */
    amqp_channel_t channel;
    enum watch_state state;
    int64_t due;    /* the next declare */
    long consumers; /* by the last answer on this connection; -1: no answer yet */
};

void watch_init(struct watch *watch, const char *queue, amqp_channel_t channel);
void watch_lost(struct watch *watch); /* the connection is lost: the next answer counts as a change */

/* When to call watch_tend(); INT64_MAX: not before an answer. */
int64_t watch_due(const struct watch *watch);
bool watch_tend(struct watch *watch, struct connection *connection, int64_t now, struct fault *fault)
    __attribute__((warn_unused_result));

/* A method on the watch's channel. Sets changed if the number of consumers has changed. */
bool watch_method(struct watch *watch, struct connection *connection, const amqp_frame_t *frame, bool *changed,
                  struct fault *fault) __attribute__((warn_unused_result));

#endif
