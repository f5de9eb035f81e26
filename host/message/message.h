/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * message: the messages in the ring. A delivery is a received message with the data to settle it; a publication is a
 * message to be published. Each has one owner at a time: a function that passes it on must not use it again. */
#ifndef MESSAGE_MESSAGE_H
#define MESSAGE_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/count.h"
#include "base/queue.h"
#include "message/properties.h"

enum subscription_kind {
    /* A plugin's topic: declared and consumed. Redelivered messages come few at a time at first, so that a message that
       crashes the host does not return many others each time. */
    SUBSCRIBE_TOPIC,
    /* The topic on which the MOV answers: first every message in the queue is delivered and marked as a leftover, then
       one new message at a time. */
    SUBSCRIBE_ANSWER,
    /* A queue of other programs: not declared. */
    SUBSCRIBE_SHARED,
};

struct counts;

struct subscription {
    /* Set before the consumer is made. */
    const char *topic;
    const char *component; /* for the broker's lists; NULL: the host */
    enum subscription_kind kind;
    uint16_t prefetch; /* 0: broker.prefetch */
    bool wanted;       /* initially; consumer_want() changes it later */
    void *owner;       /* for the receiver */
    void *receiver;    /* for the receiver, too */
    /* [consumer's thread] Must not block. Takes ownership of the deliveries and empties the list. */
    void (*delivered)(struct subscription *subscription, struct list *deliveries);
    void (*changed)(struct subscription *subscription, bool up); /* consumes, as far as we know, or not */

    /* Each has one writer, and is read without a lock, because an old value does no harm. */
    atomic_bool up;             /* consumes, as far as we know; the consumer writes */
    atomic_uint in_plugin;      /* messages in the plugin's hands; written by the executor */
    atomic_uint_fast32_t epoch; /* the number of its AMQP channels so far; written by the consumer */
    atomic_size_t dropped;      /* its deliveries that ended in delivery_drop(); wraps */
    struct channel *channel;    /* belongs to the consumer */
    struct counts *counts;      /* NULL: nothing is counted; set before the consumer is made */
};

/* How a delivery is settled at the broker. */
enum settlement {
    SETTLE_ACKNOWLEDGE,
    SETTLE_REJECT,  /* dropped, or caught by a dead-letter policy */
    SETTLE_PUT_BACK /* to its place in the queue */
};

/* Why a message is rejected. */
enum reason {
    REASON_NONE,           /* not rejected */
    REASON_INVALID,        /* not one JSON object, or does not match the AsyncAPI document */
    REASON_WRONG,          /* VALAWAI_WRONG */
    REASON_FAILED,         /* VALAWAI_FAILED */
    REASON_ATTEMPTS,       /* VALAWAI_RETRY in the last attempt */
    REASON_DELIVERY_LIMIT, /* the broker may drop it at the next return */
    REASON_PUBLICATION,    /* the broker never accepts a publication of its handler */
    REASON_CRASHED,        /* it ended the plugin's process */
    REASON_COUNT
};

struct delivery {
    struct node node;
    struct subscription *from;
    uint64_t tag;
    uint32_t epoch; /* of the subscription's AMQP channel: a tag is valid only there */
    bool redelivered;
    bool leftover;       /* was in the queue before the subscription began (SUBSCRIBE_ANSWER only) */
    uint64_t refused;    /* bytes of a message over the size limit, which was not read; otherwise 0 */
    int64_t received_us; /* clock_us() when it began to arrive */
    uint32_t returns;    /* the broker's count of returns to the queue, if it counts */
    bool at_limit; /* the broker may drop it at the next return, so the host rejects it before a handler sees it */

    uint32_t attempt;     /* number of this call of the handler; counts from returns */
    uint32_t crashes;     /* calls that ended the plugin's process */
    uint32_t unconfirmed; /* unconfirmed publications; the publisher's thread counts down */
    enum settlement settlement;
    int64_t began_ns;   /* since 1970: the first call of its handler, or its refusal; 0: not yet, or tracing is off */
    enum reason reason; /* of SETTLE_REJECT; stays when a dead letter replaces the message */

    struct properties properties; /* length 0: only what every message has */
    size_t len;
    char body[]; /* len bytes and a '\0', followed by the properties */
};

/* True if the AMQP channel is lost, so that the broker has taken the message back and delivers it again. */
static inline bool delivery_is_stale(const struct delivery *delivery)
{
    return delivery->epoch != atomic_load_explicit(&delivery->from->epoch, memory_order_acquire);
}

enum outcome {
    OUTCOME_CONFIRMED,
    OUTCOME_UNROUTABLE, /* only for publications that do not wait for their queue */
    OUTCOME_REFUSED,    /* the broker never accepts it */
    OUTCOME_NOT_KEPT,   /* basic.nack: the publisher tries again, and reports this only for dead letters */
    OUTCOME_FULL,       /* of a dead letter: its queue is full */
    OUTCOME_UNDECLARED, /* of a dead letter: its queue cannot be declared */
};

/* Learns the outcome of publications. */
struct sender {
    /* [publisher's thread] Takes ownership of the publications and empties the list. Must not block. */
    void (*confirmed)(void *context, struct list *publications);
    void *context;
};

/* The publications of one plugin in the publisher's outbox. Starts zeroed, and belongs to the publisher. */
struct account {
    size_t held;                       /* publications without an outcome, under the publisher's lock */
    count_cell bytes;                  /* of these publications, written under that lock */
    struct list waiting;               /* not sent; this and the members below belong to the publisher's thread */
    struct account *next;              /* in the ring of turns */
    size_t in_flight, in_flight_bytes; /* sent and not confirmed */
};

struct publication {
    struct node node;
    struct account *account;     /* NULL: the host's own */
    struct counts *counts;       /* of its component and topic; NULL: it is not counted */
    const struct sender *sender; /* NULL: nothing depends on the outcome */
    struct delivery *cause;      /* the delivery that waits for the confirmation; NULL: none */
    uint32_t
        most; /* of a dead letter: its queue is declared first, and may hold this many messages; 0: no dead letter */
    bool persistent;
    bool waits;         /* if unroutable, its queue is declared and it is published again until it arrives */
    bool returned;      /* basic.return came; the confirmation follows */
    bool refused;       /* basic.nack came; it is published again */
    bool waited;        /* for the publisher, of a dead letter: it has waited for the answer about its queue */
    int64_t give_up_at; /* for the publisher, of a dead letter that the broker could not keep; 0: not set */
    int64_t retry_at;   /* for the publisher */
    int64_t taken_at;   /* for the publisher: when it entered, by clock_ms() */
    enum outcome outcome;

    size_t size; /* bytes of memory, including this structure and the allocator's overhead */

    /* In the same allocation, after the body: */
    char *topic;
    struct properties properties; /* length 0: application/json, with the delivery mode of persistent */
    size_t len;
    char body[];
};

/* Deliveries that ended, for those that one thread makes next. malloc() keeps only a few blocks of a size for a thread,
 * and merges and splits the others, which takes 350 instructions for a message. Starts zeroed. */
struct spares {
    struct list list; /* for list_free() */
    unsigned count;
};

/* One allocation each, for free(). Properties are copied. spares may be NULL.
 *
 * A delivery refers to its subscription, so the consumer counts those that are out (consumer_remove()). Therefore a
 * delivery of a consumer ends in consumer_settle() or, on any thread, in delivery_drop(). */
struct delivery *delivery_new(size_t len);
struct delivery *delivery_with(struct spares *spares, size_t len, struct properties properties);
void delivery_end(struct spares *spares, struct delivery *delivery); /* for the consumer, instead of free() */
void delivery_drop(struct delivery *delivery);                       /* may be NULL */
struct delivery *delivery_empty(struct delivery *delivery);          /* without body and properties; may move it */
void deliveries_drop(struct list *deliveries);                       /* empties the list */
struct publication *publication_new(const char *topic, const char *body, size_t len);
struct publication *publication_with(const char *topic, const char *body, size_t len, struct properties properties);

/* Passes publications with an outcome to their senders, and frees those without a sender. Empties the list. */
void publications_report(struct list *publications);

/* Frees publications, and the deliveries that waited only for them. Empties the list. */
void publications_drop(struct list *publications);

/* Returns the publication with the trace of its cause (traceparent and tracestate), unless it has a traceparent. The
 * result may be a new publication; then the first is freed. */
struct publication *publication_trace(struct publication *publication, struct properties cause);

#endif
