/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * parts: makes the parts of the host, and passes their events to the control thread. */
#include "run/parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/text.h"

#define PAGES_PREFETCH 1000 /* answers to other programs that may precede ours */

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

/* [consumer's thread] Messages of the MOV to the host. */
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

/* [publisher's thread] Outcomes of the registration's messages to the MOV. */
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

/* [executor's thread] */
static void on_renewed(void *context, const struct plugin *plugin, const char *version, const char *why)
{
    struct event *event = event_new(RENEWED);
    event->plugin = plugin;
    snprintf(event->version, sizeof event->version, "%s", version == NULL ? "" : version);
    fault_set(&event->why, "%s", why == NULL ? "" : why);
    tell(context, event);
}

/* ---- events of the connections ---- */

static void on_receiving(void *context, const char *version)
{
    struct event *event = event_new(RECEIVING);
    event->up = version != NULL;
    snprintf(event->version, sizeof event->version, "%s", version == NULL ? "" : version);
    tell(context, event);
}

static void on_publishing(void *context, bool up)
{
    struct event *event = event_new(PUBLISHING);
    event->up = up;
    tell(context, event);
}

static void on_blocked(void *context, bool blocked)
{
    struct event *event = event_new(BLOCKED);
    event->up = blocked;
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

/* The queries read the state of the subscription themselves; this only wakes the control thread. */
static void on_page_listening(struct subscription *subscription, bool up)
{
    on_subscribed(subscription, up, PAGE_LISTENING);
}

static void on_removed(void *context, struct subscription *subscription)
{
    struct event *event = event_new(FORGOTTEN);
    event->subscription = subscription;
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
    .watched = on_watched,
    .removed = on_removed,
};

static const struct publisher_events publisher_events = {.connected = on_publishing, .blocked = on_blocked};

/* ---- making them ---- */

/* The components, for the names of the connections. The caller frees the text. */
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

static void make_ring(struct host *host, const struct plugins *plugins)
{
    const struct settings *settings = host->settings;
    struct ring_options ring = {
        .settings = settings,
        .plugins = plugins,
        .log = host->log,
        .transport =
            {.settle = carry_settle, .send = carry_send, .record = carry_record, .flush = carry_flush, .context = host},
        .exporter = host->exporter,
        .keeps_dead_letters = settings->host.dead_letters == DEAD_LETTERS_KEEP,
        .ask = on_asked,
        .started = on_started,
        .renewed = on_renewed,
        .context = host,
    };
    host->ring = ring_new(&ring);
}

void host_subscribe_member(struct host *host, struct member *member)
{
    member->answers = (struct subscription){
        .topic = member->plugin->registered,
        .kind = SUBSCRIBE_ANSWER,
        .receiver = host,
        .owner = &member->component,
        .component = member->plugin->name,
        .delivered = on_notified,
        .changed = on_listening,
    };
    for (size_t i = 0; i < member->seat->route_count; i++) {
        struct subscription *subscription = &member->seat->routes[i].subscription;
        subscription->receiver = host;
        subscription->delivered = on_delivered;
        subscription->changed = on_consuming;
    }
}

static void make_pages(struct host *host)
{
    host->pages[QUERY_COMPONENTS].topic = COMPONENT_PAGES_TOPIC;
    host->pages[QUERY_CONNECTIONS].topic = "valawai/topology/page";
    for (int i = 0; i < 2; i++) {
        host->pages[i].kind = SUBSCRIBE_SHARED;
        host->pages[i].receiver = host;
        host->pages[i].prefetch = PAGES_PREFETCH;
        host->pages[i].delivered = on_paged;
        host->pages[i].changed = on_page_listening;
    }
}

/* The subscriptions in force at the start: every member's, then the pages. */
static struct subscription **subscriptions_of(struct host *host, size_t *count)
{
    size_t most = 2;
    for (size_t i = 0; i < host->member_count; i++)
        most += 1 + host->members[i]->seat->route_count;
    struct subscription **all = memory_new(most * sizeof(struct subscription *));
    for (size_t i = 0; i < host->member_count; i++)
        all[(*count)++] = &host->members[i]->answers;
    for (size_t i = 0; i < host->member_count; i++)
        for (size_t r = 0; r < host->members[i]->seat->route_count; r++)
            all[(*count)++] = &host->members[i]->seat->routes[r].subscription;
    for (int i = 0; i < 2; i++)
        all[(*count)++] = &host->pages[i];
    return all;
}

static void make_consumer(struct host *host)
{
    const struct settings *settings = host->settings;
    struct text names = component_names(host->plugins);
    size_t count = 0;
    struct subscription **subscriptions = subscriptions_of(host, &count);
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
    host->consumer = consumer_new(&options, subscriptions, count);
    free(subscriptions);
    text_free(&names);
}

/* [http's thread] */
static unsigned long on_reload(void *context, const char *name)
{
    return reload_ask(context, name);
}

/* [http's thread] */
static void on_put_reload(void *context, unsigned long request, struct text *out)
{
    reload_put_json(context, request, out);
}

static struct http *make_http(struct host *host)
{
    const struct settings *settings = host->settings;
    return http_start(&(struct http_options){
        .directory = settings->log_directory,
        .listen = settings->http.listen == NULL ? NULL : &settings->http.address,
        .listen_text = settings->http.listen,
        .log = host->log,
        .look = show_look,
        .looked = show_looked,
        .tick = show_tick,
        .context = host->show,
        .reload = on_reload,
        .put_reload = on_put_reload,
        .reloading = host->reload,
    });
}

static void make_registration(struct host *host)
{
    struct component **components = memory_new((host->member_count + 1) * sizeof(struct component *));
    for (size_t i = 0; i < host->member_count; i++)
        components[i] = &host->members[i]->component;
    host->registration = registration_new(components, host->member_count, host->publisher, host->health, host->log,
                                          (struct sender){.confirmed = on_confirmed, .context = host});
    free(components);
}

void host_make_parts(struct host *host, const struct run_options *options)
{
    host->notify = notify_new(host->log);
    notify_show(host->notify, false, "starting the plugins");
    host->exporter = exporter_start(host->settings, host->log);
    host->publisher = make_publisher(host, host->plugins);
    host->reload = reload_new(&(struct reload_options){
        .settings = host->settings,
        .config = options->config,
        .paths = options->paths,
        .path_count = options->path_count,
        .plugins = host->plugins,
        .log = host->log,
        .waking = &host->events,
    });
    make_ring(host, host->plugins);
    members_make(host);
    make_pages(host);
    make_consumer(host);
    make_registration(host);
    host->queries = queries_new(host->publisher, (uint32_t)host->settings->broker.delivery_limit,
                                (struct sender){.confirmed = on_confirmed, .context = host});
    struct subscription *const pages[] = {&host->pages[QUERY_COMPONENTS], &host->pages[QUERY_CONNECTIONS]};
    queries_use(host->queries, host->consumer, pages);
    registration_use(host->registration, host->consumer, host->queries);
    host->show = show_new(host->settings, host->ring, host->publisher, host->log);
    changes_show_refused(host);
    host->http = make_http(host);
}

void host_free_parts(struct host *host)
{
    host_take_events(host);
    http_free(host->http);
    show_free(host->show);
    publisher_free(host->publisher);
    consumer_free(host->consumer);
    registration_free(host->registration);
    health_free(host->health);
    notify_free(host->notify);
    queries_free(host->queries);
    members_free(host);
    ring_free(host->ring);
    exporter_free(host->exporter);
    reload_free(host->reload);
    changes_free(host);
    queue_destroy(&host->events);
}
