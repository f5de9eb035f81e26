/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/symbols.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static uint64_t in_file(const void *address)
{
    Dl_info info;
    assert_int_not_equal(dladdr(address, &info), 0);
    return (uint64_t)((uintptr_t)address - (uintptr_t)info.dli_fbase);
}

static void a_static_function_has_a_name(void **state)
{
    UNUSED(state);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    uint64_t address = in_file((const void *)(uintptr_t)in_file), into = 99;
    char *name = symbols_find(fd, address, &into);
    assert_non_null(name);
    assert_string_equal(name, "in_file");
    assert_int_equal(into, 0);
    free(name);
    name = symbols_find(fd, address + 1, &into);
    assert_string_equal(name, "in_file");
    assert_int_equal(into, 1);
    free(name);
    assert_null(symbols_find(fd, 1, &into));
    assert_null(symbols_find(fd, UINT64_MAX, &into));
    close(fd);
}

static void the_calls_of_the_file_are_named(void **state)
{
    UNUSED(state);
    struct text words = {0}, out = {0}, expected = {0};
    uint64_t address = in_file((const void *)(uintptr_t)in_file);
    text_printf(&words, "crashed; calls: x.so(+0x%llx) < y.so(+0x12) < x.so(+0x%llx) < x.so(f+0x1) < x.so(+0x",
                (unsigned long long)address + 2, (unsigned long long)address + 3);
    text_puts(&expected,
              "crashed; calls: x.so(in_file+0x2) < y.so(+0x12) < x.so(in_file+0x3) < x.so(f+0x1) < x.so(+0x");
    symbols_put(&out, words.at, "/proc/self/exe", "x.so");
    assert_string_equal(out.at, expected.at);
    text_clear(&out);
    symbols_put(&out, words.at, "/nonexistent", "x.so");
    assert_string_equal(out.at, words.at);
    text_free(&words);
    text_free(&out);
    text_free(&expected);
}

/* Every byte of the first header, and every length, may be wrong. */
static void a_damaged_file_names_nothing_and_breaks_nothing(void **state)
{
    UNUSED(state);
    char path[] = "/tmp/symbols-XXXXXX", block[1 << 16];
    int whole = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), damaged = mkstemp(path);
    uint64_t address = in_file((const void *)(uintptr_t)in_file), into;
    assert_true(whole >= 0 && damaged >= 0);
    off_t size = 0;
    for (ssize_t len; (len = read(whole, block, sizeof block)) > 0; size += len)
        assert_int_equal(write(damaged, block, (size_t)len), len);
    for (off_t at = 0; at < 64; at++) {
        unsigned char good, bad;
        assert_int_equal(pread(damaged, &good, 1, at), 1);
        for (int bit = 0; bit < 8; bit++) {
            bad = (unsigned char)(good ^ (1 << bit));
            assert_int_equal(pwrite(damaged, &bad, 1, at), 1);
            free(symbols_find(damaged, address, &into));
        }
        assert_int_equal(pwrite(damaged, &good, 1, at), 1);
    }
    for (int part = 0; part < 16; part++) {
        assert_int_equal(ftruncate(damaged, size - (part + 1) * size / 16), 0);
        free(symbols_find(damaged, address, &into));
    }
    unlink(path);
    close(whole);
    close(damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_static_function_has_a_name),
        cmocka_unit_test(the_calls_of_the_file_are_named),
        cmocka_unit_test(a_damaged_file_names_nothing_and_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
