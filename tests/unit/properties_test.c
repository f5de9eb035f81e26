/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * properties: compared with rabbitmq-c, which reads and writes the same bytes. */
#include "message/properties.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "broker/connection.h"
#include "message/message.h"
#include "support.h"

static char encoded[4096];

static struct properties encode(amqp_basic_properties_t *properties)
{
    int size =
        amqp_encode_properties(AMQP_BASIC_CLASS, properties, (amqp_bytes_t){.bytes = encoded, .len = sizeof encoded});
    assert_true(size > 0);
    return (struct properties){encoded, (size_t)size};
}

#define KEY(name) .key = {.len = sizeof(name) - 1, .bytes = (void *)(uintptr_t)(name)}
#define UTF8(text)                                                                                                     \
    {                                                                                                                  \
        .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = {.len = sizeof(text) - 1, .bytes = (void *)(uintptr_t)(text) }    \
    }

/* A list with all properties. */
static struct properties everything(void)
{
    static amqp_table_entry_t inner[] = {{KEY("deep"), .value = UTF8("in")}};
    static amqp_field_value_t items[] = {UTF8("a"), {.kind = AMQP_FIELD_KIND_I32, .value.i32 = -7}};
    static amqp_table_entry_t headers[] = {
        {KEY("traceparent"), .value = UTF8("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
        {KEY("i8"), .value = {.kind = AMQP_FIELD_KIND_I8, .value.i8 = -8}},
        {KEY("u8"), .value = {.kind = AMQP_FIELD_KIND_U8, .value.u8 = 200}},
        {KEY("i16"), .value = {.kind = AMQP_FIELD_KIND_I16, .value.i16 = -300}},
        {KEY("u16"), .value = {.kind = AMQP_FIELD_KIND_U16, .value.u16 = 60000}},
        {KEY("i32"), .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = INT32_MIN}},
        {KEY("u32"), .value = {.kind = AMQP_FIELD_KIND_U32, .value.u32 = UINT32_MAX}},
        {KEY("i64"), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = INT64_MIN}},
        {KEY("yes"), .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
        {KEY("no"), .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 0}},
        {KEY("f32"), .value = {.kind = AMQP_FIELD_KIND_F32, .value.f32 = 0.5f}},
        {KEY("f64"), .value = {.kind = AMQP_FIELD_KIND_F64, .value.f64 = -2.25}},
        {KEY("when"), .value = {.kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = 1764275018}},
        {KEY("price"), .value = {.kind = AMQP_FIELD_KIND_DECIMAL, .value.decimal = {.decimals = 2, .value = 1999}}},
        {KEY("table"), .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {COUNT(inner), inner}}},
        {KEY("array"), .value = {.kind = AMQP_FIELD_KIND_ARRAY, .value.array = {COUNT(items), items}}},
        {KEY("bytes"), .value = {.kind = AMQP_FIELD_KIND_BYTES, .value.bytes = {.len = 2, .bytes = "\xff."}}},
        {KEY("none"), .value = {.kind = AMQP_FIELD_KIND_VOID}},
    };
    amqp_basic_properties_t all = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG |
                  AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                  AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                  AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_APP_ID_FLAG |
                  AMQP_BASIC_CLUSTER_ID_FLAG,
        .content_type = amqp_cstring_bytes("text/plain"),
        .content_encoding = amqp_cstring_bytes("none"),
        .headers = {COUNT(headers), headers},
        .delivery_mode = 1,
        .priority = 9,
        .correlation_id = amqp_cstring_bytes("c-1"),
        .reply_to = amqp_cstring_bytes("back"),
        .expiration = amqp_cstring_bytes("60000"),
        .message_id = amqp_cstring_bytes("m-1"),
        .timestamp = 1764275018,
        .type = amqp_cstring_bytes("greeting"),
        .user_id = amqp_cstring_bytes("mov"),
        .app_id = amqp_cstring_bytes("test"),
        .cluster_id = amqp_cstring_bytes(""),
    };
    return encode(&all);
}

static void expect_text(struct properties properties, enum property property, const char *expected)
{
    struct field value;
    assert_true(properties_get(properties, property, &value));
    assert_int_equal(value.kind, FIELD_TEXT);
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.text, expected, value.len);
}

static void expect_number(struct properties properties, const char *header, int64_t expected)
{
    struct field value;
    assert_true(properties_header(properties, header, &value));
    assert_true(value.kind == FIELD_NUMBER || value.kind == FIELD_TRUTH || value.kind == FIELD_TIME);
    assert_true(value.number == expected);
}

static void reads_what_rabbitmq_c_writes(void **state)
{
    UNUSED(state);
    struct properties all = everything();
    struct field value;
    assert_true(properties_are_sound(all));
    assert_false(properties_are_plain(all));
    expect_text(all, PROPERTY_CONTENT_TYPE, "text/plain");
    expect_text(all, PROPERTY_CONTENT_ENCODING, "none");
    expect_text(all, PROPERTY_CORRELATION_ID, "c-1");
    expect_text(all, PROPERTY_REPLY_TO, "back");
    expect_text(all, PROPERTY_EXPIRATION, "60000");
    expect_text(all, PROPERTY_MESSAGE_ID, "m-1");
    expect_text(all, PROPERTY_TYPE, "greeting");
    expect_text(all, PROPERTY_USER_ID, "mov");
    expect_text(all, PROPERTY_APP_ID, "test");
    expect_text(all, PROPERTY_CLUSTER_ID, "");
    assert_true(properties_get(all, PROPERTY_TIMESTAMP, &value) && value.kind == FIELD_TIME);
    assert_true(value.number == 1764275018);
    assert_true(properties_get(all, PROPERTY_PRIORITY, &value) && value.number == 9);
    assert_true(properties_get(all, PROPERTY_DELIVERY_MODE, &value) && value.number == 1);
    assert_false(properties_get(all, PROPERTY_HEADERS, &value)); /* those are asked for by name */

    expect_number(all, "i8", -8);
    expect_number(all, "u8", 200);
    expect_number(all, "i16", -300);
    expect_number(all, "u16", 60000);
    expect_number(all, "i32", INT32_MIN);
    expect_number(all, "u32", UINT32_MAX);
    expect_number(all, "i64", INT64_MIN);
    expect_number(all, "yes", 1);
    expect_number(all, "no", 0);
    expect_number(all, "when", 1764275018);
    assert_true(properties_header(all, "f32", &value) && value.kind == FIELD_REAL && value.real == 0.5);
    assert_true(properties_header(all, "f64", &value) && value.kind == FIELD_REAL && value.real == -2.25);
    assert_true(properties_header(all, "table", &value) && value.kind == FIELD_OTHER);
    assert_false(properties_header(all, "TABLE", &value));
    assert_false(properties_header(all, "tabl", &value));

    struct header header;
    size_t count = 0;
    for (size_t at = 0; properties_next_header(all, &at, &header);)
        count++;
    assert_int_equal(count, 18);
}

static void is_shown_as_json(void **state)
{
    UNUSED(state);
    struct text out = {0};
    properties_put_json(everything(), &out);
    assert_true(json_is_object(out.at, out.len, NULL));
    expect_in(out.at, "\"content_type\":\"text/plain\",");
    expect_in(out.at, "\"i8\":-8,\"u8\":200,");
    expect_in(out.at, "\"yes\":true,\"no\":false,\"f32\":0.5,\"f64\":-2.25,");
    expect_in(out.at, "\"price\":1999e-2,\"table\":{\"deep\":\"in\"},\"array\":[\"a\",-7],");
    expect_in(out.at, "\"none\":null}");
    expect_in(out.at, "\"timestamp\":1764275018,\"type\":\"greeting\"");
    text_clear(&out);
    properties_put_json((struct properties){0}, &out);
    assert_string_equal(out.at, "{}");
    text_clear(&out);
    const struct field infinite = {.kind = FIELD_REAL, .real = INFINITY},
                       text = {.kind = FIELD_TEXT, .text = "as it is", .len = 8};
    field_put_text(&infinite, &out);
    field_put_text(&text, &out);
    assert_string_equal(out.at, "nullas it is");
    text_free(&out);
}

/* A list that is cut off or has a wrong length is detected, and nothing beyond it is read (ASan). */
static void what_is_damaged_is_not_sound(void **state)
{
    UNUSED(state);
    struct properties all = everything();
    struct text out = {0};
    for (size_t len = 0; len < all.len; len++) {
        char *exact = malloc(len + 1);
        memcpy(exact, all.at, len);
        char *end = realloc(exact, len == 0 ? 1 : len); /* nothing behind it */
        assert_non_null(end);
        struct properties part = {end, len};
        if (len > 0)
            assert_false(properties_are_sound(part));
        properties_put_json(part, &out);
        free(end);
    }
    for (size_t at = 0; at < all.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            char *copy = malloc(all.len);
            memcpy(copy, all.at, all.len);
            copy[at] = (char)(copy[at] ^ 1 << bit);
            struct properties damaged = {copy, all.len};
            (void)properties_are_sound(damaged);
            text_clear(&out);
            properties_put_json(damaged, &out);
            assert_true(json_is_object(out.at, out.len, NULL));
            free(copy);
        }
    }
    static const char longer[] = {0x08, 0x00, 1, 'm', 'x'}, reserved[] = {0x00, 0x01};
    assert_false(properties_are_sound((struct properties){longer, sizeof longer}));
    assert_false(properties_are_sound((struct properties){reserved, sizeof reserved}));
    text_free(&out);
}

static void plain_is_what_the_host_writes_itself(void **state)
{
    UNUSED(state);
    amqp_basic_properties_t common = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = 1,
    };
    assert_true(properties_are_plain(encode(&common)));
    common.delivery_mode = 2;
    assert_true(properties_are_plain(encode(&common)));
    common.content_type = amqp_cstring_bytes("application/jsom");
    assert_false(properties_are_plain(encode(&common)));
    common._flags |= AMQP_BASIC_PRIORITY_FLAG;
    common.content_type = amqp_cstring_bytes("application/json");
    assert_false(properties_are_plain(encode(&common)));
    assert_true(properties_are_plain((struct properties){0}));
}

static void a_draft_changes_only_what_it_is_told(void **state)
{
    UNUSED(state);
    struct draft draft;
    struct text out = {0};
    struct properties all = everything();
    draft_begin(&draft, all);
    assert_true(draft_put(&draft, &out, NULL));
    assert_int_equal(out.len, all.len);
    assert_memory_equal(out.at, all.at, all.len);

    text_clear(&out);
    draft_drop(&draft, PROPERTY_EXPIRATION);
    draft_persist(&draft);
    assert_true(draft_set_text(&draft, PROPERTY_MESSAGE_ID, "m-2", NULL));
    assert_true(draft_put(&draft, &out, NULL));
    struct properties changed = {out.at, out.len};
    struct field value;
    assert_true(properties_are_sound(changed));
    expect_text(changed, PROPERTY_MESSAGE_ID, "m-2");
    expect_text(changed, PROPERTY_CORRELATION_ID, "c-1");
    assert_false(properties_get(changed, PROPERTY_EXPIRATION, &value));
    assert_true(properties_get(changed, PROPERTY_DELIVERY_MODE, &value) && value.number == 2);
    expect_number(changed, "u16", 60000);
    draft_free(&draft);
    text_free(&out);
}

static void set(struct draft *draft, const char *name, struct field value)
{
    struct fault fault = {""};
    if (!draft_set_header(draft, name, &value, &fault))
        fail_msg("%s", fault.text);
}

static void rabbitmq_c_reads_a_draft(void **state)
{
    UNUSED(state);
    struct draft draft;
    struct text out = {0};
    draft_begin(&draft, (struct properties){0});
    assert_true(draft_set_text(&draft, PROPERTY_CORRELATION_ID, "", NULL));
    assert_true(draft_set_text(&draft, PROPERTY_TYPE, "grüße", NULL));
    assert_true(draft_set_number(&draft, PROPERTY_TIMESTAMP, 12, NULL));
    assert_true(draft_set_number(&draft, PROPERTY_PRIORITY, 255, NULL));
    set(&draft, "first", (struct field){.kind = FIELD_TEXT, .text = "one", .len = 3});
    set(&draft, "count", (struct field){.kind = FIELD_NUMBER, .number = -5});
    set(&draft, "real", (struct field){.kind = FIELD_REAL, .real = 0.1});
    set(&draft, "truth", (struct field){.kind = FIELD_TRUTH, .number = 1});
    set(&draft, "first", (struct field){.kind = FIELD_TIME, .number = 99}); /* replaces the text */
    assert_true(draft_put(&draft, &out, NULL));

    amqp_pool_t pool;
    void *decoded = NULL;
    init_amqp_pool(&pool, 4096);
    assert_int_equal(
        amqp_decode_properties(AMQP_BASIC_CLASS, &pool, (amqp_bytes_t){.len = out.len, .bytes = out.at}, &decoded), 0);
    const amqp_basic_properties_t *read = decoded;
    assert_int_equal(read->delivery_mode, 2);
    assert_int_equal(read->content_type.len, 16);
    assert_true((read->_flags & AMQP_BASIC_CORRELATION_ID_FLAG) != 0);
    assert_int_equal(read->correlation_id.len, 0);
    assert_memory_equal(read->type.bytes, "grüße", read->type.len);
    assert_int_equal(read->timestamp, 12);
    assert_int_equal(read->priority, 255);
    assert_int_equal(read->headers.num_entries, 4);
    assert_int_equal(read->headers.entries[0].value.kind, AMQP_FIELD_KIND_I64);
    assert_true(read->headers.entries[0].value.value.i64 == -5);
    assert_true(read->headers.entries[1].value.value.f64 == 0.1);
    assert_int_equal(read->headers.entries[2].value.kind, AMQP_FIELD_KIND_BOOLEAN);
    assert_int_equal(read->headers.entries[3].value.kind, AMQP_FIELD_KIND_TIMESTAMP);
    assert_int_equal(read->headers.entries[3].value.value.u64, 99);
    empty_amqp_pool(&pool);
    draft_free(&draft);
    text_free(&out);
}

static void expect_refused(struct draft *draft, const char *name, struct field value, const char *why)
{
    struct fault fault = {""};
    assert_false(draft_set_header(draft, name, &value, &fault));
    expect_in(fault.text, why);
}

static void a_draft_refuses_what_a_message_cannot_carry(void **state)
{
    UNUSED(state);
    struct draft draft;
    struct fault fault = {""};
    struct text out = {0};
    char *large = calloc(1, PROPERTIES_MAX + 2);
    memset(large, 'x', PROPERTIES_MAX + 1);
    const struct field text = {.kind = FIELD_TEXT, .text = "t", .len = 1};
    draft_begin(&draft, (struct properties){0});
    assert_false(draft_set_text(&draft, PROPERTY_MESSAGE_ID, large, &fault));
    expect_in(fault.text, "message_id");
    assert_false(draft_set_text(&draft, PROPERTY_TYPE, "\xff", &fault));
    assert_false(draft_set_text(&draft, PROPERTY_USER_ID, "root", &fault));
    assert_false(draft_set_text(&draft, PROPERTY_EXPIRATION, "1", &fault));
    assert_false(draft_set_text(&draft, PROPERTY_TIMESTAMP, "1", &fault));
    assert_false(draft_set_number(&draft, PROPERTY_MESSAGE_ID, 1, &fault));
    assert_false(draft_set_number(&draft, PROPERTY_DELIVERY_MODE, 1, &fault));
    assert_false(draft_set_number(&draft, PROPERTY_PRIORITY, 256, &fault));
    assert_false(draft_set_number(&draft, PROPERTY_TIMESTAMP, -1, &fault));
    expect_refused(&draft, "", text, "name");
    expect_refused(&draft, "\xc3", text, "name");
    expect_refused(&draft, "CC", text, "other queues");
    expect_refused(&draft, "BCC", text, "other queues");
    large[256] = '\0';
    expect_refused(&draft, large, text, "name");
    large[256] = 'x';
    expect_refused(&draft, "h", (struct field){.kind = FIELD_OTHER, .mark = 'V'}, "neither");
    expect_refused(&draft, "h", (struct field){.kind = FIELD_TEXT, .text = "\xff", .len = 1}, "UTF-8");
    expect_refused(&draft, "h", (struct field){.kind = FIELD_TEXT, .text = large, .len = PROPERTIES_MAX + 1}, "longer");
    expect_refused(&draft, "h", (struct field){.kind = FIELD_TEXT, .text = large, .len = PROPERTIES_MAX - 10},
                   "longer");

    struct field half = {.kind = FIELD_TEXT, .text = large, .len = PROPERTIES_MAX / 2};
    assert_true(draft_set_header(&draft, "one", &half, &fault));
    expect_refused(&draft, "two", half, "longer");
    half.len -= 60;
    assert_true(draft_set_header(&draft, "two", &half, &fault));
    assert_true(draft_put(&draft, &out, &fault));
    assert_true(draft_set_text(&draft, PROPERTY_MESSAGE_ID, "0123456789012345678901234567890123456789", &fault));
    assert_false(draft_put(&draft, &out, &fault)); /* all of it counts */
    expect_in(fault.text, "longer");
    draft_free(&draft);
    text_free(&out);
    free(large);
}

static bool is_short(const char *name, size_t len)
{
    (void)name;
    return len <= 3;
}

static void headers_are_dropped_by_name(void **state)
{
    UNUSED(state);
    struct draft draft;
    struct text out = {0};
    struct field value;
    draft_begin(&draft, everything());
    draft_drop_headers(&draft, is_short);
    assert_true(draft_put(&draft, &out, NULL));
    struct properties left = {out.at, out.len};
    assert_true(properties_are_sound(left));
    assert_false(properties_header(left, "i8", &value) || properties_header(left, "yes", &value));
    assert_true(properties_header(left, "traceparent", &value) && properties_header(left, "none", &value));
    draft_free(&draft);
    text_free(&out);
}

/* ---- the trace ---- */

static struct publication *traced(struct properties own, struct properties cause)
{
    struct publication *publication = publication_with("t", "{}", 2, own);
    publication->persistent = publication->waits = true;
    return publication_trace(publication, cause);
}

/* The properties of a message with these headers, of which the later may be NULL. */
static struct properties with(struct text *out, const char *parent, const char *state)
{
    struct draft draft;
    text_clear(out);
    draft_begin(&draft, (struct properties){0});
    if (parent != NULL)
        set(&draft, "traceparent", (struct field){.kind = FIELD_TEXT, .text = parent, .len = strlen(parent)});
    if (state != NULL)
        set(&draft, "tracestate", (struct field){.kind = FIELD_TEXT, .text = state, .len = strlen(state)});
    assert_true(draft_put(&draft, out, NULL));
    draft_free(&draft);
    return (struct properties){out->at, out->len};
}

static void expect_header(const struct publication *publication, const char *name, const char *expected)
{
    struct field value;
    bool is = properties_header(publication->properties, name, &value);
    assert_int_equal(is, expected != NULL);
    if (expected == NULL)
        return;
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.text, expected, value.len);
}

static void a_trace_is_passed_on(void **state)
{
    UNUSED(state);
    struct text cause = {0}, own = {0};
    struct publication *publication = traced((struct properties){0}, with(&cause, "p1", "s1"));
    expect_header(publication, "traceparent", "p1");
    expect_header(publication, "tracestate", "s1");
    assert_true(publication->persistent && publication->waits);
    assert_string_equal(publication->topic, "t");
    assert_string_equal(publication->body, "{}");
    free(publication);

    publication = traced((struct properties){0}, with(&cause, "p1", NULL));
    expect_header(publication, "traceparent", "p1");
    expect_header(publication, "tracestate", NULL);
    free(publication);

    publication = traced(with(&own, "p2", NULL), with(&cause, "p1", "s1")); /* its own, and no foreign state */
    expect_header(publication, "traceparent", "p2");
    expect_header(publication, "tracestate", NULL);
    free(publication);

    publication = traced(with(&own, NULL, "s2"), with(&cause, "p1", "s1"));
    expect_header(publication, "traceparent", "p1");
    expect_header(publication, "tracestate", "s1");
    free(publication);

    publication = traced((struct properties){0}, with(&cause, NULL, "s1")); /* no trace */
    assert_int_equal(publication->properties.len, 0);
    free(publication);
    text_free(&cause);
    text_free(&own);
}

static void names(void **state)
{
    UNUSED(state);
    enum property property;
    assert_true(property_by_name("message_id", &property));
    assert_int_equal(property, PROPERTY_MESSAGE_ID);
    assert_string_equal(property_name(PROPERTY_MESSAGE_ID), "message_id");
    assert_false(property_by_name("headers", &property));
    assert_false(property_by_name("", &property));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_rabbitmq_c_writes),
        cmocka_unit_test(is_shown_as_json),
        cmocka_unit_test(what_is_damaged_is_not_sound),
        cmocka_unit_test(plain_is_what_the_host_writes_itself),
        cmocka_unit_test(a_draft_changes_only_what_it_is_told),
        cmocka_unit_test(rabbitmq_c_reads_a_draft),
        cmocka_unit_test(a_draft_refuses_what_a_message_cannot_carry),
        cmocka_unit_test(headers_are_dropped_by_name),
        cmocka_unit_test(a_trace_is_passed_on),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
