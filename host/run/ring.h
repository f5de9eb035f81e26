/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ring: receive -> route -> handle -> publish -> confirm -> settle, for whatever transport carries the messages.
 *
 * A delivery is settled only when every publication that its handling made is confirmed. That one rule is all of the
 * reliability: whatever breaks in between, the delivery is still the broker's, and comes again. */
#ifndef RUN_RING_H
#define RUN_RING_H

#include "otel/exporter.h"
#include "plugin/executor.h"
#include "settings/settings.h"

/* What is said when the process has more threads after ring_join() than before. */
#define PLUGIN_LEFT_THREADS "a plugin has left threads running behind its stop; it is to join them there"

/* Where the deliveries of a subscription go. The subscription comes first: a delivery knows only that. */
struct route {
    struct subscription subscription;
    struct executor *executor;
    const struct plugin *plugin;
};

/* A plugin with what the ring has for it. */
struct seat {
    const struct plugin *plugin;
    struct services *services;
    struct executor *executor;
    bool started;
};

struct ring_options {
    const struct settings *settings;
    const struct plugins *plugins;
    struct log *log;
    struct transport transport;
    struct exporter *exporter; /* of traces; NULL: they are off */
    bool keeps_dead_letters;   /* rejected messages move to TOPIC/dead */
    /* [any thread] A plugin's question to the MOV; services_reply() ends it. */
    void (*ask)(void *context, struct plugin_query *question);
    /* [any thread] A plugin has returned from its start. May be NULL. */
    void (*started)(void *context);
    void *context;
};

struct ring {
    struct ring_options options;
    struct sender sender; /* of what handlers publish, and of dead letters */
    char host[256];       /* the name of the machine */
    struct contract *mov; /* the contract of the MOV's own queues */
    struct seat *seats;   /* in the order of the plugins */
    size_t seat_count;
    struct route *routes;
    size_t route_count;
};

struct ring *ring_new(const struct ring_options *options);
void ring_free(struct ring *ring); /* after ring_join() said true, or if no plugin was started */

/* Starts the plugins, all at the same time. */
void ring_start(struct ring *ring);

/* What became of them, waiting until then for those that have not returned from their start. START_FAILED: one of them
 * cannot run. Sets `started` of each seat. */
enum started ring_started(struct ring *ring, int64_t until_ms, struct fault *fault) __attribute__((warn_unused_result));

/* [any thread] receive -> route: deliveries of the ring's routes. Empties the list. */
void ring_deliver(struct ring *ring, struct list *deliveries);

/* Warns of what takes long; to be called every second or so. */
void ring_tend(struct ring *ring, int64_t now);

/* Lets what is in hand end; answers that are to come later are waited for until until_ms. */
void ring_close(struct ring *ring, int64_t until_ms);

/* True if every plugin has come to its end. */
bool ring_join(struct ring *ring, int64_t until_ms) __attribute__((warn_unused_result));

#endif
