/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outbox: the order of publications, without a broker, a thread or a clock. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "broker/outbox.h"

static struct outbox outbox;
static struct account a, b, c;

static int begin(void **state)
{
    UNUSED(state);
    outbox = (struct outbox){0};
    a = b = c = (struct account){0};
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    struct list rest = outbox_empty(&outbox);
    list_free(&rest);
    return 0;
}

/* Publications of an account with this many bytes each, named by the letter and a number from first on. */
static void put(struct account *account, char letter, int first, int count, size_t size)
{
    struct list list = {0};
    for (int i = first; i < first + count; i++) {
        char body[16];
        struct publication *publication =
            publication_new("t", body, (size_t)snprintf(body, sizeof body, "%c%d", letter, i));
        publication->account = account;
        publication->size = size;
        list_put(&list, &publication->node);
    }
    outbox_put(&outbox, &list);
    assert_null(list.head);
}

/* Sends at most this many; they are confirmed at once, unless they are kept. */
static void sent(int most, struct list *kept, const char *wanted)
{
    struct text text = {0};
    text_puts(&text, "");
    for (int i = 0; i < most; i++) {
        bool has = outbox_has(&outbox);
        struct publication *publication = outbox_take(&outbox);
        assert_int_equal(has, publication != NULL);
        if (publication == NULL)
            break;
        text_printf(&text, "%s%s", text.len == 0 ? "" : " ", publication->body);
        if (kept != NULL) {
            list_put(kept, &publication->node);
        } else {
            outbox_landed(&outbox, publication);
            free(publication);
        }
    }
    assert_string_equal(text.at, wanted);
    text_free(&text);
}

static void one_line_keeps_its_order(void **state)
{
    UNUSED(state);
    sent(1, NULL, "");
    put(&a, 'a', 1, 3, 200);
    put(&a, 'a', 4, 1, 200);
    sent(9, NULL, "a1 a2 a3 a4");
    sent(1, NULL, "");
}

static void lines_take_turns(void **state)
{
    UNUSED(state);
    put(&a, 'a', 1, 4, OUTBOX_TURN_BYTES); /* a turn each */
    put(&b, 'b', 1, 2, OUTBOX_TURN_BYTES);
    sent(1, NULL, "a1");
    put(NULL, 'h', 1, 1, OUTBOX_TURN_BYTES);
    sent(9, NULL, "b1 a2 h1 b2 a3 a4");
}

/* The wait is one turn of another line, regardless of the length of that line. */
static void a_newcomer_waits_for_one_turn(void **state)
{
    UNUSED(state);
    put(&a, 'a', 1, 100, OUTBOX_TURN_BYTES / 4);
    sent(1, NULL, "a1");
    put(&b, 'b', 1, 1, 100);
    sent(5, NULL, "a2 a3 a4 b1 a5");
}

/* Turns count bytes and not messages, so large messages of one line do not delay small ones of another. */
static void turns_are_of_bytes(void **state)
{
    UNUSED(state);
    put(&a, 'a', 1, 2, (size_t)10 * OUTBOX_TURN_BYTES);
    put(&b, 'b', 1, 4, OUTBOX_TURN_BYTES / 2);
    sent(9, NULL, "a1 b1 b2 a2 b3 b4");
}

static void a_line_that_is_in_flight_waits(void **state)
{
    UNUSED(state);
    struct list flying = {0};
    put(&a, 'a', 1, 3, OUTBOX_IN_FLIGHT_BYTES / 2);
    put(&b, 'b', 1, 1, 100);
    sent(9, &flying, "a1 b1 a2");
    assert_false(outbox_has(&outbox));
    put(&b, 'b', 2, 1, 100); /* the others go on */
    sent(9, &flying, "b2");
    struct publication *first = (struct publication *)list_take(&flying);
    outbox_landed(&outbox, first);
    sent(9, &flying, "a3");
    free(first);
    list_free(&flying);
}

static void the_count_in_flight_is_limited(void **state)
{
    UNUSED(state);
    struct list flying = {0};
    put(&a, 'a', 1, OUTBOX_IN_FLIGHT + 10, 1);
    for (int i = 0; i < OUTBOX_IN_FLIGHT; i++)
        list_put(&flying, &outbox_take(&outbox)->node);
    assert_null(outbox_take(&outbox));
    struct publication *first = (struct publication *)list_take(&flying);
    outbox_landed(&outbox, first);
    assert_non_null(first);
    sent(9, &flying, "a1025");
    free(first);
    list_free(&flying);
}

/* A publication larger than the bound of bytes in flight is also sent. */
static void the_largest(void **state)
{
    UNUSED(state);
    put(&a, 'a', 1, 1, (size_t)100 * OUTBOX_IN_FLIGHT_BYTES);
    sent(1, NULL, "a1");
}

static void again_before_all_others(void **state)
{
    UNUSED(state);
    struct list lost = {0}, later = {0};
    put(&a, 'a', 1, 3, 100);
    put(&b, 'b', 1, 2, 100);
    sent(4, &lost, "a1 a2 a3 b1");
    for (struct node *node = lost.head; node != NULL; node = node->next)
        outbox_landed(&outbox, (struct publication *)node);
    outbox_put_first(&outbox, &lost);
    assert_null(lost.head);
    sent(2, &later, "a1 a2"); /* and lost once more */
    for (struct node *node = later.head; node != NULL; node = node->next)
        outbox_landed(&outbox, (struct publication *)node);
    outbox_put_first(&outbox, &later);
    sent(9, NULL, "a1 a2 a3 b1 b2");
    assert_int_equal(a.in_flight, 0);
    assert_int_equal(b.in_flight_bytes, 0);
}

static void what_is_left(void **state)
{
    UNUSED(state);
    put(&a, 'a', 1, 2, 100);
    put(&b, 'b', 1, 1, 100);
    put(&c, 'c', 1, 1, 100);
    struct list rest = outbox_empty(&outbox);
    size_t count = 0;
    for (struct node *node = rest.head; node != NULL; node = node->next)
        count++;
    assert_int_equal(count, 4);
    list_free(&rest);
    assert_false(outbox_has(&outbox));
    put(&a, 'a', 3, 1, 100); /* the line works afterwards */
    sent(9, NULL, "a3");
}

static void what_came_back_waits_until_it_is_due(void **state)
{
    UNUSED(state);
    put(&a, 'a', 1, 3, 200);
    assert_int_equal(outbox_due(&outbox), INT64_MAX);
    outbox_park(&outbox, outbox_take(&outbox), 500);
    outbox_park(&outbox, outbox_take(&outbox), 300);
    assert_int_equal(a.in_flight, 0);
    assert_int_equal(outbox_due(&outbox), 300);
    outbox_unpark(&outbox, 299);
    sent(9, NULL, "a3");
    outbox_unpark(&outbox, 300);
    assert_int_equal(outbox_due(&outbox), 500);
    sent(9, NULL, "a2");
    outbox_release(&outbox, "another", 400);
    assert_int_equal(outbox_due(&outbox), 500);
    outbox_release(&outbox, "t", 400);
    outbox_unpark(&outbox, 400);
    sent(9, NULL, "a1");
}

static void what_is_put_back_goes_first_and_is_not_in_flight(void **state)
{
    UNUSED(state);
    struct list kept = {0};
    put(&a, 'a', 1, 3, 200);
    sent(2, &kept, "a1 a2");
    assert_int_equal(a.in_flight, 2);
    outbox_put_back(&outbox, &kept);
    assert_null(kept.head);
    assert_int_equal(a.in_flight, 0);
    assert_int_equal(a.in_flight_bytes, 0);
    sent(9, NULL, "a1 a2 a3");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_line_keeps_its_order),
        TEST(lines_take_turns),
        TEST(a_newcomer_waits_for_one_turn),
        TEST(turns_are_of_bytes),
        TEST(a_line_that_is_in_flight_waits),
        TEST(the_count_in_flight_is_limited),
        TEST(the_largest),
        TEST(again_before_all_others),
        TEST(what_came_back_waits_until_it_is_due),
        TEST(what_is_put_back_goes_first_and_is_not_in_flight),
        TEST(what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
