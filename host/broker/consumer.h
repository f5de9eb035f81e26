/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * consumer: the connection that receives, with its thread. Every subscription has an AMQP channel of its own, so what
 * the broker does to one topic (cancels it, closes it, times out its consumer) leaves the others alone, and a slow
 * plugin holds up only its own prefetch. All methods are sent without waiting; one dispatcher takes what comes back.
 *
 * The events are called on the consumer's thread and must not block. */
#ifndef BROKER_CONSUMER_H
#define BROKER_CONSUMER_H

#include "base/log.h"
#include "broker/connection.h"
#include "message/message.h"

struct consumer_events {
    void (*connected)(void *context, bool up);
    void (*gave_up)(void *context, const char *why); /* no first connection; the thread is about to end */
    void (*watched)(void *context,
                    unsigned consumers); /* of the watched queue, when it changes; 0: none, or no queue */
};

struct consumer_options {
    struct broker broker;
    struct log *log;
    const char *components; /* named in the connection's name */
    uint16_t prefetch;      /* of a subscription that names none */
    uint32_t delivery_limit;
    uint64_t message_max_bytes;
    const char *watched_queue; /* asked for its number of consumers twice a second */
    const struct consumer_events *events;
    void *context;
};

struct consumer;

/* subscriptions has to outlive the consumer. */
struct consumer *consumer_new(const struct consumer_options *options, struct subscription *const *subscriptions,
                              size_t count);
void consumer_start(struct consumer *consumer);

/* [any thread] Begins or ends to consume. After an end what was handed out can still be settled. */
void consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted);

/* [any thread] Delivers what lies in the queue of a SUBSCRIBE_ANSWER that is not consumed, and ends. */
void consumer_sweep(struct consumer *consumer, struct subscription *subscription);

/* [any thread] Settles deliveries by their settlement and frees them. What is stale is only freed. Empties the list. */
void consumer_settle(struct consumer *consumer, struct list *deliveries);

/* [any thread] Settles what it was given, returns the rest to its queue, closes the connection, and ends the thread.
 * False if that takes longer than until_ms. */
bool consumer_stop(struct consumer *consumer, int64_t until_ms) __attribute__((warn_unused_result));
void consumer_free(struct consumer *consumer); /* after consumer_stop() said true, or if it was never started */

#endif
