/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Prepares a text for libyaml, which is stricter than YAML and JSON. It refuses a tab where a token might begin, even
 * on a blank line or a comment line; the two-part escapes of JSON (a character beyond U+FFFF written as two \u) and
 * half of one; and a line break between a name and its colon. The rewrite finds these places by their looks and not by
 * YAML's grammar. So only a text that libyaml has refused is rewritten, and a text that it reads keeps its meaning.
 * libyaml reports bad characters by byte offsets, and this file by lines and columns. */
#include "document/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/document.h"

#define DIRECTIVES_MAX 16

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* YAML 1.1's printable characters, once we know that it is UTF-8. */
static bool is_printable(const unsigned char *at, size_t size)
{
    if (size == 1)
        return (*at >= 0x20 && *at < 0x7f) || *at == '\t' || *at == '\n' || *at == '\r';
    if (size == 2 && at[0] == 0xc2 && at[1] < 0xa0) /* C1 controls but for the next line */
        return at[1] == 0x85;
    if (size == 3 && at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf) /* a byte order mark within */
        return false;
    return !(size == 3 && at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe); /* U+FFFE, U+FFFF */
}

/* True if a line begins at this byte, after any line break of YAML 1.1. */
static bool begins_line(const unsigned char *text, size_t at)
{
    if (at == 0 || text[at - 1] == '\n' || text[at - 1] == '\r')
        return true;
    return (at >= 2 && memcmp(text + at - 2, "\xc2\x85", 2) == 0) ||
           (at >= 3 &&
            (memcmp(text + at - 3, "\xe2\x80\xa8", 3) == 0 || memcmp(text + at - 3, "\xe2\x80\xa9", 3) == 0));
}

static bool check_characters(const char *text, size_t length, struct fault *fault)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned line = 1;
    unsigned column = 1;
    unsigned tags = 0;
    for (size_t i = 0; i < length;) {
        size_t size = utf8_length(bytes + i, length - i);
        /* libyaml compares each %TAG with all before it, so the two hundred thousand that fit into a text take hours.
         * Every line that begins with one counts, because libyaml accepts directives in more places than YAML.
         * */
        tags += column == 1 && length - i > 4 && memcmp(text + i, "%TAG", 4) == 0;
        if (tags > DIRECTIVES_MAX)
            return fault_set(fault, "line %u, column 1: more than %d %%TAG directives", line, DIRECTIVES_MAX);
        if (size == 0)
            return fault_set(fault, "line %u, column %u: the byte 0x%02x is not UTF-8", line, column, bytes[i]);
        if (!is_printable(bytes + i, size))
            return fault_set(fault, "line %u, column %u: a control character (it begins with the byte 0x%02x)", line,
                             column, bytes[i]);
        column++;
        i += size;
        if (begins_line(bytes, i) && !(bytes[i - 1] == '\r' && i < length && bytes[i] == '\n')) {
            line++;
            column = 1;
        }
    }
    return true;
}

/* True if the line announces a block scalar, such as `key: |`, `- >-`, `x: &y |2 # why`. The lines after it are
 * content. */
static bool begins_block_scalar(const char *line, size_t length)
{
    const char *comment = NULL;
    for (size_t i = 1; i < length && comment == NULL; i++) {
        if (line[i] == '#' && is_blank(line[i - 1]))
            comment = line + i;
    }
    size_t end = comment == NULL ? length : (size_t)(comment - line);
    while (end > 0 && (is_blank(line[end - 1]) || line[end - 1] == '\r'))
        end--;
    for (int i = 0; i < 2 && end > 0 && strchr("+-123456789", line[end - 1]) != NULL; i++)
        end--;
    return end > 0 && (line[end - 1] == '|' || line[end - 1] == '>') && (end == 1 || is_blank(line[end - 2]));
}

/* True if the rest may follow `-` and a tab. With a key or an item in it, the tab would be indentation, which YAML
 * forbids. */
static bool is_lone_value(const char *rest, size_t length)
{
    if (length > 0 && strchr("{[\"'", rest[0]) != NULL)
        return true;
    for (size_t i = 0; i < length; i++) {
        bool last = i + 1 == length || is_blank(rest[i + 1]) || rest[i + 1] == '\r';
        if (last && (rest[i] == ':' || (i == 0 && (rest[i] == '-' || rest[i] == '?'))))
            return false;
    }
    return true;
}

/* Replaces tabs of a line by spaces where YAML allows them and libyaml does not. */
static void soften_tabs(char *line, size_t length)
{
    size_t indent = 0;
    while (indent < length && is_blank(line[indent]))
        indent++;
    bool empty = indent == length || line[indent] == '\r' || line[indent] == '#';
    for (size_t i = 0; i < indent && empty; i++)
        line[i] = ' ';
    if (empty || line[indent] != '-')
        return;
    size_t rest = indent + 1;
    while (rest < length && is_blank(line[rest]))
        rest++;
    if (is_lone_value(line + rest, length - rest))
        memset(line + indent + 1, ' ', rest - indent - 1);
}

static size_t indentation(const char *line, size_t length)
{
    size_t i = 0;
    while (i < length && line[i] == ' ')
        i++;
    return i;
}

static void soften_all_tabs(char *text, size_t length)
{
    bool in_block = false;
    size_t block_indent = 0;
    if (memchr(text, '\t', length) == NULL)
        return;
    for (size_t from = 0; from < length;) {
        char *line = text + from;
        const char *end = memchr(line, '\n', length - from);
        size_t size = end == NULL ? length - from : (size_t)(end - line);
        size_t indent = indentation(line, size);
        bool blank = strspn(line, " \t\r") >= size;
        if (in_block && !blank && indent <= block_indent)
            in_block = false;
        if (!in_block) {
            soften_tabs(line, size);
            in_block = begins_block_scalar(line, size);
            block_indent = indent;
        }
        from += size + 1;
    }
}

static unsigned hex_of(const char *digits)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char c = digits[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 0x10000U;
        value = value << 4 | digit;
    }
    return value;
}

static void note_join(struct joins *joins, size_t at)
{
    if (joins->count == joins->room) {
        joins->room = joins->room == 0 ? 64 : joins->room * 2;
        joins->at = memory_resize(joins->at, joins->room * sizeof *joins->at);
    }
    joins->at[joins->count++] = at;
}

/* Rewrites an escape of a surrogate: a pair, "\ud83d\ude00", as YAML's single escape, and half a pair as U+FFFD, as in
 * messages. Returns the number of bytes read; 0: it is another escape. */
static size_t rewrite_surrogate(struct text *to, const char *at, size_t length)
{
    unsigned high = length >= 6 && at[1] == 'u' ? hex_of(at + 2) : 0;
    unsigned low = length >= 12 && memcmp(at + 6, "\\u", 2) == 0 ? hex_of(at + 8) : 0;
    if (high >> 11 != 0x1b)
        return 0;
    if (high >> 10 == 0x36 && low >> 10 == 0x37) {
        text_printf(to, "\\U%08x", 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff)));
        return 12;
    }
    text_puts(to, "\\ufffd");
    return 6;
}

/* The length of white space before a colon on a later line; 0: there is none. */
static size_t space_before_colon(const char *at, size_t length)
{
    size_t space = 0;
    bool lines = false;
    for (; space < length && (is_blank(at[space]) || at[space] == '\n' || at[space] == '\r'); space++)
        lines |= at[space] == '\n' || at[space] == '\r';
    return lines && space < length && at[space] == ':' ? space : 0;
}

static void rewrite_json(struct text *to, const char *text, size_t length, struct joins *joins)
{
    bool quoted = false;
    size_t characters = to->len; /* written characters; so far white space */
    for (size_t i = 0, from = to->len; i < length; from = to->len) {
        size_t taken = quoted && text[i] == '\\' ? rewrite_surrogate(to, text + i, length - i) : 0;
        size_t space = 0;
        if (taken > 0) {
            i += taken;
        } else if (quoted && text[i] == '\\' && i + 1 < length) {
            text_put(to, text + i, 2);
            i += 2;
        } else {
            quoted ^= text[i] == '"';
            text_put(to, text + i, 1);
            if (text[i++] == '"' && !quoted)
                space = space_before_colon(text + i, length - i);
        }
        if (space > 0) { /* to the name with it */
            text_puts(to, ":");
            text_put(to, text + i, space);
            text_puts(to, " ");
            i += space + 1;
        }
        for (size_t j = from; j < to->len; j++)
            characters += ((unsigned char)to->at[j] & 0xc0) != 0x80;
        if (taken == 12)
            note_join(joins, characters);
    }
}

char *document_text_rewrite(const char *text, size_t length, size_t *rewritten, struct joins *joins)
{
    struct text to = {0};
    size_t begin = strspn(text, " \t\r\n");
    text_puts(&to, "");
    if (text[begin] != '\0' && strchr("{[\"", text[begin]) != NULL) {
        for (size_t i = 0; i < begin; i++)
            text_put(&to, text[i] == '\t' ? " " : &text[i], 1);
        rewrite_json(&to, text + begin, length - begin, joins);
    } else {
        text_put(&to, text, length);
    }
    soften_all_tabs(to.at, to.len);
    *rewritten = to.len;
    if (to.len == length && memcmp(to.at, text, length) == 0)
        text_free(&to);
    return to.at;
}

char *document_text_prepare(const char *text, size_t length, size_t *prepared, struct fault *fault)
{
    if (length > DOCUMENT_TEXT_MAX) {
        fault_set(fault, "the text is %zu bytes long; at most %zu are read", length, DOCUMENT_TEXT_MAX);
        return NULL;
    }
    size_t mark = text_mark(text, length);
    text += mark;
    length -= mark;
    if (!check_characters(text, length, fault))
        return NULL;
    char *copy = memory_new(length + 1);
    if (length > 0)
        memcpy(copy, text, length);
    *prepared = length;
    return copy;
}
