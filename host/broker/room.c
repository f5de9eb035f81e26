/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/room.h"

#include <time.h>

static struct account *account_of(const struct room *room, const struct publication *publication)
{
    return publication->account != NULL ? publication->account : room->own;
}

void room_init(struct room *room, struct account *own, size_t share)
{
    pthread_condattr_t attributes;
    *room = (struct room){.own = own, .share = share};
    pthread_mutex_init(&room->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&room->grown, &attributes);
    pthread_condattr_destroy(&attributes);
}

void room_destroy(struct room *room)
{
    pthread_cond_destroy(&room->grown);
    pthread_mutex_destroy(&room->lock);
}

/* An account that holds nothing may exceed its share, because the publications of one handler leave together. */
static bool fits(const struct room *room, const struct account *account, size_t bytes)
{
    return account == room->own || account->held == 0 ||
           (bytes <= room->share && count_get(&account->bytes) <= room->share - bytes);
}

static bool enter(struct room *room, const struct list *publications, bool may_wait)
{
    size_t count = 0, bytes = 0;
    struct account *account = account_of(room, (struct publication *)publications->head);
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        count++;
        bytes += ((struct publication *)node)->size;
    }
    pthread_mutex_lock(&room->lock);
    while (may_wait && !room->closed && !fits(room, account, bytes))
        pthread_cond_wait(&room->grown, &room->lock);
    bool entered = !may_wait || !room->closed;
    if (entered) {
        room->held += count;
        account->held += count;
        count_add(&account->bytes, bytes);
    }
    pthread_mutex_unlock(&room->lock);
    return entered;
}

bool room_enter(struct room *room, const struct list *publications)
{
    return enter(room, publications, true);
}

void room_force(struct room *room, const struct list *publications)
{
    enter(room, publications, false);
}

size_t room_leave(struct room *room, const struct list *publications)
{
    size_t count = 0;
    pthread_mutex_lock(&room->lock);
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        const struct publication *publication = (struct publication *)node;
        struct account *account = account_of(room, publication);
        account->held--;
        count_take(&account->bytes, publication->size);
        count++;
    }
    pthread_mutex_unlock(&room->lock);
    return count;
}

void room_left(struct room *room, size_t count)
{
    pthread_mutex_lock(&room->lock);
    room->held -= count;
    pthread_cond_broadcast(&room->grown);
    pthread_mutex_unlock(&room->lock);
}

void room_divide(struct room *room, size_t share)
{
    pthread_mutex_lock(&room->lock);
    room->share = share;
    pthread_cond_broadcast(&room->grown);
    pthread_mutex_unlock(&room->lock);
}

bool room_is_done_with(struct room *room, const struct account *account)
{
    pthread_mutex_lock(&room->lock);
    bool clear = account->held == 0;
    pthread_mutex_unlock(&room->lock);
    return clear;
}

void room_close(struct room *room)
{
    pthread_mutex_lock(&room->lock);
    room->closed = true;
    pthread_cond_broadcast(&room->grown);
    pthread_mutex_unlock(&room->lock);
}

bool room_drain(struct room *room, struct records *records, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&room->lock);
    while ((room->held > 0 || records_wait(records)) && pthread_cond_timedwait(&room->grown, &room->lock, &until) == 0)
        ;
    bool drained = room->held == 0; /* records are best effort */
    pthread_mutex_unlock(&room->lock);
    return drained;
}

void room_look(struct room *room)
{
    pthread_mutex_lock(&room->lock);
    pthread_cond_broadcast(&room->grown);
    pthread_mutex_unlock(&room->lock);
}
