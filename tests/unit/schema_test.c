/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * schema: the parts that the JSON Schema Test Suite does not cover, above all the reasons, faults of schemas,
 * references, and termination. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/text.h"
#include "schema/schema.h"

struct loaded {
    struct document *document;
    struct schemas *schemas;
    const struct schema *schema;
};

static struct loaded load(const char *text)
{
    struct loaded loaded = {0};
    struct fault fault = {0};
    loaded.document = document_read(text, strlen(text), &fault);
    if (loaded.document != NULL)
        loaded.schemas = schemas_compile(loaded.document, "", SCHEMA_ASSERT_FORMAT, &loaded.schema, &fault);
    if (loaded.schemas == NULL)
        fail_msg("%s: %s", text, fault.text);
    return loaded;
}

static void unload(struct loaded *loaded)
{
    schemas_free(loaded->schemas);
    document_free(loaded->document);
}

/* Parses a value like the host in a message. */
static struct json_object *parse(const char *text)
{
    struct text body = {0};
    struct fault fault = {0};
    struct json_object *value = NULL;
    text_puts(&body, "{\"v\":");
    text_puts(&body, text);
    text_puts(&body, "}");
    struct json_object *message = json_parse(json_thread_reader(), body.at, body.len, &fault);
    if (message == NULL)
        fail_msg("%.100s: %s", text, fault.text);
    json_object_object_get_ex(message, "v", &value);
    json_object_get(value);
    json_object_put(message);
    text_free(&body);
    return value;
}

/* A text of this many characters between two others. */
static char *long_text(const char *before, size_t count, const char *after)
{
    struct text text = {0};
    text_puts(&text, before);
    text_reserve(&text, count + strlen(after));
    memset(text.at + text.len, 'k', count);
    text.len += count;
    text_puts(&text, after);
    return text.at;
}

/* Checks one value; the reason is "" for a valid one. */
static void assert_says(const char *schema, const char *value, const char *wanted)
{
    char reason[200] = "x";
    struct loaded loaded = load(schema);
    struct json_object *json = parse(value);
    bool right = schema_check(loaded.schema, json, reason, sizeof reason);
    assert_string_equal(reason, wanted);
    assert_int_equal(right, wanted[0] == '\0');
    json_object_put(json);
    unload(&loaded);
}

static void test_reasons(void **state)
{
    (void)state;
    assert_says("{properties: {items: {items: {properties: {weight: {maximum: 1}}}}}}",
                "{\"items\":[{},{},{},{\"weight\":1.4}]}", "/items/3/weight: 1.4 is over the maximum 1");
    assert_says("{type: [object, 'null']}", "3", "3 is not null or an object");
    assert_says("{type: boolean, nullable: true}", "null", "");
    assert_says("{type: boolean, nullable: true}", "0", "0 is not null or a boolean");
    assert_says("{type: boolean, nullable: false}", "null", "null is not a boolean");
    assert_says("{type: boolean, nullable: 'true'}", "null", "null is not a boolean");
    assert_says("{type: string, nullable: true, enum: [a]}", "null", "null is none of \"a\"");
    assert_says("{type: integer}", "1.0", "");
    assert_says("{type: integer}", "1.5", "1.5 is not an integer");
    assert_says("{required: [a, b]}", "{\"a\":1}", "the property \"b\" is missing");
    assert_says("{additionalProperties: false, properties: {a: {}}}", "{\"a/~b\":1}",
                "the property \"a/~b\" is not allowed here");
    assert_says("{properties: {a/~b: {type: string}}}", "{\"a/~b\":[]}", "/a~1~0b: an array of 0 is not a string");
    assert_says("{enum: [a, 1, null, {b: 1}]}", "\"c\"", "\"c\" is none of \"a\", 1, null, an object");
    assert_says("{enum: []}", "1", "1 is none of an empty enum");
    assert_says("{const: 5}", "6", "6 is not 5");
    assert_says("{minimum: 5}", "4.5", "4.5 is under the minimum 5");
    assert_says("{exclusiveMinimum: 5}", "5", "5 is not over 5");
    assert_says("{exclusiveMaximum: 5}", "5", "5 is not under 5");
    assert_says("{multipleOf: 0.01}", "0.075", "0.075 is not a multiple of 0.01");
    assert_says("{minLength: 1}", "\"\"", "\"\" has 0 characters, under the minimum 1");
    assert_says("{maxLength: 2}", "\"\\u00e9\\u00e9\\u00e9\"", "\"ééé\" has 3 characters, over the maximum 2");
    assert_says("{pattern: '^a+$'}", "\"ab\"", "\"ab\" does not match \"^a+$\"");
    assert_says("{format: uuid}", "\"x\"", "\"x\" is not a valid uuid");
    assert_says("{format: unheard-of}", "\"x\"", "");
    assert_says("{minItems: 2}", "[1]", "1 items are under the minimum 2");
    assert_says("{uniqueItems: true}", "[1,{\"a\":[2]},1.5,{\"a\":[2.0]}]", "the items 1 and 3 are equal");
    assert_says("{contains: {const: 1}}", "[2,3]", "none of the 2 items matches the schema under contains");
    assert_says("{maxProperties: 0}", "{\"a\":1}", "1 properties are over the maximum 0");
    assert_says("{dependencies: {a: [b]}}", "{\"a\":1}",
                "the property \"b\" is missing; it is required together with \"a\"");
    assert_says("{propertyNames: {maxLength: 1}}", "{\"ab\":1}",
                "\"ab\" has 2 characters, over the maximum 1 (in the name of a property)");
    assert_says("{not: {type: string}}", "\"x\"", "\"x\" matches the schema under not");
    assert_says("false", "\"x\"", "\"x\" is not allowed; no value is");
    assert_says("{if: {type: string}, then: {minLength: 1}, else: {type: integer}}", "[]",
                "an array of 0 is not an integer");
}

static void test_alternatives(void **state)
{
    (void)state;
    assert_says("{oneOf: [{properties: {a: {type: string}}}]}", "{\"a\":1}", "/a: 1 is not a string");
    assert_says("{anyOf: [{type: string}, {properties: {a: {properties: {b: {type: string}}}}}, {required: [z]}]}",
                "{\"a\":{\"b\":1}}", "/a/b: 1 is not a string (in the closest of 3 alternatives of anyOf)");
    assert_says("{oneOf: [{type: number}, {type: integer}, {type: string}]}", "5",
                "5 matches alternatives 1 and 2 of oneOf; must match exactly one");
    assert_says("{not: {anyOf: [{type: number}, {not: {type: string}}]}}", "\"x\"", "");
    assert_says("{anyOf: [{anyOf: [{type: string}, {items: {type: string}}]}, {type: boolean}]}", "[1]",
                "/0: 1 is not a string (in the closest of 2 alternatives of anyOf) (in the closest of 2 alternatives "
                "of anyOf)");
}

static void test_shortened(void **state)
{
    char reason[24] = "";
    (void)state;
    assert_says("{type: integer}", "\"012345678901234567890123456789012345678901234567890\"",
                "\"012345678901234567890123456789012345678901234567…\" is not an integer");
    assert_says("{type: integer}", "\"a\\nb\\u0000\"", "\"a\\nb\\x00\" is not an integer");
    struct loaded loaded = load("{type: integer}");
    struct json_object *json = parse("\"ééééééééééé\"");
    assert_false(schema_check(loaded.schema, json, reason, sizeof reason));
    assert_string_equal(reason, "\"ééééééééééé");
    assert_false(schema_check(loaded.schema, json, reason, 1));
    assert_string_equal(reason, "");
    assert_false(schema_check(loaded.schema, json, NULL, 0));
    json_object_put(json);
    unload(&loaded);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_says("{minimum: 18446744073709551615}", "18446744073709551615", "");
    assert_says("{minimum: 18446744073709551615}", "18446744073709551614",
                "18446744073709551614 is under the minimum 18446744073709551615");
    assert_says("{maximum: 9007199254740992}", "9007199254740993",
                "9007199254740993 is over the maximum 9007199254740992");
    assert_says("{exclusiveMaximum: 9223372036854775807}", "9223372036854775806", "");
    assert_says("{type: integer}", "1e300", "");
    assert_says("{maximum: 18446744073709551615}", "18446744073709551616.0",
                "1.8446744073709552e+19 is over the maximum 18446744073709551615");
    assert_says("{minimum: 1.8446744073709551616e19}", "18446744073709551615",
                "18446744073709551615 is under the minimum 1.8446744073709552e+19");
    assert_says("{const: -9223372036854775808}", "-9223372036854775808", "");
    assert_says("{minimum: -9223372036854775808.0}", "-9223372036854775808", "");
    assert_says("{maximum: 1e20}", "1000000000000000000000", "1e+21 is over the maximum 1e+20");
    assert_says("{minimum: -1e20}", "-1000000000000000000000", "-1e+21 is under the minimum -1e+20");
    assert_says("{const: 100000000000000000000}", "100000000000000000000", "");
    assert_says("{const: 18446744073709551615}", "100000000000000000000", "1e+20 is not 18446744073709551615");
    assert_says("{type: integer, multipleOf: 7}", "70000000000000000000", "");
    assert_says("{uniqueItems: true}", "[100000000000000000000,200000000000000000000,18446744073709551615]", "");
    assert_says("{maximum: -0.5}", "-1", "");
    assert_says("{minimum: -0.5}", "-1", "-1 is under the minimum -0.5");
    assert_says("{const: 1.0}", "1", "");
    assert_says("{enum: [0]}", "-0.0", "");
    assert_says("{multipleOf: 0.1}", "0.3", "");
    assert_says("{multipleOf: 0.1}", "1e22", "");
    assert_says("{multipleOf: 0.0001}", "0.0075", "");
    assert_says("{multipleOf: 1e-8}", "12391239123", "");
    assert_says("{multipleOf: 0.123456789}", "1e308", "1e+308 is not a multiple of 0.123456789");
    assert_says("{multipleOf: 3}", "18446744073709551615", "");
    assert_says("{multipleOf: 7}", "-14", "");
    assert_says("{multipleOf: 1e300}", "3e300", "");
    assert_says("{multipleOf: 2.5}", "0", "");
    assert_says("{multipleOf: 1e-300}", "5e-324", "4.94065645841247e-324 is not a multiple of 1e-300");
}

static void test_strings(void **state)
{
    (void)state;
    assert_says("{const: \"a\\0b\"}", "\"a\\u0000b\"", "");
    assert_says("{const: \"a\\0b\"}", "\"a\\u0000c\"", "\"a\\x00c\" is not \"a\\x00b\"");
    assert_says("{minLength: 3, maxLength: 3}", "\"a\\u0000b\"", "");
    assert_says("{maxLength: 1}", "\"\\ud83d\\ude00\"", "");
    assert_says("{pattern: '^.$'}", "\"\\ud83d\\ude00\"", "");
    assert_says("{pattern: '^\\u00e9\\d$'}", "\"é5\"", "");
    assert_says("{pattern: '^a$'}", "\"a\\n\"", "\"a\\n\" does not match \"^a$\"");
    assert_says("{pattern: '\\p{L}'}", "\"é\"", "");
    /* a hyphen beside a class is itself, and [: is no class */
    assert_says("{pattern: '^[\\w-\\.]+@([\\w-]+\\.)+[\\w-]{2,4}$'}", "\"a-b.c@d-e.eu\"", "");
    assert_says("{pattern: '^[\\d-x]+$'}", "\"1-x\"", "");
    assert_says("{pattern: '^[\\d-x]+$'}", "\"w\"", "\"w\" does not match \"^[\\d-x]+$\"");
    assert_says("{pattern: '^[+-\\d]+$'}", "\"+-5\"", "");
    assert_says("{pattern: '^[+-\\d]+$'}", "\",\"", "\",\" does not match \"^[+-\\d]+$\"");
    assert_says("{pattern: '^[\\p{Lu}-z]+$'}", "\"É-z\"", "");
    assert_says("{pattern: '^[a-c-\\d]+$'}", "\"b-1\"", "");
    assert_says("{pattern: '^[-\\w][\\w-][^-\\d]$'}", "\"--a\"", "");
    assert_says("{pattern: '^[\\[-\\]]+-\\w-.$'}", "\"[]-a-b\"", "");
    assert_says("{pattern: '^[[:alpha:]+$'}", "\"[a:h\"", "");
    assert_says("{pattern: '^[^[:digit:]$'}", "\"5\"", "");
    assert_says("{pattern: '^[^]-[\\d]$'}", "\"x-5\"", "");
    assert_says("{pattern: '^(?:a)(?=b)(?!c)(?<x>b)(?<=b)(?<!c)\\k<x>[(?i)(*\\b]$'}", "\"abb?\"", "");
    assert_says("{pattern: '^\\v[\\v]\\t\\cJ\\x41\\u0042\\0\\.\\-\\/$'}", "\"\\u000b\\u000b\\t\\nAB\\u0000.-/\"", "");
    assert_says("{pattern: '^\\v$'}", "\"\\u2028\"", "\"\\u2028\" does not match \"^\\v$\"");
}

static void assert_refused(const char *schema, const char *reason)
{
    struct fault fault = {0};
    const struct schema *compiled = NULL;
    struct document *document = document_read(schema, strlen(schema), &fault);
    if (document == NULL)
        fail_msg("%s: %s", schema, fault.text);
    struct schemas *schemas = schemas_compile(document, "", 0, &compiled, &fault);
    if (schemas != NULL)
        fail_msg("compiled: %s", schema);
    assert_string_equal(fault.text, reason);
    document_free(document);
}

static void test_faults(void **state)
{
    (void)state;
    assert_refused("3", "line 1, column 1: is not a schema");
    assert_refused("{type: strnig}", "line 1, column 2: /type: \"strnig\" is not a type");
    assert_refused("{type: []}", "line 1, column 2: /type: an array of 0 is not a type");
    assert_refused("{type: [string, 3]}", "line 1, column 2: /type: 3 is not a type");
    assert_refused("properties:\n  a/b:\n    minimum: '1'\n",
                   "line 3, column 5: /properties/a~1b/minimum: \"1\" is not a number");
    assert_refused("{exclusiveMinimum: true}", "line 1, column 2: /exclusiveMinimum: true is not a number");
    assert_refused("{multipleOf: 0}", "line 1, column 2: /multipleOf: 0 is not over 0");
    assert_refused("{minLength: -1}", "line 1, column 2: /minLength: -1 is not a whole number of at least 0");
    assert_refused("{minLength: 1.5}", "line 1, column 2: /minLength: 1.5 is not a whole number of at least 0");
    assert_refused("{maximum: .nan}", "line 1, column 2: /maximum: is not a number that anything can be compared with");
    assert_refused("{pattern: '(a'}",
                   "line 1, column 2: /pattern: \"(a\" is not a regular expression: missing closing parenthesis, at "
                   "character 3");
    assert_refused(
        "{patternProperties: {'[': {}}}",
        "line 1, column 22: /patternProperties/[: \"[\" is not a regular expression: missing terminating ] for "
        "character class, at character 2");
    static const char *const foreign[] = {"\\A", "\\Z", "\\z", "\\Q", "\\E", "\\h", "\\R",
                                          "\\K", "\\a", "(?i", "(?>", "(?#", "(?P", "(*"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        char schema[64], wanted[128];
        snprintf(schema, sizeof schema, "{pattern: 'a%s)b'}", foreign[i]);
        snprintf(wanted, sizeof wanted,
                 "line 1, column 2: /pattern: \"a%s)b\" is not a regular expression of ECMA 262: %s, at character 2",
                 foreign[i], foreign[i]);
        assert_refused(schema, wanted);
    }
    assert_refused(
        "{pattern: '[a\\A]'}",
        "line 1, column 2: /pattern: \"[a\\A]\" is not a regular expression of ECMA 262: \\A, at character 3");
    assert_refused("{required: a}", "line 1, column 2: /required: \"a\" is not a list of strings");
    assert_refused("{required: [1]}", "line 1, column 13: /required/0: 1 is not a string");
    assert_refused("{enum: 1}", "line 1, column 2: /enum: 1 is not a list of values");
    assert_refused("{properties: []}", "line 1, column 2: /properties: an array of 0 is not an object of schemas");
    assert_refused("{properties: {a: 1}}", "line 1, column 15: /properties/a: 1 is not a schema");
    assert_refused("{allOf: []}", "line 1, column 2: /allOf: an array of 0 is not a list of schemas");
    assert_refused("{allOf: [{}, 5]}", "line 1, column 14: /allOf/1: 5 is not a schema");
    assert_refused("{dependencies: {a: [b, 5]}}", "line 1, column 24: /dependencies/a/1: 5 is not a string");
    assert_refused("{allOf: [null]}", "line 1, column 2: /allOf: null is not a schema");
    assert_refused("{uniqueItems: 1}", "line 1, column 2: /uniqueItems: 1 is neither true nor false");
    assert_refused("{dependencies: {a: 1}}", "line 1, column 17: /dependencies/a: 1 is not a schema");
    assert_refused("{$ref: 3}", "line 1, column 2: /$ref: is not a string");
    assert_refused("{$ref: '#/x'}", "line 1, column 2: /$ref: \"#/x\" leads to nothing");
    assert_refused("{$ref: '#x'}", "line 1, column 2: /$ref: \"#x\" leads to nothing");
    assert_refused("{$ref: 'x.json'}", "line 1, column 2: /$ref: \"x.json\" leads out of the document");
    assert_refused("{$ref: '#'}", "line 1, column 2: /$ref: leads back to itself without going deeper into the value");
    assert_refused("{properties: {a: {not: {$ref: '#/properties/a'}}}}",
                   "line 1, column 18: /properties/a: leads back to itself without going deeper into the value");
}

static void collect_report(void *context, struct place place, const char *text)
{
    text_printf(context, "%u:%u %s\n", place.line, place.column, text);
}

/* Each fault has its own place, and none hides another. */
static void test_several_faults(void **state)
{
    static const char schema[] = "properties:\n  a:\n  b: 5\n  c: {type: strnig}\n"
                                 "patternProperties:\n  '[': {}\n  x: []\n"
                                 "dependencies:\n  d: 1\n  e: [1, f, 2]\n"
                                 "allOf: [1, {}, 2]\nrequired: [3, a, 4]\n";
    struct text said = {0};
    struct fault fault = {0};
    (void)state;
    struct document *document = document_read(schema, sizeof schema - 1, &fault);
    struct schemas *schemas = schemas_new(document, 0, collect_report, &said);
    (void)schemas_add(schemas, document_root(document));
    assert_string_equal(said.at,
                        "12:12 /required/0: 3 is not a string\n12:18 /required/2: 4 is not a string\n"
                        "2:3 /properties/a: null is not a schema\n3:3 /properties/b: 5 is not a schema\n"
                        "6:3 /patternProperties/[: \"[\" is not a regular expression: missing terminating ] for "
                        "character class, at character 2\n"
                        "7:3 /patternProperties/x: an array of 0 is not a schema\n"
                        "9:3 /dependencies/d: 1 is not a schema\n10:7 /dependencies/e/0: 1 is not a string\n"
                        "10:13 /dependencies/e/2: 2 is not a string\n11:9 /allOf/0: 1 is not a schema\n"
                        "11:16 /allOf/2: 2 is not a schema\n4:7 /properties/c/type: \"strnig\" is not a type\n");
    schemas_free(schemas);
    document_free(document);
    text_free(&said);
}

static void test_circles(void **state)
{
    static const char list[] = "{type: object, properties: {next: {$ref: '#'}, v: {type: integer}}, required: [v]}";
    (void)state;
    assert_says(list, "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}", "");
    assert_says(list, "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":\"x\"}}}", "/next/next/v: \"x\" is not an integer");
    /* a circle that is not where the measuring begins */
    assert_refused("{items: {$ref: '#/a'}, a: {allOf: [{$ref: '#/b'}]}, b: {anyOf: [{type: string}, {$ref: '#/a'}]}}",
                   "line 1, column 27: /a: leads back to itself without going deeper into the value");
}

static void test_references(void **state)
{
    (void)state;
    assert_says("{$ref: '#/$defs/a%25b', type: boolean, $defs: {'a%b': {type: string}}}", "\"x\"", "");
    assert_says("{items: {$ref: '#here'}, x: {$id: '#here', type: string}}", "[1]", "/0: 1 is not a string");
    assert_says("{$id: 'http://h/a/b', items: {$ref: '../c?x#/k'}, x: {$id: '../c?x', k: {type: string}}}", "[1]",
                "/0: 1 is not a string");
    assert_says("{properties: {$ref: {type: string}}}", "{\"$ref\":1}", "/$ref: 1 is not a string");
    assert_says("{x: &s {type: string}, items: *s}", "[1]", "/0: 1 is not a string");
    assert_says("{enum: [{$id: 'http://h/x'}], items: {$ref: '#/enum/0'}}", "[1]",
                "an array of 1 is none of an object");
}

/* A $id over the bounds is reported; otherwise references to it would fail without a reason. */
static void test_many_identifiers(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        struct text text = {0};
        text_printf(&text, "items: {$ref: '#n%d'}\nagain: [&s {$id: '#s'}, *s, *s]\nnames:\n", 254 + over);
        for (int i = 0; i < 255 + over; i++)
            text_printf(&text, "  - {$id: '#n%d', type: string}\n", i);
        if (over == 0)
            assert_says(text.at, "[1]", "/0: 1 is not a string");
        else
            assert_refused(text.at, "line 259, column 6: /names/255/$id: too many $id");
        text_free(&text);
    }
    char *name = long_text("{$id: 'http://h/", 2000, "'}");
    assert_refused(name, "line 1, column 2: /$id: the $id is too long");
    free(name);
}

static void test_unique_items(void **state)
{
    struct text text = {0};
    (void)state;
    text_puts(&text, "[");
    for (int i = 0; i < 100000; i++)
        text_printf(&text, "%d,\"%d\",", i, i);
    size_t length = text.len;
    text_puts(&text, "-1]");
    clock_t begin = clock();
    assert_says("{uniqueItems: true}", text.at, "");
    text.len = length;
    text_puts(&text, "99999.0]");
    assert_says("{uniqueItems: true}", text.at, "the items 199998 and 200000 are equal");
    assert_true(clock() - begin < 20 * CLOCKS_PER_SEC);

    /* whole numbers of which very many have the same nearest double */
    text_clear(&text);
    text_puts(&text, "[");
    for (int i = 0; i < 100000; i++)
        text_printf(&text, "17000000000000%05d,", i);
    length = text.len;
    text_puts(&text, "1]");
    assert_says("{uniqueItems: true}", text.at, "");
    text.len = length;
    text_puts(&text, "1700000000000099999]");
    assert_says("{uniqueItems: true}", text.at, "the items 99999 and 100000 are equal");
    text_free(&text);

    /* equal numbers are found, however they are written */
    assert_says("{uniqueItems: true}", "[1,-1,1e0]", "the items 0 and 2 are equal");
    assert_says("{uniqueItems: true}", "[0,-0.0]", "the items 0 and 1 are equal");
    assert_says("{uniqueItems: true}", "[-9223372036854775808,9223372036854775808,9223372036854775808.0]",
                "the items 1 and 2 are equal");
    assert_says("{uniqueItems: true}", "[0.5,5e-1]", "the items 0 and 1 are equal");
    assert_says("{uniqueItems: true}", "[100000000000000000000,1e20]", "the items 0 and 1 are equal");
}

/* Checks that the value is refused for this reason, and that compilation and check are fast. */
static void assert_ends(const char *schema, const char *value, const char *wanted)
{
    char reason[200] = "";
    clock_t begin = clock();
    struct loaded loaded = load(schema);
    struct json_object *json = parse(value);
    bool right = schema_check(loaded.schema, json, reason, sizeof reason);
    clock_t took = clock() - begin;
    if (right || strstr(reason, wanted) == NULL)
        fail_msg("%.200s: %.100s: %s", schema, value, reason);
    assert_true((double)took / CLOCKS_PER_SEC < stretched(10));
    json_object_put(json);
    unload(&loaded);
}

static void test_hostile_patterns(void **state)
{
    struct text text = {0};
    (void)state;
    assert_ends("{pattern: '^(a+)+$'}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
                "takes too long");
    assert_ends("{pattern: '(x+x+)+[yz]'}", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
                "takes too long");
    /* also where the answer would be turned round, or not be told */
    assert_ends("{not: {pattern: '^(a+)+$'}}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
                "takes too long");
    assert_ends("{anyOf: [{pattern: '^(a+)+$'}, {}]}",
                "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", "takes too long");
    text_puts(&text, "[");
    for (int i = 0; i < 20000; i++)
        text_puts(&text, "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",");
    text_puts(&text, "1]");
    assert_ends("{contains: {type: boolean}, items: {not: {pattern: '(x+x+x+x+)[yz]'}}}", text.at, "");
    text_free(&text);
}

static void test_long_strings(void **state)
{
    struct text text = {0};
    (void)state;
    text_puts(&text, "\"");
    for (int i = 0; i < 100000; i++)
        text_puts(&text, "0123456789");
    text_puts(&text, "\"");
    assert_says("{pattern: '^[0-9]+$', minLength: 1000000, maxLength: 1000000}", text.at, "");
    assert_says("{pattern: '789$'}", text.at, "");
    text.len = 20001; /* what goes back at every character needs memory for each */
    text_puts(&text, "\"");
    assert_says("{pattern: '^([0-9]|[a-f])*$'}", text.at, "");
    text_free(&text);
}

static void test_hostile_schemas(void **state)
{
    struct text text = {0};
    (void)state;
    /* twice the work at every level */
    for (int i = 0; i < 50; i++)
        text_printf(&text, "d%d: {allOf: [{$ref: '#/d%d'}, {$ref: '#/d%d'}]}\n", i, i + 1, i + 1);
    text_puts(&text, "d50: {type: string}\n$ref: '#/d20'\n");
    assert_ends(text.at, "\"x\"", "takes too long");

    text_clear(&text);
    for (int i = 0; i < 300; i++)
        text_printf(&text, "d%d: {$ref: '#/d%d'}\n", i, i + 1);
    text_puts(&text, "d300: {}\n$ref: '#/d0'\n");
    struct fault fault = {0};
    const struct schema *schema = NULL;
    struct document *document = document_read(text.at, text.len, &fault);
    assert_null(schemas_compile(document, "", 0, &schema, &fault));
    assert_non_null(strstr(fault.text, "leads through too many schemas"));
    document_free(document);

    text_clear(&text);
    text_puts(&text, "{enum: [");
    for (int i = 0; i < 200000; i++)
        text_printf(&text, "s%d, ", i);
    text_puts(&text, "end]}");
    assert_ends(text.at, "\"no\"", "\"no\" is none of \"s0\", \"s1\"");
    text_free(&text);
}

/* Schemas with twice as many negative results at every level: each must cost budget, or the check never ends. */
static void test_dear_refusals(void **state)
{
    char *string = long_text("\"", 1000000, "\""), *name = long_text("{\"", 1000000, "\":1}");
    char *required = long_text("{required: [", 1000000, "]}");
    char *dependency = long_text("{dependencies: {a: [", 1000000, "]}}");
    char *depends = long_text("{not: {dependencies: {? ", 1000000, " : [b]}}}");
    const struct {
        int levels;
        const char *leaf;
        const char *value;
    } cases[] = {
        {12, "{maxLength: 1}", string},
        {12, "{minLength: 2000000, maxLength: 3000000}", string},
        {12, "{format: email}", string},
        {12, "{properties: {a: {}}, additionalProperties: false}", name},
        {12, "{propertyNames: {maxLength: 3}}", name},
        {12, "{enum: [{a: 1}]}", name},
        {20, "{multipleOf: 0.3}", "0.123456789"},
        {15, "{multipleOf: 7.0e-300}", "1.23e+300"},
        {12, required, "{}"},
        {12, dependency, "{\"a\":1}"},
        {12, depends, "{\"a\":1}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text text = {0};
        for (int level = 0; level < cases[i].levels; level++)
            text_printf(&text, "s%d: {anyOf: [{$ref: '#/s%d'}, {$ref: '#/s%d'}]}\n", level, level + 1, level + 1);
        text_printf(&text, "s%d: %s\n$ref: '#/s0'\n", cases[i].levels, cases[i].leaf);
        assert_ends(text.at, cases[i].value, "takes too long");
        text_free(&text);
    }
    free(string);
    free(name);
    free(required);
    free(dependency);
    free(depends);
}

static void test_deep_values(void **state)
{
    struct text text = {0};
    (void)state;
    for (int i = 0; i < 999; i++)
        text_puts(&text, "[");
    for (int i = 0; i < 999; i++)
        text_puts(&text, "]");
    assert_says("{items: {$ref: '#'}}", text.at, "");
    assert_says("{anyOf: [{type: string}, {items: {$ref: '#'}}], uniqueItems: true}", text.at, "");
    assert_ends("{allOf: [{allOf: [{allOf: [{items: {$ref: '#'}}]}]}]}", text.at, "nested too deep");
    text_free(&text);
}

static void test_formats(void **state)
{
    static const struct {
        const char *format;
        const char *text;
        bool right;
    } cases[] = {
        {"date-time", "2026-02-28T23:59:59Z", true},
        {"date-time", "2024-02-29t00:00:00.123+05:30", true},
        {"date-time", "2026-02-29T00:00:00Z", false},
        {"date-time", "2026-01-01T00:00:00", false},
        {"date-time", "1998-12-31T15:59:60.1-08:00", true},
        {"date-time", "1998-12-31T22:59:60Z", false},
        {"date-time", "2026-01-01T24:00:00Z", false},
        {"date-time", "2026-01-01 00:00:00Z", false},
        {"date-time", "2026-01-01T00:00:00.Z", false},
        {"date-time", "2026-13-01T00:00:00Z", false},
        {"email", "a.b+c@example.org", true},
        {"email", "\\\"a b\\\"@example.org", true},
        {"email", "a@[127.0.0.1]", true},
        {"email", "a@[IPv6:::1]", true},
        {"email", "a..b@example.org", false},
        {"email", ".a@example.org", false},
        {"email", "a@-example.org", false},
        {"email", "@example.org", false},
        {"email", "a@", false},
        {"email", "a", false},
        {"email", "a@b@c", false},
        {"email", "\\\"a\\\"b\\\"@c", false},
        {"uri", "http://u:p@h:80/a/b?c=d&e#f", true},
        {"uri", "urn:isbn:0451450523", true},
        {"uri", "mailto:a@b", true},
        {"uri", "http://[::1]/", true},
        {"uri", "http://[v1.x]/", true},
        {"uri", "/relative", false},
        {"uri", "http://h/a b", false},
        {"uri", "http://h/%zz", false},
        {"uri", "http://[::1", false},
        {"uri", "1http://h", false},
        {"uri", "http://h/é", false},
        {"uri", "http://h/#a#b", false},
        {"uri", "http://h:8a/", false},
        {"uuid", "01234567-89ab-CDEF-0123-456789abcdef", true},
        {"uuid", "0123456789abcdef0123456789abcdef", false},
        {"uuid", "01234567-89ab-cdef-0123-456789abcdeg", false},
        {"ipv4", "192.0.2.1", true},
        {"ipv4", "192.0.2.256", false},
        {"ipv4", "192.0.2", false},
        {"ipv4", "192.0.02.1", false},
        {"ipv4", "", false},
        {"ipv6", "2001:db8::1", true},
        {"ipv6", "::ffff:192.0.2.1", true},
        {"ipv6", "1::2::3", false},
        {"ipv6", "fe80::1%eth0", false},
        {"ipv4", "127.0.0.1\\u0000", false},
        {"uuid", "", false},
        {"date-time", "", false},
        {"uri", "", false},
    };
    char schema[64];
    char value[100];
    char reason[100];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(schema, sizeof schema, "{format: %s}", cases[i].format);
        snprintf(value, sizeof value, "\"%s\"", cases[i].text);
        struct loaded loaded = load(schema);
        struct json_object *json = parse(value);
        if (schema_check(loaded.schema, json, reason, sizeof reason) != cases[i].right)
            fail_msg("%s: %s", schema, value);
        json_object_put(json);
        unload(&loaded);
    }
}

/* Without the flag, a format is an annotation. */
static void test_format_as_note(void **state)
{
    static const char text[] = "{format: uuid}";
    char reason[100];
    const struct schema *schema = NULL;
    struct fault fault = {0};
    (void)state;
    struct document *document = document_read(text, sizeof text - 1, &fault);
    struct schemas *schemas = schemas_compile(document, "", 0, &schema, &fault);
    struct json_object *json = json_object_new_string("x");
    assert_true(schema_check(schema, json, reason, sizeof reason));
    json_object_put(json);
    schemas_free(schemas);
    schemas_free(NULL);
    document_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),        cmocka_unit_test(test_alternatives),
        cmocka_unit_test(test_shortened),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_several_faults), cmocka_unit_test(test_circles),
        cmocka_unit_test(test_references),     cmocka_unit_test(test_many_identifiers),
        cmocka_unit_test(test_unique_items),   cmocka_unit_test(test_hostile_patterns),
        cmocka_unit_test(test_long_strings),   cmocka_unit_test(test_hostile_schemas),
        cmocka_unit_test(test_dear_refusals),  cmocka_unit_test(test_deep_values),
        cmocka_unit_test(test_formats),        cmocka_unit_test(test_format_as_note),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
