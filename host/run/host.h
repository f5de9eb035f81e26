/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * host: the ring. receive -> route -> handle -> publish -> confirm -> settle. */
#ifndef RUN_HOST_H
#define RUN_HOST_H

#include "base/log.h"
#include "plugin/plugin.h"
#include "run/signals.h"
#include "settings/settings.h"

struct run_options {
    const struct settings *settings;
    const char *config; /* the file that the command line names; NULL: none */
    char *const *paths; /* of plugins that the command line names */
    size_t path_count;
    struct plugins *plugins; /* open; a reload adds and frees some */
    struct signals *signals;
    struct log *log;
};

/* Carries messages between the broker and the plugins until SIGTERM, SIGINT or SIGHUP. True: stopped as asked. */
bool host_run(const struct run_options *options, struct fault *fault) __attribute__((warn_unused_result));

#endif
