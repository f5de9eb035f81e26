/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * notify: the messages to a service manager, on both kinds of socket, and failed sends. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "run/notify.h"

static char *directory, *path;
static struct log *logs;
static int manager = -1;

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    logs = log_open(&(struct log_options){.directory = directory, .console_level = LOG_DEBUG});
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return asprintf(&path, "%s/notify", directory) < 0;
}

static int leave(void **state)
{
    UNUSED(state);
    if (manager >= 0)
        close(manager);
    manager = -1;
    log_close(logs);
    free(path);
    directory_remove(directory);
    return 0;
}

/* A manager's socket: a path, or '@' and an abstract name. */
static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    assert_true(len < sizeof address.sun_path);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(manager >= 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(manager, (struct sockaddr *)&address, size), 0);
}

/* The next message; NULL: there is none. */
static void expect_heard(const char *expected)
{
    char words[512] = "";
    ssize_t got = recv(manager, words, sizeof words - 1, 0);
    if (expected == NULL && got >= 0)
        fail_msg("heard: %s", words);
    if (expected != NULL && got < 0)
        fail_msg("heard nothing, and not: %s", expected);
    if (expected != NULL)
        assert_string_equal(words, expected);
}

static struct notify *notify_at(const char *name)
{
    setenv("NOTIFY_SOCKET", name, 1);
    return notify_new(logs);
}

static void says_all_of_it(const char *name)
{
    listen_at(name);
    struct notify *notify = notify_at(name);
    assert_null(getenv("NOTIFY_SOCKET")); /* a plugin's processes cannot send messages for the host */
    expect_heard(NULL);
    notify_show(notify, false, "waiting");
    expect_heard("STATUS=waiting");
    notify_show(notify, false, "waiting");
    expect_heard(NULL);
    notify_show(notify, true, "at work");
    expect_heard("READY=1\nSTATUS=at work");
    notify_show(notify, true, "at work");
    expect_heard(NULL);
    notify_show(notify, false, "waiting"); /* once ready, always ready: only the status changes */
    expect_heard("READY=1\nSTATUS=waiting");
    assert_true(notify_tend(notify, 1000) == INT64_MAX);
    notify_stopping(notify);
    expect_heard("STOPPING=1\nSTATUS=stopping");
    notify_stopping(notify);
    notify_show(notify, true, "at work");
    expect_heard(NULL);
    notify_free(notify);
}

static void on_a_path(void **state)
{
    UNUSED(state);
    says_all_of_it(path);
}

static void on_an_abstract_name(void **state)
{
    UNUSED(state);
    char name[64];
    snprintf(name, sizeof name, "@valawai-notify-test-%d", (int)getpid());
    says_all_of_it(name);
}

static void no_manager_costs_nothing(void **state)
{
    UNUSED(state);
    static const char *const names[] = {NULL, ""};
    for (size_t i = 0; i < COUNT(names); i++) {
        unsetenv("NOTIFY_SOCKET");
        if (names[i] != NULL)
            setenv("NOTIFY_SOCKET", names[i], 1);
        setenv("WATCHDOG_USEC", "1000", 1); /* without a socket there are no messages */
        stderr_catch();
        struct notify *notify = notify_new(logs);
        notify_show(notify, true, "at work");
        notify_stopping(notify);
        assert_true(notify_tend(notify, 1000) == INT64_MAX);
        notify_free(notify);
        char *said = stderr_caught();
        assert_string_equal(said, "");
        free(said);
    }
    notify_free(NULL);
}

static void what_is_no_socket_is_said(void **state)
{
    UNUSED(state);
    char longest[256];
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const names[] = {"relative", "vsock:2:1234", "/", "@", longest};
    for (size_t i = 0; i < COUNT(names); i++) {
        stderr_catch();
        struct notify *notify = notify_at(names[i]);
        notify_show(notify, true, "at work");
        notify_free(notify);
        char *said = stderr_caught();
        expect_in(said, "NOTIFY_SOCKET: \"");
        assert_int_equal(count_of(said, "\n"), 1);
        free(said);
    }
}

static void watchdog_at_half_of_its_time(void **state)
{
    UNUSED(state);
    char self[32];
    snprintf(self, sizeof self, "%d", (int)getpid());
    listen_at(path);
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", self, 1);
    struct notify *notify = notify_at(path);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    assert_true(notify_tend(notify, 10000) == 11500);
    expect_heard("WATCHDOG=1");
    assert_true(notify_tend(notify, 11499) == 11500);
    expect_heard(NULL);
    assert_true(notify_tend(notify, 11600) == 13100);
    expect_heard("WATCHDOG=1");
    expect_heard(NULL);
    notify_free(notify);
}

static void watchdog_of_others(void **state)
{
    UNUSED(state);
    static const struct {
        const char *usec, *pid;
    } cases[] = {{"3000000", "1"}, {"0", NULL}, {"-5", NULL},
                 {"soon", NULL},   {"", NULL},  {"99999999999999999999", NULL}};
    listen_at(path);
    for (size_t i = 0; i < COUNT(cases); i++) {
        setenv("WATCHDOG_USEC", cases[i].usec, 1);
        unsetenv("WATCHDOG_PID");
        if (cases[i].pid != NULL)
            setenv("WATCHDOG_PID", cases[i].pid, 1);
        struct notify *notify = notify_at(path);
        assert_true(notify_tend(notify, 10000) == INT64_MAX);
        expect_heard(NULL);
        notify_free(notify);
    }
    setenv("WATCHDOG_USEC", "1", 1); /* shorter than the resolution: as often as possible */
    struct notify *notify = notify_at(path);
    assert_true(notify_tend(notify, 10000) == 10001);
    expect_heard("WATCHDOG=1");
    notify_free(notify);
}

static void a_full_queue_is_waited_for(void **state)
{
    UNUSED(state);
    listen_at(path);
    struct notify *notify = notify_at(path);
    int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int others = 0;
    while (sendto(other, "X", 1, 0, (struct sockaddr *)&address, sizeof address) == 1)
        others++;
    assert_int_equal(errno, EAGAIN);
    close(other);

    stderr_catch();
    notify_show(notify, true, "at work");
    assert_true(notify_tend(notify, 1000) == 1200);
    notify_show(notify, false, "waiting"); /* the host still counts as ready */
    assert_true(notify_tend(notify, 1200) == 1400);
    while (others-- > 0)
        expect_heard("X");
    assert_true(notify_tend(notify, 1400) == INT64_MAX);
    expect_heard("READY=1\nSTATUS=waiting");
    expect_heard(NULL);
    char *said = stderr_caught();
    assert_string_equal(said, "");
    free(said);
    notify_free(notify);
}

static void a_manager_that_is_away_is_said_once(void **state)
{
    UNUSED(state);
    struct notify *notify = notify_at(path);
    stderr_catch();
    notify_show(notify, false, "waiting");
    notify_show(notify, true, "at work");
    assert_true(notify_tend(notify, 1000) == 1200);
    char *said = stderr_caught();
    assert_int_equal(count_of(said, "cannot send to NOTIFY_SOCKET"), 1);
    free(said);
    listen_at(path);
    assert_true(notify_tend(notify, 1200) == INT64_MAX);
    expect_heard("READY=1\nSTATUS=at work");
    notify_free(notify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(on_a_path, enter, leave),
        cmocka_unit_test_setup_teardown(on_an_abstract_name, enter, leave),
        cmocka_unit_test_setup_teardown(no_manager_costs_nothing, enter, leave),
        cmocka_unit_test_setup_teardown(what_is_no_socket_is_said, enter, leave),
        cmocka_unit_test_setup_teardown(watchdog_at_half_of_its_time, enter, leave),
        cmocka_unit_test_setup_teardown(watchdog_of_others, enter, leave),
        cmocka_unit_test_setup_teardown(a_full_queue_is_waited_for, enter, leave),
        cmocka_unit_test_setup_teardown(a_manager_that_is_away_is_said_once, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
