/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trace: which messages are part of a trace, what is passed on, and the JSON of the spans. */
#include "otel/trace.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "otel/span.h"
#include "support.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define SPAN "0123456789abcdef"

/* A list of properties with these two headers; NULL: without. The caller frees it. */
static struct text list_of(const char *traceparent, const char *tracestate)
{
    struct text list = {0};
    struct draft draft;
    const char *const headers[][2] = {{"traceparent", traceparent}, {"tracestate", tracestate}};
    draft_begin(&draft, (struct properties){0});
    assert_true(draft_set_text(&draft, PROPERTY_MESSAGE_ID, "m-\"1\"", NULL));
    for (size_t i = 0; i < COUNT(headers); i++) {
        if (headers[i][1] == NULL)
            continue;
        const struct field value = {.kind = FIELD_TEXT, .text = headers[i][1], .len = strlen(headers[i][1])};
        assert_true(draft_set_header(&draft, headers[i][0], &value, NULL));
    }
    assert_true(draft_put(&draft, &list, NULL));
    draft_free(&draft);
    return list;
}

static bool read_of(const char *traceparent, struct trace *trace)
{
    struct text list = list_of(traceparent, NULL);
    bool read = trace_read((struct properties){list.at, list.len}, trace);
    text_free(&list);
    return read;
}

static void what_is_valid_is_read(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        bool sampled;
    } cases[] = {
        {"00-" ID "-" PARENT "-01", true},
        {"00-" ID "-" PARENT "-00", false},
        {"00-" ID "-" PARENT "-02", false},
        {"00-" ID "-" PARENT "-03", true},
        {"01-" ID "-" PARENT "-01", true}, /* a later version, as far as this one goes */
        {"cc-" ID "-" PARENT "-01-more-of-it", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trace trace;
        if (!read_of(cases[i].text, &trace))
            fail_msg("%s is not read", cases[i].text);
        assert_string_equal(trace.id, ID);
        assert_string_equal(trace.parent, PARENT);
        assert_int_equal(trace_is_sampled(&trace), cases[i].sampled);
    }
}

static void what_is_not_valid_is_no_trace(void **state)
{
    UNUSED(state);
    static const char *const cases[] = {
        NULL,
        "",
        "00-" ID "-" PARENT,
        "00-" ID "-" PARENT "-1",
        "00-" ID "-" PARENT "-01-more",
        "00-" ID "-" PARENT "-01 ",
        "01-" ID "-" PARENT "-01more",
        "ff-" ID "-" PARENT "-01",
        "0g-" ID "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" ID "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-" ID "-00f067aa0ba902bX-01",
        "00-" ID "-" PARENT "-0x",
        "00_" ID "-" PARENT "-01",
        "00-" ID "_" PARENT "-01",
        "00-" ID "-" PARENT "_01",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trace trace;
        if (read_of(cases[i], &trace))
            fail_msg("%s is read", cases[i]);
    }
}

static void the_span_becomes_the_parent(void **state)
{
    UNUSED(state);
    struct trace trace;
    struct field value;
    struct text list = list_of("00-" ID "-" PARENT "-01", "vendor=1"), passed = {0};
    assert_true(trace_read((struct properties){list.at, list.len}, &trace));
    assert_true(trace_put_properties(&trace, SPAN, (struct properties){list.at, list.len}, &passed));
    const struct properties properties = {passed.at, passed.len};
    assert_true(properties_header(properties, "traceparent", &value));
    assert_int_equal(value.len, strlen("00-" ID "-" SPAN "-01"));
    assert_memory_equal(value.text, "00-" ID "-" SPAN "-01", value.len);
    assert_true(properties_header(properties, "tracestate", &value));
    text_free(&list);
    text_free(&passed);
}

/* ---- spans ---- */

static struct subscription subscription = {.topic = "valawai/c1/a/data/b"};

static struct span *span_of(const char *id, const char *component, enum reason reason, int64_t ended_ns)
{
    struct trace trace;
    struct text list = list_of("00-" ID "-" PARENT "-01", "vendor=\"1\"");
    struct delivery *delivery = delivery_with(NULL, 2, (struct properties){list.at, list.len});
    memcpy(delivery->body, "{}", 2);
    delivery->from = &subscription;
    delivery->began_ns = 1764275018000000001;
    delivery->reason = reason;
    delivery->attempt = 3;
    delivery->tag = 77;
    assert_true(trace_read(delivery->properties, &trace));
    struct span *span = span_new(delivery, &trace, id, component, ended_ns);
    free(delivery); /* the span is a copy */
    text_free(&list);
    return span;
}

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, name, &value))
        fail_msg("no %s in %s", name, json_object_to_json_string(object));
    return value;
}

static const char *text_member(struct json_object *object, const char *name)
{
    return json_object_get_string(member(object, name));
}

/* NULL: there is none of this name. */
static const char *attribute(struct json_object *object, const char *key)
{
    struct json_object *attributes = member(object, "attributes");
    for (size_t i = 0; i < json_object_array_length(attributes); i++) {
        struct json_object *one = json_object_array_get_idx(attributes, i), *value = member(one, "value"), *text;
        if (strcmp(text_member(one, "key"), key) == 0)
            return json_object_object_get_ex(value, "stringValue", &text) ? json_object_get_string(text)
                                                                          : text_member(value, "intValue");
    }
    return NULL;
}

static struct json_object *spans_of(struct json_object *resource)
{
    struct json_object *scope = json_object_array_get_idx(member(resource, "scopeSpans"), 0);
    return member(scope, "spans");
}

static void the_json_has_what_a_collector_expects(void **state)
{
    UNUSED(state);
    struct list spans = {0};
    struct text body = {0};
    const char one[] = "c1_a", other[] = "c1_b";
    const struct span_source source = {.version = "1.2.3", .host = "machine", .pid = 5};
    list_put(&spans, &span_of(SPAN, one, REASON_NONE, 1764275018000000009)->node);
    list_put(&spans, &span_of("1123456789abcdef", other, REASON_WRONG, 3)->node); /* the clock was set back */
    list_put(&spans, &span_of("2123456789abcdef", one, REASON_NONE, 1764275018000000009)->node);
    spans_put_json(&spans, &source, &body);
    struct json_object *json = json_tokener_parse(body.at);
    assert_non_null(json);
    struct json_object *resources = member(json, "resourceSpans");
    assert_int_equal(json_object_array_length(resources), 2);

    struct json_object *resource = json_object_array_get_idx(resources, 0), *list = spans_of(resource);
    assert_string_equal(attribute(member(resource, "resource"), "service.name"), "c1_a");
    assert_string_equal(attribute(member(resource, "resource"), "process.pid"), "5");
    assert_int_equal(json_object_array_length(list), 2);
    struct json_object *span = json_object_array_get_idx(list, 0);
    assert_string_equal(text_member(span, "traceId"), ID);
    assert_string_equal(text_member(span, "spanId"), SPAN);
    assert_string_equal(text_member(span, "parentSpanId"), PARENT);
    assert_string_equal(text_member(span, "traceState"), "vendor=\"1\"");
    assert_string_equal(text_member(span, "name"), "process valawai/c1/a/data/b");
    assert_string_equal(text_member(span, "startTimeUnixNano"), "1764275018000000001");
    assert_string_equal(text_member(span, "endTimeUnixNano"), "1764275018000000009");
    assert_int_equal(json_object_get_int(member(span, "kind")), 5);
    assert_string_equal(attribute(span, "messaging.system"), "rabbitmq");
    assert_string_equal(attribute(span, "messaging.operation.type"), "process");
    assert_string_equal(attribute(span, "messaging.destination.name"), "valawai/c1/a/data/b");
    assert_string_equal(attribute(span, "messaging.message.id"), "m-\"1\"");
    assert_string_equal(attribute(span, "messaging.message.body.size"), "2");
    assert_string_equal(attribute(span, "messaging.rabbitmq.message.delivery_tag"), "77");
    assert_null(attribute(span, "error.type"));
    assert_int_equal(json_object_object_length(member(span, "status")), 0);

    resource = json_object_array_get_idx(resources, 1);
    span = json_object_array_get_idx(spans_of(resource), 0);
    assert_string_equal(attribute(member(resource, "resource"), "service.name"), "c1_b");
    assert_string_equal(attribute(span, "error.type"), "wrong");
    assert_int_equal(json_object_get_int(member(member(span, "status"), "code")), 2);
    assert_string_equal(text_member(span, "endTimeUnixNano"), text_member(span, "startTimeUnixNano"));

    json_object_put(json);
    text_free(&body);
    list_free(&spans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_valid_is_read),
        cmocka_unit_test(what_is_not_valid_is_no_trace),
        cmocka_unit_test(the_span_becomes_the_parent),
        cmocka_unit_test(the_json_has_what_a_collector_expects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
