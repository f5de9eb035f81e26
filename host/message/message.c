/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define ALLOCATION_COST 16 /* malloc()'s overhead for a block, rounded up */

#define SPARE_ROOM 512 /* bytes that every delivery has at least */
#ifdef __SANITIZE_ADDRESS__
#define SPARES_MAX 0 /* the sanitizer sees a use after the end only of what is freed */
#else
#define SPARES_MAX 128
#endif

/* All of them have at least this room, so each fits any other that needs no more. */
static struct delivery *delivery_make(struct spares *spares, size_t size)
{
    if (size > SPARE_ROOM)
        return memory_take(size);
    if (spares == NULL || spares->count == 0)
        return memory_take(SPARE_ROOM);
    spares->count--;
    return (struct delivery *)list_take(&spares->list);
}

struct delivery *delivery_with(struct spares *spares, size_t len, struct properties properties)
{
    struct delivery *delivery = delivery_make(spares, sizeof *delivery + len + 1 + properties.len);
    memset(delivery, 0, sizeof *delivery);
    delivery->len = len;
    delivery->body[len] = '\0';
    if (properties.len > 0) {
        delivery->properties = (struct properties){delivery->body + len + 1, properties.len};
        memcpy(delivery->body + len + 1, properties.at, properties.len);
    }
    return delivery;
}

struct delivery *delivery_new(size_t len)
{
    return delivery_with(NULL, len, (struct properties){0});
}

void delivery_end(struct spares *spares, struct delivery *delivery)
{
    if (spares->count >= SPARES_MAX || delivery->len + delivery->properties.len > SPARE_ROOM) {
        free(delivery);
        return;
    }
    list_put(&spares->list, &delivery->node);
    spares->count++;
}

/* It may become a spare, so it keeps the room of one. */
struct delivery *delivery_empty(struct delivery *delivery)
{
    size_t size = sizeof *delivery + delivery->len + 1 + delivery->properties.len;
    delivery->len = 0;
    delivery->properties = (struct properties){0};
    return size > SPARE_ROOM ? memory_resize(delivery, SPARE_ROOM) : delivery;
}

void delivery_drop(struct delivery *delivery)
{
    if (delivery == NULL)
        return;
    atomic_fetch_add_explicit(&delivery->from->dropped, 1, memory_order_release); /* from may be gone hereafter */
    free(delivery);
}

void deliveries_drop(struct list *deliveries)
{
    for (struct node *node; (node = list_take(deliveries)) != NULL;)
        delivery_drop((struct delivery *)node);
}

struct publication *publication_with(const char *topic, const char *body, size_t len, struct properties properties)
{
    size_t topic_size = strlen(topic) + 1;
    size_t size = sizeof(struct publication) + len + 1 + topic_size + properties.len;
    struct publication *publication = memory_take(size);
    memset(publication, 0, sizeof *publication);
    publication->size = size + ALLOCATION_COST;
    publication->len = len;
    memcpy(publication->body, body, len);
    publication->body[len] = '\0';
    publication->topic = publication->body + len + 1;
    memcpy(publication->topic, topic, topic_size);
    if (properties.len > 0) {
        char *at = publication->topic + topic_size;
        memcpy(at, properties.at, properties.len);
        publication->properties = (struct properties){at, properties.len};
    }
    return publication;
}

struct publication *publication_new(const char *topic, const char *body, size_t len)
{
    return publication_with(topic, body, len, (struct properties){0});
}

void publications_report(struct list *publications)
{
    const struct sender *sender = NULL;
    struct list batch = {0}; /* of one sender: adjacent publications are passed on together */
    for (struct node *node; (node = list_take(publications)) != NULL;) {
        const struct publication *publication = (const struct publication *)node;
        if (sender != NULL && publication->sender != sender)
            sender->confirmed(sender->context, &batch);
        sender = publication->sender;
        if (sender == NULL)
            free(node);
        else
            list_put(&batch, node);
    }
    if (sender != NULL)
        sender->confirmed(sender->context, &batch);
}

void publications_drop(struct list *publications)
{
    for (struct node *node; (node = list_take(publications)) != NULL; free(node)) {
        struct delivery *cause = ((struct publication *)node)->cause;
        if (cause != NULL && --cause->unconfirmed == 0)
            delivery_drop(cause);
    }
}

struct publication *publication_trace(struct publication *publication, struct properties cause)
{
    if (!properties_want_trace(publication->properties, cause))
        return publication;
    struct draft draft;
    struct text list = {0};
    struct publication *traced = publication;
    draft_begin(&draft, publication->properties);
    draft_trace(&draft, cause);
    if (draft_put(&draft, &list,
                  NULL)) { /* otherwise there is no room for the trace, and the message leaves without it */
        const struct properties properties = {list.at, list.len};
        traced = publication_with(publication->topic, publication->body, publication->len, properties);
        traced->account = publication->account;
        traced->counts = publication->counts;
        traced->cause = publication->cause;
        traced->persistent = publication->persistent;
        traced->waits = publication->waits;
        traced->sender = publication->sender;
        free(publication);
    }
    text_free(&list);
    draft_free(&draft);
    return traced;
}
