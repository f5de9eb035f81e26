/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "services.h"

#include <json-c/json.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "memory.h"
#include "text.h"

#define LOG_TOPIC "valawai/log/add"
#define PAYLOAD_SHOWN 1024  /* bytes of a payload in console and file */
#define PAYLOAD_MAX 1048576 /* of a payload for the MOV: larger ones are cut to … */
#define PAYLOAD_CUT 65536   /* … so much, and a note: records are there to be read */
#define SCRATCH_KEPT 65536  /* bytes, from one handling to the next */
#define TOPIC_MAX 255       /* AMQP's short string */

/* The handling that this thread is in: the plugin's calls carry no other sign of it. */
static _Thread_local struct handling *current;

static const struct {
    enum log_level level;
    const char *name; /* at the MOV */
} levels[] = {
    [VALAWAI_DEBUG] = {LOG_DEBUG, "DEBUG"},
    [VALAWAI_INFO] = {LOG_INFO, "INFO"},
    [VALAWAI_WARN] = {LOG_WARNING, "WARN"},
    [VALAWAI_ERROR] = {LOG_ERROR, "ERROR"},
};

static struct services *services_of(const struct valawai_host *host)
{
    return host->impl;
}

/* True in a handler of the plugin, on its thread. */
static bool handles(const struct services *services)
{
    return current != NULL && current->services == services;
}

/* The MOV wants a JSON text, as a string. What is none, or too much, becomes one: a JSON string. */
static void put_payload(struct text *body, const char *payload)
{
    size_t len = strlen(payload);
    if (len <= PAYLOAD_MAX && json_is_value(payload, len, NULL)) {
        text_put_json(body, payload, len);
        return;
    }
    struct text beginning = {0}, quoted = {0};
    text_put(&beginning, payload, len <= PAYLOAD_MAX ? len : text_cut(payload, len, PAYLOAD_CUT));
    if (len > PAYLOAD_MAX)
        text_printf(&beginning, "… (%zu bytes)", len);
    text_put_json(&quoted, beginning.at, beginning.len);
    text_put_json(body, quoted.at, quoted.len);
    text_free(&beginning);
    text_free(&quoted);
}

/* The body that is handled was checked before its handler was called, and goes with most of its records. */
static void put_body(struct text *body, struct handling *handling)
{
    struct services *services = handling->services;
    if (!handling->quoted) {
        text_clear(&services->quoted);
        text_put_json(&services->quoted, handling->delivery->body, handling->delivery->len);
        handling->quoted = true;
    }
    text_put(body, services->quoted.at, services->quoted.len);
}

static void put_record(struct services *services, struct text *body, int level, const char *payload, const char *text)
{
    text_puts(body, "{\"level\":\"");
    text_puts(body, levels[level].name);
    text_puts(body, "\",\"message\":");
    text_put_json(body, text, strlen(text));
    if (payload != NULL) {
        text_puts(body, ",\"payload\":");
        if (handles(services) && payload == current->delivery->body && current->delivery->len <= PAYLOAD_MAX)
            put_body(body, current);
        else
            put_payload(body, payload);
    }
    pthread_mutex_lock(&services->lock);
    if (services->id[0] != '\0') {
        text_puts(body, ",\"component_id\":");
        text_put_json(body, services->id, strlen(services->id));
    }
    pthread_mutex_unlock(&services->lock);
    text_put(body, "}", 1);
}

static void record_to_mov(struct services *services, int level, const char *payload, const char *text)
{
    struct text once = {0}, *body = handles(services) ? &services->record : &once;
    text_clear(body);
    put_record(services, body, level, payload, text);
    publisher_send_record(services->publisher, publication_new(LOG_TOPIC, body->at, body->len), !handles(services));
    text_free(&once);
}

void services_record(struct services *services, int level, const char *file, int line, const char *payload,
                     const char *text)
{
    if (level < VALAWAI_DEBUG || level > VALAWAI_ERROR)
        level = VALAWAI_ERROR;
    const char *name = services->plugin->name;
    enum log_level local = levels[level].level;
    size_t len = payload == NULL ? 0 : strlen(payload);
    if (len <= PAYLOAD_SHOWN)
        log_put(services->log, local, name, file, line, text, payload, len);
    else if (log_wants(services->log, local))
        log_write(services->log, local, name, file, line, "%s: %.*s… (%zu bytes)", text,
                  (int)text_cut(payload, len, PAYLOAD_SHOWN), payload, len);
    record_to_mov(services, level, payload, text);
}

static void serve_log(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                      const char *format, ...)
{
    if (strchr(format, '%') == NULL) { /* most say the same every time */
        services_record(services_of(host), level, file, line, payload, format);
        return;
    }
    struct text text = {0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    services_record(services_of(host), level, file, line, payload, text.at);
    text_free(&text);
}

static const char *serve_option(const struct valawai_host *host, const char *key)
{
    const struct plugin_section *section = services_of(host)->plugin->section;
    for (size_t i = 0; section != NULL && i < section->option_count; i++)
        if (strcmp(section->options[i].key, key) == 0)
            return section->options[i].value;
    return NULL;
}

/* A publication that is not made is the plugin's to know and the reader of the log's, too. */
static int refuse(struct services *services, int error, const char *topic, const char *why)
{
    char text[768];
    snprintf(text, sizeof text, "cannot publish on %s: %s", topic == NULL ? "(NULL)" : topic, why);
    services_record(services, VALAWAI_ERROR, services->plugin->file, 0, NULL, text);
    return error;
}

struct json_object *services_json(struct handling *handling)
{
    if (handling->json == NULL)
        handling->json = json_read(handling->services->reader, handling->delivery->body, handling->delivery->len);
    return handling->json;
}

/* A handler that passes on what it got: that has been checked, and parsed if need be. */
static bool is_handled(const struct services *services, const char *body, size_t len)
{
    return handles(services) && body == current->delivery->body && len == current->delivery->len;
}

static struct json_object *publication_json(struct services *services, const char *body, size_t len)
{
    if (is_handled(services, body, len))
        return json_object_get(services_json(current));
    if (handles(services))
        return json_read(services->reader, body, len);
    struct json_tokener *reader = json_reader_new(); /* a thread of the plugin's own */
    struct json_object *json = json_read(reader, body, len);
    json_tokener_free(reader);
    return json;
}

static bool as_declared(struct services *services, const struct contract_topic *topic, const char *body, size_t len,
                        struct fault *fault)
{
    if (services->validate == VALIDATE_OFF)
        return true;
    char reason[384];
    struct json_object *json = publication_json(services, body, len);
    bool good = topic_check(topic, CONTRACT_PUBLISH, json, reason, sizeof reason);
    json_object_put(json);
    if (!good && services->validate == VALIDATE_WARN) {
        log_warning(services->log, services->plugin->name,
                    "publishes on %s what its AsyncAPI document does not declare: %s", topic_name(topic), reason);
        good = true;
    }
    return good || fault_set(fault, "not as the AsyncAPI document declares it: %s", reason);
}

static int serve_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len)
{
    struct services *services = services_of(host);
    struct fault fault;
    if (topic == NULL || body == NULL || topic[0] == '\0')
        return refuse(services, VALAWAI_E_ARGUMENT, topic, "topic and body are wanted");
    if (strlen(topic) > TOPIC_MAX)
        return refuse(services, VALAWAI_E_ARGUMENT, "(too long)", "a topic has at most 255 bytes");
    const struct contract_topic *declared = contract_find(services->plugin->contract, topic);
    if (declared == NULL || !topic_has(declared, CONTRACT_PUBLISH))
        declared = contract_find(services->mov, topic);
    if (declared == NULL)
        return refuse(services, VALAWAI_E_TOPIC, topic, "not a `publish` channel of the AsyncAPI document");
    if (!atomic_load(&services->running))
        return refuse(services, VALAWAI_E_STATE, topic, "only between start and stop");
    if (len > services->message_max_bytes)
        return refuse(services, VALAWAI_E_BODY, topic, "the body is larger than message_max_bytes");
    bool checked = is_handled(services, body, len) || json_is_object(body, len, &fault);
    if (!checked || !as_declared(services, declared, body, len, &fault))
        return refuse(services, VALAWAI_E_BODY, topic, fault.text);

    struct publication *publication = publication_new(topic, body, len);
    publication->persistent = true;
    publication->waits = true;
    if (handles(services)) {
        list_put(&current->publications, &publication->node);
        return VALAWAI_OK;
    }
    struct list one = {0};
    list_put(&one, &publication->node);
    if (publisher_send(services->publisher, &one))
        return VALAWAI_OK;
    list_free(&one);
    return refuse(services, VALAWAI_E_STATE, topic, "the host is stopping");
}

static struct json_object *serve_json(const struct valawai_host *host, const struct valawai_message *message)
{
    struct services *services = services_of(host);
    if (!handles(services) || message == NULL || message->body != current->delivery->body)
        return NULL;
    return services_json(current);
}

static int serve_explain(const struct valawai_host *host, int verdict, const char *format, ...)
{
    if (handles(services_of(host))) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(current->reason, sizeof current->reason, format, arguments);
        va_end(arguments);
    }
    return verdict;
}

struct services *services_new(const struct plugin *plugin, const struct contract *mov, struct log *log,
                              struct publisher *publisher, size_t message_max_bytes)
{
    struct services *services = memory_new(sizeof *services);
    *services = (struct services){
        .table = {.size = sizeof(struct valawai_host),
                  .abi_minor = VALAWAI_ABI_MINOR,
                  .impl = services,
                  .log = serve_log,
                  .option = serve_option,
                  .publish = serve_publish,
                  .json = serve_json,
                  .explain = serve_explain},
        .plugin = plugin,
        .log = log,
        .publisher = publisher,
        .message_max_bytes = message_max_bytes,
        .mov = mov,
        .validate = plugin->section == NULL ? VALIDATE_STRICT : plugin->section->validate,
        .reader = json_reader_new(),
    };
    pthread_mutex_init(&services->lock, NULL);
    return services;
}

void services_free(struct services *services)
{
    if (services == NULL)
        return;
    json_tokener_free(services->reader);
    text_free(&services->record);
    text_free(&services->quoted);
    pthread_mutex_destroy(&services->lock);
    free(services);
}

void services_set_id(struct services *services, const char *id)
{
    pthread_mutex_lock(&services->lock);
    snprintf(services->id, sizeof services->id, "%s", id);
    pthread_mutex_unlock(&services->lock);
}

void services_flush(struct services *services)
{
    publisher_flush_records(services->publisher);
}

void services_begin(struct services *services, struct handling *handling, const struct delivery *delivery)
{
    *handling = (struct handling){.services = services, .delivery = delivery};
    current = handling;
}

void services_end(struct handling *handling)
{
    current = NULL;
    json_object_put(handling->json);
    handling->json = NULL;
    if (handling->services->quoted.room > SCRATCH_KEPT)
        text_free(&handling->services->quoted);
    if (handling->services->record.room > SCRATCH_KEPT)
        text_free(&handling->services->record);
}
