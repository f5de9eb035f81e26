/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * schema: JSON Schema draft 7, as AsyncAPI 2.6 uses it, for values of json-c. The schemas of a document are compiled
 * once, into a form that checks a value without allocating while the value is right, and in bounded time and stack
 * whatever the schema and the value are. A `$ref` may lead anywhere within the document, and in a circle as long as the
 * circle goes deeper into the value; nothing outside of the document is ever read. */
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
        1 << 0, /* date-time, email, uri, uuid, ipv4 and ipv6 are checked; without it all are notes */
};

/* Told of each fault in a schema: where in the text, and what (with the JSON pointer in it, one line). */
typedef void schema_report(void *context, struct place place, const char *text);

/* An empty set. The document must outlive it. */
struct schemas *schemas_new(const struct document *document, unsigned flags, schema_report *report, void *context);

/* Compiles a node of the document's tree, with all that it refers to; a node that is there already costs nothing. Never
 * NULL: a schema with a fault in it, which was reported, lets no value pass. Belongs to the set. */
const struct schema *schemas_add(struct schemas *schemas, struct json_object *node);

/* A schema that wants exactly one of several (different) ones of the set to be right. */
const struct schema *schemas_one_of(struct schemas *schemas, const struct schema *const *among, size_t count);

/* Where a `$ref` at this object leads: false, with the reason, if it is not a string or leads nowhere. */
bool schemas_follow(const struct schemas *schemas, struct json_object *object, struct json_object **target,
                    struct fault *fault) __attribute__((warn_unused_result));

/* The same, and remembers it: a reference may be as long as the document, and be followed for every message. */
bool schemas_learn(struct schemas *schemas, struct json_object *object, struct json_object **target,
                   struct fault *fault) __attribute__((warn_unused_result));

void schemas_free(struct schemas *schemas);

/* Warns of what is valid in the schemas of the set and probably not meant: keywords that nearly are known ones, formats
 * that no reader knows, a list of one schema as `items`, and defaults and examples that do not match. */
void schemas_lint(const struct schemas *schemas, schema_report *warn, void *context);

/* For a single schema: a set with the node at a JSON pointer of the document; the first fault is the reason for NULL.
 */
struct schemas *schemas_compile(const struct document *document, const char *pointer, unsigned flags,
                                const struct schema **schema, struct fault *fault) __attribute__((warn_unused_result));

/* Whether the value is right. If not, the reason says where and what (`/items/3/weight: 1.4 is over the maximum 1`), in
 * one line, cut to the size. [any thread, also several at once, as long as no thread changes the value] */
bool schema_check(const struct schema *schema, struct json_object *value, char *reason, size_t size)
    __attribute__((warn_unused_result));

#endif
