/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dead: a rejected message becomes a dead letter, a publication to the queue TOPIC/dead. It has the body and the
 * properties of the message; headers give reason, time and place of the death. */
#ifndef MESSAGE_DEAD_H
#define MESSAGE_DEAD_H

#include "base/fault.h"
#include "message/message.h"

#define DEAD_SUFFIX "/dead"
#define DEAD_PREFIX "valawai-dead-" /* of the headers that the host adds */
#define DEAD_REASON DEAD_PREFIX "reason"
#define DEAD_DETAIL DEAD_PREFIX "detail"
#define DEAD_TIME DEAD_PREFIX "time"
#define DEAD_COMPONENT DEAD_PREFIX "component"
#define DEAD_ATTEMPTS DEAD_PREFIX "attempts"
#define DEAD_HOST DEAD_PREFIX "host"
#define DEAD_RETURNS "x-delivery-count"          /* the broker's count of a letter's returns */
#define DEAD_EXPIRATION DEAD_PREFIX "expiration" /* properties that a dead letter cannot have */
#define DEAD_USER_ID DEAD_PREFIX "user-id"

struct death {
    enum reason reason;
    const char *detail; /* NULL: there is none */
    const char *component, *host;
    int64_t time; /* seconds since 1970 */
};

/* "wrong" and so on, as in the header. */
const char *reason_name(enum reason reason);

/* Makes the letter. It differs from the message: it is persistent. Expiration and user id become headers, because a
 * letter must not expire, and because the broker accepts no message in the name of another user. Headers for the
 * broker's routing (CC, BCC) and its counts (x-delivery-count, x-acquired-count) are left out. most: the number of
 * messages that the queue may hold. NULL: no letter is possible. */
struct publication *dead_letter(const struct delivery *delivery, const struct death *death, uint32_t most,
                                struct fault *fault) __attribute__((warn_unused_result));

/* Appends to out the properties of a message that returns to its topic: those of the letter without the host's headers
 * and the broker's counts. */
bool dead_revive(struct properties letter, struct text *out, struct fault *fault) __attribute__((warn_unused_result));

/* The same for a letter that is published again: its properties without the broker's counts. */
bool dead_renew(struct properties letter, struct text *out, struct fault *fault) __attribute__((warn_unused_result));

#endif
