/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boxes: bounded queues for dead letters. The first publication for a box declares it, and the answer has the number of
 * messages in it. From then on the host counts. It declares the box again when the answer is old, or when the count
 * reaches the bound. It holds no socket, no thread and no clock. */
#ifndef BROKER_BOXES_H
#define BROKER_BOXES_H

#include "base/fault.h"
#include "message/message.h"

struct box {
    char *topic;
    enum { BOX_UNKNOWN, BOX_KNOWN, BOX_UNDECLARABLE } state;
    bool passive;        /* a declare was refused: the queue may exist with other arguments */
    bool asked;          /* the declare is on its way */
    uint64_t holds;      /* messages by the last answer, plus those sent since */
    size_t in_flight;    /* sent and not confirmed; an answer may or may not count them */
    int64_t until;       /* the answer is valid until then */
    struct list waiting; /* publications that wait for the answer */
};

/* Starts zeroed. */
struct boxes {
    struct box **at;
    size_t count;
    struct box *asked; /* one at a time */
};

void boxes_free(struct boxes *boxes); /* not the publications; boxes_take() returns them */

/* What to do with a publication for a box. BOXES_WAIT: the box keeps it until the answer comes. */
enum boxes_say { BOXES_SEND, BOXES_WAIT, BOXES_FULL, BOXES_UNDECLARABLE };
enum boxes_say boxes_put(struct boxes *boxes, struct publication *publication, int64_t now);

/* A sent letter is confirmed, refused or returned. */
void boxes_land(struct boxes *boxes, const char *topic);

/* A publication came back, so the queue is gone. */
void boxes_forget(struct boxes *boxes, const char *topic);

/* The next box to declare, unless a declare is on its way; NULL: none. A box is declared when no publication to it is
 * in flight, so that the answer is exact except for other programs. */
const struct box *boxes_ask(struct boxes *boxes);

/* The answer to the declare. Moves the waiting publications to the list, to be put in again. */
void boxes_answer(struct boxes *boxes, uint32_t messages, int64_t now, struct list *waited);
void boxes_refuse(struct boxes *boxes, int64_t now, struct list *waited);

/* The connection is lost, and with it all answers. */
void boxes_lose(struct boxes *boxes, struct list *waited);

#endif
