/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/watch.h"

#define WATCH_MS 500

void watch_init(struct watch *watch, const char *queue, amqp_channel_t channel)
{
    *watch = (struct watch){.queue = queue, .channel = channel, .consumers = -1};
}

void watch_lost(struct watch *watch)
{
    watch_init(watch, watch->queue, watch->channel);
}

int64_t watch_due(const struct watch *watch)
{
    return watch->queue == NULL || watch->state == WATCH_ASKED ? INT64_MAX : watch->due;
}

bool watch_tend(struct watch *watch, struct connection *connection, int64_t now, struct fault *fault)
{
    if (now < watch_due(watch))
        return true;
    amqp_channel_open_t open = {0};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(watch->queue), .passive = 1};
    if (watch->state == WATCH_CLOSED &&
        !connection_send(connection, watch->channel, AMQP_CHANNEL_OPEN_METHOD, &open, fault))
        return false;
    watch->due = now + WATCH_MS;
    watch->state = WATCH_ASKED;
    return connection_send(connection, watch->channel, AMQP_QUEUE_DECLARE_METHOD, &declare, fault);
}

static bool learn(struct watch *watch, uint32_t consumers)
{
    bool is_news = watch->consumers != (long)consumers;
    watch->consumers = (long)consumers;
    return is_news;
}

bool watch_method(struct watch *watch, struct connection *connection, const amqp_frame_t *frame, bool *changed,
                  struct fault *fault)
{
    if (frame->payload.method.id == AMQP_QUEUE_DECLARE_OK_METHOD) {
        const amqp_queue_declare_ok_t *ok = frame->payload.method.decoded;
        watch->state = WATCH_OPEN;
        *changed = learn(watch, ok->consumer_count);
    } else if (frame->payload.method.id == AMQP_CHANNEL_CLOSE_METHOD) {
        struct fault why;
        if (!connection_channel_closed(connection, frame, NULL, &why))
            return fault_set(fault, "send failed");
        watch->state = WATCH_CLOSED;
        *changed = learn(watch, 0);
    }
    return true;
}
