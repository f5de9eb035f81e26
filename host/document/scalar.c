/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds the type of a plain scalar: null, boolean, integer, float or string. The rules are those of the YAML 1.1 types
 * with SnakeYAML's small differences, because the MOV reads our documents with it. They include JSON's numbers. */
#include "document/parts.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "base/memory.h"

/* Longer than any sensible number; a longer scalar stays a string. */
#define NUMBER_MAX 400

static bool is_among(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

static bool read_null(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_among(text, nulls);
}

static bool read_boolean(const char *text, struct json_object **value)
{
    static const char *const trues[] = {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
    static const char *const falses[] = {"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
    bool is = is_among(text, trues);
    if (!is && !is_among(text, falses))
        return false;
    *value = memory_got(json_object_new_boolean(is));
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 99;
}

/* The nearest double of a decimal number, which may contain underscores and has at most NUMBER_MAX characters. */
static double real_of(const char *text)
{
    char digits[NUMBER_MAX + 1];
    size_t used = 0;
    for (; *text != '\0'; text++) {
        if (*text != '_')
            digits[used++] = *text;
    }
    digits[used] = '\0';
    return real_read(digits, NULL);
}

/* An integer if the number fits 64 bits, signed or unsigned, otherwise a float. */
static struct json_object *new_integer(bool negative, bool fits, uint64_t magnitude, double real)
{
    if (!fits || (negative && magnitude > (uint64_t)INT64_MAX + 1))
        return memory_got(json_object_new_double(negative ? -real : real));
    if (negative)
        return memory_got(json_object_new_int64(magnitude == 0 ? 0 : -(int64_t)(magnitude - 1) - 1));
    return magnitude > INT64_MAX ? memory_got(json_object_new_uint64(magnitude))
                                 : memory_got(json_object_new_int64((int64_t)magnitude));
}

/* Reads digits of a base, with underscores. */
static bool read_based(const char *digits, int base, bool negative, struct json_object **value)
{
    const char *from = digits;
    uint64_t magnitude = 0;
    double real = 0;
    bool fits = true;
    bool any = false;
    for (; *digits != '\0'; digits++) {
        if (*digits == '_')
            continue;
        int digit = digit_of(*digits);
        if (digit >= base)
            return false;
        any = true;
        real = real * base + digit;
        fits = fits && !__builtin_mul_overflow(magnitude, (uint64_t)base, &magnitude) &&
               !__builtin_add_overflow(magnitude, (uint64_t)digit, &magnitude);
    }
    if (any)
        *value = new_integer(negative, fits, magnitude, base == 10 ? real_of(from) : real);
    return any;
}

/* Reads 190:20:30, a base 60 number of YAML 1.1. */
static bool read_sexagesimal(const char *digits, bool negative, struct json_object **value)
{
    uint64_t total = 0;
    if (*digits < '1' || *digits > '9' || strchr(digits, ':') == NULL)
        return false;
    for (bool first = true; *digits != '\0'; first = false) {
        uint64_t part = 0;
        const char *from = digits;
        for (; *digits != '\0' && *digits != ':'; digits++) {
            if (*digits == '_' && first)
                continue;
            if (*digits < '0' || *digits > '9' || part > 1000000)
                return false;
            part = part * 10 + (uint64_t)(*digits - '0');
        }
        if (!first && (digits == from || digits - from > 2 || part > 59))
            return false;
        if (total > UINT32_MAX || (*digits == ':' && digits[1] == '\0'))
            return false;
        total = total * 60 + part;
        digits += *digits == ':';
    }
    *value = new_integer(negative, true, total, 0);
    return true;
}

static bool read_integer(const char *text, struct json_object **value)
{
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    if (digits[0] == '0' && digits[1] == 'b')
        return read_based(digits + 2, 2, negative, value);
    if (digits[0] == '0' && digits[1] == 'x')
        return read_based(digits + 2, 16, negative, value);
    if (digits[0] == '0' && digits[1] != '\0')
        return read_based(digits + 1, 8, negative, value);
    if (*digits < '0' || *digits > '9')
        return false;
    return read_based(digits, 10, negative, value) || read_sexagesimal(digits, negative, value);
}

/* Skips digits and underscores. */
static const char *skip_digits(const char *at)
{
    while ((*at >= '0' && *at <= '9') || *at == '_')
        at++;
    return at;
}

static bool is_float(const char *text)
{
    const char *at = text + (*text == '-' || *text == '+');
    bool whole = *at >= '0' && *at <= '9';
    if (whole)
        at = skip_digits(at);
    bool point = *at == '.';
    if (point) {
        if (!whole && (at[1] < '0' || at[1] > '9'))
            return false;
        at = skip_digits(at + 1);
    }
    bool exponent = *at == 'e' || *at == 'E';
    if (exponent) {
        at += 1 + (at[1] == '-' || at[1] == '+');
        const char *from = at;
        while (*at >= '0' && *at <= '9')
            at++;
        if (at == from)
            return false;
    }
    return *at == '\0' && (whole || point) && (point || exponent);
}

static bool read_special_float(const char *text, struct json_object **value)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    const char *word = text + (*text == '-' || *text == '+');
    if (is_among(text, nans))
        *value = memory_got(json_object_new_double((double)NAN));
    else if (is_among(word, infinities))
        *value = memory_got(json_object_new_double(*text == '-' ? -(double)INFINITY : (double)INFINITY));
    else
        return false;
    return true;
}

/* True for digits, a point and digits, which JSON writes in the same way. */
static bool is_plain_decimal(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    size_t part = whole > 0 && text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    return part > 0 && (whole == 1 || text[0] != '0') && text[whole + 1 + part] == '\0';
}

static bool read_float(const char *text, struct json_object **value)
{
    if (read_special_float(text, value))
        return true;
    if (!is_float(text))
        return false;
    /* 0.10 is shown as written, because it may be a version */
    *value = memory_got(is_plain_decimal(text) ? json_object_new_double_s(real_of(text), text)
                                               : json_object_new_double(real_of(text)));
    return true;
}

static bool read_any_number(const char *text, size_t length, enum scalar_tag tag, struct json_object **value)
{
    if (length == 0 || length > NUMBER_MAX || strchr("+-.0123456789", text[0]) == NULL)
        return false;
    if (tag == SCALAR_FLOAT && read_integer(text, value)) { /* !!float 3 */
        double real = json_object_get_double(*value);
        json_object_put(*value);
        *value = memory_got(json_object_new_double(real));
        return true;
    }
    return (tag != SCALAR_FLOAT && read_integer(text, value)) || (tag != SCALAR_INTEGER && read_float(text, value));
}

bool document_scalar(const char *text, size_t length, enum scalar_tag tag, struct json_object **value)
{
    *value = NULL;
    bool any = tag == SCALAR_UNTAGGED;
    bool whole = strlen(text) == length; /* with a NUL in it, the scalar is a string */
    if (whole && (any || tag == SCALAR_NULL) && read_null(text))
        return true;
    if (whole && (any || tag == SCALAR_BOOLEAN) && read_boolean(text, value))
        return true;
    if (whole && (any || tag == SCALAR_INTEGER || tag == SCALAR_FLOAT) && read_any_number(text, length, tag, value))
        return true;
    if (!any && tag != SCALAR_STRING)
        return false;
    *value = memory_got(json_object_new_string_len(text, (int)length));
    return true;
}
