/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * queries: queries to the MOV on shared queues. consumer_want(), consumer_settle() and publisher_send_urgent() write
 * their calls into a journal, and the test moves the clock. */
#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "mov/queries.h"

#define SECOND INT64_C(1000)

static int64_t now;
static struct text journal;
static struct queries *queries;
static struct subscription components, connections;
static char last_id[80];
static struct publication *renewed;

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

static void note(const char *what)
{
    text_printf(&journal, "%s%s", journal.len > 0 ? ", " : "", what);
}

void __wrap_consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted);
void __wrap_consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted)
{
    UNUSED(consumer);
    assert_true(subscription->wanted != wanted); /* only changes are commands */
    subscription->wanted = wanted;
    note(wanted ? "listen" : "end");
}

static size_t settled[3]; /* by settlement */

void __wrap_consumer_settle(struct consumer *consumer, struct list *deliveries);
void __wrap_consumer_settle(struct consumer *consumer, struct list *deliveries)
{
    UNUSED(consumer);
    bool first = true;
    for (struct node *node; (node = list_take(deliveries)) != NULL; free(node), first = false) {
        enum settlement settlement = ((struct delivery *)node)->settlement;
        settled[settlement]++;
        if (first)
            note(settlement == SETTLE_ACKNOWLEDGE ? "acknowledge" : "put back");
    }
}

void __wrap_publisher_send_urgent(struct publisher *publisher, struct publication *publication);
void __wrap_publisher_send_urgent(struct publisher *publisher, struct publication *publication)
{
    UNUSED(publisher);
    struct json_object *id = NULL;
    if (strcmp(publication->topic, components.topic) == 0) {
        renewed = publication;
        note("publish anew");
        return;
    }
    assert_true(json_is_object(publication->body, publication->len, NULL));
    struct json_object *body = json_read(json_thread_reader(), publication->body, publication->len);
    assert_true(json_object_object_get_ex(body, "id", &id));
    snprintf(last_id, sizeof last_id, "%s", json_object_get_string(id));
    note(strstr(publication->topic, "component") != NULL ? "query components" : "query connections");
    json_object_put(body);
    free(publication);
}

static int enter(void **state)
{
    UNUSED(state);
    now = 1000 * SECOND;
    memset(settled, 0, sizeof settled);
    components = (struct subscription){.topic = "valawai/component/page", .kind = SUBSCRIBE_SHARED};
    connections = (struct subscription){.topic = "valawai/topology/page", .kind = SUBSCRIBE_SHARED};
    queries = queries_new(NULL, 20, (struct sender){0});
    queries_use(queries, NULL, (struct subscription *[]){&components, &connections});
    queries_connected(queries, true);
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    queries_free(queries);
    text_free(&journal);
    return 0;
}

static void expect(const char *expected)
{
    assert_string_equal(journal.at == NULL ? "" : journal.at, expected);
    text_clear(&journal);
}

/* Carries out the commands to the consumer. */
static void tend(void)
{
    atomic_store(&components.up, components.wanted);
    atomic_store(&connections.up, connections.wanted);
    int64_t due = queries_tend(queries, now);
    assert_true(due > now && due <= now + SECOND);
}

static void pass(int64_t ms)
{
    for (int64_t until = now + ms; now < until; now += 100)
        tend();
    tend();
}

/* ---- queries and their outcomes ---- */

struct outcome_of {
    struct query query;
    int answers;
    bool paged;
    int64_t total;
};

static struct outcome_of outcome, one, two; /* that may be open when a test ends */

static void on_answered(void *context, struct query *query, const char *body, size_t len, struct json_object *page)
{
    struct outcome_of *of = context;
    struct json_object *total = NULL;
    assert_ptr_equal(&of->query, query);
    assert_true((body == NULL) == (page == NULL) && (body != NULL || len == 0));
    of->answers++;
    of->paged = page != NULL;
    if (page != NULL && json_object_object_get_ex(page, "total", &total))
        of->total = json_object_get_int64(total);
}

static void ask(struct outcome_of *of, enum query_about about, int64_t patience_ms)
{
    *of = (struct outcome_of){.query = {.about = about, .patience_ms = patience_ms, .answered = on_answered}};
    of->query.context = of;
    queries_ask(queries, &of->query, "{\"limit\":1}");
}

static void deliver_bytes(struct subscription *from, const char *body, size_t len)
{
    struct delivery *delivery = delivery_new(len);
    memcpy(delivery->body, body, len);
    delivery->from = from;
    queries_paged(queries, delivery);
}

static void deliver(struct subscription *from, const char *id, int total)
{
    char body[200];
    snprintf(body, sizeof body, "{\"query_id\":\"%s\",\"total\":%d}", id, total);
    deliver_bytes(from, body, strlen(body));
}

/* ---- the tests ---- */

static void a_query_and_its_answer(void **state)
{
    UNUSED(state);
    ask(&outcome, QUERY_CONNECTIONS, 5 * SECOND);
    expect("");
    tend();
    expect("listen"); /* first … */
    tend();
    expect("query connections"); /* … and then it asks */
    deliver(&connections, last_id, 7);
    expect("acknowledge");
    assert_int_equal(outcome.answers, 1);
    assert_int_equal(outcome.total, 7);
    tend();
    expect("end");
    pass(60 * SECOND);
    expect("");
    assert_int_equal(outcome.answers, 1);
}

static void without_an_answer(void **state)
{
    UNUSED(state);
    ask(&outcome, QUERY_COMPONENTS, 5 * SECOND);
    pass(4900);
    expect("listen, query components");
    assert_int_equal(outcome.answers, 0);
    pass(200);
    assert_int_equal(outcome.answers, 1);
    assert_false(outcome.paged);
    expect("end");
    deliver(&components, last_id, 1); /* late, but still ours */
    expect("acknowledge");
    assert_int_equal(outcome.answers, 1);
}

static void nothing_is_asked_that_cannot_be_heard(void **state)
{
    UNUSED(state);
    queries_connected(queries, false);
    ask(&outcome, QUERY_COMPONENTS, 5 * SECOND);
    pass(SECOND);
    expect("listen");
    queries_connected(queries, true);
    tend();
    expect("query components");
}

static void several_queries(void **state)
{
    UNUSED(state);
    char first[sizeof last_id];
    ask(&one, QUERY_COMPONENTS, 5 * SECOND);
    tend();
    tend();
    memcpy(first, last_id, sizeof first);
    ask(&two, QUERY_COMPONENTS, 5 * SECOND);
    tend();
    expect("listen, query components, query components");
    assert_string_not_equal(first, last_id);
    deliver(&components, last_id, 2);
    deliver(&components, first, 1);
    assert_true(one.total == 1 && two.total == 2);
    tend();
    expect("acknowledge, acknowledge, end");
}

static void a_cancelled_query(void **state)
{
    UNUSED(state);
    ask(&outcome, QUERY_COMPONENTS, 5 * SECOND);
    pass(200);
    queries_cancel(queries, &outcome.query);
    queries_cancel(queries, &outcome.query); /* which does nothing */
    tend();
    expect("listen, query components, end");
    deliver(&components, last_id, 1);
    expect("acknowledge");
    assert_int_equal(outcome.answers, 0);
}

/* Held while ours may come, so that the broker does not redeliver them repeatedly. */
static void answers_to_others_are_looked_at_once(void **state)
{
    UNUSED(state);
    ask(&outcome, QUERY_COMPONENTS, 5 * SECOND);
    pass(100);
    expect("listen, query components");
    for (int i = 0; i < 300; i++)
        deliver(&components, "another-1", 0);
    pass(800);
    expect("");
    deliver(&components, last_id, 3); /* behind them */
    assert_int_equal(outcome.total, 3);
    tend();
    expect("acknowledge, end, put back");
    assert_int_equal(settled[SETTLE_PUT_BACK], 300);
}

/* Other programs wait for them, so they return after a second, and the queue is not consumed for a growing time. */
static void a_slow_answer_among_those_to_others(void **state)
{
    UNUSED(state);
    static const int64_t rests[] = {1000, 2000, 4000, 8000, 8000};
    ask(&outcome, QUERY_COMPONENTS, 40 * SECOND);
    tend();
    expect("listen");
    for (size_t i = 0; i < COUNT(rests); i++) {
        deliver(&components, "another-1", 0);
        int64_t began = now;
        while (components.wanted)
            pass(100);
        assert_uint_in_range(now - began, 1000, 1200);
        expect(i == 0 ? "query components, end, put back" : "end, put back");
        began = now;
        while (!components.wanted)
            pass(100);
        assert_uint_in_range(now - began, rests[i] - 200, rests[i] + 200);
        expect("listen");
    }
    deliver(&components, last_id, 9);
    assert_int_equal(outcome.total, 9);
}

static struct delivery *returned(uint32_t times)
{
    struct delivery *delivery = delivery_new(2);
    memcpy(delivery->body, "{}", 2);
    delivery->from = &components;
    delivery->redelivered = times > 0;
    delivery->returns = times;
    return delivery;
}

/* RabbitMQ 4.0 drops a message of a quorum queue that went back too often. */
static void an_answer_that_went_back_often_is_published_anew(void **state)
{
    UNUSED(state);
    static const struct {
        enum outcome outcome;
        enum settlement settlement;
    } cases[] = {{OUTCOME_CONFIRMED, SETTLE_ACKNOWLEDGE}, {OUTCOME_UNROUTABLE, SETTLE_PUT_BACK}};
    ask(&outcome, QUERY_COMPONENTS, 40 * SECOND);
    pass(100);
    queries_paged(queries, returned(9));
    expect("listen, query components");
    for (size_t i = 0; i < COUNT(cases); i++) {
        queries_paged(queries, returned(10));
        expect("publish anew");
        assert_int_equal(renewed->len, 2);
        assert_memory_equal(renewed->body, "{}", 2);
        renewed->outcome = cases[i].outcome;
        assert_true(queries_confirmed(queries, renewed));
        expect(i == 0 ? "acknowledge" : "put back");
        assert_int_equal(settled[cases[i].settlement], 1);
    }
    struct publication of_another = {0};
    assert_false(queries_confirmed(queries, &of_another));
}

static void another_query_ends_the_rest(void **state)
{
    UNUSED(state);
    ask(&one, QUERY_COMPONENTS, 40 * SECOND);
    pass(100);
    deliver(&components, "another-1", 0);
    pass(1200);
    expect("listen, query components, end, put back");
    ask(&two, QUERY_COMPONENTS, 40 * SECOND);
    pass(100);
    expect("listen, query components");
}

static void what_is_no_page_is_put_back(void **state)
{
    UNUSED(state);
    static const char *const bodies[] = {
        "", "x", "[]", "null", "{}", "{\"query_id\":5}", "{\"query_id\":null}", "{\"query_id\":\"\"}"};
    ask(&outcome, QUERY_COMPONENTS, 5 * SECOND);
    pass(100);
    for (size_t i = 0; i < COUNT(bodies); i++)
        deliver_bytes(&components, bodies[i], strlen(bodies[i]));
    struct delivery *large = delivery_new(0);
    large->from = &components;
    large->refused = 1u << 30;
    queries_paged(queries, large);
    char almost[sizeof last_id + 2];
    snprintf(almost, sizeof almost, "%.*s", (int)(strlen(last_id) - 2), last_id);
    deliver(&components, almost, 1);
    assert_int_equal(outcome.answers, 0);
    deliver(&components, last_id, 1);
    tend();
    assert_int_equal(settled[SETTLE_PUT_BACK], COUNT(bodies) + 2);
    assert_int_equal(settled[SETTLE_ACKNOWLEDGE], 1);
}

static void open_queries_at_the_end_have_no_answer(void **state)
{
    UNUSED(state);
    ask(&outcome, QUERY_COMPONENTS, 5 * SECOND);
    pass(100);
    queries_free(queries);
    queries = NULL;
    assert_int_equal(outcome.answers, 1);
    assert_false(outcome.paged);
    queries_free(NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_query_and_its_answer),
        TEST(without_an_answer),
        TEST(nothing_is_asked_that_cannot_be_heard),
        TEST(several_queries),
        TEST(a_cancelled_query),
        TEST(answers_to_others_are_looked_at_once),
        TEST(a_slow_answer_among_those_to_others),
        TEST(an_answer_that_went_back_often_is_published_anew),
        TEST(another_query_ends_the_rest),
        TEST(what_is_no_page_is_put_back),
        TEST(open_queries_at_the_end_have_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
