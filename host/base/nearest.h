/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nearest: finds the known name that an unknown one probably stands for. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/* Longer names are never suggested. */
#define NEAREST_MAX 64

/* Finds the nearest of several names, offered one after the other. */
struct nearest {
    const char *word;
    const char *name; /* the nearest so far, borrowed; NULL: none is near enough to suggest */
    size_t edits;
};

void nearest_begin(struct nearest *nearest, const char *word);
void nearest_offer(struct nearest *nearest, const char *name);

#endif
