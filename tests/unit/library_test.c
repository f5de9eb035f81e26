/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * library: a library that is opened fills its table; one that is missing, or too old, is named. */
#include "base/library.h"

#include "support.h"

struct table {
    double (*floor)(double number);
    double (*fabs)(double number);
};

static const struct library_function functions[] = {
    {"floor", offsetof(struct table, floor)},
    {"fabs", offsetof(struct table, fabs)},
};

static void the_table_is_filled(void **state)
{
    UNUSED(state);
    const struct library math = {"libm.so.6", "libc6", 2, functions};
    struct table table = {0};
    struct fault fault;
    assert_true(library_open(&math, &table, &fault));
    assert_true(table.floor(2.5) == 2.0);
    assert_true(table.fabs(-2.5) == 2.5);
}

static void a_missing_library_and_its_package_are_named(void **state)
{
    UNUSED(state);
    const struct library none = {"libvalawai-none.so.1", "libvalawai-none1", 2, functions};
    struct table table = {0};
    struct fault fault;
    assert_false(library_open(&none, &table, &fault));
    expect_in(fault.text, "libvalawai-none.so.1: ");
    expect_in(fault.text, "; install libvalawai-none1");
}

static void a_missing_function_is_named(void **state)
{
    UNUSED(state);
    const struct library_function later[] = {{"floor", 0}, {"valawai_floor", 0}};
    const struct library math = {"libm.so.6", "libc6", 2, later};
    struct table table = {0};
    struct fault fault;
    assert_false(library_open(&math, &table, &fault));
    assert_string_equal(fault.text, "libm.so.6 lacks valawai_floor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_filled),
        cmocka_unit_test(a_missing_library_and_its_package_are_named),
        cmocka_unit_test(a_missing_function_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
