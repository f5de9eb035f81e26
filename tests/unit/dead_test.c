/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dead: the contents of a dead letter, and of the message that returns to its topic. */
#include "message/dead.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

static struct subscription subscription = {.topic = "valawai/c1/a/data/b"};
static const struct death death = {
    .reason = REASON_WRONG, .detail = "content: is empty", .component = "c1_a", .host = "machine", .time = 1764275018};

/* A message with these properties, of which draft tells. */
static struct delivery *delivery_of(struct draft *draft)
{
    struct text list = {0};
    assert_true(draft_put(draft, &list, NULL));
    struct delivery *delivery = delivery_with(NULL, 2, (struct properties){list.at, list.len});
    memcpy(delivery->body, "{}", 2);
    delivery->from = &subscription;
    delivery->attempt = 3;
    text_free(&list);
    draft_free(draft);
    return delivery;
}

static void expect_header(struct properties properties, const char *name, const char *expected)
{
    struct field value;
    struct text text = {0};
    bool is_there = properties_header(properties, name, &value);
    if (is_there)
        field_put_text(&value, &text);
    if (expected == NULL ? is_there : !is_there || strcmp(text.at, expected) != 0)
        fail_msg("%s: %s", name, is_there ? text.at : "is not there");
    text_free(&text);
}

static void set(struct draft *draft, const char *name, const char *text)
{
    const struct field value = {.kind = FIELD_TEXT, .text = text, .len = strlen(text)};
    assert_true(draft_set_header(draft, name, &value, NULL));
}

static void a_letter_says_why_and_when_and_where(void **state)
{
    UNUSED(state);
    struct draft draft;
    draft_begin(&draft, (struct properties){0});
    set(&draft, "own", "header");
    assert_true(draft_set_text(&draft, PROPERTY_MESSAGE_ID, "m-1", NULL));
    struct delivery *delivery = delivery_of(&draft);
    struct publication *letter = dead_letter(delivery, &death, 7, NULL);
    assert_non_null(letter);
    assert_string_equal(letter->topic, "valawai/c1/a/data/b/dead");
    assert_string_equal(letter->body, "{}");
    assert_int_equal(letter->most, 7);
    assert_true(letter->persistent);
    expect_header(letter->properties, DEAD_REASON, "wrong");
    expect_header(letter->properties, DEAD_DETAIL, "content: is empty");
    expect_header(letter->properties, DEAD_TIME, "1764275018");
    expect_header(letter->properties, DEAD_COMPONENT, "c1_a");
    expect_header(letter->properties, DEAD_ATTEMPTS, "3");
    expect_header(letter->properties, DEAD_HOST, "machine");
    expect_header(letter->properties, "own", "header");
    struct field value;
    assert_true(properties_get(letter->properties, PROPERTY_MESSAGE_ID, &value) && value.len == 3);
    assert_true(properties_get(letter->properties, PROPERTY_DELIVERY_MODE, &value) && value.number == 2);

    struct text list = {0};
    assert_true(dead_revive(letter->properties, &list, NULL));
    assert_int_equal(list.len, delivery->properties.len); /* unchanged */
    assert_memory_equal(list.at, delivery->properties.at, list.len);
    text_free(&list);
    free(letter);
    free(delivery);
}

static void a_message_without_properties_has_none_again(void **state)
{
    UNUSED(state);
    struct delivery *delivery = delivery_new(2);
    struct death no_detail = death;
    struct text list = {0};
    delivery->from = &subscription;
    no_detail.detail = NULL;
    struct publication *letter = dead_letter(delivery, &no_detail, 1, NULL);
    expect_header(letter->properties, DEAD_DETAIL, NULL);
    assert_true(dead_revive(letter->properties, &list, NULL));
    assert_true(properties_are_plain((struct properties){list.at, list.len}));
    text_free(&list);
    free(letter);
    free(delivery);
}

/* Flags and values by hand: a plugin may not set these. */
static void harmful_properties_are_moved_or_left_out(void **state)
{
    UNUSED(state);
    static const char bytes[] = "\x21\x10" /* headers, expiration, user id */
                                "\0\0\0\x2e"
                                "\2CCA\0\0\0\6S\0\0\0\1q"
                                "\x10x-delivery-countb\x13"
                                "\4keptS\0\0\0\3yes"
                                "\4"
                                "1000"
                                "\3mov";
    struct delivery *delivery = delivery_with(NULL, 2, (struct properties){bytes, sizeof bytes - 1});
    delivery->from = &subscription;
    assert_true(properties_are_sound(delivery->properties));
    struct publication *letter = dead_letter(delivery, &death, 1, NULL);
    struct field value;
    expect_header(letter->properties, "CC", NULL);
    expect_header(letter->properties, "x-delivery-count", NULL);
    expect_header(letter->properties, "kept", "yes");
    expect_header(letter->properties, DEAD_EXPIRATION, "1000");
    expect_header(letter->properties, DEAD_USER_ID, "mov");
    assert_false(properties_get(letter->properties, PROPERTY_EXPIRATION, &value));
    assert_false(properties_get(letter->properties, PROPERTY_USER_ID, &value));
    assert_false(properties_get(letter->properties, PROPERTY_CONTENT_TYPE, &value)); /* it had none */
    free(letter);
    free(delivery);
}

/* They would count towards the limit of the destination queue. */
static void the_counts_of_the_broker_stay_behind(void **state)
{
    UNUSED(state);
    static const char bytes[] = "\x20\0" /* headers */
                                "\0\0\0\x43"
                                "\x10x-delivery-countb\x13"
                                "\x10x-acquired-countb\x13"
                                "\x13valawai-dead-reasonS\0\0\0\4odd.";
    const struct properties letter = {bytes, sizeof bytes - 1};
    struct text revived = {0}, renewed = {0};
    struct field value;
    assert_true(properties_are_sound(letter));
    assert_true(dead_revive(letter, &revived, NULL));
    assert_false(properties_get((struct properties){revived.at, revived.len}, PROPERTY_HEADERS, &value));
    assert_true(dead_renew(letter, &renewed, NULL));
    expect_header((struct properties){renewed.at, renewed.len}, DEAD_RETURNS, NULL);
    expect_header((struct properties){renewed.at, renewed.len}, "x-acquired-count", NULL);
    expect_header((struct properties){renewed.at, renewed.len}, DEAD_REASON, "odd.");
    text_free(&revived);
    text_free(&renewed);
}

static void a_second_death_takes_the_place_of_the_first(void **state)
{
    UNUSED(state);
    struct draft draft;
    draft_begin(&draft, (struct properties){0});
    set(&draft, DEAD_REASON, "failed");
    set(&draft, DEAD_EXPIRATION, "5");
    struct delivery *delivery = delivery_of(&draft);
    struct publication *letter = dead_letter(delivery, &death, 1, NULL);
    expect_header(letter->properties, DEAD_REASON, "wrong");
    expect_header(letter->properties, DEAD_EXPIRATION, NULL);
    free(letter);
    free(delivery);
}

static void what_cannot_be_a_letter(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    char topic[256];
    memset(topic, 't', sizeof topic - 1);
    topic[sizeof topic - 1] = '\0';
    struct subscription longest = {.topic = topic + 4}; /* 251 bytes, and five more */
    struct delivery *delivery = delivery_new(0);
    delivery->from = &longest;
    assert_null(dead_letter(delivery, &death, 1, &fault));
    expect_in(fault.text, "255");
    longest.topic = topic + 5;
    struct publication *letter = dead_letter(delivery, &death, 1, &fault);
    assert_non_null(letter);
    free(letter);
    free(delivery);

    struct draft draft;
    char *large = calloc(1, PROPERTIES_MAX);
    memset(large, 'x', PROPERTIES_MAX - 100);
    draft_begin(&draft, (struct properties){0});
    set(&draft, "large", large);
    delivery = delivery_of(&draft);
    assert_null(dead_letter(delivery, &death, 1, &fault));
    expect_in(fault.text, "longer");
    free(large);
    free(delivery);
}

static void an_explanation_fits(void **state)
{
    UNUSED(state);
    char *explanation = calloc(1, 100001);
    memset(explanation, 'e', 100000);
    memcpy(explanation, "\xff\n", 2);
    struct death wordy = death;
    struct delivery *delivery = delivery_new(0);
    struct field value;
    delivery->from = &subscription;
    wordy.detail = explanation;
    struct publication *letter = dead_letter(delivery, &wordy, 1, NULL);
    assert_non_null(letter);
    assert_true(properties_header(letter->properties, DEAD_DETAIL, &value));
    assert_in_range(value.len, 1000, 1100);
    free(letter);
    free(delivery);
    free(explanation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_says_why_and_when_and_where),
        cmocka_unit_test(a_message_without_properties_has_none_again),
        cmocka_unit_test(harmful_properties_are_moved_or_left_out),
        cmocka_unit_test(the_counts_of_the_broker_stay_behind),
        cmocka_unit_test(a_second_death_takes_the_place_of_the_first),
        cmocka_unit_test(what_cannot_be_a_letter),
        cmocka_unit_test(an_explanation_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
