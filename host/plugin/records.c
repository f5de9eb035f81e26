/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * records: the log records of a plugin, for the log and the MOV: its own, and those of the host about it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "plugin/parts.h"

#define PAYLOAD_SHOWN 1024  /* bytes of a payload in console and file */
#define PAYLOAD_MAX 1048576 /* of a payload for the MOV; a larger one is cut to … */
#define PAYLOAD_CUT 65536   /* … this, with a note */

#define HEAD(level) "{\"level\":\"" level "\",\"message\":"
static const struct {
    enum log_level level;
    const char *head; /* of a record for the MOV */
} levels[] = {
    [VALAWAI_DEBUG] = {LOG_DEBUG, HEAD("DEBUG")},
    [VALAWAI_INFO] = {LOG_INFO, HEAD("INFO")},
    [VALAWAI_WARN] = {LOG_WARNING, HEAD("WARN")},
    [VALAWAI_ERROR] = {LOG_ERROR, HEAD("ERROR")},
};
#undef HEAD

/* The MOV expects a JSON text, as a string. A payload that is not JSON or is too long becomes a JSON string. */
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

/* The body in hand has been checked before the call of the handler, and most records contain it. */
static void put_body(struct text *body, struct handling *handling)
{
    if (handling->quoted.len == 0)
        text_put_json(&handling->quoted, handling->delivery->body, handling->delivery->len);
    text_put(body, handling->quoted.at, handling->quoted.len);
}

static void put_record(struct services *services, struct text *body, int level, const char *payload, const char *text)
{
    text_puts(body, levels[level].head);
    text_put_json(body, text, strlen(text));
    if (payload != NULL) {
        text_puts(body, ",\"payload\":");
        if (handling_in(services) && payload == handling_current->delivery->body &&
            handling_current->delivery->len <= PAYLOAD_MAX)
            put_body(body, handling_current);
        else
            put_payload(body, payload);
    }
    pthread_mutex_lock(&services->lock);
    text_put(body, services->id_member.at, services->id_member.len);
    pthread_mutex_unlock(&services->lock);
    text_put(body, "}", 1);
}

static void record_to_mov(struct services *services, int level, const char *payload, const char *text)
{
    const struct transport *transport = services->options.transport;
    struct text once = {0}, *body = handling_in(services) ? &handling_current->record : &once;
    text_clear(body);
    put_record(services, body, level, payload, text);
    transport->record(transport->context, body->at, body->len, !handling_in(services));
    text_free(&once);
}

void services_flush(struct services *services)
{
    const struct transport *transport = services->options.transport;
    if (transport->flush != NULL)
        transport->flush(transport->context);
}

void services_record(struct services *services, int level, const char *file, int line, const char *payload,
                     const char *text)
{
    if (level < VALAWAI_DEBUG || level > VALAWAI_ERROR)
        level = VALAWAI_ERROR;
    if (services->options.record != NULL) {
        services->options.record(services->options.context, level, file, line, payload, text);
        return;
    }
    const char *name = services->options.plugin->name;
    enum log_level local = levels[level].level;
    size_t len = payload == NULL ? 0 : strlen(payload);
    if (len <= PAYLOAD_SHOWN)
        log_put(services->options.log, local, name, file, line, text, payload, len);
    else if (log_wants(services->options.log, local))
        log_write(services->options.log, local, name, file, line, "%s: %.*s… (%zu bytes)", text,
                  (int)text_cut(payload, len, PAYLOAD_SHOWN), payload, len);
    if (services->options.transport->record != NULL)
        record_to_mov(services, level, payload, text);
}

/* The plugin broke a rule: writes a record, or aborts in a build with VALAWAI_ABORT_ON_MISUSE. */
void services_misuse(struct services *services, const char *rule)
{
    char text[512];
    snprintf(text, sizeof text, "the plugin misuses the host: %s", rule);
    services_record(services, VALAWAI_ERROR, services->options.plugin->file, 0, NULL, text);
#ifdef HOST_ABORT_ON_MISUSE
    fprintf(stderr, "valawai-host: %s: %s\n", services->options.plugin->file, text);
    abort();
#endif
}

/* True if an output takes the level. Other records are not formatted. */
bool services_wants(const struct services *services, int level)
{
    if (level < VALAWAI_DEBUG || level > VALAWAI_ERROR)
        level = VALAWAI_ERROR;
    return services->options.transport->record != NULL || log_wants(services->options.log, levels[level].level);
}

/* Reports a refused publication both to the plugin and in the log. */
int services_refuse(struct services *services, int error, const char *topic, const char *why)
{
    char text[768];
    snprintf(text, sizeof text, "cannot publish on %s: %s", topic == NULL ? "(NULL)" : topic, why);
    services_record(services, VALAWAI_ERROR, services->options.plugin->file, 0, NULL, text);
    return error;
}
