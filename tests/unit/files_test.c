/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * files: the health file and the ledger beside it. */
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

#include "base/text.h"
#include "mov/files.h"

#define ID1 "5f00c1d000006543210f00a1"
#define ID2 "5f00c1d000006543210F00A2"
#define ID3 "5f00c1d000006543210f00a3"

static char *directory, *path, *ledger, *beside;
static struct log *logs;
static struct files *files;

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    logs = log_open(&(struct log_options){.directory = directory, .console_level = LOG_DEBUG});
    files = files_new(directory, "id.json", logs);
    return asprintf(&path, "%s/id.json", directory) < 0 || asprintf(&ledger, "%s.ids", path) < 0 ||
           asprintf(&beside, "%s.new", path) < 0;
}

static int leave(void **state)
{
    UNUSED(state);
    files_free(files);
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

static void keep_ids(struct files *of, char *const *ids, size_t count)
{
    struct legacy legacy = {0};
    for (size_t i = 0; i < count; i++)
        legacy_add_id(&legacy, ids[i]);
    files_keep(of, legacy);
}

/* What an earlier run left: ids, and then components without an answer; "" for nothing. */
static void expect_left(const char *expected)
{
    struct text found = {0};
    struct legacy left = files_left_behind(files);
    for (size_t i = 0; i < left.id_count; i++)
        text_printf(&found, "%s%s", found.len == 0 ? "" : " ", left.ids[i]);
    for (size_t i = 0; i < left.pending_count; i++)
        text_printf(&found, "%s%s", found.len == 0 ? "" : " ", left.pending[i]);
    legacy_free(&left);
    assert_string_equal(found.at == NULL ? "" : found.at, expected);
    text_free(&found);
}

static void shows_and_takes_away(void **state)
{
    UNUSED(state);
    files_show(files, NULL);
    assert_false(file_exists(path));
    files_show(files, "{\"id\":\"x\"}");
    expect_file(path, "{\"id\":\"x\"}");
    files_show(files, "{\"id\":\"y\"}");
    expect_file(path, "{\"id\":\"y\"}");
    files_show(files, NULL);
    assert_false(file_exists(path));
    files_show(files, NULL);
    files_show(files, "{\"id\":\"y\"}");
    expect_file(path, "{\"id\":\"y\"}");
    assert_false(file_exists(beside));
    files_free(NULL);
}

static void what_is_shown_is_not_written_again(void **state)
{
    UNUSED(state);
    struct stat first, second, third;
    files_show(files, "one");
    assert_int_equal(stat(path, &first), 0);
    files_show(files, "one");
    assert_int_equal(stat(path, &second), 0);
    assert_true(first.st_ino == second.st_ino);
    int kept = link(path, beside); /* holds the first file, so that its number is not given out again */
    files_show(files, "two");
    assert_int_equal(stat(path, &third), 0);
    assert_int_equal(kept, 0);
    assert_true(first.st_ino != third.st_ino); /* renamed into its place, not overwritten */
}

static void everybody_may_read_it(void **state)
{
    UNUSED(state);
    static const mode_t masks[] = {077, 022, 0, 0777};
    char *ids[] = {ID1};
    for (size_t i = 0; i < COUNT(masks); i++) {
        mode_t old = umask(masks[i]);
        keep_ids(files, ids, 1);
        files_show(files, i % 2 == 0 ? "a" : "b");
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
    struct files *elsewhere = files_new("/nonexistent", other, logs);
    files_show(elsewhere, "x");
    expect_file(other, "x");
    files_free(elsewhere);
    free(other);
}

/* A link at the name of the file: its target stays unchanged. */
static void links_are_not_followed(void **state)
{
    UNUSED(state);
    char *victim = NULL;
    assert_true(asprintf(&victim, "%s/victim", directory) > 0);
    file_puts(victim, "untouched");
    assert_int_equal(symlink(victim, beside), 0);
    assert_int_equal(symlink(victim, path), 0);
    files_show(files, "x");
    expect_file(victim, "untouched");
    expect_file(path, "x");
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    free(victim);
}

/* The lock would be taken on a file elsewhere, or not at all, and a second host would start. */
static void a_lock_file_that_is_a_link_is_an_error(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    char *lock = NULL;
    assert_true(asprintf(&lock, "%s.lock", path) > 0);
    assert_int_equal(symlink("/nonexistent", lock), 0);
    assert_false(files_lock(files, &fault));
    assert_non_null(strstr(fault.text, "id.json.lock: the lock file is a symbolic link; remove it"));
    assert_int_equal(unlink(lock), 0);
    assert_true(files_lock(files, &fault));
    free(lock);
}

/* ---- a reader at any time ---- */

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
        files_show(files, text);
        if (i % 10 == 9)
            files_show(files, NULL);
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
    keep_ids(files, ids, 1);
    expect_file(ledger, "[\"" ID1 "\"]\n");
    keep_ids(files, ids, 2);
    expect_file(ledger, "[\"" ID1 "\",\"" ID2 "\"]\n");
    files_show(files, "[{\"id\":\"" ID1 "\"},{\"id\":\"" ID2 "\"}]");
    assert_false(file_exists(ledger)); /* the health file has them all */
    ids[1] = ID3;
    keep_ids(files, ids, 2);
    expect_file(ledger, "[\"" ID1 "\",\"" ID3 "\"]\n"); /* one that it has not */
    ids[1] = ID2;
    keep_ids(files, ids, 2);
    assert_false(file_exists(ledger));
    files_show(files, NULL); /* it is renamed to the ledger */
    assert_false(file_exists(path));
    expect_file(ledger, "[{\"id\":\"" ID1 "\"},{\"id\":\"" ID2 "\"}]");
    keep_ids(files, ids, 2);
    expect_file(ledger, "[\"" ID1 "\",\"" ID2 "\"]\n");
    keep_ids(files, ids, 0);
    assert_false(file_exists(ledger));
    assert_false(file_exists(path));
}

/* After a kill at any moment the next run finds every id, because the new place is written before the old one is
 * removed. */
static void an_id_is_always_somewhere(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1};
    for (int step = 0; step < 5; step++) {
        switch (step) {
        case 0:
            keep_ids(files, ids, 1);
            break;
        case 1:
            files_show(files, "{\"id\":\"" ID1 "\"}");
            break;
        case 2:
            files_show(files, NULL);
            break;
        case 3:
            files_show(files, "{\"id\":\"" ID1 "\",\"again\":true}");
            break;
        case 4:
            keep_ids(files, ids, 1);
            break;
        }
        /* as the next run would: with copies, because it takes the file away */
        struct files *ours = files;
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
        files = files_new(copy, "id.json", logs);
        expect_left(ID1);
        files_free(files);
        files = ours;
        free(from_path);
        free(from_ledger);
        directory_remove(copy);
    }
}

/* After a kill before the MOV's answer the next run expects the answer. */
static void pending_registrations(void **state)
{
    UNUSED(state);
    struct legacy legacy = {0};
    legacy_add_id(&legacy, ID1);
    legacy_add_pending(&legacy, "c1_a");
    legacy_add_pending(&legacy, "c1_a");
    files_keep(files, legacy);
    expect_file(ledger, "[\"" ID1 "\",{\"pending\":\"c1_a\"},{\"pending\":\"c1_a\"}]\n");
    files_show(files, "{\"id\":\"" ID1 "\"}");
    assert_true(file_exists(ledger)); /* the health file does not contain it */
    expect_left(ID1 " c1_a c1_a");
    keep_ids(files, NULL, 0);
    assert_false(file_exists(ledger));
}

/* ---- the files of an earlier run ---- */

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
        {NULL, "[{\"pending\":5},{\"pending\":null},{\"pending\":{}}]", ""},
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
        assert_false(file_exists(path)); /* not healthy yet */
        assert_true(file_exists(ledger) == (cases[i].ids[0] != '\0'));
        files_free(files); /* killed again before anything was unregistered */
        files = files_new(directory, "id.json", logs);
        expect_left(cases[i].ids);
        files_free(files);
        files = files_new(directory, "id.json", logs);
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

/* ---- failed writes ---- */

static void it_is_said_once(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1}, *missing = NULL;
    assert_true(asprintf(&missing, "%s/missing", directory) > 0);
    file_puts(missing, "a file where the directory has to be");
    struct files *lost = files_new(missing, "id.json", logs);
    stderr_catch();
    for (int i = 0; i < 5; i++) {
        keep_ids(lost, ids, 1);
        files_show(lost, "{\"id\":\"x\"}");
        files_show(lost, NULL);
        keep_ids(lost, ids, 0);
    }
    char *console = stderr_caught();
    assert_int_equal(count_of(console, "\n"), 1);
    expect_in(console, "[ERROR] host: ");
    expect_in(console, "Not a directory");
    free(console);

    assert_int_equal(unlink(missing), 0); /* as soon as it can be written, it is, and the directory is made */
    stderr_catch();
    files_show(lost, "{\"id\":\"x\"}");
    console = stderr_caught();
    assert_string_equal(console, "");
    free(console);
    char *shown = NULL;
    assert_true(asprintf(&shown, "%s/id.json", missing) > 0);
    expect_file(shown, "{\"id\":\"x\"}");
    free(shown);
    files_free(lost);
    free(missing);
}

static void what_could_not_be_written_is_tried_again(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1}, *missing = NULL, *shown = NULL, *kept = NULL;
    assert_true(asprintf(&missing, "%s/missing", directory) > 0);
    assert_true(asprintf(&shown, "%s/id.json", missing) > 0);
    assert_true(asprintf(&kept, "%s/id.json.ids", missing) > 0);
    file_puts(missing, "a file where the directory has to be");
    struct files *lost = files_new(missing, "id.json", logs);
    stderr_catch();
    keep_ids(lost, ids, 1);
    files_show(lost, "{\"id\":\"x\"}");
    files_restore(lost);
    assert_int_equal(unlink(missing), 0);
    files_restore(lost);
    char *console = stderr_caught();
    assert_int_equal(count_of(console, "\n"), 1);
    expect_file(shown, "{\"id\":\"x\"}");
    expect_file(kept, "[\"" ID1 "\"]\n");
    free(console);
    files_free(lost);
    free(kept);
    free(shown);
    free(missing);
}

/* ---- files that are removed while the host runs ---- */

static void what_was_removed_comes_back(void **state)
{
    UNUSED(state);
    char *ids[] = {ID1, ID2}, *inside = NULL, *shown = NULL;
    assert_true(asprintf(&inside, "%s/in/side", directory) > 0);
    assert_true(asprintf(&shown, "%s/id.json", inside) > 0);
    struct files *inner = files_new(inside, "id.json", logs);
    stderr_catch();
    keep_ids(inner, ids, 2);
    files_show(inner, "{\"id\":\"" ID1 "\"}");
    files_restore(inner); /* nothing is missing */
    char *console = stderr_caught();
    assert_string_equal(console, "");
    free(console);

    directory_remove(strdup(inside));
    stderr_catch();
    files_restore(inner);
    files_restore(inner);
    console = stderr_caught();
    assert_int_equal(count_of(console, "was removed; writing it again"), 2); /* the health file and the ledger */
    free(console);
    expect_file(shown, "{\"id\":\"" ID1 "\"}");
    struct files *ours = files;
    files = files_new(inside, "id.json", logs);
    expect_left(ID1 " " ID2);
    files_free(files);
    files = ours;
    files_free(inner);
    free(inside), free(shown);
}

static void what_was_removed_and_cannot_come_back_is_reported_once(void **state)
{
    UNUSED(state);
    char *inside = NULL;
    assert_true(asprintf(&inside, "%s/in", directory) > 0);
    struct files *inner = files_new(inside, "id.json", logs);
    files_show(inner, "shown");
    directory_remove(strdup(inside));
    file_puts(inside, "in the way");
    stderr_catch();
    for (int i = 0; i < 5; i++)
        files_restore(inner);
    char *console = stderr_caught();
    expect_in(console, "in/id.json: cannot write it: Not a directory");
    assert_int_equal(count_of(console, "\n"), 1);
    free(console);
    files_free(inner);
    free(inside);
}

static void what_should_not_be_there_is_left_alone(void **state)
{
    UNUSED(state);
    files_show(files, "shown");
    files_show(files, NULL);
    files_restore(files);
    assert_false(file_exists(path));
    assert_false(file_exists(ledger));
}

/* Fills the disk to the last byte. */
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
    struct files *full = files_new(small, "id.json", logs);
    files_show(full, "{\"id\":\"old\"}");
    fill_up(filler);

    stderr_catch();
    for (int i = 0; i < 5; i++) {
        char *ids[] = {ID1};
        files_show(full, i % 2 == 0 ? "{\"id\":\"new\"}" : "{\"id\":\"newer\"}");
        keep_ids(full, ids, (size_t)(i % 2));
    }
    char *console = stderr_caught();
    bool file_as_it_was = file_exists(shown) && !file_exists(half);
    unlink(filler);
    files_show(full, "{\"id\":\"newest\"}");
    char *text = file_read(shown, NULL);
    files_free(full);
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

/* The health file must be removed although nothing can be written; the next run still finds its ids. */
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
    struct files *full = files_new(small, "id.json", logs);
    keep_ids(full, ids, 1);
    files_show(full, "{\"id\":\"" ID1 "\"}");
    fill_up(filler);
    stderr_catch();
    files_show(full, NULL);
    char *console = stderr_caught();
    bool gone = !file_exists(shown);
    files_free(full);
    struct files *ours = files;
    files = files_new(small, "id.json", logs);
    stderr_catch();
    expect_left(ID1);
    free(stderr_caught());
    files_free(files);
    files = ours;
    umount(small);
    assert_true(gone);
    assert_string_equal(console, "");
    free(console);
    free(small), free(filler), free(shown);
}

/* After a kill, a start on a full disk and another kill the id is still found. */
static void a_start_on_a_full_disk(void **state)
{
    UNUSED(state);
    struct rlimit old, none;
    file_puts(path, "{\"id\":\"" ID1 "\"}");
    getrlimit(RLIMIT_FSIZE, &old);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    for (int run = 0; run < 2; run++) {
        expect_left(ID1);
        assert_int_not_equal(access(path, F_OK), 0); /* not healthy meanwhile */
        files_free(files);
        files = files_new(directory, "id.json", logs);
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
        TEST(a_lock_file_that_is_a_link_is_an_error),
        TEST(nobody_sees_half_a_file),
        TEST(the_ledger_holds_what_the_file_does_not_tell),
        TEST(an_id_is_always_somewhere),
        TEST(left_behind),
        TEST(a_deep_notification),
        TEST(things_that_are_no_files),
        TEST(component_ids),
        TEST(pending_registrations),
        TEST(it_is_said_once),
        TEST(what_could_not_be_written_is_tried_again),
        TEST(what_was_removed_comes_back),
        TEST(what_was_removed_and_cannot_come_back_is_reported_once),
        TEST(what_should_not_be_there_is_left_alone),
        TEST(a_full_disk),
        TEST(a_full_disk_keeps_the_ids),
        TEST(a_start_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
