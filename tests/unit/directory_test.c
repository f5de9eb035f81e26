/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The plugin directory: when a change counts. The times are the test's own; the events are the kernel's. */
#include "run/directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define SETTLE 300
#define WRITING 10000

static char *home;
static char path[512], file[600], other[600];
static struct directory directory;

static int enter(void **state)
{
    UNUSED(state);
    home = directory_new();
    snprintf(path, sizeof path, "%s/plugins", home);
    snprintf(file, sizeof file, "%s/a.so", path);
    snprintf(other, sizeof other, "%s/b.so", path);
    return mkdir(path, 0755);
}

static int leave(void **state)
{
    UNUSED(state);
    directory_close(&directory);
    directory_remove(home);
    return 0;
}

static void a_change_counts_when_it_has_settled(void **state)
{
    UNUSED(state);
    directory_watch(&directory, path, NULL);
    assert_int_equal(directory_tend(&directory, 1000), INT64_MAX);
    file_puts(file, "x");
    assert_int_equal(directory_tend(&directory, 2000), 2000 + SETTLE);
    assert_int_equal(directory_tend(&directory, 2100), 2000 + SETTLE);
    assert_int_equal(rename(file, other), 0);
    assert_int_equal(directory_tend(&directory, 2200), 2200 + SETTLE);
    directory_taken(&directory);
    assert_int_equal(directory_tend(&directory, 9000), INT64_MAX);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(directory_tend(&directory, 9100), 9100 + SETTLE);
}

static void a_file_that_is_written_keeps_it_waiting(void **state)
{
    UNUSED(state);
    directory_watch(&directory, path, NULL);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(directory_tend(&directory, 1000), 1000 + WRITING);
    file_puts(other, "x"); /* another file is complete, and the first one is not */
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(directory_tend(&directory, 2000), 2000 + WRITING);
    close(fd);
    assert_int_equal(directory_tend(&directory, 3000), 3000 + SETTLE);
}

static void a_directory_that_appears_again(void **state)
{
    UNUSED(state);
    directory_watch(&directory, path, NULL);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(directory_tend(&directory, 1000), 1000 + SETTLE);
    directory_taken(&directory);
    assert_int_equal(directory_tend(&directory, 1100), INT64_MAX);
    assert_true(directory.watch_at > 1100 && directory.watch_at < 5000);
    assert_int_equal(mkdir(path, 0755), 0);
    int64_t found = directory.watch_at;
    assert_int_equal(directory_tend(&directory, found), found + SETTLE);
    directory_taken(&directory);
    file_puts(file, "x");
    assert_int_equal(directory_tend(&directory, found + 1000), found + 1000 + SETTLE);
}

/* A system allows a user a number of watches. The host works without one, and does not ask in a loop. */
static void without_watches(void **state)
{
    UNUSED(state);
    struct rlimit limit, none = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none.rlim_max = limit.rlim_max;
    stderr_catch();
    struct log *log = log_open(&(struct log_options){.console_level = LOG_WARNING, .file_level = LOG_CRITICAL});
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    directory_watch(&directory, path, log);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    log_close(log);
    char *said = stderr_caught();
    expect_in(said, "cannot watch the plugin directory");
    expect_in(said, "use valawai-host reload after a change");
    free(said);
    assert_int_equal(directory.fd, -1);
    assert_int_equal(directory.watch_at, INT64_MAX);
    assert_int_equal(directory_tend(&directory, 1000), INT64_MAX);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_counts_when_it_has_settled),
        TEST(a_file_that_is_written_keeps_it_waiting),
        TEST(a_directory_that_appears_again),
        TEST(without_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
