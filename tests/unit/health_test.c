/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: the thread that writes the health file and the ledger. The test replaces fsync(), which can hang. */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "mov/health.h"

#define ID1 "5f00c1d000006543210f00a1"
#define ID2 "5f00c1d000006543210f00a2"

static char *directory, *path, *ledger;
static struct log *logs;
static struct health *health;

/* ---- a disk that hangs ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hangs;     /* fsync() does not return */
static bool hanging;   /* it is being called */
static unsigned syncs; /* number of calls */

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd;
    pthread_mutex_lock(&lock);
    syncs++;
    hanging = true;
    pthread_cond_broadcast(&changed);
    while (hangs)
        pthread_cond_wait(&changed, &lock);
    hanging = false;
    pthread_mutex_unlock(&lock);
    return 0;
}

static void disk_hangs(bool is)
{
    pthread_mutex_lock(&lock);
    hangs = is;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void until_it_hangs(void)
{
    pthread_mutex_lock(&lock);
    while (!hanging)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- the thread ---- */

static unsigned writes; /* number of calls of written() */

static void on_written(void *context)
{
    assert_ptr_equal(context, &writes);
    pthread_mutex_lock(&lock);
    writes++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void until_written(uint64_t number)
{
    pthread_mutex_lock(&lock);
    while (!health_is_kept(health, number))
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int enter(void **state)
{
    UNUSED(state);
    writes = syncs = 0;
    directory = directory_new();
    logs = log_open(&(struct log_options){.directory = directory, .console_level = LOG_DEBUG});
    health = health_new(directory, "id.json", logs);
    return asprintf(&path, "%s/id.json", directory) < 0 || asprintf(&ledger, "%s.ids", path) < 0;
}

static int leave(void **state)
{
    UNUSED(state);
    disk_hangs(false);
    health_free(health);
    log_close(logs);
    free(path);
    free(ledger);
    directory_remove(directory);
    return 0;
}

static int64_t soon(void)
{
    return clock_ms() + (int64_t)(1000 * stretched(10));
}

static uint64_t keep(const char *id)
{
    struct legacy legacy = {0};
    if (id != NULL)
        legacy_add_id(&legacy, id);
    return health_keep(health, legacy);
}

static void expect_file(const char *name, const char *expected)
{
    char *text = file_read(name, NULL);
    assert_string_equal(text == NULL ? "(none)" : text, expected);
    free(text);
}

static void without_the_thread_it_writes_at_once(void **state)
{
    UNUSED(state);
    assert_true(health_is_kept(health, keep(ID1)));
    expect_file(ledger, "[\"" ID1 "\"]\n");
    health_show(health, "shown");
    expect_file(path, "shown");
    assert_true(health_stop(health, 0));
}

static void the_thread_writes_and_says_so(void **state)
{
    UNUSED(state);
    health_start(health, on_written, &writes);
    until_written(keep(ID1));
    expect_file(ledger, "[\"" ID1 "\"]\n");
    health_show(health, "{\"id\":\"" ID1 "\"}");
    until_written(keep(ID1));
    expect_file(path, "{\"id\":\"" ID1 "\"}");
    expect_file(ledger, "(none)");
    assert_true(health_stop(health, soon()));
    assert_true(writes >= 2);
}

/* On a slow disk all contents that are set meanwhile are written once, and the caller does not wait. */
static void contents_set_during_a_write_are_written_once(void **state)
{
    UNUSED(state);
    disk_hangs(true);
    health_start(health, on_written, &writes);
    uint64_t first = keep(ID1), last = first;
    until_it_hangs();
    health_show(health, "shown");
    assert_false(health_is_shown(health));
    for (int i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"id\":\"" ID2 "\",\"n\":%d}", i);
        health_show(health, text);
        last = keep(ID2);
    }
    assert_false(health_is_kept(health, first));
    disk_hangs(false);
    until_written(last);
    assert_true(health_is_shown(health));
    expect_file(path, "{\"id\":\"" ID2 "\",\"n\":999}");
    assert_true(health_stop(health, soon()));
    assert_true(syncs <= 8); /* each file and its directory, for the first and for all the others */
    assert_true(health_is_kept(health, first));
}

static void what_was_said_is_written_before_the_end(void **state)
{
    UNUSED(state);
    health_start(health, on_written, &writes);
    keep(ID1);
    health_show(health, "shown");
    health_show(health, NULL);
    keep(ID2);
    assert_true(health_stop(health, soon()));
    expect_file(ledger, "[\"" ID2 "\"]\n");
    expect_file(path, "(none)");
}

static void a_file_that_is_removed_comes_back(void **state)
{
    UNUSED(state);
    stderr_catch();
    health_start(health, on_written, &writes);
    health_show(health, "shown");
    until_written(keep(NULL));
    assert_int_equal(unlink(path), 0);
    for (int64_t until = soon(); !file_exists(path) && clock_ms() < until;)
        usleep(10000);
    expect_file(path, "shown");
    assert_true(health_stop(health, soon()));
    char *console = stderr_caught();
    expect_in(console, "id.json: was removed; writing it again");
    free(console);
}

/* The host has ended well on a slow disk: neither the health file nor a ledger of unregistered ids may remain. */
static void an_end_that_does_not_wait_for_the_disk(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1, NULL};
    for (int left = 0; left < 2; left++) {
        health_start(health, on_written, &writes);
        keep(ID1);
        health_show(health, "shown");
        until_written(keep(ID1));
        disk_hangs(true);
        keep(ID2);
        until_it_hangs();
        health_show(health, NULL);
        keep(ids[left]);
        int64_t began = clock_ms();
        assert_false(health_stop(health, began + 50));
        assert_true(clock_ms() - began < (int64_t)(1000 * stretched(5)));
        assert_true(file_exists(path) == (left == 0)); /* with something left, both stay for the next run */
        assert_true(file_exists(ledger) == (left == 0));
        disk_hangs(false);
        assert_true(health_stop(health, soon()));
        health_free(health);
        health = health_new(directory, "id.json", logs);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_the_thread_it_writes_at_once),
        TEST(the_thread_writes_and_says_so),
        TEST(contents_set_during_a_write_are_written_once),
        TEST(what_was_said_is_written_before_the_end),
        TEST(a_file_that_is_removed_comes_back),
        TEST(an_end_that_does_not_wait_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
