/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * counts: the counters of one topic of a component since the host started. Each group has one writing thread and its
 * own cache line, so that counting delays no other thread. */
#ifndef MESSAGE_COUNTS_H
#define MESSAGE_COUNTS_H

#include <stdalign.h>

#include "base/count.h"
#include "message/message.h"

struct counts {
    /* Written by the consumer's thread. Received and unsettled messages are in hand. */
    alignas(64) count_cell received;
    count_cell acknowledged;       /* and handled */
    count_cell kept;               /* moved to TOPIC/dead, and acknowledged */
    count_cell rejected;           /* basic.reject: a policy of the broker may catch it */
    count_cell returned;           /* back in the queue: put back, or the AMQP channel was lost */
    count_cell dead[REASON_COUNT]; /* of the kept or rejected ones, by reason */
    struct histogram settling;     /* from receipt to settlement, of messages that were not returned */

    /* Written by the executor's thread. */
    alignas(64) count_cell retried; /* calls that returned VALAWAI_RETRY and are repeated */
    struct histogram handling;      /* duration of a call of the handler */

    /* Written by the publisher's thread. Publications without an outcome are in the outbox. */
    alignas(64) count_cell published;
    count_cell confirmed;
    count_cell refused;   /* the broker never accepts it */
    count_cell withdrawn; /* not sent: the broker took its cause back, and the next handling makes it again */
};

/* [publisher's thread] Publications that have just entered. */
void counts_published(const struct list *publications, int64_t now);

/* [publisher's thread] The outcome of a counted publication. */
void counts_outcome(const struct publication *publication, enum outcome outcome);

/* [publisher's thread] The publication is not sent, because the broker redelivers its cause; its outcome is not
 * counted. */
void counts_withdrawn(struct publication *publication);

/* [consumer's thread] A delivery that is settled at the broker. */
void counts_settled(struct counts *counts, const struct delivery *delivery, int64_t now_us);

#endif
