/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * signals: SIGTERM, SIGINT and SIGHUP ask the host to stop. They are blocked before any other code runs, so that every
 * thread inherits the mask and none of them dies of a signal: threads of the host, of a plugin, and of a library that a
 * plugin links. A signal that comes early waits until the host reads it, also in a process with id 1, for which the
 * kernel discards a signal that has neither a handler nor a mask. */
#ifndef RUN_SIGNALS_H
#define RUN_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/log.h"

struct signals;

/* The first call in main(). SIGHUP stays ignored if it was (nohup). */
void signals_hold(void);

/* For a verb that ends on a signal as any program does, also when the parent process left the signals blocked. */
void signals_release(void);

struct signals *signals_new(struct log *log, struct fault *fault) __attribute__((warn_unused_result));
void signals_free(struct signals *signals);

/* While plugins are loaded, which the host cannot interrupt, a thread reads the signals. After the first one loading
 * has grace_ms to come to its end; then the process ends with status 0, since nothing is registered yet. */
void signals_watch(struct signals *signals, int64_t grace_ms);
void signals_unwatch(struct signals *signals);

/* A plugin may unblock the signals on its thread: they still stop the host. It may take their handlers: then the host
 * takes them back when this is called, and says so once. Processes that fork() makes get the signals as they are in any
 * program, unblocked and with the default disposition. */
void signals_keep(struct signals *signals);

/* True once a signal has asked the host to stop. The first call that says so logs it. [one thread] */
bool signals_stop(struct signals *signals);

/* Readable when there is a signal. */
int signals_fd(const struct signals *signals);

/* From here on the calling thread takes the signals, and each ends the process with status 1. SIGHUP does not: a
 * terminal that is closed sends it more than once, by itself and by its shell. */
void signals_hurry(struct signals *signals);

#endif
