/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * notify: what a service manager (systemd, Type=notify) hears of us: that we are ready, a line of status, that we stop,
 * and, if it keeps a watchdog, that the control thread still turns. The protocol is a few words in a datagram, so no
 * library is needed for it. Without NOTIFY_SOCKET in the environment nothing is sent.
 *
 * All functions belong to the control thread. */
#ifndef RUN_NOTIFY_H
#define RUN_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

struct notify;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment: what a plugin starts is
 * not to speak for us. So it comes before the first thread. */
struct notify *notify_new(struct log *log);
void notify_free(struct notify *notify);

/* A line of status; ready: the component is at work. That is told once and cannot be taken back, the status can. */
void notify_show(struct notify *notify, bool ready, const char *status);

/* The last that is said. */
void notify_stopping(struct notify *notify);

/* Sends what could not be sent before, and the sign of life; returns when there is something to do again. */
int64_t notify_tend(struct notify *notify, int64_t now);

#endif
