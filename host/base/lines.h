/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lines: a text that comes piece by piece, as the lines that somebody meant: without the byte order mark that editors
 * put before the first and without the "\r" that others put after each. Lines of white space are left out and count. A
 * line costs no more memory than the longest that is wanted. */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/text.h"

/* Starts zeroed, but for most. */
struct lines {
    size_t most; /* bytes of a line that is wanted */
    struct text text;
    size_t at;            /* of what is not yet taken … */
    size_t scanned;       /* … and how far there is no end of a line */
    unsigned long number; /* of lines so far */
    bool begun;           /* there is no byte order mark, any more */
    bool skipping;        /* the rest of a line that was too long */
    bool ended;           /* nothing more comes */
};

struct line {
    unsigned long number; /* from 1 on */
    const char *at;       /* valid until the next call, ends with '\0'; NULL: it is too long */
    size_t len;
};

/* False: not all of the next one is there yet; or, if the input has ended, there is none. One that is too long is said
 * as soon as that is known. */
bool lines_next(struct lines *lines, struct line *line) __attribute__((warn_unused_result));

/* Reads once. What does not block may have had nothing. False: it cannot be read; the fault calls it `name`. */
bool lines_read(struct lines *lines, int fd, const char *name, struct fault *fault) __attribute__((warn_unused_result));

void lines_free(struct lines *lines);

#endif
