/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * room: the waits of publications for room. */
#include "broker/room.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "support.h"

#define SHARE 1000

static struct room room;
static struct account own, a, b;
static struct list inside;

static int begin(void **state)
{
    UNUSED(state);
    own = a = b = (struct account){0};
    room_init(&room, &own, SHARE);
    return 0;
}

static int end(void **state)
{
    UNUSED(state);
    list_free(&inside);
    room_destroy(&room);
    return 0;
}

static struct list made(struct account *account, size_t count, size_t size)
{
    struct list list = {0};
    for (size_t i = 0; i < count; i++) {
        struct publication *publication = publication_new("t", "{}", 2);
        publication->account = account;
        publication->size = size;
        list_put(&list, &publication->node);
    }
    return list;
}

static void entered(struct account *account, size_t count, size_t size)
{
    struct list list = made(account, count, size);
    assert_true(room_enter(&room, &list));
    list_join(&inside, &list);
}

/* This many publications, the oldest first, have an outcome. */
static void left(size_t count)
{
    struct list list = {0};
    for (size_t i = 0; i < count; i++)
        list_put(&list, list_take(&inside));
    assert_int_equal(room_leave(&room, &list), count);
    list_free(&list);
    room_left(&room, count);
}

/* ---- a waiting thread ---- */

static struct waiter {
    pthread_t thread;
    struct list list;
    atomic_bool done;
    bool entered;
    sem_t begun;
} waiter;

static void *waiter_run(void *argument)
{
    UNUSED(argument);
    sem_post(&waiter.begun);
    waiter.entered = room_enter(&room, &waiter.list);
    atomic_store(&waiter.done, true);
    return NULL;
}

static void wait_for_room(struct account *account, size_t size)
{
    waiter.list = made(account, 1, size);
    atomic_store(&waiter.done, false);
    sem_init(&waiter.begun, 0, 0);
    assert_int_equal(pthread_create(&waiter.thread, NULL, waiter_run, NULL), 0);
    while (sem_wait(&waiter.begun) != 0)
        continue;
}

static bool waited(void)
{
    pthread_join(waiter.thread, NULL);
    sem_destroy(&waiter.begun);
    list_join(&inside, &waiter.list);
    return waiter.entered;
}

static void a_share_is_used_up_by_one_account_alone(void **state)
{
    UNUSED(state);
    entered(&a, 2, 500);
    wait_for_room(&a, 1);
    entered(&b, 1, 1000);   /* another has a share of its own */
    entered(NULL, 5, 1000); /* the host never waits */
    assert_false(atomic_load(&waiter.done));
    left(1);
    assert_true(waited());
    assert_int_equal(a.held, 2);
    assert_int_equal(a.bytes, 501);
    left(8);
    assert_int_equal(a.held + a.bytes + b.held + b.bytes + own.held + own.bytes, 0);
    assert_int_equal(room.held, 0);
}

static void a_larger_share_ends_the_wait_for_it(void **state)
{
    UNUSED(state);
    assert_true(room_is_done_with(&room, &a));
    entered(&a, 1, SHARE);
    assert_false(room_is_done_with(&room, &a));
    assert_true(room_is_done_with(&room, &b));
    wait_for_room(&a, SHARE);
    room_divide(&room, 2 * SHARE - 1);
    assert_false(atomic_load(&waiter.done));
    room_divide(&room, 2 * SHARE);
    assert_true(waited());
    left(2);
    assert_true(room_is_done_with(&room, &a));
}

static void an_empty_account_may_exceed_its_share(void **state)
{
    UNUSED(state);
    entered(&a, 3, SHARE);
    wait_for_room(&a, 1);
    left(2);
    assert_false(atomic_load(&waiter.done));
    left(1);
    assert_true(waited());
}

static void a_closed_room_ends_the_waits_and_lets_in_what_may_not_wait(void **state)
{
    UNUSED(state);
    entered(&a, 1, SHARE);
    wait_for_room(&a, 1);
    room_close(&room);
    assert_false(waited());
    struct list list = made(&a, 1, 10);
    assert_false(room_enter(&room, &list));
    room_force(&room, &list);
    assert_int_equal(a.held, 2);
    list_join(&inside, &list);
}

static void a_drain_ends_when_all_have_left_or_its_time_is_up(void **state)
{
    UNUSED(state);
    struct records records;
    records_init(&records);
    assert_true(room_drain(&room, &records, clock_ms()));
    entered(&a, 1, 10);
    assert_false(room_drain(&room, &records, clock_ms()));
    struct list list = inside;
    inside = (struct list){0};
    assert_int_equal(room_leave(&room, &list), 1);
    assert_false(room_drain(&room, &records, clock_ms())); /* the outcome is not reported yet */
    list_free(&list);
    room_left(&room, 1);
    assert_true(room_drain(&room, &records, clock_ms()));
    records_destroy(&records);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_share_is_used_up_by_one_account_alone),
        TEST(a_larger_share_ends_the_wait_for_it),
        TEST(an_empty_account_may_exceed_its_share),
        TEST(a_closed_room_ends_the_waits_and_lets_in_what_may_not_wait),
        TEST(a_drain_ends_when_all_have_left_or_its_time_is_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
