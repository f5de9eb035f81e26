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
    void (*connected)(void *context, bool up);
    void (*gave_up)(void *context, const char *why); /* the first connection failed; the thread is about to end */
    void (*watched)(void *context,
                    unsigned consumers); /* of the watched queue, when the number changes; 0: none, or no queue */
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

/* subscriptions must outlive the consumer. */
struct consumer *consumer_new(const struct consumer_options *options, struct subscription *const *subscriptions,
                              size_t count);
void consumer_start(struct consumer *consumer);

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
