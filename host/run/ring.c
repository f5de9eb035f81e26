/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/ring.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "message/dead.h"
#include "plugin/blame.h"
#include "plugin/worker.h"

/* ---- the steps of the ring ---- */

/* receive -> route */
void ring_deliver(struct ring *ring, struct list *deliveries)
{
    (void)ring;
    struct executor *executor = NULL;
    struct list batch = {0}; /* adjacent deliveries of the same route are passed on together */
    for (struct node *node; (node = list_take(deliveries)) != NULL;) {
        const struct delivery *delivery = (const struct delivery *)node;
        const struct route *route = (const struct route *)delivery->from;
        if (route->executor != executor && executor != NULL)
            executor_put(executor, &batch);
        executor = route->executor;
        list_put(&batch, node);
    }
    if (executor != NULL)
        executor_put(executor, &batch);
}

static void pass_trace(struct list *publications, struct properties cause)
{
    struct list traced = {0};
    for (struct node *node; (node = list_take(publications)) != NULL;)
        list_put(&traced, &publication_trace((struct publication *)node, cause)->node);
    *publications = traced;
}

/* ---- dead letters: a rejected message becomes a publication, and is acknowledged when it is confirmed ---- */

static const struct plugin *plugin_of(const struct delivery *delivery)
{
    return ((const struct route *)delivery->from)->seat->plugin;
}

static void tell_not_kept(const struct ring *ring, const struct delivery *delivery, const char *why)
{
    log_error(ring->options.log, plugin_of(delivery)->name, "%s: a rejected message is dropped: %s",
              delivery->from->topic, why);
}

/* Makes the dead letter. NULL: dead letters are off, or this one is impossible; the message is rejected then. */
static struct publication *bury(const struct ring *ring, const struct delivery *delivery, const char *detail)
{
    struct fault fault;
    if (!ring->options.keeps_dead_letters)
        return NULL;
    if (delivery->refused > 0) {
        tell_not_kept(ring, delivery, "it is larger than host.message_max_bytes, and was not read");
        return NULL;
    }
    const struct death death = {
        .reason = delivery->reason,
        .detail = detail,
        .component = plugin_of(delivery)->name,
        .host = ring->host,
        .time = clock_date_s(),
    };
    struct publication *letter =
        dead_letter(delivery, &death, (uint32_t)ring->options.settings->host.dead_letters_max, &fault);
    if (letter == NULL)
        tell_not_kept(ring, delivery, fault.text);
    return letter;
}

/* [executor's thread] */
static void on_rejected(void *context, struct delivery *delivery, const char *detail, struct list *publications)
{
    struct publication *letter = bury(context, delivery, detail);
    if (letter != NULL)
        list_put(publications, &letter->node);
}

/* ---- the steps of the ring, continued ---- */

static void send(const struct ring *ring, struct delivery *delivery, struct list *publications)
{
    const struct transport *transport = &ring->options.transport;
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        ((struct publication *)node)->cause = delivery;
        ((struct publication *)node)->sender = &ring->sender;
        delivery->unconfirmed++;
    }
    if (!transport->send(transport->context, publications)) { /* closing: the delivery returns to its queue */
        list_free(publications);
        delivery_drop(delivery);
    }
}

/* handle -> publish, or handle -> settle [executor's thread] */
static void on_handled(void *context, struct delivery *delivery, struct list *publications)
{
    const struct ring *ring = context;
    const struct transport *transport = &ring->options.transport;
    struct exporter *exporter = ring->options.exporter;
    struct text passed = {0};
    bool has_span = exporter != NULL && exporter_note(exporter, delivery, plugin_of(delivery)->name, &passed);
    if (publications->head == NULL) {
        struct list done = {0};
        list_put(&done, &delivery->node);
        transport->settle(transport->context, &done);
    } else {
        if (delivery->properties.len > 0)
            pass_trace(publications, has_span ? (struct properties){passed.at, passed.len} : delivery->properties);
        send(ring, delivery, publications);
    }
    text_free(&passed);
}

static const char *why_not_kept(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_FULL:
        return "its queue of dead letters is full (host.dead_letters_max)";
    case OUTCOME_UNDECLARED:
        return "its queue of dead letters cannot be declared";
    default:
        return "the broker refuses it as a dead letter";
    }
}

/* Applies the outcome of a publication to its cause. */
static void conclude(const struct ring *ring, struct delivery *cause, const struct publication *publication)
{
    bool confirmed = publication->outcome == OUTCOME_CONFIRMED;
    if (publication->most > 0 && confirmed) {
        cause->settlement = SETTLE_ACKNOWLEDGE;
    } else if (publication->most > 0) {
        tell_not_kept(ring, cause, why_not_kept(publication->outcome));
    } else if (!confirmed) {
        cause->settlement = SETTLE_REJECT;
        cause->reason = REASON_PUBLICATION;
    }
}

/* True if the message becomes a dead letter now, because a publication of its handler was refused. */
static bool bury_late(const struct ring *ring, struct delivery *delivery, bool is_buried)
{
    struct list one = {0};
    struct publication *letter = NULL;
    if (!is_buried && delivery->reason == REASON_PUBLICATION)
        letter = bury(ring, delivery, "the broker refused what its handler published");
    if (letter == NULL)
        return false;
    list_put(&one, &letter->node);
    send(ring, delivery, &one);
    return true;
}

/* confirm -> settle [publisher's thread] */
static void on_confirmed(void *context, struct list *publications)
{
    const struct ring *ring = context;
    const struct transport *transport = &ring->options.transport;
    struct list done = {0};
    for (struct node *node; (node = list_take(publications)) != NULL;) {
        struct publication *publication = (struct publication *)node;
        struct delivery *cause = publication->cause;
        bool is_letter = publication->most > 0;
        conclude(ring, cause, publication);
        free(publication);
        if (--cause->unconfirmed == 0 && !bury_late(ring, cause, is_letter))
            list_put(&done, &cause->node);
    }
    if (done.head != NULL)
        transport->settle(transport->context, &done);
}

/* [executor's thread] */
static void on_started(void *context)
{
    const struct ring *ring = context;
    if (ring->options.started != NULL)
        ring->options.started(ring->options.context);
}

/* [executor's thread] */
static void on_renewed(void *context, const struct plugin *plugin, const char *version, const char *why)
{
    const struct ring *ring = context;
    if (ring->options.renewed != NULL)
        ring->options.renewed(ring->options.context, plugin, version, why);
}

static const struct executor_events executor_events = {
    .handled = on_handled, .rejected = on_rejected, .started = on_started};

/* ---- start and end ---- */

/* A warning does not stop a plugin. Hints are for its author. */
static void tell_warnings(struct log *log, const struct plugin *plugin)
{
    for (size_t i = 0; i < contract_findings(plugin->contract); i++) {
        const struct finding *finding = contract_finding(plugin->contract, i);
        if (finding->kind == FINDING_WARNING)
            log_warning(log, plugin->name, "%s: AsyncAPI document, line %u: %s", plugin->file, finding->place.line,
                        finding->text);
    }
}

/* The worker has the threads of the plugin; the host's side of it has one. */
static void use_worker(struct ring *ring, struct worker *worker, struct executor_options *options)
{
    const struct settings *settings = ring->options.settings;
    struct worker_use use = {
        .log = options->log,
        .attempts = options->attempts,
        .threads = options->threads,
        .message_max_bytes = (size_t)settings->host.message_max_bytes,
        .slow_ms = options->slow_ms,
        .handler_ms = settings->host.handler_seconds * 1000,
        .grace_ms = settings->host.grace_seconds * 1000,
        .changed = on_started,
        .renewed = on_renewed,
        .context = ring,
    };
    worker_use(worker, &use);
    options->threads = 1;
    options->link = worker_link(worker);
}

static void make_routes(struct seat *seat)
{
    const struct plugin *plugin = seat->plugin;
    seat->routes = memory_new((plugin->topic_count + 1) * sizeof *seat->routes);
    seat->route_count = plugin->topic_count;
    for (size_t i = 0; i < plugin->topic_count; i++) {
        const struct valawai_topic *topic = &plugin->entry.topics[i];
        struct route *route = &seat->routes[i];
        route->executor = seat->executor;
        route->seat = seat;
        route->subscription.topic = topic->name;
        route->subscription.kind = SUBSCRIBE_TOPIC;
        route->subscription.owner = (void *)(uintptr_t)topic;
        route->subscription.component = plugin->name;
        route->subscription.prefetch = plugin->section == NULL ? 0 : (uint16_t)plugin->section->prefetch;
        route->subscription.wanted = true;
        route->subscription.counts =
            services_counts(seat->services, contract_find(plugin->contract, topic->name), false);
    }
}

struct seat *ring_add(struct ring *ring, const struct plugin *plugin)
{
    const struct settings *settings = ring->options.settings;
    struct log *log = ring->options.log;
    struct seat *seat = memory_new(sizeof *seat);
    tell_warnings(log, plugin);
    struct services_options services = {
        .plugin = plugin,
        .mov = ring->mov,
        .log = log,
        .transport = &ring->options.transport,
        .message_max_bytes = (size_t)settings->host.message_max_bytes,
        .ask = ring->options.ask,
        .context = ring->options.context,
    };
    long own = plugin->section == NULL ? 0 : plugin->section->attempts;
    seat->plugin = plugin;
    seat->services = services_new(&services);
    struct executor_options options = {
        .plugin = plugin,
        .services = seat->services,
        .log = log,
        .attempts = (uint32_t)(own > 0 ? own : settings->host.attempts),
        .notes_times = ring->options.exporter != NULL,
        .hides_payloads = settings->payloads == PAYLOADS_NONE,
        .slow_ms = settings->host.slow_seconds * 1000,
        .crash_attempts = (uint32_t)settings->host.crash_attempts,
        .threads = plugin->section == NULL ? 1 : (unsigned)plugin->section->threads,
        .events = &executor_events,
        .context = ring,
    };
    if (plugin->worker != NULL)
        use_worker(ring, plugin->worker, &options);
    seat->executor = executor_new(&options);
    make_routes(seat);
    ring->seats = memory_resize(ring->seats, (ring->seat_count + 1) * sizeof *ring->seats);
    ring->seats[ring->seat_count++] = seat;
    return seat;
}

static void seat_free(struct seat *seat)
{
    executor_free(seat->executor);
    services_free(seat->services);
    free(seat->routes);
    free(seat);
}

static void take_out(struct ring *ring, const struct seat *seat)
{
    size_t at = 0;
    while (ring->seats[at] != seat)
        at++;
    memmove(&ring->seats[at], &ring->seats[at + 1], (--ring->seat_count - at) * sizeof *ring->seats);
}

void ring_remove(struct ring *ring, struct seat *seat)
{
    take_out(ring, seat);
    seat_free(seat);
}

void ring_park(struct ring *ring, struct seat *seat)
{
    take_out(ring, seat);
    seat->next_parked = ring->parked;
    ring->parked = seat;
}

struct subscription *ring_find(const struct ring *ring, const char *topic)
{
    for (size_t i = 0; i < ring->seat_count; i++)
        for (size_t r = 0; r < ring->seats[i]->route_count; r++)
            if (strcmp(ring->seats[i]->routes[r].subscription.topic, topic) == 0)
                return &ring->seats[i]->routes[r].subscription;
    return NULL;
}

struct ring *ring_new(const struct ring_options *options)
{
    const struct plugins *plugins = options->plugins;
    struct ring *ring = memory_new(sizeof *ring);
    ring->options = *options;
    ring->sender = (struct sender){.confirmed = on_confirmed, .context = ring};
    if (gethostname(ring->host, sizeof ring->host - 1) != 0)
        ring->host[0] = '\0';
    ring->mov = contract_of_mov();
    for (size_t i = 0; i < plugins->count; i++)
        ring_add(ring, plugins->at[i]);
    return ring;
}

void ring_free(struct ring *ring)
{
    if (ring == NULL)
        return;
    blame_end();
    for (size_t i = 0; i < ring->seat_count; i++)
        seat_free(ring->seats[i]);
    for (struct seat *seat; (seat = ring->parked) != NULL; seat_free(seat))
        ring->parked = seat->next_parked;
    free(ring->seats);
    free(ring);
}

void ring_start(struct ring *ring)
{
    blame_install();
    for (size_t i = 0; i < ring->seat_count; i++)
        executor_start(ring->seats[i]->executor);
}

enum started ring_started(struct ring *ring, int64_t until_ms, struct fault *fault)
{
    enum started all = STARTED;
    for (size_t i = 0; i < ring->seat_count; i++) {
        int64_t left = until_ms - clock_ms();
        enum started one = executor_started(ring->seats[i]->executor, left > 0 ? (int)left : 0, fault);
        ring->seats[i]->started = one == STARTED;
        if (one == START_FAILED)
            return one;
        if (one == STARTING)
            all = STARTING;
    }
    return all;
}

void ring_tend(struct ring *ring, int64_t now)
{
    for (size_t i = 0; i < ring->seat_count; i++)
        executor_tend(ring->seats[i]->executor, now);
}

void ring_close(struct ring *ring, int64_t until_ms)
{
    for (size_t i = 0; i < ring->seat_count; i++)
        executor_close(ring->seats[i]->executor, until_ms);
}

bool ring_join(struct ring *ring, int64_t until_ms)
{
    bool all = true;
    for (size_t i = 0; i < ring->seat_count; i++)
        all = executor_join(ring->seats[i]->executor, until_ms) && all;
    return all;
}
