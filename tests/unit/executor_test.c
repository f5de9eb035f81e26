/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * executor and services: calls of a plugin, and the effects of its calls and verdicts, as plugin.h describes them. The
 * plugin and its handlers are part of this file. The transport is a stand-in that keeps the messages; there is no
 * broker. */
#include "support.h"

#include <json-c/json.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "plugin/executor.h"

/* A build that ends at a misuse would end this program. */
#ifdef HOST_ABORT_ON_MISUSE
#define MISUSE(call) NULL
#else
#define MISUSE(call) (call)
#endif

/* ---- the stand-ins ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list records;   /* for the MOV */
static struct list published; /* past the handlers */
static bool publisher_closed;

static void keep_settled(void *context, struct list *deliveries)
{
    UNUSED(context);
    UNUSED(deliveries);
    abort(); /* the executor's events come first */
}

static bool keep_sent(void *context, struct list *publications)
{
    UNUSED(context);
    pthread_mutex_lock(&lock);
    bool closed = publisher_closed;
    if (!closed)
        list_join(&published, publications);
    pthread_mutex_unlock(&lock);
    return !closed;
}

static void keep_record(void *context, const char *body, size_t len, bool at_once)
{
    UNUSED(context);
    UNUSED(at_once);
    pthread_mutex_lock(&lock);
    list_put(&records, &publication_new("", body, len)->node);
    pthread_mutex_unlock(&lock);
}

static const struct transport transport = {.settle = keep_settled, .send = keep_sent, .record = keep_record};

static struct publication *take_record(void)
{
    pthread_mutex_lock(&lock);
    struct node *node = list_take(&records);
    pthread_mutex_unlock(&lock);
    return (struct publication *)node;
}

/* ---- the plugin ---- */

#define FIRST "valawai/c1/unit/data/first"
#define SECOND "valawai/c1/unit/data/second"
#define OUT "valawai/c1/unit/data/out"
#define STRICT "valawai/c1/unit/data/strict"

static const struct valawai_host *host; /* the plugin's table */
static pthread_t started_on;
static unsigned started, stopped;
static int start_answer, publish_in_start, publish_in_stop;
static bool other_thread;    /* a call came on another thread than start */
static bool several_threads; /* as the handlers of this test may */

/* The behaviour of the next calls. */
static int (*act)(const struct valawai_message *message);

static struct text calls; /* "topic body#attempt " for each */

#define FENCE "{\"fence\":1}" /* see fence() */

static int handle(void *self, const struct valawai_message *message)
{
    if (strcmp(message->body, FENCE) == 0)
        return VALAWAI_DONE;
    pthread_mutex_lock(&lock);
    other_thread =
        other_thread || self != (void *)&started || (!several_threads && !pthread_equal(pthread_self(), started_on));
    text_printf(&calls, "%s %.*s#%u\n", strrchr(message->topic, '/') + 1, (int)message->len, message->body,
                message->attempt);
    pthread_mutex_unlock(&lock);
    return act(message);
}

static int start(const struct valawai_host *given, void **self)
{
    host = given;
    started_on = pthread_self();
    started++;
    *self = &started;
    publish_in_start = given->publish(given, OUT, "{}", 2);
    return start_answer;
}

static void stop(void *self)
{
    other_thread = other_thread || self != (void *)&started || !pthread_equal(pthread_self(), started_on);
    publish_in_stop = host->publish(host, OUT, "{}", 2);
    stopped++;
}

/* Almost any payload is valid; the tests of the contract cover schemas. */
static const char document[] = "asyncapi: 2.6.0\n"
                               "info: {title: c1_unit, version: 1.0.0}\n"
                               "channels:\n"
                               "  valawai/c1/unit/control/registered: {subscribe: {message: {payload: {type: object,\n"
                               "    properties: {id: {}, name: {}, description: {}, version: {}, api_version: {},\n"
                               "      type: {}, since: {}, channels: {}}}}}}\n"
                               "  " FIRST ": {subscribe: {message: {payload: {type: object, properties: "
                               "{count: {type: integer}}}}}}\n"
                               "  " SECOND ": {subscribe: {message: {payload: {type: object}}}}\n"
                               "  " OUT ": {publish: {message: {payload: {type: object}}}}\n"
                               "  " STRICT ": {publish: {message: {payload: {type: object, required: [n], properties: "
                               "{n: {type: integer}}}}}}\n";
static struct contract *contract;
static const struct contract *mov;
static const struct valawai_topic topics[] = {VALAWAI_TOPIC(FIRST, handle), VALAWAI_TOPIC(SECOND, handle),
                                              VALAWAI_TOPICS_END};
static struct plugin_option options[] = {{"greeting", "hello"}, {"empty", ""}};
static const struct plugin_section section = {.options = options, .option_count = 2};
static struct plugin plugin;
static struct subscription subscriptions[2];

/* ---- the surroundings ---- */

static char *directory;
static struct log *logs;
static struct services *services;
static struct executor *executor;

struct outcome_seen {
    struct node node;
    char body[64];
    enum settlement settlement;
    enum reason reason;
    struct list publications;
};
static struct queue outcomes;

static void on_handled(void *context, struct delivery *delivery, struct list *publications)
{
    struct outcome_seen *seen = memory_new(sizeof *seen);
    if (context != &outcomes)
        abort();
    snprintf(seen->body, sizeof seen->body, "%s", delivery->body);
    seen->settlement = delivery->settlement;
    seen->reason = delivery->reason;
    list_join(&seen->publications, publications);
    free(delivery);
    queue_put(&outcomes, &seen->node);
}

static const struct executor_events events = {.handled = on_handled};

static struct list queries; /* to the MOV */

static void keep_query(void *context, struct plugin_query *query)
{
    UNUSED(context);
    pthread_mutex_lock(&lock);
    list_put(&queries, &query->notice.node);
    pthread_mutex_unlock(&lock);
}

static struct list seen_list; /* taken from the queue, not compared yet */

static struct outcome_seen *next_outcome(void)
{
    for (int64_t until = clock_ms() + 20000; seen_list.head == NULL && clock_ms() < until;)
        seen_list = queue_wait(&outcomes, until);
    struct outcome_seen *seen = (struct outcome_seen *)list_take(&seen_list);
    if (seen == NULL)
        fail_msg("nothing was handled");
    return seen;
}

/* The next outcome is this one, with this many publications. */
static void expect_outcome(const char *body, enum settlement settlement, size_t publications)
{
    struct outcome_seen *seen = next_outcome();
    size_t count = 0;
    for (struct node *node = seen->publications.head; node != NULL; node = node->next)
        count++;
    assert_string_equal(seen->body, body);
    assert_int_equal(seen->settlement, settlement);
    assert_int_equal(count, publications);
    list_free(&seen->publications);
    free(seen);
}

/* A rejected message, with the reason why. */
static void expect_rejected(enum reason reason)
{
    struct outcome_seen *seen = next_outcome();
    enum settlement settlement = seen->settlement;
    enum reason why = seen->reason;
    bool published_something = seen->publications.head != NULL;
    list_free(&seen->publications);
    free(seen);
    assert_int_equal(settlement, SETTLE_REJECT);
    assert_int_equal(why, reason);
    assert_false(published_something);
}

/* False: it was not posted in time. */
static bool came(sem_t *semaphore)
{
    int64_t until_ms = clock_ms() + (int64_t)(1000 * stretched(10));
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    return sem_clockwait(semaphore, CLOCK_MONOTONIC, &until) == 0;
}

static bool is_nothing_there(void)
{
    if (seen_list.head == NULL)
        seen_list = queue_take(&outcomes);
    return seen_list.head == NULL;
}

static struct services *make_services(void)
{
    return services_new(&(struct services_options){.plugin = &plugin,
                                                   .mov = mov,
                                                   .log = logs,
                                                   .transport = &transport,
                                                   .message_max_bytes = 2000,
                                                   .ask = keep_query});
}

static unsigned handler_threads;

static void make(uint32_t attempts)
{
    struct executor_options made = {.plugin = &plugin,
                                    .services = services,
                                    .log = logs,
                                    .attempts = attempts,
                                    .slow_ms = 60000,
                                    .threads = handler_threads,
                                    .events = &events,
                                    .context = &outcomes};
    executor = executor_new(&made);
}

static void begin(uint32_t attempts)
{
    struct fault fault = {""};
    make(attempts);
    executor_start(executor);
    if (executor_started(executor, 20000, &fault) != STARTED)
        fail_msg("%s", fault.text);
    list_free(&records); /* start tried to publish, which is refused and logged */
}

static void finish(void)
{
    executor_close(executor, clock_ms() + 10000);
    assert_true(executor_join(executor, clock_ms() + 20000));
    executor_free(executor);
    executor = NULL;
}

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    logs = log_open(&(struct log_options){
        .directory = directory, .file_name = "log", .console_level = 100, .file_level = LOG_DEBUG});
    contract = contract_read(document, strlen(document));
    assert_int_equal(contract_errors(contract), 0);
    mov = contract_of_mov();
    plugin = (struct plugin){.path = "some/unit.so",
                             .file = "unit.so",
                             .entry = {.version = "1.0.0", .topics = topics, .start = start, .stop = stop},
                             .topic_count = 2,
                             .name = "c1_unit",
                             .type = "C1",
                             .contract = contract};
    for (int i = 0; i < 2; i++)
        subscriptions[i] = (struct subscription){.topic = topics[i].name, .owner = (void *)&topics[i]};
    services = make_services();
    queue_init(&outcomes, false);
    started = stopped = 0;
    start_answer = 0;
    handler_threads = 1;
    other_thread = several_threads = publisher_closed = false;
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    if (executor != NULL)
        finish();
    services_free(services);
    contract_free(contract);
    for (struct node *node; (node = list_take(&seen_list)) != NULL; free(node))
        list_free(&((struct outcome_seen *)node)->publications);
    queue_destroy(&outcomes);
    list_free(&records);
    list_free(&published);
    text_free(&calls);
    log_close(logs);
    directory_remove(directory);
    return other_thread ? -1 : 0;
}

static uint64_t last_tag; /* as the broker counts */

static void put_bytes(int which, const char *body, size_t len, bool redelivered)
{
    struct list list = {0};
    struct delivery *delivery = delivery_new(len);
    memcpy(delivery->body, body, len);
    delivery->tag = ++last_tag;
    delivery->from = &subscriptions[which];
    delivery->epoch = (uint32_t)atomic_load(&subscriptions[which].epoch);
    delivery->redelivered = redelivered;
    list_put(&list, &delivery->node);
    executor_put(executor, &list);
    assert_null(list.head);
}

static void put(int which, const char *body)
{
    put_bytes(which, body, strlen(body), false);
}

/* Returns when the plugin has handled all messages so far. No outcome may be due. */
static void fence(void)
{
    put(1, FENCE);
    expect_outcome(FENCE, SETTLE_ACKNOWLEDGE, 0);
}

static void expect_calls(const char *expected)
{
    pthread_mutex_lock(&lock);
    char *said = memory_text(calls.at == NULL ? "" : calls.at);
    text_clear(&calls);
    pthread_mutex_unlock(&lock);
    if (strcmp(said, expected) != 0)
        fail_msg("the calls were\n%sand not\n%s", said, expected);
    free(said);
}

static void expect_log(const char *part)
{
    char *path = memory_format("%s/log", directory), *text = file_read(path, NULL);
    expect_in(text, part);
    free(text);
    free(path);
}

static size_t count_in_log(const char *part)
{
    char *path = memory_format("%s/log", directory), *text = file_read(path, NULL);
    size_t count = text == NULL ? 0 : count_of(text, part);
    free(text);
    free(path);
    return count;
}

/* A member of the next record for the MOV, which has to be one JSON object; NULL: it has none. */
static struct json_object *next_record(void)
{
    struct publication *record = take_record();
    if (record == NULL) {
        fail_msg("there is no record for the MOV");
        return NULL;
    }
    struct fault fault = {""};
    if (!json_is_object(record->body, record->len, &fault))
        fail_msg("%s: %s", fault.text, record->body);
    struct json_tokener *reader = json_reader_new();
    struct json_object *object = json_read(reader, record->body, record->len);
    assert_non_null(object);
    json_tokener_free(reader);
    free(record);
    return object;
}

static const char *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, name, &value))
        return NULL;
    assert_true(json_object_is_type(value, json_type_string));
    return json_object_get_string(value);
}

/* ---- verdicts ---- */

static int say_done(const struct valawai_message *message)
{
    if (host->publish(host, OUT, "{\"n\":1}", 7) != VALAWAI_OK || host->publish(host, OUT, message->body, message->len))
        return VALAWAI_FAILED;
    return VALAWAI_DONE;
}

static void done(void **state)
{
    UNUSED(state);
    begin(3);
    act = say_done;
    put(0, "{\"a\":1}");
    struct outcome_seen *seen = next_outcome();
    assert_int_equal(seen->settlement, SETTLE_ACKNOWLEDGE);
    static const char *const bodies[] = {"{\"n\":1}", "{\"a\":1}"};
    for (size_t i = 0; i < 2; i++) {
        struct publication *publication = (struct publication *)list_take(&seen->publications);
        assert_non_null(publication);
        assert_string_equal(publication->topic, OUT);
        assert_string_equal(publication->body, bodies[i]);
        assert_true(publication->persistent);
        assert_true(publication->waits);
        free(publication);
    }
    assert_null(seen->publications.head);
    free(seen);
    assert_null(published.head); /* nothing left before the verdict */
    finish();
    assert_int_equal(started, 1);
    assert_int_equal(stopped, 1);
    assert_int_equal(publish_in_start, VALAWAI_E_STATE);
    assert_int_equal(publish_in_stop, VALAWAI_E_STATE);
}

static int verdict_wanted;
static const char *explanation;

static int say_verdict(const struct valawai_message *message)
{
    (void)host->publish(host, OUT, message->body, message->len);
    if (explanation != NULL)
        return host->explain(host, verdict_wanted, "%s", explanation);
    return verdict_wanted;
}

#define REJECTED "Cannot process unit, because the host rejected a message of " FIRST

/* Everything but DONE: rejected, its publications dropped, an ERROR record here and at the MOV with reason and body. */
static void not_done(void **state)
{
    UNUSED(state);
    static const struct {
        int verdict;
        const char *explanation, *message;
    } cases[] = {
        {VALAWAI_WRONG, "content: is empty", REJECTED ": the message is wrong: content: is empty"},
        {VALAWAI_WRONG, NULL, REJECTED ": the message is wrong"},
        {VALAWAI_FAILED, "no disk", REJECTED ": the plugin could not handle it: no disk"},
        {VALAWAI_FAILED, NULL, REJECTED ": the plugin could not handle it"},
        {VALAWAI_RETRY, "later", REJECTED ": no attempt succeeded: later"},
        {VALAWAI_RETRY, NULL, REJECTED ": no attempt succeeded"},
        {2, NULL, REJECTED ": the plugin could not handle it: the handler returned 2, which is not a verdict"},
        {-4, NULL, REJECTED ": the plugin could not handle it: the handler returned -4, which is not a verdict"},
        {VALAWAI_E_TOPIC, NULL, REJECTED ": the plugin could not handle it: the handler returned VALAWAI_E_TOPIC"},
    };
    size_t as_expected = 0;
    begin(1);
    act = say_verdict;
    for (size_t i = 0; i < COUNT(cases); i++) {
        verdict_wanted = cases[i].verdict;
        explanation = cases[i].explanation;
        put(0, "{\"b\":\"x\"}");
        expect_outcome("{\"b\":\"x\"}", SETTLE_REJECT, 0);
        struct json_object *record = next_record();
        assert_string_equal(member(record, "level"), "ERROR");
        assert_string_equal(member(record, "payload"), "{\"b\":\"x\"}");
        const char *message = member(record, "message");
        char *local = memory_format("| ERROR | unit.so:0 | %d >>> %s", (int)getpid(), cases[i].message);
        as_expected += strcmp(message, cases[i].message) == 0 && count_in_log(local) > 0;
        if (strcmp(message, cases[i].message) != 0)
            print_error("it says \"%s\" and not \"%s\"\n", message, cases[i].message);
        free(local);
        json_object_put(record);
        assert_null(take_record());
    }
    assert_int_equal(as_expected, COUNT(cases));
    assert_null(published.head);
}

static void bodies_that_no_handler_sees(void **state)
{
    UNUSED(state);
    static const struct {
        const char *body;
        size_t len;
        const char *reason;
    } cases[] = {
        {"", 0, "empty"},
        {"not json", 8, "not JSON"},
        {"[1]", 3, "not an object"},
        {"null", 4, "not an object"},
        {"{\"a\":\"\xff\"}", 9, "not UTF-8"},
        {"{}\0", 3, "NUL byte"},
    };
    begin(1);
    act = say_done;
    for (size_t i = 0; i < COUNT(cases); i++) {
        put_bytes(0, cases[i].body, cases[i].len, false);
        struct outcome_seen *seen = next_outcome();
        assert_int_equal(seen->settlement, SETTLE_REJECT);
        free(seen);
        struct json_object *record = next_record();
        expect_in(member(record, "message"), cases[i].reason);
        json_object_put(record);
    }
    char *deep = malloc(2000001);
    memset(deep, '[', 2000000);
    deep[2000000] = '\0';
    put(0, deep);
    free(deep);
    struct outcome_seen *seen = next_outcome();
    assert_int_equal(seen->settlement, SETTLE_REJECT);
    free(seen);
    json_object_put(next_record());

    struct list list = {0};
    struct delivery *delivery = delivery_new(0);
    delivery->from = &subscriptions[0];
    delivery->refused = 123456;
    list_put(&list, &delivery->node);
    executor_put(executor, &list);
    expect_outcome("", SETTLE_REJECT, 0);
    struct json_object *record = next_record();
    expect_in(member(record, "message"), "123456 bytes are more than message_max_bytes allows");
    assert_null(member(record, "payload"));
    json_object_put(record);
    expect_calls("");
    put(0, "{}"); /* and works on */
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 2);
}

static void validate_as(enum validate validate)
{
    static struct plugin_section strictness;
    strictness = (struct plugin_section){.validate = validate};
    plugin.section = &strictness;
    services_free(services);
    services = make_services();
}

static void a_message_that_the_document_does_not_allow(void **state)
{
    UNUSED(state);
    begin(3);
    act = say_done;
    put(0, "{\"count\":\"many\"}");
    expect_rejected(REASON_INVALID);
    struct json_object *record = next_record();
    expect_in(member(record, "message"),
              REJECTED ": the message is wrong: does not match the AsyncAPI document: /count");
    json_object_put(record);
    expect_calls("");
    put(0, "{\"count\":2}");
    expect_outcome("{\"count\":2}", SETTLE_ACKNOWLEDGE, 2);
}

static void the_document_can_be_a_matter_of_warnings(void **state)
{
    UNUSED(state);
    validate_as(VALIDATE_WARN);
    begin(3);
    act = say_done;
    put(0, "{\"count\":\"many\"}");
    expect_outcome("{\"count\":\"many\"}", SETTLE_ACKNOWLEDGE, 2);
    assert_int_equal(count_in_log("| WARNING |"), 1);
    expect_log(FIRST ": a message does not match the AsyncAPI document: /count");
}

static void the_document_can_be_ignored(void **state)
{
    UNUSED(state);
    validate_as(VALIDATE_OFF);
    begin(3);
    act = say_done;
    put(0, "{\"count\":\"many\"}");
    expect_outcome("{\"count\":\"many\"}", SETTLE_ACKNOWLEDGE, 2);
    assert_int_equal(count_in_log("| WARNING |"), 0);
}

/* The broker may drop the message at its next return, so it becomes a dead letter without a call of its handler. */
static void a_message_at_its_delivery_limit(void **state)
{
    UNUSED(state);
    struct list list = {0};
    struct delivery *delivery = delivery_new(2);
    memcpy(delivery->body, "{}", 2);
    delivery->tag = ++last_tag;
    delivery->from = &subscriptions[0];
    delivery->epoch = (uint32_t)atomic_load(&subscriptions[0].epoch);
    delivery->redelivered = delivery->at_limit = true;
    delivery->returns = 19;
    list_put(&list, &delivery->node);
    begin(3);
    act = say_done;
    executor_put(executor, &list);
    expect_rejected(REASON_DELIVERY_LIMIT);
    struct json_object *record = next_record();
    expect_in(member(record, "message"), REJECTED ": the delivery limit is reached: it was returned to its queue 19 ");
    json_object_put(record);
    expect_calls("");
}

static struct valawai_message looked_at;
static bool ends_in_nul;

static int look(const struct valawai_message *message)
{
    looked_at = *message;
    ends_in_nul = message->body[message->len] == '\0' && strlen(message->body) == message->len;
    looked_at.body = NULL;
    return VALAWAI_DONE;
}

static void what_a_handler_sees(void **state)
{
    UNUSED(state);
    begin(1);
    act = look;
    put(1, "{\"a\": 1}");
    expect_outcome("{\"a\": 1}", SETTLE_ACKNOWLEDGE, 0);
    assert_int_equal(looked_at.size, sizeof looked_at);
    assert_int_equal(looked_at.flags, 0);
    assert_string_equal(looked_at.topic, SECOND);
    assert_int_equal(looked_at.len, 8);
    assert_int_equal(looked_at.attempt, 1);
    assert_true(ends_in_nul);
    put_bytes(0, "{}", 2, true);
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
    assert_int_equal(looked_at.flags, VALAWAI_REDELIVERED);
    assert_string_equal(looked_at.topic, FIRST);
    assert_int_equal(host->size, sizeof *host);
    assert_int_equal(host->abi_minor, VALAWAI_ABI_MINOR);
}

static void options_of_the_section(void **state)
{
    UNUSED(state);
    struct fault fault;
    struct json_object *value = NULL;
    assert_true(options_read(contract, "unit.so", &section, &plugin.options, &fault));
    begin(1);
    assert_string_equal(host->option(host, "greeting"), "hello");
    assert_string_equal(host->option(host, "empty"), "");
    assert_null(host->option(host, "absent"));
    assert_null(host->option(host, ""));
    assert_true(json_object_object_get_ex(host->options(host), "greeting", &value));
    assert_string_equal(json_object_get_string(value), "hello");
    options_free(plugin.options);
}

/* ---- retries ---- */

static int64_t tried_at[16];
static unsigned tries_wanted;

static int retry_first(const struct valawai_message *message)
{
    (void)host->publish(host, OUT, message->body, message->len);
    if (strstr(message->body, "again") == NULL)
        return VALAWAI_DONE;
    tried_at[message->attempt % COUNT(tried_at)] = clock_ms();
    return message->attempt < tries_wanted ? VALAWAI_RETRY : VALAWAI_DONE;
}

static void a_retry_holds_up_its_topic_only(void **state)
{
    UNUSED(state);
    begin(10);
    act = retry_first;
    tries_wanted = 4;
    put(0, "{\"m\":\"again\"}");
    put(0, "{\"m\":2}");
    put(1, "{\"m\":3}");
    put(0, "{\"m\":4}");
    put(1, "{\"m\":5}");
    expect_outcome("{\"m\":3}", SETTLE_ACKNOWLEDGE, 1); /* the other topic goes on meanwhile */
    expect_outcome("{\"m\":5}", SETTLE_ACKNOWLEDGE, 1);
    put(1, "{\"m\":6}");
    expect_outcome("{\"m\":6}", SETTLE_ACKNOWLEDGE, 1);
    expect_outcome("{\"m\":\"again\"}", SETTLE_ACKNOWLEDGE, 1); /* published once, in spite of the retries */
    expect_outcome("{\"m\":2}", SETTLE_ACKNOWLEDGE, 1);
    expect_outcome("{\"m\":4}", SETTLE_ACKNOWLEDGE, 1);
    /* 200 ms, 400 ms, 800 ms, each shortened by up to half; how late it may be is the machine's matter */
    assert_true(tried_at[2] - tried_at[1] >= 100);
    assert_true(tried_at[3] - tried_at[2] >= 200);
    assert_true(tried_at[4] - tried_at[3] >= 400);
    assert_int_equal(count_in_log("| WARNING |"), 3);
    expect_log("attempt 1 of 10 to handle a message failed");
    expect_log("attempt 3 of 10 to handle a message failed");
    put(0, "{\"m\":7}"); /* nothing delays it any more */
    expect_outcome("{\"m\":7}", SETTLE_ACKNOWLEDGE, 1);
    assert_null(take_record()); /* the MOV receives records of rejected messages, not of retries */
}

/* After a success the delay starts over. */
static void the_delay_starts_over(void **state)
{
    UNUSED(state);
    begin(10);
    act = retry_first;
    tries_wanted = 3;
    put(0, "{\"m\":\"again\"}");
    expect_outcome("{\"m\":\"again\"}", SETTLE_ACKNOWLEDGE, 1);
    tries_wanted = 2;
    put(0, "{\"m\":\"again 2\"}");
    expect_outcome("{\"m\":\"again 2\"}", SETTLE_ACKNOWLEDGE, 1);
    char *path = memory_format("%s/log", directory), *text = file_read(path, NULL), *at = text;
    unsigned delays[3] = {0};
    for (size_t i = 0; i < COUNT(delays); i++) {
        at = strstr(at, "; again in ");
        assert_non_null(at);
        at += 11;
        delays[i] = (unsigned)strtoul(at, NULL, 10);
    }
    assert_uint_in_range(delays[0], 100, 200);
    assert_uint_in_range(delays[1], 200, 400);
    assert_uint_in_range(delays[2], 100, 200);
    free(text);
    free(path);
}

static void attempts_run_out(void **state)
{
    UNUSED(state);
    begin(3);
    act = say_verdict;
    verdict_wanted = VALAWAI_RETRY;
    explanation = "no model yet";
    put(0, "{\"m\":1}");
    put(0, "{\"m\":2}");
    expect_outcome("{\"m\":1}", SETTLE_REJECT, 0);
    expect_outcome("{\"m\":2}", SETTLE_REJECT, 0);
    expect_calls("first {\"m\":1}#1\nfirst {\"m\":1}#2\nfirst {\"m\":1}#3\n"
                 "first {\"m\":2}#1\nfirst {\"m\":2}#2\nfirst {\"m\":2}#3\n");
    struct json_object *record = next_record();
    expect_in(member(record, "message"), "no attempt succeeded: no model yet");
    json_object_put(record);
    json_object_put(next_record());
    assert_null(take_record());
    expect_log("attempt 2 of 3 to handle a message failed: no model yet; again in ");
}

static void a_retry_does_not_outlive_the_close(void **state)
{
    UNUSED(state);
    begin(10);
    act = retry_first;
    tries_wanted = 10;
    put(0, "{\"m\":\"again\"}");
    put(0, "{\"m\":2}");
    put(1, "{\"m\":3}");
    expect_outcome("{\"m\":3}", SETTLE_ACKNOWLEDGE, 1);
    int64_t before = clock_ms();
    finish();
    assert_true(clock_ms() - before < 5000);
    assert_true(is_nothing_there()); /* the broker puts them back */
    assert_int_equal(stopped, 1);
}

/* ---- messages that the broker took back ---- */

static void stale_deliveries_are_not_handled(void **state)
{
    UNUSED(state);
    begin(10);
    act = retry_first;
    tries_wanted = 10;
    put(0, "{\"m\":\"again\"}");
    put(0, "{\"m\":2}");
    put(1, "{\"m\":3}");
    expect_outcome("{\"m\":3}", SETTLE_ACKNOWLEDGE, 1);
    atomic_fetch_add(&subscriptions[0].epoch, 1); /* a new AMQP channel: all of the topic comes again */
    tries_wanted = 1;
    put_bytes(0, "{\"m\":\"again\"}", 13, true);
    put_bytes(0, "{\"m\":2}", 7, true);
    expect_outcome("{\"m\":\"again\"}", SETTLE_ACKNOWLEDGE, 1);
    expect_outcome("{\"m\":2}", SETTLE_ACKNOWLEDGE, 1);
    assert_true(is_nothing_there());
    expect_calls("first {\"m\":\"again\"}#1\nsecond {\"m\":3}#1\nfirst {\"m\":\"again\"}#1\nfirst {\"m\":2}#1\n");
}

static sem_t entered, released;

static void semaphores_begin(void)
{
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
}

static void semaphores_end(void)
{
    sem_destroy(&entered);
    sem_destroy(&released);
}

static int take_back(const struct valawai_message *message)
{
    (void)host->publish(host, OUT, message->body, message->len);
    if (strstr(message->body, "taken") != NULL) {
        atomic_fetch_add(&subscriptions[0].epoch, 1);
        sem_post(&entered);
    }
    return VALAWAI_DONE;
}

/* Taken back during its handling: the verdict counts for the redelivered copy, and the work is not repeated. */
static void a_late_verdict_is_kept(void **state)
{
    UNUSED(state);
    begin(10);
    semaphores_begin();
    act = take_back;
    put(0, "{\"m\":\"taken\"}");
    assert_true(came(&entered));
    put_bytes(0, "{\"m\":\"taken\"}", 13, true);
    expect_outcome("{\"m\":\"taken\"}", SETTLE_ACKNOWLEDGE, 1);
    expect_calls("first {\"m\":\"taken\"}#1\n");
    finish();
    semaphores_end();
}

static uint64_t taken; /* a ticket */

static int take_ticket(const struct valawai_message *message)
{
    taken = host->later(host, message);
    return VALAWAI_LATER;
}

/* Taken back while its ticket is open, and delivered again before the answer: the plugin still has it in hand. */
static void a_message_that_comes_again_waits_for_its_ticket(void **state)
{
    UNUSED(state);
    begin(10);
    act = take_ticket;
    put(0, "{\"m\":1}");
    fence();
    atomic_fetch_add(&subscriptions[0].epoch, 1);
    put_bytes(0, "{\"m\":1}", 7, true);
    fence();
    expect_calls("first {\"m\":1}#1\n");
    assert_int_equal(host->publish_for(host, taken, OUT, "{}", 2), VALAWAI_OK);
    assert_int_equal(host->answer(host, taken, VALAWAI_DONE, NULL), VALAWAI_OK);
    expect_outcome("{\"m\":1}", SETTLE_ACKNOWLEDGE, 1);
    finish();
    assert_true(is_nothing_there());
    expect_calls("");
}

static void a_late_verdict_is_for_its_message_only(void **state)
{
    UNUSED(state);
    begin(10);
    semaphores_begin();
    act = take_back;
    put(0, "{\"m\":\"taken\"}");
    assert_true(came(&entered));
    put_bytes(0, "{\"m\":\"other\"}", 13, true);
    expect_outcome("{\"m\":\"other\"}", SETTLE_ACKNOWLEDGE, 1);
    put_bytes(0, "{\"m\":2}", 7, false);
    expect_outcome("{\"m\":2}", SETTLE_ACKNOWLEDGE, 1);
    expect_calls("first {\"m\":\"taken\"}#1\nfirst {\"m\":\"other\"}#1\nfirst {\"m\":2}#1\n");
    finish();
    semaphores_end();
}

/* ---- publish ---- */

static int answers[16];
static char *too_large;

static int publish_wrongly(const struct valawai_message *message)
{
    char topic[300];
    unsigned i = 0;
    UNUSED(message);
    memset(topic, 'a', sizeof topic);
    topic[sizeof topic - 1] = '\0';
    answers[i++] = host->publish(host, NULL, "{}", 2);
    answers[i++] = host->publish(host, "", "{}", 2);
    answers[i++] = host->publish(host, OUT, NULL, 2);
    answers[i++] = host->publish(host, topic, "{}", 2);
    topic[255] = '\0';
    answers[i++] = host->publish(host, topic, "{}", 2);
    answers[i++] = host->publish(host, FIRST, "{}", 2);
    answers[i++] = host->publish(host, "valawai/log/add", "{}", 2);
    answers[i++] = host->publish(host, OUT, "", 0);
    answers[i++] = host->publish(host, OUT, "[]", 2);
    answers[i++] = host->publish(host, OUT, "{}", 1);
    answers[i++] = host->publish(host, OUT, "{\"a\":\"\xff\"}", 9);
    answers[i++] = host->publish(host, OUT, too_large, 2001);
    answers[i++] = host->publish(host, OUT, too_large, 2000);
    answers[i++] = host->publish(host, OUT, "{}garbage", 2);
    return VALAWAI_DONE;
}

static void publications_that_are_refused(void **state)
{
    UNUSED(state);
    static const struct {
        int answer;
        const char *message;
    } expected[] = {
        {VALAWAI_E_ARGUMENT, "expects a topic and a body"},
        {VALAWAI_E_ARGUMENT, "expects a topic and a body"},
        {VALAWAI_E_ARGUMENT, "cannot publish on " OUT ": expects a topic and a body"},
        {VALAWAI_E_ARGUMENT, "at most 255 bytes"},
        {VALAWAI_E_TOPIC, "not a `publish` channel"},
        {VALAWAI_E_TOPIC, "cannot publish on " FIRST ": not a `publish` channel"},
        {VALAWAI_E_BODY, "cannot publish on valawai/log/add: does not match the AsyncAPI document"},
        {VALAWAI_E_BODY, "empty"},
        {VALAWAI_E_BODY, "not an object"},
        {VALAWAI_E_BODY, "not JSON"},
        {VALAWAI_E_BODY, "not UTF-8"},
        {VALAWAI_E_BODY, "larger than message_max_bytes"},
        {VALAWAI_OK, NULL},
        {VALAWAI_OK, NULL},
    };
    too_large = malloc(2002); /* with 2001 bytes it is an object as much as with 2000 */
    memset(too_large, ' ', 2001);
    memcpy(too_large, "{}", 2);
    too_large[2001] = '\0';
    begin(1);
    expect_log("cannot publish on " OUT ": only between start and stop"); /* in start */
    act = publish_wrongly;
    put(0, "{}");
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 2);
    for (size_t i = 0; i < COUNT(expected); i++) {
        if (answers[i] != expected[i].answer)
            fail_msg("case %zu was answered %d and not %d", i, answers[i], expected[i].answer);
        if (expected[i].message == NULL)
            continue;
        struct json_object *record = next_record();
        assert_string_equal(member(record, "level"), "ERROR");
        expect_in(member(record, "message"), expected[i].message);
        json_object_put(record);
    }
    assert_null(take_record());
    free(too_large);
}

static int block(const struct valawai_message *message)
{
    UNUSED(message);
    sem_post(&entered);
    sem_wait(&released);
    return VALAWAI_DONE;
}

/* On another thread of the plugin: published at once, even during a handler. */
static void publications_of_another_thread(void **state)
{
    UNUSED(state);
    semaphores_begin();
    begin(1);
    act = block;
    put(0, "{}");
    assert_true(came(&entered));
    assert_int_equal(host->publish(host, OUT, "{\"own\":1}", 9), VALAWAI_OK);
    struct publication *publication = (struct publication *)list_take(&published);
    assert_non_null(publication);
    assert_string_equal(publication->body, "{\"own\":1}");
    assert_true(publication->persistent);
    assert_true(publication->waits);
    assert_null(publication->cause);
    free(publication);
    assert_int_equal(host->publish(host, FIRST, "{}", 2), VALAWAI_E_TOPIC);
    assert_int_equal(host->publish(host, OUT, "[]", 2), VALAWAI_E_BODY);
    publisher_closed = true;
    assert_int_equal(host->publish(host, OUT, "{}", 2), VALAWAI_E_STATE);
    sem_post(&released);
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
    finish();
    assert_int_equal(host->publish(host, OUT, "{}", 2), VALAWAI_E_STATE);
    semaphores_end();
}

/* Two handlers run at the same time, and neither returns before both are called. */
static void handlers_on_several_threads(void **state)
{
    UNUSED(state);
    semaphores_begin();
    handler_threads = 2;
    several_threads = true;
    begin(1);
    act = block;
    put(0, "{\"m\":1}");
    put(0, "{\"m\":2}");
    bool both = came(&entered) && came(&entered);
    sem_post(&released);
    sem_post(&released);
    for (int i = 0; i < 2; i++) {
        struct outcome_seen *seen = next_outcome();
        assert_int_equal(seen->settlement, SETTLE_ACKNOWLEDGE);
        free(seen);
    }
    finish();
    semaphores_end();
    assert_true(both);
}

#ifndef HOST_ABORT_ON_MISUSE
static int log_nothing(const struct valawai_message *message)
{
    const char *volatile no_text = NULL;
    host->log(host, VALAWAI_INFO, "unit.c", 1, message->body, no_text, 0);
    return VALAWAI_DONE;
}

static void a_record_without_a_text(void **state)
{
    UNUSED(state);
    begin(1);
    act = log_nothing;
    put(0, "{}");
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
    expect_log("the plugin misuses the host: log() without a text");
    finish();
}
#endif

/* ---- json ---- */

static struct json_object *parsed[4];
static int number_in_it;

static int parse(const struct valawai_message *message)
{
    struct valawai_message other = {.size = sizeof other, .topic = FIRST, .body = "{}", .len = 2};
    struct json_object *value = NULL;
    parsed[0] = host->json(host, message);
    parsed[1] = host->json(host, message);
    parsed[2] = MISUSE(host->json(host, &other)); /* not the message in hand */
    parsed[3] = MISUSE(host->json(host, NULL));
    json_object_object_get_ex(parsed[0], "n", &value);
    number_in_it = json_object_get_int(value);
    return VALAWAI_DONE;
}

static void json_is_parsed_once(void **state)
{
    UNUSED(state);
    begin(1);
    act = parse;
    for (int i = 1; i <= 3; i++) {
        char body[32];
        snprintf(body, sizeof body, "{\"n\":%d}", i);
        put(0, body);
        expect_outcome(body, SETTLE_ACKNOWLEDGE, 0);
        assert_non_null(parsed[0]);
        assert_ptr_equal(parsed[0], parsed[1]);
        assert_null(parsed[2]);
        assert_null(parsed[3]);
        assert_int_equal(number_in_it, i);
    }
    struct valawai_message message = {.size = sizeof message, .topic = FIRST, .body = "{}", .len = 2};
    assert_null(MISUSE(host->json(host, &message))); /* no handler is at work, and this is not its thread */
}

/* ---- properties ---- */

static const char *read_id, *read_time, *read_header, *read_absent, *read_all;
static int sent_with[6];

static int look_at_properties(const struct valawai_message *message)
{
    read_id = host->property(host, message, "correlation_id");
    read_time = host->property(host, message, "timestamp");
    read_header = host->header(host, message, "colour");
    read_absent = host->property(host, message, "type") != NULL ? "type" : host->header(host, message, "size");
    read_all = host->properties(host, message);
    if (read_id != NULL)
        assert_string_equal(read_id, "c-7"); /* before the next message */
    if (read_time != NULL)
        assert_string_equal(read_time, "1700000000");
    if (read_header != NULL)
        assert_string_equal(read_header, "red");
    if (read_all != NULL)
        expect_in(read_all, "\"headers\":{\"colour\":\"red\"}");
    return VALAWAI_DONE;
}

static void put_with_properties(const char *body)
{
    struct draft draft;
    struct text bytes = {0};
    struct fault fault;
    struct list list = {0};
    draft_begin(&draft, (struct properties){0});
    assert_true(draft_set_text(&draft, PROPERTY_CORRELATION_ID, "c-7", &fault));
    assert_true(draft_set_number(&draft, PROPERTY_TIMESTAMP, 1700000000, &fault));
    assert_true(
        draft_set_header(&draft, "colour", &(struct field){.kind = FIELD_TEXT, .text = "red", .len = 3}, &fault));
    assert_true(draft_put(&draft, &bytes, &fault));
    struct delivery *delivery = delivery_with(NULL, strlen(body), (struct properties){bytes.at, bytes.len});
    memcpy(delivery->body, body, strlen(body));
    delivery->tag = 1;
    delivery->from = &subscriptions[0];
    delivery->epoch = (uint32_t)atomic_load(&subscriptions[0].epoch);
    list_put(&list, &delivery->node);
    executor_put(executor, &list);
    draft_free(&draft);
    text_free(&bytes);
}

static void properties_of_a_message(void **state)
{
    UNUSED(state);
    begin(1);
    act = look_at_properties;
    put_with_properties("{}");
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
    assert_true(read_id != NULL && read_time != NULL && read_header != NULL && read_all != NULL);
    assert_null(read_absent);
    put(0, "{}"); /* as in most messages */
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
    assert_true(read_id == NULL && read_time == NULL && read_header == NULL && read_all == NULL);
    struct valawai_message message = {.size = sizeof message, .topic = FIRST, .body = "{}", .len = 2};
    assert_null(MISUSE(host->property(host, &message, "type"))); /* not in its handler */
    assert_null(MISUSE(host->header(host, &message, "type")));
    assert_null(MISUSE(host->properties(host, &message)));
}

static int publish_with_properties(const struct valawai_message *message)
{
    static const char *const properties[] = {
        "{\"correlation_id\":\"c-8\",\"timestamp\":17,\"headers\":{\"n\":1,\"r\":0.5,\"t\":true,\"s\":\"x\"}}",
        NULL,
        "{\"colour\":\"red\"}",
        "{\"headers\":{\"a\":[1]}}",
        "{\"timestamp\":\"today\"}",
        "[]",
    };
    for (size_t i = 0; i < COUNT(properties); i++)
        sent_with[i] = host->publish_with(host, 0, OUT, message->body, message->len, properties[i]);
    return VALAWAI_DONE;
}

static void properties_of_a_publication(void **state)
{
    UNUSED(state);
    struct field field;
    begin(1);
    act = publish_with_properties;
    put(0, "{}");
    struct outcome_seen *seen = next_outcome();
    assert_int_equal(sent_with[0], VALAWAI_OK);
    assert_int_equal(sent_with[1], VALAWAI_OK);
    for (size_t i = 2; i < COUNT(sent_with); i++)
        assert_int_equal(sent_with[i], VALAWAI_E_ARGUMENT);
    expect_log("cannot publish on " OUT ": properties: colour is not a property");
    expect_log("properties: header a is neither a string, a number nor a boolean");
    struct publication *publication = (struct publication *)list_take(&seen->publications);
    assert_true(properties_get(publication->properties, PROPERTY_CORRELATION_ID, &field));
    assert_memory_equal(field.text, "c-8", 3);
    assert_true(properties_get(publication->properties, PROPERTY_TIMESTAMP, &field));
    assert_int_equal(field.number, 17);
    assert_true(properties_header(publication->properties, "n", &field));
    assert_int_equal(field.number, 1);
    assert_true(properties_header(publication->properties, "t", &field));
    assert_int_equal(field.kind, FIELD_TRUTH);
    free(publication);
    publication = (struct publication *)list_take(&seen->publications);
    assert_int_equal(publication->properties.len, 0); /* nothing extra */
    free(publication);
    assert_null(seen->publications.head);
    free(seen);
}

/* ---- records ---- */

static void records_for_the_mov(void **state)
{
    UNUSED(state);
    static const struct {
        int level;
        const char *name;
    } levels[] = {{VALAWAI_DEBUG, "DEBUG"}, {VALAWAI_INFO, "INFO"}, {VALAWAI_WARN, "WARN"},
                  {VALAWAI_ERROR, "ERROR"}, {-1, "ERROR"},          {4, "ERROR"},
                  {INT32_MAX, "ERROR"},     {INT32_MIN, "ERROR"}};
    begin(1);
    for (size_t i = 0; i < COUNT(levels); i++) {
        services_set_id(services, i % 2 == 0 ? "" : "0123456789abcdef01234567");
        host->log(host, levels[i].level, "/src/plug.c", 12, i % 2 == 0 ? NULL : "{\"p\": [1]}", "took %d%%", 5);
        struct json_object *record = next_record();
        assert_string_equal(member(record, "level"), levels[i].name);
        assert_string_equal(member(record, "message"), "took 5%");
        if (i % 2 == 0) {
            assert_null(member(record, "payload"));
            assert_null(member(record, "component_id"));
        } else {
            assert_string_equal(member(record, "payload"), "{\"p\": [1]}");
            assert_string_equal(member(record, "component_id"), "0123456789abcdef01234567");
        }
        json_object_put(record);
    }
    host->log_text(host, VALAWAI_WARN, "/src/plug.c", 12, "[1]", "100 %s");
    struct json_object *plain = next_record();
    assert_string_equal(member(plain, "level"), "WARN");
    assert_string_equal(member(plain, "message"), "100 %s");
    assert_string_equal(member(plain, "payload"), "[1]");
    json_object_put(plain);
    expect_log("c1_unit: ");
    expect_log(" | WARNING | plug.c:12 | ");
    expect_log(">>> took 5%: {\"p\": [1]}\n");
    expect_log(">>> took 5%\n");
}

/* For any bytes of the plugin, the MOV receives one JSON object with a JSON payload, and the file one line. */
static void records_of_any_bytes(void **state)
{
    UNUSED(state);
    uint32_t chance = 99;
    begin(1);
    struct json_tokener *reader = json_reader_new();
    for (int round = 0; round < 500; round++) {
        char message[40], payload[40];
        for (size_t i = 0; i < sizeof message - 1; i++) {
            chance = chance * 1664525u + 1013904223u;
            message[i] = (char)(chance >> 24);
            chance = chance * 1664525u + 1013904223u;
            payload[i] = (char)(chance >> 24);
        }
        message[round % 40] = payload[(round * 7) % 40] = '\0';
        message[39] = payload[39] = '\0';
        host->log(host, VALAWAI_INFO, "f.c", 1, payload, "%s", message);
        struct json_object *record = next_record();
        const char *inner = member(record, "payload");
        assert_non_null(inner);
        if (!json_is_value(inner, strlen(inner), NULL))
            fail_msg("the payload %s is not JSON", inner);
        json_object_put(record);
    }
    json_tokener_free(reader);
    assert_int_equal(count_in_log("\n"), count_in_log(">>> "));
}

static void payloads_that_are_too_long(void **state)
{
    UNUSED(state);
    size_t len = 3u << 20;
    char *payload = malloc(len + 1);
    /* characters of two bytes behind one of one: no cut by number of bytes is right by chance */
    payload[0] = '"';
    for (size_t i = 1; i + 2 < len; i += 2)
        memcpy(payload + i, "\xc3\xa9", 2);
    payload[len - 1] = '"';
    payload[len - 2] = 'x';
    payload[len] = '\0';
    begin(1);
    host->log(host, VALAWAI_INFO, "f.c", 1, payload, "long");
    struct json_object *record = next_record();
    const char *inner = member(record, "payload"); /* JSON still: the beginning as a string */
    assert_non_null(inner);
    assert_true(json_is_value(inner, strlen(inner), NULL));
    assert_uint_in_range(strlen(inner), 65000, 66000);
    expect_in(inner + 65000, "\xc3\xa9… (3145728 bytes)\"");
    json_object_put(record);
    expect_log("\xc3\xa9… (3145728 bytes)\n");
    assert_int_equal(count_in_log("\\x"), 0); /* no half character */
    free(payload);
}

/* printf refuses the format; the record lacks the text, but is written. */
static void a_format_that_printf_refuses(void **state)
{
    UNUSED(state);
    static const wchar_t strange[] = {0xd800, 0};
    begin(1);
    host->log(host, VALAWAI_INFO, "f.c", 1, NULL, "x%lsy", strange);
    json_object_put(next_record());
    assert_null(take_record());
}

#define WRITERS 3
static void *write_records(void *argument)
{
    for (int i = 0; i < 300; i++)
        host->log(host, VALAWAI_INFO, "f.c", 1, "{}", "thread %d", *(int *)argument);
    return NULL;
}

static void records_of_several_threads(void **state)
{
    UNUSED(state);
    pthread_t threads[WRITERS];
    int numbers[WRITERS] = {0, 1, 2};
    begin(1);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_records, &numbers[i]), 0);
    for (int i = 0; i < 100; i++)
        services_set_id(services, i % 2 == 0 ? "" : "0123456789abcdef01234567");
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    size_t count = 0;
    for (struct publication *record; (record = take_record()) != NULL; free(record), count++)
        assert_true(json_is_object(record->body, record->len, NULL));
    assert_int_equal(count, WRITERS * 300);
}

/* ---- beginning and end ---- */

static void a_close_drops_what_is_not_begun(void **state)
{
    UNUSED(state);
    semaphores_begin();
    begin(1);
    act = block;
    put(0, "{\"m\":1}");
    put(0, "{\"m\":2}");
    put(1, "{\"m\":3}");
    assert_true(came(&entered));
    executor_close(executor, clock_ms() + 10000);
    put(1, "{\"m\":4}");
    assert_false(executor_join(executor, clock_ms() + 50)); /* the call in hand goes on */
    assert_int_equal(stopped, 0);
    sem_post(&released);
    assert_true(executor_join(executor, clock_ms() + 20000));
    assert_true(executor_join(executor, clock_ms()));
    expect_outcome("{\"m\":1}", SETTLE_ACKNOWLEDGE, 0); /* it counts */
    assert_true(is_nothing_there());
    assert_int_equal(stopped, 1);
    executor_free(executor);
    executor = NULL;
    semaphores_end();
}

static void a_start_that_fails(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    start_answer = 7;
    make(1);
    executor_start(executor);
    assert_int_equal(executor_started(executor, 20000, &fault), START_FAILED);
    assert_string_equal(fault.text, "some/unit.so: the plugin's start failed: it returned 7");
    finish();
    assert_int_equal(started, 1);
    assert_int_equal(stopped, 0); /* stop does not come */
}

static sem_t may_start;

static int start_slowly(const struct valawai_host *given, void **self)
{
    sem_wait(&may_start);
    return start(given, self);
}

/* A slow start does not delay executor_started(). */
static void a_start_that_takes_long(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    sem_init(&may_start, 0, 0);
    plugin.entry.start = start_slowly;
    act = look;
    make(1);
    executor_start(executor);
    assert_int_equal(executor_started(executor, 0, &fault), STARTING);
    assert_int_equal(executor_started(executor, 20, &fault), STARTING);
    put(0, "{}");
    assert_true(is_nothing_there());
    sem_post(&may_start);
    assert_int_equal(executor_started(executor, 20000, &fault), STARTED);
    expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
    finish();
    assert_int_equal(stopped, 1);
    sem_destroy(&may_start);
}

/* In a build that aborts at a misuse a child process makes the call, and must end. */
static int answer_too_late(uint64_t ticket)
{
#ifdef HOST_ABORT_ON_MISUSE
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        _exit(host->answer(host, ticket, VALAWAI_FAILED, "too late") == VALAWAI_OK ? 1 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? VALAWAI_E_STATE : VALAWAI_OK;
#else
    return host->answer(host, ticket, VALAWAI_FAILED, "too late");
#endif
}

/* The place of a ticket in the host's table is used again; its number is not. */
static void an_old_ticket_does_not_answer_a_new_message(void **state)
{
    UNUSED(state);
    begin(3);
    act = take_ticket;
    put(0, "{\"a\":1}");
    fence();
    uint64_t old = taken;
    assert_int_equal(host->answer(host, old, VALAWAI_DONE, NULL), VALAWAI_OK);
    expect_outcome("{\"a\":1}", SETTLE_ACKNOWLEDGE, 0);
    put(0, "{\"a\":2}");
    fence();
    assert_true(taken != old);
    assert_int_equal(answer_too_late(old), VALAWAI_E_STATE);
    expect_log("answer() with a ticket that later() did not return, or that is already answered");
    assert_int_equal(host->answer(host, taken, VALAWAI_DONE, NULL), VALAWAI_OK);
    expect_outcome("{\"a\":2}", SETTLE_ACKNOWLEDGE, 0);
    finish();
}

/* The second message finds the first one waiting, answers that, and then itself, both before it returns. */
static int answer_both(const struct valawai_message *message)
{
    uint64_t first = taken;
    take_ticket(message);
    if (first != 0) {
        assert_int_equal(host->publish_with(host, first, OUT, "{}", 2, "{\"type\":\"t\"}"), VALAWAI_OK);
        assert_int_equal(host->answer(host, first, VALAWAI_DONE, NULL), VALAWAI_OK);
        assert_int_equal(host->answer(host, taken, VALAWAI_DONE, NULL), VALAWAI_OK);
    }
    return VALAWAI_LATER;
}

static void answers_leave_in_the_order_of_answer(void **state)
{
    UNUSED(state);
    taken = 0;
    begin(3);
    act = answer_both;
    put(0, "{\"a\":1}");
    put(0, "{\"a\":2}");
    expect_outcome("{\"a\":1}", SETTLE_ACKNOWLEDGE, 1);
    expect_outcome("{\"a\":2}", SETTLE_ACKNOWLEDGE, 0);
    finish();
}

static uint64_t tickets[50];
static size_t ticket_count;

static int later_at_first(const struct valawai_message *message)
{
    if (message->attempt > 1)
        return VALAWAI_DONE;
    tickets[ticket_count++] = host->later(host, message);
    return VALAWAI_LATER;
}

/* An unavailable service causes many RETRY answers at the same time, which count as one attempt of the topic. */
static void retries_of_tickets_keep_the_order_and_come_soon(void **state)
{
    UNUSED(state);
    size_t count = sizeof tickets / sizeof *tickets;
    char body[32];
    ticket_count = 0;
    begin(3);
    act = later_at_first;
    for (size_t i = 0; i < count; i++) {
        snprintf(body, sizeof body, "{\"m\":%zu}", i);
        put(0, body);
    }
    fence();
    assert_int_equal(services_open(services, &(int64_t){0}, &(const char *){NULL}), count);
    int64_t began = clock_ms();
    for (size_t i = 0; i < count; i++)
        assert_int_equal(host->answer(host, tickets[i], VALAWAI_RETRY, NULL), VALAWAI_OK);
    for (size_t i = 0; i < count; i++) {
        snprintf(body, sizeof body, "{\"m\":%zu}", i);
        expect_outcome(body, SETTLE_ACKNOWLEDGE, 0);
    }
    assert_true(clock_ms() - began < 5000); /* the first delay is at most 200 ms, and the tenth is 30 s */
    finish();
}

static sem_t rung;
static atomic_bool rung_elsewhere; /* ThreadSanitizer does not know that sem_clockwait() synchronises */

static void ring(void *self, void *context)
{
    rung_elsewhere = self != (void *)&started || context != &rung || !pthread_equal(pthread_self(), started_on);
    sem_post(&rung);
}

static void timers_ring_on_the_plugins_thread(void **state)
{
    UNUSED(state);
    sem_init(&rung, 0, 0);
    begin(3);
    act = look;
    assert_true(host->timer(host, 0, 0, ring, &rung) != 0);
    assert_true(came(&rung));
    assert_false(rung_elsewhere);
    uint64_t timer = host->timer(host, 1, 1, ring, &rung);
    assert_true(came(&rung) && came(&rung) && came(&rung));
    assert_int_equal(host->cancel(host, timer), VALAWAI_OK);
    assert_int_equal(host->cancel(host, timer), VALAWAI_E_ARGUMENT);
    fence(); /* if it was due when it was cancelled, it has rung by now */
    while (sem_trywait(&rung) == 0) {
    }
    fence();
    assert_int_equal(sem_trywait(&rung), -1);
    finish();
    sem_destroy(&rung);
}

/* Does not return before the timer, whose period is a millisecond, is due again. */
static void ring_for_long(void *self, void *context)
{
    UNUSED(self);
    for (int64_t until = clock_ms() + 2; clock_ms() < until;) {
    }
    sem_post(context);
}

/* The timer is due again whenever it returns. */
static void a_timer_that_is_always_due_leaves_room_for_messages(void **state)
{
    UNUSED(state);
    sem_init(&rung, 0, 0);
    begin(3);
    act = look;
    uint64_t timer = host->timer(host, 0, 1, ring_for_long, &rung);
    assert_true(came(&rung) && came(&rung));
    put(0, "{\"a\":1}");
    expect_outcome("{\"a\":1}", SETTLE_ACKNOWLEDGE, 0);
    assert_int_equal(host->cancel(host, timer), VALAWAI_OK);
    finish();
    sem_destroy(&rung);
}

static int answer_in_words(const struct valawai_message *message)
{
    return host->later(host, message) != 0 ? 12345 : VALAWAI_DONE;
}

static void a_ticket_and_no_verdict(void **state)
{
    UNUSED(state);
    begin(3);
    act = answer_in_words;
    put(0, "{\"a\":1}");
    expect_outcome("{\"a\":1}", SETTLE_REJECT, 0);
    expect_log("the handler returned 12345, which is not a verdict");
    finish();
}

/* A thread that a plugin left behind may answer long after the message has returned to the broker. */
static void a_ticket_that_outlives_its_plugin(void **state)
{
    UNUSED(state);
    begin(3);
    act = take_ticket;
    put(0, "{\"a\":1}");
    fence();
    executor_close(executor, clock_ms() + 100); /* the wait for the answer */
    assert_true(executor_join(executor, clock_ms() + 20000));
    executor_free(executor);
    executor = NULL;
    assert_true(is_nothing_there());
    assert_int_equal(host->publish_for(host, taken, OUT, "{}", 2), VALAWAI_E_STATE);
    assert_int_equal(host->publish_with(host, taken, OUT, "{}", 2, NULL), VALAWAI_E_STATE);
    assert_int_equal(host->answer(host, taken, VALAWAI_DONE, NULL), VALAWAI_E_STATE);
    assert_true(is_nothing_there());
}

static sem_t told;
static char ids[100]; /* that the plugin received, in order; "-": unregistered */

static void note_id(const char *id)
{
    pthread_mutex_lock(&lock);
    other_thread = other_thread || !pthread_equal(pthread_self(), started_on);
    strncat(ids, id, sizeof ids - strlen(ids) - 1);
    pthread_mutex_unlock(&lock);
    sem_post(&told);
}

static void on_registered(void *self, const char *id)
{
    UNUSED(self);
    note_id(id);
}

static void on_unregistered(void *self)
{
    UNUSED(self);
    note_id("-");
}

static void the_plugin_is_told_its_id(void **state)
{
    UNUSED(state);
    sem_init(&told, 0, 0);
    ids[0] = '\0';
    plugin.entry.registered = on_registered;
    plugin.entry.unregistered = on_unregistered;
    begin(1);
    services_set_id(services, "abc");
    assert_true(came(&told));
    services_set_id(services, "abc"); /* no news */
    services_set_id(services, "def");
    assert_true(came(&told));
    services_set_id(services, NULL);
    assert_true(came(&told));
    services_set_id(services, NULL);
    finish();
    assert_string_equal(ids, "abcdef-");
    sem_destroy(&told);
}

static void neither_start_nor_stop(void **state)
{
    UNUSED(state);
    plugin.entry.start = NULL;
    plugin.entry.stop = NULL;
    begin(1);
    executor_close(executor, clock_ms() + 10000);
    assert_true(executor_join(executor, clock_ms() + 20000));
    executor_free(executor);
    executor = NULL;
}

static void never_started(void **state)
{
    UNUSED(state);
    make(1);
    put(0, "{}");
    executor_close(executor, clock_ms() + 10000);
    assert_true(executor_join(executor, clock_ms()));
    executor_free(executor);
    executor_free(NULL);
    services_free(NULL);
    executor = NULL;
    assert_int_equal(started, 0);
}

static void a_slow_handler_is_named_once(void **state)
{
    UNUSED(state);
    semaphores_begin();
    begin(1);
    act = block;
    executor_tend(executor, clock_ms() + 1000000); /* idle: not slow */
    for (int i = 1; i <= 2; i++) {
        put(0, "{}");
        assert_true(came(&entered));
        executor_tend(executor, clock_ms() + 59000);
        executor_tend(executor, clock_ms());
        assert_int_equal(count_in_log("| WARNING |"), i - 1);
        executor_tend(executor, clock_ms() + 61000);
        executor_tend(executor, clock_ms() + 62000);
        executor_tend(executor, clock_ms() + 600000);
        assert_int_equal(count_in_log("| WARNING |"), i);
        sem_post(&released);
        expect_outcome("{}", SETTLE_ACKNOWLEDGE, 0);
        for (int64_t now = clock_ms(); clock_ms() == now;) { /* two calls in one millisecond would look like one */
        }
    }
    expect_log(FIRST ": a handler has been busy with one message for 6");
    finish();
    semaphores_end();
}

static void many_messages_in_order(void **state)
{
    UNUSED(state);
    begin(1);
    act = look;
    for (int i = 0; i < 3000; i++) {
        char body[32];
        snprintf(body, sizeof body, "{\"m\":%d}", i);
        put(i % 2, body);
    }
    for (int i = 0; i < 3000; i++) {
        char body[32];
        snprintf(body, sizeof body, "{\"m\":%d}", i);
        expect_outcome(body, SETTLE_ACKNOWLEDGE, 0);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(done),
        TEST(not_done),
        TEST(bodies_that_no_handler_sees),
        TEST(a_message_that_the_document_does_not_allow),
        TEST(the_document_can_be_a_matter_of_warnings),
        TEST(the_document_can_be_ignored),
        TEST(a_message_at_its_delivery_limit),
        TEST(what_a_handler_sees),
        TEST(options_of_the_section),
        TEST(a_retry_holds_up_its_topic_only),
        TEST(the_delay_starts_over),
        TEST(attempts_run_out),
        TEST(a_retry_does_not_outlive_the_close),
        TEST(stale_deliveries_are_not_handled),
        TEST(a_late_verdict_is_kept),
        TEST(a_message_that_comes_again_waits_for_its_ticket),
        TEST(a_late_verdict_is_for_its_message_only),
        TEST(publications_that_are_refused),
        TEST(publications_of_another_thread),
        TEST(handlers_on_several_threads),
#ifndef HOST_ABORT_ON_MISUSE
        TEST(a_record_without_a_text),
#endif
        TEST(json_is_parsed_once),
        TEST(properties_of_a_message),
        TEST(properties_of_a_publication),
        TEST(records_for_the_mov),
        TEST(records_of_any_bytes),
        TEST(payloads_that_are_too_long),
        TEST(a_format_that_printf_refuses),
        TEST(records_of_several_threads),
        TEST(a_close_drops_what_is_not_begun),
        TEST(a_start_that_fails),
        TEST(a_start_that_takes_long),
        TEST(an_old_ticket_does_not_answer_a_new_message),
        TEST(answers_leave_in_the_order_of_answer),
        TEST(retries_of_tickets_keep_the_order_and_come_soon),
        TEST(timers_ring_on_the_plugins_thread),
        TEST(a_timer_that_is_always_due_leaves_room_for_messages),
        TEST(a_ticket_and_no_verdict),
        TEST(a_ticket_that_outlives_its_plugin),
        TEST(the_plugin_is_told_its_id),
        TEST(neither_start_nor_stop),
        TEST(never_started),
        TEST(a_slow_handler_is_named_once),
        TEST(many_messages_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
