/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/counts.h"

void counts_published(const struct list *publications, int64_t now)
{
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        struct publication *publication = (struct publication *)node;
        struct counts *counts = publication->counts;
        publication->taken_at = now;
        if (counts != NULL)
            count_add(&counts->published, 1);
    }
}

void counts_outcome(const struct publication *publication, enum outcome outcome)
{
    struct counts *counts = publication->counts;
    if (counts != NULL)
        count_add(outcome == OUTCOME_CONFIRMED ? &counts->confirmed : &counts->refused, 1);
}

void counts_withdrawn(struct publication *publication)
{
    if (publication->counts != NULL)
        count_add(&publication->counts->withdrawn, 1);
    publication->counts = NULL;
}

void counts_settled(struct counts *counts, const struct delivery *delivery, int64_t now_us)
{
    if (delivery->settlement == SETTLE_PUT_BACK) {
        count_add(&counts->returned, 1);
        return;
    }
    if (delivery->settlement == SETTLE_REJECT)
        count_add(&counts->rejected, 1);
    else if (delivery->reason != REASON_NONE)
        count_add(&counts->kept, 1);
    else
        count_add(&counts->acknowledged, 1);
    if (delivery->reason != REASON_NONE)
        count_add(&counts->dead[delivery->reason], 1);
    histogram_add(&counts->settling, now_us - delivery->received_us);
}
