/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lines: the result does not depend on the pieces in which the text arrives. */
#include "base/lines.h"

#include "support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MOST 5

/* The lines, as "number:text|", of a text in pieces of this many bytes; "number!|" is too long. */
static void expect_lines(const char *bytes, size_t len, size_t piece, const char *expected)
{
    struct lines lines = {.most = MOST};
    struct line line;
    struct text got = {0};
    struct fault fault;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    text_puts(&got, "");
    for (size_t at = 0; !lines.ended; at += piece) {
        size_t now = at >= len ? 0 : len - at < piece ? len - at : piece;
        if (now > 0)
            assert_int_equal(write(ends[1], bytes + at, now), now);
        else
            close(ends[1]);
        assert_true(lines_read(&lines, ends[0], "x", &fault));
        while (lines_next(&lines, &line)) {
            if (line.at != NULL)
                assert_int_equal(line.at[line.len], '\0');
            text_printf(&got, "%lu%s", line.number, line.at == NULL ? "!|" : ":");
            if (line.at != NULL) {
                text_put_line(&got, line.at, line.len);
                text_puts(&got, "|");
            }
        }
    }
    assert_string_equal(got.at, expected);
    close(ends[0]);
    lines_free(&lines);
    text_free(&got);
}

static void lines_in_pieces(void **state)
{
    UNUSED(state);
#define MARK "\xef\xbb\xbf"
    static const struct {
        const char *text, *lines;
    } cases[] = {
        {"", ""},
        {"\n", ""},
        {"a", "1:a|"},
        {"a\n", "1:a|"},
        {"a\r\n\r\nb\r", "1:a|3:b|"},
        {"a\rb\r\r\n", "1:a\\rb\\r|"},
        {"\n \t\r\n  \nb\n   ", "4:b|"},
        {"12345\n12345\r\n12345", "1:12345|2:12345|3:12345|"},
        {"12345\r", "1:12345|"},
        {"123456\na", "1!|2:a|"},
        {"123456\r\na", "1!|2:a|"},
        {"12345\r6\r\na", "1!|2:a|"},
        {"a\n1234567890123\n\nb", "1:a|2!|4:b|"},
        {"a\n         \nb", "1:a|2!|3:b|"},
        {"123456789", "1!|"},
        {MARK, ""},
        {MARK "\na", "2:a|"},
        {MARK "12345\n" MARK "\n", "1:12345|2:" MARK "|"},
        {MARK MARK "1\n", "1:" MARK "1|"},
        {"\n" MARK "1\n", "2:" MARK "1|"},
        {"\xef\xbb\n", "1:\\xef\\xbb|"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t piece = 1; piece <= strlen(cases[i].text) + 1; piece++)
            expect_lines(cases[i].text, strlen(cases[i].text), piece, cases[i].lines);
    expect_lines("a\0b\n\0\n", 6, 1, "1:a\\x00b|2:\\x00|");
}

static void a_long_line_costs_no_memory(void **state)
{
    UNUSED(state);
    struct lines lines = {.most = MOST};
    struct line line = {0};
    char block[4096];
    unsigned count = 0;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(write(ends[1], block, sizeof block), sizeof block);
        assert_true(lines_read(&lines, ends[0], "x", NULL));
        while (lines_next(&lines, &line))
            count++;
    }
    assert_int_equal(count, 1); /* at once, and not when its end is there */
    assert_null(line.at);
    assert_uint_in_range(lines.text.room, 1, 1 << 18);
    assert_int_equal(write(ends[1], "\ny\n", 3), 3);
    assert_true(lines_read(&lines, ends[0], "x", NULL));
    assert_true(lines_next(&lines, &line));
    assert_int_equal(line.number, 2);
    assert_string_equal(line.at, "y");
    close(ends[0]);
    close(ends[1]);
    lines_free(&lines);
}

static void what_cannot_be_read(void **state)
{
    UNUSED(state);
    struct lines lines = {.most = MOST};
    struct fault fault;
    assert_false(lines_read(&lines, -1, "the input", &fault));
    expect_in(fault.text, "the input: Bad file descriptor");
    lines_free(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_pieces),
        cmocka_unit_test(a_long_line_costs_no_memory),
        cmocka_unit_test(what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
