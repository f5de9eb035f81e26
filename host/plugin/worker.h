/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker: a plugin in a process of its own, as the host sees it. It is a plugin like any other: it has a descriptor,
 * and an executor calls its handlers. They only pass the message on, and the verdict comes with the worker's frames.
 * The executor and the ring provide validation, attempts, order, dead letters and shutdown.
 *
 * When the process ends, another one is made, and the messages of the old one are given to it. Messages that the plugin
 * had begun are suspects: each is retried alone, and is rejected after some attempts. */
#ifndef PLUGIN_WORKER_H
#define PLUGIN_WORKER_H

#include "plugin/executor.h"
#include "plugin/zygote.h"

struct worker;

/* Makes the process, which loads the plugin and tells its descriptor. The plugin has it, and its document is not judged
 * yet. is_command: path is a command of the shell, which talks over its standard input and output.
 * limits: of each process that it has. */
bool worker_open(struct zygote *zygote, const char *path, bool is_command, const struct limits *limits,
                 struct plugin **plugin, struct fault *fault) __attribute__((warn_unused_result));
void worker_free(struct worker *worker);

/* A plugin that fails to start ends the host, because the command line names it. */
void worker_require(struct worker *worker);

struct worker_use {
    struct log *log;
    uint32_t attempts;
    unsigned threads;
    size_t message_max_bytes;
    int64_t slow_ms;    /* a handler that takes longer is named */
    int64_t handler_ms; /* one that takes longer is ended; 0: never */
    int64_t grace_ms;   /* for the messages that the plugin has begun when another file takes over */
    /* [executor's thread] It went down, or is up again. */
    void (*changed)(void *context);
    /* [executor's thread] The file of worker_renew() of this version has taken over; or it has not, and why. */
    void (*renewed)(void *context, const struct plugin *plugin, const char *version, const char *why);
    void *context;
};

/* Before its executor is made, with the link. */
void worker_use(struct worker *worker, const struct worker_use *use);
const struct executor_link *worker_link(const struct worker *worker);

/* True if the other file of the plugin can take over without another registration and other topics. */
bool worker_can_renew(const struct worker *worker, const struct worker *other) __attribute__((warn_unused_result));

/* Another file of the plugin takes over, with its options: the plugin that worker_open() has made of it, which
 * worker_can_renew(). Its start runs while the current process goes on. When it has succeeded, the current process
 * finishes the messages that it has begun, and the others wait for the new one. Takes ownership of the plugin. After
 * the start of the executor. */
void worker_renew(struct worker *worker, struct plugin *plugin);

/* [any thread] True while the plugin can handle messages. */
bool worker_is_up(const struct worker *worker);

/* [any thread] The memory that its process has; 0: there is none. */
uint64_t worker_bytes(const struct worker *worker);

#endif
