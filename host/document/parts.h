/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the room `document` share, and no other file includes. */
#ifndef DOCUMENT_PARTS_H
#define DOCUMENT_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/ptrmap.h"

struct json_object;

/* --- document.c --- */

/* Where a node is: in an object under a key, or in an array at an index. An object without a key: the node is merged
 * into it. */
struct origin {
    struct json_object *parent;
    const char *key;
    size_t index;
};

struct document {
    struct json_object *root;
    struct json_object *merged; /* what was merged into others: it may be the parent of nodes that are in the tree */
    struct ptrmap places;       /* of nodes, and of keys by the address of json-c's copy of the key */
    struct ptrmap origins_of;   /* which of the origins is a node's; the first one, if aliases put it into several */
    struct origin *origins;
    size_t origin_count;
    size_t origin_room;
};

/* Beside the place of a key: that it is not text. No column gets that far. */
#define KEY_IS_NO_TEXT UINT64_C(0x80000000)

/* json-c's own copy of a key: its address identifies the member. NULL: no object, or no such key. */
const void *document_key_address(const struct json_object *object, const char *key);

/* --- text.c --- */

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

/* --- scalar.c --- */

/* The type that a tag gives a scalar. */
enum scalar_tag { SCALAR_UNTAGGED, SCALAR_STRING, SCALAR_NULL, SCALAR_BOOLEAN, SCALAR_INTEGER, SCALAR_FLOAT };

/* The value of a plain scalar, by YAML 1.1's rules as SnakeYAML has them. False if it does not fit the tag. */
bool document_scalar(const char *text, size_t length, enum scalar_tag tag, struct json_object **value);

#endif
