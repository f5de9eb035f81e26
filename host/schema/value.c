/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Values for the rules: types, equality, and their form in messages. */
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "schema/parts.h"

/* The bytes of a string that a message shows. */
#define SHOWN_MAX 48

/* 2 to the power of 64, the first whole number without an exact form. */
#define TOO_LARGE 18446744073709551616.0

static struct number number_of_int(struct json_object *json)
{
    int64_t number = json_object_get_int64(json);
    struct number result = {.exact = true, .negative = number < 0};
    /* json-c keeps a number over INT64_MAX as unsigned, and then returns INT64_MAX for it */
    if (number == INT64_MAX)
        result.magnitude = json_object_get_uint64(json);
    else
        result.magnitude = number < 0 ? (uint64_t) - (number + 1) + 1 : (uint64_t)number;
    result.real = result.negative ? -(double)result.magnitude : (double)result.magnitude;
    return result;
}

struct number number_of(struct json_object *json)
{
    if (json_object_is_type(json, json_type_int))
        return number_of_int(json);
    struct number result = {.real = json_object_get_double(json)};
    if (fabs(result.real) < TOO_LARGE && trunc(result.real) == result.real) {
        result.exact = true;
        result.negative = result.real < 0;
        result.magnitude = (uint64_t)fabs(result.real);
    }
    return result;
}

static int compare_magnitudes(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int number_compare(const struct number *a, const struct number *b)
{
    if (a->exact && b->exact) {
        if (a->negative != b->negative)
            return a->negative ? -1 : 1;
        return a->negative ? compare_magnitudes(b->magnitude, a->magnitude)
                           : compare_magnitudes(a->magnitude, b->magnitude);
    }
    if (isnan(a->real) || isnan(b->real))
        return 2;
    /* The double of an exact number may equal that of a number too large to be exact. For fractions the rounding is
     * harmless, because no double over 2^53 is a fraction. */
    if (a->exact && fabs(b->real) >= TOO_LARGE)
        return b->real > 0 ? -1 : 1;
    if (b->exact && fabs(a->real) >= TOO_LARGE)
        return a->real > 0 ? 1 : -1;
    return (a->real > b->real) - (a->real < b->real);
}

static bool is_whole(const struct number *number)
{
    return number->exact || (isfinite(number->real) && trunc(number->real) == number->real);
}

struct value value_of(struct json_object *json)
{
    struct value value = {.json = json};
    switch (json_object_get_type(json)) {
    case json_type_null:
        value.types = TYPE_NULL;
        break;
    case json_type_boolean:
        value.types = TYPE_BOOLEAN;
        break;
    case json_type_double:
    case json_type_int:
        value.number = number_of(json);
        value.types = is_whole(&value.number) ? TYPE_INTEGER | TYPE_NUMBER : TYPE_NUMBER;
        break;
    case json_type_object:
        value.types = TYPE_OBJECT;
        break;
    case json_type_array:
        value.types = TYPE_ARRAY;
        break;
    case json_type_string:
        value.types = TYPE_STRING;
        value.text = json_object_get_string(json);
        value.length = (size_t)json_object_get_string_len(json);
        break;
    }
    return value;
}

struct value value_of_name(const char *name)
{
    return (struct value){.types = TYPE_STRING, .text = name, .length = strlen(name)};
}

/* --- equality --- */

static bool spend(size_t *budget, size_t cost)
{
    *budget = *budget > cost ? *budget - cost : 0;
    return *budget > 0;
}

static bool equal_at(const struct value *a, const struct value *b, size_t *budget, unsigned depth);

static bool equal_json(struct json_object *a, struct json_object *b, size_t *budget, unsigned depth)
{
    struct value left = value_of(a);
    struct value right = value_of(b);
    return equal_at(&left, &right, budget, depth);
}

static bool equal_arrays(struct json_object *a, struct json_object *b, size_t *budget, unsigned depth)
{
    size_t length = json_object_array_length(a);
    if (length != json_object_array_length(b))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!equal_json(json_object_array_get_idx(a, i), json_object_array_get_idx(b, i), budget, depth))
            return false;
    }
    return true;
}

static bool equal_objects(struct json_object *a, struct json_object *b, size_t *budget, unsigned depth)
{
    if (json_object_object_length(a) != json_object_object_length(b))
        return false;
    json_object_object_foreach(a, key, value)
    {
        struct json_object *other = NULL;
        if (!spend(budget, cost_of(strlen(key))))
            return false;
        if (!json_object_object_get_ex(b, key, &other) || !equal_json(value, other, budget, depth))
            return false;
    }
    return true;
}

static bool equal_at(const struct value *a, const struct value *b, size_t *budget, unsigned depth)
{
    if (depth == VALUE_DEPTH_MAX)
        *budget = 0;
    if (!spend(budget, 1) || a->types != b->types)
        return false;
    if ((a->types & TYPE_STRING) != 0)
        return a->length == b->length && spend(budget, cost_of(a->length)) && memcmp(a->text, b->text, a->length) == 0;
    if ((a->types & TYPE_NUMBER) != 0)
        return number_compare(&a->number, &b->number) == 0;
    if ((a->types & TYPE_BOOLEAN) != 0)
        return json_object_get_boolean(a->json) == json_object_get_boolean(b->json);
    if ((a->types & TYPE_NULL) != 0 || a->json == b->json)
        return true;
    return (a->types & TYPE_ARRAY) != 0 ? equal_arrays(a->json, b->json, budget, depth + 1)
                                        : equal_objects(a->json, b->json, budget, depth + 1);
}

bool value_equal(const struct value *a, const struct value *b, size_t *budget)
{
    return equal_at(a, b, budget, 0);
}

/* --- hashes --- */

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static uint64_t mix(uint64_t hash, uint64_t more)
{
    hash = (hash ^ more) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = HASH_BEGIN;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t name_hash(const char *name, size_t *length)
{
    uint64_t hash = HASH_BEGIN;
    const char *at = name;
    for (; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    *length = (size_t)(at - name);
    return hash;
}

/* Hashes an exact number by its value, regardless of its type, because hundreds of whole numbers, such as times in
 * nanoseconds, may have the same nearest double. No exact number equals an inexact one. */
static uint64_t hash_number(const struct number *number)
{
    uint64_t bits = 0;
    if (number->exact)
        return mix(HASH_BEGIN + 1 + number->negative, number->magnitude);
    memcpy(&bits, &number->real, sizeof bits);
    return mix(HASH_BEGIN + 6, bits);
}

static uint64_t hash_at(const struct value *value, size_t *budget, unsigned depth);

static uint64_t hash_array(struct json_object *json, size_t *budget, unsigned depth)
{
    uint64_t hash = HASH_BEGIN + 2;
    for (size_t i = 0; i < json_object_array_length(json) && *budget > 0; i++) {
        struct value item = value_of(json_object_array_get_idx(json, i));
        hash = mix(hash, hash_at(&item, budget, depth));
    }
    return hash;
}

/* A sum, because the order of the members does not matter. */
static uint64_t hash_object(struct json_object *json, size_t *budget, unsigned depth)
{
    uint64_t sum = HASH_BEGIN + 3;
    json_object_object_foreach(json, key, member)
    {
        struct value value = value_of(member);
        size_t length = 0;
        uint64_t name = name_hash(key, &length);
        if (!spend(budget, cost_of(length)))
            break;
        sum += mix(name, hash_at(&value, budget, depth));
    }
    return sum;
}

static uint64_t hash_at(const struct value *value, size_t *budget, unsigned depth)
{
    if (depth == VALUE_DEPTH_MAX)
        *budget = 0;
    if (!spend(budget, cost_of(value->length)))
        return HASH_BEGIN; /* the value is not used at this depth */
    if ((value->types & TYPE_STRING) != 0)
        return hash_bytes(value->text, value->length);
    if ((value->types & TYPE_NUMBER) != 0)
        return hash_number(&value->number);
    if ((value->types & TYPE_BOOLEAN) != 0)
        return mix(HASH_BEGIN + 4, (uint64_t)json_object_get_boolean(value->json));
    if ((value->types & TYPE_NULL) != 0)
        return HASH_BEGIN + 5;
    return (value->types & TYPE_ARRAY) != 0 ? hash_array(value->json, budget, depth + 1)
                                            : hash_object(value->json, budget, depth + 1);
}

uint64_t value_hash(const struct value *value, size_t *budget)
{
    return hash_at(value, budget, 0);
}

/* --- decimals --- */

/* The shortest decimal that reads back as the same double. */
static void shortest(double number, char *digits, size_t size)
{
    for (int precision = 14; precision <= 16; precision++) {
        real_write(digits, size, 'e', precision, number);
        if (real_read(digits, NULL) == number)
            return;
    }
}

struct decimal decimal_of(const struct number *number)
{
    struct decimal decimal = {0};
    if (number->exact) {
        decimal.digits = number->magnitude;
    } else {
        char text[40];
        bool fraction = false;
        shortest(fabs(number->real), text, sizeof text);
        const char *at = text;
        for (; *at != 'e' && *at != '\0'; at++) {
            if (*at < '0' || *at > '9') {
                fraction = true;
                continue;
            }
            decimal.digits = decimal.digits * 10 + (uint64_t)(*at - '0');
            decimal.exponent -= fraction;
        }
        if (*at == 'e')
            decimal.exponent += (int)strtol(at + 1, NULL, 10);
    }
    while (decimal.digits != 0 && decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    return decimal;
}

bool decimal_is_multiple(struct decimal number, struct decimal of)
{
    __extension__ typedef unsigned __int128 wide;
    if (number.digits == 0)
        return true;
    if (number.exponent < of.exponent || of.digits == 0) /* the number's last digit is not 0, so nothing cancels out */
        return false;
    uint64_t rest = number.digits % of.digits;
    for (int i = of.exponent; i < number.exponent && rest != 0; i++)
        rest = (uint64_t)((wide)rest * 10 % of.digits);
    return rest == 0;
}

/* --- messages --- */

void name_show(struct text *text, const char *name, size_t length)
{
    size_t shown = length;
    if (shown > SHOWN_MAX) {
        shown = SHOWN_MAX;
        while (shown > 0 && ((unsigned char)name[shown] & 0xc0) == 0x80)
            shown--;
    }
    text_puts(text, "\"");
    text_put_line(text, name, shown);
    text_puts(text, shown < length ? "…\"" : "\"");
}

static void show_number(struct text *text, const struct number *number, bool is_int)
{
    char digits[40] = "";
    if (is_int) {
        text_printf(text, "%s%" PRIu64, number->negative ? "-" : "", number->magnitude);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        real_write(digits, sizeof digits, 'g', precision, number->real);
        if (real_read(digits, NULL) == number->real)
            break;
    }
    text_puts(text, digits);
}

void value_show(struct text *text, const struct value *value)
{
    if ((value->types & TYPE_STRING) != 0)
        name_show(text, value->text, value->length);
    else if ((value->types & TYPE_NUMBER) != 0)
        show_number(text, &value->number, json_object_is_type(value->json, json_type_int));
    else if ((value->types & TYPE_BOOLEAN) != 0)
        text_puts(text, json_object_get_boolean(value->json) ? "true" : "false");
    else if ((value->types & TYPE_NULL) != 0)
        text_puts(text, "null");
    else if ((value->types & TYPE_ARRAY) != 0)
        text_printf(text, "an array of %zu", json_object_array_length(value->json));
    else
        text_puts(text, "an object");
}
