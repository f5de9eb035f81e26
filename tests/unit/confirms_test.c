/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * confirms: the test plays the broker, in orders that no real broker would choose. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/confirms.h"

static struct confirms confirms;
static struct fault fault;

static int begin(void **state)
{
    UNUSED(state);
    confirms = (struct confirms){0};
    fault = (struct fault){""};
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    struct list rest = confirms_reset(&confirms);
    list_free(&rest);
    confirms_free(&confirms);
    return 0;
}

static struct publication *put(const char *topic, const char *body)
{
    struct publication *publication = publication_new(topic, body, strlen(body));
    confirms_put(&confirms, publication);
    return publication;
}

/* Compares and frees the list: bodies with their outcomes, "a+ b- c!" (confirmed, not kept, returned). */
static void expect(struct list *list, const char *wanted)
{
    static const char marks[] = {[OUTCOME_CONFIRMED] = '+', [OUTCOME_NOT_KEPT] = '-', [OUTCOME_UNROUTABLE] = '!'};
    char text[256] = "";
    size_t len = 0;
    for (struct node *node; (node = list_take(list)) != NULL; free(node)) {
        const struct publication *publication = (struct publication *)node;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%c", len == 0 ? "" : " ", publication->body,
                                marks[publication->outcome]);
    }
    assert_string_equal(text, wanted);
}

static void said(uint64_t sequence, bool multiple, bool positive, const char *wanted)
{
    struct list taken = {0};
    confirms_take(&confirms, sequence, multiple, positive, &taken);
    expect(&taken, wanted);
}

/* The broker returns a message, in parts of this many bytes. */
static void comes_back(const char *topic, const char *body, size_t part)
{
    size_t len = strlen(body);
    assert_true(confirms_return(&confirms, topic, strlen(topic), &fault));
    assert_true(confirms_return_header(&confirms, len, &fault));
    for (size_t at = 0; at < len; at += part)
        assert_true(confirms_return_body(&confirms, body + at, len - at < part ? len - at : part, &fault));
}

/* ---- the window ---- */

static void in_any_order(void **state)
{
    UNUSED(state);
    put("t", "a"), put("t", "b"), put("t", "c"), put("t", "d");
    assert_int_equal(confirms.count, 4);
    assert_int_equal(confirms.bytes, 4);
    said(3, false, true, "c+");
    said(3, false, true, ""); /* repeated */
    said(3, true, true, "a+ b+");
    said(1, false, true, "");
    said(2, true, true, "");
    said(5, false, true, ""); /* not sent yet */
    said(5, true, true, "");
    said(UINT64_MAX, true, true, "");
    assert_int_equal(confirms.count, 1);
    said(0, false, true, "");
    put("t", "e");
    said(0, true, true, "d+ e+"); /* AMQP: 0 with multiple means all */
    said(0, true, true, "");
    assert_int_equal(confirms.count, 0);
    assert_int_equal(confirms.bytes, 0);
}

static void not_kept(void **state)
{
    UNUSED(state);
    put("t", "a"), put("t", "b"), put("t", "c");
    said(2, true, false, "a- b-");
    said(3, false, true, "c+");
}

static void grows_and_goes_round(void **state)
{
    UNUSED(state);
    put("t", "first");
    uint64_t sequence = 1;
    for (int i = 0; i < 5000; i++) { /* the first one stays unconfirmed */
        put("t", "x");
        said(++sequence, false, true, "x+");
    }
    assert_int_equal(confirms.count, 1);
    said(1, false, true, "first+");
    size_t room = confirms.room;
    for (int i = 0; i < 20000; i++) {
        put("t", "y");
        said(++sequence, false, true, "y+");
    }
    assert_int_equal(confirms.room, room); /* confirmed publications need no room */
}

static void a_channel_that_is_gone(void **state)
{
    UNUSED(state);
    put("t", "a"), put("t", "b"), put("t", "c");
    said(2, false, true, "b+");
    comes_back("t", "a", 1);
    struct list rest = confirms_reset(&confirms);
    assert_int_equal(confirms.count, 0);
    struct node *a = list_take(&rest), *c = list_take(&rest);
    assert_null(list_take(&rest));
    confirms_put(&confirms, (struct publication *)a);
    confirms_put(&confirms, (struct publication *)c);
    said(1, false, true, "a+"); /* counts from 1 again, and a return on the old channel is forgotten */
    said(2, false, true, "c+");
}

static void the_only_one(void **state)
{
    UNUSED(state);
    assert_null(confirms_take_only(&confirms));
    put("t", "a"), put("t", "b"), put("t", "c");
    assert_null(confirms_take_only(&confirms));
    said(1, false, true, "a+");
    said(3, false, true, "c+");
    struct publication *only = confirms_take_only(&confirms);
    assert_string_equal(only->body, "b");
    free(only);
    assert_null(confirms_take_only(&confirms));
    put("t", "d");
    said(4, false, true, "d+");
}

/* ---- returns ---- */

static void comes_back_and_is_confirmed_then(void **state)
{
    UNUSED(state);
    put("t", "aaaa"), put("u", "aaaa"), put("t", "bbbb"), put("t", "aaaa"), put("t", "");
    comes_back("t", "bbbb", 3);
    said(3, true, true, "aaaa+ aaaa+ bbbb!");
    comes_back("t", "aaaa", 1);
    comes_back("t", "", 1);
    said(5, true, true, "aaaa! !");
}

static void comes_back_in_another_order(void **state)
{
    UNUSED(state);
    put("t", "a"), put("t", "b"), put("t", "c");
    comes_back("t", "c", 1);
    comes_back("t", "a", 1);
    said(3, true, true, "a! b+ c!");
}

static void a_message_that_was_not_published(void **state)
{
    UNUSED(state);
    put("t", "a");
    comes_back("t", "bb", 1);
    comes_back("u", "a", 1);
    comes_back("t", "b", 1); /* the same length, another body */
    said(1, true, true, "a+");
    comes_back("t", "a", 1); /* confirmed already */
}

/* The peer's size alone allocates no memory. */
static void a_size_that_is_a_lie(void **state)
{
    UNUSED(state);
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, UINT64_C(1) << 40, 1 << 20};
    char bytes[4096] = "";
    put("t", "a");
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_true(confirms_return(&confirms, "t", 1, &fault));
        assert_true(confirms_return_header(&confirms, sizes[i], &fault));
        assert_null(confirms.returned.body);
        assert_true(confirms_return_body(&confirms, bytes, sizeof bytes, &fault));
        assert_false(confirms_return(&confirms, "t", 1, &fault));
        struct list rest = confirms_reset(&confirms);
        confirms_put(&confirms, (struct publication *)list_take(&rest));
    }
}

static void frames_out_of_turn(void **state)
{
    UNUSED(state);
    char topic[300] = "";
    put("t", "aa");
    assert_false(confirms_return_header(&confirms, 2, &fault));
    expect_in(fault.text, "header out of turn");
    assert_false(confirms_return_body(&confirms, "a", 1, &fault));
    expect_in(fault.text, "body out of turn");
    assert_false(confirms_return(&confirms, topic, 256, &fault));
    assert_true(confirms_return(&confirms, "t", 1, &fault));
    assert_false(confirms_return_body(&confirms, "a", 1, &fault));
    assert_true(confirms_return_header(&confirms, 2, &fault));
    assert_false(confirms_return_header(&confirms, 2, &fault)); /* the first one's body is not lost */
    assert_true(confirms_return_body(&confirms, "a", 1, &fault));
    assert_false(confirms_return_body(&confirms, "aa", 2, &fault));
    expect_in(fault.text, "longer than its header says");
    assert_true(confirms_return_body(&confirms, "a", 1, &fault));
    said(1, false, true, "aa!");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_any_order),
        TEST(not_kept),
        TEST(grows_and_goes_round),
        TEST(a_channel_that_is_gone),
        TEST(the_only_one),
        TEST(comes_back_and_is_confirmed_then),
        TEST(comes_back_in_another_order),
        TEST(a_message_that_was_not_published),
        TEST(a_size_that_is_a_lie),
        TEST(frames_out_of_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
