/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * blame: the last line of a process that a plugin ended, and how the process ends. Each case is a child process. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/blame.h"

#define BACK "; the host ends, and unacknowledged messages return to their queues"

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/* Runs the function like the host. The caller frees the child's output on stderr. */
static char *said_by(void (*act)(void), int *status)
{
    stderr_catch();
    pid_t child = fork();
    if (child == 0) {
        for (size_t i = 0; i < COUNT(fatal); i++)
            signal(fatal[i], SIG_DFL); /* cmocka has its own */
        blame_install();
        blame_thread();
        act();
        _exit(99);
    }
    bool ended = waitpid(child, status, 0) == child;
    char *said = stderr_caught();
    assert_true(ended);
    return said;
}

static void expect_exit(void (*act)(void), int code, const char *line)
{
    int status = 0;
    char *said = said_by(act, &status);
    if (line == NULL)
        assert_string_equal(said, "");
    else
        expect_in(said, line);
    free(said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static int number; /* of the signal */

static void crash_inside(void)
{
    blame_enter("unit.so", "the handler of", "a/topic");
    raise(number);
}

static void crash_outside(void)
{
    blame_enter("unit.so", "start", "");
    blame_leave();
    raise(number);
}

/* The process dies of the signal that the plugin's code raised, so core dump and exit status are unchanged. */
static void expect_signal(void (*act)(void), const char *line)
{
    int status = 0;
    char *said = said_by(act, &status);
    expect_in(said, line);
    free(said);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), number);
}

static void a_crash_names_the_plugin_and_the_topic(void **state)
{
    UNUSED(state);
    static const char *const words[] = {"crashed (SIGSEGV)", "crashed (SIGBUS)", "crashed (SIGFPE)", "crashed (SIGILL)",
                                        "aborted (SIGABRT: an assertion, or an exception that left a callback)"};
    for (size_t i = 0; i < COUNT(fatal); i++) {
        char line[256];
        number = fatal[i];
        snprintf(line, sizeof line, "plugin unit.so: %s in the handler of a/topic" BACK, words[i]);
        expect_signal(crash_inside, line);
    }
}

static void a_crash_outside_of_callbacks_blames_no_plugin(void **state)
{
    UNUSED(state);
    number = SIGSEGV;
    expect_signal(crash_outside, "crashed (SIGSEGV) outside of the plugins' callbacks: in a thread that a plugin made, "
                                 "or in the host itself");
}

static void exit_inside(void)
{
    blame_enter("unit.so", "stop", "");
    exit(0);
}

static void quick_exit_inside(void)
{
    blame_enter("unit.so", "a timer", "");
    quick_exit(0);
}

static void exit_unannounced(void)
{
    exit(0);
}

static void exit_announced(void)
{
    blame_end();
    exit(7);
}

static void an_exit_in_a_callback_is_a_failure(void **state)
{
    UNUSED(state);
    expect_exit(exit_inside, 1, "plugin unit.so: called exit() in stop" BACK);
    expect_exit(quick_exit_inside, 1, "plugin unit.so: called exit() in a timer" BACK);
}

static void an_exit_that_the_host_did_not_announce_is_a_failure(void **state)
{
    UNUSED(state);
    expect_exit(exit_unannounced, 1, "exit() was called in a thread that a plugin made; the host ends");
    expect_exit(exit_announced, 7, NULL);
}

static void *end_inside(void *unused)
{
    blame_thread();
    blame_enter("unit.so", "the handler of", "a/topic");
    pthread_exit(unused);
}

static void *end_outside(void *unused)
{
    blame_thread();
    blame_enter("unit.so", "the handler of", "a/topic");
    blame_leave();
    return unused;
}

static void run_thread(void *(*run)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) == 0)
        pthread_join(thread, NULL);
    _exit(5);
}

static void thread_ends_inside(void)
{
    run_thread(end_inside);
}

static void thread_ends_outside(void)
{
    run_thread(end_outside);
}

static void a_thread_that_ends_in_a_callback_is_a_failure(void **state)
{
    UNUSED(state);
    expect_exit(thread_ends_inside, 1,
                "plugin unit.so: ended the host's thread (pthread_exit) in the handler of a/topic" BACK);
    expect_exit(thread_ends_outside, 5, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_names_the_plugin_and_the_topic),
        cmocka_unit_test(a_crash_outside_of_callbacks_blames_no_plugin),
        cmocka_unit_test(an_exit_in_a_callback_is_a_failure),
        cmocka_unit_test(an_exit_that_the_host_did_not_announce_is_a_failure),
        cmocka_unit_test(a_thread_that_ends_in_a_callback_is_a_failure),
    };
    return cmocka_run_group_tests_name("blame", tests, NULL, NULL);
}
