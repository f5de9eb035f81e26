/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE 65536

static bool is_blank(const char *at, size_t len)
{
    size_t i = 0;
    while (i < len && (at[i] == ' ' || at[i] == '\t' || at[i] == '\r'))
        i++;
    return i == len;
}

static void skip_mark(struct lines *lines)
{
    if (lines->begun || lines->number > 0)
        return;
    lines->begun = lines->text.len >= 3; /* fewer bytes may be the first half of a mark */
    lines->at = text_mark(lines->text.at, lines->text.len);
    if (lines->scanned < lines->at)
        lines->scanned = lines->at;
}

bool lines_next(struct lines *lines, struct line *line)
{
    struct text *text = &lines->text;
    while (lines->at < text->len) {
        skip_mark(lines);
        char *newline = memchr(text->at + lines->scanned, '\n', text->len - lines->scanned);
        size_t end = newline == NULL ? text->len : (size_t)(newline - text->at);
        char *at = text->at + lines->at;
        size_t len = end - lines->at;
        bool whole = newline != NULL || lines->ended;
        lines->scanned = end;
        if (whole && len > 0 && at[len - 1] == '\r')
            len--;
        /* One more byte may be the '\r' of a line end that has not arrived. */
        bool too_long = len > lines->most + (whole ? 0 : 1);
        if (!whole && !too_long && !lines->skipping)
            return false;
        bool rest = lines->skipping;
        lines->skipping = (rest || too_long) && newline == NULL;
        lines->at = lines->scanned = newline == NULL ? end : end + 1;
        if (rest || (!too_long && is_blank(at, len))) {
            lines->number += !rest;
            continue;
        }
        at[len] = '\0';
        *line = (struct line){.number = ++lines->number, .at = too_long ? NULL : at, .len = too_long ? 0 : len};
        return true;
    }
    return false;
}

bool lines_read(struct lines *lines, int fd, const char *name, struct fault *fault)
{
    struct text *text = &lines->text;
    if (lines->at > 0) { /* reuse the room of taken lines */
        text->len -= lines->at;
        memmove(text->at, text->at + lines->at, text->len);
        lines->scanned -= lines->at;
        lines->at = 0;
    }
    text_reserve(text, PIECE);
    ssize_t got = read(fd, text->at + text->len, PIECE);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN || fault_set(fault, "%s: %s", name, strerror(errno));
    text->len += (size_t)got;
    lines->ended = got == 0;
    return true;
}

void lines_free(struct lines *lines)
{
    text_free(&lines->text);
}
