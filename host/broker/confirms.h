/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * confirms: the window of publications that the broker has not confirmed, and the message that it is sending back
 * (basic.return). It takes what the broker says and gives out the publications concerned. It holds no socket, no thread
 * and no clock, so a test can say anything in the broker's place. */
#ifndef BROKER_CONFIRMS_H
#define BROKER_CONFIRMS_H

#include "base/fault.h"
#include "message/message.h"

/* Starts zeroed. Sequence numbers are those of the AMQP channel, which counts from 1. */
struct confirms {
    struct publication **slots; /* by sequence number; NULL: confirmed */
    size_t room;                /* a power of two, or 0 */
    uint64_t first, next;       /* sequence numbers less 1: the slots in use are [first, next) */
    size_t count, bytes;        /* of the unconfirmed publications */

    struct { /* the message that comes back */
        enum { RETURN_NONE, RETURN_ANNOUNCED, RETURN_BODY, RETURN_SKIPPED } state;
        char topic[256];
        uint64_t left; /* bytes of the body that are still to come */
        size_t size;
        char *body;
        uint64_t from; /* where the search begins: a broker returns messages in the order that they came in */
    } returned;
};

void confirms_free(struct confirms *confirms); /* not the publications: confirms_reset() comes before */

/* The next publication on the channel. */
void confirms_put(struct confirms *confirms, struct publication *publication);

/* basic.ack and basic.nack: moves the publications concerned to the list. Their outcome is OUTCOME_CONFIRMED;
 * OUTCOME_UNROUTABLE if they came back; OUTCOME_NOT_KEPT if the broker could not keep them. */
void confirms_take(struct confirms *confirms, uint64_t sequence, bool multiple, bool positive, struct list *taken);

/* When the oldest of them came to the publisher; INT64_MAX: there is none. */
int64_t confirms_oldest(const struct confirms *confirms);

/* The only unconfirmed publication, taken out; NULL if there are several or none. */
struct publication *confirms_take_only(struct confirms *confirms);

/* The channel is gone: all that is unconfirmed, in its order. The next channel starts from the first number. */
struct list confirms_reset(struct confirms *confirms);

/* basic.return, its content header and its body. A message that is none of the unconfirmed publications is skipped, so
 * a peer cannot make the host allocate more than what the host itself has published. False: a frame out of turn. */
bool confirms_return(struct confirms *confirms, const char *topic, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));
bool confirms_return_header(struct confirms *confirms, uint64_t size, struct fault *fault)
    __attribute__((warn_unused_result));
bool confirms_return_body(struct confirms *confirms, const char *part, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
