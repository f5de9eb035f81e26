/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lines: splits a text that arrives in pieces into lines, without the byte order mark that some editors put before the
 * first and the "\r" that others put after each. Lines of white space are left out, and are counted. A line takes no
 * more memory than the longest that is accepted. */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/text.h"

/* Starts zeroed, except for most. */
struct lines {
    size_t most; /* bytes of a line that is accepted */
    struct text text;
    size_t at;            /* where what is not yet taken begins … */
    size_t scanned;       /* … and how far it has been searched for an end */
    unsigned long number; /* of lines so far */
    bool begun;           /* a byte order mark cannot follow any more */
    bool skipping;        /* the rest of a line that was too long */
    bool ended;           /* end of the input */
};

struct line {
    unsigned long number; /* from 1 on */
    const char *at;       /* valid until the next call, ends with '\0'; NULL: it is too long */
    size_t len;
};

/* False: the next line is not complete yet; or, at the end of the input, there is none. A line that is too long is
 * returned as soon as that is known. */
bool lines_next(struct lines *lines, struct line *line) __attribute__((warn_unused_result));

/* Reads once; a descriptor that does not block may have nothing. False: it cannot be read; the fault calls it `name`.
 */
bool lines_read(struct lines *lines, int fd, const char *name, struct fault *fault) __attribute__((warn_unused_result));

void lines_free(struct lines *lines);

#endif
