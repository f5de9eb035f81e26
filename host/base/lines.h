/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lines: splits a text that arrives in pieces into lines, without a byte order mark before the first line and a "\r" at
 * the end of a line. Lines of white space are counted and skipped. Memory is bounded by the longest accepted line. */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/text.h"

/* Starts zeroed, except for most. */
struct lines {
    size_t most; /* bytes of the longest accepted line */
    struct text text;
    size_t at;            /* start of the text that is not taken … */
    size_t scanned;       /* … and end of the part that has been searched */
    unsigned long number; /* of lines so far */
    bool begun;           /* a byte order mark can no longer follow */
    bool skipping;        /* the rest of a line that was too long */
    bool ended;           /* end of the input */
};

struct line {
    unsigned long number; /* from 1 on */
    const char *at;       /* valid until the next call, ends with '\0'; NULL: it is too long */
    size_t len;
};

/* False: the next line is incomplete; or the input has ended. A line that is too long is returned as soon as this is
 * known. */
bool lines_next(struct lines *lines, struct line *line) __attribute__((warn_unused_result));

/* Reads once; a non-blocking descriptor may have no data. False: it cannot be read; the fault calls it `name`.
 * */
bool lines_read(struct lines *lines, int fd, const char *name, struct fault *fault) __attribute__((warn_unused_result));

void lines_free(struct lines *lines);

#endif
