/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outlets: when queues are declared, and when they count as refusing. The test plays the broker and the clock. */
#include "broker/outlets.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

static struct outlets outlets;
static int64_t now;

static int begin(void **state)
{
    static const char *const topics[] = {"a", "b", "a"};
    UNUSED(state);
    now = 1000;
    outlets_init(&outlets, topics, COUNT(topics));
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    outlets_free(&outlets);
    return 0;
}

static void expect_asked(const char *topic)
{
    const char *asked = outlets_ask(&outlets, now);
    if (topic == NULL)
        assert_null(asked);
    else
        assert_string_equal(asked, topic);
}

static void expect_answered(const char *topic)
{
    assert_string_equal(outlets_answer(&outlets), topic);
}

static void expect_refused(const char *topic, bool first)
{
    bool is_first = !first;
    assert_string_equal(outlets_refuse(&outlets, now, &is_first), topic);
    assert_int_equal(is_first, first);
}

static void a_new_connection_declares_every_queue_once(void **state)
{
    UNUSED(state);
    expect_asked(NULL);
    outlets_want_all(&outlets);
    assert_false(outlets_prepared(&outlets));
    expect_asked("a");
    expect_asked(NULL); /* one at a time */
    expect_answered("a");
    assert_false(outlets_prepared(&outlets));
    expect_asked("b");
    assert_false(outlets_prepared(&outlets));
    expect_answered("b");
    assert_true(outlets_prepared(&outlets));
    expect_asked(NULL);
    assert_int_equal(outlets_due(&outlets), INT64_MAX);
}

static void a_topic_that_is_added_is_declared_at_once(void **state)
{
    UNUSED(state);
    outlets_want_all(&outlets);
    expect_asked("a");
    outlets_add(&outlets, "c"); /* while a declare is pending */
    outlets_add(&outlets, "a"); /* known already */
    expect_asked(NULL);
    expect_answered("a");
    expect_asked("b");
    expect_answered("b");
    assert_int_equal(outlets_due(&outlets), 0);
    expect_asked("c");
    expect_answered("c");
    expect_asked(NULL);
    outlets_want_all(&outlets);
    for (const char *at = "abc"; *at != '\0'; at++) {
        const char topic[] = {*at, '\0'};
        expect_asked(topic);
        expect_answered(topic);
    }
    assert_true(outlets_prepared(&outlets));
}

static void a_refused_declare_is_tried_again_later_and_delays_no_other(void **state)
{
    UNUSED(state);
    outlets_want_all(&outlets);
    expect_asked("a");
    expect_refused("a", true);
    expect_asked("b");
    expect_answered("b");
    assert_true(outlets_prepared(&outlets)); /* what can be declared is */
    expect_asked(NULL);
    int64_t before = now;
    now = outlets_due(&outlets);
    assert_true(now > before);
    expect_asked("a");
    expect_refused("a", false);
    assert_true(outlets_due(&outlets) > now);
    now = outlets_due(&outlets);
    expect_asked("a");
    expect_answered("a");
    assert_true(outlets_want(&outlets, "a")); /* declared meanwhile, so the next refusal is a first one */
    now += 60000;
    expect_asked("a");
    expect_refused("a", true);
}

static void a_queue_that_is_gone_is_declared_again(void **state)
{
    UNUSED(state);
    assert_false(outlets_want(&outlets, "of the MOV"));
    expect_asked(NULL);
    assert_true(outlets_want(&outlets, "b"));
    expect_asked("b");
    expect_answered("b");
    expect_asked(NULL);
}

static void the_answer_of_a_lost_connection_never_comes(void **state)
{
    UNUSED(state);
    outlets_want_all(&outlets);
    expect_asked("a");
    outlets_lose(&outlets);
    outlets_want_all(&outlets);
    expect_asked("a");
    expect_answered("a");
    expect_asked("b");
    expect_answered("b");
}

static void a_queue_refuses_until_nothing_that_it_refused_waits(void **state)
{
    UNUSED(state);
    struct publication *one = publication_new("a", "{}", 2), *two = publication_new("a", "{}", 2),
                       *other = publication_new("b", "{}", 2), *foreign = publication_new("c", "{}", 2);
    assert_int_equal(outlets_note_refusal(&outlets, one, false), REFUSAL_SAME);
    assert_int_equal(outlets_note_refusal(&outlets, one, true), REFUSAL_BEGINS);
    assert_int_equal(outlets_note_refusal(&outlets, one, true), REFUSAL_SAME);
    assert_int_equal(outlets_note_refusal(&outlets, two, true), REFUSAL_SAME);
    assert_int_equal(outlets_note_refusal(&outlets, other, true), REFUSAL_BEGINS);
    assert_int_equal(outlets_note_refusal(&outlets, foreign, true), REFUSAL_SAME);
    assert_int_equal(outlets_note_refusal(&outlets, one, false), REFUSAL_SAME);
    assert_int_equal(outlets_note_refusal(&outlets, two, false), REFUSAL_ENDS);
    assert_int_equal(outlets_note_refusal(&outlets, one, true), REFUSAL_BEGINS);
    assert_int_equal(outlets_note_refusal(&outlets, one, false), REFUSAL_ENDS);
    assert_int_equal(outlets_note_refusal(&outlets, other, false), REFUSAL_ENDS);
    assert_int_equal(outlets_note_refusal(&outlets, foreign, false), REFUSAL_SAME);
    free(one);
    free(two);
    free(other);
    free(foreign);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_connection_declares_every_queue_once),
        TEST(a_topic_that_is_added_is_declared_at_once),
        TEST(a_refused_declare_is_tried_again_later_and_delays_no_other),
        TEST(a_queue_that_is_gone_is_declared_again),
        TEST(the_answer_of_a_lost_connection_never_comes),
        TEST(a_queue_refuses_until_nothing_that_it_refused_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
