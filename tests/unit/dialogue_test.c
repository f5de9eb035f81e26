/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dialogue: a whole session without a broker. A test queues the broker's frames, with the time when each arrives, and
 * then makes the call that reads them. The journal holds what the dialogue sends. poll() moves the clock. */
#include "support.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "broker/connection.h"
#include "broker/dialogue.h"

#define TOPIC "valawai/c1/a/data/in"
#define FRAMES 64

static int64_t now;
static struct text journal;
static struct dialogue *dialogue;
static struct dialogue_message message;
static struct fault fault;
static struct settings settings;
static enum opened opened;
static bool open_now;
static int64_t heartbeat_every;     /* 0: the broker is dead */
static amqp_method_number_t broken; /* the method that cannot be sent */
static bool publish_fails;
static int releases, flushes;

static struct sent_by_broker {
    int64_t at;  /* when it arrives */
    bool is_end; /* the connection is lost */
    amqp_frame_t frame;
    union {
        amqp_basic_deliver_t deliver;
        amqp_basic_get_ok_t get_ok;
        amqp_basic_ack_t ack;
        amqp_basic_return_t returned;
        amqp_queue_declare_ok_t declare_ok;
        amqp_channel_close_t close;
        amqp_basic_properties_t properties;
    } decoded;
} frames[FRAMES];
static size_t first, end;

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_puts(&journal, line);
    text_puts(&journal, "\n");
}

static void expect(const char *lines)
{
    assert_string_equal(journal.len > 0 ? journal.at : "", lines);
    text_clear(&journal);
}

static void expect_fault(const char *text)
{
    assert_string_equal(fault.text, text);
}

/* ---- the connection ---- */

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

/* Nothing else is ready: the wait ends with the next frame or the time-out. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    assert_true(count >= 1 && fds[0].fd == 42 && fds[0].events == POLLIN);
    assert_true(timeout > 0 && timeout <= 1000); /* a heartbeat is never late by more */
    bool comes = first < end && frames[first].at <= now + timeout;
    now = comes && frames[first].at > now ? frames[first].at : now + (comes ? 0 : timeout);
    return comes ? 1 : 0;
}

struct connection *__wrap_connection_new(const struct broker *broker, const char *purpose);
struct connection *__wrap_connection_new(const struct broker *broker, const char *purpose)
{
    assert_string_equal(broker->virtual_host, "/");
    assert_string_equal(purpose, "test");
    put("new");
    return NULL;
}

void __wrap_connection_free(struct connection *connection);
void __wrap_connection_free(struct connection *connection)
{
    UNUSED(connection);
    put("free");
}

enum opened __wrap_connection_open(struct connection *connection, struct fault *why);
enum opened __wrap_connection_open(struct connection *connection, struct fault *why)
{
    UNUSED(connection);
    open_now = opened == OPENED;
    if (!open_now)
        fault_set(why, "login refused");
    return opened;
}

bool __wrap_connection_is_open(const struct connection *connection);
bool __wrap_connection_is_open(const struct connection *connection)
{
    UNUSED(connection);
    return open_now;
}

void __wrap_connection_close(struct connection *connection);
void __wrap_connection_close(struct connection *connection)
{
    UNUSED(connection);
    put("bye");
}

const char *__wrap_connection_peer(const struct connection *connection);
const char *__wrap_connection_peer(const struct connection *connection)
{
    UNUSED(connection);
    return "broker:5672";
}

void __wrap_connection_version(const struct connection *connection, char *version, size_t size);
void __wrap_connection_version(const struct connection *connection, char *version, size_t size)
{
    UNUSED(connection);
    snprintf(version, size, "3.10.8");
}

int64_t __wrap_connection_tend(struct connection *connection, int64_t at, struct fault *why);
int64_t __wrap_connection_tend(struct connection *connection, int64_t at, struct fault *why)
{
    UNUSED(connection);
    if (heartbeat_every > 0)
        return at + heartbeat_every;
    fault_set(why, "the broker is silent");
    return -1;
}

int __wrap_connection_fd(const struct connection *connection);
int __wrap_connection_fd(const struct connection *connection)
{
    UNUSED(connection);
    return 42;
}

bool __wrap_connection_flush(struct connection *connection, struct fault *why);
bool __wrap_connection_flush(struct connection *connection, struct fault *why)
{
    UNUSED(connection);
    UNUSED(why);
    flushes++;
    return true;
}

void __wrap_connection_release(struct connection *connection);
void __wrap_connection_release(struct connection *connection)
{
    UNUSED(connection);
    releases++;
}

enum frame __wrap_connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *why);
enum frame __wrap_connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *why)
{
    UNUSED(connection);
    if (first == end || frames[first].at > now)
        return FRAME_NONE;
    if (frames[first].is_end) {
        fault_set(why, "connection lost");
        return FRAME_LOST;
    }
    *frame = frames[first++].frame;
    return FRAME_GOT;
}

bool __wrap_connection_violated(struct connection *connection, struct fault *why, const char *how);
bool __wrap_connection_violated(struct connection *connection, struct fault *why, const char *how)
{
    UNUSED(connection);
    return fault_set(why, "violation: %s", how);
}

bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why);
bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why)
{
    UNUSED(connection);
    const amqp_channel_close_t *close = frame->payload.method.decoded;
    *code = close->reply_code;
    fault_set(why, "%d %.*s", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
    put("close-ok");
    return broken != AMQP_CHANNEL_CLOSE_OK_METHOD;
}

static void put_declare(const amqp_queue_declare_t *declare)
{
    const amqp_table_entry_t *most = declare->arguments.entries;
    put("declare %.*s%s%s%s", (int)declare->queue.len, (char *)declare->queue.bytes,
        declare->passive ? " passively" : "", declare->exclusive ? " exclusively" : "",
        declare->auto_delete ? " for now" : "");
    assert_true(declare->passive || declare->arguments.num_entries == 1);
    if (declare->arguments.num_entries == 1)
        put("  %.*s %d", (int)most->key.len, (char *)most->key.bytes, most->value.value.i32);
}

static void put_bind(const amqp_queue_bind_t *bind)
{
    put("bind %.*s to %.*s of %.*s", (int)bind->queue.len, (char *)bind->queue.bytes, (int)bind->routing_key.len,
        (char *)bind->routing_key.bytes, (int)bind->exchange.len, (char *)bind->exchange.bytes);
}

bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *why);
bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *why)
{
    UNUSED(connection);
    assert_int_equal(number, 1);
    if (id == broken)
        return fault_set(why, "cannot send");
    const amqp_basic_ack_t *ack = method;
    const amqp_basic_nack_t *nack = method;
    const amqp_basic_get_t *get = method;
    const amqp_basic_consume_t *consume = method;
    switch (id) {
    case AMQP_CHANNEL_OPEN_METHOD:
        put("open");
        break;
    case AMQP_QUEUE_DECLARE_METHOD:
        put_declare(method);
        break;
    case AMQP_QUEUE_BIND_METHOD:
        put_bind(method);
        break;
    case AMQP_CONFIRM_SELECT_METHOD:
        put("confirm");
        break;
    case AMQP_BASIC_QOS_METHOD:
        put("prefetch %d", ((amqp_basic_qos_t *)method)->prefetch_count);
        break;
    case AMQP_BASIC_CONSUME_METHOD:
        assert_false(consume->no_ack);
        put("consume %.*s", (int)consume->queue.len, (char *)consume->queue.bytes);
        break;
    case AMQP_BASIC_GET_METHOD:
        assert_false(get->no_ack);
        put("get %.*s", (int)get->queue.len, (char *)get->queue.bytes);
        break;
    case AMQP_BASIC_ACK_METHOD:
        put("ack %s%" PRIu64, ack->multiple ? "<=" : "", ack->delivery_tag);
        break;
    case AMQP_BASIC_NACK_METHOD:
        assert_true(nack->requeue);
        put("return %s%" PRIu64, nack->multiple ? "<=" : "", nack->delivery_tag);
        break;
    default:
        fail_msg("method 0x%08x", id);
    }
    return true;
}

bool __wrap_connection_publish(struct connection *connection, amqp_channel_t channel, const struct wire_message *wire,
                               struct fault *why);
bool __wrap_connection_publish(struct connection *connection, amqp_channel_t channel, const struct wire_message *wire,
                               struct fault *why)
{
    UNUSED(connection);
    assert_int_equal(channel, 1);
    if (publish_fails)
        return fault_set(why, "cannot send");
    bool is_nowhere = strncmp(wire->topic, "valawai-host/no-queue-", 22) == 0; /* a random name */
    put("publish %s %.*s%s%s%s", is_nowhere ? "nowhere" : wire->topic, (int)wire->len, wire->body,
        wire->persistent ? " persistent" : "", wire->mandatory ? " mandatory" : "",
        wire->properties.len > 0 ? " with properties" : "");
    return true;
}

/* ---- the broker ---- */

static int64_t delay; /* of the frames that are queued next */

static struct sent_by_broker *frame_of(uint8_t type)
{
    assert_true(end < FRAMES);
    struct sent_by_broker *sent = &frames[end++];
    *sent = (struct sent_by_broker){.at = now + delay, .frame = {.frame_type = type, .channel = 1}};
    return sent;
}

static struct sent_by_broker *says(amqp_method_number_t id)
{
    struct sent_by_broker *sent = frame_of(AMQP_FRAME_METHOD);
    sent->frame.payload.method.id = id;
    sent->frame.payload.method.decoded = &sent->decoded;
    return sent;
}

static void declared(const char *queue, uint32_t messages, uint32_t consumers)
{
    says(AMQP_QUEUE_DECLARE_OK_METHOD)->decoded.declare_ok = (amqp_queue_declare_ok_t){
        .queue = amqp_cstring_bytes(queue), .message_count = messages, .consumer_count = consumers};
}

static void closes(uint16_t code, const char *text)
{
    says(AMQP_CHANNEL_CLOSE_METHOD)->decoded.close =
        (amqp_channel_close_t){.reply_code = code, .reply_text = amqp_cstring_bytes(text)};
}

static void loses_connection(void)
{
    frame_of(0)->is_end = true;
}

static void header_with(uint64_t size, amqp_bytes_t raw, amqp_table_t headers)
{
    struct sent_by_broker *sent = frame_of(AMQP_FRAME_HEADER);
    sent->frame.payload.properties.class_id = AMQP_BASIC_CLASS;
    sent->frame.payload.properties.body_size = size;
    sent->frame.payload.properties.raw = raw;
    sent->frame.payload.properties.decoded = &sent->decoded;
    sent->decoded.properties =
        (amqp_basic_properties_t){._flags = headers.num_entries > 0 ? AMQP_BASIC_HEADERS_FLAG : 0, .headers = headers};
}

static void header(uint64_t size)
{
    header_with(size, amqp_empty_bytes, amqp_empty_table);
}

static void body(const char *part)
{
    frame_of(AMQP_FRAME_BODY)->frame.payload.body_fragment = amqp_cstring_bytes(part);
}

static void announces(uint64_t tag)
{
    says(AMQP_BASIC_DELIVER_METHOD)->decoded.deliver =
        (amqp_basic_deliver_t){.delivery_tag = tag, .exchange = amqp_empty_bytes};
}

static void delivers(uint64_t tag, const char *text)
{
    announces(tag);
    header(strlen(text));
    if (text[0] != '\0')
        body(text);
}

static void hands_out(uint64_t tag, const char *text)
{
    says(AMQP_BASIC_GET_OK_METHOD)->decoded.get_ok = (amqp_basic_get_ok_t){.delivery_tag = tag};
    header(strlen(text));
    body(text);
}

static void acks(uint64_t tag, bool multiple)
{
    says(AMQP_BASIC_ACK_METHOD)->decoded.ack = (amqp_basic_ack_t){.delivery_tag = tag, .multiple = multiple};
}

static void returns(const char *topic)
{
    says(AMQP_BASIC_RETURN_METHOD)->decoded.returned = (amqp_basic_return_t){
        .reply_code = 312, .reply_text = amqp_cstring_bytes("NO_ROUTE"), .routing_key = amqp_cstring_bytes(topic)};
}

/* A copy of the firehose, of a message that was routed to these topics. */
static void copies_routed_to(uint64_t tag, const char *text, int count, const amqp_field_value_t *keys,
                             amqp_table_entry_t *entry)
{
    says(AMQP_BASIC_DELIVER_METHOD)->decoded.deliver =
        (amqp_basic_deliver_t){.delivery_tag = tag, .exchange = amqp_cstring_bytes("amq.rabbitmq.trace")};
    entry->key = amqp_cstring_bytes("routing_keys");
    entry->value.kind = AMQP_FIELD_KIND_ARRAY;
    entry->value.value.array.num_entries = count;
    entry->value.value.array.entries = (amqp_field_value_t *)keys;
    header_with(strlen(text), amqp_empty_bytes, (amqp_table_t){1, entry});
    body(text);
}

static amqp_field_value_t key(const char *text)
{
    return (amqp_field_value_t){.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(text)}};
}

static enum dialogue_event next(void)
{
    return dialogue_next(dialogue, &message, &fault);
}

/* The next message is complete, and this is all of it. */
static void expect_message(uint64_t tag, const char *text)
{
    assert_int_equal(next(), DIALOGUE_MESSAGE);
    assert_int_equal(message.tag, tag);
    assert_int_equal(message.len, strlen(text));
    assert_string_equal(message.body, text);
}

/* A new dialogue, instead of an earlier one. */
static void begin(void)
{
    dialogue_close(dialogue);
    text_clear(&journal);
    first = end = 0;
    says(AMQP_CHANNEL_OPEN_OK_METHOD);
    dialogue = dialogue_open(&settings, "test", &fault);
    assert_non_null(dialogue);
    expect("new\nopen\n");
}

static void begin_to_consume(void)
{
    begin();
    says(AMQP_BASIC_QOS_OK_METHOD);
    says(AMQP_BASIC_CONSUME_OK_METHOD);
    assert_true(dialogue_consume(dialogue, TOPIC, 10, &fault));
    expect("prefetch 10\nconsume " TOPIC "\n");
}

static void begin_to_publish(void)
{
    begin();
    says(AMQP_CONFIRM_SELECT_OK_METHOD);
    assert_true(dialogue_confirm(dialogue, &fault));
    expect("confirm\n");
}

static int enter(void **state)
{
    UNUSED(state);
    now = 1000000;
    delay = 0;
    first = end = 0;
    opened = OPENED;
    heartbeat_every = 5000;
    broken = 0;
    publish_fails = false;
    settings = (struct settings){.broker.virtual_host = "/", .host.message_max_bytes = 100};
    fault.text[0] = '\0';
    dialogue = NULL;
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    dialogue_close(dialogue);
    text_free(&journal);
    return 0;
}

/* ---- beginning and end ---- */

static void opens_one_connection_and_one_channel(void **state)
{
    UNUSED(state);
    begin();
    assert_string_equal(dialogue_version(dialogue), "3.10.8");
    dialogue_close(dialogue);
    dialogue = NULL;
    expect("bye\nfree\n");
}

static void a_refused_login_leaves_nothing_open(void **state)
{
    UNUSED(state);
    opened = OPEN_REFUSED;
    assert_null(dialogue_open(&settings, "test", &fault));
    expect_fault("login refused");
    expect("new\nfree\n");
}

static void a_channel_that_does_not_open_closes_the_connection(void **state)
{
    UNUSED(state);
    assert_null(dialogue_open(&settings, "test", &fault));
    expect_fault("the broker has not answered within 10 s");
    expect("new\nopen\nbye\nfree\n");
}

static void closing_nothing_is_allowed(void **state)
{
    UNUSED(state);
    dialogue_close(NULL);
    expect("");
}

/* ---- requests ---- */

static void an_answer_may_take_ten_seconds(void **state)
{
    UNUSED(state);
    begin();
    delay = 9900;
    declared(TOPIC, 0, 2);
    uint32_t consumers = 0;
    assert_true(dialogue_find(dialogue, TOPIC, &consumers, &fault));
    expect("declare " TOPIC " passively\n");
    assert_int_equal(consumers, 2);
}

static void no_answer_for_ten_seconds_is_a_fault(void **state)
{
    UNUSED(state);
    begin();
    int64_t asked = now;
    delay = 11000;
    declared(TOPIC, 0, 0);
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_fault(TOPIC ": the broker has not answered within 10 s");
    assert_true(now - asked >= 10000 && now - asked < 11000);
}

static void a_wait_sends_what_is_gathered_and_ends_for_the_heartbeat(void **state)
{
    UNUSED(state);
    begin();
    struct pollfd fd;
    flushes = 0;
    heartbeat_every = 250;
    assert_true(dialogue_wait(dialogue, &fd, 1, &fault));
    assert_int_equal(now, 1000250);
    assert_int_equal(flushes, 1);
    heartbeat_every = 5000;
    assert_true(dialogue_wait(dialogue, &fd, 1, &fault));
    assert_int_equal(now, 1001250); /* a second at most */
}

static void a_dead_broker_ends_a_wait(void **state)
{
    UNUSED(state);
    begin();
    heartbeat_every = 0;
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_fault(TOPIC ": the broker is silent");
}

static void the_answer_to_another_request_is_no_answer(void **state)
{
    UNUSED(state);
    begin();
    says(AMQP_BASIC_QOS_OK_METHOD);
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_fault(TOPIC ": the broker has not answered within 10 s");
}

static void a_missing_queue_is_named_with_advice(void **state)
{
    UNUSED(state);
    begin();
    closes(404, "NOT_FOUND - no queue");
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_in(fault.text, TOPIC ": ");
    expect_in(fault.text, "virtual host /");
    expect("declare " TOPIC " passively\nclose-ok\n");
}

static void another_refusal_is_quoted(void **state)
{
    UNUSED(state);
    begin();
    closes(403, "ACCESS_REFUSED - no");
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_in(fault.text, TOPIC ": ");
    expect_in(fault.text, "\"403 ACCESS_REFUSED - no\"");
}

static void a_look_counts_messages_and_accepts_a_missing_queue(void **state)
{
    UNUSED(state);
    begin();
    bool found = false;
    uint32_t messages = 0;
    declared(TOPIC, 7, 0);
    assert_true(dialogue_look(dialogue, TOPIC, &found, &messages, &fault));
    assert_true(found && messages == 7);
    closes(404, "NOT_FOUND - no queue");
    assert_true(dialogue_look(dialogue, TOPIC, &found, &messages, &fault));
    assert_true(!found && messages == 0);
}

static void a_look_reports_other_refusals(void **state)
{
    UNUSED(state);
    begin();
    bool found = true;
    uint32_t messages = 0;
    closes(403, "ACCESS_REFUSED - no");
    assert_false(dialogue_look(dialogue, TOPIC, &found, &messages, &fault));
    assert_false(found);
    expect_in(fault.text, TOPIC ": ");
}

static bool try_declare(int *refusal)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(TOPIC), .passive = 1};
    return dialogue_try(dialogue, AMQP_QUEUE_DECLARE_METHOD, &declare, refusal, &fault);
}

static void a_refused_request_leaves_the_channel_open(void **state)
{
    UNUSED(state);
    int refusal = -1;
    begin();
    closes(405, "RESOURCE_LOCKED - exclusive");
    says(AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_true(try_declare(&refusal));
    assert_int_equal(refusal, 405);
    expect_in(fault.text, "405 RESOURCE_LOCKED - exclusive");
    expect("declare " TOPIC " passively\nclose-ok\nopen\n");
    declared(TOPIC, 3, 1);
    assert_true(try_declare(&refusal));
    assert_int_equal(refusal, 0);
    assert_int_equal(dialogue_messages(dialogue), 3);
    assert_int_equal(dialogue_consumers(dialogue), 1);
}

static void a_request_without_an_answer_is_no_refusal(void **state)
{
    UNUSED(state);
    int refusal = -1;
    begin();
    loses_connection();
    assert_false(try_declare(&refusal));
    assert_int_equal(refusal, 0);
    expect_fault("connection lost");
    expect("declare " TOPIC " passively\n"); /* it opens no channel */
}

static void a_channel_that_does_not_open_again_is_a_fault(void **state)
{
    UNUSED(state);
    int refusal = -1;
    begin();
    closes(403, "ACCESS_REFUSED - no");
    loses_connection();
    assert_false(try_declare(&refusal));
    expect_fault("connection lost");
}

static void a_close_that_cannot_be_answered_is_a_fault(void **state)
{
    UNUSED(state);
    begin();
    broken = AMQP_CHANNEL_CLOSE_OK_METHOD;
    closes(403, "ACCESS_REFUSED - no");
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_fault(TOPIC ": send failed");
}

/* ---- receiving ---- */

static void puts_a_message_together(void **state)
{
    UNUSED(state);
    begin_to_consume();
    releases = 0;
    announces(5);
    header(9);
    body("{\"a\"");
    assert_int_equal(next(), DIALOGUE_NOTHING);
    assert_int_equal(releases, 1);
    body(":");
    body("\"b\"}");
    expect_message(5, "{\"a\":\"b\"}");
    assert_true(message.wanted);
    assert_int_equal(message.properties.len, 0);
    assert_int_equal(releases, 2);
}

static void reads_one_message_at_a_time(void **state)
{
    UNUSED(state);
    begin_to_consume();
    delivers(1, "{}");
    delivers(2, ""); /* complete with its header */
    delivers(3, "{\"b\":1}");
    expect_message(1, "{}");
    expect_message(2, "");
    expect_message(3, "{\"b\":1}");
    assert_int_equal(next(), DIALOGUE_NOTHING);
}

static void a_message_right_after_the_answer_is_not_lost(void **state)
{
    UNUSED(state);
    begin();
    says(AMQP_BASIC_QOS_OK_METHOD);
    says(AMQP_BASIC_CONSUME_OK_METHOD);
    delivers(1, "{}");
    assert_true(dialogue_consume(dialogue, TOPIC, 10, &fault));
    expect_message(1, "{}");
}

static void keeps_sound_properties_that_are_not_plain(void **state)
{
    UNUSED(state);
    static char plain[] = "\x90\x00\x10"
                          "application/json\x02";
    static char with_id[] = "\x00\x80\x02id";
    static char cut_off[] = "\x00\x80\x09id";
    begin_to_consume();
    announces(1);
    header_with(0, (amqp_bytes_t){sizeof plain - 1, plain}, amqp_empty_table);
    expect_message(1, "");
    assert_int_equal(message.properties.len, 0);
    announces(2);
    header_with(0, (amqp_bytes_t){sizeof with_id - 1, with_id}, amqp_empty_table);
    expect_message(2, "");
    assert_int_equal(message.properties.len, sizeof with_id - 1);
    assert_memory_equal(message.properties.at, with_id, sizeof with_id - 1);
    announces(3);
    header_with(0, (amqp_bytes_t){sizeof cut_off - 1, cut_off}, amqp_empty_table);
    expect_message(3, "");
    assert_int_equal(message.properties.len, 0); /* neither these nor those of message 2 */
}

static void a_message_over_the_limit_is_a_fault(void **state)
{
    UNUSED(state);
    begin_to_consume();
    announces(1);
    header(100);
    assert_int_equal(next(), DIALOGUE_NOTHING); /* the limit itself is allowed */
    begin_to_consume();
    announces(1);
    header(101);
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, TOPIC ": ");
    expect_in(fault.text, "101 bytes");
}

static void parts_out_of_turn_are_violations(void **state)
{
    UNUSED(state);
    begin_to_consume();
    body("{}");
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");

    begin_to_consume();
    header(2);
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");

    begin_to_consume();
    announces(1);
    header(2);
    header(2);
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");

    begin_to_consume();
    announces(1);
    body("{}");
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");

    begin_to_consume();
    delivers(1, "{}");
    body("{}"); /* after the last part */
    expect_message(1, "{}");
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");

    begin_to_consume();
    delivers(1, "{}");
    body(""); /* an empty part would be a second message */
    expect_message(1, "{}");
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");
}

static void a_body_longer_than_its_header_says_is_a_violation(void **state)
{
    UNUSED(state);
    begin_to_consume();
    announces(1);
    header(3);
    body("{}");
    body("{}");
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "violation: ");
}

static void a_cancelled_consumer_is_a_fault(void **state)
{
    UNUSED(state);
    begin_to_consume();
    says(AMQP_BASIC_CANCEL_METHOD);
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, TOPIC ": ");
    expect_in(fault.text, "deleted");
}

static void acknowledges_and_returns(void **state)
{
    UNUSED(state);
    begin_to_consume();
    assert_true(dialogue_accept(dialogue, 4, &fault));
    assert_true(dialogue_acknowledge(dialogue, 6, &fault));
    assert_true(dialogue_return(dialogue, 9, &fault));
    expect("ack 4\nack <=6\nreturn <=9\n");
    broken = AMQP_BASIC_ACK_METHOD;
    assert_false(dialogue_accept(dialogue, 10, &fault));
    assert_false(dialogue_acknowledge(dialogue, 10, &fault));
    broken = AMQP_BASIC_NACK_METHOD;
    assert_false(dialogue_return(dialogue, 10, &fault));
}

static void gets_the_oldest_message_or_nothing(void **state)
{
    UNUSED(state);
    begin();
    hands_out(1, "{}");
    assert_int_equal(dialogue_get(dialogue, TOPIC, true, &message, &fault), DIALOGUE_MESSAGE);
    assert_string_equal(message.body, "{}");
    assert_true(message.wanted && message.tag == 1);
    says(AMQP_BASIC_GET_EMPTY_METHOD);
    assert_int_equal(dialogue_get(dialogue, TOPIC, true, &message, &fault), DIALOGUE_NOTHING);
    hands_out(2, "{\"b\":2}");
    assert_int_equal(dialogue_get(dialogue, TOPIC, true, &message, &fault), DIALOGUE_MESSAGE);
    assert_string_equal(message.body, "{\"b\":2}");
    expect("get " TOPIC "\nget " TOPIC "\nget " TOPIC "\n");
    assert_int_equal(dialogue_get(dialogue, TOPIC, true, &message, &fault), DIALOGUE_FAILED);
    expect_in(fault.text, "not answered within 10 s");
}

static void get_leaves_a_large_body_out_on_request(void **state)
{
    UNUSED(state);
    char large[102] = {0};
    memset(large, 'x', 101);
    begin();
    hands_out(1, large);
    assert_int_equal(dialogue_get(dialogue, TOPIC, false, &message, &fault), DIALOGUE_MESSAGE);
    assert_false(message.wanted);
    assert_int_equal(message.len, 0);
    assert_int_equal(first, end); /* all of its frames are read */
    hands_out(2, "{}");
    assert_int_equal(dialogue_get(dialogue, TOPIC, false, &message, &fault), DIALOGUE_MESSAGE);
    assert_true(message.wanted);
    assert_string_equal(message.body, "{}");
    hands_out(3, large);
    assert_int_equal(dialogue_get(dialogue, TOPIC, true, &message, &fault), DIALOGUE_FAILED);
    expect_in(fault.text, "101 bytes");
}

/* ---- sending ---- */

static void publish(size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(dialogue_publish(dialogue, TOPIC, "{}", 2, &fault));
}

static void read_all(void)
{
    assert_int_equal(next(), DIALOGUE_NOTHING);
    assert_int_equal(first, end);
}

static void publishes_what_has_to_arrive(void **state)
{
    UNUSED(state);
    begin_to_publish();
    publish(1);
    expect("publish " TOPIC " {} persistent mandatory\n");
    assert_int_equal(dialogue_unconfirmed(dialogue), 1);
    acks(1, false);
    read_all();
    assert_int_equal(dialogue_unconfirmed(dialogue), 0);
    publish_fails = true;
    assert_false(dialogue_publish(dialogue, TOPIC, "{}", 2, &fault));
}

static void counts_confirmations_in_any_order(void **state)
{
    UNUSED(state);
    begin_to_publish();
    publish(6);
    acks(2, false);
    acks(2, false); /* no publication is confirmed twice */
    read_all();
    assert_int_equal(dialogue_unconfirmed(dialogue), 5);
    acks(3, true);
    read_all();
    assert_int_equal(dialogue_unconfirmed(dialogue), 3);
    acks(1, false);
    acks(2, true); /* before the oldest that is open */
    acks(7, true); /* was never published */
    acks(9, false);
    read_all();
    assert_int_equal(dialogue_unconfirmed(dialogue), 3);
    acks(0, true); /* all of them */
    read_all();
    assert_int_equal(dialogue_unconfirmed(dialogue), 0);
}

static void a_full_window_has_no_room(void **state)
{
    UNUSED(state);
    begin_to_publish();
    for (int round = 0; round < 3; round++) { /* the window goes round */
        publish(32767);
        assert_true(dialogue_has_room(dialogue));
        publish(1);
        assert_false(dialogue_has_room(dialogue));
        uint64_t oldest = (uint64_t)round * 32768 + 1;
        acks(oldest + 1, false); /* the oldest is still open */
        read_all();
        assert_false(dialogue_has_room(dialogue));
        acks(oldest, false);
        read_all();
        assert_true(dialogue_has_room(dialogue));
        acks(oldest + 32767, true);
        read_all();
        assert_int_equal(dialogue_unconfirmed(dialogue), 0);
        text_clear(&journal);
        first = end = 0;
    }
}

static void an_alarm_leaves_no_room(void **state)
{
    UNUSED(state);
    begin_to_publish();
    says(AMQP_CONNECTION_BLOCKED_METHOD);
    read_all();
    assert_true(dialogue_is_blocked(dialogue));
    assert_false(dialogue_has_room(dialogue));
    says(AMQP_CONNECTION_UNBLOCKED_METHOD);
    read_all();
    assert_false(dialogue_is_blocked(dialogue));
    assert_true(dialogue_has_room(dialogue));
}

static void a_refused_or_returned_publication_is_a_fault(void **state)
{
    UNUSED(state);
    begin_to_publish();
    publish(2);
    says(AMQP_BASIC_NACK_METHOD);
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, "its queue is full");
    returns(TOPIC);
    assert_int_equal(next(), DIALOGUE_FAILED);
    expect_in(fault.text, TOPIC ": no queue has this name");
}

static struct dialogue_message letter(void)
{
    return (struct dialogue_message){.body = "{}", .len = 2, .tag = 1};
}

static void a_move_waits_for_the_confirmation(void **state)
{
    UNUSED(state);
    struct dialogue_message moved = letter();
    struct properties properties = {"\x00\x80\x02id", 5};
    begin_to_publish();
    delay = 2500;
    acks(1, false);
    assert_true(dialogue_move(dialogue, TOPIC, &moved, properties, &fault));
    assert_int_equal(now, 1002500);
    expect("publish " TOPIC " {} persistent mandatory with properties\n");
    delay = 0;
    acks(1, false); /* of an earlier publication */
    assert_false(dialogue_move(dialogue, TOPIC, &moved, properties, &fault));
    expect_in(fault.text, "not answered within 10 s");
}

static void a_move_that_is_refused_or_returned_fails(void **state)
{
    UNUSED(state);
    struct dialogue_message moved = letter();
    begin_to_publish();
    returns(TOPIC);
    acks(1, false); /* the broker confirms a returned publication, too */
    assert_false(dialogue_move(dialogue, TOPIC, &moved, (struct properties){0}, &fault));
    expect_in(fault.text, "came back");
    first = end = 0;
    says(AMQP_BASIC_NACK_METHOD);
    assert_false(dialogue_move(dialogue, TOPIC, &moved, (struct properties){0}, &fault));
}

/* ---- permission to publish ---- */

static void a_returned_message_shows_that_the_user_may_publish(void **state)
{
    UNUSED(state);
    bool may = false;
    begin();
    returns("valawai-host/no-queue-0");
    assert_true(dialogue_may_publish(dialogue, &may, &fault));
    assert_true(may);
    expect("publish nowhere {} mandatory\n");
}

static void a_refused_message_shows_that_the_user_may_not(void **state)
{
    UNUSED(state);
    bool may = true;
    begin();
    closes(403, "ACCESS_REFUSED - no");
    assert_true(dialogue_may_publish(dialogue, &may, &fault));
    assert_false(may);
}

static void an_alarm_hides_whether_the_user_may_publish(void **state)
{
    UNUSED(state);
    bool may = true;
    begin();
    says(AMQP_CONNECTION_BLOCKED_METHOD);
    assert_false(dialogue_may_publish(dialogue, &may, &fault));
    assert_false(may);
    expect_in(fault.text, "alarm");
}

static void an_alarm_that_has_ended_hides_nothing(void **state)
{
    UNUSED(state);
    bool may = false;
    begin();
    says(AMQP_CONNECTION_BLOCKED_METHOD);
    says(AMQP_CONNECTION_UNBLOCKED_METHOD);
    assert_int_equal(next(), DIALOGUE_NOTHING);
    returns("valawai-host/no-queue-0");
    assert_true(dialogue_may_publish(dialogue, &may, &fault));
    assert_true(may);
}

static void silence_or_another_refusal_shows_nothing(void **state)
{
    UNUSED(state);
    bool may = true;
    begin();
    closes(541, "INTERNAL_ERROR");
    assert_false(dialogue_may_publish(dialogue, &may, &fault));
    assert_false(may);
    expect_in(fault.text, "541 INTERNAL_ERROR");
    assert_false(dialogue_may_publish(dialogue, &may, &fault));
    expect_in(fault.text, "not answered within 10 s");
}

static void an_earlier_refusal_is_no_answer(void **state)
{
    UNUSED(state);
    int refusal = 0;
    bool may = true;
    begin();
    closes(403, "ACCESS_REFUSED - no");
    says(AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_true(try_declare(&refusal));
    assert_int_equal(refusal, 403);
    loses_connection();
    assert_false(dialogue_may_publish(dialogue, &may, &fault));
    expect_fault("connection lost");
}

static void an_earlier_refusal_explains_no_later_fault(void **state)
{
    UNUSED(state);
    int refusal = 0;
    begin();
    closes(404, "NOT_FOUND - no queue");
    says(AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_true(try_declare(&refusal));
    loses_connection();
    assert_false(dialogue_find(dialogue, TOPIC, NULL, &fault));
    expect_fault(TOPIC ": connection lost");
}

/* ---- tracing ---- */

static void begin_to_trace(void)
{
    begin();
    declared("amq.gen-1", 0, 0);
    says(AMQP_QUEUE_BIND_OK_METHOD);
    says(AMQP_BASIC_QOS_OK_METHOD);
    says(AMQP_BASIC_CONSUME_OK_METHOD);
}

static void traces_into_a_queue_of_its_own(void **state)
{
    UNUSED(state);
    amqp_field_value_t own[] = {key("amq.gen-1")}, here[] = {key("elsewhere"), key(TOPIC)},
                       there[] = {key("elsewhere")};
    amqp_table_entry_t entries[4];
    begin_to_trace();
    copies_routed_to(1, "{\"early\":1}", 2, here, &entries[0]); /* before the trace is known to work */
    copies_routed_to(2, "{}", 1, own, &entries[1]);
    delivers(3, "{}");
    assert_true(dialogue_trace(dialogue, TOPIC, &fault));
    expect("declare  exclusively for now\n  x-max-length 100000\nbind amq.gen-1 to publish. of amq.rabbitmq.trace\n"
           "prefetch 1000\nconsume amq.gen-1\npublish amq.gen-1 {}\n");
    assert_int_equal(next(), DIALOGUE_MESSAGE); /* the probe */
    assert_int_equal(message.tag, 3);
    assert_false(message.wanted);
    copies_routed_to(4, "{\"a\":1}", 2, here, &entries[2]);
    copies_routed_to(5, "{\"b\":1}", 1, there, &entries[3]);
    expect_message(4, "{\"a\":1}");
    assert_true(message.wanted);
    assert_int_equal(next(), DIALOGUE_MESSAGE);
    assert_int_equal(message.tag, 5);
    assert_false(message.wanted); /* went elsewhere */
    assert_int_equal(message.len, 0);
}

static void tracing_that_is_off_is_a_fault(void **state)
{
    UNUSED(state);
    begin_to_trace();
    delivers(1, "{}"); /* the probe, without a copy before it */
    assert_false(dialogue_trace(dialogue, TOPIC, &fault));
    expect_in(fault.text, "tracing is off at broker:5672");
    expect_in(fault.text, "rabbitmqctl trace_on -p /");
}

static void only_the_copy_of_its_own_message_shows_that_tracing_is_on(void **state)
{
    UNUSED(state);
    amqp_field_value_t here[] = {key(TOPIC)};
    amqp_table_entry_t entry;
    begin_to_trace();
    copies_routed_to(1, "{}", 1, here, &entry); /* tracing ended after it */
    delivers(2, "{}");
    assert_false(dialogue_trace(dialogue, TOPIC, &fault));
    expect_in(fault.text, "tracing is off");
}

static void a_copy_without_a_list_of_topics_is_not_shown(void **state)
{
    UNUSED(state);
    amqp_field_value_t own[] = {key("amq.gen-1")}, other_kind[] = {key(TOPIC)}, here[] = {key(TOPIC)};
    amqp_table_entry_t entries[4];
    begin_to_trace();
    copies_routed_to(1, "{}", 1, own, &entries[0]);
    delivers(2, "{}");
    assert_true(dialogue_trace(dialogue, TOPIC, &fault));
    assert_int_equal(next(), DIALOGUE_MESSAGE); /* the probe */
    other_kind[0].kind = AMQP_FIELD_KIND_BYTES;
    copies_routed_to(3, "{}", 1, other_kind, &entries[1]);
    copies_routed_to(4, "{}", 1, here, &entries[2]);
    entries[2].value.kind = AMQP_FIELD_KIND_TABLE;
    copies_routed_to(5, "{}", 1, here, &entries[3]);
    entries[3].key = amqp_cstring_bytes("routing_key");
    for (uint64_t tag = 3; tag <= 5; tag++) {
        assert_int_equal(next(), DIALOGUE_MESSAGE);
        assert_int_equal(message.tag, tag);
        assert_false(message.wanted);
    }
}

static void a_refused_trace_is_a_fault(void **state)
{
    UNUSED(state);
    begin();
    declared("amq.gen-1", 0, 0);
    closes(403, "ACCESS_REFUSED - no");
    assert_false(dialogue_trace(dialogue, TOPIC, &fault));
    expect_in(fault.text, "403 ACCESS_REFUSED - no");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(opens_one_connection_and_one_channel),
        TEST(a_refused_login_leaves_nothing_open),
        TEST(a_channel_that_does_not_open_closes_the_connection),
        TEST(closing_nothing_is_allowed),
        TEST(an_answer_may_take_ten_seconds),
        TEST(no_answer_for_ten_seconds_is_a_fault),
        TEST(a_wait_sends_what_is_gathered_and_ends_for_the_heartbeat),
        TEST(a_dead_broker_ends_a_wait),
        TEST(the_answer_to_another_request_is_no_answer),
        TEST(a_missing_queue_is_named_with_advice),
        TEST(another_refusal_is_quoted),
        TEST(a_look_counts_messages_and_accepts_a_missing_queue),
        TEST(a_look_reports_other_refusals),
        TEST(a_refused_request_leaves_the_channel_open),
        TEST(a_request_without_an_answer_is_no_refusal),
        TEST(a_channel_that_does_not_open_again_is_a_fault),
        TEST(a_close_that_cannot_be_answered_is_a_fault),
        TEST(puts_a_message_together),
        TEST(reads_one_message_at_a_time),
        TEST(a_message_right_after_the_answer_is_not_lost),
        TEST(keeps_sound_properties_that_are_not_plain),
        TEST(a_message_over_the_limit_is_a_fault),
        TEST(parts_out_of_turn_are_violations),
        TEST(a_body_longer_than_its_header_says_is_a_violation),
        TEST(a_cancelled_consumer_is_a_fault),
        TEST(acknowledges_and_returns),
        TEST(gets_the_oldest_message_or_nothing),
        TEST(get_leaves_a_large_body_out_on_request),
        TEST(publishes_what_has_to_arrive),
        TEST(counts_confirmations_in_any_order),
        TEST(a_full_window_has_no_room),
        TEST(an_alarm_leaves_no_room),
        TEST(a_refused_or_returned_publication_is_a_fault),
        TEST(a_move_waits_for_the_confirmation),
        TEST(a_move_that_is_refused_or_returned_fails),
        TEST(a_returned_message_shows_that_the_user_may_publish),
        TEST(a_refused_message_shows_that_the_user_may_not),
        TEST(an_alarm_hides_whether_the_user_may_publish),
        TEST(an_alarm_that_has_ended_hides_nothing),
        TEST(silence_or_another_refusal_shows_nothing),
        TEST(an_earlier_refusal_is_no_answer),
        TEST(an_earlier_refusal_explains_no_later_fault),
        TEST(traces_into_a_queue_of_its_own),
        TEST(tracing_that_is_off_is_a_fault),
        TEST(only_the_copy_of_its_own_message_shows_that_tracing_is_on),
        TEST(a_copy_without_a_list_of_topics_is_not_shown),
        TEST(a_refused_trace_is_a_fault),
    };
    return cmocka_run_group_tests_name("dialogue", tests, NULL, NULL);
}
