/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * schema: JSON Schema draft 7, as AsyncAPI 2.6 uses it, for values of json-c. The schemas of a document are compiled
 * once, into a form that checks a valid value without allocation, and every value in bounded time and stack. A `$ref`
 * may refer to any part of the document, and form a circle if the circle goes deeper into the value. Nothing outside of
 * the document is read. */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "document/document.h"

struct schema;  /* one compiled schema, part of a set */
struct schemas; /* the compiled schemas of one document, which share what they refer to */

enum schema_flags {
    SCHEMA_ASSERT_FORMAT =
        1 << 0, /* date-time, email, uri, uuid, ipv4 and ipv6 are checked; without the flag all are annotations */
};

/* Receives each fault in a schema: its place, and one line of text with the JSON pointer. */
typedef void schema_report(void *context, struct place place, const char *text);

/* An empty set. The document must outlive it. */
struct schemas *schemas_new(const struct document *document, unsigned flags, schema_report *report, void *context);

/* Compiles a node of the document's tree, with everything that it refers to; a known node costs nothing. Never NULL: a
 * schema with a fault, which is reported, matches no value. Belongs to the set. */
const struct schema *schemas_add(struct schemas *schemas, struct json_object *node);

/* A schema that requires exactly one of several (different) schemas of the set to match. */
const struct schema *schemas_one_of(struct schemas *schemas, const struct schema *const *among, size_t count);

/* Follows the `$ref` of this object. False, with the reason, if it is not a string or leads nowhere. */
bool schemas_follow(const struct schemas *schemas, struct json_object *object, struct json_object **target,
                    struct fault *fault) __attribute__((warn_unused_result));

/* The same, and remembers the result, because a reference may be as long as the document, and be followed for every
 * message. */
bool schemas_learn(struct schemas *schemas, struct json_object *object, struct json_object **target,
                   struct fault *fault) __attribute__((warn_unused_result));

void schemas_free(struct schemas *schemas);

/* Warns of valid parts of the schemas that are probably mistakes: keywords that resemble known ones, unknown formats, a
 * list of one schema as `items`, and defaults and examples that do not match. */
void schemas_lint(const struct schemas *schemas, schema_report *warn, void *context);

/* For a single schema: a set with the node at a JSON pointer of the document. NULL with the first fault.
 * */
struct schemas *schemas_compile(const struct document *document, const char *pointer, unsigned flags,
                                const struct schema **schema, struct fault *fault) __attribute__((warn_unused_result));

/* True if the value matches. Otherwise the reason has place and fault (`/items/3/weight: 1.4 is over the maximum 1`) on
 * one line, cut to the size. [any thread, several at a time, while no thread changes the value] */
bool schema_check(const struct schema *schema, struct json_object *value, char *reason, size_t size)
    __attribute__((warn_unused_result));

#endif
