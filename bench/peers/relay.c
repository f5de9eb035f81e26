/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * relay [--no-guarantee] IN OUT [IN OUT]...: the least that an echo can cost with rabbitmq-c. One thread, one
 * connection; a body is copied from IN to OUT as it is, with the two log records that the echo component writes.
 * Nothing is parsed, checked or routed.
 *
 * The guarantee is the host's: prefetch 200, publications persistent, mandatory and confirmed, a message acknowledged
 * after the confirmation. It is made as cheap as it gets: acknowledgements are joined over all that a read brought, the
 * records go over an AMQP channel without confirms, a body that came in one frame is sent from where it lies, its
 * quoted form is made once for both records.
 *
 * Without the guarantee: acknowledged by being sent, published transient and not confirmed. */
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "../amqp.h"

#define DATA 1
#define RECORDS 2
#define PREFETCH 200
#define WINDOW 65536 /* publications that may be unconfirmed, a power of two */
#define ACK_AFTER 50 /* confirmed messages after which the relay acknowledges, even if more frames are available */

#define BEFORE(message) "{\"level\":\"INFO\",\"message\":\"" message "\",\"payload\":\""
#define AFTER "\",\"component_id\":\"0123456789abcdef01234567\"}"
static const char received[] = BEFORE("Received a message to echo");
static const char sent[] = BEFORE("Sent Echoed message");

struct buffer {
    char *at;
    size_t len, room;
};

/* Where the body's quoted form begins in the record: the longer of the two beginnings fits before it. */
#define QUOTED (sizeof received - 1)

static amqp_connection_state_t connection;
static bool guarantee = true;
static amqp_bytes_t *outs;
static struct buffer body, record;

/* Deliveries and publications of channel DATA are numbered alike: the first echoes the first. */
static uint64_t next = 1, floor_ = 1, acknowledged;
static bool confirmed[WINDOW];

static void at_signal(int number)
{
    (void)number;
    _exit(0);
}

static void reserve(struct buffer *buffer, size_t room)
{
    if (room <= buffer->room)
        return;
    buffer->room = room * 2;
    buffer->at = realloc(buffer->at, buffer->room);
    must(buffer->at != NULL, "memory");
}

static void quote(const char *bytes, size_t len)
{
    reserve(&record, QUOTED + 2 * len + sizeof AFTER);
    char *to = record.at + QUOTED;
    for (const char *at = bytes; at < bytes + len; at++) {
        if (*at == '"' || *at == '\\')
            *to++ = '\\';
        *to++ = *at;
    }
    memcpy(to, AFTER, sizeof AFTER - 1);
    record.len = (size_t)(to - record.at) + sizeof AFTER - 1;
}

static void send_record(const char *beginning, size_t len)
{
    static const amqp_bytes_t topic = {.len = 15, .bytes = "valawai/log/add"};
    memcpy(record.at + QUOTED - len, beginning, len);
    publish(connection, RECORDS, topic,
            (amqp_bytes_t){.bytes = record.at + QUOTED - len, .len = record.len - QUOTED + len}, false, false);
}

static void echo(amqp_bytes_t topic, amqp_bytes_t bytes)
{
    quote(bytes.bytes, bytes.len);
    send_record(received, sizeof received - 1);
    publish(connection, DATA, topic, bytes, guarantee, guarantee);
    must(next - floor_ < WINDOW || !guarantee, "window");
    confirmed[next++ % WINDOW] = false;
    send_record(sent, sizeof sent - 1);
}

static void acknowledge(void)
{
    if (floor_ - 1 == acknowledged)
        return;
    acknowledged = floor_ - 1;
    must(amqp_basic_ack(connection, DATA, acknowledged, 1) == AMQP_STATUS_OK, "basic.ack");
}

static void confirm(uint64_t tag, bool multiple)
{
    if (multiple && tag + 1 > floor_)
        floor_ = tag + 1;
    else if (tag >= floor_)
        confirmed[tag % WINDOW] = true;
    while (floor_ < next && confirmed[floor_ % WINDOW])
        floor_++;
    if (floor_ - 1 - acknowledged >= ACK_AFTER)
        acknowledge();
}

static bool at_hand(void)
{
    return amqp_frames_enqueued(connection) || amqp_data_in_buffer(connection);
}

static amqp_frame_t read_frame(void)
{
    amqp_frame_t frame;
    if (!at_hand()) {
        if (guarantee)
            acknowledge();
        amqp_maybe_release_buffers(connection);
    }
    must(amqp_simple_wait_frame(connection, &frame) == AMQP_STATUS_OK, "read");
    return frame;
}

static size_t tag_number(amqp_bytes_t tag)
{
    size_t number = 0;
    for (size_t i = 0; i < tag.len; i++)
        number = number * 10 + (size_t)(((const char *)tag.bytes)[i] - '0');
    return number;
}

static void take_delivery(const amqp_basic_deliver_t *deliver)
{
    amqp_bytes_t out = outs[tag_number(deliver->consumer_tag)];
    amqp_frame_t frame = read_frame();
    size_t size = frame.payload.properties.body_size;
    body.len = 0;
    while (body.len < size) {
        frame = read_frame();
        amqp_bytes_t part = frame.payload.body_fragment;
        if (part.len == size) {
            echo(out, part);
            return;
        }
        reserve(&body, size);
        memcpy(body.at + body.len, part.bytes, part.len);
        body.len += part.len;
    }
    echo(out, (amqp_bytes_t){.bytes = body.at, .len = body.len});
}

int main(int argc, char **argv)
{
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--no-guarantee") == 0) {
        guarantee = false;
        first = 2;
    }
    must(argc - first >= 2 && (argc - first) % 2 == 0 && (argc - first) / 2 < 1000,
         "relay [--no-guarantee] IN OUT...:");
    signal(SIGTERM, at_signal);
    connection = connect_broker();
    open_channel(connection, DATA);
    open_channel(connection, RECORDS);
    if (guarantee) {
        amqp_confirm_select(connection, DATA);
        must_rpc(connection, "confirm.select");
        amqp_basic_qos(connection, DATA, 0, PREFETCH, 0);
        must_rpc(connection, "basic.qos");
    }
    outs = calloc((size_t)(argc - first) / 2, sizeof *outs);
    for (int i = 0; first + 2 * i < argc; i++)
        outs[i] = amqp_cstring_bytes(argv[first + 2 * i + 1]);
    for (int i = 0; first + 2 * i < argc; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "%d", i);
        /* Sent without waiting for the answer: messages of an earlier consumer would come in between. */
        amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(argv[first + 2 * i]),
                                        .consumer_tag = amqp_cstring_bytes(tag),
                                        .no_ack = !guarantee,
                                        .nowait = 1};
        must(amqp_send_method(connection, DATA, AMQP_BASIC_CONSUME_METHOD, &consume) == AMQP_STATUS_OK, "consume");
    }
    for (;;) {
        amqp_frame_t frame = read_frame();
        if (frame.frame_type != AMQP_FRAME_METHOD)
            continue;
        switch (frame.payload.method.id) {
        case AMQP_BASIC_DELIVER_METHOD:
            take_delivery(frame.payload.method.decoded);
            break;
        case AMQP_BASIC_ACK_METHOD: {
            const amqp_basic_ack_t *ack = frame.payload.method.decoded;
            confirm(ack->delivery_tag, ack->multiple);
            break;
        }
        default: /* a close, a return, a nack: no measurement any more */
            fprintf(stderr, "relay: unexpected method 0x%08x\n", frame.payload.method.id);
            return 1;
        }
    }
}
