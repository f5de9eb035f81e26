/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outlets: the queues that components publish to. Each is declared on a new connection, and again when a publication to
 * it comes back. A refused declare is repeated after a growing delay. It holds no socket, no thread and no clock. */
#ifndef BROKER_OUTLETS_H
#define BROKER_OUTLETS_H

#include "base/backoff.h"
#include "message/message.h"

struct outlet {
    char *topic;
    bool wanted; /* must be declared, from retry_at on */
    bool complained;
    size_t refused; /* publications that the queue did not keep and that wait for another attempt */
    int64_t retry_at;
    struct backoff backoff;
};

struct outlets {
    struct outlet **at;
    size_t count;
    struct outlet *asked; /* one at a time */
};

void outlets_init(struct outlets *outlets, const char *const *topics, size_t count); /* a topic may come twice */
void outlets_free(struct outlets *outlets);

/* A further topic. If it is new, its queue must be declared, at once. */
void outlets_add(struct outlets *outlets, const char *topic);

/* The connection is new: every queue must be declared, at once. */
void outlets_want_all(struct outlets *outlets);

/* The queue of the topic is gone and must be declared. False: the topic is none of these. */
bool outlets_want(struct outlets *outlets, const char *topic);

/* The topic of the next queue to declare, unless a declare is pending; NULL: none is due. */
const char *outlets_ask(struct outlets *outlets, int64_t now);

/* The broker's answer to the declare; both return the topic. first: the first refusal since the queue was last
 * declared. */
const char *outlets_answer(struct outlets *outlets);
const char *outlets_refuse(struct outlets *outlets, int64_t now, bool *first);

/* The connection is lost, and no answer comes. */
void outlets_lose(struct outlets *outlets);

/* True if the broker has answered for every queue since outlets_want_all(). */
bool outlets_prepared(const struct outlets *outlets);

/* When the next declare is due; INT64_MAX: none is. */
int64_t outlets_due(const struct outlets *outlets);

/* A queue refuses publications from its first basic.nack until no refused one waits. Notes whether this publication is
 * refused. */
enum refusal { REFUSAL_SAME, REFUSAL_BEGINS, REFUSAL_ENDS };
enum refusal outlets_note_refusal(struct outlets *outlets, struct publication *publication, bool refused);

#endif
