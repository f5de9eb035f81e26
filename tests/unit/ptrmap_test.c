/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include "base/ptrmap.h"

enum { KEYS = 10000 };

/* Addresses at a distance of `apart` bytes, which are never dereferenced. */
static const void *key(uintptr_t number, uintptr_t apart)
{
    return (const void *)(number * apart + 16);
}

static void an_empty_map_has_nothing(void **state)
{
    UNUSED(state);
    struct ptrmap map = {0};
    uint64_t value = 7;
    assert_false(ptrmap_get(&map, &map, &value));
    assert_false(ptrmap_get(&map, NULL, &value));
    assert_int_equal(value, 7); /* left alone */
    ptrmap_clear(&map);
}

/* Far more keys than the first table holds, at typical distances of addresses, and at some with equal low bits. */
static void every_key_is_found(void **state)
{
    UNUSED(state);
    static const uintptr_t distances[] = {1, 16, 48, 64, 4096, UINT32_C(1) << 20};
    for (size_t d = 0; d < COUNT(distances); d++) {
        struct ptrmap map = {0};
        for (uintptr_t i = 0; i < KEYS; i++)
            ptrmap_put(&map, key(i, distances[d]), i);
        assert_int_equal(map.used, KEYS);
        assert_true(map.used * 4 <= map.capacity * 3 + 4);
        for (uintptr_t i = 0; i < KEYS; i++) {
            uint64_t value = UINT64_MAX;
            assert_true(ptrmap_get(&map, key(i, distances[d]), &value));
            assert_int_equal(value, i);
        }
        for (uintptr_t i = KEYS; i < KEYS + KEYS; i++)
            assert_false(ptrmap_get(&map, key(i, distances[d]), NULL));
        ptrmap_clear(&map);
        assert_false(ptrmap_get(&map, key(0, distances[d]), NULL));
    }
}

static void a_second_value_takes_the_place_of_the_first(void **state)
{
    UNUSED(state);
    struct ptrmap map = {0};
    uint64_t value = 0;
    ptrmap_put(&map, &map, 1);
    ptrmap_put(&map, &map, UINT64_MAX);
    assert_int_equal(map.used, 1);
    assert_true(ptrmap_get(&map, &map, &value));
    assert_true(value == UINT64_MAX);
    assert_true(ptrmap_get(&map, &map, NULL));
    ptrmap_clear(&map);
    ptrmap_put(&map, &value, 2); /* and it can be used again */
    assert_true(ptrmap_get(&map, &value, &value));
    assert_int_equal(value, 2);
    ptrmap_clear(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(every_key_is_found),
        cmocka_unit_test(a_second_value_takes_the_place_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
