/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outbox: the publications that wait for the broker, and their order. Every plugin has its own line, and the lines take
 * turns, so a plugin that publishes without pause delays no other. The number of unconfirmed publications of a line is
 * limited, too, because the broker handles those first, in any order of the lines here.
 *
 * It holds no lock and no clock, and belongs to the publisher's thread. */
#ifndef BROKER_OUTBOX_H
#define BROKER_OUTBOX_H

#include "message/message.h"

/* Unconfirmed publications of one line. A broker handles this many in less than 0.1 s, and they keep it busy over a
 * round trip of some milliseconds. */
#define OUTBOX_IN_FLIGHT 1024
#define OUTBOX_IN_FLIGHT_BYTES 1048576

/* Bytes that a line may send in one turn. */
#define OUTBOX_TURN_BYTES 16384

/* Starts zeroed. */
struct outbox {
    struct account own;   /* the host's line */
    struct account *last; /* the ring of lines that are not empty: the next turn belongs to the line after this one */
    struct list again;    /* publications of a lost connection, which precede all others */
    struct list parked;   /* returned publications, until their retry_at */
    size_t spent;         /* bytes in this turn */
};

/* Puts every publication into its line. Empties the list. */
void outbox_put(struct outbox *outbox, struct list *publications);

/* Publications that were taken and are not in flight: sends them again, before all others. Empties the list. */
void outbox_put_first(struct outbox *outbox, struct list *publications);

/* The next publication, in flight from now on; NULL: none may be sent now. */
struct publication *outbox_take(struct outbox *outbox);

/* True if outbox_take() has one. */
bool outbox_has(const struct outbox *outbox);

/* Publications that were in flight: sends them again, before all others. Empties the list. */
void outbox_put_back(struct outbox *outbox, struct list *publications);

/* The publication is no longer in flight. */
void outbox_landed(struct outbox *outbox, const struct publication *publication);

/* The publication was returned and waits until retry_at. outbox_unpark() puts those that are due into their lines. */
void outbox_park(struct outbox *outbox, struct publication *publication, int64_t retry_at);
void outbox_unpark(struct outbox *outbox, int64_t now);

/* Makes the parked publications of this topic due. */
void outbox_release(struct outbox *outbox, const char *topic, int64_t now);

/* When the next parked publication is due; INT64_MAX: there is none. */
int64_t outbox_due(const struct outbox *outbox);

/* When the oldest publication that is not in flight entered, by the heads of the lines; INT64_MAX: there is none. */
int64_t outbox_oldest(const struct outbox *outbox);

/* Removes and returns all publications. */
struct list outbox_empty(struct outbox *outbox);

#endif
