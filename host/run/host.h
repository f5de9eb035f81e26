/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * host: the ring. receive -> route -> handle -> publish -> confirm -> settle. */
#ifndef RUN_HOST_H
#define RUN_HOST_H

#include "base/log.h"
#include "plugin/plugin.h"
#include "run/signals.h"
#include "settings/settings.h"

/* Carries messages between the broker and the plugins until SIGTERM, SIGINT or SIGHUP. True: stopped as asked. */
bool host_run(const struct settings *settings, const struct plugins *plugins, struct signals *signals, struct log *log,
              struct fault *fault) __attribute__((warn_unused_result));

#endif
