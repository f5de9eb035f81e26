/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/json.h"
#include "base/text.h"

static void grows(void **state)
{
    UNUSED(state);
    struct text text = {0};
    text_puts(&text, "");
    assert_string_equal(text.at, "");
    text_puts(&text, "one");
    text_put(&text, " two\0three", 10);
    text_printf(&text, " %d", 4);
    assert_int_equal(text.len, 15);
    assert_memory_equal(text.at, "one two\0three 4", 16);
    text_free(&text);
    assert_null(text.at);
    text_free(&text); /* what is empty can be freed, and again */
}

static void put_of_nothing(void **state)
{
    UNUSED(state);
    struct text text = {0};
    text_put(&text, NULL, 0);
    assert_non_null(text.at);
    assert_int_equal(text.len, 0);
    text_free(&text);
}

static void every_length_up_to_a_page(void **state)
{
    UNUSED(state);
    struct text text = {0}, printed = {0};
    for (size_t i = 0; i < 5000; i++) {
        char c = (char)('a' + i % 26);
        text_put(&text, &c, 1);
        text_printf(&printed, "%c", c);
        assert_true(text.len < text.room);
        assert_int_equal(text.at[text.len], '\0');
    }
    assert_int_equal(printed.len, 5000);
    assert_string_equal(text.at, printed.at);
    text_free(&text);
    text_free(&printed);
}

static void prints_long_texts(void **state)
{
    UNUSED(state);
    for (size_t len = 100; len < 300; len++) {
        struct text text = {0};
        text_printf(&text, "%*s|%d", (int)len, "x", 7);
        assert_int_equal(text.len, len + 2);
        assert_int_equal(text.at[len - 1], 'x');
        assert_string_equal(text.at + len, "|7");
        text_free(&text);
    }
    struct text text = {0};
    text_puts(&text, "before ");
    text_printf(&text, "%0100000d", 1);
    assert_int_equal(text.len, 100007);
    assert_int_equal(strlen(text.at), 100007);
    text_free(&text);
}

/* printf refuses a wide character outside the locale. The text is unchanged and still ends with '\0'. */
static void a_format_that_printf_refuses(void **state)
{
    UNUSED(state);
    static const wchar_t strange[] = {0xd800, 0};
    struct text text = {0};
    text_printf(&text, "x%lsy", strange);
    assert_non_null(text.at);
    assert_int_equal(strlen(text.at), text.len);
    text_puts(&text, "after");
    assert_string_equal(text.at + text.len - 5, "after");
    assert_int_equal(strlen(text.at), text.len);
    text_free(&text);
}

static void clear_keeps_the_memory(void **state)
{
    UNUSED(state);
    struct text text = {0};
    text_clear(&text); /* nothing there yet */
    text_puts(&text, "something");
    char *at = text.at;
    text_clear(&text);
    assert_string_equal(text.at, "");
    assert_int_equal(text.len, 0);
    text_puts(&text, "else");
    assert_ptr_equal(text.at, at);
    text_free(&text);
}

static void a_record_stays_on_its_line(void **state)
{
    UNUSED(state);
    static const struct {
        const char *bytes;
        size_t len;
        const char *line;
    } cases[] = {
        {"", 0, ""},
        {"plain text", 10, "plain text"},
        {"a\nb\rc\td", 7, "a\\nb\\rc\\td"},
        {"\r\n", 2, "\\r\\n"},
        {"\0", 1, "\\x00"},
        {"a\0b", 3, "a\\x00b"},
        {"\x01\x1b[31m\x7f", 7, "\\x01\\x1b[31m\\x7f"},
        {"\x0b\x0c\x1f", 3, "\\x0b\\x0c\\x1f"},
        {"back\\slash", 10, "back\\slash"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc2\x85", 2, "\\x85"}, /* NEL ends a line for some readers */
        {"\xc2\x80\xc2\x9f\xc2\xa0", 6, "\\x80\\x9f\xc2\xa0"},
        {"\xe2\x80\xa8\xe2\x80\xa9", 6, "\\u2028\\u2029"},
        {"\xe2\x80\xa7\xe2\x80\xaa", 6, "\xe2\x80\xa7\xe2\x80\xaa"},
        {"\xff\xfe", 2, "\\xff\\xfe"},
        {"\x80", 1, "\\x80"},
        {"\xc3", 1, "\\xc3"},
        {"a\xc3(", 3, "a\\xc3("},
        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
        {"\xc0\xaf", 2, "\\xc0\\xaf"},
        {"\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"},
        {"\xe2\x80", 2, "\\xe2\\x80"},
        {"x\xf0\x9f\x98", 4, "x\\xf0\\x9f\\x98"},
        {"%s%n", 4, "%s%n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text text = {0};
        char *exact = malloc(cases[i].len == 0 ? 1 : cases[i].len);
        memcpy(exact, cases[i].bytes, cases[i].len);
        text_put_line(&text, exact, cases[i].len);
        assert_string_equal(text.at, cases[i].line);
        free(exact);
        text_free(&text);
    }
}

/* Every byte, alone, in both quotings: one line of UTF-8, and a JSON string. */
static void every_byte(void **state)
{
    UNUSED(state);
    for (int value = 0; value < 256; value++) {
        char byte = (char)value;
        struct text line = {0}, json = {0}, object = {0};
        text_put_line(&line, &byte, 1);
        for (size_t i = 0; i < line.len; i++)
            assert_true((unsigned char)line.at[i] >= 0x20 && (unsigned char)line.at[i] < 0x7f);
        text_put_json(&json, &byte, 1);
        text_printf(&object, "{\"a\":%s}", json.at);
        if (!json_is_object(object.at, object.len, NULL))
            fail_msg("byte %02x became %s", (unsigned)value, json.at);
        text_free(&line);
        text_free(&json);
        text_free(&object);
    }
}

/* json-c reads back the original text, if it is UTF-8. */
static void json_strings_come_back(void **state)
{
    UNUSED(state);
    static const struct {
        const char *bytes;
        size_t len;
        const char *quoted;
    } cases[] = {
        {"", 0, "\"\""},
        {"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\""},
        {"\n\r\t", 3, "\"\\n\\u000d\\u0009\""},
        {"\0", 1, "\"\\u0000\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\x1f\x7f", 2, "\"\\u001f\x7f\""},
        {"\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {"\xe2\x80\xa8", 3, "\"\xe2\x80\xa8\""},
    };
    struct json_tokener *reader = json_reader_new();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text text = {0}, object = {0};
        text_put_json(&text, cases[i].bytes, cases[i].len);
        assert_string_equal(text.at, cases[i].quoted);
        text_printf(&object, "{\"a\":%s}", text.at);
        struct json_object *parsed = json_read(reader, object.at, object.len), *value = NULL;
        assert_true(json_object_object_get_ex(parsed, "a", &value));
        assert_int_equal(json_object_get_string_len(value), cases[i].len);
        assert_memory_equal(json_object_get_string(value), cases[i].bytes, cases[i].len);
        json_object_put(parsed);
        text_free(&text);
        text_free(&object);
    }
    json_tokener_free(reader);
}

static void json_strings_of_broken_bytes(void **state)
{
    UNUSED(state);
    static const struct {
        const char *bytes, *quoted;
    } cases[] = {
        {"\xff", "\"\xef\xbf\xbd\""},
        {"a\xc3", "\"a\xef\xbf\xbd\""},
        {"\xc3(", "\"\xef\xbf\xbd(\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf0\x9f\x98", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\xa9\x80\xc3\xa9", "\"\xc3\xa9\xef\xbf\xbd\xc3\xa9\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text text = {0};
        text_put_json(&text, cases[i].bytes, strlen(cases[i].bytes));
        assert_string_equal(text.at, cases[i].quoted);
        text_free(&text);
    }
}

/* Random bytes (repeatable): always one line of UTF-8 without controls, always a JSON string. */
static void random_bytes(void **state)
{
    UNUSED(state);
    uint32_t chance = 1;
    for (int round = 0; round < 2000; round++) {
        char bytes[64];
        size_t len = (size_t)round % sizeof bytes;
        for (size_t i = 0; i < len; i++) {
            chance = chance * 1664525u + 1013904223u;
            bytes[i] = (char)(chance >> 24);
        }
        struct text line = {0}, object = {0};
        text_put_line(&line, bytes, len);
        for (size_t i = 0; i < line.len;) {
            size_t size = utf8_length((unsigned char *)line.at + i, line.len - i);
            assert_true(size > 0);
            assert_true((unsigned char)line.at[i] >= 0x20 && line.at[i] != 0x7f);
            i += size;
        }
        text_puts(&object, "{\"a\":");
        text_put_json(&object, bytes, len);
        text_puts(&object, "}");
        assert_true(json_is_object(object.at, object.len, NULL));
        text_free(&line);
        text_free(&object);
    }
}

/* Every two bytes, and the relevant three and four bytes, compared with the definition of UTF-8 and not with the code.
 */
static bool is_character(uint32_t code, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return code >= least[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

static size_t by_definition(const unsigned char *b)
{
    if (b[0] < 0x80)
        return 1;
    if ((b[0] & 0xe0) == 0xc0 && (b[1] & 0xc0) == 0x80 && is_character((b[0] & 0x1fu) << 6 | (b[1] & 0x3fu), 2))
        return 2;
    if ((b[0] & 0xf0) == 0xe0 && (b[1] & 0xc0) == 0x80 && (b[2] & 0xc0) == 0x80 &&
        is_character((b[0] & 0xfu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu), 3))
        return 3;
    if ((b[0] & 0xf8) == 0xf0 && (b[1] & 0xc0) == 0x80 && (b[2] & 0xc0) == 0x80 && (b[3] & 0xc0) == 0x80 &&
        is_character((b[0] & 7u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu), 4))
        return 4;
    return 0;
}

static void utf8_by_definition(void **state)
{
    UNUSED(state);
    static const unsigned char rest[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t i = 0; i < COUNT(rest); i++)
                for (size_t j = 0; j < COUNT(rest); j++) {
                    unsigned char bytes[] = {(unsigned char)first, (unsigned char)second, rest[i], rest[j]};
                    size_t size = by_definition(bytes);
                    if (utf8_length(bytes, 4) != size)
                        fail_msg("%02x %02x %02x %02x: %zu", first, second, rest[i], rest[j], utf8_length(bytes, 4));
                    for (size_t len = 0; len < size; len++) /* cut off, it is none */
                        assert_int_equal(utf8_length(bytes, len), 0);
                }
    assert_int_equal(utf8_length((const unsigned char *)"", 0), 0);
}

/* A text is cut between characters, and never exceeds the limit. */
static void cuts_between_characters(void **state)
{
    UNUSED(state);
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
    for (size_t most = 0; most < COUNT(cuts); most++)
        assert_int_equal(text_cut(text, sizeof text - 1, most), cuts[most]);
    /* bytes that are no characters are cut anywhere near */
    for (size_t most = 0; most <= 8; most++) {
        size_t cut = text_cut("\x80\x80\x80\x80\x80\x80\x80\x80", 8, most);
        assert_true(cut <= most && most - cut <= 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(put_of_nothing),
        cmocka_unit_test(every_length_up_to_a_page),
        cmocka_unit_test(prints_long_texts),
        cmocka_unit_test(a_format_that_printf_refuses),
        cmocka_unit_test(clear_keeps_the_memory),
        cmocka_unit_test(a_record_stays_on_its_line),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(json_strings_come_back),
        cmocka_unit_test(json_strings_of_broken_bytes),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(utf8_by_definition),
        cmocka_unit_test(cuts_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
