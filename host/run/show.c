/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "message/counts.h"
#include "message/dead.h"
#include "plugin/worker.h"
#include "run/series.h"

#define POINTS_OF_QUANTILES 4 /* points of a series between two sums for quantiles: a minute … */
#define SUMS_KEPT 15          /* … and the number of sums */

_Static_assert(REASON_COUNT - 1 == VIEW_REASONS, "the view names each reason but REASON_NONE");

/* The state of a component that is not in a counter. */
struct noted {
    bool started, registered, healthy, over_limit, stopping;
    char reason[VIEW_TEXT_MAX];
    char id[32];
    int64_t since;
};

struct noted_host {
    bool receiving, publishing, stopping, healthy;
    uint64_t reconnects;
    char broker_version[VIEW_VERSION_MAX];
    enum view_mov mov;
};

/* One component, from its coming to its going. */
struct shown {
    struct shown *next_shown;
    const struct seat *seat;           /* NULL: a plugin that cannot run … */
    const struct component *component; /* … and is no component */
    char *name, *file, *version;
    struct noted now;              /* the control thread's, for the next lines */
    struct noted noted;            /* under the lock, and … */
    struct view_error fresh_error; /* … of level ERROR: the newest since the last look */

    /* Of http's thread, between two requests: */
    struct series settled;
    struct histogram_sums sums[SUMS_KEPT]; /* of its handlers, a minute apart: a ring */
    size_t sum_count, points;
    struct view_error last_error;
};

struct totals {
    unsigned long long received, acknowledged, kept, rejected, returned, retried, published, confirmed;
};

struct show {
    const struct settings *settings;
    const struct ring *ring;
    const struct publisher *publisher;
    struct log *log;
    int64_t started_s, started_ms;
    char abi[32];
    struct text broker; /* its addresses */

    pthread_mutex_t list_lock; /* of the list of components, while a view of them is in use; taken before the other */
    struct shown *first;

    pthread_mutex_t lock; /* held while the states are copied */
    struct noted_host host;
    struct view_error fresh_error; /* of the host itself */

    struct view_error last_error; /* http's thread's */
    struct totals gone;           /* of components that were removed; under list_lock */
};

/* ---- errors ---- */

/* [any thread, under the log's lock] */
static void on_error(void *context, enum log_level level, const char *name, const char *said, size_t len)
{
    struct show *show = context;
    struct view_error error = {.time = clock_date_s()}, *place = &show->fresh_error;
    (void)level;
    memcpy(error.text, said, text_cut(said, len, sizeof error.text - 1));
    pthread_mutex_lock(&show->lock);
    for (struct shown *shown = show->first; shown != NULL; shown = shown->next_shown)
        if (strcmp(name, shown->name) == 0)
            place = &shown->fresh_error;
    *place = error;
    pthread_mutex_unlock(&show->lock);
}

/* [locked] */
static void take_error(struct view_error *fresh, struct view_error *last)
{
    if (fresh->time != 0)
        *last = *fresh;
    fresh->time = 0;
}

/* ---- components come and go ---- */

static struct shown *add(struct show *show, const char *name, const char *file, const char *version)
{
    struct shown *shown = memory_new(sizeof *shown), **place = &show->first;
    shown->name = memory_text(name);
    shown->file = memory_text(file);
    shown->version = memory_text(version);
    snprintf(shown->noted.reason, sizeof shown->noted.reason, "the host is starting");
    pthread_mutex_lock(&show->list_lock);
    pthread_mutex_lock(&show->lock);
    while (*place != NULL)
        place = &(*place)->next_shown;
    *place = shown;
    pthread_mutex_unlock(&show->lock);
    pthread_mutex_unlock(&show->list_lock);
    return shown;
}

struct shown *show_add(struct show *show, const struct seat *seat, const struct component *component)
{
    struct shown *shown = add(show, seat->plugin->name, seat->plugin->file, seat->plugin->entry.version);
    pthread_mutex_lock(&show->list_lock);
    shown->seat = seat;
    shown->component = component;
    pthread_mutex_unlock(&show->list_lock);
    return shown;
}

struct shown *show_add_refused(struct show *show, const char *path, const char *why)
{
    const char *slash = strrchr(path, '/'), *file = slash == NULL ? path : slash + 1;
    struct shown *shown = add(show, file, file, "");
    snprintf(shown->now.reason, sizeof shown->now.reason, "cannot run: %s", why);
    shown->now.since = clock_date_s();
    return shown;
}

void show_version(struct show *show, struct shown *shown, const char *version)
{
    pthread_mutex_lock(&show->list_lock);
    free(shown->version);
    shown->version = memory_text(version);
    pthread_mutex_unlock(&show->list_lock);
}

/* ---- the control thread ---- */

/* A topic of the component that is not consumed; NULL: all are. */
static const char *not_consumed(const struct seat *seat)
{
    for (size_t i = 0; i < seat->route_count; i++)
        if (!atomic_load(&seat->routes[i].subscription.up))
            return seat->routes[i].subscription.topic;
    return NULL;
}

/* The first reason why the component does not work. */
static void find_reason(const struct show *show, const struct show_state *state, const struct seat *seat,
                        const struct registration_look *look, int64_t busy_ms, struct noted *noted)
{
    size_t size = sizeof noted->reason;
    const char *topic = NULL;
    noted->over_limit = busy_ms >= show->settings->host.slow_seconds * 1000;
    if (state->stopping)
        snprintf(noted->reason, size, "the host is stopping");
    else if (!seat->started)
        snprintf(noted->reason, size, "the plugin's start has not returned");
    else if (seat->waits != NULL)
        snprintf(noted->reason, size, "%s", seat->waits);
    else if (seat->plugin->worker != NULL && !worker_is_up(seat->plugin->worker))
        snprintf(noted->reason, size, "the plugin's process is down");
    else if (!state->receiving || !state->publishing)
        snprintf(noted->reason, size, "no %s connection to the broker", state->receiving ? "publishing" : "receiving");
    else if ((topic = not_consumed(seat)) != NULL)
        snprintf(noted->reason, size, "%s is not consumed", topic);
    else if (look->why != NULL)
        snprintf(noted->reason, size, "%s", look->why);
    else if (noted->over_limit)
        snprintf(noted->reason, size, "a handler has been busy with one message for more than %ld s",
                 show->settings->host.slow_seconds);
    else
        noted->reason[0] = '\0';
}

/* One record for each change of a component's state. While it is not healthy, another reason is one for the file. */
static void log_change(const struct show *show, const char *component, const struct noted *was,
                       const struct noted *noted)
{
    bool began = was->since == 0;
    if (noted->healthy && !was->healthy)
        log_info(show->log, component, "healthy: registered and consuming");
    else if (was->healthy && !noted->healthy)
        HOST_LOG(show->log, noted->stopping ? LOG_INFO : LOG_WARNING, component, "unhealthy: %s", noted->reason);
    else if (!noted->healthy && (began || strcmp(was->reason, noted->reason) != 0))
        log_debug(show->log, component, "%s unhealthy: %s", began ? "begins" : "still", noted->reason);
}

static void note_component(const struct show *show, const struct show_state *state, struct shown *shown, int64_t now)
{
    const struct seat *seat = shown->seat;
    struct registration_look look = registration_look(state->registration, shown->component);
    struct noted *noted = &shown->now, was = *noted;
    int64_t since = executor_busy_since(seat->executor);
    find_reason(show, state, seat, &look, since == 0 ? -1 : now - since, noted);
    noted->started = seat->started;
    noted->registered = look.registered;
    noted->healthy = noted->reason[0] == '\0';
    noted->stopping = state->stopping;
    log_change(show, seat->plugin->name, &was, noted);
    if (noted->since == 0 || noted->healthy != was.healthy)
        noted->since = clock_date_s();
    snprintf(noted->id, sizeof noted->id, "%s", look.id == NULL ? "" : look.id);
}

void show_note(struct show *show, const struct show_state *state, int64_t now)
{
    bool there = false, known = registration_knows_mov(state->registration, &there);
    struct noted_host host = {
        .receiving = state->receiving,
        .publishing = state->publishing,
        .stopping = state->stopping,
        .healthy = state->receiving && state->publishing && !state->stopping,
        .reconnects = state->reconnects,
        .mov = !known  ? VIEW_MOV_UNKNOWN
               : there ? VIEW_MOV_PRESENT
                       : VIEW_MOV_MISSING,
    };
    snprintf(host.broker_version, sizeof host.broker_version, "%s", state->broker_version);
    for (struct shown *shown = show->first; shown != NULL; shown = shown->next_shown) {
        if (shown->seat != NULL)
            note_component(show, state, shown, now);
        host.healthy = host.healthy && shown->now.healthy;
    }
    pthread_mutex_lock(&show->lock);
    for (struct shown *shown = show->first; shown != NULL; shown = shown->next_shown)
        shown->noted = shown->now;
    show->host = host;
    pthread_mutex_unlock(&show->lock);
}

/* ---- http's thread ---- */

static uint64_t settled_of(const struct counts *counts)
{
    return count_get(&counts->acknowledged) + count_get(&counts->kept) + count_get(&counts->rejected);
}

static void look_at_counts(struct view_topic *view, const struct counts *counts)
{
    /* The settled count is read first. Its messages were received before, so the number in hand is never negative. */
    view->acknowledged = count_get(&counts->acknowledged);
    view->kept = count_get(&counts->kept);
    view->rejected = count_get(&counts->rejected);
    view->returned = count_get(&counts->returned);
    for (size_t i = 0; i < VIEW_REASONS; i++)
        view->dead[i] = count_get(&counts->dead[i + 1]);
    view->settling = histogram_read(&counts->settling);
    view->retried = count_get(&counts->retried);
    view->handling = histogram_read(&counts->handling);
    view->confirmed = count_get(&counts->confirmed);
    view->refused = count_get(&counts->refused);
    view->withdrawn = count_get(&counts->withdrawn);
    atomic_thread_fence(memory_order_acquire);
    view->received = count_get(&counts->received);
    view->published = count_get(&counts->published);
    uint64_t settled = view->acknowledged + view->kept + view->rejected + view->returned;
    view->in_hand = view->received > settled ? view->received - settled : 0;
}

/* NULL: the plugin has no handler for it. */
static const struct route *route_of(const struct seat *seat, const char *topic)
{
    for (size_t i = 0; i < seat->route_count; i++)
        if (strcmp(seat->routes[i].subscription.topic, topic) == 0)
            return &seat->routes[i];
    return NULL;
}

static void look_at_topic(const struct seat *seat, struct view_topic *view, const struct contract_topic *topic,
                          bool of_mov)
{
    const struct route *route = route_of(seat, topic_name(topic));
    view->name = topic_name(topic);
    view->subscribe = !of_mov && route != NULL;
    view->publish = of_mov || topic_has(topic, CONTRACT_PUBLISH);
    view->consuming = route != NULL && atomic_load(&route->subscription.up);
    look_at_counts(view, services_counts(seat->services, topic, of_mov));
}

/* The topics that it consumes or may publish on, and those queues of the MOV on which it has published. */
static void look_at_topics(const struct show *show, const struct seat *seat, struct view_component *view)
{
    const struct contract *contracts[] = {seat->plugin->contract, show->ring->mov};
    view->topics =
        memory_new((contract_topics(contracts[0]) + contract_topics(contracts[1]) + 1) * sizeof *view->topics);
    for (int c = 0; c < 2; c++) {
        for (size_t t = 0; t < contract_topics(contracts[c]); t++) {
            struct view_topic *topic = &view->topics[view->topic_count];
            look_at_topic(seat, topic, contract_topic(contracts[c], t), c == 1);
            if (topic->subscribe || (topic->publish && (c == 0 || topic->published > 0)))
                view->topic_count++;
            else
                *topic = (struct view_topic){0};
        }
    }
}

/* Of all its handlers, since the plugin started. */
static struct histogram_sums handling_of(const struct seat *seat)
{
    struct histogram_sums sums = {0};
    for (size_t i = 0; i < seat->route_count; i++) {
        struct histogram_sums one = histogram_read(&seat->routes[i].subscription.counts->handling);
        histogram_sum(&sums, &one, NULL);
    }
    return sums;
}

static void look_at_past(const struct shown *shown, struct view_component *view)
{
    struct histogram_sums now = handling_of(shown->seat), recent = {0};
    size_t oldest = shown->sum_count < SUMS_KEPT ? 0 : shown->sum_count % SUMS_KEPT;
    histogram_sum(&recent, &now, shown->sum_count < SUMS_KEPT ? NULL : &shown->sums[oldest]);
    view->p50 = histogram_quantile(&recent, 0.5);
    view->p99 = histogram_quantile(&recent, 0.99);
    view->rate = series_now(&shown->settled);
    view->rate_count = series_points(&shown->settled, view->rates);
}

static void look_at_seat(const struct show *show, const struct shown *shown, struct view_component *view)
{
    const struct seat *seat = shown->seat;
    view->type = seat->plugin->type;
    view->isolation = seat->plugin->worker == NULL ? "thread" : "process";
    view->tickets = atomic_load_explicit(&seat->services->open, memory_order_relaxed);
    view->outbox_bytes = count_get(&seat->services->account.bytes);
    if (seat->plugin->worker != NULL)
        view->worker_bytes = worker_bytes(seat->plugin->worker);
    look_at_topics(show, seat, view);
    look_at_past(shown, view);
}

static void look_at_component(struct show *show, struct shown *shown, struct view_component *view)
{
    pthread_mutex_lock(&show->lock);
    const struct noted noted = shown->noted;
    take_error(&shown->fresh_error, &shown->last_error);
    pthread_mutex_unlock(&show->lock);
    *view = (struct view_component){
        .name = shown->name,
        .type = "",
        .version = shown->version,
        .file = shown->file,
        .isolation = "",
        .started = noted.started,
        .registered = noted.registered,
        .healthy = noted.healthy,
        .since = noted.since,
        .over_limit = noted.over_limit,
        .last_error = shown->last_error,
        .p50 = -1,
        .p99 = -1,
    };
    memcpy(view->reason, noted.reason, sizeof view->reason);
    memcpy(view->id, noted.id, sizeof view->id);
    if (shown->seat != NULL)
        look_at_seat(show, shown, view);
}

static void add_totals(struct totals *totals, const struct view_component *component)
{
    for (size_t i = 0; i < component->topic_count; i++) {
        const struct view_topic *topic = &component->topics[i];
        totals->received += topic->received;
        totals->acknowledged += topic->acknowledged;
        totals->kept += topic->kept;
        totals->rejected += topic->rejected;
        totals->returned += topic->returned;
        totals->retried += topic->retried;
        totals->published += topic->published;
        totals->confirmed += topic->confirmed;
    }
}

void show_remove(struct show *show, struct shown *shown)
{
    struct view_component view = {0};
    pthread_mutex_lock(&show->list_lock);
    if (shown->seat != NULL)
        look_at_topics(show, shown->seat, &view);
    add_totals(&show->gone, &view);
    free(view.topics);
    pthread_mutex_lock(&show->lock);
    for (struct shown **place = &show->first; *place != NULL; place = &(*place)->next_shown) {
        if (*place == shown) {
            *place = shown->next_shown;
            break;
        }
    }
    pthread_mutex_unlock(&show->lock);
    pthread_mutex_unlock(&show->list_lock);
    free(shown->name);
    free(shown->file);
    free(shown->version);
    free(shown);
}

void show_look(void *context, struct view *view)
{
    struct show *show = context;
    size_t count = 0;
    pthread_mutex_lock(&show->list_lock);
    for (const struct shown *shown = show->first; shown != NULL; shown = shown->next_shown)
        count++;
    pthread_mutex_lock(&show->lock);
    struct noted_host host = show->host;
    take_error(&show->fresh_error, &show->last_error);
    pthread_mutex_unlock(&show->lock);

    int64_t now = clock_ms(), oldest = publisher_oldest(show->publisher);
    *view = (struct view){
        .version = HOST_VERSION,
        .abi = show->abi,
        .pid = (long)getpid(),
        .started = show->started_s,
        .uptime_ms = now - show->started_ms,
        .stopping = host.stopping,
        .healthy = host.healthy,
        .broker = show->broker.at,
        .receiving = host.receiving,
        .publishing = host.publishing,
        .reconnects = host.reconnects,
        .mov = host.mov,
        .mov_present = host.mov == VIEW_MOV_PRESENT,
        .last_error = show->last_error,
        .outbox_bytes = publisher_own_bytes(show->publisher),
        .components = memory_new((count + 1) * sizeof *view->components),
    };
    memcpy(view->broker_version, host.broker_version, sizeof view->broker_version);
    log_dropped(show->log, &view->console_dropped, &view->file_dropped);
    for (struct shown *shown = show->first; shown != NULL; shown = shown->next_shown) {
        struct view_component *component = &view->components[view->component_count++];
        look_at_component(show, shown, component);
        view->outbox_bytes += component->outbox_bytes;
    }
    view->outbox_oldest = view->outbox_bytes == 0 || oldest > now ? 0 : (double)(now - oldest) / 1000;
}

void show_looked(void *context, struct view *view)
{
    struct show *show = context;
    view_free(view);
    pthread_mutex_unlock(&show->list_lock);
}

static void put_span(struct text *out, int64_t seconds)
{
    if (seconds >= 86400)
        text_printf(out, "%lld d ", (long long)(seconds / 86400));
    if (seconds >= 3600)
        text_printf(out, "%lld h ", (long long)(seconds / 3600 % 24));
    if (seconds >= 60)
        text_printf(out, "%lld min ", (long long)(seconds / 60 % 60));
    text_printf(out, "%lld s", (long long)(seconds % 60));
}

void show_log_totals(struct show *show)
{
    struct view view;
    struct text out = {0};
    show_look(show, &view);
    struct totals totals = show->gone;
    for (size_t i = 0; i < view.component_count; i++)
        add_totals(&totals, &view.components[i]);
    text_puts(&out, "ran for ");
    put_span(&out, view.uptime_ms / 1000);
    log_info(show->log, "host",
             "%s: received %llu, acknowledged %llu, dead letters %llu, rejected %llu, returned %llu; retried %llu; "
             "published %llu, confirmed %llu; reconnects %llu",
             out.at, totals.received, totals.acknowledged, totals.kept, totals.rejected, totals.returned,
             totals.retried, totals.published, totals.confirmed, (unsigned long long)view.reconnects);
    text_free(&out);
    show_looked(show, &view);
}

void show_tick(void *context, int64_t now)
{
    struct show *show = context;
    pthread_mutex_lock(&show->list_lock);
    for (struct shown *shown = show->first; shown != NULL; shown = shown->next_shown) {
        uint64_t settled = 0;
        for (size_t i = 0; shown->seat != NULL && i < shown->seat->route_count; i++)
            settled += settled_of(shown->seat->routes[i].subscription.counts);
        if (shown->seat != NULL && series_take(&shown->settled, now, settled) &&
            ++shown->points % POINTS_OF_QUANTILES == 0)
            shown->sums[shown->sum_count++ % SUMS_KEPT] = handling_of(shown->seat);
    }
    pthread_mutex_unlock(&show->list_lock);
}

static void put_addresses(struct text *out, const struct settings *settings)
{
    for (size_t i = 0; i < settings->broker.endpoint_count; i++) {
        const struct endpoint *endpoint = &settings->broker.endpoints[i];
        bool six = strchr(endpoint->host, ':') != NULL;
        text_printf(out, "%s%s%s%s:%d", i > 0 ? ", " : "", six ? "[" : "", endpoint->host, six ? "]" : "",
                    endpoint->port);
    }
}

struct show *show_new(const struct settings *settings, const struct ring *ring, const struct publisher *publisher,
                      struct log *log)
{
    struct show *show = memory_new(sizeof *show);
    show->settings = settings;
    show->ring = ring;
    show->publisher = publisher;
    show->log = log;
    snprintf(show->abi, sizeof show->abi, "%u.%u", VALAWAI_ABI_MAJOR, VALAWAI_ABI_MINOR);
    put_addresses(&show->broker, settings);
    show->started_s = clock_date_s();
    show->started_ms = clock_ms();
    pthread_mutex_init(&show->list_lock, NULL);
    pthread_mutex_init(&show->lock, NULL);
    log_listen(log, LOG_ERROR, on_error, show);
    return show;
}

void show_free(struct show *show)
{
    if (show == NULL)
        return;
    log_listen(show->log, LOG_ERROR, NULL, NULL);
    while (show->first != NULL)
        show_remove(show, show->first);
    pthread_mutex_destroy(&show->list_lock);
    pthread_mutex_destroy(&show->lock);
    text_free(&show->broker);
    free(show);
}
