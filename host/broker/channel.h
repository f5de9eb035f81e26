/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * channel: one subscription on its own AMQP channel. It opens, declares, consumes, assembles messages, settles them,
 * and recovers from faults of this topic alone: a deleted queue, a refused declare, a consumer timeout. It sends all
 * methods without waiting; channel_frame() takes the answers. Everything here runs on the thread that owns the
 * connection. docs/architecture.md draws the states. */
#ifndef BROKER_CHANNEL_H
#define BROKER_CHANNEL_H

#include "base/log.h"
#include "broker/connection.h"
#include "broker/tags.h"
#include "broker/window.h"
#include "message/message.h"

enum channel_state {
    CHANNEL_CLOSED, /* opens at retry_at while the subscription lasts */
    CHANNEL_PAUSED, /* closed by a consumer timeout: becomes CHANNEL_CLOSED when the plugin has returned its messages */
    CHANNEL_CLOSING,   /* channel.close is sent; CHANNEL_CLOSED follows */
    CHANNEL_PAUSING,   /* channel.close is sent; CHANNEL_PAUSED follows */
    CHANNEL_OPENING,   /* open, declare and consume are sent */
    CHANNEL_DRAINING,  /* basic.get is sent, repeatedly until the queue is empty */
    CHANNEL_GATHERING, /* draining continues when the messages in hand are settled */
    CHANNEL_CONSUMING,
    CHANNEL_WIDENING,  /* the same; the consumer with a larger window has no answer yet, so it cannot be cancelled */
    CHANNEL_ASKING,    /* the broker cancelled the consumer, and a passive declare finds out whether the queue exists */
    CHANNEL_DELETED,   /* the queue was deleted; a new one is declared at retry_at */
    CHANNEL_CANCELLED, /* no consumer; the channel stays open for settling */
};

enum channel_want { WANT_NOTHING, WANT_LEFTOVERS, WANT_MESSAGES };

/* State that all channels of a connection share. */
struct receiver {
    struct connection *connection;
    struct log *log;
    uint16_t prefetch;          /* of a subscription without its own */
    uint64_t message_max_bytes; /* a larger message is not read */
    uint32_t delivery_limit;    /* returns after which the broker may drop a message; 0: no limit */
    uint32_t consumer_tags;     /* the last one on this connection; none is used twice */
    struct spares spares;       /* settled deliveries */
    struct list batch;          /* complete deliveries that are not passed on yet */
    int64_t due;                /* when channel_tend() has something to do; 0: now */
};

struct channel {
    struct receiver *receiver;
    struct subscription *subscription;
    size_t number; /* of the AMQP channel; beyond channel_max of the connection: it is not opened; 0: it has none */
    enum channel_state state;
    enum channel_want want;
    struct window window;
    struct tags tags;
    bool reported; /* the obstacle to consuming is in the log, and is reported again only after a success */
    bool passive;  /* the user may not declare (403), but may be allowed to consume */
    uint32_t consumer_tag;
    int64_t retry_at;
    struct backoff backoff;

    struct { /* a delivery that waits for its header */
        bool pending, redelivered, leftover;
        uint64_t tag;
        int64_t received_us;
    } header;
    struct delivery *incoming; /* waits for the rest of its body */
    uint64_t body_size, body_got;

    bool leaves; /* the subscription ends, at this time at the latest: */
    int64_t leaves_until;
    size_t out;           /* deliveries passed on that have not returned to the consumer; see channel_out() */
    struct channel *next; /* of those without a number */

    uint32_t settled; /* in the current batch of settlements */
    bool touched;     /* the batch concerns this channel: in the consumer's list */
    struct channel *next_touched;
};

void channel_init(struct channel *channel, struct receiver *receiver, struct subscription *subscription, size_t number);
void channel_destroy(struct channel *channel);

/* Ends the subscription: stops consuming, and closes the AMQP channel when no message is in hand, or at until_ms; then
 * it returns the rest. channel_has_left(): the number is free. */
void channel_leave(struct channel *channel, int64_t until_ms);
bool channel_has_left(struct channel *channel, int64_t now);

/* The number of deliveries that exist outside of the consumer. */
size_t channel_out(const struct channel *channel);

void channel_lost(struct channel *channel); /* the connection is lost */

/* Takes the next step towards the wanted state. */
bool channel_tend(struct channel *channel, int64_t now, struct fault *fault) __attribute__((warn_unused_result));

/* A frame on this channel. */
bool channel_frame(struct channel *channel, const amqp_frame_t *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* Settles one delivery, which is not stale. Acknowledgements gather until channel_settled(). */
bool channel_settle(struct channel *channel, const struct delivery *delivery, int64_t now_us, struct fault *fault)
    __attribute__((warn_unused_result));
bool channel_settled(struct channel *channel, struct fault *fault) __attribute__((warn_unused_result));

/* Returns all messages of the channel to the queue, including those on their way from the broker. */
bool channel_return_all(struct channel *channel, struct fault *fault) __attribute__((warn_unused_result));

#endif
