/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * series: rates of now and of the last fifteen minutes. The clock is the test's. */
#include "run/series.h"

#include "support.h"

static void no_look_is_no_rate(void **state)
{
    UNUSED(state);
    struct series series = {0};
    double points[VIEW_RATE_POINTS];
    assert_true(series_now(&series) == 0);
    assert_int_equal(series_points(&series, points), 0);
    series_take(&series, 1000, 5);
    assert_true(series_now(&series) == 0);
}

static void now_is_the_last_seconds(void **state)
{
    UNUSED(state);
    struct series series = {0};
    for (int second = 0; second < 20; second++)
        series_take(&series, second * 1000, 100);
    for (uint64_t second = 0; second < SERIES_RECENT; second++)
        series_take(&series, 20000 + (int64_t)second * 1000, 100 + second * 7);
    assert_true(series_now(&series) == 7);
}

static void each_point_is_a_quarter_of_a_minute(void **state)
{
    UNUSED(state);
    struct series series = {0};
    double points[VIEW_RATE_POINTS];
    unsigned full = 0;
    for (uint64_t second = 0; second <= 30; second++)
        full += series_take(&series, 5000 + (int64_t)second * 1000, second <= 15 ? second * 2 : 30 + (second - 15) * 4);
    assert_int_equal(full, 2);
    assert_int_equal(series_points(&series, points), 2);
    assert_true(points[VIEW_RATE_POINTS - 2] == 2);
    assert_true(points[VIEW_RATE_POINTS - 1] == 4);
}

static void a_late_look_makes_a_longer_point(void **state)
{
    UNUSED(state);
    struct series series = {0};
    double points[VIEW_RATE_POINTS];
    series_take(&series, 0, 0);
    assert_true(series_take(&series, 60000, 600));
    assert_int_equal(series_points(&series, points), 1);
    assert_true(points[VIEW_RATE_POINTS - 1] == 10);
}

static void the_oldest_points_go(void **state)
{
    UNUSED(state);
    struct series series = {0};
    double points[VIEW_RATE_POINTS];
    uint64_t total = 0;
    series_take(&series, 0, 0);
    for (int point = 1; point <= VIEW_RATE_POINTS + 3; point++)
        series_take(&series, point * VIEW_RATE_SECONDS * 1000, total += (uint64_t)point * VIEW_RATE_SECONDS);
    assert_int_equal(series_points(&series, points), VIEW_RATE_POINTS);
    assert_true(points[0] == 4);
    assert_true(points[VIEW_RATE_POINTS - 1] == VIEW_RATE_POINTS + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_look_is_no_rate),
        cmocka_unit_test(now_is_the_last_seconds),
        cmocka_unit_test(each_point_is_a_quarter_of_a_minute),
        cmocka_unit_test(a_late_look_makes_a_longer_point),
        cmocka_unit_test(the_oldest_points_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
