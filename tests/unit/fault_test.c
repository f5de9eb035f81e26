/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fault: a reason is one line of UTF-8 that fits, whatever it quotes. */
#include "base/fault.h"

#include "support.h"

#include <string.h>

static void it_is_one_line(void **state)
{
    UNUSED(state);
    struct fault fault;
    assert_false(fault_set(&fault, "%s: %d is \"%s\"", "x", 5, "a\nb\r\t\033[2J\x7f\xff\xe2\x80\xa8\xc3\xa9"));
    assert_string_equal(fault.text, "x: 5 is \"a\\nb\\r\\t\\x1b[2J\\x7f\\xff\\u2028\xc3\xa9\"");
    assert_false(fault_prefix(&fault, "one\n%s", "two"));
    expect_in(fault.text, "one\\ntwo: x: 5 is \"a\\nb\\r"); /* escaped text stays unchanged */
    assert_false(fault_set(&fault, "%s", ""));
    assert_string_equal(fault.text, "");
    assert_false(fault_set(NULL, "%s", "x"));
    assert_false(fault_prefix(NULL, "%s", "x"));
}

static void it_fits(void **state)
{
    UNUSED(state);
    struct fault fault;
    char long_text[2001] = "";
    for (size_t i = 0; i < 1000; i++)
        memcpy(long_text + 2 * i, "\xc3\xa9", 3);
    for (int before = 0; before < 2; before++) { /* one of the two would cut a character */
        assert_false(fault_set(&fault, "%.*s%s", before, "x", long_text));
        size_t len = strlen(fault.text);
        assert_uint_in_range(len, sizeof fault.text - 2, sizeof fault.text - 1);
        assert_int_equal((len - (size_t)before) % 2, 0);
        assert_int_equal((unsigned char)fault.text[len - 1], 0xa9);
    }
    assert_false(fault_prefix(&fault, "%s", long_text));
    assert_uint_in_range(strlen(fault.text), sizeof fault.text - 2, sizeof fault.text - 1);
    assert_false(fault_set(&fault, "again: %s", fault.text)); /* of itself */
    assert_int_equal(strncmp(fault.text, "again: \xc3\xa9", 9), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_one_line),
        cmocka_unit_test(it_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
