/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json: is a text one JSON object by RFC 8259? json-c accepts more than that even in strict mode (NaN,
 * names in single quotation marks, raw control characters, overlong UTF-8), and what passes here may be published as it
 * came: a body that is no JSON object kills a listener of the MOV. So the bytes are checked first, and json-c reads
 * only what passed. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

struct json_object;
struct json_tokener;

/* Levels of nesting that a text may have. json-c's own default, 32, refuses honest data; without any bound a small body
 * could exhaust the stack of its reader. */
#define JSON_DEPTH_MAX 1000

/* True if text[0..len) is exactly one JSON object, without a \u0000 in a name: json-c ends a name there, so that what
 * is checked, and what a plugin may see, would have another name than what is passed on. Allocates nothing; takes time
 * linear in len. */
bool json_is_object(const char *text, size_t len, struct fault *fault) __attribute__((warn_unused_result));

/* The same for any one JSON value. */
bool json_is_value(const char *text, size_t len, struct fault *fault) __attribute__((warn_unused_result));

/* Reads a text that json_is_object() accepted, and in which numbers do not matter; the caller owns the result. One
 * reader for each thread. */
struct json_tokener *json_reader_new(void);
/* [any thread] A reader of the calling thread, freed when that ends. */
struct json_tokener *json_thread_reader(void);
struct json_object *json_read(struct json_tokener *reader, const char *text, size_t len);

/* Both in one pass: NULL, with the reason, if it is not one JSON object. What is to be checked against a schema is read
 * by this: it is json-c's result but for whole numbers beyond 64 bits, which are their nearest double here and cut to
 * the greatest number there. A third of what it costs to let json-c read it: the reader is asked only for numbers and
 * escapes that are not simple. */
struct json_object *json_parse(struct json_tokener *reader, const char *text, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
