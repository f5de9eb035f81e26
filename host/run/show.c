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
    enum view_mov mov;
};

/* A record of level ERROR from the thread that wrote it; the newest replaces the one before. */
typedef _Atomic(struct view_error *) error_slot;

/* What http's thread keeps of a component between two requests. */
struct past {
    struct series settled;
    struct histogram_sums sums[SUMS_KEPT]; /* of its handlers, a minute apart: a ring */
    size_t sum_count, points;
    struct view_error last_error;
};

struct show {
    const struct settings *settings;
    const struct ring *ring;
    const struct publisher *publisher;
    struct log *log;
    int64_t started_s, started_ms;
    size_t count; /* of components */
    char abi[32];
    struct text broker; /* its addresses */

    struct noted *next;   /* the control thread's, for the next lines */
    pthread_mutex_t lock; /* held while the members below are copied */
    struct noted *noted;
    struct noted_host host;

    error_slot *errors; /* one for each component, and the last one for the host itself */

    struct past *past; /* http's thread's */
    struct view_error last_error;
};

/* ---- errors ---- */

/* [any thread, under the log's lock] */
static void on_error(void *context, enum log_level level, const char *name, const char *said, size_t len)
{
    struct show *show = context;
    size_t place = show->count;
    (void)level;
    for (size_t i = 0; i < show->count; i++)
        if (strcmp(name, show->ring->seats[i].plugin->name) == 0)
            place = i;
    struct view_error *error = memory_new(sizeof *error);
    size_t cut = text_cut(said, len, sizeof error->text - 1);
    memcpy(error->text, said, cut);
    error->time = clock_date_s();
    free(atomic_exchange(&show->errors[place], error));
}

/* [http's thread] */
static void take_error(error_slot *slot, struct view_error *last)
{
    struct view_error *error = atomic_exchange(slot, NULL);
    if (error != NULL)
        *last = *error;
    free(error);
}

/* ---- the control thread ---- */

/* A topic of the component that is not consumed; NULL: all are. */
static const char *not_consumed(const struct ring *ring, const struct seat *seat)
{
    for (size_t i = 0; i < ring->route_count; i++)
        if (ring->routes[i].executor == seat->executor && !atomic_load(&ring->routes[i].subscription.up))
            return ring->routes[i].subscription.topic;
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
    else if (seat->plugin->worker != NULL && !worker_is_up(seat->plugin->worker))
        snprintf(noted->reason, size, "the plugin's process is down");
    else if (!state->receiving || !state->publishing)
        snprintf(noted->reason, size, "no %s connection to the broker", state->receiving ? "publishing" : "receiving");
    else if ((topic = not_consumed(show->ring, seat)) != NULL)
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

static void note_component(struct show *show, const struct show_state *state, size_t index, int64_t now)
{
    const struct seat *seat = &show->ring->seats[index];
    struct registration_look look = registration_look(state->registration, &state->components[index]);
    struct noted *noted = &show->next[index], was = *noted;
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
    for (size_t i = 0; i < show->count; i++) {
        note_component(show, state, i, now);
        host.healthy = host.healthy && show->next[i].healthy;
    }
    pthread_mutex_lock(&show->lock);
    memcpy(show->noted, show->next, show->count * sizeof *show->noted);
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
static const struct route *route_of(const struct ring *ring, const struct seat *seat, const char *topic)
{
    for (size_t i = 0; i < ring->route_count; i++)
        if (ring->routes[i].executor == seat->executor && strcmp(ring->routes[i].subscription.topic, topic) == 0)
            return &ring->routes[i];
    return NULL;
}

static void look_at_topic(const struct show *show, const struct seat *seat, struct view_topic *view,
                          const struct contract_topic *topic, bool of_mov)
{
    const struct route *route = route_of(show->ring, seat, topic_name(topic));
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
            look_at_topic(show, seat, topic, contract_topic(contracts[c], t), c == 1);
            if (topic->subscribe || (topic->publish && (c == 0 || topic->published > 0)))
                view->topic_count++;
            else
                *topic = (struct view_topic){0};
        }
    }
}

/* Of all its handlers, since the host started. */
static struct histogram_sums handling_of(const struct show *show, size_t index)
{
    struct histogram_sums sums = {0};
    for (size_t i = 0; i < show->ring->route_count; i++) {
        const struct route *route = &show->ring->routes[i];
        if (route->executor == show->ring->seats[index].executor) {
            struct histogram_sums one = histogram_read(&route->subscription.counts->handling);
            histogram_sum(&sums, &one, NULL);
        }
    }
    return sums;
}

static void look_at_past(const struct show *show, size_t index, struct view_component *view)
{
    struct past *past = &show->past[index];
    struct histogram_sums now = handling_of(show, index), recent = {0};
    size_t oldest = past->sum_count < SUMS_KEPT ? 0 : past->sum_count % SUMS_KEPT;
    histogram_sum(&recent, &now, past->sum_count < SUMS_KEPT ? NULL : &past->sums[oldest]);
    view->p50 = histogram_quantile(&recent, 0.5);
    view->p99 = histogram_quantile(&recent, 0.99);
    view->rate = series_now(&past->settled);
    view->rate_count = series_points(&past->settled, view->rates);
    take_error(&show->errors[index], &past->last_error);
    view->last_error = past->last_error;
}

static void look_at_component(const struct show *show, size_t index, const struct noted *noted,
                              struct view_component *view)
{
    const struct seat *seat = &show->ring->seats[index];
    *view = (struct view_component){
        .name = seat->plugin->name,
        .type = seat->plugin->type,
        .version = seat->plugin->entry.version,
        .file = seat->plugin->file,
        .isolation = seat->plugin->worker == NULL ? "thread" : "process",
        .started = noted->started,
        .registered = noted->registered,
        .healthy = noted->healthy,
        .since = noted->since,
        .over_limit = noted->over_limit,
        .tickets = atomic_load_explicit(&seat->services->open, memory_order_relaxed),
        .outbox_bytes = count_get(&seat->services->account.bytes),
    };
    memcpy(view->reason, noted->reason, sizeof view->reason);
    memcpy(view->id, noted->id, sizeof view->id);
    if (seat->plugin->worker != NULL)
        view->worker_bytes = worker_bytes(seat->plugin->worker);
    look_at_topics(show, seat, view);
    look_at_past(show, index, view);
}

void show_look(void *context, struct view *view)
{
    struct show *show = context;
    struct noted *noted = memory_new((show->count + 1) * sizeof *noted);
    pthread_mutex_lock(&show->lock);
    memcpy(noted, show->noted, show->count * sizeof *noted);
    struct noted_host host = show->host;
    pthread_mutex_unlock(&show->lock);

    int64_t now = clock_ms(), oldest = publisher_oldest(show->publisher);
    take_error(&show->errors[show->count], &show->last_error);
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
        .components = memory_new((show->count + 1) * sizeof *view->components),
        .component_count = show->count,
    };
    log_dropped(show->log, &view->console_dropped, &view->file_dropped);
    for (size_t i = 0; i < show->count; i++) {
        look_at_component(show, i, &noted[i], &view->components[i]);
        view->outbox_bytes += view->components[i].outbox_bytes;
    }
    view->outbox_oldest = view->outbox_bytes == 0 || oldest > now ? 0 : (double)(now - oldest) / 1000;
    free(noted);
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
    unsigned long long received = 0, acknowledged = 0, kept = 0, rejected = 0, returned = 0, retried = 0;
    unsigned long long published = 0, confirmed = 0;
    show_look(show, &view);
    for (size_t i = 0; i < view.component_count; i++) {
        for (size_t t = 0; t < view.components[i].topic_count; t++) {
            const struct view_topic *topic = &view.components[i].topics[t];
            received += topic->received;
            acknowledged += topic->acknowledged;
            kept += topic->kept;
            rejected += topic->rejected;
            returned += topic->returned;
            retried += topic->retried;
            published += topic->published;
            confirmed += topic->confirmed;
        }
    }
    text_puts(&out, "ran for ");
    put_span(&out, view.uptime_ms / 1000);
    log_info(show->log, "host",
             "%s: received %llu, acknowledged %llu, dead letters %llu, rejected %llu, returned %llu; retried %llu; "
             "published %llu, confirmed %llu; reconnects %llu",
             out.at, received, acknowledged, kept, rejected, returned, retried, published, confirmed,
             (unsigned long long)view.reconnects);
    text_free(&out);
    view_free(&view);
}

void show_tick(void *context, int64_t now)
{
    const struct show *show = context;
    for (size_t i = 0; i < show->count; i++) {
        struct past *past = &show->past[i];
        uint64_t settled = 0;
        for (size_t r = 0; r < show->ring->route_count; r++)
            if (show->ring->routes[r].executor == show->ring->seats[i].executor)
                settled += settled_of(show->ring->routes[r].subscription.counts);
        if (series_take(&past->settled, now, settled) && ++past->points % POINTS_OF_QUANTILES == 0)
            past->sums[past->sum_count++ % SUMS_KEPT] = handling_of(show, i);
    }
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
    show->count = ring->seat_count;
    show->next = memory_new((show->count + 1) * sizeof *show->next);
    show->noted = memory_new((show->count + 1) * sizeof *show->noted);
    show->errors = memory_new((show->count + 1) * sizeof *show->errors);
    show->past = memory_new((show->count + 1) * sizeof *show->past);
    for (size_t i = 0; i < show->count; i++)
        snprintf(show->noted[i].reason, sizeof show->noted[i].reason, "the host is starting");
    pthread_mutex_init(&show->lock, NULL);
    log_listen(log, LOG_ERROR, on_error, show);
    return show;
}

void show_free(struct show *show)
{
    if (show == NULL)
        return;
    log_listen(show->log, LOG_ERROR, NULL, NULL);
    for (size_t i = 0; i <= show->count; i++)
        free(atomic_exchange(&show->errors[i], NULL));
    pthread_mutex_destroy(&show->lock);
    text_free(&show->broker);
    free(show->errors);
    free(show->past);
    free(show->next);
    free(show->noted);
    free(show);
}
