/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <time.h>

#include "base/backoff.h"

static void doubles_up_to_the_last(void **state)
{
    UNUSED(state);
    for (int round = 0; round < 200; round++) {
        struct backoff backoff = {.first_ms = 100, .last_ms = 1000};
        static const uint32_t full[] = {100, 200, 400, 800, 1000, 1000, 1000};
        for (size_t i = 0; i < COUNT(full); i++) {
            uint32_t delay = backoff_next(&backoff);
            assert_uint_in_range(delay, full[i] / 2, full[i]);
        }
    }
}

static void chance_spreads(void **state)
{
    UNUSED(state);
    uint32_t least = UINT32_MAX, most = 0;
    for (int round = 0; round < 2000; round++) {
        struct backoff backoff = {.first_ms = 1000, .last_ms = 1000};
        uint32_t delay = backoff_next(&backoff);
        assert_uint_in_range(delay, 500, 1000);
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
    }
    /* 2000 draws that all miss a fifth of the range: one chance in 10^190 */
    assert_uint_in_range(least, 500, 600);
    assert_uint_in_range(most, 900, 1000);
}

static void reset_starts_over(void **state)
{
    UNUSED(state);
    struct backoff backoff = {.first_ms = 100, .last_ms = 60000};
    for (int i = 0; i < 10; i++)
        (void)backoff_next(&backoff);
    backoff_reset(&backoff);
    assert_uint_in_range(backoff_next(&backoff), 50, 100);
    assert_uint_in_range(backoff_next(&backoff), 100, 200);
}

static void large_numbers_do_not_wrap(void **state)
{
    UNUSED(state);
    struct backoff backoff = {.first_ms = 0x90000000u, .last_ms = UINT32_MAX};
    uint32_t delay = backoff_next(&backoff);
    assert_uint_in_range(delay, 0x48000000u, 0x90000000u);
    for (int i = 0; i < 5; i++)
        assert_uint_in_range(backoff_next(&backoff), 0x7fffffffu, UINT32_MAX);
}

static void small_numbers(void **state)
{
    UNUSED(state);
    struct backoff backoff = {.first_ms = 1, .last_ms = 3};
    static const uint32_t full[] = {1, 2, 3, 3};
    for (size_t i = 0; i < COUNT(full); i++)
        assert_uint_in_range(backoff_next(&backoff), full[i] - full[i] / 2, full[i]);
}

static void the_clock_is_the_monotonic_one(void **state)
{
    UNUSED(state);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    int64_t now = clock_ms();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(now >= (int64_t)before.tv_sec * 1000 + before.tv_nsec / 1000000);
    assert_true(now <= (int64_t)after.tv_sec * 1000 + after.tv_nsec / 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_last), cmocka_unit_test(chance_spreads),
        cmocka_unit_test(reset_starts_over),      cmocka_unit_test(large_numbers_do_not_wrap),
        cmocka_unit_test(small_numbers),          cmocka_unit_test(the_clock_is_the_monotonic_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
