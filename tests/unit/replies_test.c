/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * replies: what the paths answer about a host that the test makes up. */
#include "http/replies.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static struct view_topic topics[2];
static struct view_component components[2];
static struct view view;
static struct reply reply;

static int begin(void **state)
{
    UNUSED(state);
    topics[0] = (struct view_topic){.name = "a/\"b\\c\nd", .subscribe = true, .consuming = true, .received = 7};
    topics[1] = (struct view_topic){.name = "out", .publish = true, .published = UINT64_MAX};
    components[0] = (struct view_component){
        .name = "c1_one", .started = true, .registered = true, .healthy = true, .topics = topics, .topic_count = 2};
    components[0].p50 = components[0].p99 = -1;
    components[1] = (struct view_component){.name = "c2_two", .reason = "it says \"no\""};
    view = (struct view){.version = "1.2.3",
                         .abi = "1.0",
                         .broker = "mov-mq:5672",
                         .alive = true,
                         .receiving = true,
                         .components = components,
                         .component_count = 2};
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    text_free(&reply.body);
    return 0;
}

static const char *ask(const char *path, const char *accept)
{
    text_free(&reply.body);
    reply = (struct reply){0};
    reply_make(&reply, path, accept, &view);
    return reply.body.at;
}

static struct json_object *ask_json(const char *path)
{
    struct json_object *json = json_tokener_parse(ask(path, NULL));
    assert_int_equal(reply.type, REPLY_JSON);
    assert_non_null(json);
    return json;
}

static void an_unknown_path_is_not_found(void **state)
{
    UNUSED(state);
    ask("/nothing", NULL);
    assert_int_equal(reply.status, 404);
}

static void a_reason_a_line(void **state)
{
    UNUSED(state);
    assert_string_equal(ask("/readyz", NULL), "c2_two: it says \"no\"\n");
    assert_int_equal(reply.status, 503);
    view.healthy = components[1].healthy = true;
    assert_string_equal(ask("/readyz", NULL), "ok\n");
    assert_int_equal(reply.status, 200);
}

static void without_components_the_connection_counts(void **state)
{
    UNUSED(state);
    view.component_count = 0;
    assert_string_equal(ask("/readyz", NULL), "no connection to the broker\n");
    assert_string_equal(
        ask("/q/health/ready", NULL),
        "{\"status\":\"DOWN\",\"checks\":[{\"name\":\"broker\",\"status\":\"DOWN\",\"data\":{\"reason\":"
        "\"no connection to the broker\"}}]}\n");
    view.healthy = true;
    assert_string_equal(ask("/q/health/ready", NULL),
                        "{\"status\":\"UP\",\"checks\":[{\"name\":\"broker\",\"status\":\"UP\"}]}\n");
}

static void a_dead_control_thread_is_not_live(void **state)
{
    UNUSED(state);
    ask("/livez", NULL);
    assert_int_equal(reply.status, 200);
    view.alive = false;
    for (size_t i = 0; i < 3; i++) {
        ask((const char *const[]){"/livez", "/q/health", "/q/health/live"}[i], NULL);
        assert_int_equal(reply.status, 503);
        expect_in(reply.body.at, "the control thread does not answer");
    }
}

static void one_check_that_is_down_is_all_down(void **state)
{
    UNUSED(state);
    assert_string_equal(ask("/q/health", NULL),
                        "{\"status\":\"DOWN\",\"checks\":[{\"name\":\"valawai-host\",\"status\":\"UP\"},"
                        "{\"name\":\"c1_one\",\"status\":\"UP\"},"
                        "{\"name\":\"c2_two\",\"status\":\"DOWN\",\"data\":{\"reason\":\"it says \\\"no\\\"\"}}]}\n");
    assert_int_equal(reply.status, 503);
    expect_in(ask("/q/health/started", NULL), "{\"name\":\"c1_one\",\"status\":\"UP\"}");
    assert_int_equal(reply.status, 503);
}

static void labels_are_escaped(void **state)
{
    UNUSED(state);
    expect_in(ask("/metrics", NULL),
              "\nvalawai_messages_received_total{component=\"c1_one\",topic=\"a/\\\"b\\\\c\\nd\"} 7\n");
    expect_in(reply.body.at,
              "\nvalawai_publications_made_total{component=\"c1_one\",topic=\"out\"} 18446744073709551615\n");
}

static void a_histogram_adds_up(void **state)
{
    UNUSED(state);
    topics[0].name = "in";
    topics[0].handling.buckets[0] = 3;
    topics[0].handling.buckets[6] = 1; /* up to a millisecond */
    topics[0].handling.buckets[HISTOGRAM_BOUNDS] = 2;
    topics[0].handling.sum = 1500;
    ask("/metrics", NULL);
#define HANDLER "\nvalawai_handler_duration_seconds"
#define LABELS "component=\"c1_one\",topic=\"in\""
    expect_in(reply.body.at, HANDLER "_bucket{" LABELS ",le=\"1e-05\"} 3\n");
    expect_in(reply.body.at, HANDLER "_bucket{" LABELS ",le=\"0.0005\"} 3\n");
    expect_in(reply.body.at, HANDLER "_bucket{" LABELS ",le=\"0.001\"} 4\n");
    expect_in(reply.body.at, HANDLER "_bucket{" LABELS ",le=\"1.0\"} 4\n");
    expect_in(reply.body.at, HANDLER "_bucket{" LABELS ",le=\"+Inf\"} 6\n");
    expect_in(reply.body.at, HANDLER "_sum{" LABELS "} 0.0015\n");
    expect_in(reply.body.at, HANDLER "_count{" LABELS "} 6\n");
}

static void a_topic_has_the_metrics_of_what_it_does(void **state)
{
    UNUSED(state);
    ask("/metrics", NULL);
    expect_not_in(reply.body.at, "valawai_messages_received_total{component=\"c1_one\",topic=\"out\"}");
    expect_not_in(reply.body.at, "valawai_publications_made_total{component=\"c1_one\",topic=\"a/");
}

static void openmetrics_for_those_who_prefer_it(void **state)
{
    UNUSED(state);
    expect_in(ask("/metrics", "application/openmetrics-text"), "\n# TYPE valawai_messages_received counter\n");
    assert_int_equal(reply.type, REPLY_OPENMETRICS);
    expect_in(reply.body.at, "\n# EOF\n");
    ask("/metrics", "text/plain;q=0.9,application/openmetrics-text;q=0.8");
    assert_int_equal(reply.type, REPLY_PROMETHEUS);
    ask("/metrics", ",;q=,application/openmetrics-text;q=nonsense,;;");
    assert_int_equal(reply.type, REPLY_PROMETHEUS);
}

static void the_status_is_json_whatever_the_texts_hold(void **state)
{
    UNUSED(state);
    components[0].last_error = (struct view_error){.time = 86400, .text = "\"quoted\" \x01 \xff"};
    struct json_object *status = ask_json("/status"), *list = NULL, *error = NULL, *value = NULL;
    assert_true(json_object_object_get_ex(status, "components", &list));
    assert_int_equal(json_object_array_length(list), 2);
    assert_true(json_object_object_get_ex(json_object_array_get_idx(list, 0), "last_error", &error));
    assert_true(json_object_object_get_ex(error, "time", &value));
    assert_string_equal(json_object_get_string(value), "1970-01-02T00:00:00Z");
    assert_true(json_object_object_get_ex(json_object_array_get_idx(list, 1), "state", &value));
    assert_string_equal(json_object_get_string(value), "starting");
    json_object_put(status);
}

static void a_host_that_stops_says_so(void **state)
{
    UNUSED(state);
    view.stopping = true;
    expect_in(ask("/status", NULL), "\"state\":\"stopping\"");
    expect_not_in(reply.body.at, "\"state\":\"healthy\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unknown_path_is_not_found, begin, end),
        cmocka_unit_test_setup_teardown(a_reason_a_line, begin, end),
        cmocka_unit_test_setup_teardown(without_components_the_connection_counts, begin, end),
        cmocka_unit_test_setup_teardown(a_dead_control_thread_is_not_live, begin, end),
        cmocka_unit_test_setup_teardown(one_check_that_is_down_is_all_down, begin, end),
        cmocka_unit_test_setup_teardown(labels_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(a_histogram_adds_up, begin, end),
        cmocka_unit_test_setup_teardown(a_topic_has_the_metrics_of_what_it_does, begin, end),
        cmocka_unit_test_setup_teardown(openmetrics_for_those_who_prefer_it, begin, end),
        cmocka_unit_test_setup_teardown(the_status_is_json_whatever_the_texts_hold, begin, end),
        cmocka_unit_test_setup_teardown(a_host_that_stops_says_so, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
