/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dead: a rejected message becomes a dead letter, a publication to the queue TOPIC/dead. Its body and its properties
 * are those of the message; headers say why it died, when and where. */
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
#define DEAD_RETURNS "x-delivery-count"          /* the broker's: how often a letter went back to its place */
#define DEAD_EXPIRATION DEAD_PREFIX "expiration" /* the properties of these names, which a dead letter cannot have */
#define DEAD_USER_ID DEAD_PREFIX "user-id"

struct death {
    enum reason reason;
    const char *detail; /* NULL: there is none */
    const char *component, *host;
    int64_t time; /* seconds since 1970 */
};

/* "wrong" and so on, as the header says it. */
const char *reason_name(enum reason reason);

/* What differs from the message: the letter is persistent. It has no expiration and no user id; these two become
 * headers, because a letter is to stay, and because the broker takes no message in the name of another user. Headers
 * that say what the broker does with a message (CC, BCC) or has done with it (x-delivery-count, x-acquired-count) are
 * left out. most: how many messages its queue may hold. NULL: it cannot be one. */
struct publication *dead_letter(const struct delivery *delivery, const struct death *death, uint32_t most,
                                struct fault *fault) __attribute__((warn_unused_result));

/* Puts the properties of the message that goes back to its topic behind what is in out: those of the letter without
 * the host's headers and without the broker's counts. */
bool dead_revive(struct properties letter, struct text *out, struct fault *fault) __attribute__((warn_unused_result));

/* The same for the letter that is published anew: its properties without the broker's counts. */
bool dead_renew(struct properties letter, struct text *out, struct fault *fault) __attribute__((warn_unused_result));

#endif
