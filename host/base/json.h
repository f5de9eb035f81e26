/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json: checks that a text is one JSON object by RFC 8259. json-c accepts more even in strict mode (NaN, names in
 * single quotation marks, raw control characters, overlong UTF-8), and the host may publish an accepted text unchanged.
 * A body that is not a JSON object kills a listener of the MOV. So the host checks the bytes first, and json-c reads
 * only accepted texts. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

struct json_object;
struct json_tokener;

/* The most levels of nesting. json-c's own default, 32, refuses valid data; without a bound a small body could exhaust
 * the stack of its reader. */
#define JSON_DEPTH_MAX 1000

/* True if text[0..len) is exactly one JSON object, without a \u0000 in a name. json-c ends a name there, so the host
 * would check, and a plugin would see, another name than the one that is passed on. Allocates nothing; takes time
 * linear in len. */
bool json_is_object(const char *text, size_t len, struct fault *fault) __attribute__((warn_unused_result));

/* The same for any one JSON value. */
bool json_is_value(const char *text, size_t len, struct fault *fault) __attribute__((warn_unused_result));

/* A reader for texts that json_is_object() accepted, if numbers do not matter. Use one reader for each thread. */
struct json_tokener *json_reader_new(void);
/* [any thread] A reader of the calling thread, freed when the thread ends. */
struct json_tokener *json_thread_reader(void);
struct json_object *json_read(struct json_tokener *reader, const char *text, size_t len);

/* Checks and reads in one pass: NULL, with the reason, if the text is not one JSON object. Values for a schema check
 * are read by this function. The result is that of json-c, except that whole numbers beyond 64 bits become the nearest
 * double. It costs a third of json-c's reader, which is used only for numbers and escapes that are not simple. */
struct json_object *json_parse(struct json_tokener *reader, const char *text, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
