/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * signals: SIGTERM and SIGINT stop the host. SIGHUP stops it when its terminal closes, and asks for a reload if it has
 * no controlling terminal. The signals are blocked before any other code runs, so every thread of
 * the host, of a plugin, and of a plugin's libraries inherits the mask, and no signal kills the process. An early
 * signal stays pending until the host reads it, also in a process with id 1, for which the kernel discards signals that
 * are neither handled nor blocked. */
#ifndef RUN_SIGNALS_H
#define RUN_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/log.h"

struct signals;

/* The first call in main(). SIGHUP stays ignored if it was ignored before (nohup). */
void signals_hold(void);

/* For verbs that a signal ends like any program, even if the parent process left the signals blocked. */
void signals_release(void);

struct signals *signals_new(struct log *log, struct fault *fault) __attribute__((warn_unused_result));
void signals_free(struct signals *signals);

/* Starts a thread that reads the signals while plugins are loaded, which the host cannot interrupt. After the first
 * signal, loading may take grace_ms; then the process ends with status 0, because nothing is registered yet. */
void signals_watch(struct signals *signals, int64_t grace_ms);
void signals_unwatch(struct signals *signals);

/* Protects the signals from plugins. If a plugin unblocks them on its thread, they still stop the host. If it handles
 * or ignores them, this call takes them back and logs it once. Children of fork() get the signals unblocked and with
 * their default disposition. */
void signals_keep(struct signals *signals);

/* True once after SIGHUP to a host without a controlling terminal: it asks for a reload there. */
bool signals_hung_up(struct signals *signals);

/* True after a signal. The first call that returns true logs it. [one thread] */
bool signals_stop(struct signals *signals);

/* The descriptor is readable when a signal is pending. */
int signals_fd(const struct signals *signals);

/* From here on the calling thread receives the signals, and each ends the process with status 1, except SIGHUP: a
 * closed terminal and its shell both send one. */
void signals_hurry(struct signals *signals);

#endif
