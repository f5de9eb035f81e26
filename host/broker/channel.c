/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * More than 600 lines because every step, frame and settlement depends on one state. */
#include "broker/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "message/counts.h"

#define PAUSE_MS 1000  /* between two checks of a plugin that keeps a message too long */
#define DELETED_MS 500 /* the broker needs a moment to delete a queue */
#define REPEAT_MS 250  /* after a consumer timeout: so long the channel stays closed */
#define TIMEOUT_LEAST_MS                                                                                               \
    500                 /* no consumer timeout is shorter: a consumer that is cancelled sooner has lost its queue */
#define HEADERS_MAX 256 /* of a message that the host reads */

static bool is_open(const struct channel *channel)
{
    return channel->state >= CHANNEL_OPENING;
}

static bool send(const struct channel *channel, amqp_method_number_t id, void *method, struct fault *fault)
{
    return connection_send(channel->receiver->connection, (amqp_channel_t)channel->number, id, method, fault);
}

static void set_up(struct channel *channel, bool up)
{
    struct subscription *subscription = channel->subscription;
    if (atomic_exchange(&subscription->up, up) != up)
        subscription->changed(subscription, up);
}

static uint16_t limit_of(const struct channel *channel)
{
    const struct subscription *subscription = channel->subscription;
    if (subscription->kind == SUBSCRIBE_ANSWER)
        return 1;
    return subscription->prefetch != 0 ? subscription->prefetch : channel->receiver->prefetch;
}

/* The most messages that the broker may have delivered: each larger window adds to what remains of the windows before
 * it, and leftovers come one by one in addition to the prefetch. */
static size_t most_in_hand(const struct channel *channel)
{
    return 3 * (size_t)limit_of(channel) + 64;
}

/* ---- opening and closing ---- */

/* From here on every delivery of the old AMQP channel is stale. */
static void reset(struct channel *channel)
{
    atomic_fetch_add_explicit(&channel->subscription->epoch, 1, memory_order_release);
    channel->header.pending = false;
    free(channel->incoming);
    channel->incoming = NULL;
    if (channel->subscription->counts != NULL)
        count_add(&channel->subscription->counts->returned, tags_open(&channel->tags));
    tags_clear(&channel->tags);
    window_start(&channel->window, limit_of(channel));
    if (channel->subscription->kind == SUBSCRIBE_SHARED)
        channel->window.size = channel->window.limit; /* no message in this queue can crash the host */
}

/* Shows component and topic in the broker's list of consumers. The number precedes the topic, because a long topic is
 * cut off at AMQP's 255 bytes. */
static amqp_bytes_t consumer_tag(const struct channel *channel, char text[256])
{
    const struct subscription *subscription = channel->subscription;
    snprintf(text, 256, "%s %u %s", subscription->component != NULL ? subscription->component : "valawai-host",
             channel->consumer_tag, subscription->topic);
    return amqp_cstring_bytes(text);
}

static bool declare(struct channel *channel, struct fault *fault)
{
    amqp_queue_declare_t method = {.queue = amqp_cstring_bytes(channel->subscription->topic),
                                   .durable = 1,
                                   .passive = channel->passive || channel->subscription->kind == SUBSCRIBE_SHARED};
    return send(channel, AMQP_QUEUE_DECLARE_METHOD, &method, fault);
}

static bool consume(struct channel *channel, struct fault *fault)
{
    char tag[256];
    amqp_basic_qos_t qos = {.prefetch_count = channel->window.size};
    channel->consumer_tag = ++channel->receiver->consumer_tags;
    amqp_basic_consume_t method = {.queue = amqp_cstring_bytes(channel->subscription->topic),
                                   .consumer_tag = consumer_tag(channel, tag)};
    return send(channel, AMQP_BASIC_QOS_METHOD, &qos, fault) &&
           send(channel, AMQP_BASIC_CONSUME_METHOD, &method, fault);
}

static bool cancel(const struct channel *channel, struct fault *fault)
{
    char tag[256];
    amqp_basic_cancel_t method = {.consumer_tag = consumer_tag(channel, tag), .nowait = 1};
    return send(channel, AMQP_BASIC_CANCEL_METHOD, &method, fault);
}

/* RabbitMQ reads the prefetch only when a consumer starts, so a larger window needs a new consumer. A consumer that is
 * cancelled before RabbitMQ has answered its subscription ends the whole connection (541), because the answer then
 * finds no consumer. */
static bool consume_more(struct channel *channel, struct fault *fault)
{
    channel->state = CHANNEL_WIDENING;
    return cancel(channel, fault) && consume(channel, fault);
}

static bool get(struct channel *channel, struct fault *fault)
{
    amqp_basic_get_t method = {.queue = amqp_cstring_bytes(channel->subscription->topic)};
    channel->state = CHANNEL_DRAINING;
    return send(channel, AMQP_BASIC_GET_METHOD, &method, fault);
}

static bool open_channel(struct channel *channel, struct fault *fault)
{
    amqp_channel_open_t open = {0};
    reset(channel);
    channel->state = CHANNEL_OPENING;
    if (!send(channel, AMQP_CHANNEL_OPEN_METHOD, &open, fault))
        return false;
    switch (channel->subscription->kind) {
    case SUBSCRIBE_SHARED:
        return consume(channel, fault);
    case SUBSCRIBE_ANSWER:
        return declare(channel, fault) && get(channel, fault);
    case SUBSCRIBE_TOPIC:
        break;
    }
    return declare(channel, fault) && consume(channel, fault);
}

/* The queue is gone, but the channel is open, so the deliveries in hand are handled and settled. */
static bool consume_again(struct channel *channel, struct fault *fault)
{
    channel->state = CHANNEL_OPENING;
    return (channel->subscription->kind == SUBSCRIBE_SHARED || declare(channel, fault)) && consume(channel, fault);
}

/* A message that a closing channel still holds counts as returned (RabbitMQ 4.3); one that basic.nack returns does not.
 * A tag of 0 means all messages, including those on their way to us. */
bool channel_return_all(struct channel *channel, struct fault *fault)
{
    amqp_basic_nack_t nack = {.delivery_tag = 0, .multiple = 1, .requeue = 1};
    return !is_open(channel) || send(channel, AMQP_BASIC_NACK_METHOD, &nack, fault);
}

static bool close_channel(struct channel *channel, enum channel_state next, struct fault *fault)
{
    amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = amqp_cstring_bytes("reopen")};
    bool sent = channel_return_all(channel, fault) && send(channel, AMQP_CHANNEL_CLOSE_METHOD, &close, fault);
    reset(channel);
    channel->state = next;
    set_up(channel, false);
    return sent;
}

void channel_lost(struct channel *channel)
{
    reset(channel);
    channel->state = CHANNEL_CLOSED;
    channel->retry_at = 0;
    channel->passive = channel->touched = false;
    channel->settled = 0;
    set_up(channel, false);
}

/* ---- towards the wanted state ---- */

static void wake_at(struct channel *channel, int64_t at)
{
    if (at < channel->receiver->due)
        channel->receiver->due = at;
}

static bool begin(struct channel *channel, int64_t now, struct fault *fault)
{
    switch (channel->state) {
    case CHANNEL_PAUSED:
        if (atomic_load(&channel->subscription->in_plugin) > 0) {
            wake_at(channel, now + PAUSE_MS);
            return true;
        }
        __attribute__((fallthrough));
    case CHANNEL_CLOSED:
        if (now >= channel->retry_at)
            return open_channel(channel, fault);
        wake_at(channel, channel->retry_at);
        return true;
    case CHANNEL_DELETED:
        if (now >= channel->retry_at)
            return consume_again(channel, fault);
        wake_at(channel, channel->retry_at);
        return true;
    case CHANNEL_CANCELLED:
        return close_channel(channel, CHANNEL_CLOSING, fault); /* a new one follows */
    default:
        return true;
    }
}

static bool end(struct channel *channel, struct fault *fault)
{
    switch (channel->state) {
    case CHANNEL_CONSUMING:
        channel->state = CHANNEL_CANCELLED;
        set_up(channel, false);
        return cancel(channel, fault);
    case CHANNEL_OPENING:
    case CHANNEL_DRAINING:
    case CHANNEL_GATHERING:
    case CHANNEL_ASKING:
    case CHANNEL_DELETED:
        return close_channel(channel, CHANNEL_CLOSING, fault);
    default:
        return true;
    }
}

/* In the other states no consumer delivers, and what is in hand is of a queue that is gone, or none is in hand. */
static bool leave(struct channel *channel, int64_t now, struct fault *fault)
{
    switch (channel->state) {
    case CHANNEL_CONSUMING:
        if (!end(channel, fault))
            return false;
        __attribute__((fallthrough));
    case CHANNEL_WIDENING:
    case CHANNEL_CANCELLED:
        if (tags_count(&channel->tags) == 0 || now >= channel->leaves_until)
            return close_channel(channel, CHANNEL_CLOSING, fault);
        wake_at(channel, channel->leaves_until);
        return true;
    default:
        return end(channel, fault);
    }
}

void channel_leave(struct channel *channel, int64_t until_ms)
{
    channel->want = WANT_NOTHING;
    channel->leaves = true;
    channel->leaves_until = until_ms;
}

/* After a close by the broker, the number rests for a moment: the broker may repeat the close. */
bool channel_has_left(struct channel *channel, int64_t now)
{
    if (!channel->leaves || (channel->state != CHANNEL_CLOSED && channel->state != CHANNEL_PAUSED))
        return false;
    if (channel->retry_at > now + REPEAT_MS)
        channel->retry_at = now + REPEAT_MS;
    if (now < channel->retry_at)
        wake_at(channel, channel->retry_at);
    return now >= channel->retry_at;
}

size_t channel_out(const struct channel *channel)
{
    return channel->out - atomic_load_explicit(&channel->subscription->dropped, memory_order_acquire);
}

bool channel_tend(struct channel *channel, int64_t now, struct fault *fault)
{
    if (channel->leaves)
        return leave(channel, now, fault);
    return channel->want == WANT_NOTHING ? end(channel, fault) : begin(channel, now, fault);
}

/* ---- settling ---- */

static bool send_ack(void *context, uint64_t number, bool multiple)
{
    amqp_basic_ack_t ack = {.delivery_tag = number, .multiple = multiple};
    return send(context, AMQP_BASIC_ACK_METHOD, &ack, NULL);
}

bool channel_settle(struct channel *channel, const struct delivery *delivery, int64_t now_us, struct fault *fault)
{
    uint64_t number = delivery->tag;
    amqp_basic_reject_t reject = {.delivery_tag = number};
    amqp_basic_nack_t nack = {.delivery_tag = number, .requeue = 1};
    bool is_acknowledged = delivery->settlement == SETTLE_ACKNOWLEDGE;
    if (!tags_mark(&channel->tags, number, is_acknowledged ? TAG_TO_ACKNOWLEDGE : TAG_SETTLED))
        return true;
    channel->settled += delivery->settlement != SETTLE_PUT_BACK;
    if (channel->subscription->counts != NULL)
        counts_settled(channel->subscription->counts, delivery, now_us);
    switch (delivery->settlement) {
    case SETTLE_ACKNOWLEDGE:
        break;
    case SETTLE_REJECT:
        return send(channel, AMQP_BASIC_REJECT_METHOD, &reject, fault);
    case SETTLE_PUT_BACK:
        return send(channel, AMQP_BASIC_NACK_METHOD, &nack, fault);
    }
    return true;
}

bool channel_settled(struct channel *channel, struct fault *fault)
{
    uint32_t settled = channel->settled;
    channel->touched = false;
    channel->settled = 0;
    if (channel->leaves)
        channel->receiver->due = 0;
    if (!tags_acknowledge(&channel->tags, send_ack, channel))
        return fault_set(fault, "cannot acknowledge");
    if (channel->state == CHANNEL_CONSUMING && window_settled(&channel->window, settled) &&
        !consume_more(channel, fault))
        return false;
    return channel->state != CHANNEL_GATHERING || get(channel, fault);
}

/* ---- messages ---- */

static bool delivery_begin(struct channel *channel, uint64_t tag, bool redelivered, bool leftover, struct fault *fault)
{
    struct connection *connection = channel->receiver->connection;
    if (tags_count(&channel->tags) >= most_in_hand(channel))
        return connection_violated(connection, fault, "more messages than the prefetch allows");
    channel->header.received_us = clock_us();
    if (!tags_put(&channel->tags, tag, channel->header.received_us / 1000))
        return connection_violated(connection, fault, "a delivery tag that does not grow");
    if (channel->subscription->counts != NULL)
        count_add(&channel->subscription->counts->received, 1);
    free(channel->incoming);
    channel->incoming = NULL;
    channel->header.pending = true;
    channel->header.tag = tag;
    channel->header.redelivered = redelivered;
    channel->header.leftover = leftover;
    return true;
}

/* The last byte has arrived. */
static bool delivery_complete(struct channel *channel, struct fault *fault)
{
    struct delivery *delivery = channel->incoming;
    channel->incoming = NULL;
    channel->out++;
    list_put(&channel->receiver->batch, &delivery->node);
    if (channel->state == CHANNEL_DRAINING) {
        if (tags_count(&channel->tags) < most_in_hand(channel) / 2)
            return get(channel, fault);
        channel->state = CHANNEL_GATHERING;
        return true;
    }
    return delivery->redelivered || channel->state != CHANNEL_CONSUMING || !window_fresh(&channel->window) ||
           consume_more(channel, fault);
}

static uint32_t number_of(const amqp_field_value_t *value)
{
    int64_t number = 0;
    switch (value->kind) {
    case AMQP_FIELD_KIND_I8:
        number = (int64_t)value->value.i8; /* NOLINT(bugprone-signed-char-misuse): it is a number */
        break;
    case AMQP_FIELD_KIND_U8:
        number = value->value.u8;
        break;
    case AMQP_FIELD_KIND_I16:
        number = value->value.i16;
        break;
    case AMQP_FIELD_KIND_U16:
        number = value->value.u16;
        break;
    case AMQP_FIELD_KIND_I32:
        number = value->value.i32;
        break;
    case AMQP_FIELD_KIND_U32:
        number = value->value.u32;
        break;
    case AMQP_FIELD_KIND_I64:
        number = value->value.i64;
        break;
    case AMQP_FIELD_KIND_U64:
        number = value->value.u64 < INT64_MAX ? (int64_t)value->value.u64 : INT64_MAX;
        break;
    default:
        break;
    }
    return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* How often the message was returned to its queue, by the broker's header x-delivery-count of quorum queues. (4.3
 * counts there only the returns that the limit applies to, and all of them in x-acquired-count.) A publisher can set
 * the header too, so it is valid only in a redelivered message. */
static uint32_t returns_of(const amqp_basic_properties_t *properties)
{
    static const char name[] = "x-delivery-count";
    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0)
        return 0;
    int count = properties->headers.num_entries < HEADERS_MAX ? properties->headers.num_entries : HEADERS_MAX;
    for (int i = 0; i < count; i++) {
        const amqp_table_entry_t *entry = &properties->headers.entries[i];
        if (entry->key.len == sizeof name - 1 && memcmp(entry->key.bytes, name, sizeof name - 1) == 0)
            return number_of(&entry->value);
    }
    return 0;
}

/* The properties, if they are sound and not plain. */
static struct properties properties_of(const amqp_frame_t *frame)
{
    const amqp_bytes_t raw = frame->payload.properties.raw;
    struct properties properties = {raw.bytes, raw.len};
    bool kept = !properties_are_plain(properties) && properties_are_sound(properties);
    return kept ? properties : (struct properties){0};
}

static bool on_header(struct channel *channel, const amqp_frame_t *frame, struct fault *fault)
{
    struct receiver *receiver = channel->receiver;
    uint64_t size = frame->payload.properties.body_size;
    bool refused = size > receiver->message_max_bytes;
    struct delivery *delivery = delivery_with(&receiver->spares, refused ? 0 : size, properties_of(frame));
    delivery->from = channel->subscription;
    delivery->tag = channel->header.tag;
    delivery->epoch = (uint32_t)atomic_load(&channel->subscription->epoch);
    delivery->received_us = channel->header.received_us;
    delivery->redelivered = channel->header.redelivered;
    delivery->leftover = channel->header.leftover;
    delivery->refused = refused ? size : 0;
    delivery->returns = delivery->redelivered ? returns_of(frame->payload.properties.decoded) : 0;
    delivery->at_limit = receiver->delivery_limit > 0 && delivery->returns >= receiver->delivery_limit;
    delivery->attempt = delivery->returns;
    channel->header.pending = false;
    channel->incoming = delivery;
    channel->body_size = size;
    channel->body_got = 0;
    return size > 0 || delivery_complete(channel, fault);
}

static bool on_body(struct channel *channel, amqp_bytes_t part, struct fault *fault)
{
    if (part.len > channel->body_size - channel->body_got)
        return connection_violated(channel->receiver->connection, fault, "a body is longer than its header says");
    if (channel->incoming->refused == 0)
        memcpy(channel->incoming->body + channel->body_got, part.bytes, part.len);
    channel->body_got += part.len;
    return channel->body_got < channel->body_size || delivery_complete(channel, fault);
}

/* ---- methods ---- */

static void report_timeout(struct channel *channel, const char *why)
{
    log_error(channel->receiver->log, "host",
              "%s: a handler takes longer than the broker allows (consumer_timeout): %s; the topic pauses until the "
              "handler returns",
              channel->subscription->topic, why);
    channel->reported = true;
}

/* Only the text distinguishes RabbitMQ's consumer_timeout from other failed preconditions. */
static bool is_timeout(int code, const char *why)
{
    return code == AMQP_PRECONDITION_FAILED && strstr(why, "timed out") != NULL;
}

static void on_closed(struct channel *channel, int code, const char *why)
{
    const char *topic = channel->subscription->topic;
    struct log *log = channel->receiver->log;
    uint32_t delay = 0;
    reset(channel);
    channel->state = CHANNEL_CLOSED;
    if (channel->leaves) {
        log_debug(log, "host", "%s: the broker closed the AMQP channel first: %s", topic, why);
        delay = REPEAT_MS;
    } else if (is_timeout(code, why)) {
        report_timeout(channel, why);
        channel->state = CHANNEL_PAUSED;
        delay = REPEAT_MS;
    } else if (code == AMQP_ACCESS_REFUSED && !channel->passive && channel->subscription->kind != SUBSCRIBE_SHARED) {
        log_debug(log, "host", "%s: %s; declaring it passively", topic, why);
        channel->passive = true;
    } else {
        delay = backoff_next(&channel->backoff);
        channel->passive = false; /* the user may have received the permission meanwhile */
        if (!channel->reported)
            HOST_LOG(log, channel->subscription->kind == SUBSCRIBE_SHARED ? LOG_DEBUG : LOG_ERROR, "host",
                     "%s: the broker closed the AMQP channel: %s; trying again in %u ms and then less often", topic,
                     why, delay);
        channel->reported = true;
    }
    channel->retry_at = delay > 0 ? clock_ms() + delay : 0;
    channel->receiver->due = 0;
    set_up(channel, false);
}

static bool is_current(const struct channel *channel, amqp_bytes_t tag)
{
    char text[256];
    amqp_bytes_t current = consumer_tag(channel, text);
    return tag.len == current.len && memcmp(tag.bytes, current.bytes, tag.len) == 0;
}

/* RabbitMQ cancels the consumer of a quorum queue before it deletes the queue. A subscription in between closes the
 * whole connection (541), so the host waits a moment. Publishers need the queue at once. */
static bool on_deleted(struct channel *channel, bool is_declared, struct fault *fault)
{
    log_warning(channel->receiver->log, "host", "%s: the queue was deleted; subscribing to a new one",
                channel->subscription->topic);
    channel->reported = true;
    channel->state = CHANNEL_DELETED;
    channel->retry_at = clock_ms() + DELETED_MS;
    wake_at(channel, channel->retry_at);
    return is_declared || channel->subscription->kind == SUBSCRIBE_SHARED || declare(channel, fault);
}

/* A cancel has two causes: the queue was deleted (or its node went away), or RabbitMQ 4.3 waited too long for a
 * settlement. After a timeout the queue still exists, with the message or the timed-out consumer. RabbitMQ always sets
 * nowait, and closes the connection at an unexpected answer (503, 541). */
static bool on_cancel(struct channel *channel, const amqp_basic_cancel_t *method, struct fault *fault)
{
    if (!method->nowait) {
        amqp_basic_cancel_ok_t ok = {.consumer_tag = method->consumer_tag};
        if (!send(channel, AMQP_BASIC_CANCEL_OK_METHOD, &ok, fault))
            return false;
    }
    if ((channel->state != CHANNEL_OPENING && channel->state != CHANNEL_CONSUMING &&
         channel->state != CHANNEL_WIDENING) ||
        !is_current(channel, method->consumer_tag))
        return true;
    set_up(channel, false);
    if (tags_count(&channel->tags) > 0 && clock_ms() - tags_oldest(&channel->tags) >= TIMEOUT_LEAST_MS) {
        channel->state = CHANNEL_ASKING;
        return declare(channel, fault);
    }
    return on_deleted(channel, false, fault);
}

static bool on_declared(struct channel *channel, const amqp_queue_declare_ok_t *ok, struct fault *fault)
{
    if (channel->state != CHANNEL_ASKING)
        return true;
    if (ok->message_count > 0 || ok->consumer_count > 0) {
        report_timeout(channel, "basic.cancel");
        return close_channel(channel, CHANNEL_PAUSING, fault);
    }
    return on_deleted(channel, true, fault);
}

static void on_consuming(struct channel *channel)
{
    if (channel->state == CHANNEL_WIDENING) {
        channel->state = CHANNEL_CONSUMING;
        channel->receiver->due = 0; /* it may be cancelled now */
        return;
    }
    if (channel->state != CHANNEL_OPENING)
        return;
    channel->state = CHANNEL_CONSUMING;
    if (channel->reported)
        log_info(channel->receiver->log, "host", "%s: consuming again", channel->subscription->topic);
    channel->reported = false;
    backoff_reset(&channel->backoff);
    set_up(channel, true);
}

static bool on_drained(struct channel *channel, struct fault *fault)
{
    if (channel->state != CHANNEL_DRAINING)
        return true;
    if (channel->want == WANT_LEFTOVERS) {
        channel->want = WANT_NOTHING;
        channel->state = CHANNEL_CANCELLED;
        return true;
    }
    channel->state = CHANNEL_OPENING;
    return consume(channel, fault);
}

static bool on_method(struct channel *channel, const amqp_frame_t *frame, struct fault *fault)
{
    void *decoded = frame->payload.method.decoded;
    switch (frame->payload.method.id) {
    case AMQP_BASIC_DELIVER_METHOD: {
        const amqp_basic_deliver_t *deliver = decoded;
        return delivery_begin(channel, deliver->delivery_tag, deliver->redelivered, false, fault);
    }
    case AMQP_BASIC_GET_OK_METHOD: {
        const amqp_basic_get_ok_t *ok = decoded;
        return delivery_begin(channel, ok->delivery_tag, ok->redelivered, true, fault);
    }
    case AMQP_BASIC_GET_EMPTY_METHOD:
        return on_drained(channel, fault);
    case AMQP_BASIC_CONSUME_OK_METHOD:
        on_consuming(channel);
        return true;
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        return on_declared(channel, decoded, fault);
    case AMQP_BASIC_CANCEL_METHOD:
        return on_cancel(channel, decoded, fault);
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
        if (channel->state == CHANNEL_CLOSING || channel->state == CHANNEL_PAUSING) {
            channel->state = channel->state == CHANNEL_PAUSING ? CHANNEL_PAUSED : CHANNEL_CLOSED;
            channel->retry_at = 0;
            channel->receiver->due = 0;
        } /* otherwise both sides have closed at the same time, and the channel is open again, or will be */
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD: {
        struct fault why;
        int code = 0;
        /* RabbitMQ repeats the channel.close of a consumer timeout until it has an answer. A second answer, or one that
         * reaches a new channel of that number, is a violation (503, 504). */
        if (channel->state == CHANNEL_CLOSED || channel->state == CHANNEL_PAUSED)
            return true;
        if (!connection_channel_closed(channel->receiver->connection, frame, &code, &why))
            return fault_set(fault, "send failed");
        if (channel->state == CHANNEL_PAUSING)
            channel->state = CHANNEL_PAUSED;
        else
            on_closed(channel, code, why.text);
        return true;
    }
    default: /* open-ok, qos-ok: a later answer implies them */
        return true;
    }
}

bool channel_frame(struct channel *channel, const amqp_frame_t *frame, struct fault *fault)
{
    if (frame->frame_type == AMQP_FRAME_METHOD) {
        amqp_method_number_t id = frame->payload.method.id;
        bool is_close = id == AMQP_CHANNEL_CLOSE_OK_METHOD || id == AMQP_CHANNEL_CLOSE_METHOD;
        return (!is_open(channel) && !is_close) || /* other frames of the closed channel are void */
               on_method(channel, frame, fault);
    }
    /* Content without an announcement is the rest of a void delivery. */
    if (frame->frame_type == AMQP_FRAME_HEADER)
        return !channel->header.pending || on_header(channel, frame, fault);
    return channel->incoming == NULL || on_body(channel, frame->payload.body_fragment, fault);
}

void channel_init(struct channel *channel, struct receiver *receiver, struct subscription *subscription, size_t number)
{
    *channel = (struct channel){
        .receiver = receiver,
        .subscription = subscription,
        .number = number,
        .want = subscription->wanted ? WANT_MESSAGES : WANT_NOTHING,
        .out = atomic_load(&subscription->dropped),
        .backoff = {.first_ms = 500, .last_ms = 30000},
    };
    subscription->channel = channel;
}

void channel_destroy(struct channel *channel)
{
    free(channel->incoming);
    tags_free(&channel->tags);
}
