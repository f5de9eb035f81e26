/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trace: the context of a trace that a message carries in its header traceparent, as W3C Trace Context has it. Pure
 * functions of bytes that come from outside. */
#ifndef OTEL_TRACE_H
#define OTEL_TRACE_H

#include "message/properties.h"

#define TRACE_ID_LEN 32 /* hexadecimal digits */
#define SPAN_ID_LEN 16

struct trace {
    char id[TRACE_ID_LEN + 1];
    char parent[SPAN_ID_LEN + 1]; /* the span that published the message */
    unsigned flags;
};

/* False: there is no traceparent, or it is not valid. */
bool trace_read(struct properties properties, struct trace *trace);

/* Whether the beginning of the trace has decided that its spans are kept. */
bool trace_is_sampled(const struct trace *trace);

/* Puts the properties behind what is in out, with the span in the place of its parent. False: they grew too long. */
bool trace_put_properties(const struct trace *trace, const char *span, struct properties properties, struct text *out)
    __attribute__((warn_unused_result));

#endif
