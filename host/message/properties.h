/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * properties: what AMQP 0-9-1 carries beside a body: a message id, a correlation id, a timestamp, a type, headers and a
 * few more. They stay the bytes of the wire, so a message that is passed on keeps all of them, also those that the host
 * does not understand. The bytes come from outside: every length in them is checked before it is used. */
#ifndef MESSAGE_PROPERTIES_H
#define MESSAGE_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

#define PROPERTIES_MAX 131052 /* bytes of a list that the host puts together: it has to fit into one frame */

/* The flags and the values as they are on the wire. A borrowed pointer: it lives as long as the delivery, the
 * publication or the text that holds the bytes. Length 0: the message has what every message has, the content type
 * application/json and a delivery mode, and nothing else. */
struct properties {
    const char *at;
    size_t len;
};

/* In the order of the wire. */
enum property {
    PROPERTY_CONTENT_TYPE,
    PROPERTY_CONTENT_ENCODING,
    PROPERTY_HEADERS,
    PROPERTY_DELIVERY_MODE,
    PROPERTY_PRIORITY,
    PROPERTY_CORRELATION_ID,
    PROPERTY_REPLY_TO,
    PROPERTY_EXPIRATION,
    PROPERTY_MESSAGE_ID,
    PROPERTY_TIMESTAMP,
    PROPERTY_TYPE,
    PROPERTY_USER_ID,
    PROPERTY_APP_ID,
    PROPERTY_CLUSTER_ID,
    PROPERTY_COUNT
};

enum field_kind {
    FIELD_TEXT,
    FIELD_NUMBER,
    FIELD_REAL,
    FIELD_TRUTH,
    FIELD_TIME, /* seconds since 1970 */
    FIELD_OTHER /* a table, an array and the like */
};

/* The value of a property or of a header. */
struct field {
    enum field_kind kind;
    char mark;        /* the wire's, of a header */
    const char *text; /* FIELD_TEXT: len bytes of any kind, without '\0'; FIELD_OTHER: those of the wire. Borrowed */
    size_t len;
    int64_t number; /* FIELD_NUMBER, FIELD_TIME; FIELD_TRUTH: 0 or 1 */
    double real;    /* FIELD_REAL */
};

struct header {
    const char *name; /* borrowed, not ended by '\0' */
    size_t name_len;
    struct field value;
};

/* ---- reading ---- */

/* True if the list is sound: each property and each header lies inside of it, and nothing follows them. What is not
 * sound is not to be kept; the functions below answer false for it, too. */
bool properties_are_sound(struct properties properties);

/* True if there is nothing beyond the content type application/json and a delivery mode, so nothing worth keeping. */
bool properties_are_plain(struct properties properties);

/* "message_id", "correlation_id" and so on; "headers" is none of them. */
bool property_by_name(const char *name, enum property *property);
const char *property_name(enum property property);

/* False: the message does not have it. PROPERTY_HEADERS is read by the next two. */
bool properties_get(struct properties properties, enum property property, struct field *value);
bool properties_header(struct properties properties, const char *name, struct field *value);

/* The headers one after another; *at starts as 0. False: there are no more. */
bool properties_next_header(struct properties properties, size_t *at, struct header *header);

/* As a text: a number in decimal, true or false; what has no such form as JSON. */
void field_put_text(const struct field *value, struct text *out);

/* As JSON: tables as objects, arrays as arrays, bytes that are not UTF-8 as U+FFFD. */
void field_put_json(const struct field *value, struct text *out);

/* All of them as one JSON object, the headers as the object "headers". */
void properties_put_json(struct properties properties, struct text *out);

/* ---- writing ---- */

/* A list in the making. Starts with draft_begin() and ends with draft_free(). Its memory is its own: what it is given
 * is copied. */
struct draft {
    uint16_t flags;
    struct text values[PROPERTY_COUNT]; /* as on the wire; the headers without the length before them */
};

/* Begins as a copy of a sound list; of length 0: application/json, persistent. */
void draft_begin(struct draft *draft, struct properties from);
void draft_free(struct draft *draft);

/* What a plugin may set: message id, correlation id, type, reply to, app id (texts of at most 255 bytes in UTF-8), and
 * timestamp (seconds since 1970) and priority (0 to 255) as numbers. False, and the draft is as before, for anything
 * else. */
bool draft_set_text(struct draft *draft, enum property property, const char *text, struct fault *fault)
    __attribute__((warn_unused_result));
bool draft_set_number(struct draft *draft, enum property property, int64_t number, struct fault *fault)
    __attribute__((warn_unused_result));

/* Sets a header, in the place of another of that name. Its name has 1 to 255 bytes in UTF-8. Refused: a value of kind
 * FIELD_OTHER, a text that is not UTF-8, a list that would grow beyond PROPERTIES_MAX, and the names CC and BCC, by
 * which RabbitMQ sends a message to further queues. */
bool draft_set_header(struct draft *draft, const char *name, const struct field *value, struct fault *fault)
    __attribute__((warn_unused_result));

void draft_drop(struct draft *draft, enum property property);
void draft_drop_headers(struct draft *draft, bool (*is_dropped)(const char *name, size_t len));

/* Headers of which none is left are no property any more. */
void draft_drop_empty_headers(struct draft *draft);

/* Persistent, whatever it was: a durable queue keeps over a restart of the broker only what is. */
void draft_persist(struct draft *draft);

/* Passes traceparent and tracestate on to what a message brings about, unless the draft has a traceparent. */
void draft_trace(struct draft *draft, struct properties cause);
/* True if draft_trace() would change this list. */
bool properties_want_trace(struct properties properties, struct properties cause);

/* The list, put behind what is in out. False: it is longer than PROPERTIES_MAX. */
bool draft_put(const struct draft *draft, struct text *out, struct fault *fault) __attribute__((warn_unused_result));

#endif
