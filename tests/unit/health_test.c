/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: the file that the surroundings look at, and the ledger of ids beside it. */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mov/health.h"

#define ID1 "5f00c1d000006543210f00a1"
#define ID2 "5f00c1d000006543210F00A2"
#define ID3 "5f00c1d000006543210f00a3"

static char *directory, *path, *ledger, *beside;
static struct log *logs;
static struct health *health;

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    logs = log_open(&(struct log_options){.directory = directory, .console_level = LOG_DEBUG});
    health = health_new(directory, "id.json", logs);
    return asprintf(&path, "%s/id.json", directory) < 0 || asprintf(&ledger, "%s.ids", path) < 0 ||
           asprintf(&beside, "%s.new", path) < 0;
}

static int leave(void **state)
{
    UNUSED(state);
    health_free(health);
    log_close(logs);
    free(path);
    free(ledger);
    free(beside);
    directory_remove(directory);
    return 0;
}

static void expect_file(const char *name, const char *expected)
{
    char *text = file_read(name, NULL);
    if (expected == NULL && text != NULL)
        fail_msg("%s is there and holds %s", name, text);
    if (expected != NULL && text == NULL)
        fail_msg("there is no %s", name);
    if (expected != NULL)
        assert_string_equal(text, expected);
    free(text);
}

/* What an earlier run left, by name; "" for nothing. */
static void expect_left(const char *expected)
{
    char found[512] = "";
    size_t count = 99, len = 0;
    char **ids = health_left_behind(health, &count);
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(found + len, sizeof found - len, "%s%s", i == 0 ? "" : " ", ids[i]);
        free(ids[i]);
    }
    free(ids);
    assert_string_equal(found, expected);
}

static void shows_and_takes_away(void **state)
{
    UNUSED(state);
    health_show(health, NULL);
    assert_false(file_exists(path));
    health_show(health, "{\"id\":\"x\"}");
    expect_file(path, "{\"id\":\"x\"}");
    health_show(health, "{\"id\":\"y\"}");
    expect_file(path, "{\"id\":\"y\"}");
    health_show(health, NULL);
    assert_false(file_exists(path));
    health_show(health, NULL);
    health_show(health, "{\"id\":\"y\"}");
    expect_file(path, "{\"id\":\"y\"}");
    assert_false(file_exists(beside));
    health_free(NULL);
}

static void what_is_shown_is_not_written_again(void **state)
{
    UNUSED(state);
    struct stat first, second, third;
    health_show(health, "one");
    assert_int_equal(stat(path, &first), 0);
    health_show(health, "one");
    assert_int_equal(stat(path, &second), 0);
    assert_true(first.st_ino == second.st_ino);
    int kept = link(path, beside); /* holds the first file, so that its number is not given out again */
    health_show(health, "two");
    assert_int_equal(stat(path, &third), 0);
    assert_int_equal(kept, 0);
    assert_true(first.st_ino != third.st_ino); /* renamed into its place, not written over */
}

static void everybody_may_read_it(void **state)
{
    UNUSED(state);
    static const mode_t masks[] = {077, 022, 0, 0777};
    char *ids[] = {ID1};
    for (size_t i = 0; i < COUNT(masks); i++) {
        mode_t old = umask(masks[i]);
        health_keep_ids(health, ids, 1);
        health_show(health, i % 2 == 0 ? "a" : "b");
        umask(old);
        struct stat status;
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0644);
    }
}

static void an_absolute_name(void **state)
{
    UNUSED(state);
    char *other = NULL;
    assert_true(asprintf(&other, "%s/elsewhere.json", directory) > 0);
    struct health *elsewhere = health_new("/nonexistent", other, logs);
    health_show(elsewhere, "x");
    expect_file(other, "x");
    health_free(elsewhere);
    free(other);
}

/* Somebody put a link where we write: what it points to stays as it is. */
static void links_are_not_followed(void **state)
{
    UNUSED(state);
    char *victim = NULL;
    assert_true(asprintf(&victim, "%s/victim", directory) > 0);
    file_puts(victim, "untouched");
    assert_int_equal(symlink(victim, beside), 0);
    assert_int_equal(symlink(victim, path), 0);
    health_show(health, "x");
    expect_file(victim, "untouched");
    expect_file(path, "x");
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    free(victim);
}

/* ---- what a look at any time sees ---- */

static atomic_bool watched_enough;

static void *watch(void *argument)
{
    size_t *halves = argument;
    while (!atomic_load(&watched_enough)) {
        size_t len = 0;
        char *text = file_read(path, &len);
        if (text == NULL)
            continue;
        bool whole = len == 20000;
        for (size_t i = 1; whole && i < len; i++)
            whole = text[i] == text[0];
        *halves += !whole;
        free(text);
    }
    return NULL;
}

static void nobody_sees_half_a_file(void **state)
{
    UNUSED(state);
    pthread_t thread;
    size_t halves = 0;
    char *text = malloc(20001);
    atomic_store(&watched_enough, false);
    assert_int_equal(pthread_create(&thread, NULL, watch, &halves), 0);
    for (int i = 0; i < 400; i++) {
        memset(text, 'a' + i % 20, 20000);
        text[20000] = '\0';
        health_show(health, text);
        if (i % 10 == 9)
            health_show(health, NULL);
    }
    atomic_store(&watched_enough, true);
    pthread_join(thread, NULL);
    free(text);
    assert_int_equal(halves, 0);
}

/* ---- the ledger ---- */

static void the_ledger_holds_what_the_file_does_not_tell(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1, ID2};
    health_keep_ids(health, ids, 1);
    expect_file(ledger, "[\"" ID1 "\"]\n");
    health_keep_ids(health, ids, 2);
    expect_file(ledger, "[\"" ID1 "\",\"" ID2 "\"]\n");
    health_show(health, "[{\"id\":\"" ID1 "\"},{\"id\":\"" ID2 "\"}]");
    assert_false(file_exists(ledger)); /* the health file has them all */
    ids[1] = ID3;
    health_keep_ids(health, ids, 2);
    expect_file(ledger, "[\"" ID1 "\",\"" ID3 "\"]\n"); /* one that it has not */
    ids[1] = ID2;
    health_keep_ids(health, ids, 2);
    assert_false(file_exists(ledger));
    health_show(health, NULL); /* it becomes the ledger, as it is */
    assert_false(file_exists(path));
    expect_file(ledger, "[{\"id\":\"" ID1 "\"},{\"id\":\"" ID2 "\"}]");
    health_keep_ids(health, ids, 2);
    expect_file(ledger, "[\"" ID1 "\",\"" ID2 "\"]\n");
    health_keep_ids(health, ids, 0);
    assert_false(file_exists(ledger));
    assert_false(file_exists(path));
}

/* Killed at any moment, the next run finds every id: the new place is written before the old one goes. */
static void an_id_is_always_somewhere(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1};
    for (int step = 0; step < 5; step++) {
        switch (step) {
        case 0:
            health_keep_ids(health, ids, 1);
            break;
        case 1:
            health_show(health, "{\"id\":\"" ID1 "\"}");
            break;
        case 2:
            health_show(health, NULL);
            break;
        case 3:
            health_show(health, "{\"id\":\"" ID1 "\",\"again\":true}");
            break;
        case 4:
            health_keep_ids(health, ids, 1);
            break;
        }
        /* as the next run would: with copies, because it takes the file away */
        struct health *ours = health;
        char *copy = directory_new(), *from_path = file_read(path, NULL), *from_ledger = file_read(ledger, NULL);
        char *name = NULL;
        assert_true(asprintf(&name, "%s/id.json", copy) > 0);
        if (from_path != NULL)
            file_puts(name, from_path);
        free(name);
        assert_true(asprintf(&name, "%s/id.json.ids", copy) > 0);
        if (from_ledger != NULL)
            file_puts(name, from_ledger);
        free(name);
        health = health_new(copy, "id.json", logs);
        expect_left(ID1);
        health_free(health);
        health = ours;
        free(from_path);
        free(from_ledger);
        directory_remove(copy);
    }
}

/* ---- what an earlier run left ---- */

static void left_behind(void **state)
{
    UNUSED(state);
    static const struct {
        const char *shown, *kept, *ids;
    } cases[] = {
        {NULL, NULL, ""},
        {"{\"id\":\"" ID1 "\",\"name\":\"c1_echo\",\"channels\":[{\"id\":\"" ID2 "\"}]}", NULL, ID1},
        {"[{\"id\":\"" ID1 "\"},{\"id\":\"" ID2 "\"}]", NULL, ID1 " " ID2},
        {NULL, "[\"" ID1 "\",\"" ID2 "\"]\n", ID1 " " ID2},
        {"{\"id\":\"" ID1 "\"}", "[\"" ID1 "\",\"" ID3 "\"]\n", ID1 " " ID3},
        {"{\"id\":\"" ID1 "\"}", "garbage", ID1},
        {"garbage", "[\"" ID1 "\"]", ID1},
        /* not ids of ours */
        {"", "", ""},
        {"\n", "[]\n", ""},
        {"null", "null", ""},
        {"5", "\"" ID1 "\"", ""},
        {"{}", "{}", ""},
        {"[]", "[[]]", ""},
        {"[null,5,true,{},[\"" ID1 "\"]]", "[null,5,\"" ID2 "\",{}]", ID2},
        {"{\"id\":null}", "[\"\"]", ""},
        {"{\"id\":5}", "[\"short\"]", ""},
        {"{\"id\":[\"" ID1 "\"]}", "[\"" ID1 "0\"]", ""},
        {"{\"id\":\"../../etc/passwd_xxxxxxxx\"}", "[\"0123456789abcdef0123456g\"]", ""},
        {"{\"id\":\"" ID1 "\"", "[\"" ID1 "\"", ""},
        {"[{\"id\":\"" ID1 "\"},{\"id\":\"" ID1 "\"}]", NULL, ID1},
        {"{\"id\":\"0123456789abcdef0123\\u0000123\"}", NULL, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        unlink(path);
        unlink(ledger);
        if (cases[i].shown != NULL)
            file_puts(path, cases[i].shown);
        if (cases[i].kept != NULL)
            file_puts(ledger, cases[i].kept);
        expect_left(cases[i].ids);
        assert_false(file_exists(path)); /* not healthy before it is so */
        assert_true(file_exists(ledger) == (cases[i].ids[0] != '\0'));
        health_free(health); /* killed again before anything was unregistered */
        health = health_new(directory, "id.json", logs);
        expect_left(cases[i].ids);
        health_free(health);
        health = health_new(directory, "id.json", logs);
    }
}

/* The MOV puts the schemas of all channels into its notification, so it may be deeper than json-c reads by itself. */
static void a_deep_notification(void **state)
{
    UNUSED(state);
    char text[1000] = "{\"id\":\"" ID1 "\",\"channels\":";
    size_t len = strlen(text), depth = 200;
    memset(text + len, '[', depth);
    memset(text + len + depth, ']', depth);
    text[len + 2 * depth] = '}';
    file_puts(path, text);
    expect_left(ID1);
}

static void things_that_are_no_files(void **state)
{
    UNUSED(state);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_int_equal(mkdir(ledger, 0755), 0);
    stderr_catch();
    expect_left(""); /* and does not wait for a writer */
    free(stderr_caught());
    assert_int_equal(rmdir(ledger), 0);
}

static void component_ids(void **state)
{
    UNUSED(state);
    assert_true(is_component_id(ID1, 24));
    assert_true(is_component_id(ID2, 24));
    assert_true(is_component_id("000000000000000000000000", 24));
    assert_false(is_component_id("", 0));
    assert_false(is_component_id("00000000000000000000000", 23));
    assert_false(is_component_id("0000000000000000000000000", 25));
    assert_false(is_component_id("00000000000000000000000g", 24));
    assert_false(is_component_id("00000000000000000000000 ", 24));
    assert_false(is_component_id("00000000000\0000000000000", 24));
}

/* ---- what cannot be written ---- */

static void it_is_said_once(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1}, *missing = NULL;
    assert_true(asprintf(&missing, "%s/missing", directory) > 0);
    struct health *lost = health_new(missing, "id.json", logs);
    stderr_catch();
    for (int i = 0; i < 5; i++) {
        health_keep_ids(lost, ids, 1);
        health_show(lost, "{\"id\":\"x\"}");
        health_show(lost, NULL);
        health_keep_ids(lost, ids, 0);
    }
    char *console = stderr_caught();
    assert_int_equal(count_of(console, "\n"), 1);
    expect_in(console, "[ERROR] host: ");
    expect_in(console, "No such file or directory");
    free(console);

    assert_int_equal(mkdir(missing, 0755), 0); /* as soon as it can be written, it is */
    stderr_catch();
    health_show(lost, "{\"id\":\"x\"}");
    console = stderr_caught();
    assert_string_equal(console, "");
    free(console);
    char *shown = NULL;
    assert_true(asprintf(&shown, "%s/id.json", missing) > 0);
    expect_file(shown, "{\"id\":\"x\"}");
    free(shown);
    health_free(lost);
    free(missing);
}

/* To the last byte. */
static void fill_up(const char *name)
{
    FILE *fill = fopen(name, "we");
    assert_non_null(fill);
    setvbuf(fill, NULL, _IONBF, 0);
    char block[4096] = "";
    while (fwrite(block, 1, sizeof block, fill) == sizeof block)
        ;
    fclose(fill);
}

static void a_full_disk(void **state)
{
    UNUSED(state);
    char *small = NULL, *filler = NULL, *shown = NULL, *half = NULL;
    assert_true(asprintf(&small, "%s/small", directory) > 0);
    assert_true(asprintf(&filler, "%s/filler", small) > 0);
    assert_true(asprintf(&shown, "%s/id.json", small) > 0);
    assert_true(asprintf(&half, "%s/id.json.new", small) > 0);
    assert_int_equal(mkdir(small, 0755), 0);
    if (geteuid() != 0 || mount("none", small, "tmpfs", 0, "size=64k") != 0) {
        print_message("skipped: a small file system can be mounted by root only, and not everywhere\n");
        free(small), free(filler), free(shown), free(half);
        skip();
        return;
    }
    struct health *full = health_new(small, "id.json", logs);
    health_show(full, "{\"id\":\"old\"}");
    fill_up(filler);

    stderr_catch();
    for (int i = 0; i < 5; i++) {
        char *ids[] = {ID1};
        health_show(full, i % 2 == 0 ? "{\"id\":\"new\"}" : "{\"id\":\"newer\"}");
        health_keep_ids(full, ids, (size_t)(i % 2));
    }
    char *console = stderr_caught();
    bool file_as_it_was = file_exists(shown) && !file_exists(half);
    unlink(filler);
    health_show(full, "{\"id\":\"newest\"}");
    char *text = file_read(shown, NULL);
    health_free(full);
    umount(small);
    assert_true(file_as_it_was);
    assert_non_null(text);
    assert_string_equal(text, "{\"id\":\"newest\"}");
    assert_int_equal(count_of(console, "No space left on device"), 1);
    assert_int_equal(count_of(console, "\n"), 1);
    free(text);
    free(console);
    free(small), free(filler), free(shown), free(half);
}

/* The health file has to go though nothing can be written: what it told is still found by the next run. */
static void a_full_disk_keeps_the_ids(void **state)
{
    UNUSED(state);
    char *small = NULL, *filler = NULL, *shown = NULL;
    char *ids[] = {ID1};
    assert_true(asprintf(&small, "%s/small", directory) > 0);
    assert_true(asprintf(&filler, "%s/filler", small) > 0);
    assert_true(asprintf(&shown, "%s/id.json", small) > 0);
    assert_int_equal(mkdir(small, 0755), 0);
    if (geteuid() != 0 || mount("none", small, "tmpfs", 0, "size=64k") != 0) {
        print_message("skipped: a small file system can be mounted by root only, and not everywhere\n");
        free(small), free(filler), free(shown);
        skip();
        return;
    }
    struct health *full = health_new(small, "id.json", logs);
    health_keep_ids(full, ids, 1);
    health_show(full, "{\"id\":\"" ID1 "\"}");
    fill_up(filler);
    stderr_catch();
    health_show(full, NULL);
    char *console = stderr_caught();
    bool gone = !file_exists(shown);
    health_free(full);
    struct health *ours = health;
    health = health_new(small, "id.json", logs);
    stderr_catch();
    expect_left(ID1);
    free(stderr_caught());
    health_free(health);
    health = ours;
    umount(small);
    assert_true(gone);
    assert_string_equal(console, "");
    free(console);
    free(small), free(filler), free(shown);
}

/* Killed, started on a disk that is full, killed again: the id is still found. */
static void a_start_on_a_full_disk(void **state)
{
    UNUSED(state);
    struct rlimit old, none;
    size_t count = 0;
    file_puts(path, "{\"id\":\"" ID1 "\"}");
    getrlimit(RLIMIT_FSIZE, &old);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    for (int run = 0; run < 2; run++) {
        char **ids = health_left_behind(health, &count);
        assert_int_equal(count, 1);
        assert_string_equal(ids[0], ID1);
        free(ids[0]);
        free(ids);
        assert_int_not_equal(access(path, F_OK), 0); /* not healthy meanwhile */
        health_free(health);
        health = health_new(directory, "id.json", logs);
    }
    setrlimit(RLIMIT_FSIZE, &old);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shows_and_takes_away),
        TEST(what_is_shown_is_not_written_again),
        TEST(everybody_may_read_it),
        TEST(an_absolute_name),
        TEST(links_are_not_followed),
        TEST(nobody_sees_half_a_file),
        TEST(the_ledger_holds_what_the_file_does_not_tell),
        TEST(an_id_is_always_somewhere),
        TEST(left_behind),
        TEST(a_deep_notification),
        TEST(things_that_are_no_files),
        TEST(component_ids),
        TEST(it_is_said_once),
        TEST(a_full_disk),
        TEST(a_full_disk_keeps_the_ids),
        TEST(a_start_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
