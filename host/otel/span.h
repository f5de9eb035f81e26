/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * span: the handling of one message as OpenTelemetry describes it, and the JSON of OTLP. No socket, no thread, no
 * clock. */
#ifndef OTEL_SPAN_H
#define OTEL_SPAN_H

#include "message/message.h"
#include "otel/trace.h"

struct span {
    struct node node;
    struct trace trace;
    char id[SPAN_ID_LEN + 1];
    int64_t began_ns, ended_ns;    /* since 1970 */
    const char *topic, *component; /* copies, because the plugin may be removed first */
    enum reason reason;            /* why the message is rejected */
    uint64_t tag;
    uint32_t attempts;
    size_t body_len;
    struct properties properties; /* a copy, in the same allocation */
};

/* One allocation, which free() gives back. id: 16 hexadecimal digits. */
struct span *span_new(const struct delivery *delivery, const struct trace *trace, const char *id, const char *component,
                      int64_t ended_ns);

/* What the spans of a process have in common. */
struct span_source {
    const char *service; /* NULL: each component is a service of its name */
    const char *version, *host;
    long pid;
};

/* The body of a request for all spans of the list: {"resourceSpans": …}. */
void spans_put_json(const struct list *spans, const struct span_source *source, struct text *out);

#endif
