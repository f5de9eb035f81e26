/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/dialogue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/text.h"
#include "broker/connection.h"

#define CHANNEL 1
#define WINDOW 32768     /* unconfirmed publications; a broker that writes to its disk confirms in bursts */
#define ANSWER_MS 10000  /* a declare that takes longer has failed */
#define IDLE_MS 1000     /* the longest wait, for the heartbeats */
#define TRACE_MAX 100000 /* most copies in the queue, so that a stopped reader does not fill the broker */
#define TRACE_PREFETCH 1000
#define TRACE_EXCHANGE "amq.rabbitmq.trace"

struct dialogue {
    struct broker broker;
    struct connection *connection;
    const char *virtual_host;
    char version[CONNECTION_VERSION_SIZE]; /* of the broker */
    amqp_method_number_t awaited;          /* the answer to the pending request; one at a time */
    bool answered;
    int closed_by;                /* the reply code of a channel.close */
    uint32_t consumers, messages; /* of the last declared queue */
    bool leaves_large;            /* basic.get leaves out a body over the limit */
    bool arrived, empty;          /* the result of basic.get */
    bool all_confirmed;
    bool blocked;
    bool returned, settled; /* of the empty message of dialogue_may_publish(): came back; nothing more will come */

    /* The publications after floor, each in the slot number % WINDOW. */
    uint64_t floor, published;
    size_t unconfirmed;
    bool confirmed[WINDOW];

    const char *topic; /* the topic to listen to; never NULL */
    char *queue;       /* the last declared one */
    bool tracing, probed, traced;
    bool is_copy, is_wanted; /* of the incoming message */
    uint64_t tag, left;      /* left: bytes of the body that have not arrived */
    uint64_t message_max_bytes;
    enum { CONTENT_NONE, CONTENT_ANNOUNCED, CONTENT_BODY } content;
    struct text body, properties;
};

/* ---- frames of the broker ---- */

static void confirm(struct dialogue *dialogue, uint64_t number, bool multiple)
{
    if (number == 0 && multiple) /* all publications */
        number = dialogue->published;
    if (number > dialogue->published)
        return;
    for (uint64_t each = multiple ? dialogue->floor + 1 : number; each <= number; each++) {
        bool *slot = &dialogue->confirmed[each % WINDOW];
        if (each > dialogue->floor && !*slot) {
            *slot = true;
            dialogue->unconfirmed--;
        }
    }
    while (dialogue->floor < dialogue->published && dialogue->confirmed[(dialogue->floor + 1) % WINDOW])
        dialogue->confirmed[++dialogue->floor % WINDOW] = false;
    dialogue->all_confirmed = dialogue->unconfirmed == 0;
}

static bool is(amqp_bytes_t bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.bytes, text, bytes.len) == 0;
}

/* The headers of a copy from the firehose name the queues that received the message. */
static bool was_routed_to(const amqp_basic_properties_t *properties, const char *topic)
{
    if (!(properties->_flags & AMQP_BASIC_HEADERS_FLAG))
        return false;
    for (int i = 0; i < properties->headers.num_entries; i++) {
        const amqp_table_entry_t *entry = &properties->headers.entries[i];
        if (!is(entry->key, "routing_keys") || entry->value.kind != AMQP_FIELD_KIND_ARRAY)
            continue;
        for (int k = 0; k < entry->value.value.array.num_entries; k++) {
            const amqp_field_value_t *key = &entry->value.value.array.entries[k];
            if (key->kind == AMQP_FIELD_KIND_UTF8 && is(key->value.bytes, topic))
                return true;
        }
    }
    return false;
}

static void on_incoming(struct dialogue *dialogue, uint64_t tag, bool is_wanted)
{
    dialogue->content = CONTENT_ANNOUNCED;
    dialogue->is_wanted = is_wanted;
    dialogue->tag = tag;
    text_clear(&dialogue->body);
}

static void on_deliver(struct dialogue *dialogue, const amqp_basic_deliver_t *deliver)
{
    on_incoming(dialogue, deliver->delivery_tag, !dialogue->tracing);
    dialogue->is_copy = is(deliver->exchange, TRACE_EXCHANGE);
}

static void keep_properties(struct dialogue *dialogue, amqp_bytes_t raw)
{
    const struct properties properties = {raw.bytes, raw.len};
    text_clear(&dialogue->properties);
    if (!properties_are_plain(properties) && properties_are_sound(properties))
        text_put(&dialogue->properties, properties.at, properties.len);
}

static bool on_header(struct dialogue *dialogue, const amqp_frame_t *frame, struct fault *fault)
{
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    dialogue->left = frame->payload.properties.body_size;
    dialogue->content = CONTENT_BODY;
    keep_properties(dialogue, frame->payload.properties.raw);
    if (dialogue->tracing && !dialogue->is_copy)
        dialogue->probed = true; /* the broker has published its copies before it */
    else if (dialogue->tracing && !dialogue->probed && was_routed_to(properties, dialogue->queue))
        dialogue->traced = true;
    else if (dialogue->tracing)
        dialogue->is_wanted = was_routed_to(properties, dialogue->topic);
    else if (dialogue->leaves_large && dialogue->left > dialogue->message_max_bytes)
        dialogue->is_wanted = false;
    return !dialogue->is_wanted || dialogue->left <= dialogue->message_max_bytes ||
           fault_set(fault, "%s: a message has %" PRIu64 " bytes, more than host.message_max_bytes, %" PRIu64,
                     dialogue->topic, dialogue->left, dialogue->message_max_bytes);
}

static bool on_body(struct dialogue *dialogue, amqp_bytes_t part, struct fault *fault)
{
    if (part.len > dialogue->left)
        return connection_violated(dialogue->connection, fault, "a body is longer than its header says");
    dialogue->left -= part.len;
    if (dialogue->is_wanted)
        text_put(&dialogue->body, part.bytes, part.len);
    return true;
}

static bool on_channel_close(struct dialogue *dialogue, const amqp_frame_t *frame, struct fault *fault)
{
    struct fault why;
    if (!connection_channel_closed(dialogue->connection, frame, &dialogue->closed_by, &why))
        return fault_set(fault, "send failed");
    return fault_set(fault, "the broker answers \"%s\"", why.text);
}

static bool on_method(struct dialogue *dialogue, const amqp_frame_t *frame, struct fault *fault)
{
    void *decoded = frame->payload.method.decoded;
    switch (frame->payload.method.id) {
    case AMQP_BASIC_DELIVER_METHOD:
        on_deliver(dialogue, decoded);
        return true;
    case AMQP_BASIC_GET_OK_METHOD: {
        const amqp_basic_get_ok_t *ok = decoded;
        on_incoming(dialogue, ok->delivery_tag, true);
        return true;
    }
    case AMQP_BASIC_GET_EMPTY_METHOD:
        dialogue->arrived = dialogue->empty = true;
        return true;
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = decoded;
        confirm(dialogue, ack->delivery_tag, ack->multiple);
        return true;
    }
    case AMQP_BASIC_NACK_METHOD:
        return fault_set(fault, "the broker cannot keep the message: its queue is full, or no node of it is running");
    case AMQP_BASIC_RETURN_METHOD: {
        const amqp_basic_return_t *back = decoded;
        dialogue->returned = true;
        return fault_set(fault,
                         "%.*s: no queue has this name, so the message came back; a component declares its "
                         "topics when it starts: does one run?",
                         (int)back->routing_key.len, (char *)back->routing_key.bytes);
    }
    case AMQP_BASIC_CANCEL_METHOD:
        return fault_set(fault, "%s: its queue was deleted, or its node is gone", dialogue->topic);
    case AMQP_CONNECTION_BLOCKED_METHOD:
        dialogue->blocked = dialogue->settled = true;
        return true;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        dialogue->blocked = false;
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD:
        return on_channel_close(dialogue, frame, fault);
    case AMQP_QUEUE_DECLARE_OK_METHOD: {
        const amqp_queue_declare_ok_t *ok = decoded;
        dialogue->consumers = ok->consumer_count;
        dialogue->messages = ok->message_count;
        free(dialogue->queue);
        dialogue->queue = memory_format("%.*s", (int)ok->queue.len, (char *)ok->queue.bytes);
        break;
    }
    default:
        break;
    }
    dialogue->answered = dialogue->answered || frame->payload.method.id == dialogue->awaited;
    return true;
}

/* complete: this frame contained the last byte of a message. */
static bool on_frame(struct dialogue *dialogue, const amqp_frame_t *frame, bool *complete, struct fault *fault)
{
    *complete = false;
    if (frame->frame_type == AMQP_FRAME_METHOD)
        return on_method(dialogue, frame, fault);
    bool header = frame->frame_type == AMQP_FRAME_HEADER;
    if (dialogue->content != (header ? CONTENT_ANNOUNCED : CONTENT_BODY))
        return connection_violated(dialogue->connection, fault, "a part of a message out of turn");
    if (header ? !on_header(dialogue, frame, fault) : !on_body(dialogue, frame->payload.body_fragment, fault))
        return false;
    *complete = dialogue->left == 0;
    if (*complete)
        dialogue->content = CONTENT_NONE;
    dialogue->arrived = dialogue->arrived || *complete;
    return true;
}

static enum frame next_frame(struct dialogue *dialogue, bool *complete, struct fault *fault)
{
    amqp_frame_t frame;
    enum frame got = connection_frame(dialogue->connection, &frame, fault);
    *complete = false;
    return got == FRAME_GOT && !on_frame(dialogue, &frame, complete, fault) ? FRAME_LOST : got;
}

/* The message that has just arrived. */
static struct dialogue_message message_of(const struct dialogue *dialogue)
{
    return (struct dialogue_message){
        .body = dialogue->body.at == NULL ? "" : dialogue->body.at,
        .len = dialogue->body.len,
        .properties = {dialogue->properties.at, dialogue->properties.len},
        .tag = dialogue->tag,
        .wanted = dialogue->is_wanted,
    };
}

enum dialogue_event dialogue_next(struct dialogue *dialogue, struct dialogue_message *message, struct fault *fault)
{
    bool complete = false;
    enum frame got = FRAME_GOT;
    while (got == FRAME_GOT && !complete)
        got = next_frame(dialogue, &complete, fault);
    if (got == FRAME_LOST)
        return DIALOGUE_FAILED;
    connection_release(dialogue->connection);
    if (complete)
        *message = message_of(dialogue);
    return complete ? DIALOGUE_MESSAGE : DIALOGUE_NOTHING;
}

bool dialogue_wait(struct dialogue *dialogue, struct pollfd *fds, nfds_t count, struct fault *fault)
{
    int64_t now = clock_ms();
    int64_t tend_at = connection_tend(dialogue->connection, now, fault);
    if (tend_at < 0 || !connection_flush(dialogue->connection, fault))
        return false;
    fds[0] = (struct pollfd){.fd = connection_fd(dialogue->connection), .events = POLLIN};
    if (poll(fds, count, (int)(tend_at - now < IDLE_MS ? tend_at - now : IDLE_MS)) < 0 && errno != EINTR)
        return fault_set(fault, "poll: %s", strerror(errno));
    return true;
}

/* ---- requests ---- */

/* Reads one frame at a time, so that frames after the answer remain for dialogue_next(). */
static bool await(struct dialogue *dialogue, const bool *done, struct fault *fault)
{
    int64_t deadline = clock_ms() + ANSWER_MS;
    while (!*done) {
        bool complete = false;
        struct pollfd fd;
        switch (next_frame(dialogue, &complete, fault)) {
        case FRAME_LOST:
            return false;
        case FRAME_GOT:
            break;
        case FRAME_NONE:
            connection_release(dialogue->connection);
            if (clock_ms() >= deadline)
                return fault_set(fault, "the broker has not answered within %d s", ANSWER_MS / 1000);
            if (!dialogue_wait(dialogue, &fd, 1, fault))
                return false;
        }
    }
    return true;
}

static bool ask(struct dialogue *dialogue, amqp_method_number_t id, void *method, struct fault *fault)
{
    dialogue->answered = false;
    dialogue->closed_by = 0;
    dialogue->awaited = id + 1; /* in AMQP an answer has the next number */
    return connection_send(dialogue->connection, CHANNEL, id, method, fault) &&
           await(dialogue, &dialogue->answered, fault);
}

bool dialogue_try(struct dialogue *dialogue, uint32_t method, void *arguments, int *refusal, struct fault *fault)
{
    amqp_channel_open_t open = {0};
    struct fault lost;
    *refusal = 0;
    if (ask(dialogue, method, arguments, fault))
        return true;
    if (dialogue->closed_by == 0)
        return false;
    *refusal = dialogue->closed_by;
    return ask(dialogue, AMQP_CHANNEL_OPEN_METHOD, &open, &lost) || fault_set(fault, "%s", lost.text);
}

uint32_t dialogue_messages(const struct dialogue *dialogue)
{
    return dialogue->messages;
}

uint32_t dialogue_consumers(const struct dialogue *dialogue)
{
    return dialogue->consumers;
}

const char *dialogue_version(const struct dialogue *dialogue)
{
    return dialogue->version;
}

bool dialogue_find(struct dialogue *dialogue, const char *topic, uint32_t *consumers, struct fault *fault)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(topic), .passive = 1};
    bool found = ask(dialogue, AMQP_QUEUE_DECLARE_METHOD, &declare, fault);
    if (!found && dialogue->closed_by == AMQP_NOT_FOUND)
        return fault_set(fault,
                         "%s: there is no such queue in virtual host %s; a component declares its topics when it "
                         "starts: does one run?",
                         topic, dialogue->virtual_host);
    if (!found)
        return fault_prefix(fault, "%s", topic);
    if (consumers != NULL)
        *consumers = dialogue->consumers;
    return true;
}

bool dialogue_look(struct dialogue *dialogue, const char *topic, bool *found, uint32_t *messages, struct fault *fault)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(topic), .passive = 1};
    *found = ask(dialogue, AMQP_QUEUE_DECLARE_METHOD, &declare, fault);
    *messages = *found ? dialogue->messages : 0;
    return *found || dialogue->closed_by == AMQP_NOT_FOUND || fault_prefix(fault, "%s", topic);
}

enum dialogue_event dialogue_get(struct dialogue *dialogue, const char *topic, bool body_wanted,
                                 struct dialogue_message *message, struct fault *fault)
{
    amqp_basic_get_t get = {.queue = amqp_cstring_bytes(topic)};
    dialogue->topic = topic;
    dialogue->leaves_large = !body_wanted;
    dialogue->arrived = dialogue->empty = false;
    if (!connection_send(dialogue->connection, CHANNEL, AMQP_BASIC_GET_METHOD, &get, fault) ||
        !await(dialogue, &dialogue->arrived, fault))
        return DIALOGUE_FAILED;
    connection_release(dialogue->connection);
    if (dialogue->empty)
        return DIALOGUE_NOTHING;
    *message = message_of(dialogue);
    return DIALOGUE_MESSAGE;
}

bool dialogue_accept(struct dialogue *dialogue, uint64_t tag, struct fault *fault)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag};
    return connection_send(dialogue->connection, CHANNEL, AMQP_BASIC_ACK_METHOD, &ack, fault);
}

bool dialogue_return(struct dialogue *dialogue, uint64_t tag, struct fault *fault)
{
    amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = 1, .requeue = 1};
    return connection_send(dialogue->connection, CHANNEL, AMQP_BASIC_NACK_METHOD, &nack, fault);
}

bool dialogue_confirm(struct dialogue *dialogue, struct fault *fault)
{
    amqp_confirm_select_t select = {0};
    return ask(dialogue, AMQP_CONFIRM_SELECT_METHOD, &select, fault);
}

bool dialogue_consume(struct dialogue *dialogue, const char *topic, uint16_t prefetch, struct fault *fault)
{
    amqp_basic_qos_t qos = {.prefetch_count = prefetch};
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(topic)};
    dialogue->topic = topic;
    return ask(dialogue, AMQP_BASIC_QOS_METHOD, &qos, fault) &&
           ask(dialogue, AMQP_BASIC_CONSUME_METHOD, &consume, fault);
}

/* Sends a message to its own queue. If tracing is on, a copy of that message arrives first. Other copies before it are
 * not shown, because their messages were published before the listener was ready. */
static bool probe(struct dialogue *dialogue, struct fault *fault)
{
    const struct wire_message empty = {.topic = dialogue->queue, .body = "{}", .len = 2};
    if (!connection_publish(dialogue->connection, CHANNEL, &empty, fault) || !await(dialogue, &dialogue->probed, fault))
        return false;
    return dialogue->traced || fault_set(fault,
                                         "tracing is off at %s; `rabbitmqctl trace_on -p %s` on that node turns it on, "
                                         "and trace_off off again",
                                         connection_peer(dialogue->connection), dialogue->virtual_host);
}

bool dialogue_trace(struct dialogue *dialogue, const char *topic, struct fault *fault)
{
    amqp_table_entry_t most = {.key = amqp_cstring_bytes("x-max-length"),
                               .value = {.kind = AMQP_FIELD_KIND_I32, .value = {.i32 = TRACE_MAX}}};
    amqp_queue_declare_t declare = {.exclusive = 1, .auto_delete = 1, .arguments = {1, &most}};
    amqp_queue_bind_t bind = {
        .exchange = amqp_cstring_bytes(TRACE_EXCHANGE),
        .routing_key = amqp_cstring_bytes("publish."), /* … and the name of the default exchange, which is empty */
    };
    if (!ask(dialogue, AMQP_QUEUE_DECLARE_METHOD, &declare, fault))
        return false;
    bind.queue = amqp_cstring_bytes(dialogue->queue);
    if (!ask(dialogue, AMQP_QUEUE_BIND_METHOD, &bind, fault))
        return false;
    dialogue->tracing = true;
    if (!dialogue_consume(dialogue, dialogue->queue, TRACE_PREFETCH, fault))
        return false;
    dialogue->topic = topic;
    return probe(dialogue, fault);
}

bool dialogue_acknowledge(struct dialogue *dialogue, uint64_t tag, struct fault *fault)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = 1};
    return connection_send(dialogue->connection, CHANNEL, AMQP_BASIC_ACK_METHOD, &ack, fault);
}

/* ---- sending ---- */

bool dialogue_has_room(const struct dialogue *dialogue)
{
    return !dialogue->blocked && dialogue->published - dialogue->floor < WINDOW;
}

bool dialogue_is_blocked(const struct dialogue *dialogue)
{
    return dialogue->blocked;
}

size_t dialogue_unconfirmed(const struct dialogue *dialogue)
{
    return dialogue->unconfirmed;
}

bool dialogue_publish(struct dialogue *dialogue, const char *topic, const char *body, size_t len, struct fault *fault)
{
    dialogue->published++;
    dialogue->unconfirmed++;
    const struct wire_message message = {
        .topic = topic, .body = body, .len = len, .persistent = true, .mandatory = true};
    return connection_publish(dialogue->connection, CHANNEL, &message, fault);
}

bool dialogue_may_publish(struct dialogue *dialogue, bool *may, struct fault *fault)
{
    uint64_t chance = 0;
    dialogue->settled = dialogue->blocked;
    *may = false;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance)
        chance = (uint64_t)clock_ms();
    char *nowhere = memory_format("valawai-host/no-queue-%016" PRIx64, chance);
    const struct wire_message empty = {.topic = nowhere, .body = "{}", .len = 2, .mandatory = true};
    bool sent = connection_publish(dialogue->connection, CHANNEL, &empty, fault);
    if (sent && await(dialogue, &dialogue->settled, fault))
        fault_set(fault, "the broker has an alarm (memory or disk) and takes no publications");
    free(nowhere);
    *may = dialogue->returned;
    return dialogue->returned || dialogue->closed_by == AMQP_ACCESS_REFUSED;
}

bool dialogue_move(struct dialogue *dialogue, const char *topic, const struct dialogue_message *message,
                   struct properties properties, struct fault *fault)
{
    const struct wire_message moved = {.topic = topic,
                                       .body = message->body,
                                       .len = message->len,
                                       .properties = properties,
                                       .persistent = true,
                                       .mandatory = true};
    dialogue->published++;
    dialogue->unconfirmed++;
    dialogue->all_confirmed = false;
    return connection_publish(dialogue->connection, CHANNEL, &moved, fault) &&
           await(dialogue, &dialogue->all_confirmed, fault);
}

/* ---- open and close ---- */

struct dialogue *dialogue_open(const struct settings *settings, const char *purpose, struct fault *fault)
{
    struct dialogue *dialogue = memory_new(sizeof *dialogue);
    amqp_channel_open_t open = {0};
    dialogue->broker = broker_of(settings);
    dialogue->topic = "no topic";
    dialogue->virtual_host = settings->broker.virtual_host;
    dialogue->message_max_bytes = (uint64_t)settings->host.message_max_bytes;
    dialogue->connection = connection_new(&dialogue->broker, purpose);
    if (connection_open(dialogue->connection, fault) == OPENED &&
        ask(dialogue, AMQP_CHANNEL_OPEN_METHOD, &open, fault)) {
        connection_version(dialogue->connection, dialogue->version, sizeof dialogue->version);
        return dialogue;
    }
    dialogue_close(dialogue);
    return NULL;
}

void dialogue_close(struct dialogue *dialogue)
{
    if (dialogue == NULL)
        return;
    if (connection_is_open(dialogue->connection))
        connection_close(dialogue->connection);
    connection_free(dialogue->connection);
    free(dialogue->queue);
    text_free(&dialogue->body);
    text_free(&dialogue->properties);
    free(dialogue);
}
