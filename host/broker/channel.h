/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * channel: one subscription on its own AMQP channel. It opens, declares, consumes, puts messages together, settles
 * them, and recovers from what the broker does to this topic alone: a deleted queue, a refused declare, a consumer
 * timeout. All methods are sent without waiting; channel_frame() takes what comes back. Everything here runs on the
 * thread that owns the connection. docs/architecture.md draws the states. */
#ifndef BROKER_CHANNEL_H
#define BROKER_CHANNEL_H

#include "base/log.h"
#include "broker/connection.h"
#include "broker/tags.h"
#include "broker/window.h"
#include "message/message.h"

enum channel_state {
    CHANNEL_CLOSED, /* opens at retry_at if its topic is to be consumed */
    CHANNEL_PAUSED, /* closed by a consumer timeout: becomes CHANNEL_CLOSED when the plugin has returned its messages */
    CHANNEL_CLOSING,   /* our channel.close is on its way; CHANNEL_CLOSED comes next */
    CHANNEL_PAUSING,   /* the same, and CHANNEL_PAUSED comes next */
    CHANNEL_OPENING,   /* open, declare and consume are on their way */
    CHANNEL_DRAINING,  /* basic.get is on its way, again and again until the queue is empty */
    CHANNEL_GATHERING, /* draining goes on when what was got is settled */
    CHANNEL_CONSUMING,
    CHANNEL_ASKING,    /* the broker cancelled the consumer, and a declare asks whether the queue is still there */
    CHANNEL_DELETED,   /* the queue was deleted; a new one follows at retry_at */
    CHANNEL_CANCELLED, /* no consumer; the channel stays open for settling */
};

enum channel_want { WANT_NOTHING, WANT_LEFTOVERS, WANT_MESSAGES };

/* What all channels of a connection share. */
struct receiver {
    struct connection *connection;
    struct log *log;
    uint16_t prefetch;          /* of a subscription that names none */
    uint64_t message_max_bytes; /* a larger message is not read */
    uint32_t delivery_limit;    /* returns after which the broker may drop a message; 0: no limit */
    uint32_t consumer_tags;     /* given out on this connection: none is used twice */
    struct list batch;          /* deliveries that are complete and not handed over yet */
    int64_t due;                /* when channel_tend() has something to do; 0: now */
};

struct channel {
    struct receiver *receiver;
    struct subscription *subscription;
    amqp_channel_t number;
    enum channel_state state;
    enum channel_want want;
    struct window window;
    struct tags tags;
    bool reported; /* what keeps it from consuming is in the log: said again only after it worked */
    bool passive;  /* the user may not declare (403), but perhaps consume */
    uint32_t consumer_tag;
    int64_t retry_at;
    struct backoff backoff;

    struct { /* a delivery whose header comes next */
        bool pending, redelivered, leftover;
        uint64_t tag;
        int64_t received_us;
    } header;
    struct delivery *incoming; /* its body is on its way */
    uint64_t body_size, body_got;

    uint32_t settled; /* by the settlements at hand */
    bool touched;     /* by them: in the consumer's list of those */
    struct channel *next_touched;
};

void channel_init(struct channel *channel, struct receiver *receiver, struct subscription *subscription,
                  amqp_channel_t number);
void channel_destroy(struct channel *channel);

void channel_lost(struct channel *channel); /* with the connection */

/* Takes the next step towards the state that was asked for. */
bool channel_tend(struct channel *channel, int64_t now, struct fault *fault) __attribute__((warn_unused_result));

/* A frame on this channel. */
bool channel_frame(struct channel *channel, const amqp_frame_t *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* Settles one delivery, which is not stale. What is to be acknowledged gathers until channel_settled(). */
bool channel_settle(struct channel *channel, const struct delivery *delivery, int64_t now_us, struct fault *fault)
    __attribute__((warn_unused_result));
bool channel_settled(struct channel *channel, struct fault *fault) __attribute__((warn_unused_result));

/* Returns all that the channel holds to its queue, also what is still on its way from the broker. */
bool channel_return_all(struct channel *channel, struct fault *fault) __attribute__((warn_unused_result));

#endif
