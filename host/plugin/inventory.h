/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inventory: logs the loaded plugins with their topics and settings, and the files of the plugin directory that
 * plugins.conf excludes. */
#ifndef PLUGIN_INVENTORY_H
#define PLUGIN_INVENTORY_H

#include <stdbool.h>

#include "base/log.h"
#include "plugin/plugin.h"
#include "settings/settings.h"

/* named: the command line names the plugins, so plugins.conf excludes none. */
void inventory_log(const struct settings *settings, const struct plugins *plugins, bool named, struct log *log);

#endif
