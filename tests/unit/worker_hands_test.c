/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_hands: a message has its number and its place as long as the worker has it, and no other has the same. */
#include "support.h"

#include <stdlib.h>

#include "base/memory.h"
#include "plugin/worker_hands.h"

static void numbers_grow_and_are_found(void **state)
{
    UNUSED(state);
    struct hands *hands = memory_new(sizeof *hands);
    struct hand *first = hands_take(hands, NULL), *second = hands_take(hands, NULL);
    assert_true(first->number > 0 && second->number > first->number);
    assert_ptr_equal(hands_find(hands, first->number), first);
    assert_ptr_equal(hands_find(hands, second->number), second);
    assert_int_equal(hands->count, 2);
    free(hands);
}

static void an_old_number_is_not_found_though_its_place_is_used_again(void **state)
{
    UNUSED(state);
    struct hands *hands = memory_new(sizeof *hands);
    struct hand *old = hands_take(hands, NULL);
    uint64_t number = old->number;
    hands_free(hands, old);
    assert_null(hands_find(hands, number));
    for (unsigned i = 0; i < WORKER_PLACES - 1; i++)
        hands_free(hands, hands_take(hands, NULL));
    assert_ptr_equal(hands_take(hands, NULL), old);
    assert_null(hands_find(hands, number));
    assert_null(hands_find(hands, 0));
    assert_null(hands_find(hands, UINT64_MAX));
    free(hands);
}

static void a_message_that_stays_keeps_its_place(void **state)
{
    UNUSED(state);
    struct hands *hands = memory_new(sizeof *hands);
    const struct hand *stays = hands_take(hands, NULL);
    uint64_t number = stays->number, last = number;
    for (unsigned i = 0; i < 3 * WORKER_PLACES; i++) {
        struct hand *other = hands_take(hands, NULL);
        assert_ptr_not_equal(other, stays);
        assert_true(other->number > last);
        last = other->number;
        hands_free(hands, other);
    }
    assert_ptr_equal(hands_find(hands, number), stays);
    free(hands);
}

static void when_every_place_is_taken_there_is_none(void **state)
{
    UNUSED(state);
    struct hands *hands = memory_new(sizeof *hands);
    for (unsigned i = 0; i < WORKER_PLACES; i++)
        assert_non_null(hands_take(hands, NULL));
    assert_null(hands_take(hands, NULL));
    hands_free(hands, &hands->places[7]);
    assert_ptr_equal(hands_take(hands, NULL), &hands->places[7]);
    free(hands);
}

static void each_is_visited_once(void **state)
{
    UNUSED(state);
    struct hands *hands = memory_new(sizeof *hands);
    size_t at = 0, visited = 0;
    for (unsigned i = 0; i < 5; i++)
        (void)hands_take(hands, NULL);
    while (hands_next(hands, &at) != NULL)
        visited++;
    assert_int_equal(visited, 5);
    free(hands);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_grow_and_are_found),
        cmocka_unit_test(an_old_number_is_not_found_though_its_place_is_used_again),
        cmocka_unit_test(a_message_that_stays_keeps_its_place),
        cmocka_unit_test(when_every_place_is_taken_there_is_none),
        cmocka_unit_test(each_is_visited_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
