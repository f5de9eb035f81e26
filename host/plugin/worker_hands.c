/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/worker_hands.h"

struct hand *hands_take(struct hands *hands, struct handling *handling)
{
    if (hands->count == WORKER_PLACES)
        return NULL;
    struct hand *hand;
    do
        hand = &hands->places[++hands->last % WORKER_PLACES];
    while (hand->number != 0);
    *hand = (struct hand){.number = hands->last, .handling = handling};
    hands->count++;
    return hand;
}

struct hand *hands_find(struct hands *hands, uint64_t number)
{
    struct hand *hand = &hands->places[number % WORKER_PLACES];
    return number != 0 && hand->number == number ? hand : NULL;
}

void hands_free(struct hands *hands, struct hand *hand)
{
    *hand = (struct hand){0};
    hands->count--;
}

struct hand *hands_next(struct hands *hands, size_t *at)
{
    while (*at < WORKER_PLACES)
        if (hands->places[(*at)++].number != 0)
            return &hands->places[*at - 1];
    return NULL;
}
