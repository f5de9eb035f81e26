/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * zygote: the process that workers are forked from. It is forked first, while the host has one thread, no connection,
 * no secret and no plugin, so no worker inherits any of these. A worker starts in a millisecond and shares the pages of
 * the others. The zygote watches the limits of the workers, waits for their ends, and tells the host how each one
 * ended.
 *
 * If the zygote ends, the workers that run go on. The next one is forked by another zygote: this program, executed
 * anew, so that it inherits nothing of the host either. */
#ifndef PLUGIN_ZYGOTE_H
#define PLUGIN_ZYGOTE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"
#include "plugin/limits.h"

#define ZYGOTE_ARGUMENT "--zygote" /* of a program that is to be one, with its socket as standard input */

struct zygote;

/* Before the first thread. NULL with the reason: there can be no workers. */
struct zygote *zygote_start(struct fault *fault);

/* The main function of another zygote. */
_Noreturn void zygote_main(void);

/* Ends the zygote and every worker that is left. */
void zygote_end(struct zygote *zygote);

struct offspring {
    pid_t pid;       /* and the id of its process group */
    int end;         /* becomes readable when it has ended */
    bool by_another; /* the zygote had ended, and another one has forked it */
};

/* How it ended. */
struct offspring_end {
    int status;         /* as waitpid() tells it */
    struct fault limit; /* the limit that it exceeded; "": none */
};

/* What a worker is made of. */
struct seed {
    const char *path; /* of the plugin, … */
    bool is_command;  /* … or a command of the shell, with the socket as its standard input and output */
    int socket;       /* to the host */
    int page;         /* shared with the host; -1: none */
    struct limits limits;
};

/* [any thread] Forks a worker. */
bool zygote_fork(struct zygote *zygote, const struct seed *seed, struct offspring *offspring, struct fault *fault)
    __attribute__((warn_unused_result));

/* How it ended. Waits that long. False: it has not, or its zygote has ended. Closes `end` if it has. */
bool offspring_ended(struct offspring *offspring, int wait_ms, struct offspring_end *end);

/* Sends the signal to all processes of its group. */
void offspring_signal(const struct offspring *offspring, int signal);
void offspring_forget(struct offspring *offspring);

#endif
