/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Unit tests of the room `document`. */
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

#include "base/text.h"
#include "document/document.h"

static struct document *read_text(const char *text)
{
    struct fault fault = {0};
    struct document *document = document_read(text, strlen(text), &fault);
    if (document == NULL)
        fail_msg("%s: %s", text, fault.text);
    return document;
}

static void assert_reads_as(const char *text, const char *json)
{
    struct document *document = read_text(text);
    assert_string_equal(json_object_to_json_string_ext(document_root(document), JSON_C_TO_STRING_PLAIN), json);
    document_free(document);
}

static void assert_refused(const char *text, const char *reason)
{
    struct fault fault = {0};
    struct document *document = document_read(text, strlen(text), &fault);
    if (document != NULL)
        fail_msg("read: %s", text);
    assert_string_equal(fault.text, reason);
}

static void test_scalars(void **state)
{
    static const struct {
        const char *yaml;
        const char *json;
    } cases[] = {
        {"yes", "true"},
        {"Off", "false"},
        {"on", "true"},
        {"TRUE", "true"},
        {"y", "\"y\""},
        {"yEs", "\"yEs\""},
        {"~", "null"},
        {"null", "null"},
        {"Null", "null"},
        {"nULL", "\"nULL\""},
        {"''", "\"\""},
        {"12", "12"},
        {"+12", "12"},
        {"-12", "-12"},
        {"-0", "0"},
        {"1_000", "1000"},
        {"0x1F", "31"},
        {"-0x1f", "-31"},
        {"017", "15"},
        {"0b101", "5"},
        {"08", "\"08\""},
        {"0o17", "\"0o17\""},
        {"190:20:30", "685230"},
        {"12:30", "750"},
        {"12:60", "\"12:60\""},
        {"0:30", "\"0:30\""},
        {"_1", "\"_1\""},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"18446744073709551615", "18446744073709551615"},
        {"1.5", "1.5"},
        {"-1.5e3", "-1500.0"},
        {"1e3", "1000.0"},
        {"0.10", "0.10"},
        {"0.5_0", "0.5"},
        {"1E-2", "0.01"},
        {".5", "0.5"},
        {"1.", "1.0"},
        {"1_0.5", "10.5"},
        {"1.0.0", "\"1.0.0\""},
        {"2.6.0", "\"2.6.0\""},
        {".", "\".\""},
        {"e3", "\"e3\""},
        {"1e", "\"1e\""},
        {"-", "[null]"},
        {".e3", "\".e3\""},
        {".inf", "Infinity"},
        {"-.INF", "-Infinity"},
        {".nan", "NaN"},
        {"2026-01-31", "\"2026-01-31\""},
        {"2026-01-31T10:00:00Z", "\"2026-01-31T10:00:00Z\""},
        {"'12'", "\"12\""},
        {"\"yes\"", "\"yes\""},
        {"!!str 12", "\"12\""},
        {"! yes", "\"yes\""},
        {"!!int '12'", "12"},
        {"!!float 3", "3.0"},
        {"!!bool 'on'", "true"},
        {"!!null ''", "null"},
        {"=", "\"=\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_reads_as(cases[i].yaml, cases[i].json);
    assert_reads_as("18446744073709551616", "1.8446744073709552e+19");
    assert_reads_as("0xfffffffffffffffff", "2.9514790517935283e+20");
    assert_refused("!!int x", "line 1, column 1: x is not what its tag says");
}

static void test_json(void **state)
{
    (void)state;
    assert_reads_as("{\"a\":[1,-2.5,1e2,true,false,null,\"x\"],\"b\":{}}",
                    "{\"a\":[1,-2.5,100.0,true,false,null,\"x\"],\"b\":{}}");
    assert_reads_as("\t{\n\t\"a\":\t[\n\t\t1\n\t]\n}\n", "{\"a\":[1]}");
    assert_reads_as("\"\\u00e9\\/\\n\\t\\\\\\\"\"", "\"é\\/\\n\\t\\\\\\\"\"");
    assert_reads_as("{\"\\ud83d\\ude00\": \"a\\\\ud83d\\\\ude00\\uD83D\\uDE00z\"}",
                    "{\"😀\":\"a\\\\ud83d\\\\ude00😀z\"}");
    assert_reads_as("[\"\\ud83dx\\ude00\\ud83d\\n\\ud83d\\ud83d\\ude00\"]", "[\"\ufffdx\ufffd\ufffd\\n\ufffd😀\"]");
    assert_reads_as("{\"a\"\n : {\"b\" \r\n\t: \":\"\n},\"c\"\n\n:[\"d\"\n]}", "{\"a\":{\"b\":\":\"},\"c\":[\"d\"]}");
    assert_refused("{\"a\"\n  : 1, \"a\": 2}", "line 2, column 8: the key a is there already, in line 1");
    assert_refused("{\"\\ud83d\\ude00é\": \"\\ud83d\\ude00\", \"a\": 1,\n \"\\ud83d\\ude00\": 1, \"a\": 2}",
                   "line 2, column 21: the key a is there already, in line 1");
    struct document *document = read_text("[\"\\ud83d\\ude00\", \"\\ud83d\\ude00\", 1]");
    struct place place = document_place(document, json_object_array_get_idx(document_root(document), 1));
    assert_int_equal(place.column, 18);
    place = document_place(document, json_object_array_get_idx(document_root(document), 2));
    assert_int_equal(place.column, 34);
    document_free(document);
    document = read_text("[\"a\\u0000b\"]");
    assert_int_equal(json_object_get_string_len(json_object_array_get_idx(document_root(document), 0)), 3);
    document_free(document);
}

static void test_structure(void **state)
{
    (void)state;
    assert_reads_as("a: 1\nb:\n- x\n- y: z\n  w: |\n    text\n    more\n", "{\"a\":1,\"b\":[\"x\",{\"y\":\"z\","
                                                                           "\"w\":\"text\\nmore\\n\"}]}");
    assert_reads_as("a: >-\n  one\n  two\n", "{\"a\":\"one two\"}");
    assert_reads_as("a: 1\r\nb: [x,\r\n  y]\r\n", "{\"a\":1,\"b\":[\"x\",\"y\"]}");
    assert_reads_as("\xef\xbb\xbfö: ü # ä\n", "{\"ö\":\"ü\"}");
    assert_reads_as("%YAML 1.1\n---\na: 1\n...\n", "{\"a\":1}");
    assert_reads_as("yes: no\n1: 2\n", "{\"yes\":false,\"1\":2}"); /* keys are text */
    assert_reads_as("? a\n: b\n", "{\"a\":\"b\"}");
    assert_reads_as("a:\nb: ''\n", "{\"a\":null,\"b\":\"\"}");
    assert_reads_as("# only a scalar\n--- x", "\"x\"");
}

static void test_tabs(void **state)
{
    (void)state;
    assert_reads_as("a:\t1\t# c\n\t\nb: \t2\n \t # c\nc:\t\n  - 1\n", "{\"a\":1,\"b\":2,\"c\":[1]}");
    assert_reads_as("-\t1\n-\t\"x: y\"\n-\t{a: b}\n", "[1,\"x: y\",{\"a\":\"b\"}]");
    assert_reads_as("a: |\n  x\n  \ty\n\n  \t# z\nb: 1\n", "{\"a\":\"x\\n\\ty\\n\\n\\t# z\\n\",\"b\":1}");
    assert_reads_as("a: \"x\n \t\n\ty\"\n", "{\"a\":\"x\\ny\"}");
    assert_reads_as("[a,\t\n\tb\t]\n", "[\"a\",\"b\"]");
    /* what libyaml reads is not rewritten: a line of a scalar may look like an item */
    assert_reads_as("a: \"x\n-\ty\"\n", "{\"a\":\"x -\\ty\"}");
    assert_reads_as("a: 'x\n  -\ty'\nb: p\n -\tq\n", "{\"a\":\"x -\\ty\",\"b\":\"p -\\tq\"}");
    assert_refused("a:\n\tb: 1\n", "line 2, column 1: found character that cannot start any token");
    assert_refused("-\ta: 1\n", "line 1, column 2: found character that cannot start any token");
}

static void test_anchors(void **state)
{
    (void)state;
    assert_reads_as("a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}");
    assert_reads_as("- &x 1\n- *x\n- &x 2\n- *x\n", "[1,1,2,2]");
    assert_reads_as("- &x {a: 1, b: 2}\n- {<<: *x, b: 3, c: 4}\n", "[{\"a\":1,\"b\":2},{\"b\":3,\"c\":4,\"a\":1}]");
    assert_reads_as("- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y], c: 3}\n",
                    "[{\"a\":1},{\"a\":2,\"b\":2},{\"c\":3,\"a\":1,\"b\":2}]");
    assert_reads_as("{'<<': 1}", "{\"<<\":1}");
    assert_reads_as("- &k key\n- {*k : 1}\n", "[\"key\",{\"key\":1}]");
    assert_reads_as("- &n\n- *n\n", "[null,null]");
    struct document *document = read_text("a: &x [1]\nb: *x\n");
    struct json_object *root = document_root(document);
    assert_ptr_equal(json_object_object_get(root, "a"), json_object_object_get(root, "b")); /* not a copy */
    document_free(document);
    assert_refused("a: &x [*x]", "line 1, column 8: the anchor x contains itself");
    assert_refused("a: &x [&x 1]", "line 1, column 8: the anchor x is within itself");
    assert_refused("a: *x", "line 1, column 4: no anchor x before this alias");
    assert_refused("<<: 3", "line 1, column 1: << expects a mapping or a list of mappings");
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("", "line 1, column 1: the document is empty");
    assert_refused("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key a is there already, in line 1");
    assert_refused("{\"a\": 1, \"a\": 2}", "line 1, column 10: the key a is there already, in line 1");
    assert_refused("<<: {}\n<<: {}\n", "line 2, column 1: the key << is there already");
    assert_refused("a\n---\nb\n", "line 2, column 1: a second document begins here; only one is read");
    assert_refused("[1, 2", "line 2, column 1: did not find expected ',' or ']' (while parsing a flow "
                            "sequence, from line 1)");
    assert_refused("{[a]: 1}", "line 1, column 2: a key must be a scalar");
    assert_refused("\"a\\0b\": 1", "line 1, column 1: a key with a NUL character in it");
    assert_refused("a: b\n c: d\xff\n", "line 2, column 6: the byte 0xff is not UTF-8");
    assert_refused("a: \xc0\x80", "line 1, column 4: the byte 0xc0 is not UTF-8");
    assert_refused("a: b\rc: \x07", "line 2, column 4: a control character (it begins with the byte 0x07)");
    assert_refused("a: b\r\nc: \x07", "line 2, column 4: a control character (it begins with the byte 0x07)");
    assert_refused("a: b\xc2\x85\xe2\x80\xa8 \x07",
                   "line 3, column 2: a control character (it begins with the byte 0x07)");
    assert_refused("aéééééééééééééééééééééééééééééé: 1\naéééééééééééééééééééééééééééééé: 2\n",
                   "line 2, column 1: the key aééééééééééééééééééééééééééééé… is there already, in line 1");
    assert_refused("a: \x07", "line 1, column 4: a control character (it begins with the byte 0x07)");
    assert_refused("a: !x b", "line 1, column 4: the tag !x is not known");
    assert_refused("a: !!set {b}", "line 1, column 4: the tag tag:yaml.org,2002:set is not known");
}

static void test_places(void **state)
{
    (void)state;
    struct document *document = read_text("# c\na: 1\nbé:\n  - x\n  -   c: ~\n      e: {f: 5}\n");
    struct json_object *node = NULL;
    struct place place = {0};
    assert_true(document_at(document_root(document), "/bé/1", &node));
    place = document_place(document, node);
    assert_int_equal(place.line, 5);
    assert_int_equal(place.column, 7);
    place = document_place_of_key(document, node, "c");
    assert_int_equal(place.line, 5);
    assert_int_equal(place.column, 7);
    place = document_place_of_key(document, node, "nothing");
    assert_int_equal(place.line, 5);
    assert_true(document_at(node, "/e/f", &node));
    place = document_place(document, node);
    assert_int_equal(place.line, 6);
    assert_int_equal(place.column, 14);
    assert_int_equal(document_place(document, NULL).line, 0);
    document_free(document);
    document = read_text("# c\n null\n");
    place = document_place(document, document_root(document));
    assert_int_equal(place.line, 2);
    assert_int_equal(place.column, 2);
    document_free(document);
    document_free(NULL);
}

static void test_keys(void **state)
{
    (void)state;
    struct document *document = read_text("{on: 1, 'off': 2, x: 3, 5: 4, ~: 5, \"y\": 6}");
    struct json_object *root = document_root(document);
    assert_false(document_key_is_text(document, root, "on"));
    assert_true(document_key_is_text(document, root, "off"));
    assert_true(document_key_is_text(document, root, "x"));
    assert_false(document_key_is_text(document, root, "5"));
    assert_false(document_key_is_text(document, root, "~"));
    assert_true(document_key_is_text(document, root, "y"));
    document_free(document);
}

static void test_pointers(void **state)
{
    char pointer[40];
    struct json_object *node = NULL;
    (void)state;
    struct document *document = read_text("{a/b: {m~n: [10, {'': 3}]}, '0': 1}");
    struct json_object *root = document_root(document);
    assert_true(document_at(root, "", &node) && node == root);
    assert_true(document_at(root, "/a~1b/m~0n/0", &node));
    assert_int_equal(json_object_get_int(node), 10);
    document_pointer(document, node, NULL, pointer, sizeof pointer);
    assert_string_equal(pointer, "/a~1b/m~0n/0");
    assert_true(document_at(root, "/a~1b/m~0n/1/", &node));
    assert_int_equal(json_object_get_int(node), 3);
    assert_true(document_at(root, "/0", &node));
    assert_false(document_at(root, "a", &node));
    assert_false(document_at(root, "/a~1b/m~0n/00", &node));
    assert_false(document_at(root, "/a~1b/m~0n/2", &node));
    assert_false(document_at(root, "/a~1b/m~0n/-", &node));
    assert_false(document_at(root, "/0/1", &node));
    struct document *merged = read_text("{a: {<<: {b: {c: &x [1]}}}, d: *x}");
    assert_true(document_at(document_root(merged), "/d/0", &node));
    document_pointer(merged, node, NULL, pointer, sizeof pointer);
    assert_string_equal(pointer, "/a/b/c/0");
    document_free(merged);
    merged = read_text("{a: {<<: [{b: &y {c: 1}}, {d: [2, &z {}]}]}, e: [*y, *z]}");
    assert_true(document_at(document_root(merged), "/e/0/c", &node));
    document_pointer(merged, node, NULL, pointer, sizeof pointer);
    assert_string_equal(pointer, "/a/0/b/c");
    assert_true(document_at(document_root(merged), "/e/1", &node));
    document_pointer(merged, node, NULL, pointer, sizeof pointer);
    assert_string_equal(pointer, "/a/1/d/1");
    document_free(merged);
    document_pointer(document, root, "k/l", pointer, sizeof pointer);
    assert_string_equal(pointer, "/k~1l");
    document_pointer(document, root, NULL, pointer, sizeof pointer);
    assert_string_equal(pointer, "");
    document_free(document);
}

/* What is refused for its size is refused at once: it takes milliseconds. */
static void assert_refused_soon(const struct text *text, const char *reason)
{
    struct fault fault = {0};
    clock_t begin = clock();
    assert_null(document_read(text->at, text->len, &fault));
    assert_non_null(strstr(fault.text, reason));
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < stretched(1));
}

static void put_nested(struct text *text, int depth, const char *inner)
{
    for (int i = 0; i < depth; i++)
        text_puts(text, "[");
    text_puts(text, inner);
    for (int i = 0; i < depth; i++)
        text_puts(text, "]");
    text_puts(text, "\n");
}

static struct document *read_long(const struct text *text)
{
    struct fault fault = {""};
    struct document *document = document_read(text->at, text->len, &fault);
    assert_string_equal(fault.text, "");
    assert_non_null(document);
    return document;
}

static void test_bounds(void **state)
{
    struct text text = {0};
    (void)state;
    text_puts(&text, "a0: &a0 lol\n");
    for (int i = 1; i < 60; i++)
        text_printf(&text, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    assert_refused_soon(&text, "too many nodes, with its aliases expanded");

    text_clear(&text);
    text_puts(&text, "- &a ");
    for (int i = 0; i < 100000; i++)
        text_puts(&text, "0123456789");
    for (int i = 0; i < 20; i++)
        text_puts(&text, "\n- *a");
    assert_refused_soon(&text, "too large, with its aliases expanded");

    text_clear(&text);
    for (int i = 0; i < 300000; i++)
        text_puts(&text, "- 1\n");
    assert_refused_soon(&text, "too many nodes");

    text_clear(&text);
    for (int i = 0; i < 100000; i++)
        text_puts(&text, "[");
    assert_refused_soon(&text, "nested too deep");

    /* a list of 60 lists, and an alias of it as deep as that, or one less: the whole is in one list more */
    static const char *const answers[] = {NULL, "nested too deep, with its aliases expanded"};
    for (int more = 0; more < 2; more++) {
        text_clear(&text);
        text_puts(&text, "- &a ");
        put_nested(&text, 60, "x");
        text_puts(&text, "- &b ");
        put_nested(&text, 20, "*a");
        text_puts(&text, "- ");
        put_nested(&text, 19 + more, "*b");
        if (answers[more] == NULL)
            document_free(read_long(&text));
        else
            assert_refused_soon(&text, answers[more]);
    }

    text_clear(&text);
    for (int i = 0; i < 400; i++)
        text_printf(&text, "- &a%d x\n", i);
    assert_refused_soon(&text, "too many anchors");

    static const char *const breaks[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8"};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        text_clear(&text);
        for (int tag = 0; tag < 100000; tag++)
            text_printf(&text, "%%TAG !a%d! x%s", tag, breaks[i]);
        text_puts(&text, "--- x\n");
        assert_refused_soon(&text, "line 17, column 1: more than 16 %TAG directives");
    }
    assert_reads_as("%TAG !y! tag:yaml.org,2002:\n--- !y!str 1\n", "\"1\"");

    text_clear(&text);
    while (text.len <= DOCUMENT_TEXT_MAX)
        text_puts(&text, "                                            \n");
    assert_refused_soon(&text, "at most 4194304 are read");
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars), cmocka_unit_test(test_json),    cmocka_unit_test(test_structure),
        cmocka_unit_test(test_tabs),    cmocka_unit_test(test_anchors), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_places),  cmocka_unit_test(test_keys),    cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
