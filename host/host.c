/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "backoff.h"
#include "consumer.h"
#include "executor.h"
#include "health.h"
#include "memory.h"
#include "publisher.h"
#include "registration.h"
#include "services.h"

/* Where the deliveries of a subscription go. The subscription comes first: a delivery knows only that. */
struct route {
    struct subscription subscription;
    struct executor *executor;
};

/* A plugin with all that the host has for it. */
struct seat {
    struct component component;
    struct subscription answers;
    struct services *services;
    struct executor *executor;
};

/* What the connections' threads tell the control thread. */
struct event {
    struct node node;
    enum { RECEIVING, PUBLISHING, GAVE_UP, SUBSCRIBED, MOV, NOTIFIED, SETTLED } kind;
    bool up;
    unsigned consumers;
    struct subscription *subscription;
    struct delivery *delivery;
    struct publication *publication;
    struct fault why;
};

struct host {
    const struct settings *settings;
    struct log *log;
    struct consumer *consumer;
    struct publisher *publisher;
    struct registration *registration;
    struct health *health;
    struct contract *mov; /* the contract of the MOV's own queues */
    struct seat *seats;
    size_t seat_count;
    struct route *routes;
    size_t route_count;
    struct subscription page;            /* where the MOV answers queries */
    struct subscription **subscriptions; /* of routes, seats and the page */

    struct queue events;
    int64_t due; /* when there is something to do though nothing happens */
    bool receiving, publishing, publisher_started;
    size_t routes_up;
    bool gave_up, stopping;
    struct fault *fault;
    int signals; /* a signalfd */
};

/* ---- the ring ----
 *
 * A delivery is settled only when the broker has confirmed every publication that its handling made. That one rule is
 * all of the reliability: whatever breaks in between, the delivery is still the broker's, and comes again. */

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

/* receive -> route [consumer's thread] */
static void on_delivered(void *context, struct list *deliveries)
{
    struct host *host = context;
    struct executor *executor = NULL;
    struct list batch = {0}; /* neighbours that go the same way are handed over at once */
    for (struct node *node; (node = list_take(deliveries)) != NULL;) {
        struct delivery *delivery = (struct delivery *)node;
        if (delivery->from->kind != SUBSCRIBE_TOPIC) {
            struct event *event = event_new(NOTIFIED);
            event->delivery = delivery;
            tell(host, event);
            continue;
        }
        struct route *route = (struct route *)delivery->from;
        if (route->executor != executor && executor != NULL)
            executor_put(executor, &batch);
        executor = route->executor;
        list_put(&batch, node);
    }
    if (executor != NULL)
        executor_put(executor, &batch);
}

/* handle -> publish, or at once -> settle [executor's thread] */
static void on_handled(void *context, struct delivery *delivery, struct list *publications)
{
    struct host *host = context;
    if (publications->head == NULL) {
        struct list done = {0};
        list_put(&done, &delivery->node);
        consumer_settle(host->consumer, &done);
        return;
    }
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        ((struct publication *)node)->cause = delivery;
        delivery->unconfirmed++;
    }
    if (!publisher_send(host->publisher, publications)) { /* closing: the delivery goes back to its queue */
        list_free(publications);
        free(delivery);
    }
}

/* confirm -> settle [publisher's thread] */
static void on_settled(void *context, struct list *publications)
{
    struct host *host = context;
    struct list done = {0};
    for (struct node *node; (node = list_take(publications)) != NULL;) {
        struct publication *publication = (struct publication *)node;
        struct delivery *cause = publication->cause;
        if (publication->report) {
            struct event *event = event_new(SETTLED);
            event->publication = publication;
            tell(host, event);
            continue;
        }
        if (cause != NULL && publication->outcome != OUTCOME_CONFIRMED)
            cause->settlement = SETTLE_REJECT;
        if (cause != NULL && --cause->unconfirmed == 0)
            list_put(&done, &cause->node);
        free(publication);
    }
    consumer_settle(host->consumer, &done);
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

static void on_subscribed(void *context, struct subscription *subscription, bool up)
{
    struct event *event = event_new(SUBSCRIBED);
    event->subscription = subscription;
    event->up = up;
    tell(context, event);
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
    .delivered = on_delivered,
    .subscribed = on_subscribed,
    .watched = on_watched,
};

static const struct publisher_events publisher_events = {.connected = on_publishing, .settled = on_settled};

static const struct executor_events executor_events = {.handled = on_handled};

/* ---- the control thread ---- */

static void topic_changed(struct host *host, bool up)
{
    host->routes_up += up ? 1 : (size_t)-1;
    if (up && host->routes_up == host->route_count)
        log_info(host->log, "host", "consuming %zu topic%s", host->route_count, host->route_count == 1 ? "" : "s");
}

static void handle_event(struct host *host, struct event *event)
{
    switch (event->kind) {
    case RECEIVING:
        host->receiving = event->up;
        if (event->up && !host->publisher_started) {
            /* After the first connection, so that a broker that is not there is said, and waited for, once. */
            host->publisher_started = true;
            publisher_start(host->publisher);
        }
        registration_connected(host->registration, host->receiving, host->publishing);
        break;
    case PUBLISHING:
        host->publishing = event->up;
        registration_connected(host->registration, host->receiving, host->publishing);
        break;
    case GAVE_UP:
        host->gave_up = true;
        *host->fault = event->why;
        break;
    case SUBSCRIBED:
        if (event->subscription->kind == SUBSCRIBE_TOPIC)
            topic_changed(host, event->up);
        else if (event->subscription->kind == SUBSCRIBE_ANSWER)
            registration_subscribed(host->registration, event->subscription->owner, event->up);
        break;
    case MOV:
        registration_mov(host->registration, event->consumers);
        break;
    case NOTIFIED:
        if (event->delivery->from == &host->page)
            registration_paged(host->registration, event->delivery);
        else
            registration_notified(host->registration, event->delivery->from->owner, event->delivery);
        break;
    case SETTLED:
        registration_settled(host->registration, event->publication);
        break;
    }
    free(event);
}

static void show_health(struct host *host)
{
    bool at_work = host->receiving && host->publishing && host->routes_up == host->route_count && !host->stopping;
    char *text = at_work ? registration_text(host->registration) : NULL;
    health_show(host->health, text);
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
        {.fd = host->stopping ? -1 : host->signals, .events = POLLIN},
    };
    if (!queue_sleep(&host->events))
        return;
    int64_t now = clock_ms();
    poll(fds, 2, deadline > now ? (int)(deadline - now) : 0);
    queue_slept(&host->events);
}

/* Sleeps until something happens or is due, and sees to it. */
static void turn(struct host *host, int64_t until_ms)
{
    sleep_until(host, host->due < until_ms ? host->due : until_ms);
    take_events(host);
    int64_t now = clock_ms();
    host->due = registration_tend(host->registration, now);
    show_health(host);
    if (host->publisher_started)
        publisher_tend(host->publisher, host->receiving);
    for (size_t i = 0; i < host->seat_count; i++)
        executor_tend(host->seats[i].executor, now);
}

static bool asked_to_stop(struct host *host)
{
    struct signalfd_siginfo signal;
    if (read(host->signals, &signal, sizeof signal) != sizeof signal)
        return false;
    log_info(host->log, "host", "stopping on %s", signal.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    return true;
}

/* ---- starting and stopping, in order ---- */

static void at_second_signal(int signal)
{
    (void)signal;
    static const char words[] = "valawai-host: ended by a second signal\n";
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    _exit(1);
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

/* From here on the process can only be told to hurry. */
static void expect_second_signal(void)
{
    sigset_t set;
    struct sigaction action = {.sa_handler = at_second_signal};
    stop_signals(&set);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* What is only unwise does not keep a plugin from running, but is said. */
static void tell_warnings(struct log *log, const struct plugin *plugin)
{
    for (size_t i = 0; i < contract_findings(plugin->contract); i++) {
        const struct finding *finding = contract_finding(plugin->contract, i);
        log_warning(log, plugin->name, "%s: AsyncAPI document, line %u: %s", plugin->file, finding->place.line,
                    finding->text);
    }
}

static void seat_make(struct host *host, struct seat *seat, const struct plugin *plugin, size_t *subscription)
{
    const struct settings *settings = host->settings;
    tell_warnings(host->log, plugin);
    seat->services =
        services_new(plugin, host->mov, host->log, host->publisher, (size_t)settings->host.message_max_bytes);
    seat->component = (struct component){.plugin = plugin, .services = seat->services, .answers = &seat->answers};
    seat->answers.topic = plugin->registered;
    seat->answers.kind = SUBSCRIBE_ANSWER;
    seat->answers.owner = &seat->component;
    host->subscriptions[(*subscription)++] = &seat->answers;

    struct executor_options options = {
        .plugin = plugin,
        .services = seat->services,
        .log = host->log,
        .attempts = (uint32_t)settings->host.attempts,
        .slow_ms = settings->host.slow_seconds * 1000,
        .events = &executor_events,
        .context = host,
    };
    seat->executor = executor_new(&options);
    for (size_t i = 0; i < plugin->topic_count; i++) {
        struct route *route = &host->routes[host->route_count++];
        route->executor = seat->executor;
        route->subscription.topic = plugin->entry.topics[i].name;
        route->subscription.kind = SUBSCRIBE_TOPIC;
        route->subscription.owner = (void *)(uintptr_t)&plugin->entry.topics[i];
        atomic_init(&route->subscription.wanted, true);
        host->subscriptions[(*subscription)++] = &route->subscription;
    }
}

static struct broker broker_of(const struct settings *settings)
{
    return (struct broker){
        .endpoints = settings->broker.endpoints,
        .endpoint_count = settings->broker.endpoint_count,
        .tls = settings->broker.tls,
        .tls_ca = settings->broker.tls_ca,
        .tls_certificate = settings->broker.tls_certificate,
        .tls_key = settings->broker.tls_key,
        .username = settings->broker.username,
        .password = settings->broker.password,
        .virtual_host = settings->broker.virtual_host,
        .heartbeat = (int)settings->broker.heartbeat,
        .max_retries = (int)settings->broker.max_retries,
        .retry_sleep = (int)settings->broker.retry_sleep,
        .reconnect_ms = (int)settings->broker.reconnect_max * 1000,
    };
}

static struct publisher *make_publisher(struct host *host, const struct plugins *plugins)
{
    size_t count = 0;
    for (size_t i = 0; i < plugins->count; i++)
        count += contract_topics(plugins->at[i]->contract);
    const char **topics = memory_new((count + 1) * sizeof *topics);
    struct publisher_options options = {
        .broker = broker_of(host->settings),
        .log = host->log,
        .outbox_max_bytes = (size_t)host->settings->host.outbox_max_bytes,
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
    free(topics);
    return publisher;
}

static void make_parts(struct host *host, const struct plugins *plugins)
{
    const struct settings *settings = host->settings;
    size_t topics = 0, subscriptions = 0;
    for (size_t i = 0; i < plugins->count; i++)
        topics += plugins->at[i]->topic_count;
    host->mov = contract_of_mov();
    host->publisher = make_publisher(host, plugins);
    host->seats = memory_new(plugins->count * sizeof *host->seats);
    host->routes = memory_new((topics + 1) * sizeof *host->routes);
    host->subscriptions = memory_new((topics + plugins->count + 1) * sizeof(struct subscription *));
    struct component **components = memory_new(plugins->count * sizeof(struct component *));
    for (size_t i = 0; i < plugins->count; i++) {
        struct seat *seat = &host->seats[host->seat_count++];
        seat_make(host, seat, plugins->at[i], &subscriptions);
        components[i] = &seat->component;
    }
    host->page.topic = PAGE_TOPIC;
    host->page.kind = SUBSCRIBE_SHARED;
    host->subscriptions[subscriptions++] = &host->page;
    struct consumer_options options = {
        .broker = broker_of(settings),
        .log = host->log,
        .prefetch = (uint16_t)settings->broker.prefetch,
        .message_max_bytes = (uint64_t)settings->host.message_max_bytes,
        .watched_queue = REGISTER_TOPIC,
        .events = &consumer_events,
        .context = host,
    };
    host->consumer = consumer_new(&options, host->subscriptions, subscriptions);
    host->health = health_new(settings->log_directory, settings->health_file_name, host->log);
    host->registration = registration_new(components, plugins->count, host->publisher, host->health, host->log);
    free(components);
    registration_use(host->registration, host->consumer, &host->page);
}

/* One after the other; a stop that is asked for meanwhile ends the wait. */
static enum started start_plugins(struct host *host)
{
    enum started started = STARTED;
    for (size_t i = 0; i < host->seat_count && started == STARTED; i++) {
        executor_start(host->seats[i].executor);
        do
            started = executor_started(host->seats[i].executor, 100, host->fault);
        while (started == STARTING && !asked_to_stop(host));
    }
    return started;
}

/* True if every plugin has come to its end. */
static bool join_plugins(struct host *host, int64_t until_ms)
{
    bool all = true;
    for (size_t i = 0; i < host->seat_count; i++)
        all = executor_join(host->seats[i].executor, until_ms) && all;
    return all;
}

static bool stop_plugins(struct host *host, int64_t deadline)
{
    for (size_t i = 0; i < host->seat_count; i++)
        executor_close(host->seats[i].executor);
    bool joined = join_plugins(host, deadline);
    if (!publisher_drain(host->publisher, host->publisher_started ? deadline : 0))
        log_warning(host->log, "host",
                    "the broker has not confirmed everything in time; it will hand those messages out again");
    publisher_close(host->publisher);
    if (joined)
        return true;
    joined = join_plugins(host, clock_ms() + 500); /* those that waited for room in the outbox */
    if (!joined)
        log_warning(host->log, "host", "a handler has not come back in time; its message goes back to its queue");
    return joined;
}

static void unregister(struct host *host, int64_t deadline)
{
    registration_leave(host->registration);
    host->due = 0;
    while (host->publishing && !registration_left(host->registration) && clock_ms() < deadline)
        turn(host, deadline);
}

/* Stops consuming, finishes what is in hand, puts the rest back, withdraws. True if every part came to its end. */
static bool stop(struct host *host)
{
    int64_t deadline = clock_ms() + host->settings->host.grace_seconds * 1000;
    host->stopping = true;
    expect_second_signal();
    health_show(host->health, NULL);
    for (size_t i = 0; i < host->route_count; i++)
        consumer_want(host->consumer, &host->routes[i].subscription, false);
    bool ended = stop_plugins(host, deadline);
    unregister(host, deadline > clock_ms() + 1000 ? deadline : clock_ms() + 1000);
    ended = consumer_stop(host->consumer, clock_ms() + 2000) && ended;
    if (host->publisher_started)
        ended = publisher_stop(host->publisher, clock_ms() + 2000) && ended;
    return ended;
}

static void free_parts(struct host *host)
{
    /* Publications and deliveries that were not settled go with publisher and consumer. */
    take_events(host);
    publisher_free(host->publisher);
    consumer_free(host->consumer);
    registration_free(host->registration);
    health_free(host->health);
    for (size_t i = 0; i < host->seat_count; i++) {
        executor_free(host->seats[i].executor);
        services_free(host->seats[i].services);
    }
    contract_free(host->mov);
    free(host->seats);
    free(host->routes);
    free(host->subscriptions);
    queue_destroy(&host->events);
    if (host->signals >= 0)
        close(host->signals);
}

bool host_run(const struct settings *settings, const struct plugins *plugins, struct log *log, struct fault *fault)
{
    struct host host = {.settings = settings, .log = log, .fault = fault, .signals = -1};
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before the first thread: they inherit it */
    host.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    queue_init(&host.events, true);
    make_parts(&host, plugins);

    enum started started = start_plugins(&host);
    bool ended = true;
    if (started == STARTED) {
        consumer_start(host.consumer);
        while (!host.gave_up && !asked_to_stop(&host))
            turn(&host, INT64_MAX);
        ended = stop(&host);
    } else {
        for (size_t i = 0; i < host.seat_count; i++)
            executor_close(host.seats[i].executor);
        ended = join_plugins(&host, clock_ms() + settings->host.grace_seconds * 1000);
    }
    bool as_asked = started != START_FAILED && !host.gave_up;
    if (as_asked)
        log_info(log, "host", "stopped");
    if (!ended) { /* what still runs uses what would be freed */
        if (!as_asked)
            log_last_words(log, fault->text);
        _exit(as_asked ? 0 : 1);
    }
    free_parts(&host);
    return as_asked;
}
