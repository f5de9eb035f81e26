/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * count: counters and histograms. */
#include "base/count.h"

#include "support.h"

static void a_count_goes_up_and_down(void **state)
{
    UNUSED(state);
    count_cell cell = 0;
    count_add(&cell, 5);
    count_add(&cell, 2);
    count_take(&cell, 3);
    assert_int_equal(count_get(&cell), 4);
}

static void a_time_is_in_the_first_bucket_that_holds_it(void **state)
{
    UNUSED(state);
    struct histogram histogram = {0};
    histogram_add(&histogram, -7); /* a clock that went back */
    histogram_add(&histogram, 0);
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        histogram_add(&histogram, (int64_t)histogram_bounds[i]);
        histogram_add(&histogram, (int64_t)histogram_bounds[i] + 1);
    }
    struct histogram_sums sums = histogram_read(&histogram);
    assert_int_equal(sums.buckets[0], 3);
    for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
        assert_int_equal(sums.buckets[i], 2);
    assert_int_equal(sums.buckets[HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram_count(&sums), 2 + 2 * HISTOGRAM_BOUNDS);
}

static void bounds_ascend(void **state)
{
    UNUSED(state);
    for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
        assert_true(histogram_bounds[i] > histogram_bounds[i - 1]);
}

static void a_quantile_lies_in_the_bucket_of_its_rank(void **state)
{
    UNUSED(state);
    struct histogram histogram = {0};
    for (int i = 0; i < 98; i++)
        histogram_add(&histogram, 20); /* 10 to 25 µs */
    histogram_add(&histogram, 800000);
    histogram_add(&histogram, 800000); /* 0.5 to 1 s */
    struct histogram_sums sums = histogram_read(&histogram);
    double half = histogram_quantile(&sums, 0.5), most = histogram_quantile(&sums, 0.99);
    assert_true(half > 10e-6 && half <= 25e-6);
    assert_true(most > 0.5 && most <= 1);
}

static void quantiles_of_nothing_and_of_what_has_no_bound(void **state)
{
    UNUSED(state);
    struct histogram histogram = {0};
    struct histogram_sums sums = histogram_read(&histogram);
    assert_true(histogram_quantile(&sums, 0.99) < 0);
    histogram_add(&histogram, INT64_MAX / 2);
    sums = histogram_read(&histogram);
    assert_true(histogram_quantile(&sums, 0.5) == (double)histogram_bounds[HISTOGRAM_BOUNDS - 1] / 1e6);
}

static void what_is_new_is_the_difference(void **state)
{
    UNUSED(state);
    struct histogram histogram = {0};
    histogram_add(&histogram, 5);
    struct histogram_sums before = histogram_read(&histogram), fresh = {0};
    histogram_add(&histogram, 5);
    histogram_add(&histogram, 30);
    struct histogram_sums now = histogram_read(&histogram);
    histogram_sum(&fresh, &now, &before);
    assert_int_equal(histogram_count(&fresh), 2);
    assert_int_equal(fresh.sum, 35);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_goes_up_and_down),
        cmocka_unit_test(a_time_is_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(bounds_ascend),
        cmocka_unit_test(a_quantile_lies_in_the_bucket_of_its_rank),
        cmocka_unit_test(quantiles_of_nothing_and_of_what_has_no_bound),
        cmocka_unit_test(what_is_new_is_the_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
