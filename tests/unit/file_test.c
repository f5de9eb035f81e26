/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char *directory, *path;

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    return asprintf(&path, "%s/file", directory) < 0;
}

static int leave(void **state)
{
    UNUSED(state);
    directory_remove(directory);
    free(path);
    return 0;
}

static void expect_text(const char *bytes, size_t len, size_t most, const char *expected, const char *reason)
{
    struct text text = {0};
    struct fault fault = {""};
    if (bytes != NULL)
        file_write(path, bytes, len);
    assert_true(file_read_text(path, most, &text, &fault) == (expected != NULL));
    if (expected != NULL)
        assert_string_equal(text.at, expected);
    else
        expect_in(fault.text, path);
    expect_in(fault.text, reason);
    text_free(&text);
}

static void texts(void **state)
{
    UNUSED(state);
    expect_text("", 0, 10, "", "");
    expect_text("a\nb", 3, 10, "a\nb", "");
    expect_text("\xef\xbb\xbf"
                "a",
                4, 10, "a", ""); /* a byte order mark */
    expect_text("\xef\xbb", 2, 10, "\xef\xbb", "");
    expect_text("a\0b", 3, 10, NULL, "NUL");
}

static void sizes(void **state)
{
    UNUSED(state);
    enum { LEN = 100000 };
    char *large = malloc(LEN + 1);
    memset(large, 'x', LEN);
    large[LEN] = '\0';
    expect_text(large, LEN, LEN, large, "");
    expect_text(large, LEN, LEN - 1, NULL, "larger than 99999 bytes");
    free(large);
}

static void appends(void **state)
{
    UNUSED(state);
    struct text text = {0};
    text_puts(&text, "before ");
    file_puts(path, "after");
    assert_true(file_read_text(path, 100, &text, NULL));
    assert_string_equal(text.at, "before after");
    text_free(&text);
}

static void what_is_no_file(void **state)
{
    UNUSED(state);
    expect_text(NULL, 0, 10, NULL, "No such file");
    assert_int_equal(mkdir(path, 0755), 0);
    expect_text(NULL, 0, 10, NULL, "is a directory");
}

static void directories(void **state)
{
    UNUSED(state);
    struct stat status;
    char *deep = NULL;
    assert_true(asprintf(&deep, "%s/a//b/c/", directory) > 0);
    assert_true(directory_make(deep));
    assert_true(directory_make(deep)); /* it is there */
    assert_int_equal(stat(deep, &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    free(deep);
    file_puts(path, "in the way");
    assert_true(asprintf(&deep, "%s/below", path) > 0);
    errno = 0;
    assert_false(directory_make(deep));
    assert_int_equal(errno, ENOTDIR);
    free(deep);
    assert_false(directory_make(""));
}

static void absolute_paths(void **state)
{
    UNUSED(state);
    char *home = getcwd(NULL, 0), *here = NULL, *absolute = path_absolute("/a/b"), *expected = NULL;
    assert_string_equal(absolute, "/a/b");
    free(absolute);
    assert_int_equal(chdir(directory), 0);
    here = getcwd(NULL, 0);
    assert_true(asprintf(&expected, "%s/logs", here) > 0);
    absolute = path_absolute("logs");
    assert_string_equal(absolute, expected);
    free(absolute);
    char *gone = NULL;
    assert_true(asprintf(&gone, "%s/gone", directory) > 0);
    assert_int_equal(mkdir(gone, 0755), 0);
    assert_int_equal(chdir(gone), 0);
    assert_int_equal(rmdir(gone), 0);
    absolute = path_absolute("logs"); /* the best that can be done */
    assert_string_equal(absolute, "logs");
    assert_int_equal(chdir(home), 0);
    free(absolute);
    free(expected);
    free(gone);
    free(here);
    free(home);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts), TEST(sizes), TEST(appends), TEST(what_is_no_file), TEST(directories), TEST(absolute_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
