/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * confirms: the window of unconfirmed publications, and the message that the broker is returning (basic.return). It
 * takes the broker's methods and returns the publications concerned. It holds no socket, no thread and no clock, so a
 * test can play the broker. */
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

    struct { /* the returned message */
        enum { RETURN_NONE, RETURN_ANNOUNCED, RETURN_BODY, RETURN_SKIPPED } state;
        char topic[256];
        uint64_t left; /* bytes of the body that have not arrived */
        size_t size;
        char *body;
        uint64_t from; /* start of the search: a broker returns messages in the order of their arrival */
    } returned;
};

void confirms_free(struct confirms *confirms); /* not the publications; call confirms_reset() before */

/* The next publication on the channel. */
void confirms_put(struct confirms *confirms, struct publication *publication);

/* basic.ack and basic.nack: moves the publications concerned to the list. Their outcome is OUTCOME_CONFIRMED;
 * OUTCOME_UNROUTABLE if they were returned; OUTCOME_NOT_KEPT if the broker could not keep them. */
void confirms_take(struct confirms *confirms, uint64_t sequence, bool multiple, bool positive, struct list *taken);

/* When the oldest of them entered the publisher; INT64_MAX: there is none. */
int64_t confirms_oldest(const struct confirms *confirms);

/* Removes and returns the only unconfirmed publication; NULL if there are several or none. */
struct publication *confirms_take_only(struct confirms *confirms);

/* The channel is lost. Returns all unconfirmed publications in their order. The next channel counts from 1 again. */
struct list confirms_reset(struct confirms *confirms);

/* basic.return, its content header and its body. A message that matches no unconfirmed publication is skipped, so a
 * peer cannot make the host allocate more than the host itself has published. False: a frame out of turn. */
bool confirms_return(struct confirms *confirms, const char *topic, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));
bool confirms_return_header(struct confirms *confirms, uint64_t size, struct fault *fault)
    __attribute__((warn_unused_result));
bool confirms_return_body(struct confirms *confirms, const char *part, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
