/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * notify: messages to a service manager (systemd, Type=notify): the host is ready, a line of status, the host stops,
 * and, for a watchdog, the control thread is alive. A message is a datagram with a few words, which needs no library.
 * Without NOTIFY_SOCKET in the environment nothing is sent.
 *
 * All functions belong to the control thread. */
#ifndef RUN_NOTIFY_H
#define RUN_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

struct notify;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them from the environment, so that a process started
 * by a plugin cannot send messages for the host. Call it before any thread of the host or of a plugin runs. */
struct notify *notify_new(struct log *log);
void notify_free(struct notify *notify);

/* Sends a line of status. ready: every component works. For systemd a service never becomes unready, but its status can
 * change. */
void notify_show(struct notify *notify, bool ready, const char *status);

/* The last message. */
void notify_stopping(struct notify *notify);

/* Sends an unsent message, and the watchdog message when it is due. Returns when to call again. */
int64_t notify_tend(struct notify *notify, int64_t now);

#endif
