/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boxes: queues with a bound, for dead letters. A box is declared when the first publication for it comes, and the
 * answer says how many messages it holds. From then on the host counts along; it asks again when the answer is old, or
 * when the count says that the box is full. It holds no socket, no thread and no clock. */
#ifndef BROKER_BOXES_H
#define BROKER_BOXES_H

#include "base/fault.h"
#include "message/message.h"

struct box {
    char *topic;
    enum { BOX_UNKNOWN, BOX_KNOWN, BOX_UNDECLARABLE } state;
    bool passive;        /* a declare was refused: the queue may be there with other arguments */
    bool asked;          /* the declare is on its way */
    uint64_t holds;      /* messages by the last answer, and those that were sent since */
    size_t in_flight;    /* of those that were sent: not confirmed, so an answer may count them or not */
    int64_t until;       /* the answer is old then */
    struct list waiting; /* publications, for the answer */
};

/* Starts zeroed. */
struct boxes {
    struct box **at;
    size_t count;
    struct box *asked; /* one at a time */
};

void boxes_free(struct boxes *boxes); /* not the publications: boxes_take() gives them out */

/* A publication with a bound. BOXES_WAIT: the box keeps it until there is an answer. */
enum boxes_say { BOXES_SEND, BOXES_WAIT, BOXES_FULL, BOXES_UNDECLARABLE };
enum boxes_say boxes_put(struct boxes *boxes, struct publication *publication, int64_t now);

/* A letter that was sent is confirmed, refused or returned. */
void boxes_land(struct boxes *boxes, const char *topic);

/* A publication for it came back: the queue is gone. */
void boxes_forget(struct boxes *boxes, const char *topic);

/* The next box to declare, if none is on its way; NULL: none. A box is asked when nothing is in flight to it: the
 * answer is exact then, but for what others do. */
const struct box *boxes_ask(struct boxes *boxes);

/* What is said to that. What waited is put into the list, to be put in once more. */
void boxes_answer(struct boxes *boxes, uint32_t messages, int64_t now, struct list *waited);
void boxes_refuse(struct boxes *boxes, int64_t now, struct list *waited);

/* The connection is gone: nothing is known any more. */
void boxes_lose(struct boxes *boxes, struct list *waited);

#endif
