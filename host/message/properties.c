/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * properties: the bytes of AMQP's properties, read, shown and written. More than 600 lines because the three share one
 * table of properties and one reader of field values. */
#include "message/properties.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/locale.h"

#define NAME_MAX_LEN 255 /* of AMQP's short strings */
#define DEPTH_MAX 32     /* of nested tables in JSON */
#define PERSISTENT 2
#define JSON_TYPE "application/json"

/* The form of a property on the wire, and whether a plugin may set it. A plugin may not set what the host decides
 * (persistence, expiration) or the broker checks (the user). */
enum form { SHORT, TABLE, OCTET, TIME };

static const struct {
    const char *name;
    enum form form;
    bool settable;
} known[PROPERTY_COUNT] = {
    [PROPERTY_CONTENT_TYPE] = {"content_type", SHORT, false},
    [PROPERTY_CONTENT_ENCODING] = {"content_encoding", SHORT, false},
    [PROPERTY_HEADERS] = {"headers", TABLE, false},
    [PROPERTY_DELIVERY_MODE] = {"delivery_mode", OCTET, false},
    [PROPERTY_PRIORITY] = {"priority", OCTET, true},
    [PROPERTY_CORRELATION_ID] = {"correlation_id", SHORT, true},
    [PROPERTY_REPLY_TO] = {"reply_to", SHORT, true},
    [PROPERTY_EXPIRATION] = {"expiration", SHORT, false},
    [PROPERTY_MESSAGE_ID] = {"message_id", SHORT, true},
    [PROPERTY_TIMESTAMP] = {"timestamp", TIME, true},
    [PROPERTY_TYPE] = {"type", SHORT, true},
    [PROPERTY_USER_ID] = {"user_id", SHORT, false},
    [PROPERTY_APP_ID] = {"app_id", SHORT, true},
    [PROPERTY_CLUSTER_ID] = {"cluster_id", SHORT, false},
};

static uint16_t flag_of(enum property property)
{
    return (uint16_t)(1u << (15 - property));
}

/* ---- bytes ---- */

/* The rest of the input. */
struct span {
    const char *at;
    size_t len;
};

/* Takes the next len bytes. False: there are fewer. */
static bool take(struct span *from, size_t len, struct span *taken)
{
    if (len > from->len)
        return false;
    *taken = (struct span){from->at, len};
    from->at += len;
    from->len -= len;
    return true;
}

/* Takes a number of 1 to 8 bytes in network order. */
static bool take_number(struct span *from, size_t size, uint64_t *number)
{
    struct span bytes;
    if (!take(from, size, &bytes))
        return false;
    *number = 0;
    for (size_t i = 0; i < size; i++)
        *number = *number << 8 | (unsigned char)bytes.at[i];
    return true;
}

/* Takes bytes that are preceded by their number. */
static bool take_counted(struct span *from, size_t size, struct span *taken)
{
    uint64_t len;
    return take_number(from, size, &len) && take(from, len, taken);
}

static void put_number(struct text *out, size_t size, uint64_t number)
{
    char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(number >> 8 * (size - 1 - i));
    text_put(out, bytes, size);
}

static void put_short(struct text *out, const char *text, size_t len)
{
    put_number(out, 1, len);
    text_put(out, text, len);
}

static bool is_utf8(const char *text, size_t len)
{
    for (size_t at = 0, step; at < len; at += step)
        if ((step = utf8_length((const unsigned char *)text + at, len - at)) == 0)
            return false;
    return true;
}

/* ---- values ---- */

static double real_of(char mark, uint64_t bits)
{
    double real;
    if (mark == 'f') {
        float narrow;
        uint32_t half = (uint32_t)bits;
        memcpy(&narrow, &half, sizeof narrow);
        return (double)narrow;
    }
    memcpy(&real, &bits, sizeof real);
    return real;
}

/* Extends the sign of a shorter number to 64 bits. */
static int64_t extend(uint64_t number, size_t size)
{
    uint64_t sign = UINT64_C(1) << (8 * size - 1);
    return (int64_t)((number ^ sign) - sign);
}

/* The size of a number with this mark, and whether it is signed. */
static size_t number_size(char mark, bool *is_signed)
{
    *is_signed = strchr("bsIl", mark) != NULL;
    switch (mark) {
    case 'b':
    case 'B':
        return 1;
    case 's':
    case 'u':
        return 2;
    case 'I':
    case 'i':
        return 4;
    case 'l':
    case 'L':
        return 8;
    default:
        return 0;
    }
}

/* Takes a value of a table: a mark, then a value of that type. */
static bool take_value(struct span *from, struct field *value)
{
    struct span mark, bytes;
    uint64_t bits;
    bool is_signed;
    if (!take(from, 1, &mark) || mark.at[0] == '\0')
        return false;
    *value = (struct field){.kind = FIELD_OTHER, .mark = mark.at[0], .text = from->at};
    size_t size = number_size(value->mark, &is_signed);
    if (size > 0) {
        value->kind = FIELD_NUMBER;
        if (!take_number(from, size, &bits))
            return false;
        value->number = is_signed ? extend(bits, size) : (int64_t)bits;
        return true;
    }
    switch (value->mark) {
    case 't':
        value->kind = FIELD_TRUTH;
        value->number = take_number(from, 1, &bits) ? bits != 0 : -1;
        return value->number >= 0;
    case 'T':
        value->kind = FIELD_TIME;
        if (!take_number(from, 8, &bits))
            return false;
        value->number = (int64_t)bits;
        return true;
    case 'f':
    case 'd':
        value->kind = FIELD_REAL;
        if (!take_number(from, value->mark == 'f' ? 4 : 8, &bits))
            return false;
        value->real = real_of(value->mark, bits);
        return true;
    case 'S':
    case 'x':
    case 'F':
    case 'A':
        if (!take_counted(from, 4, &bytes))
            return false;
        value->kind = value->mark == 'S' ? FIELD_TEXT : FIELD_OTHER;
        value->text = bytes.at;
        value->len = bytes.len;
        return true;
    case 'D': /* a decimal: its scale, then its digits */
        value->len = 5;
        return take(from, 5, &bytes);
    case 'V':
        return true;
    default:
        return false;
    }
}

static bool take_header(struct span *from, struct header *header)
{
    struct span name;
    if (!take_counted(from, 1, &name) || !take_value(from, &header->value))
        return false;
    header->name = name.at;
    header->name_len = name.len;
    return true;
}

static void put_value(struct text *out, const struct field *value)
{
    uint64_t bits;
    switch (value->kind) {
    case FIELD_TEXT:
        text_put(out, "S", 1);
        put_number(out, 4, value->len);
        text_put(out, value->text, value->len);
        return;
    case FIELD_NUMBER:
        text_put(out, "l", 1);
        put_number(out, 8, (uint64_t)value->number);
        return;
    case FIELD_TIME:
        text_put(out, "T", 1);
        put_number(out, 8, (uint64_t)value->number);
        return;
    case FIELD_TRUTH:
        text_put(out, "t", 1);
        put_number(out, 1, value->number != 0);
        return;
    case FIELD_REAL:
        memcpy(&bits, &value->real, sizeof bits);
        text_put(out, "d", 1);
        put_number(out, 8, bits);
        return;
    case FIELD_OTHER:
        return;
    }
}

/* ---- reading ---- */

/* The bytes of each property, as on the wire; for the headers, without their length. */
struct parts {
    uint16_t flags;
    struct span at[PROPERTY_COUNT];
};

/* False: the list is not sound. */
static bool split(struct properties properties, struct parts *parts)
{
    struct span from = {properties.at, properties.len}, inside;
    uint64_t flags;
    if (!take_number(&from, 2, &flags) || (flags & 3) != 0) /* the lowest two bits are undefined */
        return false;
    parts->flags = (uint16_t)flags;
    for (int i = 0; i < PROPERTY_COUNT; i++) {
        struct span begin = from;
        if ((flags & flag_of((enum property)i)) == 0)
            continue;
        switch (known[i].form) {
        case SHORT:
            if (!take_counted(&from, 1, &inside))
                return false;
            break;
        case TABLE:
            if (!take_counted(&from, 4, &inside))
                return false;
            begin = inside;
            break;
        case OCTET:
            if (!take(&from, 1, &inside))
                return false;
            break;
        case TIME:
            if (!take(&from, 8, &inside))
                return false;
            break;
        }
        parts->at[i] = (struct span){begin.at, known[i].form == TABLE ? inside.len : (size_t)(from.at - begin.at)};
    }
    return from.len == 0;
}

static bool has(const struct parts *parts, enum property property)
{
    return (parts->flags & flag_of(property)) != 0;
}

bool properties_are_sound(struct properties properties)
{
    struct parts parts;
    struct header header;
    if (properties.len == 0)
        return true;
    if (!split(properties, &parts))
        return false;
    if (!has(&parts, PROPERTY_HEADERS))
        return true;
    struct span left = parts.at[PROPERTY_HEADERS];
    while (left.len > 0)
        if (!take_header(&left, &header))
            return false;
    return true;
}

bool properties_are_plain(struct properties properties)
{
    static const char head[] = {(char)0x90, 0x00, sizeof JSON_TYPE - 1}; /* the flags of the two, and a length */
    size_t type = sizeof JSON_TYPE - 1;
    return properties.len == 0 ||
           (properties.len == sizeof head + type + 1 && memcmp(properties.at, head, sizeof head) == 0 &&
            memcmp(properties.at + sizeof head, JSON_TYPE, type) == 0);
}

bool property_by_name(const char *name, enum property *property)
{
    for (int i = 0; i < PROPERTY_COUNT; i++) {
        if (i != PROPERTY_HEADERS && strcmp(known[i].name, name) == 0) {
            *property = (enum property)i;
            return true;
        }
    }
    return false;
}

const char *property_name(enum property property)
{
    return known[property].name;
}

static bool get(const struct parts *parts, enum property property, struct field *value)
{
    struct span bytes = parts->at[property];
    uint64_t number = 0;
    if (!has(parts, property) || property == PROPERTY_HEADERS)
        return false;
    if (known[property].form == SHORT) {
        *value = (struct field){.kind = FIELD_TEXT, .text = bytes.at + 1, .len = bytes.len - 1};
        return true;
    }
    (void)take_number(&bytes, bytes.len, &number); /* split() has checked it */
    *value =
        (struct field){.kind = known[property].form == TIME ? FIELD_TIME : FIELD_NUMBER, .number = (int64_t)number};
    return true;
}

bool properties_get(struct properties properties, enum property property, struct field *value)
{
    struct parts parts;
    return properties.len > 0 && split(properties, &parts) && get(&parts, property, value);
}

bool properties_next_header(struct properties properties, size_t *at, struct header *header)
{
    struct parts parts;
    if (properties.len == 0 || !split(properties, &parts) || !has(&parts, PROPERTY_HEADERS))
        return false;
    struct span left = parts.at[PROPERTY_HEADERS], skipped;
    if (!take(&left, *at, &skipped) || !take_header(&left, header))
        return false;
    *at = parts.at[PROPERTY_HEADERS].len - left.len;
    return true;
}

static bool is_named(const struct header *header, const char *name)
{
    return header->name_len == strlen(name) && memcmp(header->name, name, header->name_len) == 0;
}

bool properties_header(struct properties properties, const char *name, struct field *value)
{
    struct header header;
    for (size_t at = 0; properties_next_header(properties, &at, &header);) {
        if (is_named(&header, name)) {
            *value = header.value;
            return true;
        }
    }
    return false;
}

/* ---- showing ---- */

static void put_json(const struct field *value, unsigned depth, struct text *out);

/* A name with a '\0' is valid JSON, but json-c would cut it there. */
static void put_name_json(struct text *out, const char *name, size_t len)
{
    struct text whole = {0};
    for (size_t at = 0; at < len; at++)
        text_put(&whole, name[at] == '\0' ? "\xff" : name + at, 1); /* shown as U+FFFD */
    text_put_json(out, whole.at == NULL ? "" : whole.at, whole.len);
    text_free(&whole);
}

static void put_entries_json(struct span left, unsigned depth, struct text *out)
{
    struct header header;
    text_puts(out, "{");
    for (const char *before = ""; take_header(&left, &header); before = ",") {
        text_puts(out, before);
        put_name_json(out, header.name, header.name_len);
        text_puts(out, ":");
        put_json(&header.value, depth, out);
    }
    text_puts(out, "}");
}

static void put_array_json(struct span left, unsigned depth, struct text *out)
{
    struct field value;
    text_puts(out, "[");
    for (const char *before = ""; take_value(&left, &value); before = ",") {
        text_puts(out, before);
        put_json(&value, depth, out);
    }
    text_puts(out, "]");
}

static void put_decimal(struct span bytes, struct text *out)
{
    uint64_t scale = 0, digits = 0;
    if (take_number(&bytes, 1, &scale) && take_number(&bytes, 4, &digits))
        text_printf(out, "%llue-%llu", (unsigned long long)digits, (unsigned long long)scale);
}

static void put_real(double real, struct text *out)
{
    char digits[64];
    real_write(digits, sizeof digits, 'g', 17, real);
    text_puts(out, isfinite(real) ? digits : "null");
}

static void put_json(const struct field *value, unsigned depth, struct text *out)
{
    struct span inside = {value->text, value->len};
    switch (value->kind) {
    case FIELD_TEXT:
        text_put_json(out, value->text, value->len);
        return;
    case FIELD_NUMBER:
    case FIELD_TIME:
        text_printf(out, "%lld", (long long)value->number);
        return;
    case FIELD_TRUTH:
        text_puts(out, value->number != 0 ? "true" : "false");
        return;
    case FIELD_REAL:
        put_real(value->real, out);
        return;
    case FIELD_OTHER:
        if (value->mark == 'F' && depth < DEPTH_MAX)
            put_entries_json(inside, depth + 1, out);
        else if (value->mark == 'A' && depth < DEPTH_MAX)
            put_array_json(inside, depth + 1, out);
        else if (value->mark == 'x')
            text_put_json(out, value->text, value->len);
        else if (value->mark == 'D')
            put_decimal(inside, out);
        else
            text_puts(out, "null");
        return;
    }
}

void field_put_json(const struct field *value, struct text *out)
{
    put_json(value, 0, out);
}

void field_put_text(const struct field *value, struct text *out)
{
    if (value->kind == FIELD_TEXT)
        text_put(out, value->text, value->len);
    else
        put_json(value, 0, out);
}

void properties_put_json(struct properties properties, struct text *out)
{
    struct parts parts = {0};
    struct field value;
    const char *before = "";
    text_puts(out, "{");
    bool sound = properties.len > 0 && split(properties, &parts);
    for (int i = 0; sound && i < PROPERTY_COUNT; i++) {
        if (!has(&parts, (enum property)i))
            continue;
        text_printf(out, "%s\"%s\":", before, known[i].name);
        if (i == PROPERTY_HEADERS)
            put_entries_json(parts.at[i], 0, out);
        else if (get(&parts, (enum property)i, &value))
            put_json(&value, 0, out);
        before = ",";
    }
    text_puts(out, "}");
}

/* ---- writing ---- */

static struct text *slot(struct draft *draft, enum property property)
{
    draft->flags |= flag_of(property);
    text_clear(&draft->values[property]);
    return &draft->values[property];
}

void draft_begin(struct draft *draft, struct properties from)
{
    struct parts parts = {0};
    *draft = (struct draft){0};
    if (from.len > 0 && split(from, &parts)) {
        draft->flags = parts.flags;
        for (int i = 0; i < PROPERTY_COUNT; i++)
            if (has(&parts, (enum property)i))
                text_put(&draft->values[i], parts.at[i].at, parts.at[i].len);
        return;
    }
    put_short(slot(draft, PROPERTY_CONTENT_TYPE), JSON_TYPE, sizeof JSON_TYPE - 1);
    draft_persist(draft);
}

void draft_free(struct draft *draft)
{
    for (int i = 0; i < PROPERTY_COUNT; i++)
        text_free(&draft->values[i]);
}

bool draft_set_text(struct draft *draft, enum property property, const char *text, struct fault *fault)
{
    size_t len = strlen(text);
    if (!known[property].settable || known[property].form != SHORT)
        return fault_set(fault, "%s: cannot be set to a text", known[property].name);
    if (len > NAME_MAX_LEN)
        return fault_set(fault, "%s: %zu bytes; at most %d fit", known[property].name, len, NAME_MAX_LEN);
    if (!is_utf8(text, len))
        return fault_set(fault, "%s: is not UTF-8", known[property].name);
    put_short(slot(draft, property), text, len);
    return true;
}

bool draft_set_number(struct draft *draft, enum property property, int64_t number, struct fault *fault)
{
    bool octet = known[property].form == OCTET;
    if (!known[property].settable || known[property].form == SHORT)
        return fault_set(fault, "%s: cannot be set to a number", known[property].name);
    if (number < 0 || (octet && number > UINT8_MAX))
        return fault_set(fault, "%s: %lld is out of range", known[property].name, (long long)number);
    put_number(slot(draft, property), octet ? 1 : 8, (uint64_t)number);
    return true;
}

void draft_persist(struct draft *draft)
{
    put_number(slot(draft, PROPERTY_DELIVERY_MODE), 1, PERSISTENT);
}

void draft_drop(struct draft *draft, enum property property)
{
    draft->flags &= (uint16_t)~flag_of(property);
    text_clear(&draft->values[property]);
}

/* Keeps the headers that are neither dropped nor have this name. */
static void keep_headers(struct draft *draft, bool (*is_dropped)(const char *name, size_t len), const char *name)
{
    struct text old = draft->values[PROPERTY_HEADERS];
    struct span left = {old.at, old.len};
    struct header header;
    draft->values[PROPERTY_HEADERS] = (struct text){0};
    for (const char *begin = left.at; take_header(&left, &header); begin = left.at)
        if (name == NULL ? !is_dropped(header.name, header.name_len) : !is_named(&header, name))
            text_put(&draft->values[PROPERTY_HEADERS], begin, (size_t)(left.at - begin));
    text_free(&old);
}

void draft_drop_headers(struct draft *draft, bool (*is_dropped)(const char *name, size_t len))
{
    if ((draft->flags & flag_of(PROPERTY_HEADERS)) != 0)
        keep_headers(draft, is_dropped, NULL);
}

void draft_drop_empty_headers(struct draft *draft)
{
    if (draft->values[PROPERTY_HEADERS].len == 0)
        draft_drop(draft, PROPERTY_HEADERS);
}

/* Accepts every kind and name. */
static void put_header(struct draft *draft, const char *name, const struct field *value)
{
    draft->flags |= flag_of(PROPERTY_HEADERS);
    put_short(&draft->values[PROPERTY_HEADERS], name, strlen(name));
    put_value(&draft->values[PROPERTY_HEADERS], value);
}

bool draft_set_header(struct draft *draft, const char *name, const struct field *value, struct fault *fault)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN || !is_utf8(name, len))
        return fault_set(fault, "the name of a header has 1 to %d bytes in UTF-8", NAME_MAX_LEN);
    if (strcmp(name, "CC") == 0 || strcmp(name, "BCC") == 0)
        return fault_set(fault, "header %s: would send the message to other queues", name);
    if (value->kind == FIELD_OTHER)
        return fault_set(fault, "header %s: is neither a text nor a number nor true or false", name);
    if (value->kind == FIELD_TEXT && (value->len > PROPERTIES_MAX || !is_utf8(value->text, value->len)))
        return fault_set(fault, "header %s: is longer than %d bytes or not UTF-8", name, PROPERTIES_MAX);
    size_t before = draft->values[PROPERTY_HEADERS].len;
    if (before > PROPERTIES_MAX || len + 16 + (value->kind == FIELD_TEXT ? value->len : 0) > PROPERTIES_MAX - before)
        return fault_set(fault, "header %s: the properties would be longer than %d bytes", name, PROPERTIES_MAX);
    keep_headers(draft, NULL, name);
    put_header(draft, name, value);
    return true;
}

bool properties_want_trace(struct properties properties, struct properties cause)
{
    struct field value;
    return cause.len > 0 && properties_header(cause, "traceparent", &value) && value.kind == FIELD_TEXT &&
           !properties_header(properties, "traceparent", &value);
}

void draft_trace(struct draft *draft, struct properties cause)
{
    static const char *const names[] = {"traceparent", "tracestate"};
    struct span left = {draft->values[PROPERTY_HEADERS].at, draft->values[PROPERTY_HEADERS].len};
    struct header header;
    struct field value;
    while (take_header(&left, &header))
        if (is_named(&header, names[0]))
            return;
    if (!properties_header(cause, names[0], &value) || value.kind != FIELD_TEXT)
        return;
    keep_headers(draft, NULL, names[1]); /* a tracestate belongs to its traceparent */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (properties_header(cause, names[i], &value) && value.kind == FIELD_TEXT)
            put_header(draft, names[i], &value);
}

bool draft_put(const struct draft *draft, struct text *out, struct fault *fault)
{
    size_t begin = out->len;
    put_number(out, 2, draft->flags);
    for (int i = 0; i < PROPERTY_COUNT; i++) {
        const struct text *value = &draft->values[i];
        if ((draft->flags & flag_of((enum property)i)) == 0)
            continue;
        if (value->len > PROPERTIES_MAX)
            return fault_set(fault, "the properties are longer than %d bytes", PROPERTIES_MAX);
        if (i == PROPERTY_HEADERS)
            put_number(out, 4, value->len);
        text_put(out, value->at, value->len);
    }
    return out->len - begin <= PROPERTIES_MAX ||
           fault_set(fault, "the properties are longer than %d bytes", PROPERTIES_MAX);
}
