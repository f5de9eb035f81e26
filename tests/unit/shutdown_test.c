/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * shutdown: in a simulated world in which only the steps take time. */
#include "support.h"

#include <string.h>

#include "base/text.h"
#include "run/shutdown.h"

#define BEGAN 1000
#define NEVER INT64_MAX /* a step that does not end by itself */

struct world {
    int64_t now;
    struct text story; /* "step@until" of each step, in order */
    struct {
        int64_t join, late_join, drain, unregister, consumer, publisher; /* how long each takes */
    } takes;
    unsigned joins;
};

/* Takes its time, at most until the limit. True: the step has ended. */
static bool take(struct world *world, const char *step, int64_t takes, int64_t until)
{
    text_printf(&world->story, "%s@%d ", step, (int)(until - BEGAN));
    bool ends = takes <= until - world->now;
    int64_t at = ends ? world->now + takes : until;
    world->now = at > world->now ? at : world->now;
    return ends;
}

static int64_t now(void *context)
{
    return ((struct world *)context)->now;
}

static void announce(void *context)
{
    text_puts(&((struct world *)context)->story, "announce ");
}

static void close_plugins(void *context, int64_t answers_until)
{
    take(context, "close", 0, answers_until);
}

static bool join_plugins(void *context, int64_t until)
{
    struct world *world = context;
    return take(world, "join", world->joins++ == 0 ? world->takes.join : world->takes.late_join, until);
}

static bool drain(void *context, int64_t until)
{
    return take(context, "drain", ((struct world *)context)->takes.drain, until);
}

static void close_outbox(void *context)
{
    text_puts(&((struct world *)context)->story, "outbox ");
}

static void unregister(void *context, int64_t until)
{
    take(context, "unregister", ((struct world *)context)->takes.unregister, until);
}

static bool stop_consumer(void *context, int64_t until)
{
    return take(context, "consumer", ((struct world *)context)->takes.consumer, until);
}

static bool stop_publisher(void *context, int64_t until)
{
    return take(context, "publisher", ((struct world *)context)->takes.publisher, until);
}

static void warn(void *context, const char *what)
{
    text_printf(&((struct world *)context)->story, "(%.*s) ", (int)strcspn(what, ";"), what);
}

static const struct shutdown_steps steps = {
    .now = now,
    .announce = announce,
    .close_plugins = close_plugins,
    .join_plugins = join_plugins,
    .drain = drain,
    .close_outbox = close_outbox,
    .unregister = unregister,
    .stop_consumer = stop_consumer,
    .stop_publisher = stop_publisher,
    .warn = warn,
};

static void expect(struct world world, int64_t grace_ms, bool ended, int64_t took, const char *story)
{
    world.now = BEGAN;
    assert_true(shutdown_run(&steps, &world, grace_ms) == ended);
    assert_string_equal(world.story.at, story);
    assert_int_equal(world.now - BEGAN, took);
    text_free(&world.story);
}

static void everything_ends_at_once(void **state)
{
    UNUSED(state);
    expect((struct world){0}, 5000, true, 0,
           "announce close@4700 join@5000 drain@5000 outbox unregister@5000 consumer@2000 publisher@2000 ");
}

static void each_step_takes_some_time(void **state)
{
    UNUSED(state);
    expect((struct world){.takes = {.join = 100, .drain = 20, .unregister = 30, .consumer = 5, .publisher = 7}}, 5000,
           true, 162, "announce close@4700 join@5000 drain@5000 outbox unregister@5000 consumer@2150 publisher@2155 ");
}

static void a_handler_that_does_not_return(void **state)
{
    UNUSED(state);
    expect((struct world){.takes = {.join = NEVER, .late_join = NEVER}}, 5000, false, 5500,
           "announce close@4700 join@5000 drain@5000 outbox join@5500 (a handler has not returned in time) "
           "unregister@6500 consumer@7500 publisher@7500 ");
}

/* The handler waits for room in the outbox, which is then closed. */
static void a_handler_that_waits_for_the_outbox(void **state)
{
    UNUSED(state);
    expect((struct world){.takes = {.join = NEVER, .late_join = 10}}, 5000, true, 5010,
           "announce close@4700 join@5000 drain@5000 outbox join@5500 unregister@6010 consumer@7010 publisher@7010 ");
}

/* The broker confirms and answers nothing: the stop still ends, and exceeds the grace time only by the least times of
 * the last steps. */
static void a_broker_that_is_silent(void **state)
{
    UNUSED(state);
    expect((struct world){.takes = {.drain = NEVER, .unregister = NEVER, .consumer = NEVER, .publisher = NEVER}}, 5000,
           false, 5000 + 1000 + 2000 + 2000,
           "announce close@4700 join@5000 drain@5000 (the broker has not confirmed everything in time) outbox "
           "unregister@6000 consumer@8000 publisher@10000 ");
}

static void no_grace(void **state)
{
    UNUSED(state);
    expect((struct world){0}, 0, true, 0,
           "announce close@-300 join@0 drain@0 outbox unregister@1000 consumer@2000 publisher@2000 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_ends_at_once),        cmocka_unit_test(each_step_takes_some_time),
        cmocka_unit_test(a_handler_that_does_not_return), cmocka_unit_test(a_handler_that_waits_for_the_outbox),
        cmocka_unit_test(a_broker_that_is_silent),        cmocka_unit_test(no_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
