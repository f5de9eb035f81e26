/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Shared by the files of the room `document` only. */
#ifndef DOCUMENT_PARTS_H
#define DOCUMENT_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/ptrmap.h"

struct json_object;

/* --- document.c --- */

/* The position of a node: in an object under a key, or in an array at an index. An object without a key: the node is
 * merged into it. */
struct origin {
    struct json_object *parent;
    const char *key;
    size_t index;
};

struct document {
    struct json_object *root;
    struct json_object *merged; /* objects that were merged into others, and may be parents of nodes in the tree */
    struct ptrmap places;       /* of nodes, and of keys by the address of json-c's copy of the key */
    struct ptrmap origins_of;   /* from a node to its origin; the first one if aliases give it several */
    struct origin *origins;
    size_t origin_count;
    size_t origin_room;
};

/* A flag in the place of a key: the key is not text. No column reaches this bit. */
#define KEY_IS_NO_TEXT UINT64_C(0x80000000)

/* json-c's own copy of a key; its address identifies the member. NULL: not an object, or no such key. */
const void *document_key_address(const struct json_object *object, const char *key);

/* --- text.c --- */

/* Copies the text without a byte order mark, and ends it with a NUL. NULL with the reason if it is too long, is not
 * UTF-8, or contains a character that YAML forbids. */
char *document_text_prepare(const char *text, size_t length, size_t *prepared, struct fault *fault);

/* The places where a rewrite removed two characters, to compute columns of the original text. */
struct joins {
    size_t *at;
    size_t count;
    size_t room;
};

/* For a prepared text that libyaml refuses: a copy without the constructs for which libyaml is stricter than YAML and
 * JSON. Lines stay the same, and columns change only at the joins. NULL if there is nothing to rewrite. */
char *document_text_rewrite(const char *text, size_t length, size_t *rewritten, struct joins *joins);

/* --- scalar.c --- */

/* The type that a tag gives to a scalar. */
enum scalar_tag { SCALAR_UNTAGGED, SCALAR_STRING, SCALAR_NULL, SCALAR_BOOLEAN, SCALAR_INTEGER, SCALAR_FLOAT };

/* The value of a plain scalar, by SnakeYAML's version of the rules of YAML 1.1. False if it does not fit the tag. */
bool document_scalar(const char *text, size_t length, enum scalar_tag tag, struct json_object **value);

#endif
