/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * show: what the HTTP interface shows of the host. The control thread notes states; whoever asks gets a copy of them,
 * and reads the counters where they are counted. Neither waits for the other for longer than that copy takes, and no
 * thread that carries messages waits for either. */
#ifndef RUN_SHOW_H
#define RUN_SHOW_H

#include "broker/publisher.h"
#include "http/view.h"
#include "mov/registration.h"
#include "run/ring.h"

struct show;

struct show *show_new(const struct settings *settings, const struct ring *ring, const struct publisher *publisher,
                      struct log *log);
void show_free(struct show *show); /* when nothing looks any more */

/* What the control thread knows. */
struct show_state {
    const struct registration *registration;
    bool receiving, publishing, stopping;
    uint64_t reconnects;
};

/* [control thread] To be called whenever something may have changed. Each change of a component's state is a record. */
void show_note(struct show *show, const struct show_state *state, int64_t now);

/* [control thread] One record of what was done since the start; when http's thread has ended. */
void show_log_totals(struct show *show);

/* [http's thread] As http_options says. */
void show_look(void *context, struct view *view);
void show_tick(void *context, int64_t now);

#endif
