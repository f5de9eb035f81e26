/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lanes: the order of a topic's messages, and the verdicts on messages that the broker has taken back. */
#include <stdlib.h>
#include <string.h>

#include "plugin/executor_parts.h"

/* Puts the delivery to its place in the order of the topic. The place of stale deliveries does not matter, because they
 * are not handled. */
void lane_put_back(struct lane *lane, struct delivery *delivery)
{
    struct list others = {0};
    struct node *node;
    while ((node = lane->waiting.head) != NULL &&
           (delivery_is_stale((struct delivery *)node) || ((struct delivery *)node)->tag < delivery->tag))
        list_put(&others, list_take(&lane->waiting));
    list_put(&others, &delivery->node);
    list_join(&others, &lane->waiting);
    lane->waiting = others;
}

bool lane_take_back(struct handling *handling, uint32_t crash_attempts)
{
    struct lane *lane = handling->lane;
    struct delivery *delivery = handling->delivery;
    if (handling->verdict == RETURNED_CRASHED && ++delivery->crashes >= crash_attempts) {
        delivery->reason = REASON_CRASHED;
        return false;
    }
    delivery->attempt--;
    if (lane->until == 0)
        lane->until = clock_ms();
    lane_put_back(lane, delivery);
    return true;
}

/* Frees a handling that needs no verdict, because the broker has its deliveries again. */
void handling_drop(struct handling *handling)
{
    if (handling == NULL)
        return;
    delivery_drop(handling->again);
    delivery_drop(handling->delivery);
    handling_free(handling);
}

static bool is_same(const struct delivery *one, const struct delivery *other)
{
    return one->len == other->len && memcmp(one->body, other->body, one->len) == 0;
}

void lane_drop_late(struct lane *lane)
{
    for (struct node *node; (node = list_take(&lane->late)) != NULL;)
        handling_drop((struct handling *)node);
}

/* Removes and returns the late verdict on the same message; NULL: none. */
struct handling *lane_take_late(struct lane *lane, const struct delivery *delivery)
{
    struct handling *found = NULL;
    struct list others = {0};
    for (struct node *node; (node = list_take(&lane->late)) != NULL;) {
        struct handling *late = (struct handling *)node;
        if (found == NULL && is_same(late->delivery, delivery))
            found = late;
        else
            list_put(&others, node);
    }
    lane->late = others;
    return found;
}

/* The current call for a message that the broker has taken back and delivered again; NULL: none. */
struct handling *lane_find(struct handling *under_way, const struct lane *lane, const struct delivery *delivery)
{
    for (struct handling *handling = under_way; handling != NULL; handling = handling->next) {
        const struct delivery *known = handling->again != NULL ? handling->again : handling->delivery;
        if (handling->lane == lane && delivery_is_stale(known) && is_same(handling->delivery, delivery))
            return handling;
    }
    return NULL;
}
