/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * message: the input is the body of a message for the echo plugin. It goes through the executor to echo's handler; what
 * is published, the records for the MOV and the outcome of the message are compared with json-c's result for the body.
 * */
#include "fuzz.h"

#include <json-c/json.h>
#include <semaphore.h>
#include <string.h>

#include "base/json.h"
#include "plugin/executor.h"

#define RECEIVED "valawai/c1/echo/data/received_message"
#define PUBLISHED "valawai/c1/echo/data/publish_message"
#define ID "5f00c1d000006543210f00a1"

/* ---- the stand-ins; the semaphore orders the executor's thread and ours ---- */

static struct list records; /* for the MOV */

static void on_settle(void *context, struct list *deliveries)
{
    (void)context, (void)deliveries;
    EXPECT(false, "something is settled past the events");
}

static bool on_send(void *context, struct list *publications)
{
    (void)context, (void)publications;
    EXPECT(false, "something is sent past the handling");
    return false;
}

static void on_record(void *context, const char *body, size_t len, bool at_once)
{
    (void)context, (void)at_once;
    list_put(&records, &publication_new("", body, len)->node);
}

static const struct transport transport = {.settle = on_settle, .send = on_send, .record = on_record};

static sem_t handled;
static struct delivery *settled;
static struct list published;

static void on_handled(void *context, struct delivery *delivery, struct list *publications)
{
    (void)context;
    EXPECT(settled == NULL && published.head == NULL, "a message is settled twice");
    settled = delivery;
    list_join(&published, publications);
    sem_post(&handled);
}

/* ---- echo in its executor, for all inputs ---- */

static struct plugin plugin = {.path = "plugins/echo.so", .file = "echo.so", .topic_count = 1};
static struct subscription subscription = {.topic = RECEIVED};
static struct executor *executor;
static struct json_tokener *strict, *lenient;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    static const struct executor_events events = {.handled = on_handled};
    struct fault fault = {""};
    struct log *logs = fuzz_log();
    plugin.entry = valawai_plugin_entry;
    plugin.contract = contract_read(plugin.entry.asyncapi, strlen(plugin.entry.asyncapi));
    EXPECT(contract_errors(plugin.contract) == 0, "the echo's document has errors");
    plugin.name = contract_name(plugin.contract);
    plugin.type = contract_type(plugin.contract);
    plugin.registered = contract_registered(plugin.contract);
    subscription.owner = (void *)&plugin.entry.topics[0];
    struct services *services = services_new(&(struct services_options){.plugin = &plugin,
                                                                        .mov = contract_of_mov(),
                                                                        .log = logs,
                                                                        .transport = &transport,
                                                                        .message_max_bytes = 1 << 24});
    services_set_id(services, ID);
    sem_init(&handled, 0, 0);
    executor = executor_new(&(struct executor_options){
        .plugin = &plugin, .services = services, .log = logs, .attempts = 3, .slow_ms = 60000, .events = &events});
    executor_start(executor);
    EXPECT(executor_started(executor, 60000, &fault) == STARTED, "%s", fault.text);
    strict = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
    json_tokener_set_flags(strict, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    lenient = json_reader_new();
    return 0;
}

/* ---- expectations ---- */

/* What json_is_value() takes json-c takes too, strict or as the host reads it, and both mean the same. Not the other
 * way round: json-c takes more, such as a name with \u0000 in it, which it cuts. True if echo has to answer the body.
 */
static bool is_for_echo(const char *body, size_t len)
{
    struct fault fault = {""};
    char *exact = malloc(len); /* a plugin's body need not end with '\0' */
    memcpy(exact, body, len);
    bool value = json_is_value(exact, len, &fault), object = json_is_object(exact, len, NULL);
    free(exact);
    EXPECT(value == (fault.text[0] == '\0'), "json_is_value says %d and \"%s\"", value, fault.text);
    EXPECT(value || !object, "an object, but no value");
    if (!value)
        return false;

    json_tokener_reset(strict);
    struct json_object *read = json_tokener_parse_ex(strict, body, (int)len + 1); /* a number ends with the '\0' */
    enum json_tokener_error error = json_tokener_get_error(strict);
    EXPECT(error == json_tokener_success, "json-c refuses it: %s", json_tokener_error_desc(error));
    for (size_t i = 0; i < len; i++) /* json-c minds none in strings */
        EXPECT((unsigned char)body[i] >= 0x20 || strchr("\t\n\r", body[i]) != NULL, "byte %d", body[i]);
    EXPECT(object == json_object_is_type(read, json_type_object), "json-c finds another type");
    bool done = false;
    if (object) {
        struct json_object *hosts = json_read(lenient, body, len), *content = NULL;
        EXPECT(json_object_equal(read, hosts), "json-c reads it in two ways");
        done = json_object_object_get_ex(hosts, "content", &content) &&
               json_object_is_type(content, json_type_string) && json_object_get_string_len(content) > 0;
        json_object_put(hosts);
    }
    json_object_put(read);
    return done;
}

/* The next record for the MOV; its payload is the body if that is JSON, and a JSON text in any case. */
static void expect_record(const char *level, const char *body, size_t len)
{
    struct publication *record = (struct publication *)list_take(&records);
    EXPECT(record != NULL, "the MOV is not told (%s)", level);
    struct json_object *content = fuzz_object(record->body, record->len), *payload = NULL;
    const char *said = fuzz_member(content, "level"), *message = fuzz_member(content, "message"),
               *id = fuzz_member(content, "component_id");
    EXPECT(said != NULL && strcmp(said, level) == 0, "%s, and not %s", said, level);
    EXPECT(message != NULL && message[0] != '\0', "no message");
    EXPECT(id != NULL && strcmp(id, ID) == 0, "component_id %s", id);
    EXPECT(json_object_object_get_ex(content, "payload", &payload) && json_object_is_type(payload, json_type_string),
           "no payload");
    const char *text = json_object_get_string(payload);
    size_t text_len = (size_t)json_object_get_string_len(payload);
    struct fault fault = {""};
    EXPECT(json_is_value(text, text_len, &fault), "the payload is %s: %s", fault.text, text);
    if (json_is_value(body, len, NULL))
        EXPECT(text_len == len && memcmp(text, body, len) == 0, "the payload is not the body but %s", text);
    json_object_put(content);
    free(record);
}

static void expect_echo(const char *body, size_t len)
{
    struct publication *echo = (struct publication *)list_take(&published);
    EXPECT(echo != NULL, "no echo");
    EXPECT(strcmp(echo->topic, PUBLISHED) == 0, "it goes to %s", echo->topic);
    EXPECT(echo->persistent && echo->waits, "an echo may get lost");
    EXPECT(json_is_object(echo->body, echo->len, NULL), "the echo is not a JSON object");
    EXPECT(echo->len == len && memcmp(echo->body, body, len) == 0, "the echo is another one");
    EXPECT(echo->body[echo->len] == '\0', "the echo has no end");
    free(echo);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct list one = {0};
    struct delivery *delivery = delivery_new(len);
    if (len > 0)
        memcpy(delivery->body, bytes, len);
    delivery->from = &subscription;
    list_put(&one, &delivery->node);
    executor_put(executor, &one);
    char *body = fuzz_string(bytes, len);
    bool echoed = is_for_echo(body, len);
    while (sem_wait(&handled) != 0) /* a signal */
        continue;

    EXPECT(settled == delivery, "something else is settled");
    EXPECT(delivery->len == len && memcmp(delivery->body, body, len + 1) == 0, "the body was changed");
    /* The handler sees only what its document declares. */
    EXPECT(delivery->attempt == (echoed ? 1u : 0u), "%u calls", delivery->attempt);
    EXPECT(delivery->settlement == (echoed ? SETTLE_ACKNOWLEDGE : SETTLE_REJECT), "settlement %d",
           (int)delivery->settlement);
    if (echoed) {
        expect_echo(body, len);
        expect_record("INFO", body, len);
        expect_record("INFO", body, len);
    } else {
        expect_record("ERROR", body, len);
    }
    EXPECT(published.head == NULL, "one publication too many");
    EXPECT(records.head == NULL, "one record too many");
    free(body);
    free(settled);
    settled = NULL;
    return 0;
}
