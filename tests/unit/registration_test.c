/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * registration: event by event, with stand-ins: consumer_want(), consumer_settle() and publisher_send_urgent() write
 * their calls into a journal, and the test moves the clock. Health file and ledger are real, in a directory of the
 * test. */
#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/text.h"
#include "mov/registration.h"

#define MINUTE INT64_C(60000)
#define PENDING "[{\"pending\":\"c1_a\"}]\n" /* the ledger, while the MOV may still answer */
#define QUERY_TOPIC "valawai/component/query"

/* Ids as the MOV makes them: 24 hexadecimal digits. */
#define ID1 "5f00c1d000006543210f00a1"
#define ID2 "5f00c1d000006543210f00b2"
#define OLD "5f00c1d000006543210f00c3"
#define EARLY "5f00c1d000006543210f00d4"
#define LATE "5f00c1d000006543210f00e5"
#define THEIRS "5f00c1d000006543210f00f6"
#define GHOST1 "5f00c1d000006543210f0107"
#define GHOST2 "5f00c1d000006543210f0118"
#define IDA "5f00c1d000006543210f0129"
#define IDB "5f00c1d000006543210f013a"

/* ---- the stand-ins ---- */

static int64_t now;
static struct text journal; /* the calls, one on each line */
static struct list sent;    /* publications without an outcome */
static struct registration *registration;

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

void __wrap_consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted);
void __wrap_consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted)
{
    UNUSED(consumer);
    if (subscription->wanted == wanted)
        return;
    subscription->wanted = wanted;
    const char *name = strstr(subscription->topic, "/c1/");
    if (name == NULL) {
        text_printf(&journal, "%s pages\n", wanted ? "listen for" : "end");
        return;
    }
    name += 4;
    text_printf(&journal, "%s %.*s\n", wanted ? "listen" : "end", (int)strcspn(name, "/"), name);
}

void __wrap_consumer_sweep(struct consumer *consumer, struct subscription *subscription);
void __wrap_consumer_sweep(struct consumer *consumer, struct subscription *subscription)
{
    UNUSED(consumer);
    const char *name = strstr(subscription->topic, "/c1/") + 4;
    if (!subscription->wanted)
        text_printf(&journal, "listen %.*s for leftovers\n", (int)strcspn(name, "/"), name);
}

static bool kept = true; /* the files have the latest contents */

bool __wrap_health_is_kept(struct health *of, uint64_t number);
bool __wrap_health_is_kept(struct health *of, uint64_t number)
{
    UNUSED(of);
    assert_true(number > 0);
    return kept;
}

static const char *const settlements[] = {
    [SETTLE_ACKNOWLEDGE] = "acknowledge", [SETTLE_REJECT] = "reject", [SETTLE_PUT_BACK] = "put back"};

void __wrap_consumer_settle(struct consumer *consumer, struct list *deliveries);
void __wrap_consumer_settle(struct consumer *consumer, struct list *deliveries)
{
    UNUSED(consumer);
    for (struct node *node; (node = list_take(deliveries)) != NULL; free(node))
        text_printf(&journal, "%s\n", settlements[((struct delivery *)node)->settlement]);
}

static const char *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "(none)";
}

static char query_id[80]; /* of the last query */

static void take_query(struct json_object *body)
{
    struct json_object *limit = NULL;
    assert_true(json_object_object_get_ex(body, "limit", &limit));
    assert_true(json_object_get_int(limit) >= 1); /* the MOV refuses 0 */
    assert_string_equal(member(body, "type"), "C1");
    text_printf(&journal, "query %s\n", member(body, "pattern"));
    snprintf(query_id, sizeof query_id, "%s", member(body, "id"));
}

void __wrap_publisher_send_urgent(struct publisher *publisher, struct publication *publication);
void __wrap_publisher_send_urgent(struct publisher *publisher, struct publication *publication)
{
    UNUSED(publisher);
    struct json_tokener *reader = json_reader_new();
    assert_true(json_is_object(publication->body, publication->len, NULL));
    assert_true(publication->persistent == (strcmp(publication->topic, QUERY_TOPIC) != 0));
    assert_int_equal(publication->sender == NULL,
                     strcmp(publication->topic, QUERY_TOPIC) == 0); /* the page answers it */
    assert_false(publication->waits);                               /* the host does not declare the MOV's queues */
    struct json_object *body = json_read(reader, publication->body, publication->len);
    if (strcmp(publication->topic, REGISTER_TOPIC) == 0)
        text_printf(&journal, "register %s\n", member(body, "name"));
    else if (strcmp(publication->topic, UNREGISTER_TOPIC) == 0)
        text_printf(&journal, "unregister %s\n", member(body, "component_id"));
    else if (strcmp(publication->topic, QUERY_TOPIC) == 0)
        take_query(body);
    else
        fail_msg("something for %s", publication->topic);
    json_object_put(body);
    json_tokener_free(reader);
    list_put(&sent, &publication->node);
}

/* ---- two components, and what happens to them ---- */

enum { A, B };
static char document_a[] = "asyncapi: 2.6.0\n\"quoted\" \\ \t\xc3\xa9\n", document_b[] = "b";
static struct plugin plugins[] = {
    {.name = "c1_a",
     .type = "C1",
     .registered = "valawai/c1/a/control/registered",
     .file = "a.so",
     .for_mov = document_a,
     .entry = {.version = "1.2.3"}},
    {.name = "c1_b",
     .type = "C1",
     .registered = "valawai/c1/b/control/registered",
     .file = "b.so",
     .for_mov = document_b,
     .entry = {.version = "4.5.6"}},
};
static struct subscription answers[2], page, connections;
static struct queries *queries;
static struct component components[2];
static char *directory;
static struct log *logs;
static struct health *health;

static const char *file(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void on_confirmed(void *context, struct list *publications)
{
    UNUSED(context);
    for (struct node *node; (node = list_take(publications)) != NULL;)
        registration_confirmed(registration, (struct publication *)node);
}

static void begin(size_t count, bool reversed)
{
    struct component *const all[] = {&components[reversed ? B : A], &components[reversed ? A : B]};
    health = health_new(directory, "id.json", logs);
    registration = registration_new(all, count, NULL, health, logs, (struct sender){.confirmed = on_confirmed});
    page = (struct subscription){.topic = "valawai/component/page", .kind = SUBSCRIBE_SHARED};
    connections = (struct subscription){.topic = "valawai/topology/page", .kind = SUBSCRIBE_SHARED};
    atomic_store(&page.epoch, 3);
    queries = queries_new(NULL, 0, (struct sender){0});
    queries_use(queries, NULL, (struct subscription *[]){&page, &connections});
    queries_connected(queries, true);
    registration_use(registration, NULL, queries);
}

static struct services *make_services(const struct plugin *plugin)
{
    return services_new(&(struct services_options){.plugin = plugin, .log = logs, .message_max_bytes = 1000});
}

static int enter(void **state)
{
    UNUSED(state);
    now = 1000000;
    kept = true;
    directory = directory_new();
    logs = log_open(&(struct log_options){
        .directory = directory, .file_name = "log", .console_level = 100, .file_level = LOG_DEBUG});
    for (int i = 0; i < 2; i++) {
        answers[i] =
            (struct subscription){.topic = plugins[i].registered, .kind = SUBSCRIBE_ANSWER, .owner = &components[i]};
        atomic_store(&answers[i].epoch, 3);
        components[i] =
            (struct component){.plugin = &plugins[i], .services = make_services(&plugins[i]), .answers = &answers[i]};
    }
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    list_free(&sent);
    atomic_store(&page.up, false);
    registration_free(registration);
    queries_free(queries);
    health_free(health);
    for (int i = 0; i < 2; i++)
        services_free(components[i].services);
    log_close(logs);
    text_free(&journal);
    directory_remove(directory);
    return 0;
}

/* Starts again within one test. */
static void start_over(void)
{
    leave(NULL);
    enter(NULL);
}

/* The journal since the last comparison. */
#define expect_journal(expected)                                                                                       \
    do {                                                                                                               \
        assert_string_equal(journal.at == NULL ? "" : journal.at, expected);                                           \
        text_clear(&journal);                                                                                          \
    } while (0)

static void expect_ledger(const char *expected)
{
    char *ledger = file_read(file("id.json.ids"), NULL);
    if (expected == NULL)
        assert_null(ledger);
    else if (ledger == NULL)
        fail_msg("there is no ledger; it should hold %s", expected);
    else
        assert_string_equal(ledger, expected);
    free(ledger);
}

static void expect_log(const char *part)
{
    char *text = file_read(file("log"), NULL);
    expect_in(text, part);
    free(text);
}

static void expect_text(const char *expected)
{
    char *text = registration_text(registration);
    if (expected == NULL)
        assert_null(text);
    else if (text == NULL)
        fail_msg("not registered; it should show %s", expected);
    else
        assert_string_equal(text, expected);
    free(text);
}

static void tend(void)
{
    int64_t due = registration_tend(registration, now), asked = queries_tend(queries, now);
    int64_t next = due < asked ? due : asked;
    assert_true(next > now && next <= now + 1000);
}

/* Lets time pass, with a step every 100 ms. */
static void wait_ms(int64_t ms)
{
    for (int64_t until = now + ms; now < until;) {
        now += 100;
        tend();
    }
}

/* The time until the next entry of the journal, with the host's precision. */
static int64_t wait_for_something(int64_t most)
{
    int64_t from = now;
    while (journal.len == 0 && now < from + most)
        wait_ms(100);
    return now - from;
}

/* Lets time pass until the journal has this entry. */
static void until_journal(const char *part)
{
    for (int64_t from = now; journal.at == NULL || strstr(journal.at, part) == NULL;) {
        if (now > from + 5 * MINUTE)
            fail_msg("\"%s\" does not come; %s", part, journal.at == NULL ? "" : journal.at);
        wait_ms(100);
    }
}

static void subscribed(int which, bool up)
{
    atomic_store(&answers[which].up, up);
    registration_subscribed(registration, &components[which], up);
}

/* Gives this outcome to the oldest publication without one. */
static void settled(enum outcome outcome)
{
    struct list one = {0};
    struct publication *publication = (struct publication *)list_take(&sent);
    assert_non_null(publication);
    publication->outcome = outcome;
    list_put(&one, &publication->node);
    publications_report(&one);
}

enum { FRESH = 0, LEFTOVER = 1, REDELIVERED = 2, STALE = 4 };

static void notify_bytes(int which, const char *body, size_t len, int how)
{
    struct delivery *delivery = delivery_new(len);
    memcpy(delivery->body, body, len);
    delivery->from = &answers[which];
    delivery->epoch = how & STALE ? 2 : 3;
    delivery->leftover = how & LEFTOVER;
    delivery->redelivered = how & REDELIVERED;
    registration_notified(registration, &components[which], delivery);
}

static void notify(int which, const char *body, int how)
{
    notify_bytes(which, body, strlen(body), how);
}

/* Everything is available, and A registers. */
static void until_asked(void)
{
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    subscribed(A, true);
    expect_journal("listen a\nregister c1_a\n");
    settled(OUTCOME_CONFIRMED);
}

#define ANSWER "{\"id\":\"" ID1 "\",\"name\":\"c1_a\",\"type\":\"C1\"}"

static void until_registered(void)
{
    until_asked();
    notify(A, ANSWER, FRESH);
    expect_journal("end a\nacknowledge\n");
    expect_text(ANSWER);
    expect_ledger("[\"" ID1 "\"]\n");
    subscribed(A, false);
}

/* ---- the tests ---- */

static void the_way_it_goes(void **state)
{
    UNUSED(state);
    begin(1, false);
    tend();
    registration_connected(registration, false, true);
    tend();
    registration_connected(registration, true, false);
    tend();
    registration_connected(registration, true, true);
    tend();
    expect_journal(""); /* no request without a MOV */
    expect_text(NULL);
    expect_ledger(NULL);

    registration_mov(registration, 1);
    tend();
    expect_journal("listen a\n"); /* consumes before it registers */
    tend();
    expect_journal("");
    subscribed(A, true);
    expect_journal("register c1_a\n");
    tend();
    settled(OUTCOME_CONFIRMED);
    tend();
    expect_journal("");
    expect_text(NULL);
    expect_ledger(PENDING);

    notify(A, ANSWER, FRESH);
    expect_journal("end a\nacknowledge\n");
    expect_text(ANSWER);
    assert_string_equal(components[A].services->id, ID1);
    expect_ledger("[\"" ID1 "\"]\n");
    expect_log("c1_a: ");
    expect_log("registered as " ID1);
    subscribed(A, false);
    tend();
    expect_journal("");

    registration_leave(registration);
    expect_text(NULL);
    assert_string_equal(components[A].services->id, "");
    assert_false(registration_left(registration));
    tend();
    expect_journal("unregister " ID1 "\n");
    expect_ledger("[\"" ID1 "\"]\n"); /* until the queue has it */
    assert_false(registration_left(registration));
    settled(OUTCOME_CONFIRMED);
    assert_true(registration_left(registration));
    expect_ledger(NULL);
    wait_ms(MINUTE);
    expect_journal("");
}

static void what_is_sent(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 2);
    tend();
    subscribed(A, true);
    struct publication *publication = (struct publication *)sent.head;
    assert_non_null(publication);
    assert_string_equal(publication->topic, "valawai/component/register");
    struct json_tokener *reader = json_reader_new();
    struct json_object *body = json_read(reader, publication->body, publication->len);
    assert_int_equal(json_object_object_length(body), 4);
    assert_string_equal(member(body, "type"), "C1");
    assert_string_equal(member(body, "name"), "c1_a");
    assert_string_equal(member(body, "version"), "1.2.3");
    assert_string_equal(member(body, "asyncapi_yaml"), document_a);
    json_object_put(body);
    json_tokener_free(reader);
}

static void a_leftover_is_never_ours(void **state)
{
    UNUSED(state);
    static const int ways[] = {LEFTOVER, REDELIVERED, LEFTOVER | REDELIVERED};
    for (size_t i = 0; i < COUNT(ways); i++) {
        until_asked();
        notify(A, "{\"id\":\"" OLD "\",\"name\":\"c1_a\"}", ways[i]);
        expect_journal("acknowledge\n");
        expect_text(NULL);
        expect_ledger("[\"" OLD "\"]\n");
        assert_string_equal(components[A].services->id, "");
        tend();
        expect_journal("unregister " OLD "\n"); /* its component would get every message once more */
        settled(OUTCOME_CONFIRMED);
        expect_ledger(NULL);
        notify(A, ANSWER, FRESH);
        expect_journal("end a\nacknowledge\n");
        expect_text(ANSWER);
        expect_ledger("[\"" ID1 "\"]\n");
        start_over();
    }
    begin(1, false);
}

static void before_the_request_nothing_is_an_answer(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    expect_journal("listen a\n");
    notify(A, "{\"id\":\"" EARLY "\",\"name\":\"c1_a\"}", FRESH);
    expect_journal("acknowledge\n");
    expect_text(NULL);
    expect_ledger("[\"" EARLY "\"]\n");
}

/* The broker has taken the delivery back: its contents come again, and settling it would be a fault. */
static void a_stale_delivery_is_dropped(void **state)
{
    UNUSED(state);
    until_asked();
    notify(A, ANSWER, STALE);
    expect_journal("");
    expect_text(NULL);
    expect_ledger(PENDING);
    notify(A, ANSWER, FRESH);
    expect_text(ANSWER);
}

static void our_own_answer_again(void **state)
{
    UNUSED(state);
    until_registered();
    notify(A, ANSWER, REDELIVERED | LEFTOVER); /* its acknowledgement was lost with a connection */
    expect_journal("acknowledge\n");
    tend();
    expect_journal("");
    expect_text(ANSWER);
    expect_ledger("[\"" ID1 "\"]\n");
}

static void notifications_that_are_none(void **state)
{
    UNUSED(state);
    static const struct {
        const char *body;
        size_t len;
        const char *reason;
    } cases[] = {
#define BODY(literal) literal, sizeof(literal) - 1
        {BODY(""), "empty"},
        {BODY("not json"), "not JSON"},
        {BODY("{\"id\":\"x\""), "not JSON"},
        {BODY("{\"id\":\"\xff\"}"), "not JSON"},
        {BODY("[]"), "not an object"},
        {BODY("[{\"id\":\"" ID1 "\"}]"), "not an object"},
        {BODY("null"), "not an object"},
        {BODY("\"x\""), "not an object"},
        {BODY("{}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"name\":\"c1_a\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":null}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":5}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":[\"x\"]}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":{\"id\":\"x\"}}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"x\\u0000y\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"ID\":\"" ID1 "\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"0123456789abcdef01234567a\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"0123456789abcdef0123456\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"0123456789abcdefg1234567\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"0123456789abcdef01\\u00001234\"}"), "it has no id of 24 hexadecimal digits"},
        {BODY("{\"id\":\"" ID1 "\",\"name\":\"c1_b\"}"), "it is for c1_b"},
        {BODY("{\"id\":\"" ID1 "\",\"name\":\"\"}"), "it is for "},
        {BODY("{\"id\":\"" ID1 "\",\"name\":\"c1_a\\u0000\"}"), "it is for c1_a"},
        {BODY("{\"id\":\"" ID1 "\"}"), "it has no name"},
        {BODY("{\"id\":\"" ID1 "\",\"name\":null}"), "it has no name"},
        {BODY("{\"id\":\"" ID1 "\",\"name\":[\"c1_a\"]}"), "it has no name"},
        {BODY("{\"id\":\"" ID1 "\",\"Name\":\"c1_a\"}"), "it has no name"},
        {BODY("{\"id\":\"" ID1 "\",\"name\":\"\"}"), "it is for "},
        {BODY("{\"id\":\"" ID1 "\"}\0"), "not JSON"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        until_asked();
        notify_bytes(A, cases[i].body, cases[i].len, FRESH);
        expect_journal("reject\n");
        expect_text(NULL);
        expect_ledger(PENDING);
        assert_string_equal(components[A].services->id, "");
        expect_log("| ERROR |");
        expect_log("dropped a notification on valawai/c1/a/control/registered");
        expect_log(cases[i].reason);
        notify(A, ANSWER, FRESH); /* the true one still counts */
        expect_journal("end a\nacknowledge\n");
        expect_text(ANSWER);
        start_over();
    }
    begin(1, false);
}

static void a_notification_over_the_limit(void **state)
{
    UNUSED(state);
    until_asked();
    struct delivery *delivery = delivery_new(0);
    delivery->from = &answers[A];
    delivery->epoch = 3;
    delivery->refused = 1u << 30;
    registration_notified(registration, &components[A], delivery);
    expect_journal("reject\n");
    expect_log("too large");
    expect_text(NULL);
}

static void no_queue_to_ask_on(void **state)
{
    UNUSED(state);
    int64_t expected = 2000;
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    subscribed(A, true);
    expect_journal("listen a\nregister c1_a\n");
    for (int attempt = 0; attempt < 8; attempt++) {
        settled(OUTCOME_UNROUTABLE);
        expect_journal("end a\n");
        subscribed(A, false);
        int64_t waited = wait_for_something(2 * MINUTE);
        if (waited < expected / 2 || waited > expected + 200)
            fail_msg("attempt %d after %lld ms; up to %lld were due", attempt, (long long)waited, (long long)expected);
        expected = expected * 2 > MINUTE ? MINUTE : expected * 2;
        expect_journal("listen a\n");
        subscribed(A, true);
        expect_journal("register c1_a\n");
    }
    expect_log("cannot register: there is no queue valawai/component/register");
    settled(OUTCOME_CONFIRMED);
    notify(A, ANSWER, FRESH);
    expect_text(ANSWER);
}

/* ---- missing answers and their causes ---- */

static void page_up(bool up)
{
    atomic_store(&page.up, up);
}

/* An answer of the MOV to a query: with these components, "" for none. */
static void answer(const char *id, const char *listed)
{
    char body[512];
    snprintf(body, sizeof body, "{\"query_id\":\"%s\",\"total\":1%s%s}", id,
             listed[0] == '\0' ? "" : ",\"components\":", listed);
    struct delivery *delivery = delivery_new(strlen(body));
    memcpy(delivery->body, body, strlen(body));
    delivery->from = &page;
    delivery->epoch = 3;
    queries_paged(queries, delivery);
}

static size_t said(const char *part)
{
    char *text = file_read(file("log"), NULL);
    size_t count = count_of(text, part);
    free(text);
    return count;
}

/* Waits until the host looks for the reason of a missing answer. */
static void until_puzzled(void)
{
    until_journal("listen for pages");
    page_up(true);
    tend();
    expect_in(journal.at, "query c1_a");
    text_clear(&journal);
    settled(OUTCOME_CONFIRMED);
}

/* The host never stops consuming, and its record depends on the MOV's answer about the component. */
static void no_answer_to_the_registration(void **state)
{
    UNUSED(state);
    until_asked();
    for (int request = 1; request <= 4; request++) {
        until_puzzled();
        answer(query_id, "");
        tend();
        expect_journal("acknowledge\nend pages\n");
        page_up(false);
        assert_int_equal(said("it may have refused it: see the MOV's own log"), 1);
        assert_int_equal(said("APPLY_TOPOLOGY"), request >= 2);
        wait_for_something(3 * MINUTE);
        expect_journal("register c1_a\n");
        settled(OUTCOME_CONFIRMED);
    }
    notify(A, ANSWER, FRESH);
    expect_text(ANSWER);
}

static void the_mov_answers_nothing(void **state)
{
    UNUSED(state);
    until_asked();
    for (int request = 1; request <= 3; request++) {
        until_puzzled();
        until_journal("register");
        settled(OUTCOME_CONFIRMED);
        page_up(false);
        text_clear(&journal);
        assert_int_equal(said("the MOV answers neither the registration nor a query"), 1);
    }
    assert_int_equal(said("APPLY_TOPOLOGY"), 0);
}

static void another_instance_takes_the_answer(void **state)
{
    UNUSED(state);
    static char listed[200];
    snprintf(listed, sizeof listed,
             "[{\"id\":\"" OLD "\",\"name\":\"c1_a\",\"since\":5},"
             "{\"id\":\"" THEIRS "\",\"name\":\"c1_a\",\"since\":%lld}]",
             (long long)time(NULL));
    until_asked();
    for (int request = 1; request <= 2; request++) {
        until_puzzled();
        answer(query_id, listed);
        tend();
        page_up(false);
        assert_int_equal(said("the MOV has registered " THEIRS ", but another instance took the answer"), 1);
        until_journal("register");
        settled(OUTCOME_CONFIRMED);
        text_clear(&journal);
    }
    assert_int_equal(said("it may have refused it"), 0);
}

/* A cause is reported again when the component was registered meanwhile. */
static void a_cause_that_comes_back(void **state)
{
    UNUSED(state);
    until_asked();
    until_puzzled();
    answer(query_id, "");
    tend();
    page_up(false);
    notify(A, ANSWER, FRESH);
    registration_mov(registration, 0);
    subscribed(A, false);
    registration_mov(registration, 1);
    tend();
    settled(OUTCOME_CONFIRMED); /* of the unregister */
    tend();
    subscribed(A, true);
    text_clear(&journal);
    until_puzzled();
    answer(query_id, "");
    assert_int_equal(said("it may have refused it"), 2);
}

/* It still belongs to this host. Of two answers it keeps the first. */
static void a_late_answer(void **state)
{
    UNUSED(state);
    until_asked();
    wait_ms(25000);
    expect_in(journal.at, "register c1_a");
    expect_not_in(journal.at, "end a");
    text_clear(&journal);
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[{\"pending\":\"c1_a\"},{\"pending\":\"c1_a\"}]\n");
    notify(A, ANSWER, FRESH);
    expect_journal("acknowledge\n"); /* and still consumes */
    expect_text(ANSWER);
    expect_ledger("[\"" ID1 "\",{\"pending\":\"c1_a\"}]\n");
    notify(A, "{\"id\":\"" LATE "\",\"name\":\"c1_a\"}", FRESH);
    expect_journal("end a\nacknowledge\n");
    expect_ledger("[\"" LATE "\",\"" ID1 "\"]\n");
    tend();
    expect_journal("unregister " LATE "\n");
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[\"" ID1 "\"]\n");
    expect_text(ANSWER);
}

/* Until the ledger contains the id, only the broker has it. */
static void an_answer_is_acknowledged_when_its_id_is_kept(void **state)
{
    UNUSED(state);
    until_asked();
    kept = false;
    notify(A, ANSWER, FRESH);
    expect_journal("end a\n");
    expect_text(ANSWER);
    tend();
    expect_journal("");
    kept = true;
    tend();
    expect_journal("acknowledge\n");
}

static void no_subscription_to_hear_it_on(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    expect_journal("listen a\n");
    wait_for_something(MINUTE); /* never up: begun anew */
    expect_journal("end a\n");
    wait_for_something(MINUTE);
    expect_journal("listen a\n");
    subscribed(A, true);
    expect_journal("register c1_a\n");
    subscribed(A, false); /* cancelled by the broker while we wait */
    expect_journal("end a\n");
    wait_for_something(MINUTE);
    expect_journal("listen a\n");
}

static void the_mov_comes_late(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 0);
    wait_ms(MINUTE);
    expect_journal("");
    expect_log("MOV not found: queue valawai/component/register has no consumer");
    registration_mov(registration, 1);
    tend();
    expect_journal("listen a\n");
}

static void the_mov_goes_while_we_wait(void **state)
{
    UNUSED(state);
    until_asked();
    registration_mov(registration, 0);
    expect_journal("end a\n");
    subscribed(A, false);
    wait_ms(MINUTE);
    expect_journal("");
    registration_mov(registration, 1);
    tend();
    expect_journal("listen a\n");
}

/* The MOV restarts: it has silently forgotten the component. */
static void the_mov_goes_and_comes_back(void **state)
{
    UNUSED(state);
    until_registered();
    registration_mov(registration, 0);
    expect_text(NULL); /* not healthy from now on */
    assert_string_equal(components[A].services->id, "");
    expect_ledger("[\"" ID1 "\"]\n");
    wait_ms(MINUTE);
    expect_journal(""); /* no MOV to unregister at */
    registration_mov(registration, 1);
    tend();
    expect_journal("unregister " ID1 "\n"); /* first the old one … */
    wait_ms(3000);
    expect_journal("");
    expect_ledger("[\"" ID1 "\"]\n");
    settled(OUTCOME_CONFIRMED);
    expect_ledger(NULL);
    tend();
    expect_journal("listen a\n"); /* … then the new one */
    subscribed(A, true);
    expect_journal("register c1_a\n");
    settled(OUTCOME_CONFIRMED);
    notify(A, "{\"id\":\"" ID2 "\",\"name\":\"c1_a\"}", FRESH);
    expect_journal("end a\nacknowledge\n");
    expect_text("{\"id\":\"" ID2 "\",\"name\":\"c1_a\"}");
    expect_ledger("[\"" ID2 "\"]\n");
}

/* The unregister finds no queue, so no MOV knows the id, and nothing remains to be unregistered. */
static void no_mov_to_unregister_at(void **state)
{
    UNUSED(state);
    until_registered();
    registration_leave(registration);
    tend();
    expect_journal("unregister " ID1 "\n");
    settled(OUTCOME_UNROUTABLE);
    assert_true(registration_left(registration));
    expect_ledger(NULL);
}

/* ---- after a reconnect: does the MOV still know us? ---- */

#define LISTED "[{\"id\":\"" OLD "\",\"name\":\"c1_a\"},{\"id\":\"" ID1 "\",\"name\":\"c1_a\"}]"
#define NOT_LISTED "[{\"id\":\"" OLD "\",\"name\":\"c1_a\"}]"

static void reconnect(void)
{
    registration_connected(registration, false, true);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
}

static void until_queried(void)
{
    until_registered();
    reconnect();
    tend();
    expect_journal("listen for pages\n");
    page_up(true);
    tend();
    expect_journal("query c1_a\n");
    settled(OUTCOME_CONFIRMED);
}

static void a_lost_connection_keeps_the_registration(void **state)
{
    UNUSED(state);
    until_registered();
    registration_connected(registration, false, true);
    expect_text(NULL); /* in doubt: the MOV may have restarted meanwhile */
    assert_string_equal(components[A].services->id, ID1);
    expect_ledger("[\"" ID1 "\"]\n");
    wait_ms(2000);
    expect_journal("");
    registration_connected(registration, true, true);
    tend();
    expect_journal(""); /* no query before news of the MOV */
    registration_mov(registration, 1);
    tend();
    expect_journal("listen for pages\n");
    page_up(true);
    tend();
    expect_journal("query c1_a\n");
    settled(OUTCOME_CONFIRMED);
    tend();
    expect_text(NULL);
    answer(query_id, LISTED);
    expect_journal("acknowledge\n");
    expect_text(ANSWER);
    expect_log("still registered as " ID1);
    tend();
    expect_journal("end pages\n");
    expect_ledger("[\"" ID1 "\"]\n");
}

static void the_mov_has_forgotten_us_meanwhile(void **state)
{
    UNUSED(state);
    static const char *const pages[] = {NOT_LISTED, "", "null", "[]", "{}", "[null,5,{},{\"id\":5},[\"" ID1 "\"]]"};
    for (size_t i = 0; i < COUNT(pages); i++) {
        until_queried();
        answer(query_id, pages[i]);
        expect_journal("acknowledge\n");
        expect_text(NULL);
        expect_log("the MOV has forgotten " ID1 "; registering again");
        tend();
        expect_journal("unregister " ID1 "\nend pages\n");
        settled(OUTCOME_CONFIRMED);
        tend();
        expect_journal("listen a\n");
        start_over();
    }
    begin(1, false);
}

static void no_answer_to_the_query(void **state)
{
    UNUSED(state);
    until_queried();
    wait_ms(9800);
    expect_not_in(journal.at, "query");
    wait_ms(300);
    expect_in(journal.at, "query c1_a\n"); /* once more */
    settled(OUTCOME_UNROUTABLE);           /* a MOV without that queue answers nothing */
    wait_ms(19800);
    expect_not_in(journal.at, "unregister");
    wait_ms(41000);
    expect_log("the MOV does not answer whether it knows " ID1 "; registering again");
    expect_in(journal.at, "unregister " ID1);
}

static void nowhere_to_hear_the_answer(void **state)
{
    UNUSED(state);
    until_registered();
    reconnect();
    tend();
    wait_ms(2 * MINUTE); /* never up */
    expect_in(journal.at, "unregister " ID1);
    expect_not_in(journal.at, "query");
}

/* Even when the queue of pages is full of the answers to others, a component that the MOV knows is not registered
 * again. */
static void answers_to_others(void **state)
{
    UNUSED(state);
    until_queried();
    for (int i = 0; i < 300; i++)
        answer("another-1", NOT_LISTED);
    expect_text(NULL);
    expect_journal("");
    answer(query_id, LISTED);
    expect_journal("acknowledge\n");
    expect_text(ANSWER);
    tend();
    expect_in(journal.at, "end pages\nput back\n");
    assert_int_equal(count_of(journal.at, "put back\n"), 300);
}

/* An answer from before another lost connection is out of date: the MOV may have restarted since. */
static void an_answer_to_an_earlier_doubt(void **state)
{
    UNUSED(state);
    char earlier[sizeof query_id];
    until_queried();
    memcpy(earlier, query_id, sizeof earlier);
    reconnect(); /* the answer lies in the queue of pages */
    tend();
    expect_journal("query c1_a\n");
    assert_string_not_equal(query_id, earlier);
    answer(earlier, LISTED);
    expect_journal("acknowledge\n"); /* it was ours */
    expect_text(NULL);
    answer(query_id, LISTED);
    expect_text(ANSWER);
}

static void the_mov_goes_while_we_doubt(void **state)
{
    UNUSED(state);
    until_queried();
    registration_mov(registration, 0);
    tend();
    expect_journal("end pages\n");
    registration_mov(registration, 1);
    tend();
    expect_journal("unregister " ID1 "\n");
    answer(query_id, LISTED); /* too late */
    expect_text(NULL);
}

static void leaving_in_doubt(void **state)
{
    UNUSED(state);
    until_queried();
    registration_leave(registration);
    tend();
    expect_in(journal.at, "unregister " ID1);
    settled(OUTCOME_CONFIRMED);
    assert_true(registration_left(registration));
    expect_ledger(NULL);
}

static void a_connection_lost_in_the_middle(void **state)
{
    UNUSED(state);
    until_asked();
    registration_connected(registration, false, true);
    expect_journal("end a\n");
    subscribed(A, false);
    wait_ms(MINUTE);
    expect_journal("");
    registration_connected(registration, true, true);
    tend();
    expect_journal(""); /* not before news of the MOV */
    registration_mov(registration, 1);
    tend();
    expect_journal("listen a\n");
}

/* ---- the MOV forgets, or seems to ---- */

/* The MOV consumes before it finishes all components, so a registration in between is also finished. */
static void the_mov_finishes_what_has_just_registered(void **state)
{
    UNUSED(state);
    until_registered();
    until_journal("listen for pages");
    text_clear(&journal);
    page_up(true);
    tend();
    expect_journal("query c1_a\n");
    settled(OUTCOME_CONFIRMED);
    expect_text(ANSWER); /* not in doubt */
    answer(query_id, "");
    expect_text(NULL);
    expect_log("the MOV has forgotten " ID1);
    tend();
    expect_in(journal.at, "unregister " ID1);
    settled(OUTCOME_CONFIRMED);
    tend();
    expect_in(journal.at, "listen a\n");
}

/* After its own reconnect the host finds no MOV, which returns to the broker later and has forgotten nothing. */
static void the_broker_restarts(void **state)
{
    UNUSED(state);
    until_registered();
    registration_connected(registration, false, false);
    expect_text(NULL);
    wait_ms(2000);
    registration_connected(registration, true, true);
    registration_mov(registration, 0);
    wait_ms(5000);
    expect_journal("");
    assert_string_equal(components[A].services->id, ID1);
    registration_mov(registration, 1);
    tend();
    expect_in(journal.at, "listen for pages\n");
    text_clear(&journal);
    page_up(true);
    tend();
    expect_journal("query c1_a\n");
    settled(OUTCOME_CONFIRMED);
    answer(query_id, LISTED);
    expect_text(ANSWER);
    tend();
    expect_not_in(journal.at, "register");
}

/* The same, and then the MOV disappears on this connection. */
static void the_mov_goes_after_a_broker_restart(void **state)
{
    UNUSED(state);
    until_registered();
    registration_connected(registration, false, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 0);
    registration_mov(registration, 1);
    registration_mov(registration, 0);
    assert_string_equal(components[A].services->id, "");
    registration_mov(registration, 1);
    tend();
    expect_in(journal.at, "unregister " ID1);
}

static void an_absent_mov_is_reported_once(void **state)
{
    UNUSED(state);
    begin(1, false);
    for (int i = 0; i < 5; i++) {
        registration_connected(registration, true, true);
        registration_mov(registration, 0);
        registration_connected(registration, false, false);
    }
    assert_int_equal(said("MOV not found"), 1);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    registration_mov(registration, 0);
    assert_int_equal(said("MOV not found"), 2);
}

/* Two replicas that start together take one notification each; a sweep finds one that neither took. */
static void a_sweep_after_the_answer(void **state)
{
    UNUSED(state);
    until_registered();
    int64_t waited = wait_for_something(MINUTE);
    assert_uint_in_range(waited, 4900, 5200);
    expect_in(journal.at, "listen a for leftovers\n");
    text_clear(&journal);
    page_up(true);
    tend();
    answer(query_id, LISTED);
    tend();
    list_free(&sent);
    text_clear(&journal);
    subscribed(A, true);
    expect_journal("");
    notify(A, "{\"id\":\"" THEIRS "\",\"name\":\"c1_a\"}", LEFTOVER);
    expect_journal("acknowledge\n");
    expect_ledger("[\"" THEIRS "\",\"" ID1 "\"]\n");
    tend();
    expect_journal("unregister " THEIRS "\n");
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[\"" ID1 "\"]\n");
    expect_text(ANSWER);
    subscribed(A, false);
    int64_t from = now;
    until_journal("listen a for leftovers\n");
    assert_uint_in_range(now - from, MINUTE - 6000, MINUTE + 200);
}

static void what_a_killed_run_left(void **state)
{
    UNUSED(state);
    file_puts(file("id.json"), "{\"id\":\"" GHOST1 "\",\"name\":\"c1_a\"}");
    file_puts(file("id.json.ids"), "[\"" GHOST1 "\",\"" GHOST2 "\"]\n");
    begin(1, false);
    assert_false(file_exists(file("id.json"))); /* not healthy yet */
    expect_ledger("[\"" GHOST1 "\",\"" GHOST2 "\"]\n");
    expect_log("an earlier run left " GHOST1 " registered");
    registration_connected(registration, true, true);
    tend();
    expect_journal("");
    registration_mov(registration, 1);
    tend();
    expect_journal("unregister " GHOST1 "\nunregister " GHOST2 "\n");
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[\"" GHOST2 "\"]\n");
    tend();
    expect_journal("");
    settled(OUTCOME_CONFIRMED);
    expect_ledger(NULL);
    tend();
    expect_journal("listen a\n");
}

/* The run was killed, or had no time to wait, before the MOV's answer, which is still to come. */
static void what_a_killed_run_asked(void **state)
{
    UNUSED(state);
    file_puts(file("id.json.ids"), PENDING);
    until_asked();
    expect_log("an earlier run ended before the MOV answered its registration");
    expect_ledger("[{\"pending\":\"c1_a\"},{\"pending\":\"c1_a\"}]\n");
    notify(A, ANSWER, FRESH);
    expect_journal("acknowledge\n"); /* and still consumes */
    notify(A, "{\"id\":\"" LATE "\",\"name\":\"c1_a\"}", FRESH);
    expect_journal("end a\nacknowledge\n");
    tend();
    expect_journal("unregister " LATE "\n");
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[\"" ID1 "\"]\n");
}

static void two_components(void **state)
{
    UNUSED(state);
    begin(2, true);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    expect_journal("listen b\nlisten a\n");
    subscribed(A, true);
    subscribed(B, true);
    expect_journal("register c1_a\nregister c1_b\n");
    settled(OUTCOME_CONFIRMED);
    settled(OUTCOME_CONFIRMED);
    notify(B, "{\"id\":\"" IDB "\",\"name\":\"c1_b\"}", FRESH);
    expect_text(NULL); /* only when all are registered */
    expect_ledger("[\"" IDB "\",{\"pending\":\"c1_a\"}]\n");
    assert_string_equal(components[A].services->id, "");
    notify(A, "{\"id\":\"" IDA "\",\"name\":\"c1_a\"}", FRESH);
    expect_text("[{\"id\":\"" IDA "\",\"name\":\"c1_a\"},{\"id\":\"" IDB
                "\",\"name\":\"c1_b\"}]"); /* by name, not in the order of loading */
    expect_ledger("[\"" IDB "\",\"" IDA "\"]\n");
    assert_string_equal(components[A].services->id, IDA);
    assert_string_equal(components[B].services->id, IDB);
    text_clear(&journal);

    registration_leave(registration);
    tend();
    expect_journal("unregister " IDB "\nunregister " IDA "\n");
    settled(OUTCOME_CONFIRMED);
    assert_false(registration_left(registration));
    expect_ledger("[\"" IDA "\"]\n");
    settled(OUTCOME_CONFIRMED);
    assert_true(registration_left(registration));
    expect_ledger(NULL);
}

static void remove_a(void)
{
    registration_remove(registration, &components[A]);
}

static bool has_a(void)
{
    tend();
    return registration_has(registration, &components[A]);
}

static void a_component_is_added_and_removed(void **state)
{
    UNUSED(state);
    until_registered();
    registration_add(registration, &components[B]);
    expect_journal("listen b\n");
    expect_text(NULL); /* until it is registered, too */
    subscribed(B, true);
    settled(OUTCOME_CONFIRMED);
    notify(B, "{\"id\":\"" IDB "\",\"name\":\"c1_b\"}", FRESH);
    expect_text("[" ANSWER ",{\"id\":\"" IDB "\",\"name\":\"c1_b\"}]");
    expect_journal("register c1_b\nend b\nacknowledge\n");

    remove_a();
    expect_text("{\"id\":\"" IDB "\",\"name\":\"c1_b\"}");
    assert_string_equal(components[A].services->id, "");
    assert_false(has_a());
    expect_journal("unregister " ID1 "\n");
    expect_ledger("[\"" ID1 "\",\"" IDB "\"]\n"); /* until the queue has the message */
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[\"" IDB "\"]\n");
    assert_true(registration_look(registration, &components[B]).registered);

    registration_remove(registration, &components[B]);
    tend();
    settled(OUTCOME_CONFIRMED);
    expect_text(NULL);
    expect_ledger(NULL);
}

/* Neither a request nor an answer of the component may be on its way when its memory is freed. */
static void a_component_is_removed_while_it_registers(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    subscribed(A, true);
    remove_a();
    wait_ms(30000);
    assert_true(has_a()); /* the request is still in the outbox */
    settled(OUTCOME_CONFIRMED);
    assert_false(has_a()); /* no answer in 20 s */
    expect_ledger(PENDING);
    expect_journal("listen a\nregister c1_a\nend a\n");

    registration_add(registration, &components[A]); /* takes over what may still come */
    subscribed(A, true);
    settled(OUTCOME_CONFIRMED);
    expect_ledger("[{\"pending\":\"c1_a\"},{\"pending\":\"c1_a\"}]\n");
    kept = false;
    remove_a();
    notify(A, ANSWER, FRESH);
    assert_true(has_a()); /* the delivery waits for the ledger */
    expect_journal("listen a\nregister c1_a\nunregister " ID1 "\n");
    kept = true;
    notify(A, "{\"id\":\"" LATE "\",\"name\":\"c1_a\"}", FRESH);
    assert_false(has_a());
    expect_journal("end a\nacknowledge\nacknowledge\nunregister " LATE "\n");
    subscribed(A, false); /* events that are still on their way */
    notify(A, "{\"id\":\"" OLD "\",\"name\":\"c1_a\"}", FRESH);
    expect_journal("put back\n");
    settled(OUTCOME_CONFIRMED);
    settled(OUTCOME_CONFIRMED);
    expect_ledger(NULL);
}

static void a_component_is_removed_without_a_mov(void **state)
{
    UNUSED(state);
    until_registered();
    registration_mov(registration, 0);
    remove_a();
    assert_false(has_a());
    expect_ledger("[\"" ID1 "\"]\n");
    wait_ms(MINUTE);
    expect_journal("");
    registration_mov(registration, 1);
    tend();
    expect_journal("unregister " ID1 "\n");
    settled(OUTCOME_CONFIRMED);
    expect_ledger(NULL);
}

static void another_component_takes_a_registration_over(void **state)
{
    UNUSED(state);
    struct plugin plugin = plugins[A];
    struct subscription its_answers = {
        .topic = plugin.registered, .kind = SUBSCRIBE_ANSWER, .owner = &components[B], .epoch = 3};
    struct component other = {.plugin = &plugin, .services = make_services(&plugin), .answers = &its_answers};
    until_registered();
    registration_replace(registration, &components[A], &other);
    assert_false(registration_has(registration, &components[A]));
    assert_true(registration_look(registration, &other).registered);
    assert_string_equal(other.services->id, ID1);
    assert_string_equal(components[A].services->id, "");
    expect_text(ANSWER);
    expect_journal("");

    start_over();
    until_asked(); /* the other one listens anew, and asks again */
    registration_replace(registration, &components[A], &other);
    expect_journal("end a\nlisten a\nend a\n");
    until_journal("listen a");
    atomic_store(&its_answers.up, true);
    registration_subscribed(registration, &other, true);
    expect_journal("listen a\nregister c1_a\n");
    expect_ledger("[{\"pending\":\"c1_a\"},{\"pending\":\"c1_a\"}]\n");
    registration_remove(registration, &other);
    settled(OUTCOME_CONFIRMED);
    wait_ms(20100);
    assert_false(registration_has(registration, &other));
    services_free(other.services);
}

static void leaving_before_it_began(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_leave(registration);
    assert_true(registration_left(registration));
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    wait_ms(MINUTE);
    expect_journal("");
}

/* The answer comes after the stop has begun: the component is unregistered, and nothing remains for the next run.
 * */
static void leaving_with_a_request_open(void **state)
{
    UNUSED(state);
    until_asked();
    kept = false; /* a slow disk does not matter then */
    registration_leave(registration);
    tend();
    wait_ms(2000);
    expect_journal("");
    assert_false(registration_left(registration));
    notify(A, ANSWER, FRESH);
    expect_text(NULL);
    expect_ledger("[\"" ID1 "\"]\n");
    expect_journal("end a\nacknowledge\n");
    tend();
    expect_journal("unregister " ID1 "\n");
    assert_false(registration_left(registration));
    settled(OUTCOME_CONFIRMED);
    assert_true(registration_left(registration));
    expect_ledger(NULL);
}

static void leaving_without_an_answer(void **state)
{
    UNUSED(state);
    until_asked();
    registration_leave(registration);
    wait_ms(19900);
    assert_false(registration_left(registration));
    wait_ms(200);
    assert_true(registration_left(registration));
    expect_ledger(PENDING); /* for the next run */
}

static void leaving_when_nothing_can_be_heard(void **state)
{
    UNUSED(state);
    until_asked();
    registration_leave(registration);
    assert_false(registration_left(registration));
    registration_connected(registration, false, true);
    assert_true(registration_left(registration));
    expect_ledger(PENDING);
}

/* An outcome that no longer matters. */
static void an_outcome_that_comes_late(void **state)
{
    UNUSED(state);
    begin(1, false);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
    tend();
    subscribed(A, true);
    notify(A, ANSWER, FRESH); /* the MOV was faster than the confirmation */
    text_clear(&journal);
    settled(OUTCOME_UNROUTABLE);
    expect_journal("");
    expect_text(ANSWER);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_way_it_goes),
        TEST(what_is_sent),
        TEST(a_leftover_is_never_ours),
        TEST(before_the_request_nothing_is_an_answer),
        TEST(a_stale_delivery_is_dropped),
        TEST(our_own_answer_again),
        TEST(notifications_that_are_none),
        TEST(a_notification_over_the_limit),
        TEST(no_queue_to_ask_on),
        TEST(no_answer_to_the_registration),
        TEST(the_mov_answers_nothing),
        TEST(another_instance_takes_the_answer),
        TEST(a_cause_that_comes_back),
        TEST(a_late_answer),
        TEST(an_answer_is_acknowledged_when_its_id_is_kept),
        TEST(no_subscription_to_hear_it_on),
        TEST(the_mov_comes_late),
        TEST(the_mov_goes_while_we_wait),
        TEST(the_mov_goes_and_comes_back),
        TEST(no_mov_to_unregister_at),
        TEST(a_lost_connection_keeps_the_registration),
        TEST(the_mov_has_forgotten_us_meanwhile),
        TEST(no_answer_to_the_query),
        TEST(nowhere_to_hear_the_answer),
        TEST(answers_to_others),
        TEST(an_answer_to_an_earlier_doubt),
        TEST(the_mov_goes_while_we_doubt),
        TEST(leaving_in_doubt),
        TEST(a_connection_lost_in_the_middle),
        TEST(the_mov_finishes_what_has_just_registered),
        TEST(the_broker_restarts),
        TEST(the_mov_goes_after_a_broker_restart),
        TEST(an_absent_mov_is_reported_once),
        TEST(a_sweep_after_the_answer),
        TEST(what_a_killed_run_left),
        TEST(what_a_killed_run_asked),
        TEST(two_components),
        TEST(a_component_is_added_and_removed),
        TEST(a_component_is_removed_while_it_registers),
        TEST(a_component_is_removed_without_a_mov),
        TEST(another_component_takes_a_registration_over),
        TEST(leaving_before_it_began),
        TEST(leaving_with_a_request_open),
        TEST(leaving_without_an_answer),
        TEST(leaving_when_nothing_can_be_heard),
        TEST(an_outcome_that_comes_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
