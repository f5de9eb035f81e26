/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * enrolment: the state of a component's registration, event by event, with the test's clock. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mov/enrolment.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)

static int64_t now;
static struct enrolment enrolment;
static struct enrolment_reach reach;
static struct text steps; /* since the last comparison */

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

static const char *const names[] = {[STEP_LISTEN] = "listen", [STEP_END_LISTENING] = "end", [STEP_REQUEST] = "request",
                                    [STEP_PUZZLE] = "puzzle", [STEP_CHECK] = "check",       [STEP_SWEEP] = "sweep"};

static void tend(void)
{
    for (enum enrolment_step step; (step = enrolment_next(&enrolment, &reach, now)) != STEP_NONE;)
        text_printf(&steps, "%s%s", steps.len > 0 ? " " : "", names[step]);
    int64_t due = enrolment_due(&enrolment, now);
    assert_true(due > now && due <= now + SECOND);
}

static void expect(const char *expected)
{
    tend();
    assert_string_equal(steps.at == NULL ? "" : steps.at, expected);
    text_clear(&steps);
}

/* Lets time pass, and asks for steps as often as the host. */
static void pass(int64_t ms)
{
    for (int64_t until = now + ms; now < until;) {
        int64_t due = enrolment_due(&enrolment, now);
        now = due < until ? due : until;
        tend();
    }
}

static int64_t pass_until_step(int64_t most)
{
    int64_t from = now;
    while (steps.len == 0 && now < from + most)
        pass(100);
    return now - from;
}

static int enter(void **state)
{
    UNUSED(state);
    now = MINUTE;
    reach = (struct enrolment_reach){.receiving = true, .publishing = true, .mov = true, .clear = true};
    enrolment_init(&enrolment, 0, now);
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    text_free(&steps);
    return 0;
}

static bool notified(void)
{
    return enrolment_notified(&enrolment, true, reach.leaving, now);
}

static void until_asked(void)
{
    expect("listen");
    enrolment_subscribed(&enrolment, true);
    expect("request");
}

static void until_registered(void)
{
    until_asked();
    assert_true(notified());
    expect("end");
    assert_int_equal(enrolment.state, ENROLMENT_REGISTERED);
}

/* The host looks for untaken notifications meanwhile. */
static void expect_check_after(int64_t from, int64_t to)
{
    int64_t began = now;
    while (!enrolment.checking && now < began + 5 * MINUTE)
        pass(100);
    if (now - began < from || now - began > to)
        fail_msg("a check after %lld ms", (long long)(now - began));
    text_clear(&steps);
}

static void nothing_begins_before_everything_is_there(void **state)
{
    UNUSED(state);
    bool *const needed[] = {&reach.receiving, &reach.publishing, &reach.mov, &reach.clear};
    for (size_t i = 0; i < COUNT(needed); i++) {
        *needed[i] = false;
        pass(MINUTE);
        expect("");
        *needed[i] = true;
    }
    reach.leaving = true;
    expect("");
    reach.leaving = false;
    until_registered();
}

static void the_checks_after_a_registration(void **state)
{
    UNUSED(state);
    until_registered();
    expect_check_after(4900, 5100); /* the MOV may have finished the component since */
    assert_int_equal(enrolment_checked(&enrolment, CHECK_KNOWN, now), VERDICT_KEEP);
    expect_check_after(24900, 25100);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(enrolment_checked(&enrolment, CHECK_KNOWN, now), VERDICT_KEEP);
        expect_check_after(27900, 28100);
        assert_false(enrolment.doubtful);
    }
}

/* For every cause, and every delay of the MOV's answer. */
static void a_dead_id_looks_healthy_for_40_seconds_at_most(void **state)
{
    UNUSED(state);
    until_registered();
    for (int i = 0; i < 3; i++) {
        expect_check_after(0, 30 * SECOND);
        enrolment_checked(&enrolment, CHECK_KNOWN, now);
    }
    int64_t died = now + 1; /* right after the answer */
    expect_check_after(0, 30 * SECOND);
    now += enrolment_patience(&enrolment);
    enrolment_checked(&enrolment, CHECK_UNANSWERED, now);
    assert_true(enrolment.doubtful);
    assert_true(now - died <= 40 * SECOND);
}

static void a_forgotten_component_is_registered_again(void **state)
{
    UNUSED(state);
    until_registered();
    expect_check_after(0, 6000);
    assert_int_equal(enrolment_checked(&enrolment, CHECK_FORGOTTEN, now), VERDICT_FORGOTTEN);
    enrolment_forget(&enrolment);
    reach.clear = false;
    pass(MINUTE);
    expect(""); /* not before the old id is unregistered */
    reach.clear = true;
    until_registered();
    expect_check_after(4900, 5100);
}

static void in_doubt_after_a_reconnect(void **state)
{
    UNUSED(state);
    until_registered();
    enrolment_disconnected(&enrolment);
    reach.receiving = reach.mov = false;
    assert_true(enrolment.doubtful);
    pass(MINUTE);
    expect("");
    reach.receiving = true;
    pass(5 * SECOND); /* the MOV comes back to the broker later */
    expect("");
    reach.mov = true;
    expect("check sweep");
    assert_int_equal(enrolment_checked(&enrolment, CHECK_KNOWN, now), VERDICT_KEEP);
    assert_false(enrolment.doubtful);
    expect_check_after(4900, 5100); /* it may be a new MOV that has not finished the components yet */
    enrolment_checked(&enrolment, CHECK_KNOWN, now);
    expect_check_after(24900, 25100);
}

/* A killed broker may redeliver the registration, so the MOV has two components. */
static void a_sweep_after_a_reconnect(void **state)
{
    UNUSED(state);
    until_registered();
    pass(6 * SECOND);
    enrolment_checked(&enrolment, CHECK_KNOWN, now);
    enrolment_disconnected(&enrolment);
    expect("check sweep check");
    enrolment_checked(&enrolment, CHECK_KNOWN, now);
    int64_t began = now;
    while (steps.at == NULL || strstr(steps.at, "sweep") == NULL)
        pass(100);
    assert_in_range(now - began, 4900, 5200);
}

static void checks_without_an_answer(void **state)
{
    UNUSED(state);
    static const int64_t patience[] = {10 * SECOND, 20 * SECOND, 40 * SECOND};
    until_registered();
    expect_check_after(0, 6000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enrolment_patience(&enrolment), patience[i]);
        now += patience[i];
        enum enrolment_verdict verdict = enrolment_checked(&enrolment, CHECK_UNANSWERED, now);
        assert_int_equal(verdict, i < 2 ? VERDICT_KEEP : VERDICT_UNKNOWN);
        assert_true(enrolment.doubtful);
        if (i < 2)
            expect_check_after(0, 100);
    }
    enrolment_forget(&enrolment);
    text_clear(&steps);
    until_registered();
    /* A MOV that answers registrations and no queries: the component is not registered over and over. */
    for (int i = 0; i < 10; i++) {
        expect_check_after(0, 30 * SECOND);
        now += enrolment_patience(&enrolment);
        assert_int_equal(enrolment_checked(&enrolment, CHECK_UNANSWERED, now), VERDICT_KEEP);
        assert_false(enrolment.doubtful);
    }
    expect_check_after(0, 30 * SECOND);
    enrolment_checked(&enrolment, CHECK_KNOWN, now); /* now the MOV answers */
    expect_check_after(0, 30 * SECOND);
    enrolment_checked(&enrolment, CHECK_UNANSWERED, now);
    assert_true(enrolment.doubtful);
}

/* A check that is on its way when an alarm begins has no answer, and the next one waits for the end of the alarm. */
static void an_alarm_holds_checks_up(void **state)
{
    UNUSED(state);
    until_registered();
    expect_check_after(0, 6000);
    enrolment_blocked(&enrolment);
    reach.blocked = true;
    now += enrolment_patience(&enrolment);
    assert_int_equal(enrolment_checked(&enrolment, CHECK_UNANSWERED, now), VERDICT_KEEP);
    assert_false(enrolment.doubtful);
    pass(5 * MINUTE);
    expect("");
    reach.blocked = false;
    expect("check sweep");
    now += enrolment_patience(&enrolment);
    assert_int_equal(enrolment_checked(&enrolment, CHECK_UNANSWERED, now), VERDICT_KEEP);
    assert_true(enrolment.doubtful);
}

/* After a reconnect a mute MOV would keep the component unhealthy for ever, so there its silence counts. */
static void a_mute_mov_and_a_reconnect(void **state)
{
    UNUSED(state);
    until_registered();
    enrolment.mute = true;
    enrolment_disconnected(&enrolment);
    for (int i = 0; i < 2; i++)
        assert_int_equal(enrolment_checked(&enrolment, CHECK_UNANSWERED, now), VERDICT_KEEP);
    assert_int_equal(enrolment_checked(&enrolment, CHECK_UNANSWERED, now), VERDICT_UNKNOWN);
}

static void a_slow_mov_is_asked_once(void **state)
{
    UNUSED(state);
    until_asked();
    assert_uint_in_range(pass_until_step(MINUTE), 9900, 10200);
    expect("puzzle");
    pass(5 * SECOND);
    expect("");
    assert_true(notified()); /* after 15 s */
    expect("end");
    assert_int_equal(enrolment.outstanding, 0);
}

static void the_wait_grows(void **state)
{
    UNUSED(state);
    static const int64_t waits[] = {20, 40, 80, 120, 120};
    until_asked();
    for (size_t i = 0; i < COUNT(waits); i++) {
        int64_t began = now;
        while (enrolment.requests == i + 1 && now < began + 5 * MINUTE)
            pass(100);
        assert_uint_in_range(now - began, waits[i] * SECOND - 100, waits[i] * SECOND + 100);
        expect("puzzle request"); /* consuming never stopped */
    }
}

/* The MOV makes a component of each request, so the host waits some time for the other answers. */
static void the_answers_to_earlier_requests(void **state)
{
    UNUSED(state);
    until_asked();
    pass(21 * SECOND);
    expect("puzzle request");
    assert_true(notified());
    expect(""); /* still consumes */
    assert_int_equal(enrolment.outstanding, 1);
    pass(5 * SECOND);
    assert_false(notified()); /* one too many */
    tend();
    expect_in(steps.at, "end");
    text_clear(&steps);
    assert_int_equal(enrolment.outstanding, 0);
}

static void an_answer_that_never_comes(void **state)
{
    UNUSED(state);
    until_asked();
    pass(21 * SECOND);
    expect("puzzle request");
    assert_true(notified());
    pass(59 * SECOND);
    assert_int_equal(enrolment.outstanding, 1);
    pass(2 * SECOND);
    assert_int_equal(enrolment.outstanding, 0);
    expect_in(steps.at, "end");
}

static void what_an_earlier_run_left_pending(void **state)
{
    UNUSED(state);
    enrolment_init(&enrolment, 1, now);
    until_asked();
    assert_int_equal(enrolment.outstanding, 2);
    assert_true(notified()); /* the answer to either */
    expect("");
    assert_false(notified());
    expect("end");
}

static void only_a_fresh_notification_is_an_answer(void **state)
{
    UNUSED(state);
    assert_false(notified()); /* nothing was asked */
    until_asked();
    assert_false(enrolment_notified(&enrolment, false, false, now));
    assert_int_equal(enrolment.state, ENROLMENT_ASKED);
    assert_true(notified());
    assert_false(notified());
}

static void no_queue_to_ask_on(void **state)
{
    UNUSED(state);
    int64_t expected = 2 * SECOND;
    for (int i = 0; i < 8; i++) {
        until_asked();
        enrolment_refused(&enrolment, now);
        assert_int_equal(enrolment.outstanding, 0);
        expect("end");
        int64_t waited = pass_until_step(5 * MINUTE);
        if (waited < expected / 2 || waited > expected + 200)
            fail_msg("attempt %d after %lld ms", i, (long long)waited);
        expected = 2 * expected > MINUTE ? MINUTE : 2 * expected;
        assert_string_equal(steps.at, "listen");
        text_clear(&steps);
        enrolment.state = ENROLMENT_OUT;
        enrolment.wanted = false;
    }
}

static void nothing_to_listen_on(void **state)
{
    UNUSED(state);
    expect("listen");
    int64_t waited = pass_until_step(MINUTE);
    assert_uint_in_range(waited, 9900, 10200);
    expect("end");
    assert_uint_in_range(pass_until_step(MINUTE), 900, 1200);
    expect("listen");
    enrolment_subscribed(&enrolment, true);
    expect("request");
    enrolment_subscribed(&enrolment, false); /* cancelled by the broker */
    expect("end");
    assert_uint_in_range(pass_until_step(MINUTE), 900, 1200);
    expect("listen");
}

static void what_ends_the_wait_for_an_answer(void **state)
{
    UNUSED(state);
    bool *const needed[] = {&reach.receiving, &reach.mov};
    for (size_t i = 0; i < COUNT(needed); i++) {
        until_asked();
        *needed[i] = false;
        expect("end");
        pass(MINUTE);
        expect("");
        *needed[i] = true;
    }
    until_asked();
    reach.publishing = false; /* what was published is published again */
    pass(5 * SECOND);
    expect("");
    assert_true(notified());
}

static void leaving_with_a_request_open(void **state)
{
    UNUSED(state);
    until_asked();
    assert_false(enrolment_may_end(&enrolment, now));
    reach.leaving = true;
    expect(""); /* still consumes */
    pass(2 * SECOND);
    assert_false(enrolment_may_end(&enrolment, now));
    assert_false(notified()); /* must be unregistered */
    assert_true(enrolment_may_end(&enrolment, now));
    expect("end");
}

static void leaving_without_a_hope(void **state)
{
    UNUSED(state);
    until_asked();
    reach.leaving = true;
    assert_false(enrolment_may_end(&enrolment, now));
    assert_true(enrolment_may_end(&enrolment, now + ENROLMENT_WAIT_MS)); /* it would have come by now */
    enrolment_subscribed(&enrolment, false);                             /* no answer can arrive */
    assert_true(enrolment_may_end(&enrolment, now));
}

static void leaving_when_registered(void **state)
{
    UNUSED(state);
    until_registered();
    reach.leaving = true;
    enrolment_forget(&enrolment);
    pass(MINUTE);
    expect("");
    assert_true(enrolment_may_end(&enrolment, now));
}

static void sweeps(void **state)
{
    UNUSED(state);
    until_registered();
    assert_uint_in_range(pass_until_step(MINUTE), 4900, 5200);
    expect("check sweep");
    enrolment_checked(&enrolment, CHECK_KNOWN, now);
    int64_t began = now;
    while (steps.at == NULL || strstr(steps.at, "sweep") == NULL) {
        pass(100);
        if (enrolment.checking)
            enrolment_checked(&enrolment, CHECK_KNOWN, now);
    }
    assert_uint_in_range(now - began, 59900, 60200);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_begins_before_everything_is_there),
        TEST(the_checks_after_a_registration),
        TEST(a_dead_id_looks_healthy_for_40_seconds_at_most),
        TEST(a_forgotten_component_is_registered_again),
        TEST(in_doubt_after_a_reconnect),
        TEST(a_sweep_after_a_reconnect),
        TEST(checks_without_an_answer),
        TEST(an_alarm_holds_checks_up),
        TEST(a_mute_mov_and_a_reconnect),
        TEST(a_slow_mov_is_asked_once),
        TEST(the_wait_grows),
        TEST(the_answers_to_earlier_requests),
        TEST(an_answer_that_never_comes),
        TEST(what_an_earlier_run_left_pending),
        TEST(only_a_fresh_notification_is_an_answer),
        TEST(no_queue_to_ask_on),
        TEST(nothing_to_listen_on),
        TEST(what_ends_the_wait_for_an_answer),
        TEST(leaving_with_a_request_open),
        TEST(leaving_without_a_hope),
        TEST(leaving_when_registered),
        TEST(sweeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
