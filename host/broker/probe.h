/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * probe: finds the facts about a queue of the broker, and the user's permissions on it. A probe changes nothing. It
 * declares an existing queue as a host would, and every other request has an argument that no broker accepts. The
 * reason of the refusal is the result, because a broker checks the permission before the argument. */
#ifndef BROKER_PROBE_H
#define BROKER_PROBE_H

#include "broker/dialogue.h"

struct queue_facts {
    enum { QUEUE_ABSENT, QUEUE_THERE, QUEUE_HIDDEN } presence; /* hidden: the user may not see whether it exists */
    uint32_t messages, consumers;
    bool may_configure, may_read;
    char type[16];         /* classic, quorum, stream; "": not known */
    bool fits;             /* it is as a host declares it, or does not exist */
    struct fault mismatch; /* otherwise: the broker's text */
};

/* False: the dialogue is over. */
bool probe_queue(struct dialogue *dialogue, const char *queue, struct queue_facts *facts, struct fault *fault)
    __attribute__((warn_unused_result));

/* The number of returns after which this version of RabbitMQ drops a message of a queue of this type; 0: never. A
 * policy or an argument of the queue can change it, which AMQP does not show. */
unsigned probe_delivery_limit(const char *version, const char *type);

#endif
