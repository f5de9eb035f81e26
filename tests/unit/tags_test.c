/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tags: the acknowledgements for settlements in any order. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "broker/tags.h"

static struct tags tags;
static struct text journal;
static int sends_left; /* until one fails; negative: none does */

static bool note(void *context, uint64_t number, bool multiple)
{
    UNUSED(context);
    if (sends_left == 0)
        return false;
    sends_left--;
    text_printf(&journal, "%s%llu ", multiple ? "<=" : "", (unsigned long long)number);
    return true;
}

static void expect(const char *acknowledgements)
{
    assert_true(tags_acknowledge(&tags, note, NULL));
    assert_string_equal(journal.len > 0 ? journal.at : "", acknowledgements);
    text_clear(&journal);
}

static void put(uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++)
        assert_true(tags_put(&tags, number, (int64_t)(1000 + number)));
}

static int enter(void **state)
{
    UNUSED(state);
    tags = (struct tags){0};
    journal = (struct text){0};
    sends_left = -1;
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    tags_free(&tags);
    text_free(&journal);
    return 0;
}

static void a_run_is_one_acknowledgement(void **state)
{
    UNUSED(state);
    put(1, 5);
    expect("");
    for (uint64_t number = 1; number <= 3; number++)
        assert_true(tags_mark(&tags, number, TAG_TO_ACKNOWLEDGE));
    expect("<=3 ");
    assert_int_equal(tags_count(&tags), 2);
    expect("");
}

static void nothing_open_is_acknowledged(void **state)
{
    UNUSED(state);
    put(1, 6);
    tags_mark(&tags, 2, TAG_TO_ACKNOWLEDGE);
    tags_mark(&tags, 5, TAG_TO_ACKNOWLEDGE);
    expect("2 5 ");
    assert_int_equal(tags_count(&tags), 4);
    tags_mark(&tags, 1, TAG_TO_ACKNOWLEDGE);
    expect("<=1 ");
    tags_mark(&tags, 3, TAG_TO_ACKNOWLEDGE);
    tags_mark(&tags, 4, TAG_TO_ACKNOWLEDGE);
    expect("<=4 "); /* 2 is settled, so it does not interrupt the run */
    assert_int_equal(tags_count(&tags), 1);
}

/* A rejected or returned message is settled by its own method. A multiple acknowledgement must not end with it, but may
 * pass over it. */
static void rejected_and_returned_tags_are_passed_over(void **state)
{
    UNUSED(state);
    put(1, 6);
    tags_mark(&tags, 1, TAG_SETTLED);
    tags_mark(&tags, 2, TAG_SETTLED);
    expect("");
    assert_int_equal(tags_count(&tags), 4);
    tags_mark(&tags, 3, TAG_TO_ACKNOWLEDGE);
    tags_mark(&tags, 4, TAG_SETTLED);
    expect("<=3 ");
    tags_mark(&tags, 6, TAG_SETTLED);
    expect("");
    assert_int_equal(tags_count(&tags), 1);
    assert_false(tags_mark(&tags, 6, TAG_TO_ACKNOWLEDGE));
}

static void only_what_is_in_hand_can_be_marked(void **state)
{
    UNUSED(state);
    assert_false(tags_mark(&tags, 1, TAG_TO_ACKNOWLEDGE));
    assert_true(tags_put(&tags, 10, 0));
    assert_true(tags_put(&tags, 20, 0)); /* numbers may have gaps */
    assert_true(tags_put(&tags, 21, 0));
    assert_true(tags_put(&tags, 40, 0));
    static const uint64_t strange[] = {0, 9, 11, 19, 22, 39, 41, UINT64_MAX};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        assert_false(tags_mark(&tags, strange[i], TAG_TO_ACKNOWLEDGE));
    assert_true(tags_mark(&tags, 21, TAG_TO_ACKNOWLEDGE));
    assert_false(tags_mark(&tags, 21, TAG_TO_ACKNOWLEDGE)); /* once */
    assert_true(tags_mark(&tags, 40, TAG_TO_ACKNOWLEDGE));
    assert_true(tags_mark(&tags, 10, TAG_TO_ACKNOWLEDGE));
    expect("<=10 21 40 ");
}

static void numbers_have_to_grow(void **state)
{
    UNUSED(state);
    assert_false(tags_put(&tags, 0, 0));
    assert_true(tags_put(&tags, 5, 0));
    assert_false(tags_put(&tags, 5, 0));
    assert_false(tags_put(&tags, 4, 0));
    assert_int_equal(tags_count(&tags), 1);
}

static void the_oldest(void **state)
{
    UNUSED(state);
    assert_true(tags_oldest(&tags) == INT64_MAX);
    put(1, 3);
    assert_int_equal(tags_oldest(&tags), 1001);
    tags_mark(&tags, 1, TAG_TO_ACKNOWLEDGE);
    tags_mark(&tags, 2, TAG_TO_ACKNOWLEDGE);
    expect("<=2 ");
    assert_int_equal(tags_oldest(&tags), 1003);
    tags_clear(&tags);
    assert_true(tags_oldest(&tags) == INT64_MAX);
    put(1, 1); /* a new channel begins anew */
}

static void a_failed_send_ends_it(void **state)
{
    UNUSED(state);
    put(1, 5);
    tags_mark(&tags, 1, TAG_TO_ACKNOWLEDGE);
    tags_mark(&tags, 3, TAG_TO_ACKNOWLEDGE);
    sends_left = 0;
    assert_false(tags_acknowledge(&tags, note, NULL));
    tags_clear(&tags);
    put(1, 5);
    tags_mark(&tags, 1, TAG_TO_ACKNOWLEDGE);
    tags_mark(&tags, 3, TAG_TO_ACKNOWLEDGE);
    sends_left = 1;
    assert_false(tags_acknowledge(&tags, note, NULL));
    tags_clear(&tags);
    put(1, 5);
    tags_mark(&tags, 1, TAG_TO_ACKNOWLEDGE); /* the run is all that there is to send */
    sends_left = 0;
    assert_false(tags_acknowledge(&tags, note, NULL));
}

/* Every tag is acknowledged exactly once, and never one that is open, in any order of settlements. */
static void any_order(void **state)
{
    UNUSED(state);
    enum { COUNT = 700 };
    uint32_t random = 12345;
    uint8_t acknowledged[COUNT + 1] = {0}, marked[COUNT + 1] = {0};
    uint64_t next = 1, left = COUNT;
    while (left > 0) {
        random = random * 1664525 + 1013904223;
        if (next <= COUNT && (random >> 16) % 3 != 0) {
            put(next, next);
            next++;
            continue;
        }
        uint64_t number = 1 + (random >> 8) % COUNT;
        if (tags_mark(&tags, number, TAG_TO_ACKNOWLEDGE)) {
            assert_int_equal(marked[number], 0);
            marked[number] = 1;
            left--;
        }
        if ((random >> 24) % 4 != 0 && left > 0)
            continue;
        assert_true(tags_acknowledge(&tags, note, NULL));
        for (char *at = journal.len > 0 ? journal.at : NULL; at != NULL && *at != '\0'; at = strchr(at, ' ') + 1) {
            bool multiple = *at == '<';
            uint64_t last = strtoull(multiple ? at + 2 : at, NULL, 10);
            for (uint64_t each = multiple ? 1 : last; each <= last; each++) {
                assert_int_equal(marked[each], 1);
                acknowledged[each] = 1;
            }
        }
        text_clear(&journal);
    }
    for (size_t number = 1; number <= COUNT; number++)
        assert_int_equal(acknowledged[number], 1);
    assert_int_equal(tags_count(&tags), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_is_one_acknowledgement),
        TEST(nothing_open_is_acknowledged),
        TEST(rejected_and_returned_tags_are_passed_over),
        TEST(only_what_is_in_hand_can_be_marked),
        TEST(numbers_have_to_grow),
        TEST(the_oldest),
        TEST(a_failed_send_ends_it),
        TEST(any_order),
    };
    return cmocka_run_group_tests_name("tags", tests, NULL, NULL);
}
