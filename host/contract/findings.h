/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * findings: the list of a document's faults and warnings. It contains no rules; the rules add to it. */
#ifndef CONTRACT_FINDINGS_H
#define CONTRACT_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "contract/contract.h"

struct findings {
    const struct document *document; /* for places and pointers; NULL if it could not be read */
    struct finding *at;
    size_t count;
    size_t errors;
    bool cut; /* there were more findings than the list keeps */
};

/* Adds a finding. A second error at the same place adds nothing: one fault often breaks several rules. */
void findings_add(struct findings *findings, enum finding_kind kind, struct place place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds a finding at a key of an object, and puts the JSON pointer of that place before the text. key may be NULL. */
void findings_add_at(struct findings *findings, enum finding_kind kind, struct json_object *object, const char *key,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Sorts the findings in the order of the text. */
void findings_sort(struct findings *findings);

void findings_clear(struct findings *findings);

#endif
