/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * counts: what has happened on one topic of a component since the host started. Each group has one thread that writes
 * it and a cache line of its own, so that counting delays no other thread. */
#ifndef MESSAGE_COUNTS_H
#define MESSAGE_COUNTS_H

#include <stdalign.h>

#include "base/count.h"
#include "message/message.h"

struct counts {
    /* The consumer's thread. What was received and is not settled is in hand. */
    alignas(64) count_cell received;
    count_cell acknowledged;       /* and handled */
    count_cell kept;               /* moved to TOPIC/dead, and acknowledged */
    count_cell rejected;           /* basic.reject: a policy of the broker may catch it */
    count_cell returned;           /* back in its queue: put back, or its AMQP channel is gone */
    count_cell dead[REASON_COUNT]; /* those that were kept or rejected, by reason */
    struct histogram settling;     /* from the receipt to the settlement, of what was not returned */

    /* The executor's thread. */
    alignas(64) count_cell retried; /* calls that returned VALAWAI_RETRY, and are followed by another one */
    struct histogram handling;      /* a call of the handler */

    /* The publisher's thread. What was published and has no outcome is in the outbox. */
    alignas(64) count_cell published;
    count_cell confirmed;
    count_cell refused;   /* the broker does not take it */
    count_cell withdrawn; /* not sent: the broker took its cause back, and the handling makes it anew */
};

/* [publisher's thread] Publications that it has just taken. */
void counts_published(const struct list *publications, int64_t now);

/* [publisher's thread] The outcome of one that is counted. */
void counts_outcome(const struct publication *publication, enum outcome outcome);

/* [publisher's thread] It is not sent, because the broker hands its cause out again; its outcome is not counted. */
void counts_withdrawn(struct publication *publication);

/* [consumer's thread] A delivery that the broker is told about. */
void counts_settled(struct counts *counts, const struct delivery *delivery, int64_t now_us);

#endif
