/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * channel: the test plays the broker, frame by frame. The journal holds the channel's methods and events. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "broker/channel.h"

static int64_t now;
static struct text journal;
static struct receiver receiver;
static struct subscription topic;
static struct channel channel;
static struct fault fault;
static struct log *logs;
static char *directory;
static int close_code;
static char close_text[128];

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

int64_t __wrap_clock_us(void);
int64_t __wrap_clock_us(void)
{
    return now * 1000;
}

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

bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *unused);
bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *unused)
{
    UNUSED(connection);
    UNUSED(unused);
    assert_int_equal(number, 7);
    switch (id) {
    case AMQP_CHANNEL_OPEN_METHOD:
        put("open");
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        put("close");
        break;
    case AMQP_QUEUE_DECLARE_METHOD:
        put("declare%s", ((amqp_queue_declare_t *)method)->passive ? " passively" : "");
        break;
    case AMQP_BASIC_QOS_METHOD:
        put("prefetch %d", ((amqp_basic_qos_t *)method)->prefetch_count);
        break;
    case AMQP_BASIC_CONSUME_METHOD: {
        const amqp_basic_consume_t *consume = method;
        put("consume %.*s", (int)consume->consumer_tag.len, (char *)consume->consumer_tag.bytes);
        break;
    }
    case AMQP_BASIC_CANCEL_METHOD: {
        const amqp_basic_cancel_t *cancel = method;
        put("cancel %.*s", (int)cancel->consumer_tag.len, (char *)cancel->consumer_tag.bytes);
        assert_true(cancel->nowait);
        break;
    }
    case AMQP_BASIC_CANCEL_OK_METHOD:
        put("cancel-ok");
        break;
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method;
        put("ack %s%d", ack->multiple ? "<=" : "", (int)ack->delivery_tag);
        break;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method;
        assert_true(nack->requeue);
        put("return %s%d", nack->multiple ? "<=" : "", (int)nack->delivery_tag);
        break;
    }
    case AMQP_BASIC_REJECT_METHOD: {
        const amqp_basic_reject_t *reject = method;
        assert_false(reject->requeue);
        put("reject %d", (int)reject->delivery_tag);
        break;
    }
    case AMQP_BASIC_GET_METHOD:
        put("get");
        break;
    default:
        fail_msg("method 0x%08x", id);
    }
    return true;
}

bool __wrap_connection_violated(struct connection *connection, struct fault *why, const char *how);
bool __wrap_connection_violated(struct connection *connection, struct fault *why, const char *how)
{
    UNUSED(connection);
    return fault_set(why, "%s", how);
}

bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why);
bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why)
{
    UNUSED(connection);
    UNUSED(frame);
    *code = close_code;
    fault_set(why, "%d %s", close_code, close_text);
    put("close-ok");
    return true;
}

static void on_changed(struct subscription *subscription, bool up)
{
    assert_ptr_equal(subscription, &topic);
    put("%s", up ? "up" : "down");
}

static void expect(const char *lines)
{
    assert_string_equal(journal.len > 0 ? journal.at : "", lines);
    text_clear(&journal);
}

/* ---- the broker's side ---- */

static void method(amqp_method_number_t id, void *decoded)
{
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_METHOD, .channel = 7};
    frame.payload.method.id = id;
    frame.payload.method.decoded = decoded;
    assert_true(channel_frame(&channel, &frame, &fault));
}

static bool announce(uint64_t tag, bool redelivered)
{
    amqp_basic_deliver_t deliver = {.delivery_tag = tag, .redelivered = redelivered};
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_METHOD, .channel = 7};
    frame.payload.method.id = AMQP_BASIC_DELIVER_METHOD;
    frame.payload.method.decoded = &deliver;
    return channel_frame(&channel, &frame, &fault);
}

static bool header(uint64_t size, amqp_table_t headers)
{
    amqp_basic_properties_t properties = {._flags = headers.num_entries > 0 ? AMQP_BASIC_HEADERS_FLAG : 0,
                                          .headers = headers};
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_HEADER, .channel = 7};
    frame.payload.properties.class_id = AMQP_BASIC_CLASS;
    frame.payload.properties.body_size = size;
    frame.payload.properties.decoded = &properties;
    return channel_frame(&channel, &frame, &fault);
}

static bool body(const char *text)
{
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_BODY, .channel = 7};
    frame.payload.body_fragment = amqp_cstring_bytes(text);
    return channel_frame(&channel, &frame, &fault);
}

static struct delivery *taken(void)
{
    return (struct delivery *)list_take(&receiver.batch);
}

static struct delivery *deliver(uint64_t tag, bool redelivered)
{
    assert_true(announce(tag, redelivered) && header(2, amqp_empty_table) && body("{}"));
    struct delivery *delivery = taken();
    assert_non_null(delivery);
    return delivery;
}

static void settle(struct delivery *delivery, enum settlement settlement)
{
    delivery->settlement = settlement;
    if (!delivery_is_stale(delivery)) {
        assert_true(channel_settle(&channel, delivery, now * 1000, &fault));
        assert_true(channel_settled(&channel, &fault));
    }
    free(delivery);
}

static void broker_closes(int code, const char *text)
{
    close_code = code;
    snprintf(close_text, sizeof close_text, "%s", text);
    method(AMQP_CHANNEL_CLOSE_METHOD, NULL);
}

static void broker_cancels(const char *tag)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(tag), .nowait = 1};
    method(AMQP_BASIC_CANCEL_METHOD, &cancel);
}

static void declared(unsigned messages, unsigned consumers)
{
    amqp_queue_declare_ok_t ok = {.message_count = messages, .consumer_count = consumers};
    method(AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
}

static void tend(void)
{
    receiver.due = INT64_MAX;
    assert_true(channel_tend(&channel, now, &fault));
}

static void begin(enum subscription_kind kind)
{
    topic =
        (struct subscription){.topic = "t", .component = "c1_a", .kind = kind, .wanted = true, .changed = on_changed};
    channel_init(&channel, &receiver, &topic, 7);
}

static void until_consuming(void)
{
    begin(SUBSCRIBE_TOPIC);
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 1 t\n");
    declared(0, 0);
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    expect("up\n");
}

static int enter(void **state)
{
    UNUSED(state);
    now = 1000000;
    journal = (struct text){0};
    directory = directory_new();
    logs = log_open(&(struct log_options){
        .directory = directory, .file_name = "log", .console_level = 100, .file_level = LOG_DEBUG});
    receiver = (struct receiver){.log = logs, .prefetch = 200, .message_max_bytes = 1000, .delivery_limit = 20};
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    channel_destroy(&channel);
    list_free(&receiver.batch);
    text_free(&journal);
    log_close(logs);
    directory_remove(directory);
    return 0;
}

/* ---- the tests ---- */

static void a_new_message_opens_the_window(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *first = deliver(1, false);
    expect("cancel c1_a 1 t\nprefetch 200\nconsume c1_a 2 t\n");
    settle(first, SETTLE_ACKNOWLEDGE);
    expect("ack <=1\n");
}

static void redelivered_messages_open_it_step_by_step(void **state)
{
    UNUSED(state);
    until_consuming();
    settle(deliver(1, true), SETTLE_ACKNOWLEDGE);
    expect("ack <=1\ncancel c1_a 1 t\nprefetch 2\nconsume c1_a 2 t\n");
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    settle(deliver(2, true), SETTLE_ACKNOWLEDGE);
    expect("ack <=2\n");
    settle(deliver(3, true), SETTLE_PUT_BACK); /* not a success */
    expect("return 3\n");
    settle(deliver(4, true), SETTLE_REJECT);
    expect("reject 4\ncancel c1_a 2 t\nprefetch 4\nconsume c1_a 3 t\n");
}

/* RabbitMQ closes the connection (541) when the host cancels a consumer before its basic.consume-ok has arrived. */
static void a_consumer_is_cancelled_only_after_its_answer(void **state)
{
    UNUSED(state);
    until_consuming();
    settle(deliver(1, true), SETTLE_ACKNOWLEDGE);
    expect("ack <=1\ncancel c1_a 1 t\nprefetch 2\nconsume c1_a 2 t\n");
    settle(deliver(2, true), SETTLE_ACKNOWLEDGE);
    settle(deliver(3, true), SETTLE_ACKNOWLEDGE);
    struct delivery *fresh = deliver(4, false);
    expect("ack <=2\nack <=3\n");
    channel.want = WANT_NOTHING;
    tend();
    expect("");
    receiver.due = INT64_MAX;
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    assert_int_equal(receiver.due, 0);
    tend();
    expect("down\ncancel c1_a 2 t\n");
    settle(fresh, SETTLE_ACKNOWLEDGE);
    expect("ack <=4\n");
}

static void a_lost_connection_closes_the_window(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *delivery = deliver(1, false);
    expect("cancel c1_a 1 t\nprefetch 200\nconsume c1_a 2 t\n");
    channel_lost(&channel);
    assert_true(delivery_is_stale(delivery));
    settle(delivery, SETTLE_ACKNOWLEDGE);
    expect("down\n");
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 3 t\n");
}

static void the_prefetch_of_a_subscription(void **state)
{
    UNUSED(state);
    begin(SUBSCRIBE_TOPIC);
    topic.prefetch = 5;
    tend();
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    text_clear(&journal);
    free(deliver(1, false));
    expect("cancel c1_a 1 t\nprefetch 5\nconsume c1_a 2 t\n");
}

static void more_than_the_prefetch_is_a_violation(void **state)
{
    UNUSED(state);
    until_consuming();
    free(deliver(1, false));
    unsigned count = 1;
    while (announce(count + 1, false) && header(0, amqp_empty_table)) {
        free(taken());
        assert_true(++count < 10000);
    }
    assert_int_equal(count, 3 * 200 + 64);
    assert_non_null(strstr(fault.text, "prefetch"));
}

static void strange_frames(void **state)
{
    UNUSED(state);
    until_consuming();
    assert_true(body("stray")); /* the rest of a void delivery */
    assert_true(header(5, amqp_empty_table));
    assert_null(taken());
    free(deliver(5, true));
    assert_false(announce(5, true)); /* a repeated tag */
    assert_true(announce(6, true) && header(3, amqp_empty_table));
    assert_false(body("1234"));
    assert_non_null(strstr(fault.text, "body"));
    assert_true(announce(7, true) && header(UINT64_MAX, amqp_empty_table)); /* a message of that size is not read */
    assert_true(body("1234"));
    assert_null(taken());
    assert_true(announce(8, true) && header(1001, amqp_empty_table));
    char large[1002];
    memset(large, 'x', 1001);
    large[1001] = '\0';
    assert_true(body(large));
    struct delivery *delivery = taken();
    assert_int_equal(delivery->refused, 1001);
    assert_int_equal(delivery->len, 0);
    free(delivery);
}

static amqp_table_entry_t entry(const char *name, uint8_t kind, int64_t number)
{
    amqp_table_entry_t made = {.key = amqp_cstring_bytes(name), .value = {.kind = kind}};
    if (kind == AMQP_FIELD_KIND_I64)
        made.value.value.i64 = number;
    else if (kind == AMQP_FIELD_KIND_U8)
        made.value.value.u8 = (uint8_t)number;
    else if (kind == AMQP_FIELD_KIND_UTF8)
        made.value.value.bytes = amqp_cstring_bytes("19");
    return made;
}

static void returns_are_counted_by_the_broker(void **state)
{
    UNUSED(state);
    static const struct { /* NOLINT(clang-analyzer-optin.performance.Padding): in the order that reads well */
        const char *name;
        uint8_t kind;
        int64_t number;
        uint32_t returns;
        bool at_limit;
    } cases[] = {
        {"x-delivery-count", AMQP_FIELD_KIND_I64, 0, 0, false},
        {"x-delivery-count", AMQP_FIELD_KIND_I64, 19, 19, false},
        {"x-delivery-count", AMQP_FIELD_KIND_I64, 20, 20, true},
        {"x-delivery-count", AMQP_FIELD_KIND_U8, 21, 21, true},
        {"x-delivery-count", AMQP_FIELD_KIND_I64, -1, 0, false},
        {"x-delivery-count", AMQP_FIELD_KIND_I64, INT64_MAX, UINT32_MAX, true},
        {"x-delivery-count", AMQP_FIELD_KIND_UTF8, 0, 0, false},
        {"x-acquired-count", AMQP_FIELD_KIND_I64, 25, 0, false}, /* a header that is never counted */
        {"x-delivery-counts", AMQP_FIELD_KIND_I64, 25, 0, false},
    };
    until_consuming();
    for (size_t i = 0; i < COUNT(cases); i++) {
        amqp_table_entry_t entries[] = {entry("other", AMQP_FIELD_KIND_I64, 99),
                                        entry(cases[i].name, cases[i].kind, cases[i].number)};
        assert_true(announce(i + 1, true));
        assert_true(header(0, (amqp_table_t){.num_entries = 2, .entries = entries}));
        struct delivery *delivery = taken();
        assert_int_equal(delivery->returns, cases[i].returns);
        assert_int_equal(delivery->attempt, cases[i].returns);
        assert_int_equal(delivery->at_limit, cases[i].at_limit);
        free(delivery);
    }
    amqp_table_entry_t one = entry("x-delivery-count", AMQP_FIELD_KIND_I64, 99); /* set by the publisher */
    assert_true(announce(100, false) && header(0, (amqp_table_t){.num_entries = 1, .entries = &one}));
    struct delivery *delivery = taken();
    assert_int_equal(delivery->returns, 0);
    free(delivery);
}

static void without_a_limit(void **state)
{
    UNUSED(state);
    receiver.delivery_limit = 0;
    until_consuming();
    amqp_table_entry_t one = entry("x-delivery-count", AMQP_FIELD_KIND_I64, 1000);
    assert_true(announce(1, true) && header(0, (amqp_table_t){.num_entries = 1, .entries = &one}));
    struct delivery *delivery = taken();
    assert_int_equal(delivery->returns, 1000);
    assert_false(delivery->at_limit);
    free(delivery);
}

/* Not at once: the broker may still be deleting the queue. */
static void subscribes_again_soon(void)
{
    tend();
    assert_int_equal(receiver.due, now + 500);
    now += 499;
    tend();
    expect("");
    now += 1;
    tend();
    expect("declare\nprefetch 1\nconsume c1_a 2 t\n");
}

static void a_deleted_queue_is_made_again(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *held = deliver(1, true);
    broker_cancels("c1_a 1 t");
    expect("down\ndeclare\n");
    subscribes_again_soon();
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    expect("up\n");
    assert_false(delivery_is_stale(held)); /* the channel is the same */
    settle(held, SETTLE_ACKNOWLEDGE);
    expect("ack <=1\ncancel c1_a 2 t\nprefetch 2\nconsume c1_a 3 t\n");
    broker_cancels("c1_a 2 t"); /* the cancelled consumer has been replaced */
    expect("");
}

static void an_answer_to_cancel_only_where_one_is_asked_for(void **state)
{
    UNUSED(state);
    until_consuming();
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes("c1_a 1 t"), .nowait = 0};
    method(AMQP_BASIC_CANCEL_METHOD, &cancel);
    expect("cancel-ok\ndown\ndeclare\n");
    subscribes_again_soon();
}

/* RabbitMQ 4.3 cancels the consumer. A declare shows that the queue still exists, and the host closes the channel. */
static void consumer_times_out(const struct delivery *held)
{
    broker_cancels("c1_a 1 t");
    expect("down\ndeclare\n");
    declared(1, 1);
    expect("return <=0\nclose\n");
    assert_true(delivery_is_stale(held));
}

/* RabbitMQ 4.3: the consumer is cancelled, and its queue still exists. */
static void a_consumer_timeout_pauses_the_topic(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *held = deliver(1, true);
    atomic_store(&topic.in_plugin, 1);
    now += 60000;
    consumer_times_out(held);
    tend();
    expect(""); /* not before the close is answered */
    method(AMQP_CHANNEL_CLOSE_OK_METHOD, NULL);
    tend();
    assert_int_equal(receiver.due, now + 1000);
    now += 1000;
    tend();
    expect(""); /* nor before the handler returns */
    atomic_store(&topic.in_plugin, 0);
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 2 t\n");
    settle(held, SETTLE_ACKNOWLEDGE);
    expect("");
}

/* The handler has returned, and its publications wait, for example during an alarm. The broker has taken back the
 * message. */
static void a_consumer_timeout_during_an_alarm(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *held = deliver(1, true);
    now += 60000;
    consumer_times_out(held);
    method(AMQP_CHANNEL_CLOSE_OK_METHOD, NULL);
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 2 t\n");
    free(held);
}

/* The same method, and the declared queue is empty and has no consumers, so the old queue was deleted. */
static void a_deleted_queue_beside_a_slow_handler(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *held = deliver(1, true);
    atomic_store(&topic.in_plugin, 1);
    now += 60000;
    broker_cancels("c1_a 1 t");
    expect("down\ndeclare\n");
    declared(0, 0);
    expect("");
    subscribes_again_soon();
    assert_false(delivery_is_stale(held));
    free(held);
}

/* Classic queues, and RabbitMQ before 4.3: the channel is closed. */
static void a_consumer_timeout_that_closes_the_channel(void **state)
{
    UNUSED(state);
    until_consuming();
    free(deliver(1, true));
    atomic_store(&topic.in_plugin, 1);
    broker_closes(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 7 timed out");
    expect("close-ok\ndown\n");
    broker_closes(406,
                  "PRECONDITION_FAILED - delivery acknowledgement on channel 7 timed out"); /* the broker repeats it */
    expect("");
    tend();
    expect("");
    atomic_store(&topic.in_plugin, 0);
    tend();
    expect("");
    assert_int_equal(receiver.due, now + 250);
    broker_closes(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 7 timed out");
    now += 250;
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 2 t\n");
}

static void a_refused_declare_becomes_passive(void **state)
{
    UNUSED(state);
    begin(SUBSCRIBE_TOPIC);
    tend();
    text_clear(&journal);
    broker_closes(403, "ACCESS_REFUSED - configure");
    expect("close-ok\n");
    tend();
    expect("open\ndeclare passively\nprefetch 1\nconsume c1_a 2 t\n");
    broker_closes(403, "ACCESS_REFUSED - read"); /* this was not the reason, or not the only one */
    expect("close-ok\n");
    tend();
    expect("");
    assert_uint_in_range(receiver.due, now + 250, now + 500);
    now = receiver.due;
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 3 t\n");
}

static void other_faults_are_retried_with_pauses(void **state)
{
    UNUSED(state);
    until_consuming();
    broker_closes(406, "PRECONDITION_FAILED - inequivalent arg");
    expect("close-ok\ndown\n");
    tend();
    expect("");
    now = receiver.due;
    tend();
    expect("open\ndeclare\nprefetch 1\nconsume c1_a 2 t\n");
}

static void the_end_cancels_and_returns(void **state)
{
    UNUSED(state);
    until_consuming();
    struct delivery *held = deliver(1, false);
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    text_clear(&journal);
    channel.want = WANT_NOTHING;
    tend();
    expect("down\ncancel c1_a 2 t\n");
    settle(held, SETTLE_ACKNOWLEDGE);
    expect("ack <=1\n");
    assert_true(channel_return_all(&channel, &fault));
    expect("return <=0\n");
    channel_lost(&channel);
    assert_true(channel_return_all(&channel, &fault)); /* nothing is sent without a channel */
    expect("");
}

static void leftovers_come_before_new_messages(void **state)
{
    UNUSED(state);
    begin(SUBSCRIBE_ANSWER);
    tend();
    expect("open\ndeclare\nget\n");
    amqp_basic_get_ok_t got = {.delivery_tag = 1};
    method(AMQP_BASIC_GET_OK_METHOD, &got);
    assert_true(header(0, amqp_empty_table));
    struct delivery *leftover = taken();
    assert_true(leftover->leftover);
    expect("get\n");
    method(AMQP_BASIC_GET_EMPTY_METHOD, NULL);
    expect("prefetch 1\nconsume c1_a 1 t\n");
    method(AMQP_BASIC_CONSUME_OK_METHOD, NULL);
    expect("up\n");
    settle(leftover, SETTLE_ACKNOWLEDGE);
    expect("ack <=1\n");
}

static void a_sweep_ends_by_itself_and_a_later_wish_counts(void **state)
{
    UNUSED(state);
    begin(SUBSCRIBE_ANSWER);
    channel.want = WANT_LEFTOVERS;
    tend();
    expect("open\ndeclare\nget\n");
    method(AMQP_BASIC_GET_EMPTY_METHOD, NULL);
    expect("");
    assert_int_equal(channel.want, WANT_NOTHING);
    channel.want = WANT_MESSAGES;
    tend();
    expect("return <=0\nclose\n");
    method(AMQP_CHANNEL_CLOSE_OK_METHOD, NULL);
    assert_int_equal(receiver.due, 0);
    tend();
    expect("open\ndeclare\nget\n");
    channel.want = WANT_MESSAGES; /* during a sweep: consuming follows */
    method(AMQP_BASIC_GET_EMPTY_METHOD, NULL);
    expect("prefetch 1\nconsume c1_a 1 t\n");
}

static void many_leftovers_wait_for_their_settlement(void **state)
{
    UNUSED(state);
    begin(SUBSCRIBE_ANSWER);
    tend();
    text_clear(&journal);
    struct list held = {0};
    unsigned count = 0;
    do {
        amqp_basic_get_ok_t got = {.delivery_tag = ++count};
        text_clear(&journal);
        method(AMQP_BASIC_GET_OK_METHOD, &got);
        assert_true(header(0, amqp_empty_table));
        list_put(&held, &taken()->node);
        assert_true(count < 1000);
    } while (journal.len > 0);
    assert_int_equal(channel.state, CHANNEL_GATHERING);
    settle((struct delivery *)list_take(&held), SETTLE_ACKNOWLEDGE);
    expect("ack <=1\nget\n");
    list_free(&held);
}

static void a_shared_queue_is_not_declared(void **state)
{
    UNUSED(state);
    begin(SUBSCRIBE_SHARED);
    tend();
    expect("open\nprefetch 200\nconsume c1_a 1 t\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_message_opens_the_window),
        TEST(redelivered_messages_open_it_step_by_step),
        TEST(a_consumer_is_cancelled_only_after_its_answer),
        TEST(a_lost_connection_closes_the_window),
        TEST(the_prefetch_of_a_subscription),
        TEST(more_than_the_prefetch_is_a_violation),
        TEST(strange_frames),
        TEST(returns_are_counted_by_the_broker),
        TEST(without_a_limit),
        TEST(a_deleted_queue_is_made_again),
        TEST(an_answer_to_cancel_only_where_one_is_asked_for),
        TEST(a_consumer_timeout_pauses_the_topic),
        TEST(a_consumer_timeout_during_an_alarm),
        TEST(a_deleted_queue_beside_a_slow_handler),
        TEST(a_consumer_timeout_that_closes_the_channel),
        TEST(a_refused_declare_becomes_passive),
        TEST(other_faults_are_retried_with_pauses),
        TEST(the_end_cancels_and_returns),
        TEST(leftovers_come_before_new_messages),
        TEST(a_sweep_ends_by_itself_and_a_later_wish_counts),
        TEST(many_leftovers_wait_for_their_settlement),
        TEST(a_shared_queue_is_not_declared),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
