/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/consumer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/thread.h"

#define WATCH_CHANNEL 1 /* the passive declares; subscriptions follow */
#define WATCH_MS 500
#define IDLE_MS 1000      /* a heartbeat wants to be served, whatever happens */
#define RELEASE_FRAMES 64 /* frames whose memory is kept before it is given back */

enum phase {
    CLOSED,    /* opened again at retry_at */
    CLOSING,   /* our channel.close is on its way */
    OPENING,   /* open, declare, consume are on their way */
    CONSUMING, /* or about to */
    CANCELLED, /* our basic.cancel is sent; the channel stays for settling */
};

/* What a delivery tag still wants. */
enum tag { TAG_OPEN, TAG_TO_ACKNOWLEDGE, TAG_SETTLED };

/* A subscription's AMQP channel. */
struct channel {
    struct subscription *subscription;
    amqp_channel_t number;
    enum phase phase;
    bool probing;    /* one message at a time until one comes that is not redelivered */
    bool proven;     /* that is over: what came since did not end this process, nor will it when it comes again */
    bool draining;   /* basic.get until the queue is empty */
    bool get_waits;  /* until what was got is settled */
    bool complained; /* about what closed it: said again only after it worked */
    bool timed_out;  /* the broker waited too long for a settlement: not opened again before the handler is back */
    int64_t retry_at;
    struct backoff backoff;

    struct { /* a delivery whose header comes next */
        bool is, redelivered, leftover;
        uint64_t tag;
    } announced;
    struct delivery *incoming; /* its body is on its way */
    uint64_t body_size, body_got;

    /* What the broker waits for, in the order of the tags, from first to end: what is settled in a row is acknowledged
     * as one. However far the tags lie apart: a message that takes long does not hold up the others. */
    struct out {
        uint64_t tag;
        enum tag state;
    } * out;
    size_t out_first, out_end, out_room;
    size_t out_marked; /* not TAG_OPEN any more */
    bool touched;      /* by the settlements at hand: in the consumer's list of those */
    struct channel *next_touched;
};

struct consumer {
    struct consumer_options options;
    struct connection *connection;
    struct channel *channels;
    size_t channel_count;
    int64_t channels_due; /* when one of them is to be tended, if nothing happens; 0: now */
    struct channel *touched;
    size_t window;

    struct queue settlements; /* its descriptor is the wake-up for everything */
    atomic_bool stopping;
    atomic_bool wants_changed;
    bool has_been_connected;
    struct list batch; /* deliveries that were read and not handed over yet */

    enum { WATCH_CLOSED, WATCH_OPEN, WATCH_ASKED } watch;
    int64_t watch_at;
    long watched; /* consumers at the last answer; -1: none yet */

    pthread_t thread;
};

static struct channel *channel_by_number(struct consumer *consumer, amqp_channel_t number)
{
    size_t index = (size_t)number - WATCH_CHANNEL - 1;
    return number > WATCH_CHANNEL && index < consumer->channel_count ? &consumer->channels[index] : NULL;
}

/* ---- opening and closing a subscription ---- */

static void channel_set_up(struct consumer *consumer, struct channel *channel, bool up)
{
    if (atomic_exchange(&channel->subscription->up, up) != up)
        consumer->options.events->subscribed(consumer->options.context, channel->subscription, up);
}

/* Whatever was handed out on the old AMQP channel is stale from here on. */
static void channel_reset(struct channel *channel)
{
    atomic_fetch_add_explicit(&channel->subscription->epoch, 1, memory_order_release);
    channel->announced.is = false;
    free(channel->incoming);
    channel->incoming = NULL;
    channel->out_first = channel->out_end = channel->out_marked = 0;
    channel->probing = channel->draining = channel->get_waits = false;
}

static bool channel_consume(struct consumer *consumer, struct channel *channel, const char *tag, uint16_t prefetch,
                            struct fault *fault)
{
    amqp_basic_qos_t qos = {.prefetch_count = prefetch};
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(channel->subscription->topic),
                                    .consumer_tag = amqp_cstring_bytes(tag)};
    return connection_send(consumer->connection, channel->number, AMQP_BASIC_QOS_METHOD, &qos, fault) &&
           connection_send(consumer->connection, channel->number, AMQP_BASIC_CONSUME_METHOD, &consume, fault);
}

static bool channel_get(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    amqp_basic_get_t get = {.queue = amqp_cstring_bytes(channel->subscription->topic)};
    return connection_send(consumer->connection, channel->number, AMQP_BASIC_GET_METHOD, &get, fault);
}

/* On a channel that is open, or will be by then. */
static bool channel_subscribe(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(channel->subscription->topic), .durable = 1};
    if (channel->subscription->kind != SUBSCRIBE_SHARED &&
        !connection_send(consumer->connection, channel->number, AMQP_QUEUE_DECLARE_METHOD, &declare, fault))
        return false;
    if (channel->draining)
        return channel_get(consumer, channel, fault);
    return channel_consume(consumer, channel, channel->probing ? "probe" : "all",
                           channel->probing ? 1 : consumer->options.prefetch, fault);
}

static bool channel_open(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    amqp_channel_open_t open = {0};
    enum subscription_kind kind = channel->subscription->kind;

    channel_reset(channel);
    channel->phase = OPENING;
    channel->probing = kind == SUBSCRIBE_TOPIC && !channel->proven;
    channel->draining = kind == SUBSCRIBE_ANSWER;
    return connection_send(consumer->connection, channel->number, AMQP_CHANNEL_OPEN_METHOD, &open, fault) &&
           channel_subscribe(consumer, channel, fault);
}

/* The queue went away, and not the channel: what was handed out is handled to its end. */
static bool channel_again(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    channel->phase = OPENING;
    channel_set_up(consumer, channel, false);
    return channel_subscribe(consumer, channel, fault);
}

static bool channel_close(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = amqp_cstring_bytes("reopen")};
    channel_reset(channel);
    channel->phase = CLOSING;
    channel_set_up(consumer, channel, false);
    return connection_send(consumer->connection, channel->number, AMQP_CHANNEL_CLOSE_METHOD, &close, fault);
}

static bool channel_cancel(struct consumer *consumer, struct channel *channel, const char *tag, struct fault *fault)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(tag), .nowait = 1};
    return connection_send(consumer->connection, channel->number, AMQP_BASIC_CANCEL_METHOD, &cancel, fault);
}

/* When this one is to be looked at again, if nothing happens to it. */
static int64_t channel_due(const struct channel *channel, int64_t now)
{
    if (channel->phase != CLOSED || !atomic_load(&channel->subscription->wanted))
        return INT64_MAX;
    return channel->timed_out ? now + IDLE_MS : channel->retry_at;
}

/* Brings every subscription closer to what is wanted of it. There may be many, so only when there is reason to. */
static bool channels_tend(struct consumer *consumer, int64_t now, struct fault *fault)
{
    if (now < consumer->channels_due && !atomic_load(&consumer->wants_changed))
        return true;
    consumer->channels_due = INT64_MAX;
    atomic_store(&consumer->wants_changed, false);
    for (size_t i = 0; i < consumer->channel_count; i++) {
        struct channel *channel = &consumer->channels[i];
        bool wanted = atomic_load(&channel->subscription->wanted);
        bool sent = true;
        if (wanted && channel->phase == CLOSED && channel->timed_out && !atomic_load(&channel->subscription->busy))
            channel->timed_out = false;
        if (wanted && channel->phase == CLOSED && now >= channel->retry_at && !channel->timed_out)
            sent = channel_open(consumer, channel, fault);
        else if (!wanted && channel->phase == CONSUMING) {
            channel->phase = CANCELLED;
            sent = channel_cancel(consumer, channel, channel->probing ? "probe" : "all", fault);
            channel_set_up(consumer, channel, false);
        } else if (wanted ? channel->phase == CANCELLED : channel->phase == OPENING)
            sent = channel_close(consumer, channel, fault); /* and then again, if it is wanted */
        if (!sent)
            return false;
        int64_t due = channel_due(channel, now);
        consumer->channels_due = due < consumer->channels_due ? due : consumer->channels_due;
    }
    return true;
}

/* ---- settling ---- */

static size_t out_count(const struct channel *channel)
{
    return channel->out_end - channel->out_first;
}

static void out_put(struct channel *channel, uint64_t tag)
{
    if (channel->out_end == channel->out_room && channel->out_first > 0) {
        memmove(channel->out, channel->out + channel->out_first, out_count(channel) * sizeof *channel->out);
        channel->out_end -= channel->out_first;
        channel->out_first = 0;
    } else if (channel->out_end == channel->out_room) {
        channel->out_room = channel->out_room == 0 ? 16 : 2 * channel->out_room;
        channel->out = memory_resize(channel->out, channel->out_room * sizeof *channel->out);
    }
    channel->out[channel->out_end++] = (struct out){.tag = tag, .state = TAG_OPEN};
}

static struct out *out_find(struct channel *channel, uint64_t tag)
{
    size_t low = channel->out_first, high = channel->out_end;
    /* They mostly follow each other, so it mostly is where it would be then. */
    if (low < high && tag - channel->out[low].tag < high - low &&
        channel->out[low + (size_t)(tag - channel->out[low].tag)].tag == tag)
        return &channel->out[low + (size_t)(tag - channel->out[low].tag)];
    while (low < high) {
        struct out *middle = &channel->out[low + (high - low) / 2];
        if (middle->tag == tag)
            return middle;
        if (middle->tag < tag)
            low += (high - low) / 2 + 1;
        else
            high = low + (high - low) / 2;
    }
    return NULL;
}

static void out_mark(struct channel *channel, uint64_t tag, enum tag state)
{
    struct out *out = out_find(channel, tag);
    if (out == NULL)
        return;
    channel->out_marked += out->state == TAG_OPEN;
    out->state = state;
}

static bool tag_send(struct consumer *consumer, struct channel *channel, uint64_t tag, enum settlement settlement,
                     bool multiple, struct fault *fault)
{
    if (settlement == SETTLE_ACKNOWLEDGE) {
        amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};
        return connection_send(consumer->connection, channel->number, AMQP_BASIC_ACK_METHOD, &ack, fault);
    }
    amqp_basic_reject_t reject = {.delivery_tag = tag, .requeue = settlement == SETTLE_PUT_BACK};
    return connection_send(consumer->connection, channel->number, AMQP_BASIC_REJECT_METHOD, &reject, fault);
}

/* Acknowledges what has gathered: a run from the first in one method, what lies beyond a gap one by one, so that a
 * message that takes long holds back neither the others nor the prefetch. */
static bool channel_acknowledge(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    uint64_t run = 0;
    for (; channel->out_marked > 0 && channel->out[channel->out_first].state != TAG_OPEN; channel->out_marked--) {
        const struct out *out = &channel->out[channel->out_first++];
        if (out->state == TAG_TO_ACKNOWLEDGE)
            run = out->tag;
    }
    if (run != 0 && !tag_send(consumer, channel, run, SETTLE_ACKNOWLEDGE, true, fault))
        return false;
    size_t kept = channel->out_first;
    for (size_t at = kept; channel->out_marked > 0 && at < channel->out_end; at++) {
        struct out out = channel->out[at];
        if (out.state == TAG_OPEN)
            channel->out[kept++] = out;
        else if (out.state == TAG_TO_ACKNOWLEDGE &&
                 !tag_send(consumer, channel, out.tag, SETTLE_ACKNOWLEDGE, false, fault))
            return false;
    }
    if (channel->out_marked > 0)
        channel->out_end = kept;
    channel->out_marked = 0;
    channel->touched = false;
    if (!channel->get_waits)
        return true;
    channel->get_waits = false;
    return channel_get(consumer, channel, fault);
}

/* Frees all of the list, also when the connection breaks in the middle: then all of it is stale. */
static bool settle(struct consumer *consumer, struct list *deliveries, struct fault *fault)
{
    bool sent = true;
    for (struct node *node; (node = list_take(deliveries)) != NULL; free(node)) {
        struct delivery *delivery = (struct delivery *)node;
        if (!sent || delivery_is_stale(delivery))
            continue;
        struct channel *channel = delivery->from->channel;
        if (!channel->touched)
            channel->next_touched = consumer->touched, consumer->touched = channel;
        channel->touched = true;
        out_mark(channel, delivery->tag, delivery->settlement == SETTLE_ACKNOWLEDGE ? TAG_TO_ACKNOWLEDGE : TAG_SETTLED);
        if (delivery->settlement != SETTLE_ACKNOWLEDGE)
            sent = tag_send(consumer, channel, delivery->tag, delivery->settlement, false, fault);
    }
    for (; sent && consumer->touched != NULL; consumer->touched = consumer->touched->next_touched)
        sent = channel_acknowledge(consumer, consumer->touched, fault);
    return sent;
}

/* ---- what the broker sends ---- */

static bool delivery_begin(struct consumer *consumer, struct channel *channel, uint64_t tag, bool redelivered,
                           bool leftover, struct fault *fault)
{
    if (out_count(channel) == consumer->window)
        return fault_set(fault, "the broker handed out more of %s than the prefetch", channel->subscription->topic);
    free(channel->incoming);
    channel->incoming = NULL;
    channel->announced.is = true;
    channel->announced.tag = tag;
    channel->announced.redelivered = redelivered;
    channel->announced.leftover = leftover;
    out_put(channel, tag);
    return true;
}

/* The last byte is there. */
static bool delivery_complete(struct consumer *consumer, struct channel *channel, struct fault *fault)
{
    struct delivery *delivery = channel->incoming;
    channel->incoming = NULL;
    list_put(&consumer->batch, &delivery->node);
    if (channel->draining) {
        channel->get_waits = out_count(channel) >= consumer->window / 2;
        return channel->get_waits || channel_get(consumer, channel, fault);
    }
    if (channel->probing && !delivery->redelivered && channel->phase == CONSUMING) {
        channel->probing = false;
        channel->proven = true;
        return channel_cancel(consumer, channel, "probe", fault) &&
               channel_consume(consumer, channel, "all", consumer->options.prefetch, fault);
    }
    return true;
}

/* Worth keeping, and sound. */
static struct properties properties_of(const amqp_frame_t *frame)
{
    const amqp_bytes_t raw = frame->payload.properties.raw;
    struct properties properties = {raw.bytes, raw.len};
    bool kept = !properties_are_plain(properties) && properties_are_sound(properties);
    return kept ? properties : (struct properties){0};
}

static bool on_header(struct consumer *consumer, struct channel *channel, const amqp_frame_t *frame,
                      struct fault *fault)
{
    uint64_t size = frame->payload.properties.body_size;
    bool refused = size > consumer->options.message_max_bytes;
    struct delivery *delivery = delivery_with(refused ? 0 : size, properties_of(frame));
    delivery->from = channel->subscription;
    delivery->tag = channel->announced.tag;
    delivery->epoch = (uint32_t)atomic_load(&channel->subscription->epoch);
    delivery->redelivered = channel->announced.redelivered;
    delivery->leftover = channel->announced.leftover;
    delivery->refused = refused ? size : 0;
    channel->announced.is = false;
    channel->incoming = delivery;
    channel->body_size = size;
    channel->body_got = 0;
    return size > 0 || delivery_complete(consumer, channel, fault);
}

static bool on_body(struct consumer *consumer, struct channel *channel, amqp_bytes_t part, struct fault *fault)
{
    if (part.len > channel->body_size - channel->body_got)
        return fault_set(fault, "a body is longer than its header said");
    if (channel->incoming->refused == 0)
        memcpy(channel->incoming->body + channel->body_got, part.bytes, part.len);
    channel->body_got += part.len;
    return channel->body_got < channel->body_size || delivery_complete(consumer, channel, fault);
}

/* RabbitMQ tells its consumer_timeout from other failed preconditions by words only. */
static bool is_timeout(int code, const char *why)
{
    return code == AMQP_PRECONDITION_FAILED && strstr(why, "timed out") != NULL;
}

static void channel_failed(struct consumer *consumer, struct channel *channel, int code, const char *why)
{
    struct log *log = consumer->options.log;
    const char *topic = channel->subscription->topic;
    channel->timed_out = is_timeout(code, why);
    uint32_t delay = channel->timed_out ? 0 : backoff_next(&channel->backoff);
    if (channel->timed_out)
        log_error(log, "host",
                  "%s: a handler took longer than the broker allows (consumer_timeout): %s; the topic rests until the "
                  "handler is back",
                  topic, why);
    else if (!channel->complained)
        HOST_LOG(log, channel->subscription->kind == SUBSCRIBE_SHARED ? LOG_DEBUG : LOG_ERROR, "host",
                 "%s: the broker closed the AMQP channel: %s; trying again in %u ms and then less often", topic, why,
                 delay);
    channel->complained = true;
    channel_reset(channel);
    channel->phase = CLOSED;
    channel->retry_at = clock_ms() + delay;
    consumer->channels_due = 0;
    channel_set_up(consumer, channel, false);
}

static void watch_tell(struct consumer *consumer, unsigned consumers)
{
    if (consumer->watched == (long)consumers)
        return;
    consumer->watched = consumers;
    consumer->options.events->watched(consumer->options.context, consumers);
}

static bool on_watch_method(struct consumer *consumer, const amqp_frame_t *frame, struct fault *fault)
{
    switch (frame->payload.method.id) {
    case AMQP_QUEUE_DECLARE_OK_METHOD: {
        const amqp_queue_declare_ok_t *ok = frame->payload.method.decoded;
        consumer->watch = WATCH_OPEN;
        watch_tell(consumer, ok->consumer_count);
        return true;
    }
    case AMQP_CHANNEL_CLOSE_METHOD: { /* 404: the MOV has never run */
        struct fault why;
        if (!connection_channel_closed(consumer->connection, frame, NULL, &why))
            return fault_set(fault, "send failed");
        consumer->watch = WATCH_CLOSED;
        watch_tell(consumer, 0);
        return true;
    }
    default:
        return true;
    }
}

static bool on_method(struct consumer *consumer, struct channel *channel, const amqp_frame_t *frame,
                      struct fault *fault)
{
    void *decoded = frame->payload.method.decoded;
    switch (frame->payload.method.id) {
    case AMQP_BASIC_DELIVER_METHOD: {
        const amqp_basic_deliver_t *deliver = decoded;
        return delivery_begin(consumer, channel, deliver->delivery_tag, deliver->redelivered, false, fault);
    }
    case AMQP_BASIC_GET_OK_METHOD: {
        const amqp_basic_get_ok_t *ok = decoded;
        return delivery_begin(consumer, channel, ok->delivery_tag, ok->redelivered, true, fault);
    }
    case AMQP_BASIC_GET_EMPTY_METHOD:
        channel->draining = false;
        if (atomic_load(&channel->subscription->sweep)) {
            atomic_store(&channel->subscription->wanted, false);
            channel->phase = CANCELLED;
            return true;
        }
        return channel->phase != OPENING || channel_consume(consumer, channel, "all", 1, fault);
    case AMQP_BASIC_CONSUME_OK_METHOD:
        if (channel->phase == OPENING) {
            channel->phase = CONSUMING;
            if (channel->complained)
                log_info(consumer->options.log, "host", "%s: consuming again", channel->subscription->topic);
            channel->complained = false;
            backoff_reset(&channel->backoff);
            channel_set_up(consumer, channel, true);
        }
        return true;
    case AMQP_BASIC_CANCEL_METHOD: /* the queue was deleted, or its node went away */
        if (channel->phase != OPENING && channel->phase != CONSUMING)
            return true;
        log_warning(consumer->options.log, "host",
                    "%s: the broker cancelled the consumer (queue deleted?); subscribing again",
                    channel->subscription->topic);
        channel->complained = true;
        return channel_again(consumer, channel, fault);
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
        if (channel->phase != CLOSING) /* the two sides' closes have met, and it is open again, or will be */
            return true;
        channel->phase = CLOSED;
        channel->retry_at = 0;
        atomic_store(&consumer->wants_changed, true);
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD: {
        struct fault why;
        int code = 0;
        if (!connection_channel_closed(consumer->connection, frame, &code, &why))
            return fault_set(fault, "send failed");
        channel_failed(consumer, channel, code, why.text);
        return true;
    }
    default: /* open-ok, declare-ok, qos-ok: what follows them says the same */
        return true;
    }
}

static bool on_frame(struct consumer *consumer, const amqp_frame_t *frame, struct fault *fault)
{
    struct channel *channel = channel_by_number(consumer, frame->channel);
    if (frame->frame_type == AMQP_FRAME_METHOD && frame->channel == WATCH_CHANNEL)
        return on_watch_method(consumer, frame, fault);
    if (channel == NULL)
        return true;
    if (frame->frame_type == AMQP_FRAME_METHOD) {
        amqp_method_number_t id = frame->payload.method.id;
        bool closing = channel->phase == CLOSED || channel->phase == CLOSING; /* what else was on its way is void */
        return (closing && id != AMQP_CHANNEL_CLOSE_OK_METHOD && id != AMQP_CHANNEL_CLOSE_METHOD) ||
               on_method(consumer, channel, frame, fault);
    }
    /* What was not announced is the rest of a delivery that is void. */
    if (frame->frame_type == AMQP_FRAME_HEADER)
        return !channel->announced.is || on_header(consumer, channel, frame, fault);
    return channel->incoming == NULL || on_body(consumer, channel, frame->payload.body_fragment, fault);
}

/* ---- the thread ---- */

static bool watch_tick(struct consumer *consumer, int64_t now, struct fault *fault)
{
    if (consumer->options.watched_queue == NULL || now < consumer->watch_at || consumer->watch == WATCH_ASKED)
        return true;
    consumer->watch_at = now + WATCH_MS;
    amqp_channel_open_t open = {0};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(consumer->options.watched_queue), .passive = 1};
    if (consumer->watch == WATCH_CLOSED &&
        !connection_send(consumer->connection, WATCH_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open, fault))
        return false;
    consumer->watch = WATCH_ASKED;
    return connection_send(consumer->connection, WATCH_CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &declare, fault);
}

/* When there is something to do again, if the broker says nothing. */
static int64_t next_deadline(const struct consumer *consumer, int64_t now, int64_t tend_at)
{
    int64_t next = now + IDLE_MS < tend_at ? now + IDLE_MS : tend_at;
    if (consumer->options.watched_queue != NULL && consumer->watch != WATCH_ASKED && consumer->watch_at < next)
        next = consumer->watch_at;
    if (consumer->channels_due < next)
        next = consumer->channels_due;
    return next < now ? now : next;
}

/* False: woken by what others want only, and there is nothing to read. */
static bool sleep_until(struct consumer *consumer, int64_t deadline)
{
    if (atomic_load(&consumer->wants_changed) || !queue_sleep(&consumer->settlements))
        return true;
    struct pollfd fds[] = {
        {.fd = consumer->settlements.fd, .events = POLLIN},
        {.fd = connection_is_open(consumer->connection) ? connection_fd(consumer->connection) : -1, .events = POLLIN},
    };
    int64_t delay = deadline - clock_ms();
    int ready = poll(fds, 2, delay < 0 ? 0 : (int)delay);
    queue_slept(&consumer->settlements);
    return ready <= 0 || fds[1].revents != 0;
}

static void hand_over(struct consumer *consumer)
{
    if (consumer->batch.head != NULL)
        consumer->options.events->delivered(consumer->options.context, &consumer->batch);
}

static bool read_frames(struct consumer *consumer, struct fault *fault)
{
    unsigned kept = 0;
    do {
        amqp_frame_t frame;
        switch (connection_frame(consumer->connection, &frame, fault)) {
        case FRAME_NONE:
            goto out;
        case FRAME_LOST:
            return false;
        case FRAME_GOT:
            if (!on_frame(consumer, &frame, fault))
                return false;
        }
        if (++kept == RELEASE_FRAMES) {
            connection_release(consumer->connection);
            hand_over(consumer);
            kept = 0;
        }
    } while (connection_has_frames(consumer->connection));
out:
    connection_release(consumer->connection);
    hand_over(consumer);
    return true;
}

static void connection_lost(struct consumer *consumer, const char *why)
{
    log_warning(consumer->options.log, "host", "lost the receiving connection to %s: %s",
                connection_peer(consumer->connection), why);
    connection_drop(consumer->connection);
    list_free(&consumer->batch);
    for (size_t i = 0; i < consumer->channel_count; i++) {
        struct channel *channel = &consumer->channels[i];
        channel_reset(channel);
        channel->phase = CLOSED;
        channel->retry_at = 0;
        channel->touched = channel->timed_out = false;
        channel_set_up(consumer, channel, false);
    }
    consumer->channels_due = 0;
    consumer->touched = NULL;
    consumer->watch = WATCH_CLOSED;
    consumer->watch_at = 0;
    consumer->watched = -1;
    consumer->options.events->connected(consumer->options.context, false);
}

/* One connection, from the first frame to the last. */
static void serve(struct consumer *consumer)
{
    struct fault fault = {"?"};
    bool alive = true, look = true;
    while (alive) {
        bool stopping = atomic_load(&consumer->stopping);
        int64_t now = clock_ms();
        /* Taken before the wants are looked at: who ends a subscription and then settles what it got wants that order.
         */
        struct list settlements = queue_take(&consumer->settlements);
        alive = channels_tend(consumer, now, &fault);
        alive = settle(consumer, &settlements, &fault) && alive;
        if (alive && stopping) {
            connection_close(consumer->connection);
            return;
        }
        alive = alive && watch_tick(consumer, now, &fault) && (!look || read_frames(consumer, &fault));
        now = clock_ms();
        int64_t tend_at = alive ? connection_tend(consumer->connection, now, &fault) : -1;
        alive = tend_at >= 0;
        if (alive)
            look = sleep_until(consumer, next_deadline(consumer, now, tend_at));
    }
    connection_lost(consumer, fault.text);
}

/* Without a connection. */
static void rest(struct consumer *consumer, int64_t until_ms)
{
    while (!atomic_load(&consumer->stopping) && clock_ms() < until_ms) {
        sleep_until(consumer, until_ms);
        atomic_store(&consumer->wants_changed, false);
        struct list stale = queue_take(&consumer->settlements);
        list_free(&stale);
    }
}

/* False: there is no use in another attempt. */
static bool connect_once(struct consumer *consumer, long attempt, struct backoff *backoff)
{
    const struct broker *broker = &consumer->options.broker;
    struct fault fault;
    int64_t began = clock_ms();
    enum opened opened = connection_open(consumer->connection, &fault);
    if (opened == OPENED) {
        log_info(consumer->options.log, "host", "connected to the broker at %s", connection_peer(consumer->connection));
        consumer->has_been_connected = true;
        consumer->options.events->connected(consumer->options.context, true);
        return true;
    }
    int64_t delay = consumer->has_been_connected ? backoff_next(backoff) : (int64_t)broker->retry_sleep * 1000;
    if (!consumer->has_been_connected && (opened == OPEN_REFUSED || attempt >= broker->max_retries)) {
        struct fault why;
        fault_set(&why, opened == OPEN_REFUSED ? "%s" : "%s; gave up after %ld attempt(s)", fault.text, attempt);
        consumer->options.events->gave_up(consumer->options.context, why.text);
        return false;
    }
    if (!consumer->has_been_connected)
        log_warning(consumer->options.log, "host", "%s; attempt %ld of %d", fault.text, attempt, broker->max_retries);
    else if (attempt == 1 || attempt % 60 == 0)
        log_warning(consumer->options.log, "host", "%s; attempt %ld, trying on", fault.text, attempt);
    /* Later on the attempt itself was a pause, too. */
    rest(consumer, (consumer->has_been_connected ? began : clock_ms()) + delay);
    return true;
}

static void *consumer_run(void *argument)
{
    struct consumer *consumer = argument;
    struct backoff backoff = connection_backoff(&consumer->options.broker);
    long attempt = 0;
    while (!atomic_load(&consumer->stopping)) {
        if (!connect_once(consumer, ++attempt, &backoff))
            break;
        if (connection_is_open(consumer->connection)) {
            attempt = 0;
            serve(consumer);
            rest(consumer, clock_ms() + connection_pause(consumer->connection, &backoff));
        }
    }
    return NULL;
}

struct consumer *consumer_new(const struct consumer_options *options, struct subscription *const *subscriptions,
                              size_t count)
{
    struct consumer *consumer = memory_new(sizeof *consumer);
    consumer->options = *options;
    consumer->connection = connection_new(&consumer->options.broker, "valawai-host receives");
    consumer->watched = -1;
    queue_init(&consumer->settlements, true);
    consumer->channels = memory_new((count + 1) * sizeof *consumer->channels);
    consumer->channel_count = count;
    consumer->window = 2 * (size_t)options->prefetch + 64; /* leftovers come beside the prefetch, one by one */
    for (size_t i = 0; i < count; i++) {
        struct channel *channel = &consumer->channels[i];
        channel->subscription = subscriptions[i];
        subscriptions[i]->channel = channel;
        channel->number = (amqp_channel_t)(WATCH_CHANNEL + 1 + i);
        channel->backoff = (struct backoff){.first_ms = 500, .last_ms = 30000};
    }
    return consumer;
}

void consumer_start(struct consumer *consumer)
{
    consumer->thread = thread_start(consumer_run, consumer);
}

void consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted)
{
    if (atomic_exchange(&subscription->wanted, wanted) == wanted)
        return;
    atomic_store(&consumer->wants_changed, true);
    queue_wake(&consumer->settlements);
}

void consumer_settle(struct consumer *consumer, struct list *deliveries)
{
    queue_join(&consumer->settlements, deliveries);
}

bool consumer_stop(struct consumer *consumer, int64_t until_ms)
{
    atomic_store(&consumer->stopping, true);
    queue_wake(&consumer->settlements);
    return thread_join(consumer->thread, until_ms);
}

void consumer_free(struct consumer *consumer)
{
    if (consumer == NULL)
        return;
    for (size_t i = 0; i < consumer->channel_count; i++) {
        free(consumer->channels[i].incoming);
        free(consumer->channels[i].out);
    }
    free(consumer->channels);
    list_free(&consumer->batch);
    connection_free(consumer->connection);
    queue_destroy(&consumer->settlements);
    free(consumer);
}
