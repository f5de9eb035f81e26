/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * library: a shared library that the host opens when it needs it and does not link. Linked, it would cost every host
 * memory and time at the start, together with the libraries that it needs itself. */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

struct library {
    const char *file;    /* its soname */
    const char *package; /* Debian's, for the message */
    size_t count;
    const struct library_function {
        const char *name;
        size_t at; /* of the pointer in the table */
    } * functions;
};

/* Opens the library and fills a table of pointers to its functions. The library is never closed. */
bool library_open(const struct library *library, void *table, struct fault *fault) __attribute__((warn_unused_result));

#endif
