/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outbox: publications that wait for the broker, and which of them goes next. Every plugin has a line of its own, and
 * the lines take turns, so that a plugin that publishes without pause delays no other. What a line may have at the
 * broker unconfirmed is limited, too: what is in the broker's hands goes first there, whatever the order here.
 *
 * It holds no lock and no clock, and belongs to the publisher's thread. */
#ifndef BROKER_OUTBOX_H
#define BROKER_OUTBOX_H

#include "message/message.h"

/* Unconfirmed publications of one line. A broker gets through so many in less than 0.1 s, and they are enough to keep
 * it busy over a round trip of some milliseconds. */
#define OUTBOX_IN_FLIGHT 1024
#define OUTBOX_IN_FLIGHT_BYTES 1048576

/* Bytes that a line may send before the next one has its turn. */
#define OUTBOX_TURN_BYTES 16384

/* Starts zeroed. */
struct outbox {
    struct account own;   /* the host's line */
    struct account *last; /* the lines that are not empty, in a ring: the one before the next to have its turn */
    struct list again;    /* those of a lost connection: they were sent before all others */
    struct list parked;   /* those that came back, until their retry_at */
    size_t spent;         /* bytes, in this turn */
};

/* Puts every publication into its line. Empties the list. */
void outbox_put(struct outbox *outbox, struct list *publications);

/* What was taken, is not in flight and is to be sent again, before all others. Empties the list. */
void outbox_put_first(struct outbox *outbox, struct list *publications);

/* The next one, which is in flight from now on; NULL: none that may be sent now. */
struct publication *outbox_take(struct outbox *outbox);

/* True if outbox_take() has one. */
bool outbox_has(const struct outbox *outbox);

/* What was in flight and is to be sent again, before all others. Empties the list. */
void outbox_put_back(struct outbox *outbox, struct list *publications);

/* It is not in flight any more. */
void outbox_landed(struct outbox *outbox, const struct publication *publication);

/* It came back, and waits: outbox_unpark() puts what is due into its line. */
void outbox_park(struct outbox *outbox, struct publication *publication, int64_t retry_at);
void outbox_unpark(struct outbox *outbox, int64_t now);

/* What waits for this topic is due. */
void outbox_release(struct outbox *outbox, const char *topic, int64_t now);

/* When the next one is due; INT64_MAX: none waits. */
int64_t outbox_due(const struct outbox *outbox);

/* When the oldest came that is not in flight, as far as the heads of the lines tell; INT64_MAX: there is none. */
int64_t outbox_oldest(const struct outbox *outbox);

/* All that is left. */
struct list outbox_empty(struct outbox *outbox);

#endif
