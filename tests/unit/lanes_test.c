/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lanes: messages that a worker had when it ended return to their places, and only those that it had begun count a
 * crash. */
#include "support.h"

#include <stdlib.h>

#include "plugin/executor_parts.h"

static struct subscription subscription = {.topic = "a/topic"};

static struct delivery *delivery(uint64_t tag)
{
    struct delivery *made = delivery_new(0);
    made->from = &subscription;
    made->tag = tag;
    made->attempt = 1;
    return made;
}

static bool take_back(struct lane *lane, struct delivery *message, int verdict)
{
    struct handling handling = {.lane = lane, .delivery = message, .verdict = verdict};
    return lane_take_back(&handling, 2);
}

static void messages_return_in_the_order_of_their_topic(void **state)
{
    UNUSED(state);
    struct lane lane = {0};
    static const uint64_t tags[] = {7, 5, 9, 6, 8};
    for (size_t i = 0; i < COUNT(tags); i++)
        assert_true(take_back(&lane, delivery(tags[i]), i == 0 ? RETURNED_CRASHED : RETURNED_UNTRIED));
    for (uint64_t tag = 5; tag <= 9; tag++) {
        struct delivery *next = (struct delivery *)list_take(&lane.waiting);
        assert_int_equal(next->tag, tag);
        assert_int_equal(next->crashes, tag == 7);
        assert_int_equal(next->attempt, 0);
        free(next);
    }
    assert_null(list_take(&lane.waiting));
}

static void the_lane_goes_on_at_once_unless_it_waits_already(void **state)
{
    UNUSED(state);
    struct lane lane = {0};
    int64_t before = clock_ms();
    assert_true(take_back(&lane, delivery(1), RETURNED_UNTRIED));
    assert_true(lane.until >= before && lane.until <= clock_ms());
    lane.until = before + 60000;
    assert_true(take_back(&lane, delivery(2), RETURNED_UNTRIED));
    assert_int_equal(lane.until, before + 60000);
    list_free(&lane.waiting);
}

static void a_message_that_crashes_too_often_is_rejected(void **state)
{
    UNUSED(state);
    struct lane lane = {0};
    struct delivery *poison = delivery(1);
    assert_true(take_back(&lane, poison, RETURNED_CRASHED));
    assert_ptr_equal(list_take(&lane.waiting), &poison->node);
    assert_true(take_back(&lane, poison, RETURNED_UNTRIED)); /* another message's crash */
    assert_ptr_equal(list_take(&lane.waiting), &poison->node);
    assert_false(take_back(&lane, poison, RETURNED_CRASHED));
    assert_int_equal(poison->reason, REASON_CRASHED);
    assert_null(list_take(&lane.waiting));
    free(poison);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_return_in_the_order_of_their_topic),
        cmocka_unit_test(the_lane_goes_on_at_once_unless_it_waits_already),
        cmocka_unit_test(a_message_that_crashes_too_often_is_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
