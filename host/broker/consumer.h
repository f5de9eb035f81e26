/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * consumer: the receiving connection, with its thread. Every subscription has its own AMQP channel, so a fault of one
 * topic (cancel, close, consumer timeout) does not affect the others, and a slow plugin delays only its own prefetch.
 * All methods are sent without waiting; one dispatcher takes the answers.
 *
 * The events are called on the consumer's thread and must not block. */
#ifndef BROKER_CONSUMER_H
#define BROKER_CONSUMER_H

#include "base/log.h"
#include "broker/connection.h"
#include "message/message.h"

struct consumer_events {
    void (*connected)(void *context, const char *version); /* of the broker, "" if unknown; NULL: no connection */
    void (*gave_up)(void *context, const char *why);       /* the first connection failed; the thread is about to end */
    void (*watched)(void *context,
                    unsigned consumers); /* of the watched queue, when the number changes; 0: none, or no queue */
    /* consumer_remove() is complete: the memory of the subscription belongs to its owner. NULL: none is removed. */
    void (*removed)(void *context, struct subscription *subscription);
};

struct consumer_options {
    struct broker broker;
    struct log *log;
    const char *components; /* for the connection's name */
    uint16_t prefetch;      /* of a subscription without its own */
    uint32_t delivery_limit;
    uint64_t message_max_bytes;
    const char *watched_queue; /* its number of consumers is read twice a second */
    const struct consumer_events *events;
    void *context;
};

struct consumer;

/* subscriptions must outlive the consumer, except for those that were removed. */
struct consumer *consumer_new(const struct consumer_options *options, struct subscription *const *subscriptions,
                              size_t count);
void consumer_start(struct consumer *consumer);

/* [any thread] Consumes a further subscription. It must outlive the consumer, too. If channel_max of the connection
 * allows no further AMQP channel, it is consumed when another subscription is removed. Its topic may be that of another
 * subscription, such as one that is being removed. */
void consumer_add(struct consumer *consumer, struct subscription *subscription);

/* [any thread] Stops consuming for good. Deliveries in hand can still be settled. When none is left, or at until_ms,
 * the AMQP channel is closed, and the messages that are left return to their queue. The event `removed` follows when no
 * delivery of the subscription exists any more, because each refers to it. So those who hold deliveries end them, stale
 * ones, too, by consumer_settle() or delivery_drop(): an executor does so when it has closed or is freed, and the
 * publisher when the publications of the delivery have an outcome. (Without a connection that may take long.)
 *
 * Until then the functions of the subscription may be called. No other function of the consumer may be called for the
 * subscription after this one. No event follows after consumer_stop(). */
void consumer_remove(struct consumer *consumer, struct subscription *subscription, int64_t until_ms);

/* [any thread] Starts or stops consuming. After a stop, deliveries in hand can still be settled. */
void consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted);

/* [any thread] Delivers the messages in the queue of a SUBSCRIBE_ANSWER that is not consumed, and ends. */
void consumer_sweep(struct consumer *consumer, struct subscription *subscription);

/* [any thread] Settles deliveries by their settlement and frees them. Stale ones are only freed. Empties the list. */
void consumer_settle(struct consumer *consumer, struct list *deliveries);

/* [any thread] Performs the settlements so far, returns all other messages, closes the connection, and ends the thread.
 * False if this takes longer than until_ms. */
bool consumer_stop(struct consumer *consumer, int64_t until_ms) __attribute__((warn_unused_result));
void consumer_free(struct consumer *consumer); /* after consumer_stop() returned true, or if it was never started */

#endif
