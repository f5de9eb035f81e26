/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * file: reads plugins.conf with libconfuse, which only file.c uses. Private to this room. */
#ifndef SETTINGS_FILE_H
#define SETTINGS_FILE_H

#include <stdbool.h>

#include "base/fault.h"
#include "settings/settings.h"

/* Reads the file over the current settings, and adds its plugin sections. A fault names file and line. */
bool settings_read_file(struct settings *settings, const char *path, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
