/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Shared by the files of the room `schema` only. A compiled schema is a list of rules, in the order of the checks. Most
 * keywords make one rule; a few make one together (properties, patternProperties and additionalProperties, for
 * example). */
#ifndef SCHEMA_PARTS_H
#define SCHEMA_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/text.h"
#include "schema/schema.h"

struct json_object;
struct pattern;
struct patterns;

/* --- values (value.c) --- */

/* The type of a value. An integer is also a number. */
enum type {
    TYPE_NULL = 1 << 0,
    TYPE_BOOLEAN = 1 << 1,
    TYPE_INTEGER = 1 << 2,
    TYPE_NUMBER = 1 << 3,
    TYPE_STRING = 1 << 4,
    TYPE_ARRAY = 1 << 5,
    TYPE_OBJECT = 1 << 6,
};
#define TYPE_ANY 0x7fU

/* A number. A whole number that fits 64 bits is exact, as sign and magnitude. Every number has its nearest double. */
struct number {
    double real;
    uint64_t magnitude;
    bool negative;
    bool exact;
};

struct number number_of(struct json_object *json);

/* -1, 0 or 1 as of strcmp(), and always exact; 2 if one is not a number. */
int number_compare(const struct number *a, const struct number *b);

/* A value, prepared for the rules. `json` is NULL for null and for the name of a property, which is only text. */
struct value {
    unsigned types;
    struct json_object *json;
    const char *text;
    size_t length;
    struct number number;
};

struct value value_of(struct json_object *json);
struct value value_of_name(const char *name);

/* The bound of recursion into a value, somewhat more than JSON_DEPTH_MAX, to protect the stack. */
#define VALUE_DEPTH_MAX 1100

/* Equality of JSON Schema: 1 equals 1.0, and the order of members does not matter. Subtracts its steps from *budget; at
 * 0 the result is false. */
bool value_equal(const struct value *a, const struct value *b, size_t *budget);

/* Equal values have equal hashes. */
uint64_t value_hash(const struct value *value, size_t *budget);
uint64_t name_hash(const char *name, size_t *length);

/* The cost of reading this many bytes, in steps of a check: a text to count or hash, a name to look up. */
static inline size_t cost_of(size_t length)
{
    return length / 64 + 1;
}

/* The value on one line, shortened: `"some text…"`, `1.4`, `an array of 3`. */
void value_show(struct text *text, const struct value *value);
void name_show(struct text *text, const char *name, size_t length);

/* A number in decimal, digits * 10^exponent, because multiples of 0.01 are a decimal notion.
 * */
struct decimal {
    uint64_t digits;
    int exponent;
};

struct decimal decimal_of(const struct number *number); /* finite */
bool decimal_is_multiple(struct decimal number, struct decimal of);

/* --- patterns (pattern.c) --- */

/* All patterns of a set, and their common limits. */
struct patterns *patterns_new(void);
void patterns_free(struct patterns *patterns);

/* NULL, with the reason, if it is not a regular expression or there are too many. Belongs to the patterns. */
const struct pattern *patterns_add(struct patterns *patterns, const char *source, size_t length, struct fault *fault);

const char *pattern_source(const struct pattern *pattern);

/* Memory for the matches of one check, on the stack, so that they need no allocation. Starts with in_use = false. */
struct pattern_room {
    bool in_use;
    size_t used;
    void *memory;        /* pcre2's general context */
    void *limits;        /* its match context */
    void *matched;       /* its match data */
    struct timespec end; /* deadline of all matches, in the time of the thread */
    max_align_t room[96];
};

enum pattern_answer { PATTERN_NO, PATTERN_YES, PATTERN_TOO_DEAR };

/* Searches the pattern in the text, and subtracts the cost from the budget. */
enum pattern_answer pattern_match(const struct pattern *pattern, const char *text, size_t length,
                                  struct pattern_room *room, size_t *budget);

void pattern_room_clear(struct pattern_room *room);

/* --- formats (format.c) --- */

struct format {
    const char *name;
    bool (*check)(const char *text, size_t length);
};

/* NULL for a format that is only an annotation. */
const struct format *format_find(const char *name);

/* True if JSON Schema, OpenAPI or AsyncAPI has a format of this name. Otherwise *nearest is the nearest name, or NULL.
 */
bool format_is_known(const char *name, const char **nearest);

/* --- checks (check.c) --- */

/* The budget of one check, in steps of some ten nanoseconds, at most a hundred. A check that needs more ends. The cost
 * of a rule is subtracted before its result is known, because a negative result may cost as much as a positive one. The
 * fuzz targets have a smaller budget, so that they do not spend their time on expensive messages. */
#ifndef CHECK_BUDGET
#define CHECK_BUDGET ((size_t)10000000)
#endif

/* Like schema_check(), and subtracts the cost from a budget. At 0 the result is false. */
bool schema_check_within(const struct schema *schema, struct json_object *value, char *reason, size_t size,
                         size_t *budget) __attribute__((warn_unused_result));

/* --- references (ref.c) --- */

/* The identifiers ($id) of a document, and the base of each relative $ref. */
struct identifiers;

#define IDENTIFIERS_MAX 256

struct identifiers *identifiers_new(struct json_object *root);

/* The first object with a refused $id, and the reason; NULL: none is refused. */
struct json_object *identifiers_refused(const struct identifiers *identifiers, const char **why);
void identifiers_free(struct identifiers *identifiers);
bool identifiers_resolve(const struct identifiers *identifiers, const struct json_object *at, const char *ref,
                         struct json_object **target, struct fault *fault);

/* The same, and remembers the result. */
bool identifiers_learn(struct identifiers *identifiers, const struct json_object *at, const char *ref,
                       struct json_object **target, struct fault *fault);

/* --- the compiled form (compile.c) --- */

enum rule_kind {
    RULE_BROKEN, /* the schema is invalid, and nothing matches */
    RULE_NOTHING,
    RULE_REF,
    RULE_TYPE,
    RULE_CONST,
    RULE_ENUM,
    RULE_MULTIPLE_OF,
    RULE_MAXIMUM,
    RULE_EXCLUSIVE_MAXIMUM,
    RULE_MINIMUM,
    RULE_EXCLUSIVE_MINIMUM,
    RULE_MAX_LENGTH,
    RULE_MIN_LENGTH,
    RULE_PATTERN,
    RULE_FORMAT,
    RULE_MAX_ITEMS,
    RULE_MIN_ITEMS,
    RULE_UNIQUE_ITEMS,
    RULE_ITEMS,
    RULE_TUPLE,
    RULE_CONTAINS,
    RULE_MAX_PROPERTIES,
    RULE_MIN_PROPERTIES,
    RULE_REQUIRED,
    RULE_MEMBERS,
    RULE_PROPERTY_NAMES,
    RULE_DEPENDENCIES,
    RULE_ALL_OF,
    RULE_ANY_OF,
    RULE_ONE_OF,
    RULE_NOT,
    RULE_IF,
};

/* items as a list, allOf, anyOf, oneOf; rest is additionalItems. */
struct schema_list {
    const struct schema **at;
    size_t count;
    const struct schema *rest;
};

struct name_list {
    const char **at;
    size_t count;
    size_t cost; /* of looking up all of them */
};

/* The values of an enum, by ascending hash, and in their original order. */
struct value_list {
    struct json_object *json;
    struct hashed_value {
        uint64_t hash;
        struct json_object *json;
    } * at;
    size_t count;
};

struct member {
    const char *name; /* NULL: an empty slot */
    uint64_t hash;
    const struct schema *schema;
};

struct member_pattern {
    const struct pattern *pattern;
    const struct schema *schema;
};

/* properties as a hash table, patternProperties, additionalProperties (NULL: any). */
struct members {
    struct member *slots;
    size_t mask;
    struct member_pattern *patterns;
    size_t pattern_count;
    const struct schema *rest;
};

struct dependency {
    const char *name;
    struct name_list names;
    const struct schema *schema; /* NULL: a list of names */
};

struct dependency_list {
    struct dependency *at;
    size_t count;
    size_t cost; /* of looking up all names with dependencies */
};

struct condition {
    const struct schema *when;
    const struct schema *then;
    const struct schema *otherwise;
};

struct bound {
    struct number limit;
    struct decimal decimal;
    struct json_object *json;
};

struct rule {
    enum rule_kind kind;
    union {
        unsigned types;
        size_t limit;
        struct bound bound;
        struct json_object *json;
        struct value_list values;
        const struct pattern *pattern;
        const struct format *format;
        const struct schema *schema;
        struct schema_list schemas;
        struct name_list names;
        const struct members *members;
        struct dependency_list dependencies;
        struct condition condition;
    } with;
};

struct schema {
    struct json_object *node; /* its source */
    struct rule *rules;
    size_t count;
    size_t index; /* in its set; SIZE_MAX for the boolean ones */
};

#endif
