/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "broker/records.h"

static struct records records;

static int begin(void **state)
{
    UNUSED(state);
    records_init(&records);
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    records_destroy(&records);
    return 0;
}

static void expect_next(const char *wanted)
{
    size_t len = 0;
    const char *body = records_next(&records, &len);
    if (wanted == NULL) {
        assert_null(body);
        return;
    }
    assert_int_equal(len, strlen(wanted));
    assert_memory_equal(body, wanted, len);
}

static void out_in_their_order(void **state)
{
    UNUSED(state);
    size_t dropped = 9;
    assert_false(records_wait(&records));
    assert_false(records_take(&records, &dropped));
    assert_int_equal(dropped, 0);
    expect_next(NULL);
    assert_true(records_put(&records, "one", 3));
    assert_true(records_put(&records, "", 0));
    assert_true(records_put(&records, "three", 5));
    assert_true(records_wait(&records));
    assert_true(records_take(&records, &dropped));
    assert_false(records_wait(&records));
    expect_next("one");
    assert_true(records_put(&records, "later", 5)); /* while the others are sent */
    expect_next("");
    expect_next("three");
    expect_next(NULL);
    assert_true(records_take(&records, &dropped));
    expect_next("later");
    expect_next(NULL);
}

static void too_many(void **state)
{
    UNUSED(state);
    size_t dropped = 0;
    int kept = 0;
    for (int i = 0; i < 5000; i++)
        kept += records_put(&records, "x", 1);
    assert_int_equal(kept, 4096);
    assert_true(records_take(&records, &dropped));
    assert_int_equal(dropped, 5000 - 4096);
    assert_true(records_put(&records, "y", 1)); /* there is room again, and the count begins anew */
    assert_true(records_take(&records, &dropped));
    assert_int_equal(dropped, 0);
}

static void too_large(void **state)
{
    UNUSED(state);
    size_t dropped = 0, len = 3000000;
    char *body = calloc(1, len);
    assert_true(records_put(&records, body, len));
    assert_true(records_put(&records, body, len));
    assert_false(records_put(&records, body, len)); /* 8 MiB in all */
    assert_false(records_put(&records, body, SIZE_MAX));
    assert_true(records_put(&records, "small", 5));
    free(body);
    assert_true(records_take(&records, &dropped));
    assert_int_equal(dropped, 2);
    records_take(&records, &dropped);
    assert_true(records.waiting.room < len || records.taken.room < len); /* the memory of a flood is given back */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(out_in_their_order), TEST(too_many), TEST(too_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
