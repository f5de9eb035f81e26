/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/host.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "broker/consumer.h"
#include "broker/publisher.h"
#include "broker/reach.h"
#include "mov/health.h"
#include "mov/queries.h"
#include "mov/registration.h"
#include "plugin/blame.h"
#include "run/notify.h"
#include "run/ring.h"
#include "run/shutdown.h"
#include "run/signals.h"

/* What other threads tell the control thread. */
struct event {
    struct node node;
    enum {
        RECEIVING,
        PUBLISHING,
        GAVE_UP,
        CONSUMING,
        LISTENING,
        PAGE_LISTENING,
        MOV,
        NOTIFIED,
        PAGED,
        CONFIRMED,
        ASKED,
        STARTED_ONE
    } kind;
    bool up;
    unsigned consumers;
    struct subscription *subscription;
    struct delivery *delivery;
    struct publication *publication;
    struct plugin_query *query;
    struct fault why;
};

#define START_MS 500          /* the wait for all plugins before the host connects; those that take longer join later */
#define PLUGIN_QUERY_MS 10000 /* the MOV's time to answer the query of a plugin */
#define KEEP_MS 2000          /* between looks at the signals, when nothing happens */
#define DISK_MS 500           /* for the health file and the ledger at the end, at least */
#define PAGES_PREFETCH 1000   /* answers to others that may lie before ours */

struct host {
    const struct settings *settings;
    struct log *log;
    struct consumer *consumer;
    struct publisher *publisher;
    struct registration *registration;
    struct health *health;
    struct notify *notify;
    struct queries *queries;
    struct ring *ring;
    struct component *components;        /* for registration, one for each seat */
    struct subscription *answers;        /* where the MOV answers them */
    struct subscription pages[2];        /* where the MOV answers queries */
    struct subscription **subscriptions; /* all of them */

    struct queue events;
    int64_t due; /* when there is something to do though nothing happens */
    bool receiving, publishing, publisher_started;
    size_t routes_up;
    enum started started; /* of the plugins, all together */
    bool gave_up, stopping;
    struct fault *fault;
    struct signals *signals;
    unsigned long threads; /* of the process, before ours and the plugins' */
};

/* ---- RabbitMQ is the ring's transport ---- */

static struct event *event_new(int kind)
{
    struct event *event = memory_new(sizeof *event);
    event->kind = kind;
    return event;
}

static void tell(struct host *host, struct event *event)
{
    queue_put(&host->events, &event->node);
}

/* [consumer's thread] Messages of a plugin's topic. */
static void on_delivered(struct subscription *subscription, struct list *deliveries)
{
    ring_deliver(((struct host *)subscription->receiver)->ring, deliveries);
}

/* [consumer's thread] What the MOV says to the host. */
static void tell_deliveries(struct subscription *subscription, struct list *deliveries, int kind)
{
    for (struct node *node; (node = list_take(deliveries)) != NULL;) {
        struct event *event = event_new(kind);
        event->delivery = (struct delivery *)node;
        tell(subscription->receiver, event);
    }
}

static void on_notified(struct subscription *subscription, struct list *deliveries)
{
    tell_deliveries(subscription, deliveries, NOTIFIED);
}

static void on_paged(struct subscription *subscription, struct list *deliveries)
{
    tell_deliveries(subscription, deliveries, PAGED);
}

/* [publisher's thread] What the registration says to the MOV. */
static void on_confirmed(void *context, struct list *publications)
{
    for (struct node *node; (node = list_take(publications)) != NULL;) {
        struct event *event = event_new(CONFIRMED);
        event->publication = (struct publication *)node;
        tell(context, event);
    }
}

static void carry_settle(void *context, struct list *deliveries)
{
    consumer_settle(((struct host *)context)->consumer, deliveries);
}

static bool carry_send(void *context, struct list *publications)
{
    return publisher_send(((struct host *)context)->publisher, publications);
}

static void carry_record(void *context, const char *body, size_t len, bool at_once)
{
    publisher_send_record(((struct host *)context)->publisher, body, len, at_once);
}

static void carry_flush(void *context)
{
    publisher_flush_records(((struct host *)context)->publisher);
}

/* [any thread] */
static void on_asked(void *context, struct plugin_query *query)
{
    struct event *event = event_new(ASKED);
    event->query = query;
    tell(context, event);
}

static void on_started(void *context)
{
    tell(context, event_new(STARTED_ONE));
}

/* ---- what the connections tell ---- */

static void on_receiving(void *context, bool up)
{
    struct event *event = event_new(RECEIVING);
    event->up = up;
    tell(context, event);
}

static void on_publishing(void *context, bool up)
{
    struct event *event = event_new(PUBLISHING);
    event->up = up;
    tell(context, event);
}

static void on_gave_up(void *context, const char *why)
{
    struct event *event = event_new(GAVE_UP);
    fault_set(&event->why, "%s", why);
    tell(context, event);
}

static void on_subscribed(struct subscription *subscription, bool up, int kind)
{
    struct event *event = event_new(kind);
    event->subscription = subscription;
    event->up = up;
    tell(subscription->receiver, event);
}

static void on_consuming(struct subscription *subscription, bool up)
{
    on_subscribed(subscription, up, CONSUMING);
}

static void on_listening(struct subscription *subscription, bool up)
{
    on_subscribed(subscription, up, LISTENING);
}

/* The queries see for themselves whether their pages are consumed; but something is to be done now. */
static void on_page_listening(struct subscription *subscription, bool up)
{
    on_subscribed(subscription, up, PAGE_LISTENING);
}

static void on_watched(void *context, unsigned consumers)
{
    struct event *event = event_new(MOV);
    event->consumers = consumers;
    tell(context, event);
}

static const struct consumer_events consumer_events = {
    .connected = on_receiving,
    .gave_up = on_gave_up,
    .watched = on_watched,
};

static const struct publisher_events publisher_events = {.connected = on_publishing};

/* ---- the control thread ---- */

static void topic_changed(struct host *host, bool up)
{
    host->routes_up += up ? 1 : (size_t)-1;
    size_t all = host->ring->route_count;
    if (up && host->routes_up == all)
        log_info(host->log, "host", "consuming %zu topic%s", all, all == 1 ? "" : "s");
}

/* A query of a plugin, on its way to the MOV. */
struct plugin_request {
    struct query query;
    struct plugin_query *from;
};

static void on_page(void *context, struct query *query, const char *body, size_t len, struct json_object *page)
{
    struct plugin_request *request = (struct plugin_request *)query;
    (void)context, (void)page;
    services_reply(request->from, body, len);
    free(request);
}

static void ask(struct host *host, struct plugin_query *query)
{
    struct plugin_request *request = memory_new(sizeof *request);
    request->query.about = query->what == VALAWAI_COMPONENTS ? QUERY_COMPONENTS : QUERY_CONNECTIONS;
    request->query.patience_ms = PLUGIN_QUERY_MS;
    request->query.answered = on_page;
    request->from = query;
    queries_ask(host->queries, &request->query, query->text);
}

static void handle_event(struct host *host, struct event *event)
{
    switch (event->kind) {
    case RECEIVING:
        host->receiving = event->up;
        if (event->up && !host->publisher_started && !host->stopping) {
            /* After the first connection, so that a broker that is not there is said, and waited for, once. */
            host->publisher_started = true;
            publisher_start(host->publisher);
        }
        registration_connected(host->registration, host->receiving, host->publishing);
        break;
    case PUBLISHING:
        host->publishing = event->up;
        queries_connected(host->queries, event->up);
        registration_connected(host->registration, host->receiving, host->publishing);
        break;
    case GAVE_UP:
        host->gave_up = true;
        *host->fault = event->why;
        break;
    case CONSUMING:
        topic_changed(host, event->up);
        break;
    case LISTENING:
        registration_subscribed(host->registration, event->subscription->owner, event->up);
        break;
    case PAGE_LISTENING:
        break;
    case MOV:
        registration_mov(host->registration, event->consumers);
        break;
    case NOTIFIED:
        registration_notified(host->registration, event->delivery->from->owner, event->delivery);
        break;
    case PAGED:
        queries_paged(host->queries, event->delivery);
        break;
    case CONFIRMED:
        registration_confirmed(host->registration, event->publication);
        break;
    case ASKED:
        ask(host, event->query);
        break;
    case STARTED_ONE: /* check_starts() looks which */
        break;
    }
    free(event);
}

/* One line for people: how far the host has come. */
static void show_status(struct host *host, bool healthy)
{
    const char *plural = host->ring->route_count == 1 ? "" : "s";
    char text[128];
    if (!host->receiving || !host->publishing)
        snprintf(text, sizeof text, "waiting for the broker");
    else if (host->routes_up < host->ring->route_count)
        snprintf(text, sizeof text, "consuming %zu of %zu topic%s", host->routes_up, host->ring->route_count, plural);
    else
        snprintf(text, sizeof text, "%s, consuming %zu topic%s", healthy ? "registered" : "waiting for the MOV",
                 host->ring->route_count, plural);
    notify_show(host->notify, healthy, text);
}

static void show_health(struct host *host)
{
    bool at_work = host->receiving && host->publishing && host->routes_up == host->ring->route_count && !host->stopping;
    char *text = at_work ? registration_text(host->registration) : NULL;
    health_show(host->health, text);
    show_status(host, health_is_shown(host->health));
    free(text);
}

static void take_events(struct host *host)
{
    struct list events = queue_take(&host->events);
    for (struct node *node; (node = list_take(&events)) != NULL;)
        handle_event(host, (struct event *)node);
}

static void sleep_until(struct host *host, int64_t deadline)
{
    struct pollfd fds[] = {
        {.fd = host->events.fd, .events = POLLIN},
        {.fd = host->stopping ? -1 : signals_fd(host->signals), .events = POLLIN},
    };
    if (!queue_sleep(&host->events))
        return;
    int64_t now = clock_ms();
    poll(fds, 2, deadline > now ? (int)(deadline - now) : 0);
    if ((fds[0].revents & POLLNVAL) != 0 || (fds[1].revents & POLLNVAL) != 0)
        log_fatal(DESCRIPTORS_CLOSED);
    queue_slept(&host->events);
}

static void want_topics(struct host *host, const struct seat *seat, bool wanted)
{
    for (size_t i = 0; i < host->ring->route_count; i++)
        if (host->ring->routes[i].executor == seat->executor)
            consumer_want(host->consumer, &host->ring->routes[i].subscription, wanted);
}

/* A plugin begins to work when its start has returned: its topics are consumed, and its component is registered. */
static void check_starts(struct host *host)
{
    if (host->started != STARTING || host->stopping)
        return;
    host->started = ring_started(host->ring, 0, host->fault);
    for (size_t i = 0; i < host->ring->seat_count; i++) {
        const struct seat *seat = &host->ring->seats[i];
        if (!seat->started || !host->components[i].starting)
            continue;
        host->components[i].starting = false;
        want_topics(host, seat, true);
    }
}

/* Most are ready at once, and the others are left out for now. True if the host can begin to work. */
static bool await_starts(struct host *host)
{
    int64_t until = clock_ms() + START_MS;
    ring_start(host->ring);
    do {
        int64_t soon = clock_ms() + 50; /* to look whether the host is to stop */
        host->started = ring_started(host->ring, soon < until ? soon : until, host->fault);
    } while (host->started == STARTING && clock_ms() < until && !signals_stop(host->signals));
    for (size_t i = 0; i < host->ring->seat_count; i++) {
        host->components[i].starting = !host->ring->seats[i].started;
        if (host->components[i].starting)
            want_topics(host, &host->ring->seats[i], false);
    }
    return host->started != START_FAILED && !signals_stop(host->signals);
}

/* Sleeps until something happens or is due, and sees to it. */
static void turn(struct host *host, int64_t until_ms)
{
    sleep_until(host, host->due < until_ms ? host->due : until_ms);
    take_events(host);
    check_starts(host);
    signals_keep(host->signals);
    int64_t now = clock_ms();
    int64_t due = registration_tend(host->registration, now), asked = queries_tend(host->queries, now);
    host->due = due < asked ? due : asked;
    show_health(host);
    int64_t notify_due = notify_tend(host->notify, now);
    host->due = notify_due < host->due ? notify_due : host->due;
    if (host->publisher_started)
        publisher_tend(host->publisher, host->receiving);
    ring_tend(host->ring, now);
}

static bool asked_to_stop(void *context)
{
    return signals_stop(((const struct host *)context)->signals);
}

/* ---- starting and stopping, in order ---- */

/* For the names of the connections. The caller frees the text. */
static struct text component_names(const struct plugins *plugins)
{
    struct text names = {0};
    text_puts(&names, "");
    for (size_t i = 0; i < plugins->count; i++)
        text_printf(&names, "%s%s", i > 0 ? ", " : "", plugins->at[i]->name);
    return names;
}

static struct publisher *make_publisher(struct host *host, const struct plugins *plugins)
{
    size_t count = 0;
    for (size_t i = 0; i < plugins->count; i++)
        count += contract_topics(plugins->at[i]->contract);
    const char **topics = memory_new((count + 1) * sizeof *topics);
    struct text names = component_names(plugins);
    struct publisher_options options = {
        .broker = broker_of(host->settings),
        .log = host->log,
        .components = names.at,
        .outbox_max_bytes = (size_t)host->settings->host.outbox_max_bytes,
        .shares = plugins->count > 0 ? plugins->count : 1,
        .topics = topics,
        .events = &publisher_events,
        .context = host,
    };
    for (size_t i = 0; i < plugins->count; i++) {
        const struct contract *contract = plugins->at[i]->contract;
        for (size_t t = 0; t < contract_topics(contract); t++)
            if (topic_has(contract_topic(contract, t), CONTRACT_PUBLISH))
                topics[options.topic_count++] = topic_name(contract_topic(contract, t));
    }
    struct publisher *publisher = publisher_new(&options);
    text_free(&names);
    free(topics);
    return publisher;
}

static void subscribe(struct host *host, size_t *count, struct subscription *subscription)
{
    subscription->receiver = host;
    host->subscriptions[(*count)++] = subscription;
}

static void make_parts(struct host *host, const struct plugins *plugins)
{
    const struct settings *settings = host->settings;
    host->notify = notify_new(host->log);
    notify_show(host->notify, false, "starting the plugins");
    host->publisher = make_publisher(host, plugins);
    struct ring_options ring = {
        .settings = settings,
        .plugins = plugins,
        .log = host->log,
        .transport =
            {.settle = carry_settle, .send = carry_send, .record = carry_record, .flush = carry_flush, .context = host},
        .keeps_dead_letters = settings->host.dead_letters == DEAD_LETTERS_KEEP,
        .ask = on_asked,
        .started = on_started,
        .context = host,
    };
    host->ring = ring_new(&ring);

    size_t seats = host->ring->seat_count, routes = host->ring->route_count, count = 0;
    host->subscriptions = memory_new((seats + routes + 2) * sizeof(struct subscription *));
    host->answers = memory_new((seats + 1) * sizeof *host->answers);
    host->components = memory_new((seats + 1) * sizeof *host->components);
    struct component **components = memory_new((seats + 1) * sizeof(struct component *));
    for (size_t i = 0; i < seats; i++) {
        const struct seat *seat = &host->ring->seats[i];
        struct component *component = components[i] = &host->components[i];
        *component =
            (struct component){.plugin = seat->plugin, .services = seat->services, .answers = &host->answers[i]};
        component->answers->topic = seat->plugin->registered;
        component->answers->kind = SUBSCRIBE_ANSWER;
        component->answers->owner = component;
        component->answers->component = seat->plugin->name;
        component->answers->delivered = on_notified;
        component->answers->changed = on_listening;
        subscribe(host, &count, component->answers);
    }
    for (size_t i = 0; i < routes; i++) {
        struct subscription *subscription = &host->ring->routes[i].subscription;
        subscription->delivered = on_delivered;
        subscription->changed = on_consuming;
        subscribe(host, &count, subscription);
    }
    struct subscription *const pages[] = {&host->pages[QUERY_COMPONENTS], &host->pages[QUERY_CONNECTIONS]};
    pages[QUERY_COMPONENTS]->topic = "valawai/component/page";
    pages[QUERY_CONNECTIONS]->topic = "valawai/topology/page";
    for (int i = 0; i < 2; i++) {
        pages[i]->kind = SUBSCRIBE_SHARED;
        pages[i]->prefetch = PAGES_PREFETCH;
        pages[i]->delivered = on_paged;
        pages[i]->changed = on_page_listening;
        subscribe(host, &count, pages[i]);
    }

    struct text names = component_names(plugins);
    struct consumer_options options = {
        .broker = broker_of(settings),
        .log = host->log,
        .components = names.at,
        .delivery_limit = (uint32_t)settings->broker.delivery_limit,
        .prefetch = (uint16_t)settings->broker.prefetch,
        .message_max_bytes = (uint64_t)settings->host.message_max_bytes,
        .watched_queue = REGISTER_TOPIC,
        .events = &consumer_events,
        .context = host,
    };
    host->consumer = consumer_new(&options, host->subscriptions, count);
    text_free(&names);
    host->registration = registration_new(components, seats, host->publisher, host->health, host->log,
                                          (struct sender){.confirmed = on_confirmed, .context = host});
    free(components);
    host->queries = queries_new(host->publisher);
    queries_use(host->queries, host->consumer, pages);
    registration_use(host->registration, host->consumer, host->queries);
}

/* [health's thread] */
static void on_written(void *context)
{
    queue_wake(&((struct host *)context)->events);
}

/* ---- the steps of a stop; run/shutdown.c has their order ---- */

static int64_t now(void *context)
{
    (void)context;
    return clock_ms();
}

static void announce_stop(void *context)
{
    struct host *host = context;
    notify_stopping(host->notify);
    health_show(host->health, NULL);
    for (size_t i = 0; i < host->ring->route_count; i++)
        consumer_want(host->consumer, &host->ring->routes[i].subscription, false);
}

static void close_plugins(void *context, int64_t answers_until)
{
    ring_close(((struct host *)context)->ring, answers_until);
}

static bool join_plugins(void *context, int64_t until)
{
    return ring_join(((struct host *)context)->ring, until);
}

static bool drain(void *context, int64_t until)
{
    const struct host *host = context;
    return publisher_drain(host->publisher, host->publisher_started ? until : 0);
}

static void close_outbox(void *context)
{
    publisher_close(((struct host *)context)->publisher);
}

static void unregister(void *context, int64_t until)
{
    struct host *host = context;
    registration_leave(host->registration);
    host->due = 0;
    while (host->publishing && !registration_left(host->registration) && clock_ms() < until)
        turn(host, until);
}

static bool stop_consumer(void *context, int64_t until)
{
    return consumer_stop(((struct host *)context)->consumer, until);
}

static bool stop_publisher(void *context, int64_t until)
{
    const struct host *host = context;
    return !host->publisher_started || publisher_stop(host->publisher, until);
}

static void warn(void *context, const char *what)
{
    log_warning(((struct host *)context)->log, "host", "%s", what);
}

static const struct shutdown_steps shutdown_steps = {
    .now = now,
    .announce = announce_stop,
    .close_plugins = close_plugins,
    .join_plugins = join_plugins,
    .drain = drain,
    .close_outbox = close_outbox,
    .unregister = unregister,
    .stop_consumer = stop_consumer,
    .stop_publisher = stop_publisher,
    .warn = warn,
};

static void free_parts(struct host *host)
{
    /* Publications and deliveries that were not settled go with publisher and consumer. */
    take_events(host);
    publisher_free(host->publisher);
    consumer_free(host->consumer);
    registration_free(host->registration);
    health_free(host->health);
    notify_free(host->notify);
    queries_free(host->queries);
    ring_free(host->ring);
    free(host->components);
    free(host->answers);
    free(host->subscriptions);
    queue_destroy(&host->events);
}

bool host_run(const struct settings *settings, const struct plugins *plugins, struct signals *signals, struct log *log,
              struct fault *fault)
{
    struct host host = {
        .settings = settings, .log = log, .fault = fault, .signals = signals, .threads = thread_count()};

    if (signals_stop(signals)) { /* while the plugins were loaded */
        log_info(log, "host", "stopped");
        return true;
    }
    host.health = health_new(settings->log_directory, settings->health_file_name, log);
    if (!health_lock(host.health, fault)) {
        health_free(host.health);
        return false;
    }

    signal(SIGPIPE, SIG_IGN);
    queue_init(&host.events, true);
    make_parts(&host, plugins);
    signals_keep(signals);

    bool ended = true;
    if (await_starts(&host)) {
        health_start(host.health, on_written, &host);
        consumer_start(host.consumer);
        while (!host.gave_up && host.started != START_FAILED && !asked_to_stop(&host))
            turn(&host, clock_ms() + KEEP_MS);
        host.stopping = true;
        signals_hurry(signals);
        int64_t deadline = clock_ms() + settings->host.grace_seconds * 1000;
        ended = shutdown_run(&shutdown_steps, &host, settings->host.grace_seconds * 1000);
        int64_t least = clock_ms() + DISK_MS;
        ended = health_stop(host.health, deadline > least ? deadline : least) && ended;
    } else {
        if (host.started != START_FAILED) /* the first signal came meanwhile */
            signals_hurry(signals);
        int64_t deadline = clock_ms() + settings->host.grace_seconds * 1000;
        ring_close(host.ring, deadline - SHUTDOWN_ANSWERS_MS);
        ended = ring_join(host.ring, deadline);
    }
    bool as_asked = host.started != START_FAILED && !host.gave_up;
    if (as_asked)
        log_info(log, "host", "stopped");
    if (ended && thread_wait_down_to(host.threads + lookup_threads())) {
        free_parts(&host);
        return as_asked;
    }
    /* What still runs uses what would be freed. */
    if (ended)
        log_warning(log, "host", PLUGIN_LEFT_THREADS);
    if (!as_asked)
        log_last_words(log, fault->text);
    log_flush(log);
    if (!ended)
        _exit(as_asked ? 0 : 1);
    blame_end();
    exit(as_asked ? 0 : 1);
}
