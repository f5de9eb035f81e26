/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ring: receive -> route -> handle -> publish -> confirm -> settle, for whatever transport carries the messages.
 *
 * A delivery is acknowledged only when every publication of its handler is confirmed. All reliability follows from this
 * rule: after a fault before that, the broker still owns the message and delivers it again. */
#ifndef RUN_RING_H
#define RUN_RING_H

#include "otel/exporter.h"
#include "plugin/executor.h"
#include "settings/settings.h"

/* The destination of a subscription's deliveries. The subscription is the first member, because a delivery refers to
 * it. */
struct route {
    struct subscription subscription;
    struct executor *executor;
    struct seat *seat;
};

/* A plugin with its parts of the ring. */
struct seat {
    const struct plugin *plugin;
    struct services *services;
    struct executor *executor;
    struct route *routes; /* one for each topic that the plugin handles */
    size_t route_count;
    struct seat *next_parked;
    bool started;
    const char *waits; /* why the plugin does not work though it has started; NULL: it does */
};

struct ring_options {
    const struct settings *settings;
    const struct plugins *plugins; /* at the start; ring_add() adds others */
    struct log *log;
    struct transport transport;
    struct exporter *exporter; /* of traces; NULL: tracing is off */
    bool keeps_dead_letters;   /* rejected messages move to TOPIC/dead */
    /* [any thread] A plugin's query to the MOV; services_reply() ends it. */
    void (*ask)(void *context, struct plugin_query *question);
    /* [any thread] A plugin has returned from its start. May be NULL. */
    void (*started)(void *context);
    /* [executor's thread] As worker_use says. May be NULL. */
    void (*renewed)(void *context, const struct plugin *plugin, const char *version, const char *why);
    void *context;
};

struct ring {
    struct ring_options options;
    struct sender sender;       /* of the handlers' publications, and of dead letters */
    char host[256];             /* the name of the machine */
    const struct contract *mov; /* the contract of the MOV's own queues */
    struct seat **seats;
    size_t seat_count;
    struct seat *parked; /* of plugins that have ended */
};

struct ring *ring_new(const struct ring_options *options);
void ring_free(struct ring *ring); /* after ring_join() returned true, or if no plugin was started */

/* Starts all plugins at the same time. */
void ring_start(struct ring *ring);

/* The result of the starts; waits until then for those that have not returned. START_FAILED: a plugin cannot run. Sets
 * `started` of each seat. */
enum started ring_started(struct ring *ring, int64_t until_ms, struct fault *fault) __attribute__((warn_unused_result));

/* A further plugin, which executor_start() starts. Its subscriptions have no receiver yet. */
struct seat *ring_add(struct ring *ring, const struct plugin *plugin);

/* Frees a seat: its executor has ended, its account is idle, and no delivery refers to its routes. */
void ring_remove(struct ring *ring, struct seat *seat);

/* The same, but keeps it to the end of the ring. */
void ring_park(struct ring *ring, struct seat *seat);

/* The subscription of a topic; NULL: no plugin handles it. */
struct subscription *ring_find(const struct ring *ring, const char *topic);

/* [any thread] receive -> route: deliveries of the ring's routes. Empties the list. */
void ring_deliver(struct ring *ring, struct list *deliveries);

/* Warns of slow handlers. Call it about once a second. */
void ring_tend(struct ring *ring, int64_t now);

/* Finishes the calls in hand, and waits for answers of tickets until until_ms. */
void ring_close(struct ring *ring, int64_t until_ms);

/* True if every plugin has ended. */
bool ring_join(struct ring *ring, int64_t until_ms) __attribute__((warn_unused_result));

#endif
