/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * parts: the parts of the host, and the events by which their threads reach the control thread. For run/host.c. */
#ifndef RUN_PARTS_H
#define RUN_PARTS_H

#include "broker/consumer.h"
#include "broker/publisher.h"
#include "http/http.h"
#include "mov/health.h"
#include "mov/queries.h"
#include "mov/registration.h"
#include "run/host.h"
#include "run/notify.h"
#include "run/ring.h"
#include "run/show.h"
#include "run/signals.h"

/* What other threads tell the control thread. */
struct event {
    struct node node;
    enum {
        RECEIVING,
        PUBLISHING,
        BLOCKED,
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
    struct show *show;
    struct http *http;
    struct exporter *exporter;           /* of traces; NULL: they are off */
    struct component *components;        /* for registration, one for each seat */
    struct subscription *answers;        /* where the MOV answers them */
    struct subscription pages[2];        /* where the MOV answers queries */
    struct subscription **subscriptions; /* all of them */

    struct queue events;
    int64_t due; /* when there is something to do though nothing happens */
    bool receiving, publishing, publisher_started;
    bool received, published; /* there was a connection already */
    uint64_t reconnects;      /* of the two together */
    size_t routes_up;
    enum started started; /* of the plugins, all together */
    bool gave_up, stopping;
    struct fault *fault;
    struct signals *signals;
    unsigned long threads; /* of the process, before ours and the plugins' */
};

/* Makes all that host does not have yet. host has its settings, log, health file and queue of events. */
void host_make_parts(struct host *host, const struct plugins *plugins);

/* Publications and deliveries that are not settled go with publisher and consumer. */
void host_free_parts(struct host *host);

/* Handles what other threads have told; the control thread's. */
void host_take_events(struct host *host);

#endif
