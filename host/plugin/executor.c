/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/executor.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/thread.h"
#include "plugin/blame.h"
#include "plugin/executor_parts.h"

static bool is_closing(const struct executor *executor)
{
    return atomic_load_explicit(&executor->closing, memory_order_acquire);
}

/* ---- the outcome of a message ---- */

static enum reason reason_of(const struct handling *handling)
{
    switch (handling->verdict) {
    case VALAWAI_WRONG:
        return REASON_WRONG;
    case VALAWAI_RETRY:
        return REASON_ATTEMPTS;
    case VALAWAI_FAILED:
        return REASON_FAILED;
    default:
        return REASON_NONE;
    }
}

static void reject(struct executor *executor, struct delivery *delivery, const char *detail, struct list *publications)
{
    static const char *const words[] = {
        [REASON_INVALID] = "the message is wrong",
        [REASON_WRONG] = "the message is wrong",
        [REASON_ATTEMPTS] = "no attempt succeeded",
        [REASON_FAILED] = "the plugin could not handle it",
        [REASON_DELIVERY_LIMIT] = "the delivery limit is reached",
        [REASON_CRASHED] = "it ended the plugin's process at each attempt",
    };
    const char *why = words[delivery->reason];
    const struct executor_events *events = executor->options.events;
    char text[1024];
    /* The task is the component's name without c1_, for readers of the MOV's log who do not know topics. */
    snprintf(text, sizeof text, "Cannot process %s, because the host rejected a message of %s: %s%s%s",
             plugin_of(executor)->name + strlen("c1_"), delivery->from->topic, why, detail != NULL ? ": " : "",
             detail != NULL ? detail : "");
    services_record(executor->options.services, VALAWAI_ERROR, plugin_of(executor)->file, 0,
                    delivery->refused > 0 || executor->options.hides_payloads ? NULL : delivery->body, text);
    delivery->settlement = SETTLE_REJECT;
    if (events->rejected != NULL)
        events->rejected(executor->options.context, delivery, detail, publications);
}

/* True if the message waits for another attempt. */
static bool try_again(struct executor *executor, struct handling *handling)
{
    struct lane *lane = handling->lane;
    struct delivery *delivery = handling->delivery;
    const char *reason = handling->reason;
    if (delivery->attempt >= executor->options.attempts)
        return false;
    /* Several answers at the same time (tickets) count as one attempt of the topic. */
    int64_t now = clock_ms();
    bool held = lane->until > now;
    uint32_t delay = held ? (uint32_t)(lane->until - now) : backoff_next(&lane->backoff);
    log_warning(executor->options.log, plugin_of(executor)->name,
                "%s: attempt %u of %u to handle a message failed%s%s; again in %u ms", lane->topic->name,
                delivery->attempt, executor->options.attempts, reason != NULL ? ": " : "", reason != NULL ? reason : "",
                delay);
    count_add(&lane->counts->retried, 1);
    lane->until = now + delay;
    lane_put_back(lane, delivery);
    if (executor->options.events->postponed != NULL)
        executor->options.events->postponed(executor->options.context, delivery);
    return true;
}

/* Applies the verdict to the message. The handling is empty afterwards. */
static void conclude(struct executor *executor, struct handling *handling)
{
    struct delivery *delivery = handling->delivery;
    struct list publications = {0};
    if ((handling->verdict == VALAWAI_RETRY && try_again(executor, handling)) ||
        (handling_is_returned(handling) && lane_take_back(handling, executor->options.crash_attempts))) {
        handling_clear(handling);
        return;
    }
    if (handling->lane->until == 0)
        backoff_reset(&handling->lane->backoff);
    if (executor->options.events->judged != NULL) {
        executor->options.events->judged(executor->options.context, handling);
        delivery_drop(delivery);
        handling_clear(handling);
        return;
    }
    if (handling->verdict == VALAWAI_DONE)
        list_join(&publications, &handling->publications);
    delivery->settlement = SETTLE_ACKNOWLEDGE;
    if (delivery->reason == REASON_NONE)
        delivery->reason = reason_of(handling);
    if (delivery->reason != REASON_NONE)
        reject(executor, delivery, handling->reason, &publications);
    handling_clear(handling);
    executor->options.events->handled(executor->options.context, delivery, &publications);
}

/* ---- messages that the broker took back ----
 *
 * After a lost connection or a consumer timeout the broker delivers the message again. A second handling would repeat
 * the work, take as long, and be taken back again. So a message that the plugin still has in hand is not passed to it a
 * second time, and the verdict of the first call counts. */

/* True if the message needs no call, because an earlier call has a verdict or will have one. */
static bool was_called(struct executor *executor, struct lane *lane, struct delivery *delivery)
{
    if (!delivery->redelivered) {
        lane_drop_late(lane); /* redelivered messages come first, so other consumers have the rest */
        return false;
    }
    struct handling *handling = lane_find(executor->under_way, lane, delivery);
    if (handling != NULL) {
        delivery_drop(handling->again);
        handling->again = delivery;
        return true;
    }
    handling = lane_take_late(lane, delivery);
    if (handling == NULL)
        return false;
    delivery->attempt = handling->delivery->attempt;
    delivery->reason = handling->delivery->reason;
    delivery_drop(handling->delivery);
    handling->delivery = delivery;
    conclude(executor, handling);
    handling_free(handling);
    return true;
}

/* ---- several threads ---- */

/* Only the executor's thread writes it. */
static void note_in_plugin(const struct handling *handling, int more)
{
    atomic_uint *in_plugin = &handling->delivery->from->in_plugin;
    unsigned now = atomic_load_explicit(in_plugin, memory_order_relaxed);
    atomic_store_explicit(in_plugin, now + (unsigned)more, memory_order_release);
}

static void set_out(struct executor *executor, struct handling *handling)
{
    handling->next = executor->under_way;
    handling->prev = NULL;
    if (executor->under_way != NULL)
        executor->under_way->prev = handling;
    executor->under_way = handling;
    note_in_plugin(handling, 1);
}

static void come_back(struct executor *executor, struct handling *handling)
{
    if (handling->prev != NULL)
        handling->prev->next = handling->next;
    else
        executor->under_way = handling->next;
    if (handling->next != NULL)
        handling->next->prev = handling->prev;
    note_in_plugin(handling, -1);
    if (handling->called)
        histogram_add(&handling->lane->counts->handling, handling->took_us);
}

/* The verdict is set, and only the executor has the handling. True if the handling can be reused. */
static bool answered(struct executor *executor, struct handling *handling)
{
    if (handling->again != NULL) {
        handling->again->attempt = handling->delivery->attempt;
        handling->again->reason = handling->delivery->reason;
        delivery_drop(handling->delivery);
        handling->delivery = handling->again;
        handling->again = NULL;
    }
    if (delivery_is_stale(handling->delivery)) {
        if (handling_is_returned(handling))
            handling_drop(handling);
        else
            list_put(&handling->lane->late, &handling->notice.node);
        return false;
    }
    conclude(executor, handling);
    return true;
}

static void take_notices(struct executor *executor)
{
    struct services *services = executor->options.services;
    struct list notices = services_take_notices(services);
    for (struct node *node; (node = list_take(&notices)) != NULL;) {
        struct notice *notice = (struct notice *)node;
        if (notice->kind == NOTICE_ANSWERED) {
            struct handling *handling = (struct handling *)node;
            come_back(executor, handling);
            if (answered(executor, handling))
                handling_free(handling);
        } else {
            blame_enter(plugin_of(executor)->file, "a callback", "");
            services_notify(services, notice, executor->self);
            blame_leave();
        }
    }
    executor->timer_at = timers_next(services_timers(services));
}

static void see_to_notices(struct executor *executor)
{
    if (services_has_notices(executor->options.services))
        take_notices(executor);
}

static struct handling *handling_for(struct executor *executor, struct lane *lane, struct delivery *delivery)
{
    struct handling *handling = executor->spare != NULL ? executor->spare : memory_new(sizeof *handling);
    executor->spare = NULL;
    handling->notice.kind = NOTICE_ANSWERED; /* a spare is clear, except for the room of its texts */
    handling->services = executor->options.services;
    handling->delivery = delivery;
    handling->lane = lane;
    return handling;
}

static void give_work(struct executor *executor, struct handling *handling)
{
    pthread_mutex_lock(&executor->work_lock);
    list_put(&executor->work, &handling->notice.node);
    pthread_cond_signal(&executor->work_there);
    pthread_mutex_unlock(&executor->work_lock);
}

static void handle(struct executor *executor, struct lane *lane, struct delivery *delivery)
{
    if (delivery_is_stale(delivery)) { /* it comes again, so handling it now would repeat the work */
        delivery_drop(delivery);
        return;
    }
    if (was_called(executor, lane, delivery))
        return;
    struct handling *handling = handling_for(executor, lane, delivery);
    set_out(executor, handling);
    if (executor->callers != NULL) {
        give_work(executor, handling);
        return;
    }
    bool is_answered = judge(&executor->own, handling);
    see_to_notices(executor); /* answered messages first, in the order of answer() */
    if (!is_answered)
        return;
    come_back(executor, handling);
    if (answered(executor, handling))
        executor->spare = handling;
}

static void *caller_run(void *argument)
{
    struct caller *caller = argument;
    struct executor *executor = caller->executor;
    thread_name(plugin_of(executor)->name);
    blame_thread();
    pthread_mutex_lock(&executor->work_lock);
    for (;;) {
        struct handling *handling;
        while (!executor->work_ended && executor->work.head == NULL)
            pthread_cond_wait(&executor->work_there, &executor->work_lock);
        if (executor->work_ended)
            break;
        handling = (struct handling *)list_take(&executor->work);
        pthread_mutex_unlock(&executor->work_lock);
        if (judge(caller, handling))
            services_concluded(handling);
        pthread_mutex_lock(&executor->work_lock);
    }
    pthread_mutex_unlock(&executor->work_lock);
    return NULL;
}

static void start_callers(struct executor *executor)
{
    for (unsigned i = 0; executor->callers != NULL && i < executor->options.threads; i++) {
        executor->callers[i].executor = executor;
        executor->callers[i].thread = thread_start(caller_run, &executor->callers[i]);
    }
}

/* Finishes the calls in hand. Messages that no caller has begun return to the broker. */
static void end_callers(struct executor *executor)
{
    pthread_mutex_lock(&executor->work_lock);
    executor->work_ended = true;
    for (struct node *node; (node = list_take(&executor->work)) != NULL;) {
        come_back(executor, (struct handling *)node);
        handling_drop((struct handling *)node);
    }
    pthread_cond_broadcast(&executor->work_there);
    pthread_mutex_unlock(&executor->work_lock);
    for (unsigned i = 0; executor->callers != NULL && i < executor->options.threads; i++)
        pthread_join(executor->callers[i].thread, NULL);
}

/* ---- the thread ---- */

static struct lane *lane_of(struct executor *executor, const struct delivery *delivery)
{
    const struct valawai_topic *topic = delivery->from->owner;
    return &executor->lanes[topic - plugin_of(executor)->entry.topics];
}

static void ring_timers(struct executor *executor)
{
    struct timers *timers = services_timers(executor->options.services);
    struct timer timer;
    int64_t now = clock_ms(); /* timers that become due meanwhile wait for the next round */
    while (!is_closing(executor) && timers_take(timers, now, &timer)) {
        blame_enter(plugin_of(executor)->file, "a timer", "");
        timer.due(executor->self, timer.context);
        blame_leave();
    }
    executor->timer_at = timers_next(timers);
}

/* Work that does not wait for the ready messages; runs between any two of them. */
static void see_to(struct executor *executor)
{
    see_to_notices(executor);
    if (executor->timer_at != TIMERS_NEVER && clock_ms() >= executor->timer_at)
        ring_timers(executor);
}

/* Lanes that have finished their wait go first, because they have the oldest messages. */
static int64_t handle_waiting(struct executor *executor)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < plugin_of(executor)->topic_count; i++) {
        struct lane *lane = &executor->lanes[i];
        if (lane->until != 0 && clock_ms() >= lane->until) {
            lane->until = 0;
            struct node *node;
            while (lane->until == 0 && !is_closing(executor) && (node = list_take(&lane->waiting)) != NULL)
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
    see_to(executor);
    while (!is_closing(executor) && (node = list_take(&executor->ready)) != NULL) {
        struct lane *lane = lane_of(executor, (struct delivery *)node);
        if (lane->until != 0)
            list_put(&lane->waiting, node);
        else
            handle(executor, lane, (struct delivery *)node);
        see_to(executor);
    }
}

static struct list await(struct executor *executor, int64_t until_ms)
{
    const struct executor_link *link = executor->options.link;
    if (link == NULL)
        return queue_wait(&executor->inbox, until_ms);
    struct pollfd fds[1 + EXECUTOR_LINK_POLLS] = {{.fd = executor->inbox.fd, .events = POLLIN}};
    int64_t due = link->prepare(link->context, fds + 1);
    int64_t left = (due < until_ms ? due : until_ms) - clock_ms();
    bool sleeps = queue_sleep(&executor->inbox);
    poll(fds, 1 + EXECUTOR_LINK_POLLS, !sleeps || left < 0 ? 0 : left < INT32_MAX ? (int)left : -1);
    if ((fds[0].revents & POLLNVAL) != 0)
        log_fatal(DESCRIPTORS_CLOSED);
    if (sleeps)
        queue_slept(&executor->inbox);
    link->attend(link->context);
    return queue_take(&executor->inbox);
}

/* Settles the messages in the plugin's hands while there is time; the rest returns to its queue. */
static void finish(struct executor *executor)
{
    struct services *services = executor->options.services;
    const struct valawai_plugin *entry = &plugin_of(executor)->entry;
    end_callers(executor);
    take_notices(executor);
    while (executor->under_way != NULL && clock_ms() < atomic_load(&executor->close_until)) {
        struct list dropped = await(executor, atomic_load(&executor->close_until));
        deliveries_drop(&dropped);
        take_notices(executor);
    }
    if (executor->under_way == NULL && executor->options.events->drained != NULL)
        executor->options.events->drained(executor->options.context);
    services_end_running(services);
    services_end_queries(services, executor->self);
    blame_enter(plugin_of(executor)->file, "stop", "");
    if (entry->stop != NULL)
        entry->stop(executor->self);
    blame_leave();
    services_end_tickets(services);
    take_notices(executor); /* stop may have waited for the last notices */
    services_flush(services);
}

static void *executor_run(void *argument)
{
    struct executor *executor = argument;
    const struct valawai_plugin *entry = &plugin_of(executor)->entry;
    struct services *services = executor->options.services;

    thread_name(plugin_of(executor)->name);
    blame_thread();
    const struct valawai_host *table = services_give_table(services);
    blame_enter(plugin_of(executor)->file, "start", "");
    if (entry->start != NULL)
        executor->start_answer = entry->start(table, &executor->self);
    blame_leave();
    if (executor->start_answer == 0)
        services_begin_running(services);
    sem_post(&executor->begun);
    if (executor->options.events->started != NULL)
        executor->options.events->started(executor->options.context);
    if (executor->start_answer != 0)
        return NULL;

    start_callers(executor);
    take_notices(executor);
    while (!is_closing(executor)) {
        int64_t next = handle_waiting(executor);
        services_flush(services);
        executor->ready = await(executor, next < executor->timer_at ? next : executor->timer_at);
        handle_ready(executor);
    }
    finish(executor);
    return NULL;
}

struct executor *executor_new(const struct executor_options *options)
{
    struct executor *executor = memory_new(sizeof *executor);
    executor->options = *options;
    executor->own.executor = executor;
    executor->timer_at = TIMERS_NEVER;
    queue_init(&executor->inbox, options->link != NULL);
    services_wake(options->services, &executor->inbox);
    sem_init(&executor->begun, 0, 0);
    pthread_mutex_init(&executor->work_lock, NULL);
    pthread_cond_init(&executor->work_there, NULL);
    if (options->threads > 1)
        executor->callers = memory_new(options->threads * sizeof *executor->callers);
    executor->lanes = memory_new((options->plugin->topic_count + 1) * sizeof *executor->lanes);
    for (size_t i = 0; i < options->plugin->topic_count; i++) {
        const struct valawai_topic *topic = &options->plugin->entry.topics[i];
        const struct contract_topic *declared = contract_find(options->plugin->contract, topic->name);
        executor->lanes[i] = (struct lane){.topic = topic,
                                           .declared = declared,
                                           .counts = services_counts(options->services, declared, false),
                                           .backoff = {.first_ms = 200, .last_ms = 30000}};
    }
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
    if (!executor->known) {
        if (sem_clockwait(&executor->begun, CLOCK_MONOTONIC, &until) != 0)
            return STARTING;
        executor->known = true;
    }
    if (executor->start_answer == 0)
        return STARTED;
    fault_set(fault, "%s: the plugin's start failed: it returned %d", plugin_of(executor)->path,
              executor->start_answer);
    return START_FAILED;
}

int executor_start_answer(const struct executor *executor)
{
    return executor->start_answer;
}

void executor_put(struct executor *executor, struct list *deliveries)
{
    queue_join(&executor->inbox, deliveries);
}

static void watch(struct executor *executor, struct caller *caller, int64_t now)
{
    int64_t since = atomic_load_explicit(&caller->busy_since, memory_order_relaxed);
    if (since == 0 || since == caller->warned_of || now - since < executor->options.slow_ms)
        return;
    caller->warned_of = since;
    log_warning(executor->options.log, plugin_of(executor)->name,
                "%s: a handler has been busy with one message for %lld s", atomic_load(&caller->busy_with),
                (long long)(now - since) / 1000);
}

void executor_tend(struct executor *executor, int64_t now)
{
    int64_t since = 0;
    const char *topic = NULL;
    watch(executor, &executor->own, now);
    for (unsigned i = 0; executor->callers != NULL && i < executor->options.threads; i++)
        watch(executor, &executor->callers[i], now);
    size_t open = services_open(executor->options.services, &since, &topic);
    if (open == 0 || since == executor->open_warned_of || now - since < executor->options.slow_ms)
        return;
    executor->open_warned_of = since;
    log_warning(executor->options.log, plugin_of(executor)->name,
                "%s: a message has waited %lld s for the answer to its ticket; %zu tickets are open", topic,
                (long long)(now - since) / 1000, open);
}

void executor_close(struct executor *executor, int64_t until_ms)
{
    atomic_store(&executor->close_until, until_ms);
    atomic_store(&executor->closing, true);
    if (executor->options.link != NULL)
        executor->options.link->close(executor->options.link->context, until_ms);
    queue_wake(&executor->inbox);
}

/* The earlier of the two; 0 means never. */
static int64_t sooner(int64_t one, struct caller *caller)
{
    int64_t since = atomic_load_explicit(&caller->busy_since, memory_order_relaxed);
    return since != 0 && (one == 0 || since < one) ? since : one;
}

int64_t executor_busy_since(struct executor *executor)
{
    const struct executor_link *link = executor->options.link;
    int64_t since = link != NULL ? link->busy_since(link->context) : sooner(0, &executor->own);
    for (unsigned i = 0; executor->callers != NULL && i < executor->options.threads; i++)
        since = sooner(since, &executor->callers[i]);
    return since;
}

bool executor_join(struct executor *executor, int64_t until_ms)
{
    if (!executor->started_thread)
        return true;
    executor->started_thread = !thread_join(executor->thread, until_ms);
    return !executor->started_thread;
}

void executor_drop(struct executor *executor)
{
    struct list inbox = queue_take(&executor->inbox);
    deliveries_drop(&inbox);
    deliveries_drop(&executor->ready);
    for (size_t i = 0; i < plugin_of(executor)->topic_count; i++) {
        deliveries_drop(&executor->lanes[i].waiting);
        lane_drop_late(&executor->lanes[i]);
    }
}

void executor_free(struct executor *executor)
{
    if (executor == NULL)
        return;
    executor_drop(executor);
    for (struct handling *handling = executor->under_way, *next; handling != NULL; handling = next) {
        next = handling->next;
        handling_drop(handling);
    }
    handling_free(executor->spare);
    free(executor->callers);
    free(executor->lanes);
    services_wake(executor->options.services, NULL);
    sem_destroy(&executor->begun);
    pthread_cond_destroy(&executor->work_there);
    pthread_mutex_destroy(&executor->work_lock);
    queue_destroy(&executor->inbox);
    free(executor);
}
