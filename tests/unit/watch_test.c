/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * watch: its requests and the broker's answers, without a connection. The journal holds the methods that the watch
 * sends. */
#include "support.h"

#include <string.h>

#include "base/text.h"
#include "broker/watch.h"

#define QUEUE "valawai/component/register"

static int64_t now;
static struct text journal;
static struct watch watch;
static struct fault fault;
static amqp_method_number_t broken; /* the method that cannot be sent */

bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *why);
bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *why)
{
    UNUSED(connection);
    assert_int_equal(number, 3);
    if (id == broken)
        return fault_set(why, "connection lost");
    if (id == AMQP_CHANNEL_OPEN_METHOD) {
        text_puts(&journal, "open ");
        return true;
    }
    assert_int_equal(id, AMQP_QUEUE_DECLARE_METHOD);
    const amqp_queue_declare_t *declare = method;
    assert_true(declare->passive); /* the queue is the MOV's to make */
    assert_int_equal(declare->queue.len, strlen(QUEUE));
    assert_memory_equal(declare->queue.bytes, QUEUE, strlen(QUEUE));
    text_puts(&journal, "declare ");
    return true;
}

bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why);
bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why)
{
    UNUSED(connection);
    UNUSED(frame);
    assert_null(code);
    text_puts(&journal, "close-ok ");
    fault_set(why, "404 no such queue");
    return broken != AMQP_CHANNEL_CLOSE_OK_METHOD;
}

static void expect(const char *sent)
{
    assert_string_equal(journal.len > 0 ? journal.at : "", sent);
    text_clear(&journal);
}

static void tend(void)
{
    assert_true(watch_tend(&watch, NULL, now, &fault));
}

/* The broker's method, and whether it is news. */
static bool method(amqp_method_number_t id, void *decoded)
{
    bool changed = false;
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_METHOD, .channel = 3};
    frame.payload.method.id = id;
    frame.payload.method.decoded = decoded;
    assert_true(watch_method(&watch, NULL, &frame, &changed, &fault));
    return changed;
}

static bool answer(uint32_t consumers)
{
    amqp_queue_declare_ok_t ok = {.queue = amqp_cstring_bytes(QUEUE), .consumer_count = consumers};
    return method(AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
}

static bool no_queue(void)
{
    return method(AMQP_CHANNEL_CLOSE_METHOD, NULL);
}

static int enter(void **state)
{
    UNUSED(state);
    now = 1000000;
    broken = 0;
    watch_init(&watch, QUEUE, 3);
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    text_free(&journal);
    return 0;
}

/* ---- the tests ---- */

static void asks_twice_a_second(void **state)
{
    UNUSED(state);
    assert_true(watch_due(&watch) <= now);
    tend();
    expect("open declare ");
    answer(1);
    assert_int_equal(watch_due(&watch), now + 500);
    now += 499;
    tend();
    expect("");
    now++;
    tend();
    expect("declare "); /* the channel is still open */
}

static void asks_one_question_at_a_time(void **state)
{
    UNUSED(state);
    tend();
    expect("open declare ");
    now += 3600000;
    assert_int_equal(watch_due(&watch), INT64_MAX);
    tend();
    expect("");
    answer(0);
    tend();
    expect("declare ");
}

static void only_a_new_number_is_news(void **state)
{
    UNUSED(state);
    assert_int_equal(watch.consumers, -1);
    assert_true(answer(0)); /* the first answer is news, whatever it is */
    assert_false(answer(0));
    assert_true(answer(2));
    assert_int_equal(watch.consumers, 2);
    assert_false(answer(2));
    assert_true(answer(0));
    assert_int_equal(watch.consumers, 0);
}

static void a_missing_queue_has_no_consumers(void **state)
{
    UNUSED(state);
    tend();
    expect("open declare ");
    assert_true(answer(1));
    now += 500;
    tend();
    expect("declare ");
    assert_true(no_queue());
    expect("close-ok ");
    assert_int_equal(watch.consumers, 0);
    assert_int_equal(watch_due(&watch), now + 500);
    now += 500;
    tend();
    expect("open declare "); /* the refusal has closed the channel */
    assert_false(no_queue());
    expect("close-ok ");
    now += 500;
    tend();
    assert_true(answer(1)); /* the queue is made, and consumed */
}

static void a_lost_connection_forgets_the_question_and_the_answer(void **state)
{
    UNUSED(state);
    tend();
    assert_true(answer(1));
    now += 500;
    tend();
    expect("open declare declare ");
    watch_lost(&watch);
    assert_int_equal(watch.consumers, -1);
    assert_true(watch_due(&watch) <= now);
    tend();
    expect("open declare ");
    assert_true(answer(1));
}

static void without_a_queue_it_asks_nothing(void **state)
{
    UNUSED(state);
    watch_init(&watch, NULL, 3);
    assert_int_equal(watch_due(&watch), INT64_MAX);
    tend();
    expect("");
    watch_lost(&watch);
    tend();
    expect("");
}

static void other_methods_are_no_answer(void **state)
{
    UNUSED(state);
    tend();
    expect("open declare ");
    amqp_channel_open_ok_t ok = {0};
    assert_false(method(AMQP_CHANNEL_OPEN_OK_METHOD, &ok));
    assert_int_equal(watch.consumers, -1);
    assert_int_equal(watch_due(&watch), INT64_MAX);
}

static void a_failed_send_is_a_fault(void **state)
{
    UNUSED(state);
    broken = AMQP_CHANNEL_OPEN_METHOD;
    assert_false(watch_tend(&watch, NULL, now, &fault));
    assert_string_equal(fault.text, "connection lost");
    expect(""); /* no declare on a channel that is not open */

    watch_lost(&watch);
    broken = AMQP_QUEUE_DECLARE_METHOD;
    assert_false(watch_tend(&watch, NULL, now, &fault));
    expect("open ");

    watch_lost(&watch);
    broken = AMQP_CHANNEL_CLOSE_OK_METHOD;
    tend();
    bool changed = false;
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_METHOD, .channel = 3};
    frame.payload.method.id = AMQP_CHANNEL_CLOSE_METHOD;
    assert_false(watch_method(&watch, NULL, &frame, &changed, &fault));
    assert_string_equal(fault.text, "send failed");
    assert_false(changed); /* the connection is lost, and says nothing about the queue */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(asks_twice_a_second),
        TEST(asks_one_question_at_a_time),
        TEST(only_a_new_number_is_news),
        TEST(a_missing_queue_has_no_consumers),
        TEST(a_lost_connection_forgets_the_question_and_the_answer),
        TEST(without_a_queue_it_asks_nothing),
        TEST(other_methods_are_no_answer),
        TEST(a_failed_send_is_a_fault),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
