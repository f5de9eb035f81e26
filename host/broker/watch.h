/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * watch: how many consumers a queue has, asked for twice a second by a passive declare on an AMQP channel of its own.
 * The MOV is there while valawai/component/register has a consumer. A queue that does not exist closes the channel
 * (404) and counts as one without consumers. */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include "broker/connection.h"

enum watch_state {
    WATCH_CLOSED, /* the channel is opened with the next question */
    WATCH_OPEN,
    WATCH_ASKED, /* one question at a time */
};

struct watch {
    const char *queue; /* NULL: nothing is watched */
    amqp_channel_t channel;
    enum watch_state state;
    int64_t due;    /* the next question */
    long consumers; /* by the last answer on this connection; -1: none yet */
};

void watch_init(struct watch *watch, const char *queue, amqp_channel_t channel);
void watch_lost(struct watch *watch); /* the connection is gone: the next answer is news, whatever it says */

/* When watch_tend() has something to do; INT64_MAX: not before an answer. */
int64_t watch_due(const struct watch *watch);
bool watch_tend(struct watch *watch, struct connection *connection, int64_t now, struct fault *fault)
    __attribute__((warn_unused_result));

/* A method on the watch's channel. Sets changed if the number of consumers is another one than before. */
bool watch_method(struct watch *watch, struct connection *connection, const amqp_frame_t *frame, bool *changed,
                  struct fault *fault) __attribute__((warn_unused_result));

#endif
