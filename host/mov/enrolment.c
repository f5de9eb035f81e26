/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mov/enrolment.h"

#define LISTEN_MS 10000 /* until the queue is consumed */
#define AGAIN_MS 1000   /* until the next attempt to listen */
#define PUZZLE_MS 10000 /* without an answer, until the host looks for the reason */
#define WAIT_LAST_MS 120000
#define SWEEP_FIRST_MS 5000 /* between an answer and the first sweep for notifications that remained … */
#define SWEEP_MS 60000      /* … and between two sweeps */
#define EXTRA_MS 60000      /* the least wait, after an answer, for those to other requests */

/* A starting MOV consumes registrations for some seconds before it finishes all components, including new ones. So the
 * first checks follow soon. Later checks are frequent enough that a dead id looks healthy for 40 s at most: the next
 * check finds it, or leaves it in doubt when the MOV does not answer. */
#define CHECK_MS 28000
#define PATIENCE_MS INT64_C(10000)
static const int64_t check_after[] = {0, 5000, 25000, CHECK_MS};
#define CHECK_COUNT (sizeof check_after / sizeof check_after[0])

/* After this many unanswered checks in a row the component registers again. */
#define UNANSWERED_MAX 3

void enrolment_init(struct enrolment *enrolment, unsigned outstanding, int64_t now)
{
    *enrolment = (struct enrolment){
        .backoff = {.first_ms = 2000, .last_ms = 60000}, .outstanding = outstanding, .requested_at = now};
}

static int64_t doubled(int64_t first, unsigned times, int64_t last)
{
    while (times-- > 0 && first < last)
        first *= 2;
    return first < last ? first : last;
}

static void step_out(struct enrolment *enrolment, int64_t retry_at)
{
    enrolment->state = ENROLMENT_OUT;
    enrolment->retry_at = retry_at;
}

static enum enrolment_step request(struct enrolment *enrolment, int64_t now)
{
    enrolment->state = ENROLMENT_ASKED;
    enrolment->deadline = now + doubled(ENROLMENT_WAIT_MS, enrolment->requests, WAIT_LAST_MS);
    enrolment->requested_at = now;
    enrolment->requests++;
    enrolment->outstanding++;
    enrolment->puzzled = false;
    return STEP_REQUEST;
}

static enum enrolment_step next_registered(struct enrolment *enrolment, bool possible, int64_t now)
{
    if (now >= enrolment->outstanding_until)
        enrolment->outstanding = 0;
    if (!possible)
        return STEP_NONE;
    if (!enrolment->checking && now >= enrolment->check_at) {
        enrolment->checking = true;
        enrolment->held_up = false;
        return STEP_CHECK;
    }
    if (!enrolment->wanted && now >= enrolment->sweep_at) {
        enrolment->sweep_at = now + SWEEP_MS;
        return STEP_SWEEP;
    }
    return STEP_NONE;
}

static enum enrolment_step next_of_state(struct enrolment *enrolment, const struct enrolment_reach *reach, int64_t now)
{
    bool there = reach->receiving && reach->mov;
    bool possible = there && reach->publishing && !reach->blocked && !reach->leaving;
    switch (enrolment->state) {
    case ENROLMENT_OUT:
        if (!possible || !reach->clear || now < enrolment->retry_at)
            return STEP_NONE;
        enrolment->state = ENROLMENT_LISTENING;
        enrolment->deadline = now + LISTEN_MS;
        enrolment->wanted = true;
        return STEP_LISTEN;
    case ENROLMENT_LISTENING:
        if (possible && enrolment->up)
            return request(enrolment, now);
        if (!possible || now >= enrolment->deadline)
            step_out(enrolment, possible ? now + AGAIN_MS : 0);
        return STEP_NONE;
    case ENROLMENT_ASKED:
        if (!there || !enrolment->up) {
            step_out(enrolment, there ? now + AGAIN_MS : 0);
            return STEP_NONE;
        }
        if (possible && now >= enrolment->deadline)
            return request(enrolment, now);
        if (possible && !enrolment->puzzled && now >= enrolment->requested_at + PUZZLE_MS) {
            enrolment->puzzled = true;
            return STEP_PUZZLE;
        }
        return STEP_NONE;
    case ENROLMENT_REGISTERED:
        return next_registered(enrolment, possible, now);
    }
    return STEP_NONE;
}

enum enrolment_step enrolment_next(struct enrolment *enrolment, const struct enrolment_reach *reach, int64_t now)
{
    enum enrolment_step step = next_of_state(enrolment, reach, now);
    bool needed = enrolment->state == ENROLMENT_LISTENING || (enrolment->state == ENROLMENT_ASKED && !reach->leaving) ||
                  (enrolment->outstanding > 0 && (enrolment->state == ENROLMENT_REGISTERED || reach->leaving));
    if (step == STEP_NONE && enrolment->wanted && !needed) {
        enrolment->wanted = enrolment->up = false;
        return STEP_END_LISTENING;
    }
    return step;
}

static int64_t sooner(int64_t due, int64_t at, int64_t now)
{
    return at > now && at < due ? at : due;
}

int64_t enrolment_due(const struct enrolment *enrolment, int64_t now)
{
    int64_t due = now + 1000;
    switch (enrolment->state) {
    case ENROLMENT_OUT:
        return sooner(due, enrolment->retry_at, now);
    case ENROLMENT_LISTENING:
        return sooner(due, enrolment->deadline, now);
    case ENROLMENT_ASKED:
        return sooner(sooner(due, enrolment->deadline, now), enrolment->requested_at + PUZZLE_MS, now);
    case ENROLMENT_REGISTERED:
        return sooner(sooner(due, enrolment->check_at, now), enrolment->sweep_at, now);
    }
    return due;
}

void enrolment_subscribed(struct enrolment *enrolment, bool up)
{
    enrolment->up = up;
}

bool enrolment_notified(struct enrolment *enrolment, bool fresh, bool leaving, int64_t now)
{
    if (enrolment->outstanding > 0)
        enrolment->outstanding--;
    if (enrolment->state != ENROLMENT_ASKED || !fresh || leaving)
        return false;
    int64_t waited = 2 * (now - enrolment->requested_at);
    enrolment->state = ENROLMENT_REGISTERED;
    enrolment->requests = 0;
    enrolment->outstanding_until = now + (waited > EXTRA_MS ? waited : EXTRA_MS);
    enrolment->doubtful = enrolment->checking = false;
    enrolment->checks = 1;
    enrolment->unanswered = 0;
    enrolment->check_at = now + check_after[1];
    enrolment->sweep_at = now + SWEEP_FIRST_MS;
    backoff_reset(&enrolment->backoff);
    return true;
}

void enrolment_refused(struct enrolment *enrolment, int64_t now)
{
    if (enrolment->outstanding > 0)
        enrolment->outstanding--;
    if (enrolment->state == ENROLMENT_ASKED)
        step_out(enrolment, now + backoff_next(&enrolment->backoff));
}

void enrolment_disconnected(struct enrolment *enrolment)
{
    enrolment->up = false;
    if (enrolment->state != ENROLMENT_REGISTERED)
        return;
    enrolment->doubtful = true;
    enrolment->checking = false;
    enrolment->checks = enrolment->unanswered = 0;
    enrolment->check_at = 0;
}

void enrolment_blocked(struct enrolment *enrolment)
{
    enrolment->held_up = true;
}

int64_t enrolment_patience(const struct enrolment *enrolment)
{
    return doubled(PATIENCE_MS, enrolment->unanswered, 4 * PATIENCE_MS);
}

enum enrolment_verdict enrolment_checked(struct enrolment *enrolment, enum enrolment_check check, int64_t now)
{
    enrolment->checking = false;
    if (check == CHECK_UNANSWERED && enrolment->held_up) {
        enrolment->check_at = now;
        return VERDICT_KEEP;
    }
    if (check == CHECK_UNANSWERED && enrolment->mute && !enrolment->doubtful) {
        enrolment->check_at = now + CHECK_MS;
        return VERDICT_KEEP;
    }
    if (check == CHECK_UNANSWERED) {
        enrolment->doubtful = true;
        enrolment->check_at = now;
        if (++enrolment->unanswered < UNANSWERED_MAX)
            return VERDICT_KEEP;
        enrolment->mute = true; /* until the MOV answers: to register again and again does not help */
        return VERDICT_UNKNOWN;
    }
    enrolment->mute = enrolment->doubtful = false;
    enrolment->unanswered = 0;
    if (check == CHECK_FORGOTTEN)
        return VERDICT_FORGOTTEN;
    if (enrolment->checks == 0) /* after a reconnect: the broker may have redelivered messages to the MOV */
        enrolment->sweep_at = now + SWEEP_FIRST_MS;
    if (enrolment->checks < CHECK_COUNT - 1)
        enrolment->checks++;
    enrolment->check_at = now + check_after[enrolment->checks];
    return VERDICT_KEEP;
}

void enrolment_forget(struct enrolment *enrolment)
{
    enrolment->doubtful = enrolment->checking = false;
    enrolment->unanswered = 0;
    step_out(enrolment, 0);
}

bool enrolment_may_end(const struct enrolment *enrolment, int64_t now)
{
    return enrolment->outstanding == 0 || !enrolment->up || now >= enrolment->requested_at + ENROLMENT_WAIT_MS;
}
