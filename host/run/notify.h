/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * notify: messages to a service manager (systemd, Type=notify): that the host is ready, a line of status, that it
 * stops, and, for a watchdog, that the control thread still turns. A message is a few words in a datagram, which needs
 * no library. Without NOTIFY_SOCKET in the environment nothing is sent.
 *
 * All functions belong to the control thread. */
#ifndef RUN_NOTIFY_H
#define RUN_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

struct notify;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them from the environment, so that a process that a
 * plugin starts cannot speak for the host. Call it before a thread of the host or of a started plugin runs. */
struct notify *notify_new(struct log *log);
void notify_free(struct notify *notify);

/* A line of status; ready: every component is at work. systemd knows no way back from ready; a status can change. */
void notify_show(struct notify *notify, bool ready, const char *status);

/* The last message. */
void notify_stopping(struct notify *notify);

/* Sends what could not be sent before, and the sign of life. Returns the time at which it has to be called again. */
int64_t notify_tend(struct notify *notify, int64_t now);

#endif
