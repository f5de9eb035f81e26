/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/queue.h"

struct item {
    struct node node;
    unsigned from, number;
};

static struct node *item(unsigned from, unsigned number)
{
    struct item *made = calloc(1, sizeof *made);
    made->from = from;
    made->number = number;
    return &made->node;
}

static unsigned take_number(struct list *list)
{
    struct item *taken = (struct item *)list_take(list);
    assert_non_null(taken);
    unsigned number = taken->number;
    free(taken);
    return number;
}

static void lists(void **state)
{
    UNUSED(state);
    struct list list = {0}, more = {0};
    assert_null(list_take(&list));
    list_join(&list, &more);
    assert_null(list.head);
    list_put(&list, item(0, 1));
    list_put(&list, item(0, 2));
    list_put(&list, item(0, 3));
    list_put(&more, item(0, 4));
    list_put(&more, item(0, 5));
    list_join(&list, &more);
    assert_null(more.head);
    list_put(&more, item(0, 6)); /* the joined one can be used again */
    list_join(&list, &more);
    for (unsigned i = 1; i <= 6; i++)
        assert_int_equal(take_number(&list), i);
    assert_null(list_take(&list));
    assert_null(list.last);
    list_put(&list, item(0, 7)); /* … and the emptied one */
    assert_int_equal(take_number(&list), 7);

    struct list empty = {0};
    list_put(&more, item(0, 8));
    list_join(&empty, &more);
    assert_int_equal(take_number(&empty), 8);
    list_put(&list, item(0, 9));
    list_put(&list, item(0, 10));
    list_free(&list);
    assert_null(list.head);
    list_free(&list);
}

static void taken_at_once_and_in_order(void **state)
{
    UNUSED(state);
    struct queue queue;
    struct list batch = {0};
    queue_init(&queue, false);
    struct list taken = queue_take(&queue);
    assert_null(taken.head);
    queue_join(&queue, &batch); /* nothing */
    queue_put(&queue, item(0, 1));
    list_put(&batch, item(0, 2));
    list_put(&batch, item(0, 3));
    queue_join(&queue, &batch);
    assert_null(batch.head);
    queue_put(&queue, item(0, 4));
    taken = queue_take(&queue);
    for (unsigned i = 1; i <= 4; i++)
        assert_int_equal(take_number(&taken), i);
    assert_null(taken.head);
    queue_put(&queue, item(0, 5));
    queue_destroy(&queue); /* with what is in it */
}

static void a_wait_ends_with_its_time(void **state)
{
    UNUSED(state);
    struct queue queue;
    queue_init(&queue, false);
    int64_t before = clock_ms();
    struct list taken = queue_wait(&queue, before + 50);
    assert_null(taken.head);
    assert_true(clock_ms() >= before + 49);
    taken = queue_wait(&queue, before); /* a past time */
    assert_null(taken.head);
    queue_put(&queue, item(0, 1));
    taken = queue_wait(&queue, 0); /* items are taken anyway */
    assert_int_equal(take_number(&taken), 1);
    queue_destroy(&queue);
}

static void a_wake_is_not_lost(void **state)
{
    UNUSED(state);
    struct queue queue;
    queue_init(&queue, false);
    queue_wake(&queue); /* before a sleep */
    struct list taken = queue_wait(&queue, INT64_MAX);
    assert_null(taken.head);
    int64_t before = clock_ms();
    taken = queue_wait(&queue, before + 30); /* it counts once */
    assert_null(taken.head);
    assert_true(clock_ms() >= before + 29);
    queue_destroy(&queue);
}

static void polling(void **state)
{
    UNUSED(state);
    struct queue queue;
    queue_init(&queue, true);
    struct pollfd fd = {.fd = queue.fd, .events = POLLIN};
    assert_true(queue.fd >= 0);

    assert_true(queue_sleep(&queue));
    assert_int_equal(poll(&fd, 1, 0), 0);
    queue_put(&queue, item(0, 1));
    queue_put(&queue, item(0, 2));
    assert_int_equal(poll(&fd, 1, 0), 1);
    queue_slept(&queue);
    assert_int_equal(poll(&fd, 1, 0), 0); /* the signal is used up */

    assert_false(queue_sleep(&queue)); /* something is there: no sleep, no queue_slept() */
    struct list taken = queue_take(&queue);
    assert_int_equal(take_number(&taken), 1);
    assert_int_equal(take_number(&taken), 2);

    queue_put(&queue, item(0, 3)); /* no sleeper, no signal */
    assert_int_equal(poll(&fd, 1, 0), 0);
    taken = queue_take(&queue);
    list_free(&taken);

    assert_true(queue_sleep(&queue)); /* slept for another reason */
    queue_slept(&queue);
    assert_int_equal(poll(&fd, 1, 0), 0);

    queue_wake(&queue);
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_false(queue_sleep(&queue)); /* a wake counts as an item */
    taken = queue_take(&queue);
    assert_null(taken.head);
    assert_true(queue_sleep(&queue));
    queue_wake(&queue);
    assert_int_equal(poll(&fd, 1, 0), 1);
    queue_slept(&queue);
    assert_int_equal(poll(&fd, 1, 0), 0);
    queue_destroy(&queue);
    assert_int_equal(poll(&fd, 1, 0), 1); /* and the descriptor is closed */
    assert_int_equal(fd.revents, POLLNVAL);
}

/* ---- threads: nothing is lost, nothing is twice, each thread's order is kept ---- */

#define WRITERS 3
#define EACH 5000

static struct queue shared;

static void *write_items(void *argument)
{
    unsigned from = *(unsigned *)argument;
    for (unsigned i = 0; i < EACH;) {
        struct list batch = {0};
        for (unsigned n = 0; n <= i % 3 && i < EACH; n++)
            list_put(&batch, item(from, i++));
        queue_join(&shared, &batch);
        if (i % 500 == 0)
            usleep(500); /* so that the taker gets to sleep */
        if (i % 7 == 0)
            queue_wake(&shared);
    }
    return NULL;
}

static struct list wait_with_condition(void)
{
    return queue_wait(&shared, clock_ms() + 20000);
}

static struct list wait_with_poll(void)
{
    struct pollfd fd = {.fd = shared.fd, .events = POLLIN};
    if (queue_sleep(&shared)) {
        poll(&fd, 1, 20000);
        queue_slept(&shared);
    }
    return queue_take(&shared);
}

static void run_threads(bool with_fd, struct list (*wait)(void))
{
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS], next[WRITERS] = {0}, count = 0, empty = 0;
    bool in_order = true;
    queue_init(&shared, with_fd);
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_items, &numbers[i]), 0);
    }
    int64_t until = clock_ms() + 60000;
    while (count < WRITERS * EACH && clock_ms() < until) {
        struct list taken = wait();
        empty += taken.head == NULL;
        for (struct node *node; (node = list_take(&taken)) != NULL; free(node), count++) {
            struct item *got = (struct item *)node;
            in_order = in_order && got->number == next[got->from];
            next[got->from]++;
        }
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count, WRITERS * EACH);
    assert_true(in_order);
    UNUSED(empty); /* a wake may bring nothing */
    queue_destroy(&shared);
}

static void threads_with_a_condition(void **state)
{
    UNUSED(state);
    run_threads(false, wait_with_condition);
}

static void threads_with_a_descriptor(void **state)
{
    UNUSED(state);
    run_threads(true, wait_with_poll);
}

/* ---- a sleeper is woken at once, not at the end of its time ---- */

static int64_t slept_ms;
static struct list (*sleeper_waits)(void);

static void *sleep_once(void *argument)
{
    UNUSED(argument);
    int64_t before = clock_ms();
    struct list taken = sleeper_waits();
    slept_ms = clock_ms() - before;
    list_free(&taken);
    return NULL;
}

static void run_sleeper(bool with_fd, struct list (*wait)(void), bool by_wake)
{
    pthread_t thread;
    queue_init(&shared, with_fd);
    sleeper_waits = wait;
    assert_int_equal(pthread_create(&thread, NULL, sleep_once, NULL), 0);
    for (bool asleep = false; !asleep; usleep(100)) {
        pthread_mutex_lock(&shared.lock);
        asleep = shared.asleep;
        pthread_mutex_unlock(&shared.lock);
    }
    if (by_wake)
        queue_wake(&shared);
    else
        queue_put(&shared, item(0, 0));
    pthread_join(thread, NULL);
    assert_true(slept_ms < 10000);
    queue_destroy(&shared);
}

static void a_sleeper_is_woken(void **state)
{
    UNUSED(state);
    run_sleeper(false, wait_with_condition, false);
    run_sleeper(false, wait_with_condition, true);
    run_sleeper(true, wait_with_poll, false);
    run_sleeper(true, wait_with_poll, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(taken_at_once_and_in_order),
        cmocka_unit_test(a_wait_ends_with_its_time),
        cmocka_unit_test(a_wake_is_not_lost),
        cmocka_unit_test(polling),
        cmocka_unit_test(threads_with_a_condition),
        cmocka_unit_test(threads_with_a_descriptor),
        cmocka_unit_test(a_sleeper_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
