/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * text: a growing string, and the two ways in which the host quotes what it does not trust: on one line for a log, and
 * as a JSON string. Both take any bytes. */
#ifndef HOST_TEXT_H
#define HOST_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Starts zeroed; at is NULL until something is put in, and ends with '\0' afterwards. */
struct text {
    char *at;
    size_t len;
    size_t room;
};

void text_put(struct text *text, const char *bytes, size_t len);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

/* On one line: control characters, line separators and bytes that are not UTF-8 become \n, \t, \x1b, \u2028 … */
void text_put_line(struct text *text, const char *bytes, size_t len);

/* As a JSON string with its quotation marks; bytes that are not UTF-8 become U+FFFD. */
void text_put_json(struct text *text, const char *bytes, size_t len);

void text_clear(struct text *text); /* empties it, keeps the memory */
void text_free(struct text *text);

/* At most `most` of len bytes, not ending inside a UTF-8 character. */
size_t text_cut(const char *bytes, size_t len, size_t most);

/* How many bytes the UTF-8 character at bytes has (1–4), or 0 if it is none. */
size_t utf8_length(const unsigned char *bytes, size_t len);

#endif
