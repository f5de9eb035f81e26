/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * window: the growth of the prefetch. */
#include "support.h"

#include "broker/window.h"

static void starts_with_one_message(void **state)
{
    UNUSED(state);
    struct window window;
    window_start(&window, 200);
    assert_int_equal(window.size, 1);
    assert_false(window_settled(&window, 0));
    assert_int_equal(window.size, 1);
}

static void doubles_when_as_much_as_it_holds_is_settled(void **state)
{
    UNUSED(state);
    struct window window;
    window_start(&window, 200);
    static const uint16_t sizes[] = {2, 4, 8, 16, 32, 64, 128, 200};
    unsigned messages = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        while (!window_settled(&window, 1))
            assert_true(++messages < 1000);
        messages++;
        assert_int_equal(window.size, sizes[i]);
    }
    assert_int_equal(messages, 255); /* the whole way to full speed */
    assert_false(window_settled(&window, 1000000));
    assert_int_equal(window.size, 200);
}

/* A batch of settlements of any size is one step, because the messages in hand do not justify a larger window. */
static void one_step_at_a_time(void **state)
{
    UNUSED(state);
    struct window window;
    window_start(&window, 200);
    assert_true(window_settled(&window, 50));
    assert_int_equal(window.size, 2);
    assert_false(window_settled(&window, 1)); /* the surplus is not kept */
    assert_true(window_settled(&window, 1));
    assert_int_equal(window.size, 4);
}

static void a_new_message_opens_it(void **state)
{
    UNUSED(state);
    struct window window;
    window_start(&window, 200);
    assert_true(window_fresh(&window));
    assert_int_equal(window.size, 200);
    assert_false(window_fresh(&window));
    window_start(&window, 200);
    assert_int_equal(window.size, 1); /* anew after a fault */
}

static void limits_are_kept(void **state)
{
    UNUSED(state);
    struct window window;
    window_start(&window, 1);
    assert_false(window_settled(&window, 1));
    assert_false(window_fresh(&window));
    assert_int_equal(window.size, 1);
    window_start(&window, 65535);
    window.size = 40000;
    assert_true(window_settled(&window, 40000));
    assert_int_equal(window.size, 65535);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_with_one_message), cmocka_unit_test(doubles_when_as_much_as_it_holds_is_settled),
        cmocka_unit_test(one_step_at_a_time),      cmocka_unit_test(a_new_message_opens_it),
        cmocka_unit_test(limits_are_kept),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
