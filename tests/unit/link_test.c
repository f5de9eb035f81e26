/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * link: the consequences of an attempt to connect. */
#include "support.h"

#include <string.h>

#include "broker/link.h"

static int64_t now;
static enum opened answers[8]; /* of the attempts */
static int attempts, served, rests, connects;
static bool open_now;
static int stops_at; /* during this attempt; 0: none */
static atomic_bool stopping;
static char gave_up_why[256];
static int64_t rested_until[8];
static struct log *logs;
static char *directory;

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

enum opened __wrap_connection_open(struct connection *connection, struct fault *fault);
enum opened __wrap_connection_open(struct connection *connection, struct fault *fault)
{
    UNUSED(connection);
    assert_true(attempts < 8);
    now += 50; /* the duration of an attempt */
    enum opened opened = answers[attempts++];
    if (attempts == stops_at)
        atomic_store(&stopping, true);
    open_now = opened == OPENED;
    if (!open_now)
        fault_set(fault, "nobody there");
    return opened;
}

bool __wrap_connection_is_open(const struct connection *connection);
bool __wrap_connection_is_open(const struct connection *connection)
{
    UNUSED(connection);
    return open_now;
}

uint32_t __wrap_connection_pause(const struct connection *connection, struct backoff *backoff);
uint32_t __wrap_connection_pause(const struct connection *connection, struct backoff *backoff)
{
    UNUSED(connection);
    backoff_reset(backoff);
    return 7;
}

static int unsuitable; /* number of unsuitable connections */
static int closes;

void __wrap_connection_close(struct connection *connection);
void __wrap_connection_close(struct connection *connection)
{
    UNUSED(connection);
    open_now = false;
    closes++;
}

static bool on_suits(void *context, struct fault *why)
{
    UNUSED(context);
    return unsuitable-- <= 0 || fault_set(why, "too small");
}

static void on_connected(void *context)
{
    UNUSED(context);
    connects++;
}

static void on_serve(void *context)
{
    UNUSED(context);
    served++;
    open_now = false;
}

static void on_rest(void *context, int64_t until_ms)
{
    UNUSED(context);
    rested_until[rests++] = until_ms;
    if (until_ms > now)
        now = until_ms;
    if (attempts == 8 || answers[attempts] == OPENED + 100)
        atomic_store(&stopping, true);
}

static void on_gave_up(void *context, const char *why)
{
    UNUSED(context);
    snprintf(gave_up_why, sizeof gave_up_why, "%s", why);
}

#define END ((enum opened)(OPENED + 100)) /* stops before this attempt */

static const struct link_events events = {
    .suits = on_suits, .connected = on_connected, .serve = on_serve, .rest = on_rest, .gave_up = on_gave_up};
static const struct broker broker = {.max_retries = 3, .retry_sleep = 2, .reconnect_ms = 1000};

static struct link run(bool bounded, const enum opened *all, size_t count)
{
    struct link link = {
        .broker = &broker, .log = logs, .is_first_bounded = bounded, .stopping = &stopping, .events = &events};
    memcpy(answers, all, count * sizeof *all);
    link_run(&link);
    return link;
}

static int enter(void **state)
{
    UNUSED(state);
    now = 100000;
    unsuitable = closes = 0;
    attempts = served = rests = connects = 0;
    open_now = false;
    stops_at = 0;
    atomic_store(&stopping, false);
    gave_up_why[0] = '\0';
    directory = directory_new();
    logs = log_open(&(struct log_options){
        .directory = directory, .file_name = "log", .console_level = 100, .file_level = LOG_DEBUG});
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    log_close(logs);
    directory_remove(directory);
    return 0;
}

static void the_first_connection_has_a_bound(void **state)
{
    UNUSED(state);
    run(true, (enum opened[]){OPEN_FAILED, OPEN_FAILED, OPEN_FAILED}, 3);
    assert_int_equal(attempts, 3);
    assert_int_equal(rests, 2);
    assert_int_equal(rested_until[0], 100000 + 50 + 2000);
    assert_int_equal(rested_until[1], rested_until[0] + 50 + 2000);
    assert_string_equal(gave_up_why, "nobody there; gave up after 3 attempt(s)");
    assert_int_equal(served + connects, 0);
}

static void a_refusal_at_first_is_final(void **state)
{
    UNUSED(state);
    run(true, (enum opened[]){OPEN_REFUSED}, 1);
    assert_int_equal(attempts, 1);
    assert_string_equal(gave_up_why, "nobody there");
}

static void later_connections_have_no_bound(void **state)
{
    UNUSED(state);
    struct link link =
        run(true, (enum opened[]){OPENED, OPEN_FAILED, OPEN_FAILED, OPEN_FAILED, OPEN_FAILED, OPENED, END}, 7);
    assert_string_equal(gave_up_why, "");
    assert_int_equal(attempts, 6);
    assert_int_equal(served, 2);
    assert_int_equal(connects, 2);
    assert_int_equal(link.attempt, 0);
    assert_int_equal(rested_until[0], 100000 + 50 + 7); /* after the connection was lost */
    for (int i = 1; i < 5; i++) { /* the pauses count from the beginning of the attempt, and stay below half a second */
        int64_t pause = rested_until[i] - rested_until[i - 1];
        assert_uint_in_range(pause, 50, 500);
    }
}

/* A wrong password is probably still wrong a moment later, and a broker may lock out clients that try too often. */
static void refused_logins_become_rare(void **state)
{
    UNUSED(state);
    struct link link = {
        .broker = &broker, .has_been_connected = true, .refusals = {.first_ms = 1000, .last_ms = 30000}};
    int64_t longest = 1000;
    for (int i = 0; i < 10; i++) {
        struct link_pause pause = link_failed(&link, OPEN_REFUSED, now - 50, now);
        assert_false(pause.gives_up);
        assert_true(pause.is_said);
        assert_uint_in_range(pause.until_ms - now, longest / 2, longest);
        longest = longest * 2 < 30000 ? longest * 2 : 30000;
    }
    link.backoff = (struct backoff){.first_ms = 100, .last_ms = 500};
    assert_uint_in_range(link_failed(&link, OPEN_FAILED, now, now).until_ms - now, 50,
                         100); /* no broker: the pauses do not grow */
}

static void a_stop_ends_an_attempt_without_a_word(void **state)
{
    UNUSED(state);
    atomic_store(&stopping, false);
    answers[0] = OPEN_FAILED;
    stops_at = 1;
    struct link link = {
        .broker = &broker, .log = logs, .is_first_bounded = true, .stopping = &stopping, .events = &events};
    link_run(&link);
    assert_int_equal(attempts, 1);
    assert_int_equal(rests, 0);
    assert_string_equal(gave_up_why, "");
}

static void an_unbounded_link_never_gives_up(void **state)
{
    UNUSED(state);
    run(false, (enum opened[]){OPEN_REFUSED, OPEN_FAILED, OPEN_FAILED, OPEN_FAILED, OPENED, END}, 6);
    assert_string_equal(gave_up_why, "");
    assert_int_equal(served, 1);
}

static void not_every_attempt_is_logged(void **state)
{
    UNUSED(state);
    struct link link = {.broker = &broker, .has_been_connected = true, .backoff = {.first_ms = 100, .last_ms = 500}};
    unsigned said = 0;
    for (link.attempt = 1; link.attempt <= 121; link.attempt++)
        said += link_failed(&link, OPEN_FAILED, now, now).is_said;
    assert_int_equal(said, 3);
}

static void a_connection_of_no_use_is_a_refusal(void **state)
{
    UNUSED(state);
    unsuitable = 1;
    run(true, (enum opened[]){OPENED}, 1);
    assert_string_equal(gave_up_why, "too small");
    assert_int_equal(closes, 1);
    assert_int_equal(served + connects, 0);
}

static void later_it_is_tried_again(void **state)
{
    UNUSED(state);
    unsuitable = 2;
    run(false, (enum opened[]){OPENED, OPENED, OPENED, END}, 4);
    assert_int_equal(closes, 2);
    assert_int_equal(served, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_connection_has_a_bound),
        TEST(a_refusal_at_first_is_final),
        TEST(later_connections_have_no_bound),
        TEST(an_unbounded_link_never_gives_up),
        TEST(not_every_attempt_is_logged),
        TEST(refused_logins_become_rare),
        TEST(a_stop_ends_an_attempt_without_a_word),
        TEST(a_connection_of_no_use_is_a_refusal),
        TEST(later_it_is_tried_again),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
