/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * host: the control thread, and the order of start and stop. */
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
#include "base/thread.h"
#include "broker/reach.h"
#include "plugin/blame.h"
#include "run/parts.h"
#include "run/shutdown.h"

#define START_MS 500          /* the wait for all plugins before the host connects; slower ones join later */
#define PLUGIN_QUERY_MS 10000 /* for the MOV's answer to a plugin's query */
#define KEEP_MS 2000          /* between two checks of the signals, when nothing happens */
#define TRACES_MS 1000        /* for the last spans */
#define DISK_MS 500           /* the least time for the health file and the ledger at the end */

/* ---- the control thread ---- */

static void topic_changed(struct host *host, bool up)
{
    host->consumed = members_consumed(host);
    if (up && host->consumed.up == host->consumed.all)
        log_info(host->log, "host", "consuming %zu topic%s", host->consumed.all, host->consumed.all == 1 ? "" : "s");
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
        if (event->up)
            snprintf(host->broker_version, sizeof host->broker_version, "%.*s", VIEW_VERSION_MAX - 1, event->version);
        host->reconnects += event->up && host->received;
        host->received = host->received || event->up;
        if (event->up && !host->publisher_started && !host->stopping) {
            /* After the first connection, so that only one thread reports a missing broker and waits for it. */
            host->publisher_started = true;
            publisher_start(host->publisher);
        }
        registration_connected(host->registration, host->receiving, host->publishing);
        break;
    case PUBLISHING:
        host->publishing = event->up;
        host->reconnects += event->up && host->published;
        host->published = host->published || event->up;
        queries_connected(host->queries, event->up);
        registration_connected(host->registration, host->receiving, host->publishing);
        break;
    case BLOCKED:
        registration_blocked(host->registration, event->up);
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
        if (!queries_confirmed(host->queries, event->publication))
            registration_confirmed(host->registration, event->publication);
        break;
    case ASKED:
        ask(host, event->query);
        break;
    case STARTED_ONE: /* members_tend() finds out which */
        break;
    case FORGOTTEN:
        members_forgotten(host, event->subscription);
        break;
    case RENEWED:
        changes_renewed(host, event->plugin, event->version[0] == '\0' ? NULL : event->version, event->why.text);
        break;
    }
    free(event);
}

/* One line for people: the progress of the host. */
static void show_status(struct host *host, bool healthy)
{
    const char *plural = host->consumed.all == 1 ? "" : "s";
    char text[128];
    if (!host->receiving || !host->publishing)
        snprintf(text, sizeof text, "waiting for the broker");
    else if (host->consumed.up < host->consumed.all)
        snprintf(text, sizeof text, "consuming %zu of %zu topic%s", host->consumed.up, host->consumed.all, plural);
    else
        snprintf(text, sizeof text, "%s, consuming %zu topic%s", healthy ? "registered" : "waiting for the MOV",
                 host->consumed.all, plural);
    notify_show(host->notify, healthy, text);
}

static void show_health(struct host *host)
{
    bool at_work = host->receiving && host->publishing && host->consumed.up == host->consumed.all &&
                   host->refused_count == 0 && members_are_whole(host) && !host->stopping;
    char *text = at_work ? registration_text(host->registration) : NULL;
    health_show(host->health, text);
    show_status(host, health_is_shown(host->health));
    free(text);
}

/* For the HTTP interface. */
static void note_state(struct host *host, int64_t now)
{
    show_note(host->show,
              &(struct show_state){.registration = host->registration,
                                   .receiving = host->receiving,
                                   .publishing = host->publishing,
                                   .stopping = host->stopping,
                                   .reconnects = host->reconnects,
                                   .broker_version = host->broker_version},
              now);
    http_beat(host->http, now);
}

void host_take_events(struct host *host)
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
        {.fd = host->stopping ? -1 : reload_fd(host->reload), .events = POLLIN},
    };
    if (!queue_sleep(&host->events))
        return;
    int64_t now = clock_ms();
    poll(fds, 3, deadline > now ? (int)(deadline - now) : 0);
    if ((fds[0].revents & POLLNVAL) != 0 || (fds[1].revents & POLLNVAL) != 0)
        log_fatal(DESCRIPTORS_CLOSED);
    queue_slept(&host->events);
}

/* Waits a moment for the plugins. Most are ready at once; the others join later. True if the host can begin to work. */
static bool await_starts(struct host *host)
{
    int64_t until = clock_ms() + START_MS;
    ring_start(host->ring);
    do {
        int64_t soon = clock_ms() + 50; /* to check for a stop */
        host->started = ring_started(host->ring, soon < until ? soon : until, host->fault);
    } while (host->started == STARTING && clock_ms() < until && !signals_stop(host->signals));
    members_begin(host);
    host->consumed = members_consumed(host);
    return host->started != START_FAILED && !signals_stop(host->signals);
}

static int64_t sooner(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* Members that come and go, and the plan of a reload. Neither matters when the host stops. */
static int64_t tend_members(struct host *host, int64_t now)
{
    if (host->stopping)
        return INT64_MAX;
    if (signals_hung_up(host->signals))
        reload_hangup(host->reload);
    int64_t due = changes_tend(host, now);
    due = sooner(due, members_tend(host, now));
    host->consumed = members_consumed(host);
    return due;
}

/* Sleeps until an event comes or something is due, and handles it. */
static void turn(struct host *host, int64_t until_ms)
{
    sleep_until(host, host->due < until_ms ? host->due : until_ms);
    host_take_events(host);
    signals_keep(host->signals);
    int64_t now = clock_ms();
    host->due = tend_members(host, now);
    host->due = sooner(host->due, registration_tend(host->registration, now));
    host->due = sooner(host->due, queries_tend(host->queries, now));
    show_health(host);
    host->due = sooner(host->due, notify_tend(host->notify, now));
    if (host->publisher_started)
        publisher_tend(host->publisher, host->receiving);
    ring_tend(host->ring, now);
    note_state(host, now);
}

static bool asked_to_stop(void *context)
{
    return signals_stop(((const struct host *)context)->signals);
}

/* ---- start and stop, in order ---- */

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
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i]->known && host->members[i]->state < MEMBER_DRAINING)
            for (size_t r = 0; r < host->members[i]->seat->route_count; r++)
                consumer_want(host->consumer, &host->members[i]->seat->routes[r].subscription, false);
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

/* The deadline, or later: the disk has at least DISK_MS. */
static int64_t no_sooner(int64_t deadline)
{
    int64_t least = clock_ms() + DISK_MS;
    return deadline > least ? deadline : least;
}

/* The arguments of the control thread, and its result. */
struct run {
    const struct run_options *options;
    struct fault *fault;
    bool as_asked;
};

static bool control(const struct run_options *options, struct fault *fault)
{
    const struct settings *settings = options->settings;
    struct signals *signals = options->signals;
    struct log *log = options->log;
    struct host host = {.settings = settings,
                        .plugins = options->plugins,
                        .log = log,
                        .fault = fault,
                        .signals = signals,
                        .threads = thread_count()};

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
    host_make_parts(&host, options);
    signals_keep(signals);

    bool ended = true;
    int64_t deadline;
    if (await_starts(&host)) {
        health_start(host.health, on_written, &host);
        consumer_start(host.consumer);
        while (!host.gave_up && host.started != START_FAILED && !asked_to_stop(&host))
            turn(&host, clock_ms() + KEEP_MS);
        host.stopping = true;
        http_ending(host.http);
        note_state(&host, clock_ms());
        signals_hurry(signals);
        deadline = clock_ms() + settings->host.grace_seconds * 1000;
        ended = shutdown_run(&shutdown_steps, &host, settings->host.grace_seconds * 1000);
        ended = health_stop(host.health, no_sooner(deadline)) && ended;
    } else {
        if (host.started != START_FAILED) /* a signal ended the wait */
            signals_hurry(signals);
        deadline = clock_ms() + settings->host.grace_seconds * 1000;
        ring_close(host.ring, deadline - SHUTDOWN_ANSWERS_MS);
        ended = ring_join(host.ring, deadline);
    }
    ended = reload_stop(host.reload, no_sooner(deadline)) && ended;
    ended = exporter_stop(host.exporter, clock_ms() + TRACES_MS) && ended;
    bool silent = http_stop(host.http, no_sooner(deadline));
    if (silent && host.publisher_started)
        show_log_totals(host.show);
    ended = silent && ended;
    bool as_asked = host.started != START_FAILED && !host.gave_up;
    if (as_asked)
        log_info(log, "host", "stopped");
    if (ended && thread_wait_down_to(host.threads + lookup_threads())) {
        host_free_parts(&host);
        return as_asked;
    }
    /* Running parts still use this memory. */
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

static void *control_run(void *argument)
{
    struct run *run = argument;
    thread_name("vh-control");
    run->as_asked = control(run->options, run->fault);
    return NULL;
}

/* The control thread is not the main thread, because the name of the main thread is the name of the process, as `pgrep`
 * sees it.
 * */
bool host_run(const struct run_options *options, struct fault *fault)
{
    struct run run = {options, fault, false};
    pthread_join(thread_start(control_run, &run), NULL);
    signals_release(); /* a second signal ends the log, too */
    return run.as_asked;
}
