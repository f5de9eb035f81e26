/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sink: its output blocks as long as the test decides, and putting a line in never waits. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/sink.h"

/* A console: a gate that is shut blocks the thread in its write. */
struct console {
    struct sink sink;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut, waiting;
    struct text text;
};

static void on_write(void *context, const char *lines, size_t len)
{
    struct console *console = context;
    pthread_mutex_lock(&console->lock);
    while (console->shut) {
        console->waiting = true;
        pthread_cond_broadcast(&console->changed);
        pthread_cond_wait(&console->changed, &console->lock);
    }
    console->waiting = false;
    text_put(&console->text, lines, len);
    pthread_mutex_unlock(&console->lock);
}

static void on_dropped(void *context, unsigned long count)
{
    char line[40];
    on_write(context, line, (size_t)snprintf(line, sizeof line, "(%lu dropped)\n", count));
}

static void on_last(void *context, const char *words)
{
    on_write(context, words, strlen(words));
}

static const struct sink_events events = {.thread = "sink", .write = on_write, .dropped = on_dropped, .last = on_last};

static void gate(struct console *console, bool shut)
{
    pthread_mutex_lock(&console->lock);
    console->shut = shut;
    pthread_cond_broadcast(&console->changed);
    pthread_mutex_unlock(&console->lock);
}

static void put(struct console *console, const char *line, bool important)
{
    sink_put(&console->sink, line, strlen(line), important);
}

/* Shut, and its thread waits in the write of a first line. */
static void block(struct console *console)
{
    gate(console, true);
    put(console, "first\n", false);
    pthread_mutex_lock(&console->lock);
    while (!console->waiting)
        pthread_cond_wait(&console->changed, &console->lock);
    pthread_mutex_unlock(&console->lock);
}

static int64_t soon(void)
{
    return clock_ms() + (int64_t)(10000 * stretched(1));
}

static int enter(void **state)
{
    struct console *console = calloc(1, sizeof *console);
    *state = console;
    pthread_mutex_init(&console->lock, NULL);
    pthread_cond_init(&console->changed, NULL);
    sink_init(&console->sink, &events, console);
    return 0;
}

static int leave(void **state)
{
    struct console *console = *state;
    gate(console, false);
    if (!sink_stop(&console->sink, soon()))
        return 1;
    sink_free(&console->sink);
    text_free(&console->text);
    pthread_cond_destroy(&console->changed);
    pthread_mutex_destroy(&console->lock);
    free(console);
    return 0;
}

static void without_a_thread_a_line_is_written_at_once(void **state)
{
    struct console *console = *state;
    put(console, "one\n", false);
    assert_string_equal(console->text.at, "one\n");
    assert_true(sink_flush(&console->sink, 0));
}

static void lines_keep_their_order(void **state)
{
    struct console *console = *state;
    struct text expected = {0};
    sink_start(&console->sink);
    for (int i = 0; i < 2000; i++) {
        char line[16];
        snprintf(line, sizeof line, "%d\n", i);
        text_puts(&expected, line);
        put(console, line, i % 3 == 0);
    }
    assert_true(sink_flush(&console->sink, soon()));
    assert_string_equal(console->text.at, expected.at);
    text_free(&expected);
}

/* Fills the queue with lines of a kilobyte; returns how many it took. */
static unsigned long fill(struct console *console, bool important)
{
    char line[1025];
    unsigned long taken = 0;
    memset(line, important ? 'e' : 'i', 1023);
    memcpy(line + 1023, "\n", 2);
    while (sink_put(&console->sink, line, 1024, important))
        taken++;
    return taken;
}

static void a_full_queue_drops_and_counts(void **state)
{
    struct console *console = *state;
    sink_start(&console->sink);
    block(console);
    assert_int_equal(fill(console, false), (SINK_MAX - SINK_KEPT) / 1024);
    put(console, "one more\n", false);
    assert_false(sink_flush(&console->sink, clock_ms() + 5));
    gate(console, false);
    assert_true(sink_flush(&console->sink, soon()));
    expect_in(console->text.at, "i\n(2 dropped)\n");
    put(console, "after\n", false);
    assert_true(sink_flush(&console->sink, soon()));
    expect_in(console->text.at, "(2 dropped)\nafter\n");
    assert_int_equal(count_of(console->text.at, "dropped"), 1);
}

static void errors_have_room_when_lesser_lines_have_none(void **state)
{
    struct console *console = *state;
    sink_start(&console->sink);
    block(console);
    unsigned long lesser = fill(console, false);
    put(console, "an error\n", true);
    put(console, "a detail\n", false);
    gate(console, false);
    assert_true(sink_flush(&console->sink, soon()));
    expect_in(console->text.at, "i\nan error\n");
    expect_not_in(console->text.at, "a detail");
    assert_int_equal(count_of(console->text.at, "iii\n"), lesser);
}

static void a_line_larger_than_the_queue_goes_alone(void **state)
{
    struct console *console = *state;
    size_t len = SINK_MAX + 1;
    char *large = malloc(len);
    memset(large, 'x', len - 1);
    large[len - 1] = '\n';
    sink_start(&console->sink);
    block(console);
    assert_true(sink_put(&console->sink, large, len, false));
    assert_false(sink_put(&console->sink, "no room\n", 8, true));
    gate(console, false);
    assert_true(sink_flush(&console->sink, soon()));
    expect_in(console->text.at, "xxx\n(1 dropped)\n");
    free(large);
}

static void the_last_words_come_behind_what_waits(void **state)
{
    struct console *console = *state;
    sink_start(&console->sink);
    block(console);
    put(console, "second\n", false);
    sink_last(&console->sink, "last words\n");
    gate(console, false);
    assert_true(sink_flush(&console->sink, soon()));
    assert_string_equal(console->text.at, "first\nsecond\nlast words\n");
}

static void a_stop_writes_what_waits(void **state)
{
    struct console *console = *state;
    sink_start(&console->sink);
    block(console);
    put(console, "second\n", false);
    assert_false(sink_stop(&console->sink, clock_ms() + 5)); /* the thread cannot come to its end */
    gate(console, false);
    assert_true(sink_stop(&console->sink, soon()));
    assert_string_equal(console->text.at, "first\nsecond\n");
    console->sink.threaded = false; /* stopped already */
}

/* The child of a fork() has no thread: it writes its own lines, and not those that wait in the parent. */
static void a_forked_child_writes_by_itself(void **state)
{
    struct console *console = *state;
    sink_start(&console->sink);
    block(console);
    put(console, "of the parent\n", false);
    sink_before_fork(&console->sink);
    pid_t child = fork();
    sink_after_fork(&console->sink, child == 0);
    if (child == 0) {
        console->shut = false;
        pthread_mutex_init(&console->lock, NULL);
        put(console, "of the child\n", false);
        _exit(strcmp(console->text.at, "of the child\n") == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    gate(console, false);
    assert_true(sink_flush(&console->sink, soon()));
    assert_string_equal(console->text.at, "first\nof the parent\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_thread_a_line_is_written_at_once),
        TEST(lines_keep_their_order),
        TEST(a_full_queue_drops_and_counts),
        TEST(errors_have_room_when_lesser_lines_have_none),
        TEST(a_line_larger_than_the_queue_goes_alone),
        TEST(the_last_words_come_behind_what_waits),
        TEST(a_stop_writes_what_waits),
        TEST(a_forked_child_writes_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
