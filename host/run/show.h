/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * show: the state of the host for the HTTP interface. The control thread notes states; a request copies them, and reads
 * the counters directly. The control thread waits for a reply only when a component comes or goes, and no thread that
 * carries messages waits for either. */
#ifndef RUN_SHOW_H
#define RUN_SHOW_H

#include "broker/publisher.h"
#include "http/view.h"
#include "mov/registration.h"
#include "run/ring.h"

struct show;

struct show *show_new(const struct settings *settings, const struct ring *ring, const struct publisher *publisher,
                      struct log *log);
void show_free(struct show *show); /* after the last call of show_look() */

/* [control thread] A component, or a plugin that cannot run and why, until it is removed. Waits for the end of a reply
 * that is being written. */
struct shown;
struct shown *show_add(struct show *show, const struct seat *seat, const struct component *component);
struct shown *show_add_refused(struct show *show, const char *path, const char *why);
void show_remove(struct show *show, struct shown *shown);
void show_version(struct show *show, struct shown *shown, const char *version); /* another file has taken over */

/* The control thread's part of the state. */
struct show_state {
    const struct registration *registration;
    bool receiving, publishing, stopping;
    uint64_t reconnects;
    const char *broker_version; /* of the last connection; "": unknown */
};

/* [control thread] Call it when something may have changed. Each change of a component's state is a record. */
void show_note(struct show *show, const struct show_state *state, int64_t now);

/* [control thread] One record of what was done since the start; when http's thread has ended. */
void show_log_totals(struct show *show);

/* [http's thread] As http_options says. */
void show_look(void *context, struct view *view);
void show_looked(void *context, struct view *view);
void show_tick(void *context, int64_t now);

#endif
