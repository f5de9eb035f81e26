/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * log: the formats of the wire contract to the letter, rotation, and the effects of a file that cannot be written. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/text.h"

#define CLOCK "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}"
#define NOTHING 100 /* a level that no record has */

/* The host's clock with some time added, so the tests need not wait for another attempt to open a file. */
static int64_t ahead_ms;
int64_t __real_clock_ms(void);
int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return __real_clock_ms() + ahead_ms;
}

static char *directory, *path;

static int enter(void **state)
{
    UNUSED(state);
    ahead_ms = 0;
    directory = directory_new();
    return asprintf(&path, "%s/log.txt", directory) < 0;
}

static int leave(void **state)
{
    UNUSED(state);
    directory_remove(directory);
    free(path);
    return 0;
}

static struct log *open_log(long console_level, long file_level, long max_bytes, long backup_count)
{
    return log_open(&(struct log_options){.directory = directory,
                                          .file_name = "log.txt",
                                          .console_level = console_level,
                                          .file_level = file_level,
                                          .max_bytes = max_bytes,
                                          .backup_count = backup_count});
}

static void console_format(void **state)
{
    UNUSED(state);
    struct log *log = open_log(LOG_DEBUG, NOTHING, 0, 0);
    stderr_catch();
    log_info(log, "c1_echo", "took %d of %s", 3, "them");
    char *console = stderr_caught();
    expect_match(console, CLOCK " \\[INFO\\] c1_echo: took 3 of them\n");
    free(console);
    log_close(log);
    assert_int_equal(file_size(path), 0);
}

static void file_format(void **state)
{
    UNUSED(state);
    struct log *log = open_log(NOTHING, LOG_DEBUG, 0, 0);
    stderr_catch();
    log_write(log, LOG_INFO, "c1_echo", "some/where/plug.c", 42, "message %s", "here");
    char *console = stderr_caught();
    assert_string_equal(console, "");
    free(console);
    log_close(log);

    char *file = file_read(path, NULL), expected[160];
    snprintf(expected, sizeof expected, "c1_echo: " CLOCK " \\| INFO \\| plug\\.c:42 \\| %d >>> message here\n",
             (int)getpid());
    expect_match(file, expected);
    free(file);
}

static void the_macros_name_their_place(void **state)
{
    UNUSED(state);
    struct log *log = open_log(NOTHING, LOG_DEBUG, 0, 0);
    log_debug(log, "host", "x");
    int line = __LINE__ - 1;
    log_close(log);
    char *file = file_read(path, NULL), expected[64];
    snprintf(expected, sizeof expected, " | DEBUG | log_test.c:%d | ", line);
    expect_in(file, expected);
    free(file);
}

/* The time is local time, and the second before it may not be told twice. */
static void the_clock_is_the_local_one(void **state)
{
    UNUSED(state);
    char before[32], after[32];
    time_t now = time(NULL);
    strftime(before, sizeof before, "%Y-%m-%d %H:%M", localtime(&now));
    struct log *log = open_log(LOG_DEBUG, NOTHING, 0, 0);
    stderr_catch();
    log_info(log, "host", "x");
    char *console = stderr_caught();
    now = time(NULL);
    strftime(after, sizeof after, "%Y-%m-%d %H:%M", localtime(&now));
    assert_true(strncmp(console, before, strlen(before)) == 0 || strncmp(console, after, strlen(after)) == 0);
    free(console);
    log_close(log);
}

static void each_level_by_name(void **state)
{
    UNUSED(state);
    static const struct {
        enum log_level level;
        const char *name;
    } levels[] = {{LOG_DEBUG, "DEBUG"},
                  {LOG_INFO, "INFO"},
                  {LOG_WARNING, "WARNING"},
                  {LOG_ERROR, "ERROR"},
                  {LOG_CRITICAL, "CRITICAL"}};
    struct log *log = open_log(LOG_DEBUG, LOG_DEBUG, 0, 0);
    for (size_t i = 0; i < COUNT(levels); i++) {
        char expected[64];
        stderr_catch();
        log_write(log, levels[i].level, "host", "f.c", 1, "x");
        char *console = stderr_caught();
        snprintf(expected, sizeof expected, " [%s] host: x\n", levels[i].name);
        expect_in(console, expected);
        free(console);
        char *file = file_read(path, NULL);
        snprintf(expected, sizeof expected, " | %s | f.c:1 | ", levels[i].name);
        expect_in(file, expected);
        free(file);
    }
    log_close(log);
}

/* All pairs of the levels of console and file. */
static void levels_apart(void **state)
{
    UNUSED(state);
    static const long all[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL};
    for (size_t c = 0; c < COUNT(all); c++) {
        for (size_t f = 0; f < COUNT(all); f++) {
            unlink(path);
            struct log *log = open_log(all[c], all[f], 0, 0);
            stderr_catch();
            for (size_t i = 0; i < COUNT(all); i++) {
                assert_true(log_wants(log, (enum log_level)all[i]) == (all[i] >= all[c] || all[i] >= all[f]));
                log_write(log, (enum log_level)all[i], "host", "f.c", 1, "x");
            }
            char *console = stderr_caught(), *file = file_read(path, NULL);
            log_close(log);
            assert_int_equal(count_of(console, "\n"), COUNT(all) - c);
            assert_int_equal(count_of(file, "\n"), COUNT(all) - f);
            free(console);
            free(file);
        }
    }
}

static void level_names(void **state)
{
    UNUSED(state);
    static const struct {
        const char *name;
        long level;
    } known[] = {{"DEBUG", LOG_DEBUG}, {"INFO", LOG_INFO},      {"WARNING", LOG_WARNING},   {"WARN", LOG_WARNING},
                 {"ERROR", LOG_ERROR}, {"FATAL", LOG_CRITICAL}, {"CRITICAL", LOG_CRITICAL}, {"debug", LOG_DEBUG},
                 {"Info", LOG_INFO},   {"warn", LOG_WARNING},   {"cRITICAL", LOG_CRITICAL}};
    static const char *const unknown[] = {"", "TRACE", " INFO", "INFO ", "INF", "WARNINGS", "20", "NOTSET"};
    for (size_t i = 0; i < COUNT(known); i++) {
        long level = -1;
        assert_true(log_level_read(known[i].name, &level));
        assert_int_equal(level, known[i].level);
    }
    for (size_t i = 0; i < COUNT(unknown); i++) {
        long level = -1;
        assert_false(log_level_read(unknown[i], &level));
        assert_int_equal(level, -1);
    }
}

static void a_record_is_one_line(void **state)
{
    UNUSED(state);
    struct log *log = open_log(LOG_DEBUG, LOG_DEBUG, 0, 0);
    stderr_catch();
    log_info(log, "host", "%s", "a\nb\r\x1b[2J\xff\xe2\x80\xa8\xc3\xa9");
    char *console = stderr_caught(), *file = file_read(path, NULL);
    expect_match(console, CLOCK " \\[INFO\\] host: a\\\\nb\\\\r\\\\x1b\\[2J\\\\xff\\\\u2028\xc3\xa9\n");
    expect_in(file, ">>> a\\nb\\r\\x1b[2J\\xff\\u2028\xc3\xa9\n");
    assert_int_equal(count_of(file, "\n"), 1);
    free(console);
    free(file);
    log_close(log);
}

static void a_long_record(void **state)
{
    UNUSED(state);
    size_t len = 3u << 20;
    char *long_text = malloc(len + 1);
    memset(long_text, 'x', len);
    long_text[len] = '\0';
    struct log *log = open_log(NOTHING, LOG_DEBUG, 0, 0);
    log_info(log, "host", "%s", long_text);
    log_info(log, "host", "short");
    log_close(log);
    char *file = file_read(path, NULL);
    assert_int_equal(count_of(file, "\n"), 2);
    expect_in(file + len, "xx\nhost: ");
    free(file);
    free(long_text);
}

static void no_file(void **state)
{
    UNUSED(state);
    static const char *const names[] = {NULL, ""};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct log *log =
            log_open(&(struct log_options){.directory = directory, .file_name = names[i], .console_level = LOG_INFO});
        assert_false(log_wants(log, LOG_DEBUG));
        assert_true(log_wants(log, LOG_INFO));
        stderr_catch();
        log_info(log, "host", "only here");
        char *console = stderr_caught();
        assert_int_equal(count_of(console, "\n"), 1);
        free(console);
        log_close(log);
    }
    log_close(NULL);
}

static void directories_are_made(void **state)
{
    UNUSED(state);
    char *deep = NULL;
    assert_true(asprintf(&deep, "%s/a/b//c/", directory) > 0);
    struct log *log = log_open(&(struct log_options){
        .directory = deep, .file_name = "log.txt", .console_level = NOTHING, .file_level = LOG_DEBUG});
    log_info(log, "host", "x");
    log_close(log);
    free(deep);
    assert_true(asprintf(&deep, "%s/a/b/c/log.txt", directory) > 0);
    assert_true(file_size(deep) > 0);
    free(deep);
}

static void an_absolute_name_stands_alone(void **state)
{
    UNUSED(state);
    char *other = NULL, *elsewhere = NULL;
    assert_true(asprintf(&other, "%s/other.txt", directory) > 0);
    assert_true(asprintf(&elsewhere, "%s/elsewhere", directory) > 0);
    struct log *log = log_open(&(struct log_options){
        .directory = elsewhere, .file_name = other, .console_level = NOTHING, .file_level = LOG_DEBUG});
    log_info(log, "host", "x");
    log_close(log);
    assert_true(file_size(other) > 0);
    free(other);
    free(elsewhere);
}

static void appends_to_what_is_there(void **state)
{
    UNUSED(state);
    file_puts(path, "from before\n");
    struct log *log = open_log(NOTHING, LOG_DEBUG, 0, 0);
    log_info(log, "host", "x");
    log_close(log);
    char *file = file_read(path, NULL);
    assert_true(strncmp(file, "from before\nhost: ", 18) == 0);
    free(file);
}

/* ---- rotation ---- */

static void say(struct log *log, int number)
{
    log_write(log, LOG_INFO, "host", "f.c", 1, "record %03d", number);
}

/* How many bytes say() writes in this process. */
static long record_size(void)
{
    struct log *log = open_log(NOTHING, LOG_DEBUG, 0, 0);
    say(log, 1);
    log_close(log);
    long size = file_size(path);
    unlink(path);
    return size;
}

/* The numbers of the records in log.txt (0), log.txt.1, … as "4,5", or NULL. */
static char *numbers(int file)
{
    char *name = NULL, *numbers = NULL;
    assert_true((file == 0 ? asprintf(&name, "%s", path) : asprintf(&name, "%s.%d", path, file)) > 0);
    char *text = file_read(name, NULL);
    free(name);
    if (text == NULL)
        return NULL;
    struct text list = {0};
    text_puts(&list, "");
    for (char *at = text; (at = strstr(at, ">>> record ")) != NULL; at += 11)
        text_printf(&list, "%s%d", list.len == 0 ? "" : ",", atoi(at + 11));
    free(text);
    numbers = list.at;
    return numbers;
}

static void expect_numbers(int file, const char *expected)
{
    char *found = numbers(file);
    if (expected == NULL)
        assert_null(found);
    else if (found == NULL)
        fail_msg("there is no file %d; it should have %s", file, expected);
    else
        assert_string_equal(found, expected);
    free(found);
}

static void write_numbers(long max_bytes, long backup_count, int from, int to)
{
    struct log *log = open_log(NOTHING, LOG_DEBUG, max_bytes, backup_count);
    for (int i = from; i <= to; i++)
        say(log, i);
    log_close(log);
}

static void rotates_before_a_record_would_pass(void **state)
{
    UNUSED(state);
    long size = record_size();
    write_numbers(3 * size, 5, 1, 3); /* the limit itself is allowed */
    expect_numbers(0, "1,2,3");
    expect_numbers(1, NULL);
    write_numbers(3 * size, 5, 4, 4); /* the size of what was there counts */
    expect_numbers(0, "4");
    expect_numbers(1, "1,2,3");
    write_numbers(3 * size - 1, 5, 5, 6); /* one byte less, one record less */
    expect_numbers(0, "6");
    expect_numbers(1, "4,5");
    expect_numbers(2, "1,2,3");
    expect_numbers(3, NULL);
}

static void five_backups(void **state)
{
    UNUSED(state);
    long size = record_size();
    write_numbers(2 * size, 5, 1, 15);
    expect_numbers(0, "15");
    expect_numbers(1, "13,14");
    expect_numbers(2, "11,12");
    expect_numbers(3, "9,10");
    expect_numbers(4, "7,8");
    expect_numbers(5, "5,6");
    expect_numbers(6, NULL);
}

static void one_backup(void **state)
{
    UNUSED(state);
    long size = record_size();
    write_numbers(2 * size, 1, 1, 7);
    expect_numbers(0, "7");
    expect_numbers(1, "5,6");
    expect_numbers(2, NULL);
}

static void no_backups_no_rotation(void **state)
{
    UNUSED(state);
    long size = record_size();
    write_numbers(2 * size, 0, 1, 5);
    expect_numbers(0, "1,2,3,4,5");
    expect_numbers(1, NULL);
}

static void no_limit_no_rotation(void **state)
{
    UNUSED(state);
    write_numbers(0, 5, 1, 5);
    expect_numbers(0, "1,2,3,4,5");
    expect_numbers(1, NULL);
}

/* A record larger than the limit gets a file for itself, and no empty file is rotated for it. */
static void a_record_larger_than_the_limit(void **state)
{
    UNUSED(state);
    write_numbers(10, 3, 1, 3);
    expect_numbers(0, "3");
    expect_numbers(1, "2");
    expect_numbers(2, "1");
    expect_numbers(3, NULL);
}

static void gaps_between_backups_do_not_matter(void **state)
{
    UNUSED(state);
    char *second = NULL;
    assert_true(asprintf(&second, "%s.2", path) > 0);
    file_puts(second, "x >>> record 99\n");
    free(second);
    write_numbers(10, 4, 1, 2);
    expect_numbers(0, "2");
    expect_numbers(1, "1");
    expect_numbers(3, "99");
}

/* A lower backup count than that of an earlier run takes effect for the files of that run, too. */
static void backups_beyond_the_count_are_removed(void **state)
{
    UNUSED(state);
    static const struct {
        const char *end;
        bool stays;
    } files[] = {{".1", true},    {".2", true},        {".3", false}, {".5", false}, {".1000", false},
                 {".1001", true}, {".20261122", true}, {".03", true}, {".3x", true}, {".", true},
                 {".-3", true},   {".3.gz", true},     {"x.3", true}, {".0", true}};
    for (size_t i = 0; i < COUNT(files); i++) {
        char *name = NULL;
        assert_true(asprintf(&name, "%s%s", path, files[i].end) > 0);
        file_puts(name, "x");
        free(name);
    }
    static const struct {
        long max_bytes, backup_count;
    } never[] = {{0, 2}, {1000, 0}}; /* does not rotate: the files may be another program's */
    for (size_t n = 0; n < COUNT(never); n++) {
        log_close(open_log(NOTHING, LOG_DEBUG, never[n].max_bytes, never[n].backup_count));
        char *name = NULL;
        assert_true(asprintf(&name, "%s.3", path) > 0);
        assert_true(file_exists(name));
        free(name);
    }
    log_close(open_log(NOTHING, LOG_DEBUG, 1000, 2));
    for (size_t i = 0; i < COUNT(files); i++) {
        char *name = NULL;
        assert_true(asprintf(&name, "%s%s", path, files[i].end) > 0);
        if (file_exists(name) != files[i].stays)
            fail_msg("%s %s", name, files[i].stays ? "is removed" : "stays");
        free(name);
    }
}

/* A directory has the name of a backup: complete records continue in the same file, and one record reports this. */
static void a_rotation_that_fails_loses_nothing(void **state)
{
    UNUSED(state);
    long size = record_size();
    char *taken = NULL;
    assert_true(asprintf(&taken, "%s.1", path) > 0);
    assert_int_equal(mkdir(taken, 0755), 0);
    stderr_catch();
    write_numbers(2 * size, 1, 1, 6);
    char *console = stderr_caught();
    char *file = file_read(path, NULL);
    expect_numbers(0, "1,2,3,4,5,6");
    assert_int_equal(count_of(file, "\n"), 6);
    expect_in(console, "cannot rotate it: Is a directory");
    assert_int_equal(count_of(console, "\n"), 1);
    assert_int_equal(rmdir(taken), 0);
    write_numbers(2 * size, 1, 7, 7); /* rotates when it is possible again */
    expect_numbers(0, "7");
    free(console);
    free(file);
    free(taken);
}

/* ---- a file that cannot be written ---- */

static void a_full_disk_is_said_once(void **state)
{
    UNUSED(state);
    if (access("/dev/full", W_OK) != 0) {
        print_message("skipped: no /dev/full here\n");
        skip();
    }
    struct log *log = log_open(&(struct log_options){.directory = directory,
                                                     .file_name = "/dev/full",
                                                     .console_level = LOG_INFO,
                                                     .file_level = LOG_DEBUG,
                                                     .max_bytes = 1000,
                                                     .backup_count = 5});
    stderr_catch();
    for (int i = 0; i < 20; i++) {
        say(log, i);
        ahead_ms += 6000;
    }
    char *console = stderr_caught();
    log_close(log);
    assert_int_equal(count_of(console, " host: record 0"), 20); /* each is on the console as ever */
    assert_int_equal(count_of(console, "continuing without the log file"), 1);
    assert_int_equal(count_of(console, "\n"), 21);
    expect_in(console, " [ERROR] host: /dev/full: cannot write it: No space left on device");
    free(console);
}

/* The console shows the complaint at every level. */
static void a_quiet_console_shows_it_too(void **state)
{
    UNUSED(state);
    file_puts(path, "not a directory");
    struct log_options options = {
        .directory = path, .file_name = "x.txt", .console_level = LOG_CRITICAL, .file_level = LOG_DEBUG};
    stderr_catch();
    struct log *log = log_open(&options);
    log_info(log, "host", "x");
    char *console = stderr_caught();
    log_close(log);
    assert_int_equal(count_of(console, "\n"), 1);
    expect_in(console, "log.txt/x.txt: cannot open it: Not a directory");
    free(console);
}

static void a_directory_that_cannot_be_made(void **state)
{
    UNUSED(state);
    char *below = NULL, *file_name = NULL;
    file_puts(path, "not a directory");
    assert_true(asprintf(&below, "%s/logs", path) > 0);
    assert_true(asprintf(&file_name, "%s/x.txt", below) > 0);
    stderr_catch();
    struct log *log = log_open(&(struct log_options){
        .directory = below, .file_name = "x.txt", .console_level = LOG_INFO, .file_level = LOG_DEBUG});
    for (int i = 0; i < 5; i++) {
        say(log, i);
        ahead_ms += 6000;
    }
    char *console = stderr_caught();
    assert_int_equal(count_of(console, "\n"), 6);
    assert_int_equal(count_of(console, "cannot make its directory: Not a directory"), 1);
    free(console);

    /* The file is made as soon as possible, without a record; a new loss has a new record. */
    unlink(path);
    ahead_ms += 6000;
    stderr_catch();
    say(log, 6);
    console = stderr_caught();
    assert_int_equal(count_of(console, "\n"), 1);
    assert_true(file_size(file_name) > 0);
    free(console);
    log_close(log);
    free(below);
    free(file_name);
}

/* One record with the name of the setting, the user, the remedy, and the other losses. */
static void a_directory_that_cannot_be_written(void **state)
{
    UNUSED(state);
    if (geteuid() != 0) {
        print_message("skipped: needs a user other than root, and root to become one\n");
        skip();
    }
    char *inside = NULL, *expected = NULL;
    assert_true(asprintf(&inside, "%s/logs", directory) > 0);
    assert_int_equal(chmod(directory, 0755), 0);
    const char *const directories[] = {directory, inside}; /* there, and not there */
    for (size_t i = 0; i < COUNT(directories); i++) {
        assert_int_equal(seteuid(54321), 0);
        stderr_catch();
        struct log *log = log_open(&(struct log_options){.directory = directories[i],
                                                         .setting = "LOG_DIR",
                                                         .beside = "health file",
                                                         .file_name = "x.txt",
                                                         .console_level = NOTHING,
                                                         .file_level = LOG_DEBUG});
        for (int n = 0; n < 3; n++) {
            say(log, n);
            ahead_ms += 6000;
        }
        log_close(log);
        char *console = stderr_caught();
        assert_int_equal(seteuid(0), 0);
        assert_true(
            asprintf(&expected,
                     " [ERROR] host: LOG_DIR: user 54321 cannot write to the log directory %s: Permission denied; "
                     "let that user write there (chown, chmod, a volume) or choose another directory; until then "
                     "there is no log file and no health file\n",
                     directories[i]) > 0);
        expect_in(console, expected);
        assert_int_equal(count_of(console, "\n"), 1);
        free(console);
        free(expected);
    }
    free(inside);
}

static void the_file_is_not_tried_at_every_record(void **state)
{
    UNUSED(state);
    char *below = NULL;
    file_puts(path, "not a directory");
    assert_true(asprintf(&below, "%s/logs", path) > 0);
    stderr_catch();
    struct log *log = log_open(&(struct log_options){
        .directory = below, .file_name = "x.txt", .console_level = NOTHING, .file_level = LOG_DEBUG});
    unlink(path);
    say(log, 1);
    assert_false(file_exists(below)); /* too early */
    ahead_ms += 6000;
    say(log, 2);
    assert_true(file_exists(below));
    free(stderr_caught());
    log_close(log);
    free(below);
}

/* A disk that is full for a while: a limit on the size of files stands in for it. No half record remains, one record
 * reports the loss, and writing continues when there is room again. */
static void a_disk_that_is_full_for_a_while(void **state)
{
    UNUSED(state);
    struct rlimit kept, limit;
    long size = record_size();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    struct log *log = open_log(NOTHING, LOG_DEBUG, 0, 0);
    stderr_catch();
    limit = (struct rlimit){.rlim_cur = (rlim_t)(2 * size + size / 2), .rlim_max = kept.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 1; i <= 5; i++)
        say(log, i);
    setrlimit(RLIMIT_FSIZE, &kept);
    char *console = stderr_caught();
    assert_int_equal(count_of(console, "\n"), 1);
    expect_in(console, "cannot write it: File too large");
    free(console);
    assert_int_equal(file_size(path), 2 * size);

    stderr_catch();
    say(log, 6);
    setrlimit(RLIMIT_FSIZE, &limit);
    say(log, 7);
    setrlimit(RLIMIT_FSIZE, &kept);
    console = stderr_caught();
    assert_int_equal(count_of(console, "cannot write it"), 1); /* a new loss */
    free(console);
    say(log, 8);
    log_close(log);
    expect_numbers(0, "1,2,6,8");
}

static void a_closed_console_stops_nobody(void **state)
{
    UNUSED(state);
    int ends[2], kept = dup(STDERR_FILENO);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    struct log *log = open_log(LOG_DEBUG, LOG_DEBUG, 0, 0);
    dup2(ends[1], STDERR_FILENO);
    say(log, 1);
    close(STDERR_FILENO);
    say(log, 2);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[1]);
    log_close(log);
    expect_numbers(0, "1,2");
}

static void last_words(void **state)
{
    UNUSED(state);
    struct log *log = open_log(NOTHING, LOG_ERROR, 0, 0);
    stderr_catch();
    log_last_words(log, "plugins/x.so: is\na mess");
    log_last_words(NULL, "without a log");
    char *console = stderr_caught();
    assert_string_equal(console, "valawai-host: plugins/x.so: is\\na mess\nvalawai-host: without a log\n");
    free(console);
    log_close(log);
    char *file = file_read(path, NULL);
    expect_match(file,
                 "host: " CLOCK " \\| CRITICAL \\| [a-z]+\\.c:[0-9]+ \\| [0-9]+ >>> plugins/x\\.so: is\\\\na mess\n");
    free(file);
}

/* ---- threads ---- */

#define WRITERS 4
#define EACH 500

static struct log *shared;

static void *write_some(void *argument)
{
    for (int i = 0; i < EACH; i++)
        log_info(shared, "host", "thread %d record %03d %s", *(int *)argument, i, "and some more text");
    return NULL;
}

static void threads_do_not_mix_their_records(void **state)
{
    UNUSED(state);
    pthread_t threads[WRITERS];
    int numbers_of[WRITERS];
    shared = open_log(NOTHING, LOG_DEBUG, 20000, 100);
    for (int i = 0; i < WRITERS; i++) {
        numbers_of[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_some, &numbers_of[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    log_close(shared);

    size_t lines = 0, whole = 0;
    for (int file = 0; file <= 100; file++) {
        char *name = NULL;
        assert_true((file == 0 ? asprintf(&name, "%s", path) : asprintf(&name, "%s.%d", path, file)) > 0);
        char *text = file_read(name, NULL);
        free(name);
        if (text == NULL)
            break;
        assert_true(strlen(text) <= 20000);
        lines += count_of(text, "\n");
        whole += count_of(text, " and some more text\n");
        free(text);
    }
    assert_int_equal(lines, WRITERS * EACH);
    assert_int_equal(whole, WRITERS * EACH);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(console_format),
        TEST(file_format),
        TEST(the_macros_name_their_place),
        TEST(the_clock_is_the_local_one),
        TEST(each_level_by_name),
        TEST(levels_apart),
        TEST(level_names),
        TEST(a_record_is_one_line),
        TEST(a_long_record),
        TEST(no_file),
        TEST(directories_are_made),
        TEST(an_absolute_name_stands_alone),
        TEST(appends_to_what_is_there),
        TEST(rotates_before_a_record_would_pass),
        TEST(five_backups),
        TEST(one_backup),
        TEST(no_backups_no_rotation),
        TEST(no_limit_no_rotation),
        TEST(a_record_larger_than_the_limit),
        TEST(gaps_between_backups_do_not_matter),
        TEST(backups_beyond_the_count_are_removed),
        TEST(a_rotation_that_fails_loses_nothing),
        TEST(a_full_disk_is_said_once),
        TEST(a_quiet_console_shows_it_too),
        TEST(a_directory_that_cannot_be_made),
        TEST(a_directory_that_cannot_be_written),
        TEST(the_file_is_not_tried_at_every_record),
        TEST(a_disk_that_is_full_for_a_while),
        TEST(a_closed_console_stops_nobody),
        TEST(last_words),
        TEST(threads_do_not_mix_their_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
