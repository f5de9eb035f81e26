/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * message: what travels round the ring. A delivery is a received message with what is needed to settle it; a
 * publication is one on its way out. Each has one owner at a time: who hands it on must not look at it again. */
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
    /* A plugin's topic: declared, consumed. At first few messages come at a time while they are redelivered ones, so
     * that a message that kills the host does not take its neighbours along each time. */
    SUBSCRIBE_TOPIC,
    /* The topic on which the MOV answers: first every message that lies there is delivered, marked as a leftover, then
     * one new message at a time. */
    SUBSCRIBE_ANSWER,
    /* A queue that belongs to others: not declared. */
    SUBSCRIBE_SHARED,
};

struct counts;

struct subscription {
    /* Set before the consumer is made. */
    const char *topic;
    const char *component; /* for the broker's lists; NULL: the host's own */
    enum subscription_kind kind;
    uint16_t prefetch; /* 0: as broker.prefetch says */
    bool wanted;       /* from the start; consumer_want() changes that later */
    void *owner;       /* the receiver's */
    void *receiver;    /* the same */
    /* [consumer's thread] Must not block. Deliveries are the receiver's from now on; empties the list. */
    void (*delivered)(struct subscription *subscription, struct list *deliveries);
    void (*changed)(struct subscription *subscription, bool up); /* consumes, as far as we know, or not */

    /* Each has one writer, and is read without a lock: an old value does no harm. */
    atomic_bool up;             /* consumes, as far as we know; the consumer writes */
    atomic_uint in_plugin;      /* messages that the plugin has in hand; the executor writes */
    atomic_uint_fast32_t epoch; /* one more for each AMQP channel it had; the consumer writes */
    struct channel *channel;    /* the consumer's */
    struct counts *counts;      /* NULL: nothing is counted; set before the consumer is made */
};

/* What becomes of a delivery at the broker. */
enum settlement {
    SETTLE_ACKNOWLEDGE,
    SETTLE_REJECT,  /* not put back: a dead-letter policy catches it */
    SETTLE_PUT_BACK /* to its place in the queue */
};

/* Why a message is rejected. */
enum reason {
    REASON_NONE,           /* it is not */
    REASON_INVALID,        /* not one JSON object, or not as the AsyncAPI document declares it */
    REASON_WRONG,          /* VALAWAI_WRONG */
    REASON_FAILED,         /* VALAWAI_FAILED */
    REASON_ATTEMPTS,       /* VALAWAI_RETRY, once too often */
    REASON_DELIVERY_LIMIT, /* the broker may drop it at the next return */
    REASON_PUBLICATION,    /* the broker refuses what its handler published */
    REASON_CRASHED,        /* it ended the plugin's process */
    REASON_COUNT
};

struct delivery {
    struct node node;
    struct subscription *from;
    uint64_t tag;
    uint32_t epoch; /* of the subscription's AMQP channel: a tag means nothing on another one */
    bool redelivered;
    bool leftover;       /* lay in the queue before the subscription began (only where it asks to be told) */
    uint64_t refused;    /* over the size limit, and not read: how many bytes it had; otherwise 0 */
    int64_t received_us; /* clock_us() when it began to arrive */
    uint32_t returns;    /* how often it went back to its queue, where the broker counts that */
    bool at_limit;       /* the broker may drop it at the next return: it is rejected before a handler sees it */

    uint32_t attempt;     /* calls of the handler, this one counted; begins at returns */
    uint32_t unconfirmed; /* publications that wait for their confirmation; the publisher's thread counts down */
    enum settlement settlement;
    int64_t began_ns;   /* since 1970: the first call of its handler, or its refusal; 0: not yet, or traces are off */
    enum reason reason; /* of SETTLE_REJECT; stays when a dead letter takes the message's place */

    struct properties properties; /* length 0: nothing beyond what every message has */
    size_t len;
    char body[]; /* len bytes and a '\0'; the properties lie behind them */
};

/* True if the broker has taken the delivery back, because its AMQP channel is gone: it will come again. */
static inline bool delivery_is_stale(const struct delivery *delivery)
{
    return delivery->epoch != atomic_load_explicit(&delivery->from->epoch, memory_order_acquire);
}

enum outcome {
    OUTCOME_CONFIRMED,
    OUTCOME_UNROUTABLE, /* only for those that do not wait for their queue */
    OUTCOME_REFUSED,    /* the broker will never take it */
    OUTCOME_NOT_KEPT,   /* basic.nack: the publisher tries again, and reports it of dead letters only */
    OUTCOME_FULL,       /* of a dead letter: its queue holds as many as it may */
    OUTCOME_UNDECLARED, /* of a dead letter: its queue cannot be declared */
};

/* Learns the outcome of publications. */
struct sender {
    /* [publisher's thread] The publications are the sender's from now on. Empties the list. Must not block. */
    void (*confirmed)(void *context, struct list *publications);
    void *context;
};

/* What one plugin has in the publisher's outbox. Starts zeroed, and belongs to the publisher. */
struct account {
    size_t held;                       /* publications without an outcome, under the publisher's lock */
    count_cell bytes;                  /* theirs, written under that lock */
    struct list waiting;               /* from here on the publisher's thread's: those that were not sent */
    struct account *next;              /* of those in the ring of turns */
    size_t in_flight, in_flight_bytes; /* sent, and not confirmed */
};

struct publication {
    struct node node;
    struct account *account;     /* NULL: the host's own */
    struct counts *counts;       /* of its component and topic; NULL: it is not counted */
    const struct sender *sender; /* NULL: nothing depends on the outcome */
    struct delivery *cause;      /* waits for this one's confirmation; NULL: no delivery does */
    uint32_t most; /* a dead letter: its queue is declared first, and may hold so many messages; 0: no dead letter */
    bool persistent;
    bool waits;         /* unroutable: its queue is declared and it is published again until it arrives */
    bool returned;      /* basic.return: its confirmation is still to come */
    bool refused;       /* basic.nack: it is to be published again */
    bool waited;        /* the publisher's, of a dead letter: for the answer about its queue */
    int64_t give_up_at; /* the publisher's, of a dead letter that the broker could not keep; 0: not yet */
    int64_t retry_at;   /* the publisher's */
    int64_t taken_at;   /* the publisher's: when it came, by clock_ms() */
    enum outcome outcome;

    size_t size; /* bytes of memory, this structure and what the allocator adds included */

    /* In the same allocation, behind the body: */
    char *topic;
    struct properties properties; /* length 0: application/json, and as persistent says */
    size_t len;
    char body[];
};

/* One allocation each, which free() gives back. Properties are copied. */
struct delivery *delivery_new(size_t len);
struct delivery *delivery_with(size_t len, struct properties properties);
struct publication *publication_new(const char *topic, const char *body, size_t len);
struct publication *publication_with(const char *topic, const char *body, size_t len, struct properties properties);

/* Gives publications whose outcome is known to their senders, and frees those that have none. Empties the list. */
void publications_report(struct list *publications);

/* Frees publications, and the deliveries that only they would have settled. Empties the list. */
void publications_drop(struct list *publications);

/* The publication, or another in its place (the first is freed then), with the trace of its cause: traceparent and
 * tracestate, unless it has a traceparent. */
struct publication *publication_trace(struct publication *publication, struct properties cause);

#endif
