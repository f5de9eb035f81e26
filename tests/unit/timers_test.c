/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * timers: the due timers at each time of the test's clock. */
#include "support.h"

#include "plugin/timers.h"

static struct timers timers;
static char first, second; /* contexts, which identify the timers */

static int enter(void **state)
{
    UNUSED(state);
    timers_init(&timers);
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    timers_destroy(&timers);
    return 0;
}

static uint64_t add(int64_t at, uint32_t every_ms, void *context)
{
    return timers_add(&timers, (struct timer){.at = at, .every_ms = every_ms, .context = context});
}

/* The timer with this context is due at this time; NULL: none is. */
static void expect_due(int64_t now, const void *context)
{
    struct timer due = {0};
    assert_int_equal(timers_take(&timers, now, &due), context != NULL);
    assert_ptr_equal(due.context, context);
}

static void without_timers_none_is_due(void **state)
{
    UNUSED(state);
    assert_true(timers_next(&timers) == TIMERS_NEVER);
    expect_due(INT64_MAX, NULL);
}

static void a_timer_is_due_once_and_not_before_its_time(void **state)
{
    UNUSED(state);
    add(1000, 0, &first);
    assert_int_equal(timers_next(&timers), 1000);
    expect_due(999, NULL);
    expect_due(1000, &first);
    expect_due(5000, NULL);
    assert_true(timers_next(&timers) == TIMERS_NEVER);
}

static void the_one_that_has_been_due_longest_comes_first(void **state)
{
    UNUSED(state);
    add(2000, 0, &second);
    add(1000, 0, &first);
    assert_int_equal(timers_next(&timers), 1000);
    expect_due(3000, &first);
    assert_int_equal(timers_next(&timers), 2000);
    expect_due(3000, &second);
    expect_due(3000, NULL);
}

static void a_repeating_timer_keeps_its_rhythm(void **state)
{
    UNUSED(state);
    add(1000, 100, &first);
    expect_due(1030, &first); /* taken late, by less than a period */
    assert_int_equal(timers_next(&timers), 1100);
    expect_due(1099, NULL);
    expect_due(1100, &first);
}

/* Missed periods are not repeated. */
static void a_repeating_timer_that_is_late_starts_from_now(void **state)
{
    UNUSED(state);
    add(1000, 100, &first);
    expect_due(1950, &first);
    assert_int_equal(timers_next(&timers), 2050);
    expect_due(1950, NULL);
}

static void a_cancelled_timer_is_never_due(void **state)
{
    UNUSED(state);
    uint64_t once = add(1000, 0, &first), repeating = add(1500, 100, &second);
    assert_true(timers_cancel(&timers, once));
    expect_due(1400, NULL);
    expect_due(1500, &second);
    assert_true(timers_cancel(&timers, repeating));
    assert_true(timers_next(&timers) == TIMERS_NEVER);
    expect_due(9000, NULL);
    assert_false(timers_cancel(&timers, repeating)); /* once */
}

static void a_timer_that_has_fired_cannot_be_cancelled(void **state)
{
    UNUSED(state);
    uint64_t id = add(1000, 0, &first);
    expect_due(1000, &first);
    assert_false(timers_cancel(&timers, id));
}

static void numbers_are_never_given_twice(void **state)
{
    UNUSED(state);
    uint64_t last = 0;
    assert_false(timers_cancel(&timers, 0));
    for (int i = 0; i < 100; i++) {
        uint64_t id = add(1000, 0, &first);
        assert_true(id > last);
        assert_true(timers_cancel(&timers, id));
        last = id;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_timers_none_is_due),
        TEST(a_timer_is_due_once_and_not_before_its_time),
        TEST(the_one_that_has_been_due_longest_comes_first),
        TEST(a_repeating_timer_keeps_its_rhythm),
        TEST(a_repeating_timer_that_is_late_starts_from_now),
        TEST(a_cancelled_timer_is_never_due),
        TEST(a_timer_that_has_fired_cannot_be_cancelled),
        TEST(numbers_are_never_given_twice),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
