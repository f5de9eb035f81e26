/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "executor.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backoff.h"
#include "json.h"
#include "memory.h"
#include "thread.h"

/* What a handler said of a message. */
struct verdict {
    struct delivery *delivery; /* NULL: none */
    int value;
    struct list publications;
    char reason[sizeof((struct handling){0}).reason];
};

/* The messages of one topic. While one of them waits for another try, those behind it wait too: the order is kept. */
struct lane {
    const struct valawai_topic *topic;
    const struct contract_topic *declared;
    struct list waiting;
    int64_t until; /* nothing of it is handled before; 0: not held up */
    struct backoff backoff;
    struct verdict late; /* of a message that the broker took back while its handler was at work */
};

struct executor {
    struct executor_options options;
    struct queue inbox;
    struct list ready; /* taken from the inbox, in the order of arrival */
    struct lane *lanes;
    void *self; /* the plugin's */

    pthread_t thread;
    bool started_thread;
    sem_t begun;             /* start has been called … */
    atomic_int start_answer; /* … and this is what it said */
    atomic_bool closing;

    /* For whoever looks from outside whether a call takes long: */
    atomic_int_fast64_t busy_since;
    _Atomic(const char *) busy_with;
    int64_t warned_of;
};

/* ---- one message ---- */

static int call(struct executor *executor, struct delivery *delivery, struct handling *handling)
{
    const struct valawai_topic *topic = delivery->from->owner;
    struct valawai_message message = {
        .size = sizeof message,
        .flags = delivery->redelivered ? VALAWAI_REDELIVERED : 0,
        .topic = topic->name,
        .body = delivery->body,
        .len = delivery->len,
        .attempt = ++delivery->attempt,
    };
    atomic_store(&executor->busy_with, topic->name);
    atomic_store(&executor->busy_since, clock_ms());
    atomic_store(&delivery->from->busy, true);
    int verdict = topic->handle(executor->self, &message);
    atomic_store(&delivery->from->busy, false);
    atomic_store(&executor->busy_since, 0);
    if (verdict > VALAWAI_DONE || verdict < VALAWAI_FAILED) {
        snprintf(handling->reason, sizeof handling->reason, "the handler returned %d, which is no verdict", verdict);
        verdict = VALAWAI_FAILED;
    }
    return verdict;
}

/* False: the message is not as the AsyncAPI document declares it, and the handler is not to see it. */
static bool as_declared(struct executor *executor, const struct lane *lane, struct handling *handling)
{
    struct services *services = executor->options.services;
    char reason[384];
    if (services->validate == VALIDATE_OFF ||
        topic_check(lane->declared, CONTRACT_SUBSCRIBE, services_json(handling), reason, sizeof reason))
        return true;
    if (services->validate == VALIDATE_WARN) {
        log_warning(executor->options.log, services->plugin->name,
                    "%s: a message is not as the AsyncAPI document declares it: %s", lane->topic->name, reason);
        return true;
    }
    snprintf(handling->reason, sizeof handling->reason, "not as the AsyncAPI document declares it: %s", reason);
    return false;
}

static int judge(struct executor *executor, const struct lane *lane, struct delivery *delivery,
                 struct handling *handling)
{
    struct fault fault;
    *handling = (struct handling){0};
    if (delivery->refused > 0) {
        snprintf(handling->reason, sizeof handling->reason, "%llu bytes are more than message_max_bytes allows",
                 (unsigned long long)delivery->refused);
        return VALAWAI_WRONG;
    }
    if (!json_is_object(delivery->body, delivery->len, &fault)) {
        snprintf(handling->reason, sizeof handling->reason, "%s", fault.text);
        return VALAWAI_WRONG;
    }
    services_begin(executor->options.services, handling, delivery);
    int verdict = as_declared(executor, lane, handling) ? call(executor, delivery, handling) : VALAWAI_WRONG;
    services_end(handling);
    return verdict;
}

static void reject(struct executor *executor, struct delivery *delivery, const char *why, const char *detail)
{
    char text[1024];
    snprintf(text, sizeof text, "rejected a message of %s: %s%s%s", delivery->from->topic, why,
             detail[0] != '\0' ? ": " : "", detail);
    services_record(executor->options.services, VALAWAI_ERROR, executor->options.plugin->file, 0,
                    delivery->refused > 0 ? NULL : delivery->body, text);
    delivery->settlement = SETTLE_REJECT;
}

/* True if the message waits for another try. */
static bool try_again(struct executor *executor, struct lane *lane, struct delivery *delivery, const char *reason)
{
    if (delivery->attempt >= executor->options.attempts)
        return false;
    uint32_t delay = backoff_next(&lane->backoff);
    log_warning(executor->options.log, executor->options.plugin->name,
                "%s: attempt %u of %u to handle a message failed%s%s; again in %u ms", lane->topic->name,
                delivery->attempt, executor->options.attempts, reason[0] != '\0' ? ": " : "", reason, delay);
    lane->until = clock_ms() + delay;
    list_put_first(&lane->waiting, &delivery->node);
    return true;
}

static void verdict_drop(struct verdict *verdict)
{
    list_free(&verdict->publications);
    free(verdict->delivery);
    *verdict = (struct verdict){0};
}

/* The message was taken back while it was handled, and comes again. Handled again it would take as long again, and be
 * taken back again; so what was said of it the first time is kept for it. */
static bool keep_late(struct lane *lane, struct verdict *verdict)
{
    if (!delivery_is_stale(verdict->delivery))
        return false;
    verdict_drop(&lane->late);
    lane->late = *verdict;
    return true;
}

static bool take_late(struct lane *lane, struct verdict *verdict)
{
    struct delivery *late = lane->late.delivery, *delivery = verdict->delivery;
    if (late == NULL)
        return false;
    bool same =
        delivery->redelivered && delivery->len == late->len && memcmp(delivery->body, late->body, late->len) == 0;
    if (same) {
        *verdict = lane->late;
        verdict->delivery = delivery;
        lane->late = (struct verdict){0};
        free(late);
    } else {
        verdict_drop(&lane->late); /* redelivered messages come first and in order: this one went elsewhere */
    }
    return same;
}

static void conclude(struct executor *executor, struct lane *lane, struct verdict *verdict)
{
    struct delivery *delivery = verdict->delivery;
    if (verdict->value != VALAWAI_DONE)
        list_free(&verdict->publications);
    if (verdict->value == VALAWAI_RETRY && try_again(executor, lane, delivery, verdict->reason))
        return;
    backoff_reset(&lane->backoff);
    delivery->settlement = SETTLE_ACKNOWLEDGE;
    if (verdict->value == VALAWAI_WRONG)
        reject(executor, delivery, "the message is wrong", verdict->reason);
    else if (verdict->value == VALAWAI_RETRY)
        reject(executor, delivery, "no attempt succeeded", verdict->reason);
    else if (verdict->value == VALAWAI_FAILED)
        reject(executor, delivery, "the plugin could not handle it", verdict->reason);
    executor->options.events->handled(executor->options.context, delivery, &verdict->publications);
}

static void handle(struct executor *executor, struct lane *lane, struct delivery *delivery)
{
    struct verdict verdict = {.delivery = delivery};
    if (delivery_is_stale(delivery)) { /* it comes again: handled now, it would be handled twice */
        free(delivery);
        return;
    }
    if (!take_late(lane, &verdict)) {
        struct handling handling;
        verdict.value = judge(executor, lane, delivery, &handling);
        verdict.publications = handling.publications;
        memcpy(verdict.reason, handling.reason, sizeof verdict.reason);
        if (keep_late(lane, &verdict))
            return;
    }
    conclude(executor, lane, &verdict);
}

/* ---- the thread ---- */

static struct lane *lane_of(struct executor *executor, const struct delivery *delivery)
{
    const struct valawai_topic *topic = delivery->from->owner;
    return &executor->lanes[topic - executor->options.plugin->entry.topics];
}

/* Lanes whose wait is over go first: theirs are the oldest messages. */
static int64_t handle_waiting(struct executor *executor)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < executor->options.plugin->topic_count; i++) {
        struct lane *lane = &executor->lanes[i];
        if (lane->until != 0 && clock_ms() >= lane->until) {
            lane->until = 0;
            struct node *node;
            while (lane->until == 0 && !atomic_load(&executor->closing) && (node = list_take(&lane->waiting)) != NULL)
                handle(executor, lane, (struct delivery *)node);
        }
        if (lane->until != 0 && lane->until < next)
            next = lane->until;
    }
    return next;
}

static void handle_ready(struct executor *executor)
{
    struct node *node;
    while (!atomic_load(&executor->closing) && (node = list_take(&executor->ready)) != NULL) {
        struct lane *lane = lane_of(executor, (struct delivery *)node);
        if (lane->until != 0)
            list_put(&lane->waiting, node);
        else
            handle(executor, lane, (struct delivery *)node);
    }
}

static void *executor_run(void *argument)
{
    struct executor *executor = argument;
    const struct valawai_plugin *entry = &executor->options.plugin->entry;
    struct services *services = executor->options.services;

    if (entry->start != NULL)
        executor->start_answer = entry->start(&services->table, &executor->self);
    atomic_store(&services->running, executor->start_answer == 0);
    sem_post(&executor->begun);
    if (executor->start_answer != 0)
        return NULL;

    while (!atomic_load(&executor->closing)) {
        int64_t next = handle_waiting(executor);
        services_flush(services);
        executor->ready = queue_wait(&executor->inbox, next);
        handle_ready(executor);
    }
    atomic_store(&services->running, false);
    if (entry->stop != NULL)
        entry->stop(executor->self);
    return NULL;
}

struct executor *executor_new(const struct executor_options *options)
{
    struct executor *executor = memory_new(sizeof *executor);
    executor->options = *options;
    queue_init(&executor->inbox, false);
    sem_init(&executor->begun, 0, 0);
    executor->lanes = memory_new((options->plugin->topic_count + 1) * sizeof *executor->lanes);
    for (size_t i = 0; i < options->plugin->topic_count; i++)
        executor->lanes[i] =
            (struct lane){.topic = &options->plugin->entry.topics[i],
                          .declared = contract_find(options->plugin->contract, options->plugin->entry.topics[i].name),
                          .backoff = {.first_ms = 200, .last_ms = 30000}};
    return executor;
}

void executor_start(struct executor *executor)
{
    executor->thread = thread_start(executor_run, executor);
    executor->started_thread = true;
}

enum started executor_started(struct executor *executor, int wait_ms, struct fault *fault)
{
    int64_t until_ms = clock_ms() + wait_ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    if (sem_clockwait(&executor->begun, CLOCK_MONOTONIC, &until) != 0)
        return STARTING;
    if (executor->start_answer == 0)
        return STARTED;
    fault_set(fault, "%s: the plugin's start failed: it returned %d", executor->options.plugin->path,
              executor->start_answer);
    return START_FAILED;
}

void executor_put(struct executor *executor, struct list *deliveries)
{
    queue_join(&executor->inbox, deliveries);
}

void executor_tend(struct executor *executor, int64_t now)
{
    int64_t since = atomic_load(&executor->busy_since);
    if (since == 0 || since == executor->warned_of || now - since < executor->options.slow_ms)
        return;
    executor->warned_of = since;
    log_warning(executor->options.log, executor->options.plugin->name,
                "%s: a handler has been busy with one message for %lld s", atomic_load(&executor->busy_with),
                (long long)(now - since) / 1000);
}

void executor_close(struct executor *executor)
{
    atomic_store(&executor->closing, true);
    queue_wake(&executor->inbox);
}

bool executor_join(struct executor *executor, int64_t until_ms)
{
    if (!executor->started_thread)
        return true;
    executor->started_thread = !thread_join(executor->thread, until_ms);
    return !executor->started_thread;
}

void executor_free(struct executor *executor)
{
    if (executor == NULL)
        return;
    list_free(&executor->ready);
    for (size_t i = 0; i < executor->options.plugin->topic_count; i++) {
        list_free(&executor->lanes[i].waiting);
        verdict_drop(&executor->lanes[i].late);
    }
    free(executor->lanes);
    sem_destroy(&executor->begun);
    queue_destroy(&executor->inbox);
    free(executor);
}
