/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * queue: passes work between threads. Many threads put in; one takes out everything at once. The taker sleeps either in
 * queue_wait() or in a poll() on fd. Putting in costs a system call only if the taker sleeps. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of a structure that goes into lists and queues. */
struct node {
    struct node *next;
};

struct list {
    struct node *head, *last;
};

static inline void list_put(struct list *list, struct node *node)
{
    node->next = NULL;
    if (list->head == NULL)
        list->head = node;
    else
        list->last->next = node;
    list->last = node;
}

/* The first node; NULL: the list is empty. */
static inline struct node *list_take(struct list *list)
{
    struct node *node = list->head;
    if (node != NULL) {
        list->head = node->next;
        node->next = NULL;
        if (list->head == NULL)
            list->last = NULL;
    }
    return node;
}

void list_join(struct list *list, struct list *more); /* more is empty afterwards */
void list_free(struct list *list);                    /* free()s every node */

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t grown;
    struct list list;
    bool asleep; /* the taker, or about to be */
    bool woken;  /* by queue_wake() */
    int fd;      /* an eventfd, or -1 */
};

void queue_init(struct queue *queue, bool with_fd);
void queue_destroy(struct queue *queue); /* free()s the contents */

void queue_put(struct queue *queue, struct node *node);
void queue_join(struct queue *queue, struct list *list);
void queue_wake(struct queue *queue); /* ends a sleep without putting anything in */

/* Takes everything at once; the list may be empty. */
struct list queue_take(struct queue *queue);

/* Waits for an item, queue_wake() or the time until_ms of the monotonic clock, then takes everything. */
struct list queue_wait(struct queue *queue, int64_t until_ms);

/* For a taker that polls. False: the queue has items. True: fd becomes readable as soon as it has; then call
 * queue_slept(). */
bool queue_sleep(struct queue *queue);
void queue_slept(struct queue *queue);

#endif
