/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outlets: the queues that components publish to. Each is declared when the connection is new, and again when a
 * publication to it comes back. A declare that the broker refuses is tried again, after a delay that grows. It holds no
 * socket, no thread and no clock. */
#ifndef BROKER_OUTLETS_H
#define BROKER_OUTLETS_H

#include "base/backoff.h"
#include "message/message.h"

struct outlet {
    char *topic;
    bool wanted; /* to be declared, from retry_at on */
    bool complained;
    size_t refused; /* publications that the queue did not keep, and that are to be published again */
    int64_t retry_at;
    struct backoff backoff;
};

struct outlets {
    struct outlet *at;
    size_t count;
    struct outlet *asked; /* one at a time */
};

void outlets_init(struct outlets *outlets, const char *const *topics, size_t count); /* a topic may come twice */
void outlets_free(struct outlets *outlets);

/* The connection is new: every queue is to be declared, at once. */
void outlets_want_all(struct outlets *outlets);

/* Its queue is gone, and is to be declared. False: it is none of these. */
bool outlets_want(struct outlets *outlets, const char *topic);

/* The topic of the next queue to declare, if none is on its way; NULL: none is due. */
const char *outlets_ask(struct outlets *outlets, int64_t now);

/* What the broker says to that: the topic. first: the first refusal since the queue was last declared. */
const char *outlets_answer(struct outlets *outlets);
const char *outlets_refuse(struct outlets *outlets, int64_t now, bool *first);

/* The connection is gone, and no answer comes. */
void outlets_lose(struct outlets *outlets);

/* True if the broker has answered for every queue since outlets_want_all(). */
bool outlets_prepared(const struct outlets *outlets);

/* When the next declare is due; INT64_MAX: none is. */
int64_t outlets_due(const struct outlets *outlets);

/* A queue refuses publications from its first basic.nack until none that it refused waits any more. Notes whether this
 * publication is one that is refused. */
enum refusal { REFUSAL_SAME, REFUSAL_BEGINS, REFUSAL_ENDS };
enum refusal outlets_note_refusal(struct outlets *outlets, struct publication *publication, bool refused);

#endif
