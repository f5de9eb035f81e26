/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * status: the state of the host as JSON. docs/status.md describes it; members are added, and none changes its meaning.
 */
#include <stdio.h>
#include <time.h>

#include "http/replies.h"

#define STATUS_FORMAT 1 /* of the document; another number only if a member changes its meaning */

static void put_string(struct text *out, const char *name, const char *value)
{
    text_printf(out, "\"%s\":", name);
    if (value == NULL || value[0] == '\0')
        text_puts(out, "null");
    else
        text_put_json(out, value, strlen(value));
}

static void put_bool(struct text *out, const char *name, bool value)
{
    text_printf(out, "\"%s\":%s", name, value ? "true" : "false");
}

static void put_count(struct text *out, const char *name, uint64_t value)
{
    text_printf(out, "\"%s\":%llu", name, (unsigned long long)value);
}

/* Less than 0 is null. */
static void put_seconds(struct text *out, const char *name, double value)
{
    if (value < 0)
        text_printf(out, "\"%s\":null", name);
    else
        text_printf(out, "\"%s\":%.6g", name, value);
}

static void put_time(struct text *out, const char *name, int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm utc;
    char text[64];
    if (seconds == 0 || gmtime_r(&when, &utc) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        text_printf(out, "\"%s\":null", name);
    else
        text_printf(out, "\"%s\":\"%s\"", name, text);
}

static void put_error(struct text *out, const struct view_error *error)
{
    text_puts(out, "\"last_error\":");
    if (error->time == 0) {
        text_puts(out, "null");
        return;
    }
    text_puts(out, "{");
    put_time(out, "time", error->time);
    text_puts(out, ",");
    put_string(out, "text", error->text);
    text_puts(out, "}");
}

struct named {
    const char *name;
    uint64_t value;
};

static void put_counts(struct text *out, const struct named *counts, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        text_puts(out, ",");
        put_count(out, counts[i].name, counts[i].value);
    }
}

static uint64_t dead_of(const struct view_topic *topic)
{
    uint64_t dead = 0;
    for (size_t i = 0; i < VIEW_REASONS; i++)
        dead += topic->dead[i];
    return dead;
}

static void put_received(struct text *out, const struct view_topic *topic)
{
    const struct named counts[] = {
        {"received", topic->received},  {"acknowledged", topic->acknowledged},
        {"dead_lettered", topic->kept}, {"rejected", topic->rejected},
        {"returned", topic->returned},  {"in_hand", topic->in_hand},
        {"retried", topic->retried},    {"dead", dead_of(topic)},
    };
    text_puts(out, ",");
    put_bool(out, "consuming", topic->consuming);
    put_counts(out, counts, sizeof counts / sizeof *counts);
    text_puts(out, ",\"dead_by_reason\":{");
    for (size_t i = 0; i < VIEW_REASONS; i++) {
        text_puts(out, i == 0 ? "" : ",");
        put_count(out, view_reasons[i], topic->dead[i]);
    }
    text_puts(out, "}");
}

static void put_topic(struct text *out, const struct view_topic *topic)
{
    const struct named counts[] = {
        {"published", topic->published},
        {"confirmed", topic->confirmed},
        {"refused", topic->refused},
        {"withdrawn", topic->withdrawn},
    };
    text_puts(out, "{");
    put_string(out, "topic", topic->name);
    text_puts(out, ",");
    put_bool(out, "subscribe", topic->subscribe);
    text_puts(out, ",");
    put_bool(out, "publish", topic->publish);
    if (topic->subscribe)
        put_received(out, topic);
    if (topic->publish)
        put_counts(out, counts, sizeof counts / sizeof *counts);
    text_puts(out, "}");
}

static void put_totals(struct text *out, const struct view_component *component)
{
    struct view_topic all = {0};
    for (size_t i = 0; i < component->topic_count; i++) {
        const struct view_topic *topic = &component->topics[i];
        all.received += topic->received;
        all.in_hand += topic->in_hand;
        all.retried += topic->retried;
        all.published += topic->published;
        all.confirmed += topic->confirmed;
        all.dead[0] += dead_of(topic);
    }
    const struct named counts[] = {
        {"received", all.received},      {"in_hand", all.in_hand},
        {"retried", all.retried},        {"dead", dead_of(&all)},
        {"published", all.published},    {"confirmed", all.confirmed},
        {"tickets", component->tickets}, {"outbox_bytes", component->outbox_bytes},
    };
    put_counts(out, counts, sizeof counts / sizeof *counts);
}

static void put_rates(struct text *out, const struct view_component *component)
{
    text_printf(out, "\"rate\":{\"now\":%.6g,\"interval_seconds\":%d,\"points\":[", component->rate, VIEW_RATE_SECONDS);
    for (size_t i = 0; i < VIEW_RATE_POINTS; i++) {
        bool measured = i >= VIEW_RATE_POINTS - component->rate_count;
        if (measured)
            text_printf(out, "%s%.6g", i == 0 ? "" : ",", component->rates[i]);
        else
            text_printf(out, "%snull", i == 0 ? "" : ",");
    }
    text_puts(out, "]},\"handler\":{");
    put_seconds(out, "p50_seconds", component->p50);
    text_puts(out, ",");
    put_seconds(out, "p99_seconds", component->p99);
    text_puts(out, ",");
    put_bool(out, "over_limit", component->over_limit);
    text_puts(out, "}");
}

static const char *state_of(const struct view *view, const struct view_component *component)
{
    if (view->stopping)
        return "stopping";
    if (!component->started)
        return "starting";
    return component->healthy ? "healthy" : "unhealthy";
}

static void put_component(struct text *out, const struct view *view, const struct view_component *component)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        {"name", component->name},     {"type", component->type},           {"version", component->version},
        {"file", component->file},     {"isolation", component->isolation}, {"state", state_of(view, component)},
        {"reason", component->reason}, {"mov_id", component->id},
    };
    text_puts(out, "{");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_string(out, texts[i].name, texts[i].value);
        text_puts(out, ",");
    }
    put_bool(out, "registered", component->registered);
    text_puts(out, ",");
    put_bool(out, "healthy", component->healthy);
    text_puts(out, ",");
    put_time(out, "since", component->since);
    put_totals(out, component);
    if (component->worker_bytes > 0)
        put_counts(out, &(struct named){"worker_bytes", component->worker_bytes}, 1);
    text_puts(out, ",");
    put_rates(out, component);
    text_puts(out, ",");
    put_error(out, &component->last_error);
    text_puts(out, ",\"topics\":[");
    for (size_t i = 0; i < component->topic_count; i++) {
        text_puts(out, i == 0 ? "" : ",");
        put_topic(out, &component->topics[i]);
    }
    text_puts(out, "]}");
}

static void put_host(struct text *out, const struct view *view)
{
    text_puts(out, "\"host\":{");
    put_string(out, "version", view->version);
    text_puts(out, ",");
    put_string(out, "abi", view->abi);
    text_printf(out, ",\"pid\":%ld,", view->pid);
    put_time(out, "started", view->started);
    text_printf(out, ",\"uptime_seconds\":%.3f,", (double)view->uptime_ms / 1000);
    put_string(out, "state", view->stopping ? "stopping" : "running");
    text_puts(out, ",");
    put_bool(out, "alive", view->alive);
    text_puts(out, ",");
    put_error(out, &view->last_error);
    text_puts(out, "}");
}

static void put_broker(struct text *out, const struct view *view)
{
    static const char *const movs[] = {
        [VIEW_MOV_UNKNOWN] = "unknown", [VIEW_MOV_MISSING] = "missing", [VIEW_MOV_PRESENT] = "present"};
    const struct named counts[] = {
        {"reconnects", view->reconnects},
        {"outbox_bytes", view->outbox_bytes},
    };
    text_puts(out, "\"broker\":{");
    put_string(out, "address", view->broker);
    text_puts(out, ",");
    put_string(out, "version", view->broker_version);
    text_puts(out, ",");
    put_bool(out, "receiving", view->receiving);
    text_puts(out, ",");
    put_bool(out, "publishing", view->publishing);
    put_counts(out, counts, sizeof counts / sizeof *counts);
    text_printf(out, ",\"outbox_oldest_seconds\":%.3f},\"mov\":{", view->outbox_oldest);
    put_string(out, "state", movs[view->mov]);
    text_puts(out, "},\"log\":{");
    put_count(out, "console_dropped", view->console_dropped);
    text_puts(out, ",");
    put_count(out, "file_dropped", view->file_dropped);
    text_puts(out, "}");
}

void reply_status(struct reply *reply, const struct view *view)
{
    struct text *out = &reply->body;
    reply->status = 200;
    reply->type = REPLY_JSON;
    text_printf(out, "{\"format\":%d,", STATUS_FORMAT);
    put_bool(out, "healthy", view->healthy);
    text_puts(out, ",");
    put_host(out, view);
    text_puts(out, ",");
    put_broker(out, view);
    text_puts(out, ",\"components\":[");
    for (size_t i = 0; i < view->component_count; i++) {
        text_puts(out, i == 0 ? "" : ",");
        put_component(out, view, &view->components[i]);
    }
    text_puts(out, "]}\n");
}
