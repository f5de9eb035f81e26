/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

void list_join(struct list *list, struct list *more)
{
    if (more->head == NULL)
        return;
    if (list->head == NULL)
        list->head = more->head;
    else
        list->last->next = more->head;
    list->last = more->last;
    *more = (struct list){0};
}

void list_free(struct list *list)
{
    for (struct node *node; (node = list_take(list)) != NULL;)
        free(node);
}

void queue_init(struct queue *queue, bool with_fd)
{
    *queue = (struct queue){.fd = -1};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->grown, &attributes);
    pthread_condattr_destroy(&attributes);
    if (with_fd) {
        queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (queue->fd < 0)
            log_fatal("cannot open a descriptor: %s; see ulimit -n", strerror(errno));
    }
}

void queue_destroy(struct queue *queue)
{
    list_free(&queue->list);
    pthread_cond_destroy(&queue->grown);
    pthread_mutex_destroy(&queue->lock);
    if (queue->fd >= 0)
        close(queue->fd);
}

static void wake_fd(int fd)
{
    if (eventfd_write(fd, 1) != 0 && errno == EBADF)
        log_fatal(DESCRIPTORS_CLOSED);
}

/* The caller holds the lock. */
static void wake_sleeper(struct queue *queue)
{
    if (!queue->asleep)
        return;
    queue->asleep = false;
    if (queue->fd >= 0)
        wake_fd(queue->fd);
    else
        pthread_cond_signal(&queue->grown);
}

void queue_join(struct queue *queue, struct list *list)
{
    if (list->head == NULL)
        return;
    pthread_mutex_lock(&queue->lock);
    list_join(&queue->list, list);
    wake_sleeper(queue);
    pthread_mutex_unlock(&queue->lock);
}

void queue_put(struct queue *queue, struct node *node)
{
    struct list list = {0};
    list_put(&list, node);
    queue_join(queue, &list);
}

void queue_wake(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->woken = true;
    wake_sleeper(queue);
    pthread_mutex_unlock(&queue->lock);
}

struct list queue_take(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct list taken = queue->list;
    queue->list = (struct list){0};
    queue->woken = false;
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

struct list queue_wait(struct queue *queue, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&queue->lock);
    while (queue->list.head == NULL && !queue->woken) {
        queue->asleep = true;
        int late = until_ms == INT64_MAX ? pthread_cond_wait(&queue->grown, &queue->lock)
                                         : pthread_cond_timedwait(&queue->grown, &queue->lock, &until);
        if (late != 0)
            break;
    }
    queue->asleep = false;
    struct list taken = queue->list;
    queue->list = (struct list){0};
    queue->woken = false;
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

bool queue_sleep(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool nothing = queue->list.head == NULL && !queue->woken;
    queue->asleep = nothing;
    pthread_mutex_unlock(&queue->lock);
    return nothing;
}

void queue_slept(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool signalled = !queue->asleep;
    queue->asleep = false;
    pthread_mutex_unlock(&queue->lock);
    eventfd_t count;
    if (signalled)
        eventfd_read(queue->fd, &count);
}
