/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/outbox.h"

#include <string.h>

static struct account *line_of(struct outbox *outbox, const struct publication *publication)
{
    return publication->account != NULL ? publication->account : &outbox->own;
}

/* ---- the ring of lines ---- */

/* Its turn comes after those of all waiting lines. */
static void join(struct outbox *outbox, struct account *line)
{
    if (line->next != NULL)
        return;
    line->next = outbox->last == NULL ? line : outbox->last->next;
    if (outbox->last != NULL)
        outbox->last->next = line;
    outbox->last = line;
}

/* Removes the current line. */
static void leave(struct outbox *outbox)
{
    struct account *line = outbox->last->next;
    outbox->last->next = line->next;
    if (outbox->last == line)
        outbox->last = NULL;
    line->next = NULL;
    outbox->spent = 0;
}

static bool has_room(const struct account *line)
{
    return line->in_flight < OUTBOX_IN_FLIGHT && line->in_flight_bytes < OUTBOX_IN_FLIGHT_BYTES;
}

static void next_turn(struct outbox *outbox)
{
    outbox->last = outbox->last->next;
    outbox->spent = 0;
}

/* Advances to the first line that may send. False: none may. */
static bool turn_to_room(struct outbox *outbox)
{
    const struct account *begin = outbox->last;
    if (begin == NULL)
        return false;
    while (!has_room(outbox->last->next)) {
        next_turn(outbox);
        if (outbox->last == begin)
            return false;
    }
    return true;
}

/* ---- in and out ---- */

void outbox_put(struct outbox *outbox, struct list *publications)
{
    for (struct node *node; (node = list_take(publications)) != NULL;) {
        struct account *line = line_of(outbox, (struct publication *)node);
        list_put(&line->waiting, node);
        join(outbox, line);
    }
}

void outbox_put_first(struct outbox *outbox, struct list *publications)
{
    list_join(publications, &outbox->again);
    outbox->again = *publications;
    *publications = (struct list){0};
}

static struct publication *send_off(struct outbox *outbox, struct node *node)
{
    struct publication *publication = (struct publication *)node;
    struct account *line = line_of(outbox, publication);
    line->in_flight++;
    line->in_flight_bytes += publication->size;
    return publication;
}

struct publication *outbox_take(struct outbox *outbox)
{
    if (outbox->again.head != NULL)
        return send_off(outbox, list_take(&outbox->again));
    if (!turn_to_room(outbox))
        return NULL;
    struct account *line = outbox->last->next;
    struct publication *publication = send_off(outbox, list_take(&line->waiting));
    outbox->spent += publication->size;
    if (line->waiting.head == NULL)
        leave(outbox);
    else if (outbox->spent >= OUTBOX_TURN_BYTES)
        next_turn(outbox);
    return publication;
}

bool outbox_has(const struct outbox *outbox)
{
    if (outbox->again.head != NULL)
        return true;
    const struct account *line = outbox->last;
    if (line != NULL)
        do {
            if (has_room(line))
                return true;
            line = line->next;
        } while (line != outbox->last);
    return false;
}

void outbox_landed(struct outbox *outbox, const struct publication *publication)
{
    struct account *line = line_of(outbox, publication);
    line->in_flight--;
    line->in_flight_bytes -= publication->size;
}

void outbox_put_back(struct outbox *outbox, struct list *publications)
{
    for (struct node *node = publications->head; node != NULL; node = node->next)
        outbox_landed(outbox, (struct publication *)node);
    outbox_put_first(outbox, publications);
}

void outbox_park(struct outbox *outbox, struct publication *publication, int64_t retry_at)
{
    outbox_landed(outbox, publication);
    publication->retry_at = retry_at;
    list_put(&outbox->parked, &publication->node);
}

void outbox_unpark(struct outbox *outbox, int64_t now)
{
    struct list parked = outbox->parked, due = {0};
    outbox->parked = (struct list){0};
    for (struct node *node; (node = list_take(&parked)) != NULL;)
        list_put(now >= ((struct publication *)node)->retry_at ? &due : &outbox->parked, node);
    outbox_put(outbox, &due);
}

void outbox_release(struct outbox *outbox, const char *topic, int64_t now)
{
    for (struct node *node = outbox->parked.head; node != NULL; node = node->next) {
        struct publication *publication = (struct publication *)node;
        if (strcmp(publication->topic, topic) == 0)
            publication->retry_at = now;
    }
}

int64_t outbox_due(const struct outbox *outbox)
{
    int64_t due = INT64_MAX;
    for (const struct node *node = outbox->parked.head; node != NULL; node = node->next)
        if (((const struct publication *)node)->retry_at < due)
            due = ((const struct publication *)node)->retry_at;
    return due;
}

static int64_t older(int64_t one, const struct node *node)
{
    const struct publication *publication = (const struct publication *)node;
    return publication != NULL && publication->taken_at < one ? publication->taken_at : one;
}

int64_t outbox_oldest(const struct outbox *outbox)
{
    int64_t oldest = older(INT64_MAX, outbox->again.head);
    for (const struct node *node = outbox->parked.head; node != NULL; node = node->next)
        oldest = older(oldest, node);
    const struct account *line = outbox->last;
    if (line != NULL)
        do {
            oldest = older(oldest, line->waiting.head);
            line = line->next;
        } while (line != outbox->last);
    return oldest;
}

struct list outbox_empty(struct outbox *outbox)
{
    struct list all = outbox->again;
    outbox->again = (struct list){0};
    list_join(&all, &outbox->parked);
    while (outbox->last != NULL) {
        list_join(&all, &outbox->last->next->waiting);
        leave(outbox);
    }
    return all;
}
