/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boxes: dead letters, by the broker's answers about their queue. The test plays the broker and the clock. */
#include "broker/boxes.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

static struct boxes boxes;
static int64_t now;
static size_t passed, full; /* of the letters that waited */

static int begin(void **state)
{
    UNUSED(state);
    now = 1000;
    passed = full = 0;
    boxes = (struct boxes){0};
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    struct list left = {0};
    boxes_lose(&boxes, &left);
    list_free(&left);
    boxes_free(&boxes);
    return 0;
}

static struct publication *letter(const char *topic, uint32_t most)
{
    struct publication *publication = publication_new(topic, "{}", 2);
    publication->most = most;
    return publication;
}

/* Puts a letter in that does not wait. */
static enum boxes_say put(const char *topic, uint32_t most)
{
    struct publication *publication = letter(topic, most);
    enum boxes_say say = boxes_put(&boxes, publication, now);
    if (say != BOXES_WAIT)
        free(publication);
    return say;
}

static void expect_asked(const char *topic, bool passive)
{
    const struct box *box = boxes_ask(&boxes);
    assert_non_null(box);
    assert_string_equal(box->topic, topic);
    assert_int_equal(box->passive, passive);
    assert_null(boxes_ask(&boxes)); /* one at a time, and once */
}

/* Answers, and puts the waiting letters in again, like the publisher. */
static size_t answer(uint32_t messages)
{
    struct list waited = {0};
    size_t count = 0;
    boxes_answer(&boxes, messages, now, &waited);
    for (struct node *node; (node = list_take(&waited)) != NULL; count++) {
        enum boxes_say say = boxes_put(&boxes, (struct publication *)node, now);
        assert_int_not_equal(say, BOXES_WAIT);
        *(say == BOXES_SEND ? &passed : &full) += 1;
        free(node);
    }
    return count;
}

static size_t refuse(void)
{
    struct list waited = {0};
    size_t count = 0;
    boxes_refuse(&boxes, now, &waited);
    for (struct node *node = waited.head; node != NULL; node = node->next)
        count++;
    list_free(&waited);
    return count;
}

static void the_first_letters_wait_for_the_queue(void **state)
{
    UNUSED(state);
    assert_null(boxes_ask(&boxes));
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    assert_int_equal(answer(1), 5);
    assert_int_equal(passed, 2); /* one was there before */
    assert_int_equal(full, 3);
    assert_null(boxes_ask(&boxes));
}

/* A letter is dropped only after a new declare, because another program may have taken letters out. */
static void a_full_box_is_asked_again(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(3), 1);
    assert_int_equal(full, 1);
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(1), 1);
    assert_int_equal(passed, 1);
    assert_int_equal(put("a/dead", 3), BOXES_SEND);
}

/* An answer that does not count letters in flight would admit too many. */
static void a_box_is_asked_when_nothing_is_in_flight(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 2), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(0), 1);
    assert_int_equal(put("a/dead", 2), BOXES_SEND);
    assert_int_equal(put("a/dead", 2), BOXES_WAIT);
    assert_null(boxes_ask(&boxes));
    boxes_land(&boxes, "a/dead");
    assert_null(boxes_ask(&boxes));
    boxes_land(&boxes, "a/dead");
    expect_asked("a/dead", false);
    assert_int_equal(answer(2), 1);
    assert_int_equal(full, 1);
}

static void others_put_in_as_well(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 100), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(0), 1);
    now += 999;
    assert_int_equal(put("a/dead", 100), BOXES_SEND);
    boxes_land(&boxes, "a/dead");
    boxes_land(&boxes, "a/dead");
    now += 1;
    assert_int_equal(put("a/dead", 100), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(100), 1);
    assert_int_equal(full, 1);
}

static void a_refused_declare_is_asked_without_wishes_and_then_given_up_for_a_time(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(refuse(), 0); /* the letter still waits */
    expect_asked("a/dead", true);
    assert_int_equal(refuse(), 1);
    assert_int_equal(put("a/dead", 3), BOXES_UNDECLARABLE);
    assert_null(boxes_ask(&boxes));
    now += 5000;
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(0), 1);
    assert_int_equal(put("a/dead", 3), BOXES_SEND);
}

static void a_queue_with_other_arguments_serves_as_well(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(refuse(), 0);
    expect_asked("a/dead", true);
    assert_int_equal(answer(0), 1);
    assert_int_equal(put("a/dead", 3), BOXES_SEND);
    boxes_land(&boxes, "a/dead");
    boxes_land(&boxes, "a/dead");
    now += 1000;
    assert_int_equal(put("a/dead", 3), BOXES_WAIT);
    expect_asked("a/dead", true);
}

static void boxes_are_apart(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 1), BOXES_WAIT);
    assert_int_equal(put("b/dead", 1), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(1), 1);
    expect_asked("b/dead", false);
    assert_int_equal(answer(0), 1);
    assert_int_equal(full, 1);
    assert_int_equal(passed, 1);
}

static void a_lost_connection_gives_all_back(void **state)
{
    UNUSED(state);
    struct list waited = {0};
    assert_int_equal(put("a/dead", 2), BOXES_WAIT);
    assert_int_equal(put("b/dead", 2), BOXES_WAIT);
    expect_asked("a/dead", false);
    boxes_lose(&boxes, &waited);
    assert_non_null(waited.head);
    assert_non_null(waited.head->next);
    list_free(&waited);
    assert_null(boxes_ask(&boxes));
    assert_int_equal(answer(0), 0); /* of the old connection */
    assert_int_equal(put("a/dead", 2), BOXES_WAIT);
    expect_asked("a/dead", false);
}

static void a_queue_that_is_gone_is_asked_for_again(void **state)
{
    UNUSED(state);
    assert_int_equal(put("a/dead", 2), BOXES_WAIT);
    expect_asked("a/dead", false);
    assert_int_equal(answer(0), 1);
    boxes_forget(&boxes, "a/dead");
    boxes_forget(&boxes, "unknown");
    assert_int_equal(put("a/dead", 2), BOXES_WAIT);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_letters_wait_for_the_queue),
        TEST(a_full_box_is_asked_again),
        TEST(a_box_is_asked_when_nothing_is_in_flight),
        TEST(others_put_in_as_well),
        TEST(a_refused_declare_is_asked_without_wishes_and_then_given_up_for_a_time),
        TEST(a_queue_with_other_arguments_serves_as_well),
        TEST(boxes_are_apart),
        TEST(a_lost_connection_gives_all_back),
        TEST(a_queue_that_is_gone_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
