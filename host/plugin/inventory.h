/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inventory: tells the log which plugins are loaded, with what each is to do, and which files of the plugin directory
 * plugins.conf excludes. */
#ifndef PLUGIN_INVENTORY_H
#define PLUGIN_INVENTORY_H

#include <stdbool.h>

#include "base/log.h"
#include "plugin/plugin.h"
#include "settings/settings.h"

/* named: the plugins are those of the command line, so plugins.conf excludes none. */
void inventory_log(const struct settings *settings, const struct plugins *plugins, bool named, struct log *log);

#endif
