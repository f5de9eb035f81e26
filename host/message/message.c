/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/message.h"

#include <string.h>

#include "base/memory.h"

struct delivery *delivery_new(size_t len)
{
    struct delivery *delivery = memory_take(sizeof *delivery + len + 1);
    memset(delivery, 0, sizeof *delivery);
    delivery->len = len;
    delivery->body[len] = '\0';
    return delivery;
}

struct publication *publication_new(const char *topic, const char *body, size_t len)
{
    size_t topic_size = strlen(topic) + 1;
    struct publication *publication = memory_take(sizeof *publication + len + 1 + topic_size);
    memset(publication, 0, sizeof *publication);
    publication->len = len;
    memcpy(publication->body, body, len);
    publication->body[len] = '\0';
    publication->topic = publication->body + len + 1;
    memcpy(publication->topic, topic, topic_size);
    return publication;
}
