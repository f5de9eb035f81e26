/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * properties: the AMQP 0-9-1 properties of a message: a message id, a correlation id, a timestamp, a type, headers and
 * a few more. They stay the bytes of the wire, so a message that is passed on keeps all of them, including those that
 * the host does not understand. The bytes are untrusted: every length in them is checked before it is used. */
#ifndef MESSAGE_PROPERTIES_H
#define MESSAGE_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

#define PROPERTIES_MAX 131052 /* bytes of a list that the host writes, which must fit into one frame */

/* The flags and the values, as on the wire. A borrowed pointer, valid as long as the delivery, the publication or the
 * text with the bytes. Length 0: the message has only the content type application/json and a delivery mode. */
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
    char mark;        /* of a header, as on the wire */
    const char *text; /* FIELD_TEXT: any len bytes, not ended by '\0'; FIELD_OTHER: the bytes of the wire. Borrowed */
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

/* True if the list is sound: each property and each header is within its bounds, and nothing follows. Do not keep an
 * unsound list. The functions below return false for it, too. */
bool properties_are_sound(struct properties properties);

/* True if the list has only the content type application/json and a delivery mode, so it need not be kept. */
bool properties_are_plain(struct properties properties);

/* "message_id", "correlation_id" and so on; "headers" is none of them. */
bool property_by_name(const char *name, enum property *property);
const char *property_name(enum property property);

/* False: the message does not have the property. The next function reads PROPERTY_HEADERS. */
bool properties_get(struct properties properties, enum property property, struct field *value);
bool properties_header(struct properties properties, const char *name, struct field *value);

/* The headers one after another; *at starts as 0. False: there are no more. */
bool properties_next_header(struct properties properties, size_t *at, struct header *header);

/* Appends the value as a text: a number in decimal, true or false; other kinds as JSON. */
void field_put_text(const struct field *value, struct text *out);

/* Appends the value as JSON: tables as objects, arrays as arrays, bytes that are not UTF-8 as U+FFFD. */
void field_put_json(const struct field *value, struct text *out);

/* Appends all properties as one JSON object, the headers as the object "headers". */
void properties_put_json(struct properties properties, struct text *out);

/* ---- writing ---- */

/* A list under construction, from draft_begin() to draft_free(). It copies its inputs. */
struct draft {
    uint16_t flags;
    struct text values[PROPERTY_COUNT]; /* as on the wire; the headers without their length */
};

/* Begins as a copy of a sound list; of length 0: application/json, persistent. */
void draft_begin(struct draft *draft, struct properties from);
void draft_free(struct draft *draft);

/* Sets a property that a plugin may set: message id, correlation id, type, reply to, app id (texts of at most 255 bytes
 * in UTF-8), timestamp (seconds since 1970) or priority (0 to 255). False, with the draft unchanged, for anything else.
 */
bool draft_set_text(struct draft *draft, enum property property, const char *text, struct fault *fault)
    __attribute__((warn_unused_result));
bool draft_set_number(struct draft *draft, enum property property, int64_t number, struct fault *fault)
    __attribute__((warn_unused_result));

/* Sets a header, and replaces one of the same name. A name has 1 to 255 bytes in UTF-8. Refused: a value of kind
 * FIELD_OTHER, a text that is not UTF-8, a list that would exceed PROPERTIES_MAX, and the names CC and BCC, with which
 * RabbitMQ sends a message to other queues. */
bool draft_set_header(struct draft *draft, const char *name, const struct field *value, struct fault *fault)
    __attribute__((warn_unused_result));

void draft_drop(struct draft *draft, enum property property);
void draft_drop_headers(struct draft *draft, bool (*is_dropped)(const char *name, size_t len));

/* Removes the property of headers if it is empty. */
void draft_drop_empty_headers(struct draft *draft);

/* Makes the message persistent, because a durable queue keeps only persistent messages over a restart of the broker. */
void draft_persist(struct draft *draft);

/* Copies traceparent and tracestate from the cause, unless the draft has a traceparent. */
void draft_trace(struct draft *draft, struct properties cause);
/* True if draft_trace() would change this list. */
bool properties_want_trace(struct properties properties, struct properties cause);

/* Appends the list to out. False: it is longer than PROPERTIES_MAX. */
bool draft_put(const struct draft *draft, struct text *out, struct fault *fault) __attribute__((warn_unused_result));

#endif
