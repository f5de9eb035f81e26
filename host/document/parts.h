/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the room `document` share, and nobody else includes. */
#ifndef DOCUMENT_PARTS_H
#define DOCUMENT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

struct json_object;

/* What a scalar may be told to be by a tag. */
enum scalar_tag { SCALAR_UNTAGGED, SCALAR_STRING, SCALAR_NULL, SCALAR_BOOLEAN, SCALAR_INTEGER, SCALAR_FLOAT };

/* A copy of the text without a byte order mark, and with a NUL behind it. NULL with the reason if it is too long, not
 * UTF-8 or holds what no YAML text may. */
char *document_text_prepare(const char *text, size_t length, size_t *prepared, struct fault *fault);

/* Where two characters were taken out of a text: how many are before each place. */
struct joins {
    size_t *at;
    size_t count;
    size_t room;
};

/* For a prepared text that libyaml refuses: a copy in a form that it may read, where it is stricter than YAML and JSON
 * are. Lines stay what they are, and columns but for the joins. NULL if there is nothing to rewrite. */
char *document_text_rewrite(const char *text, size_t length, size_t *rewritten, struct joins *joins);

/* The value of a plain scalar, by YAML 1.1's rules as SnakeYAML has them. False if it does not fit the tag. */
bool document_scalar(const char *text, size_t length, enum scalar_tag tag, struct json_object **value);

#endif
