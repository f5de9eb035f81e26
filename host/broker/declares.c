/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/declares.h"

void declares_free(struct declares *declares)
{
    outlets_free(&declares->outlets);
    boxes_free(&declares->boxes);
}

static bool declare(struct declares *declares, const char *topic, bool passive, struct fault *fault)
{
    amqp_channel_open_t open = {0};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(topic), .durable = 1, .passive = passive};
    if (!declares->is_open &&
        !connection_send(declares->connection, DECLARE_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open, fault))
        return false;
    declares->is_open = true;
    return connection_send(declares->connection, DECLARE_CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &declare, fault);
}

bool declares_next(struct declares *declares, struct fault *fault)
{
    if (declares->outlets.asked != NULL || declares->boxes.asked != NULL)
        return true;
    const char *topic = outlets_ask(&declares->outlets, clock_ms());
    if (topic != NULL)
        return declare(declares, topic, false, fault);
    const struct box *box = boxes_ask(&declares->boxes);
    return box == NULL || declare(declares, box->topic, box->passive, fault);
}

void declares_answered(struct declares *declares, uint32_t messages)
{
    struct list waited = {0};
    if (declares->outlets.asked != NULL) {
        outbox_release(declares->outbox, outlets_answer(&declares->outlets), clock_ms());
        return;
    }
    boxes_answer(&declares->boxes, messages, clock_ms(), &waited);
    outbox_put_first(declares->outbox, &waited);
}

static void on_outlet_refused(struct declares *declares, const char *why)
{
    bool first = false;
    const char *topic = outlets_refuse(&declares->outlets, clock_ms(), &first);
    if (first)
        log_error(declares->log, "host", "%s: cannot declare its queue: %s; publications to it wait", topic, why);
    /* The queue may exist with other arguments than ours. */
    outbox_release(declares->outbox, topic, clock_ms());
}

static void on_box_refused(struct declares *declares, const char *why)
{
    const struct box *box = declares->boxes.asked;
    struct list waited = {0};
    if (box != NULL && box->passive)
        log_error(declares->log, "host", "%s: cannot declare the queue of dead letters: %s", box->topic, why);
    boxes_refuse(&declares->boxes, clock_ms(), &waited);
    outbox_put_first(declares->outbox, &waited);
}

void declares_refused(struct declares *declares, const char *why)
{
    declares->is_open = false;
    if (declares->outlets.asked != NULL)
        on_outlet_refused(declares, why);
    else
        on_box_refused(declares, why);
}

void declares_lose(struct declares *declares)
{
    struct list waited = {0};
    declares->is_open = false;
    outlets_lose(&declares->outlets);
    boxes_lose(&declares->boxes, &waited);
    outbox_put_first(declares->outbox, &waited);
}
