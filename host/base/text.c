/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void text_grow(struct text *text, size_t more)
{
    if (more >= SIZE_MAX / 2 - text->len)
        memory_got(NULL); /* more than the address space */
    size_t need = text->len + more + 1, room = text->room < 128 ? 128 : text->room;
    while (room < need)
        room *= 2;
    text->at = memory_resize(text->at, room);
    text->room = room;
}

void text_vprintf(struct text *text, const char *format, va_list arguments)
{
    text_reserve(text, 127);
    for (;;) {
        va_list again;
        va_copy(again, arguments);
        size_t room = text->room - text->len;
        int len = vsnprintf(text->at + text->len, room, format, again);
        va_end(again);
        if (len < 0) { /* such as %ls with characters outside the locale */
            text->at[text->len] = '\0';
            text_puts(text, "(unprintable)");
            return;
        }
        if ((size_t)len < room) {
            text->len += (size_t)len;
            return;
        }
        text_reserve(text, (size_t)len);
    }
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(text, format, arguments);
    va_end(arguments);
}

size_t utf8_length(const unsigned char *bytes, size_t len)
{
    if (len == 0)
        return 0;
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size_t need = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (len < need)
        return 0;
    /* The second byte excludes overlong forms, surrogates and values above U+10FFFF. */
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

/* The rest of text_put_line(), from the first byte that is not plain. A separate function, because most records have no
 * such byte. */
static __attribute__((noinline)) void put_escaped(struct text *text, const char *bytes, size_t len)
{
    const unsigned char *at = (const unsigned char *)bytes;
    size_t plain = 0; /* start of the run of unchanged bytes */
    text_reserve(text, len);
    for (size_t i = 0; i < len;) {
        i += text_plain(at + i, len - i, TEXT_LINE);
        if (i == len)
            break;
        size_t size = utf8_length(at + i, len - i);
        char escape[8] = "";
        if (size == 0) {
            snprintf(escape, sizeof escape, "\\x%02x", at[i]);
            size = 1;
        } else if (at[i] == '\n') {
            strcpy(escape, "\\n");
        } else if (at[i] == '\r') {
            strcpy(escape, "\\r");
        } else if (at[i] == '\t') {
            strcpy(escape, "\\t");
        } else if (at[i] < 0x20 || at[i] == 0x7f) {
            snprintf(escape, sizeof escape, "\\x%02x", at[i]);
        } else if (at[i] == 0xc2 && at[i + 1] < 0xa0) { /* C1 controls: a terminal may obey them */
            snprintf(escape, sizeof escape, "\\x%02x", at[i + 1]);
        } else if (at[i] == 0xe2 && at[i + 1] == 0x80 && (at[i + 2] == 0xa8 || at[i + 2] == 0xa9)) {
            snprintf(escape, sizeof escape, "\\u20%02x", 0x28 + (at[i + 2] & 1));
        }
        if (escape[0] != '\0') {
            text_put(text, bytes + plain, i - plain);
            text_puts(text, escape);
            plain = i + size;
        }
        i += size;
    }
    text_put(text, bytes + plain, len - plain);
}

void text_put_line(struct text *text, const char *bytes, size_t len)
{
    size_t plain = text_plain(bytes, len, TEXT_LINE);
    text_put(text, bytes, plain);
    if (plain < len)
        put_escaped(text, bytes + plain, len - plain);
}

void text_put_json(struct text *text, const char *bytes, size_t len)
{
    const unsigned char *at = (const unsigned char *)bytes;
    text_reserve(text, len + 2);
    text_put(text, "\"", 1);
    size_t plain = 0;
    for (size_t i = 0; i < len;) {
        i += text_plain(at + i, len - i, TEXT_JSON);
        if (i == len)
            break;
        if (at[i] == '"' || at[i] == '\\') { /* JSON in a string has many of these */
            size_t run = i - plain;
            text_reserve(text, run + 1);
            memcpy(text->at + text->len, bytes + plain, run);
            text->len += run;
            text->at[text->len++] = '\\';
            plain = i++; /* part of the next run */
            continue;
        }
        size_t size = utf8_length(at + i, len - i);
        if (size > 1) {
            i += size;
            continue;
        }
        text_put(text, bytes + plain, i - plain);
        plain = i + 1;
        if (size == 0) {
            text_puts(text, "\xef\xbf\xbd");
        } else if (at[i] == '\n') {
            text_puts(text, "\\n");
        } else {
            text_printf(text, "\\u%04x", at[i]);
        }
        i++;
    }
    text_put(text, bytes + plain, len - plain);
    text_put(text, "\"", 1);
}

size_t text_cut(const char *bytes, size_t len, size_t most)
{
    if (len <= most)
        return len;
    size_t cut = most;
    while (cut > 0 && most - cut < 3 && ((unsigned char)bytes[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

size_t text_mark(const char *bytes, size_t len)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'};
    return len >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0 ? sizeof mark : 0;
}

void text_free(struct text *text)
{
    free(text->at);
    *text = (struct text){0};
}
