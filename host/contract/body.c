/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds what ends the MOV's reading of a body that is valid JSON: its reader has a limit for numbers and one for names.
 */
#include <string.h>

#include "contract/contract.h"

#define NUMBER_MAX 1000 /* characters */
#define NAME_MAX_MOV 50000

static bool is_of_number(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

static const char *end_of_number(const char *at, const char *end)
{
    while (at < end && is_of_number(*at))
        at++;
    return at;
}

/* True if the body may contain a number that is too long, inside or outside of a string. Each such number contains one
 * of the sampled characters. */
static bool has_long_run(const char *body, size_t len)
{
    for (size_t i = NUMBER_MAX; i < len; i += NUMBER_MAX) {
        const char *from = body + i;
        if (!is_of_number(*from))
            continue;
        while (from > body && is_of_number(from[-1]))
            from--;
        if (end_of_number(body + i, body + len) - from > NUMBER_MAX)
            return true;
    }
    return false;
}

/* The closing quotation mark of the string that begins here; the end of the body if there is none. */
static const char *end_of_string(const char *at, const char *end)
{
    for (at++; at < end;) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        const char *escape = memchr(at, '\\', (size_t)((quote == NULL ? end : quote) - at));
        if (escape == NULL)
            return quote == NULL ? end : quote;
        at = escape + 2;
    }
    return end;
}

static size_t count_characters(const char *at, const char *end)
{
    size_t count = 0;
    for (; at < end; at++)
        count += ((unsigned char)*at & 0xc0) != 0x80;
    return count;
}

static bool is_name(const char *after, const char *end)
{
    while (after < end && strchr(" \t\r\n", *after) != NULL && *after != '\0')
        after++;
    return after < end && *after == ':';
}

bool contract_body_for_mov(const char *body, size_t len, struct fault *fault)
{
    const char *end = body + len;
    if (len <= NUMBER_MAX || (len <= NAME_MAX_MOV && !has_long_run(body, len)))
        return true;
    for (const char *at = body; at < end;) {
        if (*at == '"') {
            const char *from = at + 1, *to = end_of_string(at, end);
            at = to + 1;
            if (to - from > NAME_MAX_MOV && is_name(at, end) && count_characters(from, to) > NAME_MAX_MOV)
                return fault_set(fault, "a name of more than %d characters, which the MOV cannot read", NAME_MAX_MOV);
        } else if (is_of_number(*at)) {
            const char *from = at;
            at = end_of_number(at, end);
            if (at - from > NUMBER_MAX)
                return fault_set(fault, "a number of more than %d characters, which the MOV cannot read", NUMBER_MAX);
        } else {
            at++;
        }
    }
    return true;
}
