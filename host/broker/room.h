/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * room: the space for publications in the publisher, and the waits for it. Each plugin has its own share; a plugin that
 * has used up its share waits, and delays no other. */
#ifndef BROKER_ROOM_H
#define BROKER_ROOM_H

#include <pthread.h>

#include "broker/records.h"
#include "message/message.h"

struct room {
    struct account *own; /* for publications without an account: the host's, which never wait */

    pthread_mutex_t lock; /* for the members below, and `held` and `bytes` of every account */
    pthread_cond_t grown;
    size_t share; /* bytes of one account */
    size_t held;  /* publications between room_enter() and room_left() */
    bool closed;
};

void room_init(struct room *room, struct account *own, size_t share);
void room_destroy(struct room *room);

/* [any thread] Takes room for publications of one account. Waits while that account has used up its share. False: the
 * room is closed. */
bool room_enter(struct room *room, const struct list *publications) __attribute__((warn_unused_result));

/* [any thread] The same without a wait, even after room_close(). */
void room_force(struct room *room, const struct list *publications);

/* The publications have an outcome, and free the room of their accounts. Returns their number for room_left(), which
 * follows when their outcome has been reported. */
size_t room_leave(struct room *room, const struct list *publications);
void room_left(struct room *room, size_t count);

/* [any thread] Changes the share of each account. */
void room_divide(struct room *room, size_t share);

/* [any thread] True if no publication of the account is without an outcome. */
bool room_is_done_with(struct room *room, const struct account *account);

/* Ends the waits; from now on room_enter() returns false. */
void room_close(struct room *room);

/* Waits until the room is empty and no records wait. False: publications remain at until_ms. */
bool room_drain(struct room *room, struct records *records, int64_t until_ms) __attribute__((warn_unused_result));
void room_look(struct room *room); /* makes room_drain() check the records again */

#endif
