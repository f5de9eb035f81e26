/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * parts: the parts of the host, and the events from their threads to the control thread. For run/host.c. */
#ifndef RUN_PARTS_H
#define RUN_PARTS_H

#include "broker/consumer.h"
#include "broker/publisher.h"
#include "http/http.h"
#include "mov/health.h"
#include "mov/queries.h"
#include "mov/registration.h"
#include "run/changes.h"
#include "run/host.h"
#include "run/members.h"
#include "run/notify.h"
#include "run/reload.h"
#include "run/ring.h"
#include "run/show.h"
#include "run/signals.h"

/* An event of another thread for the control thread. */
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
        STARTED_ONE,
        FORGOTTEN,
        RENEWED
    } kind;
    bool up;
    unsigned consumers;
    struct subscription *subscription;
    struct delivery *delivery;
    struct publication *publication;
    struct plugin_query *query;
    const struct plugin *plugin;
    char version[64]; /* RENEWED: of the file that has taken over; "": it has not; RECEIVING: of the broker */
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
    struct exporter *exporter; /* of traces; NULL: tracing is off */
    struct reload *reload;
    struct plugins *plugins; /* all that are open */
    struct member **members; /* those that have a seat */
    size_t member_count;
    struct shown **refused; /* plugins that cannot run, as status shows them */
    size_t refused_count;
    bool refused_due;             /* to be shown anew */
    struct subscription pages[2]; /* to the queues on which the MOV answers queries */

    struct queue events;
    int64_t due; /* when there is work without an event */
    bool receiving, publishing, publisher_started;
    char broker_version[VIEW_VERSION_MAX]; /* of the last receiving connection; "": unknown */
    bool received, published;              /* there has been a connection */
    uint64_t reconnects;                   /* of both connections */
    struct consumed consumed;              /* topics */
    enum started started;                  /* of the plugins, all together */
    bool gave_up, stopping;
    struct fault *fault;
    struct signals *signals;
    unsigned long threads; /* of the process, before those of the host and the plugins */
};

/* Makes the other parts. host already has its settings, plugins, log, health file and queue of events. */
void host_make_parts(struct host *host, const struct run_options *options);

/* Fills in the subscriptions of a member. */
void host_subscribe_member(struct host *host, struct member *member);

/* Frees unsettled deliveries and unconfirmed publications with consumer and publisher. */
void host_free_parts(struct host *host);

/* Handles the events of other threads; runs on the control thread. */
void host_take_events(struct host *host);

#endif
