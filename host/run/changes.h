/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * changes: applies the plans of run/reload.h to the members. Belongs to the control thread. */
#ifndef RUN_CHANGES_H
#define RUN_CHANGES_H

#include <stdint.h>

struct host;
struct plugin;

/* Begins a reload that is due, and applies the plan of one that has ended. Returns when to call again. */
int64_t changes_tend(struct host *host, int64_t now);

/* Another file of a plugin has taken over in its process, or has not; version or why is NULL. */
void changes_renewed(struct host *host, const struct plugin *plugin, const char *version, const char *why);

/* Shows the plugins that cannot run. */
void changes_show_refused(struct host *host);
void changes_free(struct host *host);

#endif
