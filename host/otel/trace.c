/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "otel/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACEPARENT_LEN 55 /* 00-<trace id>-<parent id>-<flags>; a later version may append more */

/* Lower case is part of the format. */
static bool is_hex(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
            return false;
    return true;
}

static bool is_id(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] != '0')
            return is_hex(at, len);
    return false;
}

bool trace_read(struct properties properties, struct trace *trace)
{
    struct field value;
    char flags[3] = "";
    if (!properties_header(properties, "traceparent", &value) || value.kind != FIELD_TEXT ||
        value.len < TRACEPARENT_LEN)
        return false;
    const char *at = value.text;
    bool first = strncmp(at, "00", 2) == 0; /* the version */
    bool ends = value.len == TRACEPARENT_LEN || (!first && at[TRACEPARENT_LEN] == '-');
    if (!is_hex(at, 2) || strncmp(at, "ff", 2) == 0 || !ends || at[2] != '-' || at[35] != '-' || at[52] != '-' ||
        !is_id(at + 3, TRACE_ID_LEN) || !is_id(at + 36, SPAN_ID_LEN) || !is_hex(at + 53, 2))
        return false;
    snprintf(trace->id, sizeof trace->id, "%.*s", TRACE_ID_LEN, at + 3);
    snprintf(trace->parent, sizeof trace->parent, "%.*s", SPAN_ID_LEN, at + 36);
    memcpy(flags, at + 53, 2);
    trace->flags = (unsigned)strtoul(flags, NULL, 16);
    return true;
}

bool trace_is_sampled(const struct trace *trace)
{
    return (trace->flags & 1) != 0;
}

bool trace_put_properties(const struct trace *trace, const char *span, struct properties properties, struct text *out)
{
    char parent[TRACEPARENT_LEN + 1];
    struct draft draft;
    snprintf(parent, sizeof parent, "00-%s-%s-%02x", trace->id, span, trace->flags & 0xff);
    const struct field value = {.kind = FIELD_TEXT, .text = parent, .len = TRACEPARENT_LEN};
    draft_begin(&draft, properties);
    bool put = draft_set_header(&draft, "traceparent", &value, NULL) && draft_put(&draft, out, NULL);
    draft_free(&draft);
    return put;
}
