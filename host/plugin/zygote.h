/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * zygote: the process that workers are forked from. It is made first, while the host has one thread, no connection, no
 * secret and no plugin, so no worker has any of that either. A worker starts in a millisecond and shares the pages of
 * the others. The zygote waits for the ends of the workers and tells the host how each one ended. */
#ifndef PLUGIN_ZYGOTE_H
#define PLUGIN_ZYGOTE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"

struct zygote;

/* Before the first thread. NULL with the reason: there can be no workers. */
struct zygote *zygote_start(struct fault *fault);

/* No more workers. Those that are left end. */
void zygote_end(struct zygote *zygote);

struct offspring {
    pid_t pid; /* and the id of its process group */
    int end;   /* becomes readable when it has ended */
};

/* [any thread] Forks a worker that talks over the socket: of the plugin at path, with the shared page, or one that runs
 * a command of the shell, with the socket as its standard input and output. */
bool zygote_fork(struct zygote *zygote, const char *path, int socket, int page, struct offspring *offspring,
                 struct fault *fault) __attribute__((warn_unused_result));
bool zygote_fork_command(struct zygote *zygote, const char *command, int socket, struct offspring *offspring,
                         struct fault *fault) __attribute__((warn_unused_result));

/* How it ended, as waitpid() tells it. Waits that long. False: it has not, or the zygote is gone. Closes `end` if it
 * has. */
bool offspring_ended(struct offspring *offspring, int wait_ms, int *status);

/* Sends the signal to all processes of its group. */
void offspring_signal(const struct offspring *offspring, int signal);
void offspring_forget(struct offspring *offspring);

#endif
