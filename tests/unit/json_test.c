/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json: the scanner against a table of texts that are JSON and texts that only look like it, by RFC 8259. Every text is
 * scanned in a block of exactly its size, so that a sanitizer sees a read past its end. */
#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

struct text {
    const char *bytes;
    size_t len;
};

/* The length comes from the literal: some of them hold NUL bytes. */
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

static const struct text valid[] = {
    /* structure and white space */
    TEXT("{}"),
    TEXT("[]"),
    TEXT(" { } "),
    TEXT("\n\r\t []\n"),
    TEXT("\t{\r\"a\"\n:\t1\r,\n\"b\" : [ ] }\t"),
    TEXT("[[]]"),
    TEXT("[{}]"),
    TEXT("{\"a\":{}}"),
    TEXT("{\"a\":[]}"),
    TEXT("[[], []]"),
    TEXT("[[[[[[[[]]]]]]],[[[{\"a\":[{}]}]]]]"),
    TEXT("[null,true,false,0,\"\",[],{}]"),
    TEXT("[\"a\",\n4\n,1,1]"),
    TEXT("[1,null,null,null,2]"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("{\"a\":1,\"a\":1}"),
    TEXT("{\"\":0}"),
    TEXT("{\"a\":{\"b\":{\"c\":[1,{\"d\":null}]}}}"),
    TEXT("{\"x\":[{\"id\":\"xxxxxxxxxxxxxxxx\"}],\"id\":\"yyyy\"}"),
    TEXT("{\"title\":\"\\u041f\\u043e\\u043b\"}"),
    TEXT("{\"a\":[]\n}"),
    /* words */
    TEXT("true"),
    TEXT("false"),
    TEXT("null"),
    TEXT(" true "),
    /* numbers */
    TEXT("0"),
    TEXT("-0"),
    TEXT("7"),
    TEXT("-1"),
    TEXT("10"),
    TEXT("-123"),
    TEXT("1.5"),
    TEXT("0.0"),
    TEXT("-0.0"),
    TEXT("0e1"),
    TEXT("0e+1"),
    TEXT("0E-0"),
    TEXT("1E22"),
    TEXT("1e-2"),
    TEXT("1e+2"),
    TEXT("123.456e78"),
    TEXT("123e65"),
    TEXT("123.456789"),
    TEXT("20e1"),
    TEXT("-0.000000000000000000000000000000000000000000000000000000000000000000000000000001"),
    TEXT("12345678901234567890"),
    TEXT("-9223372036854775808"),
    TEXT("18446744073709551615"),
    TEXT("1e400"),
    TEXT("-1e400"),
    TEXT("0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999969999999006"),
    TEXT("1e-400"),
    /* strings */
    TEXT("\"\""),
    TEXT("\" \""),
    TEXT("\"asd\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0060\\u012a\\u12AB\\uFfFf\""),
    TEXT("\"\\u0000\""),
    TEXT("\"\\u0022\\u005C\""),
    TEXT("\"\\ud801\\udc37\""),
    TEXT("\"\\uD834\\uDd1e\""),
    TEXT("\"\\\\u0000\""),
    TEXT("{\"a\\\\u0000\":1}"),
    TEXT("{\"\\u0001\":[\"\\u0000\",{\"b\":1}]}"),
    TEXT("\"\\\\a\""),
    TEXT("\"\\\\\\\"\""),
    TEXT("\"a/*b*/c/*d//e\""),
    TEXT("\"//\""),
    TEXT("\"'\""),
    TEXT("\"{[,:]}\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xc2\x80\""),
    TEXT("\"\xc3\xa9\""),
    TEXT("\"\xdf\xbf\""),
    TEXT("\"\xe0\xa0\x80\""),
    TEXT("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    TEXT("\"\xe2\x82\xac\""),
    TEXT("\"\xed\x9f\xbf\""),
    TEXT("\"\xee\x80\x80\""),
    TEXT("\"\xef\xbb\xbf\""),
    TEXT("\"\xef\xbf\xbe\xef\xbf\xbf\""),
    TEXT("\"\xf0\x90\x80\x80\""),
    TEXT("\"\xf0\x9f\x98\x80\""),
    TEXT("\"\xf4\x8f\xbf\xbf\""),
    TEXT("\"\xc2\xa0\""),
    /* half of a pair: the grammar of RFC 8259 allows it, and the bytes stay UTF-8 */
    TEXT("\"\\ud800\""),
    TEXT("\"\\udc00\""),
    TEXT("\"\\ud800\\ud800\""),
    TEXT("\"\\udc00\\ud800\""),
    TEXT("\"\\ud800abc\""),
};

static const struct text invalid[] = {
    /* a name that json-c would cut */
    TEXT("{\"a\\u0000evil\":1}"),
    TEXT("{\"\\u0000\":1}"),
    TEXT("[{\"a\":1,\"\\\\\\u0000\":\"\"}]"),
    /* nothing, and not only a value */
    TEXT(""),
    TEXT(" "),
    TEXT("\n\t\r "),
    TEXT("\0"),
    TEXT("{}\0"),
    TEXT("\0{}"),
    TEXT("{\0}"),
    TEXT("{}\0{}"),
    TEXT("{} {}"),
    TEXT("{}{}"),
    TEXT("[][]"),
    TEXT("{}]"),
    TEXT("{}}"),
    TEXT("[]]"),
    TEXT("{},"),
    TEXT("[1],"),
    TEXT("1 2"),
    TEXT("1,"),
    TEXT("null null"),
    TEXT("{}x"),
    TEXT("{\"a\":\"b\"}#"),
    TEXT("{\"a\":\"b\"}/**/"),
    TEXT("{\"a\":\"b\"}//"),
    TEXT("{\"a\":\"b\"}/"),
    TEXT("[1]x"),
    TEXT("\"\"x"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("\xef\xbb\xbf"),
    TEXT("\xff\xfe{\0}\0"),
    TEXT("\0{\0}"),
    TEXT("\xc3\xa9"),
    TEXT("\xe2\x81\xa0[]"),
    TEXT("[\xe2\x81\xa0]"),
    TEXT("\xc2\xa0{}"),
    TEXT("\xff"),
    TEXT("\x80"),
    TEXT("[\f]"),
    TEXT("\f[]"),
    TEXT("\v[]"),
    TEXT("<null>"),
    TEXT("<.>"),
    TEXT("*"),
    TEXT("#"),
    TEXT("//\n{}"),
    TEXT("/**/{}"),
    TEXT("{/**/}"),
    TEXT("{\"a\":1/**/}"),
    TEXT("{\"a\":/*c*/1}"),
    TEXT("[1//\n]"),
    TEXT("a"),
    TEXT("'a'"),
    TEXT("\\u0022a\""),
    TEXT(":"),
    TEXT(","),
    TEXT("]"),
    TEXT("}"),
    TEXT("\\"),
    TEXT("@"),
    TEXT("0x1"),
    TEXT("<html>"),
    /* arrays */
    TEXT("["),
    TEXT("[["),
    TEXT("[,"),
    TEXT("[,]"),
    TEXT("[,1]"),
    TEXT("[1,]"),
    TEXT("[1,,2]"),
    TEXT("[1,,]"),
    TEXT("[1"),
    TEXT("[1,"),
    TEXT("[\"\""),
    TEXT("[\"a\" \"b\"]"),
    TEXT("[1 true]"),
    TEXT("[a"),
    TEXT("[\"a\",4\n,1,"),
    TEXT("[3[4]]"),
    TEXT("[1:2]"),
    TEXT("[\"a\":1]"),
    TEXT("[x]"),
    TEXT("[*]"),
    TEXT("[}"),
    TEXT("[{}"),
    TEXT("[[[[["),
    TEXT("[\"x\"]]"),
    TEXT("[1}"),
    TEXT("[\"asd]"),
    TEXT("[\"\va\"\\f]"),
    TEXT("[,\"\"]"),
    TEXT("[null,"),
    TEXT("[\xff]"),
    TEXT("[ \xe5 ]"),
    TEXT("[\\n]"),
    TEXT("[(1)]"),
    TEXT("[\"a\", \n4\n,\n1,,]"),
    /* objects */
    TEXT("{"),
    TEXT("{{"),
    TEXT("{]"),
    TEXT("{["),
    TEXT("{,}"),
    TEXT("{\""),
    TEXT("{\"a"),
    TEXT("{\"a\""),
    TEXT("{\"a\"}"),
    TEXT("{\"a\":"),
    TEXT("{\"a\":}"),
    TEXT("{\"a\":1"),
    TEXT("{\"a\":1,"),
    TEXT("{\"a\":1,}"),
    TEXT("{\"a\":1,,}"),
    TEXT("{,\"a\":1}"),
    TEXT("{\"a\":1,,\"b\":2}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\",1}"),
    TEXT("{\"a\"::1}"),
    TEXT("{\"a\":1:2}"),
    TEXT("{\"a\":\"b\",\"c\"}"),
    TEXT("{:1}"),
    TEXT("{1:1}"),
    TEXT("{9999E9999:1}"),
    TEXT("{null:null}"),
    TEXT("{true:false}"),
    TEXT("{a:1}"),
    TEXT("{a: \"b\"}"),
    TEXT("{'a':0}"),
    TEXT("{\"a\":'b'}"),
    TEXT("{[]:1}"),
    TEXT("{{}:1}"),
    TEXT("{\"a\":1]"),
    TEXT("{\"a\":[1}"),
    TEXT("{\"a\":{]}"),
    TEXT("{\"a\" b}"),
    TEXT("{\"x\"::\"b\"}"),
    TEXT("{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}"),
    TEXT("{\"\xff\":0}"),
    TEXT("{\"a\":\"a\" 123}"),
    TEXT("{key: 'value'}"),
    TEXT("{\"id\":0,,,,,}"),
    TEXT("{\"id\":0,}"),
    TEXT("{\"a\":1}\xff"),
    TEXT("{\"a\0\":1}"),
    TEXT("{\"a\n\":1}"),
    /* words */
    TEXT("tru"),
    TEXT("fals"),
    TEXT("nul"),
    TEXT("t"),
    TEXT("f"),
    TEXT("n"),
    TEXT("True"),
    TEXT("TRUE"),
    TEXT("Null"),
    TEXT("NULL"),
    TEXT("truth"),
    TEXT("nulll"),
    TEXT("falsetrue"),
    TEXT("true1"),
    TEXT("undefined"),
    TEXT("None"),
    TEXT("[tru]"),
    TEXT("[nul"),
    TEXT("NaN"),
    TEXT("nan"),
    TEXT("-NaN"),
    TEXT("Infinity"),
    TEXT("-Infinity"),
    TEXT("+Infinity"),
    TEXT("Inf"),
    TEXT("-Inf"),
    TEXT("[NaN]"),
    TEXT("[-Infinity]"),
    /* numbers */
    TEXT("-"),
    TEXT("+"),
    TEXT("--1"),
    TEXT("++1234"),
    TEXT("+1"),
    TEXT("-a"),
    TEXT("-2."),
    TEXT("-012"),
    TEXT("01"),
    TEXT("00"),
    TEXT("-00"),
    TEXT("-01"),
    TEXT("012"),
    TEXT("00.1"),
    TEXT("1."),
    TEXT("0."),
    TEXT(".1"),
    TEXT("-.1"),
    TEXT("."),
    TEXT("2.e3"),
    TEXT("0.e1"),
    TEXT("1.e1"),
    TEXT("1.2.3"),
    TEXT("1.+1"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("1e-"),
    TEXT("1E+"),
    TEXT("0e"),
    TEXT("0e+-1"),
    TEXT("1e1.5"),
    TEXT("1ee2"),
    TEXT("1eE2"),
    TEXT("1.0e"),
    TEXT("1.0e-"),
    TEXT("1.0e+"),
    TEXT("9.e+"),
    TEXT("1 000.0"),
    TEXT("1,000"),
    TEXT("1_000"),
    TEXT("0x42"),
    TEXT("0X1F"),
    TEXT("-0x1"),
    TEXT("0b1"),
    TEXT("0o7"),
    TEXT("1a"),
    TEXT("1.8011670033376514H-308"),
    TEXT("1.2a-3"),
    TEXT("1+2"),
    TEXT("0.1.2"),
    TEXT("0.3e"),
    TEXT("0.3e+"),
    TEXT("0.\0"),
    TEXT("- 1"),
    TEXT("-foo"),
    TEXT("1\xff"),
    TEXT("1e1\xe5"),
    TEXT("\xef\xbc\x91"),
    TEXT("\xe2\x88\x92"
         "1"),
    TEXT("$1"),
    TEXT("1f"),
    TEXT("1L"),
    /* strings */
    TEXT("\""),
    TEXT("\"a"),
    TEXT("\"a\\"),
    TEXT("\"\\\""),
    TEXT("\"\\\"x"),
    TEXT("\"\\a\""),
    TEXT("\"\\v\""),
    TEXT("\"\\0\""),
    TEXT("\"\\x00\""),
    TEXT("\"\\'\""),
    TEXT("\"\\ \""),
    TEXT("\"\\\n\""),
    TEXT("\"\\\t\""),
    TEXT("\"\\\0\""),
    TEXT("\"\\U0041\""),
    TEXT("\"\\N\""),
    TEXT("\"\\\xf0\x9f\x8c\x80\""),
    TEXT("\"\\\xe5\""),
    TEXT("\"\\u\""),
    TEXT("\"\\u0\""),
    TEXT("\"\\u00\""),
    TEXT("\"\\u00A\""),
    TEXT("\"\\u00A"),
    TEXT("\"\\u"),
    TEXT("\"\\u12"),
    TEXT("\"\\u123"),
    TEXT("\"\\u1234"),
    TEXT("\"\\uqqqq\""),
    TEXT("\"\\u00G0\""),
    TEXT("\"\\u 123\""),
    TEXT("\"\\u+123\""),
    TEXT("\"\\u-123\""),
    TEXT("\"\\u0x12\""),
    TEXT("\"\\u{1F600}\""),
    TEXT("\"\\uD834\\uDd\""),
    TEXT("\"\\uD800\\u\""),
    TEXT("\"\\uD800\\u1\""),
    TEXT("\"\\uD800\\u1x\""),
    TEXT("\"\\uD800\\\""),
    TEXT("\"\n\""),
    TEXT("\"\r\""),
    TEXT("\"\t\""),
    TEXT("\"\b\""),
    TEXT("\"\f\""),
    TEXT("\"\0\""),
    TEXT("\"a\0b\""),
    TEXT("\"\x01\""),
    TEXT("\"\x1b\""),
    TEXT("\"\x1f\""),
    TEXT("\"new\nline\""),
    TEXT("abc\""),
    TEXT("\"\"\""),
    TEXT("'single quote'"),
    TEXT("`x`"),
    TEXT("\xe2\x80\x9c"
         "a\xe2\x80\x9d"),
    /* bytes that are not UTF-8 */
    TEXT("\"\x80\""),
    TEXT("\"\xbf\""),
    TEXT("\"\x81\""),
    TEXT("\"\xc0\x80\""),
    TEXT("\"\xc0\xaf\""),
    TEXT("\"\xc1\xbf\""),
    TEXT("\"\xc2\""),
    TEXT("\"\xc2 \""),
    TEXT("\"\xc2\xc0\""),
    TEXT("\"\xdf\x7f\""),
    TEXT("\"\xe0\x80\x80\""),
    TEXT("\"\xe0\x9f\xbf\""),
    TEXT("\"\xe0\xff\""),
    TEXT("\"\xe2\x82\""),
    TEXT("\"\xe2\x82\x28\""),
    TEXT("\"\xe9\""),
    TEXT("\"\xed\xa0\x80\""),
    TEXT("\"\xed\xbf\xbf\""),
    TEXT("\"\xed\xa0\x81\xed\xb0\xb7\""),
    TEXT("\"\xf0\x80\x80\x80\""),
    TEXT("\"\xf0\x8f\xbf\xbf\""),
    TEXT("\"\xf0\x9f\x98\""),
    TEXT("\"\xf0\x9f\""),
    TEXT("\"\xf0\""),
    TEXT("\"\xf4\x90\x80\x80\""),
    TEXT("\"\xf5\x80\x80\x80\""),
    TEXT("\"\xf7\xbf\xbf\xbf\""),
    TEXT("\"\xf8\x88\x80\x80\x80\""),
    TEXT("\"\xfc\x83\xbf\xbf\xbf\xbf\""),
    TEXT("\"\xfe\""),
    TEXT("\"\xff\""),
    TEXT("\"\xff\xff\""),
    TEXT("\"\xfb\xbf\xbf\xbf\xbf\""),
    TEXT("\"\xe6\x97\xa5\xd1\x88\xfa\""),
};

static bool scan(bool (*function)(const char *, size_t, struct fault *), const char *bytes, size_t len,
                 struct fault *fault)
{
    char *exact = malloc(len == 0 ? 1 : len);
    memcpy(exact, bytes, len);
    bool answer = function(exact, len, fault);
    free(exact);
    return answer;
}

/* {"a":TEXT}: the same text as the value of a member. */
static char *in_object(struct text text, size_t *len)
{
    char *wrapped = malloc(text.len + 7);
    memcpy(wrapped, "{\"a\":", 5);
    memcpy(wrapped + 5, text.bytes, text.len);
    wrapped[5 + text.len] = '}';
    wrapped[6 + text.len] = '\0';
    *len = text.len + 6;
    return wrapped;
}

static void takes_what_is_json(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct fault fault = {""};
        size_t len;
        char *wrapped = in_object(valid[i], &len);
        if (!scan(json_is_value, valid[i].bytes, valid[i].len, &fault))
            fail_msg("refused %s: %s", valid[i].bytes, fault.text);
        if (!scan(json_is_object, wrapped, len, &fault))
            fail_msg("refused %s: %s", wrapped, fault.text);
        free(wrapped);
    }
}

static void refuses_what_is_not(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(invalid); i++) {
        struct fault fault = {""};
        size_t len;
        char *wrapped = in_object(invalid[i], &len);
        if (scan(json_is_value, invalid[i].bytes, invalid[i].len, &fault))
            fail_msg("took number %zu: %s", i, invalid[i].bytes);
        if (fault.text[0] == '\0')
            fail_msg("gave no reason for number %zu: %s", i, invalid[i].bytes);
        if (scan(json_is_object, wrapped, len, &fault))
            fail_msg("took number %zu: %s", i, wrapped);
        free(wrapped);
    }
}

static void an_object_is_wanted(void **state)
{
    UNUSED(state);
    static const char *const others[] = {"[]", "[{}]", "null", "true", "false", "0", "\"{}\"", " \n[1]", "-1.5e3"};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct fault fault = {""};
        assert_false(scan(json_is_object, others[i], strlen(others[i]), &fault));
        expect_in(fault.text, "not an object");
    }
    assert_true(scan(json_is_object, "\n {}", 4, NULL));
}

static void fault_may_be_null(void **state)
{
    UNUSED(state);
    assert_false(json_is_object("{", 1, NULL));
    assert_false(json_is_object("", 0, NULL));
    assert_false(json_is_object("[]", 2, NULL));
}

/* Only the bytes up to len count. */
static void does_not_look_past_the_end(void **state)
{
    UNUSED(state);
    assert_false(json_is_object("{}", 1, NULL));
    assert_false(json_is_value("true", 3, NULL));
    assert_true(json_is_value("12345", 2, NULL));
    assert_false(json_is_value("\"\\u1234\"", 5, NULL));
    assert_true(json_is_object("{}x", 2, NULL));
}

static void no_beginning_of_an_object_is_one(void **state)
{
    UNUSED(state);
    static const char whole[] =
        "{\"a\":[1,-2.5e+7,true,false,null,\"\\u00e9\\n\xc3\xa9\xf0\x9f\x98\x80\"],\"b\":{\"c\":{}}}";
    size_t len = sizeof whole - 1;
    assert_true(scan(json_is_object, whole, len, NULL));
    for (size_t i = 0; i < len; i++)
        if (scan(json_is_object, whole, i, NULL))
            fail_msg("took the first %zu bytes", i);
}

static char *nested(size_t depth, const char *open, const char *middle, const char *close)
{
    char *text = calloc(1, depth * (strlen(open) + strlen(close)) + strlen(middle) + 1), *at = text;
    for (size_t i = 0; i < depth; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < depth; i++)
        at = stpcpy(at, close);
    return text;
}

static void a_thousand_levels(void **state)
{
    UNUSED(state);
    static const struct {
        const char *open, *middle, *close;
        size_t levels; /* that open and middle make; the first counts for depth times */
        size_t own;    /* … and those that middle has */
    } kinds[] = {
        {"{\"a\":", "1", "}", 1, 0}, {"{\"a\":", "{}", "}", 1, 1}, {"{\"a\":", "[]", "}", 1, 1},
        {"[", "", "]", 1, 0},        {"[", "{}", "]", 1, 1},       {"{\"a\":[", "0", "]}", 2, 0},
    };
    struct json_tokener *reader = json_reader_new();
    assert_int_equal(JSON_DEPTH_MAX, 1000);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t depth = (1000 - kinds[i].own) / kinds[i].levels;
        struct fault fault = {""};
        char *text = nested(depth, kinds[i].open, kinds[i].middle, kinds[i].close);
        if (!scan(json_is_value, text, strlen(text), &fault))
            fail_msg("kind %zu: refused 1000 levels: %s", i, fault.text);
        struct json_object *object = json_read(reader, text, strlen(text));
        if (object == NULL)
            fail_msg("kind %zu: json-c refuses 1000 levels: %s", i,
                     json_tokener_error_desc(json_tokener_get_error(reader)));
        json_object_put(object);
        free(text);

        text = nested(depth + 1, kinds[i].open, kinds[i].middle, kinds[i].close);
        if (scan(json_is_value, text, strlen(text), &fault))
            fail_msg("kind %zu: took more than 1000 levels", i);
        expect_in(fault.text, "1000 levels");
        free(text);
    }
    char *text = nested(1000000, "[", "", "");
    assert_false(json_is_value(text, strlen(text), NULL));
    free(text);
    json_tokener_free(reader);
}

/* An empty container is a level like any other: 1000 around it are one too many. */
static void an_empty_container_is_a_level(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    char *text = nested(1000, "[", "[]", "]");
    assert_false(json_is_value(text, strlen(text), &fault));
    expect_in(fault.text, "1000 levels");
    free(text);
}

static void depth_counts_what_is_open(void **state)
{
    UNUSED(state);
    /* many containers in a row, not nested */
    size_t len = 0, count = 5000;
    char *text = malloc(count * 12 + 16);
    text[len++] = '[';
    for (size_t i = 0; i < count; i++)
        len += (size_t)sprintf(text + len, "%s{\"a\":[{}]}", i == 0 ? "" : ",");
    text[len++] = ']';
    assert_true(scan(json_is_value, text, len, NULL));
    free(text);
}

static void a_fault_says_where(void **state)
{
    UNUSED(state);
    static const struct {
        struct text text;
        const char *reason;
    } faults[] = {
        {TEXT("{\"a\":x}"), "not JSON: an unexpected character at line 1, byte 6"},
        {TEXT("{\"a\":1,\n  \"b\":x}"), "not JSON: an unexpected character at line 2, byte 7"},
        {TEXT("{\n\n\n'a':1}"), "not JSON: no quoted name at line 4, byte 1"},
        {TEXT("{\"a\":1 \"b\":2}"), "not JSON: no ',' between two values at line 1, byte 8"},
        {TEXT("{\"a\" 1}"), "not JSON: no ':' after a name at line 1, byte 6"},
        {TEXT("{\"a\":\n\"\t\"}"), "not JSON: a raw control character in a string at line 2, byte 2"},
        {TEXT("{\"a\":\"\xff\"}"), "not JSON: bytes that are not UTF-8 at line 1, byte 7"},
        {TEXT("{\"a\":\"\\x\"}"), "not JSON: an unknown escape in a string at line 1, byte 7"},
        {TEXT("{\"a\":\"\\u12\"}"), "not JSON: \\u without four hex digits at line 1, byte 7"},
        {TEXT("{\"a\":{\"b\\u0000\":1}}"), "not JSON: \\u0000 in a name at line 1, byte 7"},
        {TEXT("{\"a\":01}"), "not JSON: a number with a leading zero at line 1, byte 7"},
        {TEXT("{\"a\":-}"), "not JSON: a number without digits at line 1, byte 7"},
        {TEXT("{\"a\":nul}"), "not JSON: an unknown word at line 1, byte 6"},
        {TEXT("{\"a\":1"), "not JSON: the text ends inside an object at line 1, byte 7"},
        {TEXT("[1"), "not JSON: the text ends inside an array at line 1, byte 3"},
        {TEXT("{\"a"), "not JSON: the text ends inside a string at line 1, byte 4"},
        {TEXT("{} {}"), "not JSON: more text after the value at line 1, byte 4"},
        {TEXT("{}\n\n}"), "not JSON: more text after the value at line 3, byte 1"},
        {TEXT("{}\0"), "not JSON: a NUL byte after the value at line 1, byte 3"},
    };
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct fault fault = {""};
        assert_false(scan(json_is_object, faults[i].text.bytes, faults[i].text.len, &fault));
        assert_string_equal(fault.text, faults[i].reason);
    }
    struct fault fault = {""};
    assert_false(json_is_object("", 0, &fault));
    expect_in(fault.text, "empty");
}

/* json-c reads every accepted text to the last byte; one reader serves all. */
static void json_c_agrees(void **state)
{
    UNUSED(state);
    struct json_tokener *reader = json_reader_new();
    for (size_t i = 0; i < COUNT(valid); i++) {
        size_t len;
        char *wrapped = in_object(valid[i], &len);
        struct json_object *object = json_read(reader, wrapped, len);
        if (object == NULL)
            fail_msg("json-c refuses %s: %s", wrapped, json_tokener_error_desc(json_tokener_get_error(reader)));
        assert_true(json_object_is_type(object, json_type_object));
        assert_true(json_object_object_get_ex(object, "a", NULL));
        json_object_put(object);
        free(wrapped);
        assert_null(json_read(reader, "{\"a\":", 5)); /* one text does not affect the next */
    }
    json_tokener_free(reader);
}

static void reads_what_stands_there(void **state)
{
    UNUSED(state);
    static const char text[] =
        "{\"s\":\"a\\u0000b\\ud83d\\ude00\",\"n\":9007199254740993,\"d\":-2.5,\"l\":[true,null]}";
    struct json_tokener *reader = json_reader_new();
    struct json_object *object = json_read(reader, text, sizeof text - 1), *value = NULL;
    assert_non_null(object);
    assert_true(json_object_object_get_ex(object, "s", &value));
    assert_int_equal(json_object_get_string_len(value), 7);
    assert_memory_equal(json_object_get_string(value), "a\0b\xf0\x9f\x98\x80", 7);
    assert_true(json_object_object_get_ex(object, "n", &value));
    assert_true(json_object_get_int64(value) == 9007199254740993);
    assert_true(json_object_object_get_ex(object, "l", &value));
    assert_int_equal(json_object_array_length(value), 2);
    json_object_put(object);
    json_tokener_free(reader);
}

/* Both readers build the same tree, and report the same faults. */
static void expect_same_tree(struct json_tokener *reader, const char *text, size_t len)
{
    struct fault why = {""}, fault = {""};
    char *block = memory_take(len + 1); /* begins_object() needs the end */
    memcpy(block, text, len);
    block[len] = '\0';
    bool taken = json_is_object(block, len, &why);
    struct json_object *parsed = json_parse(reader, block, len, &fault);
    assert_int_equal(parsed != NULL, taken);
    assert_string_equal(fault.text, why.text);
    if (taken) {
        struct json_object *read = json_read(reader, block, len);
        assert_string_equal(json_object_to_json_string_ext(parsed, JSON_C_TO_STRING_PLAIN),
                            json_object_to_json_string_ext(read, JSON_C_TO_STRING_PLAIN));
        assert_true(json_object_equal(parsed, read));
        json_object_put(read);
    }
    json_object_put(parsed);
    free(block);
}

static void parses_as_json_c_reads(void **state)
{
    UNUSED(state);
    static const struct text more[] = {
        TEXT("[0,-0,-1,12,999999999999999999,-999999999999999999,1000000000000000000,9223372036854775807]"),
        TEXT("[9223372036854775808,-9223372036854775808,-9223372036854775807,18446744073709551615]"),
        TEXT("[1e3,-1E-3,0.10,12345678901234567890123456789.0,-0.0,1e999,0e0,-0e1,5e-324]"),
        TEXT("{\"\":1,\"a\\nb\":2,\"\\u0041\":3,\"A\":4,\"x\\\\u0000\":5,\"\\ud83d\\ude00\":{\"\\\\\":[]}}"),
        TEXT("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u0000\",\"\\ud83d\\ude00\",\"\\ud83d\",\"\\ude00x\",\"\\\\u0041\"]"),
        TEXT("{\"sixty-three bytes are a short name and sixty-four are a long one\":1,\"sixty-three bytes are a short "
             "name and sixty-four are a long on!e\":2}"),
        TEXT("[[1,[2,{\"a\":[3,{}]}],[]],{\"a\":{\"b\":1,\"b\":{\"c\":null}},\"d\":[true,false,null]}]"),
    };
    struct json_tokener *reader = json_reader_new();
    for (size_t i = 0; i < COUNT(valid); i++) {
        size_t len;
        char *wrapped = in_object(valid[i], &len);
        expect_same_tree(reader, wrapped, len);
        free(wrapped);
        expect_same_tree(reader, valid[i].bytes, valid[i].len);
    }
    for (size_t i = 0; i < COUNT(more); i++) {
        size_t len;
        char *wrapped = in_object(more[i], &len);
        expect_same_tree(reader, wrapped, len);
        free(wrapped);
    }
    for (size_t i = 0; i < COUNT(invalid); i++)
        expect_same_tree(reader, invalid[i].bytes, invalid[i].len);
    json_tokener_free(reader);
}

/* json-c would clamp larger numbers to 18446744073709551615 or -9223372036854775808. */
static void whole_numbers_beyond_64_bits(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        double real;
    } numbers[] = {
        {"{\"n\":18446744073709551616}", 18446744073709551616.0},
        {"{\"n\":-9223372036854775809}", -9223372036854775808.0},
        {"{\"n\":-100000000000000000000}", -1e20},
        {"{\"n\":123456789012345678901234567890}", 123456789012345678901234567890.0},
    };
    struct json_tokener *reader = json_reader_new();
    for (size_t i = 0; i < COUNT(numbers); i++) {
        struct json_object *object = json_parse(reader, numbers[i].text, strlen(numbers[i].text), NULL), *value = NULL;
        assert_true(json_object_object_get_ex(object, "n", &value));
        assert_true(json_object_is_type(value, json_type_double));
        assert_true(json_object_get_double(value) == numbers[i].real);
        assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), numbers[i].text);
        json_object_put(object);
    }
    json_tokener_free(reader);
}

/* Bytes change at random (repeatably). json-c accepts every text that the scanner accepts, and it is UTF-8. */
static void no_change_slips_through(void **state)
{
    UNUSED(state);
    static const char seed[] =
        "{\"ab\":[1,-2.5e+7,true,false,null,\"\\u00e9\\n\xc3\xa9\xf0\x9f\x98\x80\"],\"c\":{\"d\":{},\"e\":[]}}";
    static const char alphabet[] = "{}[]:,\"\\ \n0123456789.eE+-tfnul/x\x01\x7f\x80\xbf\xc3\xed\xf4\xff";
    struct json_tokener *reader = json_reader_new();
    uint32_t chance = 12345;
    unsigned taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof seed];
        memcpy(text, seed, sizeof seed);
        for (int change = 0; change < 1 + round % 3; change++) {
            chance = chance * 1664525u + 1013904223u;
            size_t at = (chance >> 8) % (sizeof seed - 1);
            chance = chance * 1664525u + 1013904223u;
            text[at] = alphabet[(chance >> 8) % (sizeof alphabet - 1)];
        }
        expect_same_tree(reader, text, sizeof seed - 1);
        if (!scan(json_is_object, text, sizeof seed - 1, NULL))
            continue;
        taken++;
        struct json_object *object = json_read(reader, text, sizeof seed - 1);
        if (object == NULL)
            fail_msg("json-c refuses %s: %s", text, json_tokener_error_desc(json_tokener_get_error(reader)));
        json_object_put(object);
    }
    assert_true(taken > 100); /* otherwise the test proves nothing */
    json_tokener_free(reader);
}

/* Without the NUL: into the middle of a text. */
static void put(char *at, const char *bytes)
{
    while (*bytes != '\0')
        *at++ = *bytes++;
}

/* The time is proportional to the length, so a body of some megabytes is fast. */
static void large_texts(void **state)
{
    UNUSED(state);
    size_t len = 4u << 20;
    char *text = malloc(len);
    memset(text, 'a', len);
    put(text, "{\"a\":\"");
    put(text + len - 2, "\"}");
    assert_true(json_is_object(text, len, NULL));
    text[len / 2] = '\n';
    assert_false(json_is_object(text, len, NULL));
    memset(text, '[', len);
    assert_false(json_is_object(text, len, NULL));
    memset(text, ' ', len);
    assert_false(json_is_object(text, len, NULL));
    put(text + len - 2, "{}");
    assert_true(json_is_object(text, len, NULL));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_json),
        cmocka_unit_test(refuses_what_is_not),
        cmocka_unit_test(an_object_is_wanted),
        cmocka_unit_test(fault_may_be_null),
        cmocka_unit_test(does_not_look_past_the_end),
        cmocka_unit_test(no_beginning_of_an_object_is_one),
        cmocka_unit_test(a_thousand_levels),
        cmocka_unit_test(an_empty_container_is_a_level),
        cmocka_unit_test(depth_counts_what_is_open),
        cmocka_unit_test(a_fault_says_where),
        cmocka_unit_test(json_c_agrees),
        cmocka_unit_test(reads_what_stands_there),
        cmocka_unit_test(parses_as_json_c_reads),
        cmocka_unit_test(whole_numbers_beyond_64_bits),
        cmocka_unit_test(no_change_slips_through),
        cmocka_unit_test(large_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
