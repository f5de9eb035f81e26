/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/boxes.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Other programs use the queue, too, so an answer is valid only for a time. A message that finds its box full is lost,
 * so the host declares the box again before it decides that. */
#define FRESH_MS 1000
#define REFUSED_MS 5000

void boxes_free(struct boxes *boxes)
{
    for (size_t i = 0; i < boxes->count; i++) {
        free(boxes->at[i]->topic);
        free(boxes->at[i]);
    }
    free(boxes->at);
    *boxes = (struct boxes){0};
}

static struct box *find(const struct boxes *boxes, const char *topic)
{
    for (size_t i = 0; i < boxes->count; i++)
        if (strcmp(boxes->at[i]->topic, topic) == 0)
            return boxes->at[i];
    return NULL;
}

static struct box *find_or_make(struct boxes *boxes, const char *topic)
{
    struct box *box = find(boxes, topic);
    if (box != NULL)
        return box;
    boxes->at = memory_resize(boxes->at, (boxes->count + 1) * sizeof(struct box *));
    box = boxes->at[boxes->count++] = memory_new(sizeof *box);
    box->topic = memory_text(topic);
    return box;
}

enum boxes_say boxes_put(struct boxes *boxes, struct publication *publication, int64_t now)
{
    struct box *box = find_or_make(boxes, publication->topic);
    bool full = box->state == BOX_KNOWN && box->holds >= publication->most;
    if (box->state == BOX_UNKNOWN || now >= box->until || (full && !publication->waited)) {
        box->state = BOX_UNKNOWN;
        publication->waited = false;
        list_put(&box->waiting, &publication->node);
        return BOXES_WAIT;
    }
    if (box->state == BOX_UNDECLARABLE)
        return BOXES_UNDECLARABLE;
    if (full)
        return BOXES_FULL;
    box->holds++;
    box->in_flight++;
    return BOXES_SEND;
}

void boxes_land(struct boxes *boxes, const char *topic)
{
    struct box *box = find(boxes, topic);
    if (box != NULL && box->in_flight > 0)
        box->in_flight--;
}

void boxes_forget(struct boxes *boxes, const char *topic)
{
    struct box *box = find(boxes, topic);
    if (box != NULL)
        box->state = BOX_UNKNOWN;
}

const struct box *boxes_ask(struct boxes *boxes)
{
    for (size_t i = 0; i < boxes->count && boxes->asked == NULL; i++)
        if (boxes->at[i]->waiting.head != NULL && boxes->at[i]->in_flight == 0)
            boxes->asked = boxes->at[i];
    if (boxes->asked == NULL || boxes->asked->asked)
        return NULL;
    boxes->asked->asked = true;
    return boxes->asked;
}

static struct box *answered(struct boxes *boxes)
{
    struct box *box = boxes->asked;
    boxes->asked = NULL;
    if (box != NULL)
        box->asked = false;
    return box;
}

void boxes_answer(struct boxes *boxes, uint32_t messages, int64_t now, struct list *waited)
{
    struct box *box = answered(boxes);
    if (box == NULL)
        return;
    box->state = BOX_KNOWN;
    box->holds = messages;
    box->until = now + FRESH_MS;
    for (struct node *node = box->waiting.head; node != NULL; node = node->next)
        ((struct publication *)node)->waited = true;
    list_join(waited, &box->waiting);
}

void boxes_refuse(struct boxes *boxes, int64_t now, struct list *waited)
{
    struct box *box = answered(boxes);
    if (box == NULL)
        return;
    if (!box->passive) { /* ask again with a passive declare; publications go on waiting */
        box->passive = true;
        return;
    }
    box->passive = false;
    box->state = BOX_UNDECLARABLE;
    box->until = now + REFUSED_MS;
    list_join(waited, &box->waiting);
}

void boxes_lose(struct boxes *boxes, struct list *waited)
{
    answered(boxes);
    for (size_t i = 0; i < boxes->count; i++) {
        boxes->at[i]->state = BOX_UNKNOWN;
        boxes->at[i]->passive = false;
        boxes->at[i]->in_flight = 0;
        list_join(waited, &boxes->at[i]->waiting);
    }
}
