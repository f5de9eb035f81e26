/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * document: reads a YAML 1.1 or a JSON text into a tree of json-c, and remembers the place of every node, so that a
 * finding can name `line 12, column 5`. One reader serves both languages; it is the only user of libyaml. Reading takes
 * bounded time, memory and stack for every text. */
#ifndef DOCUMENT_DOCUMENT_H
#define DOCUMENT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

struct document;
struct json_object;

/* The bounds. Nodes, bytes and depth are counted with every alias expanded, because every walk of the tree visits them.
 */
#define DOCUMENT_TEXT_MAX ((size_t)4 << 20)
#define DOCUMENT_NODES_MAX ((size_t)1 << 18)
#define DOCUMENT_BYTES_MAX ((size_t)16 << 20)
#define DOCUMENT_DEPTH_MAX 100
#define DOCUMENT_ANCHORS_MAX 256

/* A place in the text, counted from 1 in lines and characters; 0, 0: unknown. */
struct place {
    unsigned line;
    unsigned column;
};

/* Reads the text of one document; NULL with the reason and the place if it is not valid. Plain scalars have their
 * YAML 1.1 meaning (yes is true, 0x1f is 31, 1.0.0 is a string), except that a timestamp stays a string. An alias is
 * the node itself, not a copy, and merge keys (<<) are resolved. Refused: a duplicate key, a second document, an anchor
 * within itself, an unknown tag, bytes that are not UTF-8. */
struct document *document_read(const char *text, size_t length, struct fault *fault)
    __attribute__((warn_unused_result));

/* The tree, valid as long as the document. Do not change it. May be NULL, which is json-c's null. */
struct json_object *document_root(const struct document *document);

/* Where a node begins. A null has no node, and only the root null has a place; use the place of its key. */
struct place document_place(const struct document *document, const struct json_object *node);

/* Where the key of a member begins; without this key, where the object begins. */
struct place document_place_of_key(const struct document *document, const struct json_object *object, const char *key);

/* True if every reader of YAML 1.1 reads the key as text. SnakeYAML reads a plain `on`, `no` or `1` as a boolean or a
 * number; this reader reads every key as text. */
bool document_key_is_text(const struct document *document, const struct json_object *object, const char *key);

/* The node at a JSON pointer (RFC 6901: "" is the whole, "/a~1b/0" …), in or below `from`. False if there is none. */
bool document_at(struct json_object *from, const char *pointer, struct json_object **node)
    __attribute__((warn_unused_result));

/* The JSON pointer of a node, or with a key that of its member: for messages, on one line and shortened to the size. A
 * node that has several places because of aliases gets the first. */
void document_pointer(const struct document *document, const struct json_object *node, const char *key, char *pointer,
                      size_t size);

void document_free(struct document *document);

#endif
