/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Writes a text that a regular expression probably matches: the first alternative, the first character of a class, and
 * as few repetitions as asked for. The caller checks the text; look-around and back references have no sample. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "contract/parts.h"

#define GROUPS_MAX 32
#define REPEATED_MAX 4096 /* bytes of all text */

struct sampler {
    const char *at;
    struct text *out;
    unsigned repeat; /* how often what may be repeated is there, if the pattern leaves it open */
    unsigned groups; /* open ones */
};

/* A character that an escape stands for; '\0': none, as of \b; -1: not known. */
static int escaped(char c)
{
    switch (c) {
    case 'd':
        return '1';
    case 'w':
        return 'a';
    case 's':
        return ' ';
    case 'D':
    case 'S':
        return 'x';
    case 'W':
        return '-';
    case 't':
        return '\t';
    case 'b':
        return '\0';
    default:
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\0' ? -1 : c;
    }
}

/* A character that is not in a negated class with this text. */
static int outside(const char *class, size_t length)
{
    for (const char *c = "x-_ .;X0"; *c != '\0'; c++) {
        bool is_in = memchr(class, *c, length) != NULL;
        for (size_t i = 1; i + 1 < length; i++)
            is_in = is_in || (class[i] == '-' && class[i - 1] <= *c && *c <= class[i + 1]);
        if (!is_in)
            return *c;
    }
    return -1;
}

static bool sample_class(struct sampler *sampler)
{
    bool negated = sampler->at[1] == '^';
    const char *first = sampler->at + (negated ? 2 : 1), *end = first;
    while (*end != '\0' && (*end != ']' || end == first))
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    if (*end == '\0' || *first == '[')
        return false;
    int c = negated ? outside(first, (size_t)(end - first)) : *first == '\\' ? escaped(first[1]) : *first;
    size_t length = negated || *first == '\\' ? 1 : utf8_length((const unsigned char *)first, (size_t)(end - first));
    sampler->at = end + 1;
    if (c == -1 || c == '\0')
        return false;
    if (length > 1)
        text_put(sampler->out, first, length);
    else
        text_put(sampler->out, &(char){(char)c}, 1);
    return true;
}

static bool sample_group(struct sampler *sampler);

static bool sample_atom(struct sampler *sampler)
{
    const char *at = sampler->at;
    if (*at == '[')
        return sample_class(sampler);
    if (*at == '(')
        return sample_group(sampler);
    int c = *at == '.' ? 'x' : *at == '\\' ? escaped(at[1]) : *at;
    sampler->at += *at == '\\' && at[1] != '\0' ? 2 : 1;
    if (*at != '^' && *at != '$' && c > 0)
        text_put(sampler->out, &(char){(char)c}, 1);
    else if (c < 0 && *at != '\\')
        text_put(sampler->out, at, 1); /* a byte of a longer character */
    return c != -1 || *at != '\\';
}

/* Reads the quantifier that may follow; returns how often the atom is there. */
static size_t read_count(struct sampler *sampler)
{
    size_t least = 1, most = 1;
    char *end = NULL;
    const char *close;
    switch (*sampler->at) {
    case '*':
    case '+':
        least = *sampler->at == '+' ? 1 : 0;
        most = SIZE_MAX;
        break;
    case '?':
        least = 0;
        break;
    case '{':
        least = strtoul(sampler->at + 1, &end, 10);
        most = *end != ',' ? least : end[1] == '}' ? SIZE_MAX : strtoul(end + 1, &end, 10);
        close = strchr(sampler->at, '}');
        if (close == NULL)
            return 1;
        sampler->at = close;
        break;
    default:
        return 1;
    }
    sampler->at++;
    if (*sampler->at == '?' || *sampler->at == '+')
        sampler->at++;
    return sampler->repeat <= least ? least : sampler->repeat < most ? sampler->repeat : most;
}

/* Everything up to the end, or to the parenthesis that closes the group. */
static bool sample_alternatives(struct sampler *sampler)
{
    size_t kept = SIZE_MAX; /* the length with the first alternative */
    while (*sampler->at != '\0' && *sampler->at != ')') {
        size_t start = sampler->out->len;
        if (*sampler->at == '|') {
            kept = kept == SIZE_MAX ? start : kept;
            sampler->at++;
            continue;
        }
        if (!sample_atom(sampler))
            return false;
        size_t count = read_count(sampler), length = sampler->out->len - start;
        if (count > REPEATED_MAX || length * (count + 1) + start > REPEATED_MAX)
            return false;
        if (count == 0)
            sampler->out->len = start;
        text_reserve(sampler->out, length * (count + 1));
        for (size_t i = 1; i < count; i++)
            text_put(sampler->out, sampler->out->at + start, length);
    }
    if (kept != SIZE_MAX)
        sampler->out->len = kept;
    return true;
}

static bool sample_group(struct sampler *sampler)
{
    sampler->at++;
    if (*sampler->at == '?') {
        if (sampler->at[1] != ':')
            return false;
        sampler->at += 2;
    }
    if (sampler->groups == GROUPS_MAX)
        return false;
    sampler->groups++;
    if (!sample_alternatives(sampler) || *sampler->at != ')')
        return false;
    sampler->groups--;
    sampler->at++;
    return true;
}

bool pattern_sample(const char *pattern, unsigned repeat, struct text *out)
{
    struct sampler sampler = {.at = pattern, .out = out, .repeat = repeat};
    text_clear(out);
    text_puts(out, "");
    if (!sample_alternatives(&sampler) || *sampler.at != '\0')
        return false;
    out->at[out->len] = '\0';
    return true;
}
