/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * probe: what a queue of the broker is, and what the user may do with it. A probe changes nothing: a queue that is
 * there is declared as it would be declared by a host, and every other request has an argument that no broker accepts,
 * so that only the reason of the refusal tells something: a missing permission comes before a wrong argument. */
#ifndef BROKER_PROBE_H
#define BROKER_PROBE_H

#include "broker/dialogue.h"

struct queue_facts {
    enum {
        QUEUE_ABSENT,
        QUEUE_THERE,
        QUEUE_HIDDEN
    } presence; /* hidden: the user may not even see whether it is there */
    uint32_t messages, consumers;
    bool may_configure, may_read;
    char type[16];         /* classic, quorum, stream; "": not known */
    bool fits;             /* as a host declares it; or it is not there */
    struct fault mismatch; /* otherwise: the words of the broker */
};

/* False: the dialogue is over. */
bool probe_queue(struct dialogue *dialogue, const char *queue, struct queue_facts *facts, struct fault *fault)
    __attribute__((warn_unused_result));

/* After how many returns this version of RabbitMQ drops a message of a queue of this type, unless a policy or an
 * argument of the queue says otherwise, which AMQP does not show; 0: never. */
unsigned probe_delivery_limit(const char *version, const char *type);

#endif
