/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ring: when and how a message is settled. The plugin's handler is a function of this file. The transport keeps the
 * messages, and the test chooses the broker's outcomes. */
#include "run/ring.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "message/dead.h"
#include "support.h"

#define IN "valawai/c1/unit/data/in"
#define OUT "valawai/c1/unit/data/out"

/* ---- the plugin: the body selects its behaviour ---- */

static const struct valawai_host *host;

static int handle(void *self, const struct valawai_message *message)
{
    UNUSED(self);
    for (const char *at = message->body; (at = strchr(at, 'P')) != NULL; at++)
        if (host->publish(host, OUT, "{}", 2) != VALAWAI_OK)
            return VALAWAI_FAILED;
    if (strchr(message->body, 'W') != NULL)
        return host->explain(host, VALAWAI_WRONG, "says the plugin");
    if (strchr(message->body, 'F') != NULL)
        return VALAWAI_FAILED;
    return strchr(message->body, 'R') != NULL ? VALAWAI_RETRY : VALAWAI_DONE;
}

static int start(const struct valawai_host *given, void **self)
{
    UNUSED(self);
    host = given;
    return 0;
}

static const char document[] = "asyncapi: 2.6.0\n"
                               "info: {title: c1_unit, version: 1.0.0}\n"
                               "channels:\n"
                               "  valawai/c1/unit/control/registered: {subscribe: {message: {payload: {type: object,\n"
                               "    properties: {id: {}, name: {}, description: {}, version: {}, api_version: {},\n"
                               "      type: {}, since: {}, channels: {}}}}}}\n"
                               "  " IN ": {subscribe: {message: {payload: {type: object, properties: {n: {type: "
                               "integer}}}}}}\n"
                               "  " OUT ": {publish: {message: {payload: {type: object}}}}\n";
static const struct valawai_topic topics[] = {{IN, handle, {0}}, {0}};

/* ---- the transport ---- */

static sem_t happened;
static struct list sent, settled;
static bool closed;

static void on_settle(void *context, struct list *deliveries)
{
    UNUSED(context);
    list_join(&settled, deliveries);
    sem_post(&happened);
}

static bool on_send(void *context, struct list *publications)
{
    UNUSED(context);
    if (!closed)
        list_join(&sent, publications);
    sem_post(&happened);
    return !closed;
}

/* ---- the ring of each test ---- */

static struct plugin plugin;
static struct plugin *all[] = {&plugin};
static struct plugins plugins = {.at = all, .count = 1};
static struct settings settings;
static struct log *records;
static struct ring *ring;

static void make_ring(bool keeps)
{
    struct fault fault = {""};
    struct ring_options options = {
        .settings = &settings,
        .plugins = &plugins,
        .log = records,
        .transport = {.settle = on_settle, .send = on_send},
        .keeps_dead_letters = keeps,
    };
    settings.host.attempts = 1;
    settings.host.message_max_bytes = 1000;
    settings.host.slow_seconds = 60;
    settings.host.dead_letters_max = 5;
    closed = false;
    sem_init(&happened, 0, 0);
    ring = ring_new(&options);
    ring_start(ring);
    assert_int_equal(ring_started(ring, clock_ms() + 20000, &fault), STARTED);
}

static int begin(void **state)
{
    UNUSED(state);
    make_ring(true);
    return 0;
}

static int begin_without(void **state)
{
    UNUSED(state);
    make_ring(false);
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    ring_close(ring, 0);
    assert_true(ring_join(ring, clock_ms() + (int64_t)(stretched(10) * 1000)));
    ring_free(ring);
    list_free(&sent);
    list_free(&settled);
    sem_destroy(&happened);
    return 0;
}

static struct delivery *deliver(const char *body, struct properties properties)
{
    struct list one = {0};
    struct delivery *delivery = delivery_with(NULL, strlen(body), properties);
    memcpy(delivery->body, body, delivery->len);
    delivery->from = &ring->seats[0]->routes[0].subscription;
    list_put(&one, &delivery->node);
    ring_deliver(ring, &one);
    while (sem_wait(&happened) != 0) /* a signal */
        continue;
    return delivery;
}

static struct delivery *handled(const char *body)
{
    return deliver(body, (struct properties){0});
}

/* The broker's outcome of the first publication. */
static void answer(enum outcome outcome)
{
    struct list one = {0};
    struct node *node = list_take(&sent);
    assert_non_null(node);
    ((struct publication *)node)->outcome = outcome;
    list_put(&one, node);
    publications_report(&one);
    while (sem_trywait(&happened) == 0) /* the events so far */
        continue;
}

static const struct publication *only_letter(void)
{
    const struct publication *letter = (const struct publication *)sent.head;
    assert_non_null(letter);
    assert_null(letter->node.next);
    assert_string_equal(letter->topic, IN DEAD_SUFFIX);
    assert_int_equal(letter->most, 5);
    return letter;
}

static void expect_header(const struct publication *letter, const char *name, const char *expected)
{
    struct field value;
    assert_true(properties_header(letter->properties, name, &value));
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.text, expected, value.len);
}

static void expect_settled(const struct delivery *delivery, enum settlement settlement)
{
    assert_ptr_equal(settled.head, &delivery->node);
    assert_int_equal(delivery->settlement, settlement);
}

/* ---- the tests ---- */

static void done_without_publications_is_acknowledged_at_once(void **state)
{
    UNUSED(state);
    expect_settled(handled("{\"do\":\"D\"}"), SETTLE_ACKNOWLEDGE);
    assert_null(sent.head);
}

static void acknowledged_after_the_last_confirmation_and_not_before(void **state)
{
    UNUSED(state);
    const struct delivery *delivery = handled("{\"do\":\"PPP\"}");
    answer(OUTCOME_CONFIRMED);
    answer(OUTCOME_CONFIRMED);
    assert_null(settled.head);
    answer(OUTCOME_CONFIRMED);
    expect_settled(delivery, SETTLE_ACKNOWLEDGE);
}

static void a_rejected_message_is_acknowledged_when_its_letter_is_confirmed(void **state)
{
    UNUSED(state);
    static const struct {
        const char *body, *reason;
    } cases[] = {
        {"{\"do\":\"PW\"}", "wrong"}, {"{\"do\":\"F\"}", "failed"},    {"{\"do\":\"R\"}", "attempts"},
        {"not JSON", "invalid"},      {"{\"n\":\"text\"}", "invalid"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct delivery *delivery = handled(cases[i].body);
        const struct publication *letter = only_letter();
        assert_string_equal(letter->body, cases[i].body);
        expect_header(letter, DEAD_REASON, cases[i].reason);
        expect_header(letter, DEAD_COMPONENT, "c1_unit");
        assert_int_equal(delivery->settlement, SETTLE_REJECT); /* until it is kept */
        assert_null(settled.head);
        answer(OUTCOME_CONFIRMED);
        expect_settled(delivery, SETTLE_ACKNOWLEDGE);
        list_free(&settled);
    }
}

static void a_letter_that_cannot_be_kept_leaves_its_message_rejected(void **state)
{
    UNUSED(state);
    static const enum outcome outcomes[] = {OUTCOME_FULL, OUTCOME_UNDECLARED, OUTCOME_REFUSED, OUTCOME_NOT_KEPT};
    for (size_t i = 0; i < COUNT(outcomes); i++) {
        const struct delivery *delivery = handled("{\"do\":\"W\"}");
        answer(outcomes[i]);
        expect_settled(delivery, SETTLE_REJECT);
        assert_null(sent.head); /* and no second letter */
        list_free(&settled);
    }
}

static void a_message_that_was_not_read_is_rejected(void **state)
{
    UNUSED(state);
    struct list one = {0};
    struct delivery *delivery = delivery_new(0);
    delivery->from = &ring->seats[0]->routes[0].subscription;
    delivery->refused = 2000;
    list_put(&one, &delivery->node);
    ring_deliver(ring, &one);
    while (sem_wait(&happened) != 0)
        continue;
    expect_settled(delivery, SETTLE_REJECT);
    assert_null(sent.head);
}

static void a_refused_publication_makes_a_letter_of_its_cause(void **state)
{
    UNUSED(state);
    const struct delivery *delivery = handled("{\"do\":\"PP\"}");
    answer(OUTCOME_REFUSED);
    assert_null(settled.head); /* the other publication is on its way */
    answer(OUTCOME_CONFIRMED);
    assert_null(settled.head);
    const struct publication *letter = only_letter();
    expect_header(letter, DEAD_REASON, "publication");
    answer(OUTCOME_CONFIRMED);
    expect_settled(delivery, SETTLE_ACKNOWLEDGE);
}

static void without_dead_letters_the_message_is_rejected(void **state)
{
    UNUSED(state);
    expect_settled(handled("{\"do\":\"PW\"}"), SETTLE_REJECT);
    list_free(&settled);
    const struct delivery *delivery = handled("{\"do\":\"P\"}");
    answer(OUTCOME_UNROUTABLE);
    expect_settled(delivery, SETTLE_REJECT);
    assert_null(sent.head);
}

static void a_transport_that_closes_leaves_the_message_to_the_broker(void **state)
{
    UNUSED(state);
    closed = true;
    handled("{\"do\":\"W\"}"); /* freed, and settled in no way */
    assert_null(settled.head);
    assert_null(sent.head);
}

static void a_trace_passes_to_publications_and_letters(void **state)
{
    UNUSED(state);
    struct draft draft;
    struct text list = {0};
    const struct field parent = {.kind = FIELD_TEXT, .text = "p", .len = 1};
    draft_begin(&draft, (struct properties){0});
    assert_true(draft_set_header(&draft, "traceparent", &parent, NULL));
    assert_true(draft_put(&draft, &list, NULL));
    deliver("{\"do\":\"P\"}", (struct properties){list.at, list.len});
    expect_header((const struct publication *)sent.head, "traceparent", "p");
    answer(OUTCOME_CONFIRMED);
    deliver("{\"do\":\"W\"}", (struct properties){list.at, list.len});
    expect_header(only_letter(), "traceparent", "p");
    answer(OUTCOME_CONFIRMED);
    draft_free(&draft);
    text_free(&list);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct log_options quiet = {.console_level = LOG_CRITICAL, .file_level = LOG_CRITICAL};
    records = log_open(&quiet);
    plugin = (struct plugin){
        .path = "unit.so", .file = "unit.so", .topic_count = 1, .entry = {.topics = topics, .start = start}};
    plugin.contract = contract_read(document, strlen(document));
    plugin.name = contract_name(plugin.contract);
    plugin.type = contract_type(plugin.contract);
    const struct CMUnitTest tests[] = {
        TEST(done_without_publications_is_acknowledged_at_once),
        TEST(acknowledged_after_the_last_confirmation_and_not_before),
        TEST(a_rejected_message_is_acknowledged_when_its_letter_is_confirmed),
        TEST(a_letter_that_cannot_be_kept_leaves_its_message_rejected),
        TEST(a_message_that_was_not_read_is_rejected),
        TEST(a_refused_publication_makes_a_letter_of_its_cause),
        cmocka_unit_test_setup_teardown(without_dead_letters_the_message_is_rejected, begin_without, end),
        TEST(a_transport_that_closes_leaves_the_message_to_the_broker),
        TEST(a_trace_passes_to_publications_and_letters),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    contract_free(plugin.contract);
    log_close(records);
    return failed;
}
