/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * file: plugins.conf, by libconfuse, which only file.c knows. Private to this room. */
#ifndef SETTINGS_FILE_H
#define SETTINGS_FILE_H

#include <stdbool.h>

#include "base/fault.h"
#include "settings/settings.h"

/* Reads the file over what the settings hold, and adds its plugin sections. A fault names file and line. */
bool settings_read_file(struct settings *settings, const char *path, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
