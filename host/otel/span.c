/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "otel/span.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "message/dead.h"

#define KIND_CONSUMER 5   /* enum SpanKind of OTLP */
#define STATUS_ERROR 2    /* enum StatusCode */
#define REMOTE_PARENT 768 /* flags beside those of the trace: the parent is known to be in another process */

struct span *span_new(const struct delivery *delivery, const struct trace *trace, const char *id, const char *component,
                      int64_t ended_ns)
{
    size_t len = delivery->properties.len, topic = strlen(delivery->from->topic) + 1, name = strlen(component) + 1;
    struct span *span = memory_take(sizeof *span + len + topic + name);
    char *texts = (char *)(span + 1) + len;
    *span = (struct span){
        .trace = *trace,
        .began_ns = delivery->began_ns,
        .ended_ns = ended_ns > delivery->began_ns ? ended_ns : delivery->began_ns, /* the clock may be set back */
        .topic = memcpy(texts, delivery->from->topic, topic),
        .component = memcpy(texts + topic, component, name),
        .reason = delivery->reason,
        .tag = delivery->tag,
        .attempts = delivery->attempt,
        .body_len = delivery->len,
        .properties = {(char *)(span + 1), len},
    };
    memcpy(span->id, id, sizeof span->id);
    memcpy(span + 1, delivery->properties.at, len);
    return span;
}

/* ---- JSON ---- */

static void put_string(struct text *out, const char *key, const char *value)
{
    text_printf(out, "\"%s\":", key);
    text_put_json(out, value, strlen(value));
    text_puts(out, ",");
}

/* After each of these comes another or, at the end, what close() puts in the place of the comma. */
static void put_text_attribute(struct text *out, const char *key, const char *bytes, size_t len)
{
    text_printf(out, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    text_put_json(out, bytes, len);
    text_puts(out, "}},");
}

static void put_attribute(struct text *out, const char *key, const char *value)
{
    put_text_attribute(out, key, value, strlen(value));
}

static void put_number_attribute(struct text *out, const char *key, uint64_t value)
{
    text_printf(out, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%" PRIu64 "\"}},", key, value);
}

static void put_property_attribute(struct text *out, const char *key, const struct span *span, enum property property)
{
    struct field value;
    if (properties_get(span->properties, property, &value) && value.kind == FIELD_TEXT)
        put_text_attribute(out, key, value.text, value.len);
}

static void close(struct text *out, const char *end)
{
    if (out->at[out->len - 1] == ',')
        out->at[--out->len] = '\0';
    text_puts(out, end);
}

/* The names are those of OpenTelemetry's semantic conventions for messaging and RabbitMQ. */
static void put_attributes(struct text *out, const struct span *span)
{
    text_puts(out, "\"attributes\":[");
    put_attribute(out, "messaging.system", "rabbitmq");
    put_attribute(out, "messaging.operation.type", "process");
    put_attribute(out, "messaging.operation.name", "process");
    put_attribute(out, "messaging.destination.name", span->topic);
    put_attribute(out, "messaging.rabbitmq.destination.routing_key", span->topic);
    put_number_attribute(out, "messaging.rabbitmq.message.delivery_tag", span->tag);
    put_number_attribute(out, "messaging.message.body.size", span->body_len);
    put_property_attribute(out, "messaging.message.id", span, PROPERTY_MESSAGE_ID);
    put_property_attribute(out, "messaging.message.conversation_id", span, PROPERTY_CORRELATION_ID);
    put_attribute(out, "valawai.component", span->component);
    put_number_attribute(out, "valawai.attempts", span->attempts);
    if (span->reason != REASON_NONE)
        put_attribute(out, "error.type", reason_name(span->reason));
    close(out, "],");
}

static void put_span(struct text *out, const struct span *span)
{
    struct field state;
    text_puts(out, "{");
    put_string(out, "traceId", span->trace.id);
    put_string(out, "spanId", span->id);
    put_string(out, "parentSpanId", span->trace.parent);
    if (properties_header(span->properties, "tracestate", &state) && state.kind == FIELD_TEXT) {
        text_puts(out, "\"traceState\":");
        text_put_json(out, state.text, state.len);
        text_puts(out, ",");
    }
    text_printf(out, "\"flags\":%u,\"kind\":%d,\"name\":", span->trace.flags | REMOTE_PARENT, KIND_CONSUMER);
    struct text name = {0};
    text_printf(&name, "process %s", span->topic);
    text_put_json(out, name.at, name.len);
    text_free(&name);
    text_printf(out, ",\"startTimeUnixNano\":\"%" PRId64 "\",\"endTimeUnixNano\":\"%" PRId64 "\",", span->began_ns,
                span->ended_ns);
    put_attributes(out, span);
    if (span->reason == REASON_NONE)
        text_puts(out, "\"status\":{}},");
    else
        text_printf(out, "\"status\":{\"code\":%d,\"message\":\"%s\"}},", STATUS_ERROR, reason_name(span->reason));
}

static void put_resource(struct text *out, const struct span_source *source, const char *component)
{
    text_puts(out, "\"resource\":{\"attributes\":[");
    put_attribute(out, "service.name", source->service != NULL ? source->service : component);
    put_attribute(out, "service.namespace", "valawai");
    put_attribute(out, "host.name", source->host);
    put_number_attribute(out, "process.pid", (uint64_t)source->pid);
    close(out, "]},");
}

/* True if an earlier span of the list has this component. */
static bool is_put(const struct list *spans, const struct span *span)
{
    const struct node *node = spans->head;
    while (node != &span->node && strcmp(((const struct span *)node)->component, span->component) != 0)
        node = node->next;
    return node != &span->node;
}

void spans_put_json(const struct list *spans, const struct span_source *source, struct text *out)
{
    text_puts(out, "{\"resourceSpans\":[");
    for (const struct node *first = spans->head; first != NULL; first = first->next) {
        const char *component = ((const struct span *)first)->component;
        if (is_put(spans, (const struct span *)first))
            continue;
        text_puts(out, "{");
        put_resource(out, source, component);
        text_puts(out, "\"scopeSpans\":[{\"scope\":{\"name\":\"valawai-host\",");
        put_string(out, "version", source->version);
        close(out, "},\"spans\":[");
        for (const struct node *node = first; node != NULL; node = node->next)
            if (strcmp(((const struct span *)node)->component, component) == 0)
                put_span(out, (const struct span *)node);
        close(out, "]}]},");
    }
    close(out, "]}");
}
