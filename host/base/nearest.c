/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/nearest.h"

#include <string.h>

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* The number of bytes to add, drop, replace or swap with their neighbour. */
static size_t edits_between(const char *one, size_t one_len, const char *other, size_t other_len)
{
    size_t rows[3][NEAREST_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t i = 0; i <= other_len; i++)
        above[i] = i;
    for (size_t i = 1; i <= one_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= other_len; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (one[i - 1] != other[j - 1]));
            if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        size_t *unused = before;
        before = above;
        above = row;
        row = unused;
    }
    return above[other_len];
}

void nearest_begin(struct nearest *nearest, const char *word)
{
    size_t len = strlen(word);
    /* At most a third of the word may differ. */
    *nearest = (struct nearest){.word = word, .edits = len > NEAREST_MAX ? 0 : (len + 2) / 3 + 1};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t word_len = strlen(nearest->word), len = strlen(name);
    size_t apart = word_len > len ? word_len - len : len - word_len;
    if (len > NEAREST_MAX || apart >= nearest->edits)
        return;
    size_t edits = edits_between(nearest->word, word_len, name, len);
    if (edits < nearest->edits) {
        nearest->edits = edits;
        nearest->name = name;
    }
}
