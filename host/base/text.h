/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * text: a growing string, and two ways to quote untrusted bytes: on one line for a log, and as a JSON string. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Starts zeroed. at is NULL while the text is empty, and ends with '\0' afterwards. */
struct text {
    char *at;
    size_t len;
    size_t room;
};

void text_grow(struct text *text, size_t more); /* for text_reserve(), when there is too little room */

/* Makes room for more bytes and a '\0'. */
static inline void text_reserve(struct text *text, size_t more)
{
    if (text->room - text->len <= more)
        text_grow(text, more);
}

static inline void text_put(struct text *text, const char *bytes, size_t len)
{
    text_reserve(text, len);
    if (len > 0)
        memcpy(text->at + text->len, bytes, len);
    text->len += len;
    text->at[text->len] = '\0';
}

static inline void text_puts(struct text *text, const char *string)
{
    text_put(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

/* Appends the bytes as one line: control characters, line separators and bytes that are not UTF-8 become \n, \t, \x1b,
 * \u2028 … */
void text_put_line(struct text *text, const char *bytes, size_t len);

/* Appends a JSON string with its quotation marks; bytes that are not UTF-8 become U+FFFD. */
void text_put_json(struct text *text, const char *bytes, size_t len);

/* Empties it, keeps the memory. */
static inline void text_clear(struct text *text)
{
    text->len = 0;
    if (text->at != NULL)
        text->at[0] = '\0';
}

void text_free(struct text *text);

/* The length of a prefix of at most `most` bytes that does not end inside a UTF-8 character. */
size_t text_cut(const char *bytes, size_t len, size_t most);

enum text_end {
    TEXT_LINE = 0x7f, /* ends the plain part of a log line: DEL */
    TEXT_JSON = '"',  /* ends that of a JSON string, as '\\' does */
};

typedef signed char text_block __attribute__((vector_size(16)));

/* Which of 16 bytes are not plain. */
static inline text_block text_ends(const signed char *at, signed char first, signed char second)
{
    text_block now;
    memcpy(&now, at, sizeof now);
    return (now < 0x20) | (now == first) | (now == second); /* as signed bytes, those from 0x80 on are less than 0x20 */
}

/* Whether 32 bytes are plain. */
static inline bool text_plain_pair(const signed char *at, signed char first, signed char second)
{
    text_block now = text_ends(at, first, second) | text_ends(at + 16, first, second);
    uint64_t ends[2];
    memcpy(ends, &now, sizeof ends);
    return (ends[0] | ends[1]) == 0;
}

/* The index of the first of 16 bytes that is not plain; 16: all are plain. */
static inline size_t text_plain_block(const signed char *at, signed char first, signed char second)
{
    text_block now = text_ends(at, first, second);
    uint64_t ends[2];
    memcpy(ends, &now, sizeof ends);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (ends[0] != 0)
        return (size_t)__builtin_ctzll(ends[0]) / 8;
    return ends[1] != 0 ? 8 + (size_t)__builtin_ctzll(ends[1]) / 8 : 16;
#else
    if (ends[0] != 0)
        return (size_t)__builtin_clzll(ends[0]) / 8;
    return ends[1] != 0 ? 8 + (size_t)__builtin_clzll(ends[1]) / 8 : 16;
#endif
}

/* The length of the plain prefix: ASCII without control characters and without `end`. Most bytes of messages are plain,
 * so it tests many at a time. */
static inline __attribute__((always_inline)) size_t text_plain(const void *bytes, size_t len, enum text_end end)
{
    const signed char *at = bytes, first = (signed char)end, second = (signed char)(end == TEXT_JSON ? '\\' : end);
    size_t i = 0;
    while (len - i >= 32 && text_plain_pair(at + i, first, second))
        i += 32;
    for (; len - i >= 16; i += 16) {
        size_t plain = text_plain_block(at + i, first, second);
        if (plain < 16)
            return i + plain;
    }
    if (len >= 16) /* the last sixteen, some of which are known to be plain */
        return len - 16 + text_plain_block(at + len - 16, first, second);
    while (i < len && at[i] >= 0x20 && at[i] != first && at[i] != second)
        i++;
    return i;
}

/* The length of a byte order mark at the start: 3 or 0. */
size_t text_mark(const char *bytes, size_t len);

/* The length of the UTF-8 character at bytes (1–4), or 0 if there is none. */
size_t utf8_length(const unsigned char *bytes, size_t len);

#endif
