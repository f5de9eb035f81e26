/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "message/message.h"

static void a_delivery(void **state)
{
    UNUSED(state);
    static const size_t lengths[] = {0, 1, 7, 4096, 1 << 20};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct delivery *delivery = delivery_new(lengths[i]);
        assert_int_equal(delivery->len, lengths[i]);
        memset(delivery->body, 'x', lengths[i]);
        assert_int_equal(delivery->body[lengths[i]], '\0'); /* past the end, and readable */
        assert_null(delivery->from);
        assert_int_equal(delivery->attempt, 0);
        assert_int_equal(delivery->unconfirmed, 0);
        assert_int_equal(delivery->refused, 0);
        assert_false(delivery->redelivered);
        assert_false(delivery->leftover);
        assert_int_equal(delivery->settlement, SETTLE_ACKNOWLEDGE);
        free(delivery);
    }
}

static struct text journal;

static void on_confirmed(void *context, struct list *publications)
{
    text_printf(&journal, "%s:", (const char *)context);
    for (struct node *node; (node = list_take(publications)) != NULL; free(node))
        text_printf(&journal, " %s", ((struct publication *)node)->topic);
    text_puts(&journal, "\n");
}

/* Publications with numbers; a letter names the sender, and - stands for none. */
static void expect_reports(const char *senders, const char *wanted)
{
    static char a_name[] = "a", b_name[] = "b";
    static const struct sender a = {on_confirmed, a_name}, b = {on_confirmed, b_name};
    struct list list = {0};
    for (size_t i = 0; senders[i] != '\0'; i++) {
        const char topic[] = {(char)('0' + i), '\0'};
        struct publication *publication = publication_new(topic, "{}", 2);
        publication->sender = senders[i] == 'a' ? &a : senders[i] == 'b' ? &b : NULL;
        list_put(&list, &publication->node);
    }
    text_puts(&journal, "");
    publications_report(&list);
    assert_null(list.head);
    assert_string_equal(journal.at, wanted);
    text_free(&journal);
}

static void each_sender_hears_of_its_own_publications(void **state)
{
    UNUSED(state);
    expect_reports("", "");
    expect_reports("-", "");
    expect_reports("aa", "a: 0 1\n");
    expect_reports("aabba", "a: 0 1\nb: 2 3\na: 4\n");
    expect_reports("-a-b-", "a: 1\nb: 3\n");
    expect_reports("a--a", "a: 0\na: 3\n");
}

static void a_publication(void **state)
{
    UNUSED(state);
    char topic[] = "valawai/c1/a/data/b", body[] = "{\"a\":\"x\0y\"}";
    struct publication *publication = publication_new(topic, body, sizeof body - 1);
    memset(topic, 'X', sizeof topic - 1); /* it has copies of both */
    memset(body, 'X', sizeof body - 1);
    assert_string_equal(publication->topic, "valawai/c1/a/data/b");
    assert_int_equal(publication->len, 11);
    assert_memory_equal(publication->body, "{\"a\":\"x\0y\"}", 12);
    assert_null(publication->cause);
    assert_false(publication->persistent);
    assert_false(publication->waits);
    assert_null(publication->sender);
    free(publication);

    publication = publication_new("", "", 0);
    assert_string_equal(publication->topic, "");
    assert_string_equal(publication->body, "");
    free(publication);
}

static void stale_when_the_channel_is_another(void **state)
{
    UNUSED(state);
    struct subscription subscription = {.topic = "t"};
    struct delivery *delivery = delivery_new(0);
    delivery->from = &subscription;
    assert_false(delivery_is_stale(delivery));
    atomic_store(&subscription.epoch, 1);
    assert_true(delivery_is_stale(delivery));
    delivery->epoch = 1;
    assert_false(delivery_is_stale(delivery));
    free(delivery);
}

/* The consumer's thread uses ended deliveries for the next ones, whatever the first were for. */
static void an_emptied_delivery_has_room_for_the_next(void **state)
{
    UNUSED(state);
    static const size_t lengths[] = {0, 10, 1000};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct spares spares = {0};
        struct delivery *delivery = delivery_empty(delivery_new(lengths[i]));
        assert_int_equal(delivery->len, 0);
        delivery_end(&spares, delivery);
        delivery = delivery_with(&spares, 200, (struct properties){0});
        assert_true(malloc_usable_size(delivery) >= sizeof *delivery + 201);
        free(delivery);
        list_free(&spares.list);
    }
}

static void dropped_deliveries_are_counted(void **state)
{
    UNUSED(state);
    struct subscription subscription = {.topic = "t"};
    struct list both = {0}, publications = {0};
    for (int i = 0; i < 3; i++) {
        struct delivery *delivery = delivery_new(0);
        delivery->from = &subscription;
        if (i < 2) {
            list_put(&both, &delivery->node);
            continue;
        }
        struct publication *publication = publication_new("u", "{}", 2);
        publication->cause = delivery;
        delivery->unconfirmed = 1;
        list_put(&publications, &publication->node);
    }
    deliveries_drop(&both);
    assert_int_equal(atomic_load(&subscription.dropped), 2);
    publications_drop(&publications);
    assert_int_equal(atomic_load(&subscription.dropped), 3);
    delivery_drop(NULL);
}

static void texts_of_the_memory_room(void **state)
{
    UNUSED(state);
    assert_null(memory_text(NULL));
    char *text = memory_format("%s-%d", "a", 5);
    assert_string_equal(text, "a-5");
    free(text);
    char *zeroed = memory_new(64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(zeroed[i], 0);
    zeroed = memory_resize(zeroed, 128);
    free(zeroed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery),
        cmocka_unit_test(a_publication),
        cmocka_unit_test(each_sender_hears_of_its_own_publications),
        cmocka_unit_test(stale_when_the_channel_is_another),
        cmocka_unit_test(an_emptied_delivery_has_room_for_the_next),
        cmocka_unit_test(dropped_deliveries_are_counted),
        cmocka_unit_test(texts_of_the_memory_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
