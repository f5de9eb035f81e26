/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * load: the file of a plugin, from its path to its code in memory. The only user of dlopen. The file is opened once:
 * what is checked is what is loaded, whatever the path leads to meanwhile. A damaged file, and a constructor that
 * crashes, exits or hangs, is found by a child process that loads it first. */
#ifndef PLUGIN_LOAD_H
#define PLUGIN_LOAD_H

#include <stdbool.h>

#include "base/fault.h"

#define LOAD_WAIT_MS 10000 /* for the constructors of a plugin; what takes longer belongs into its start */

/* Opens the file at an absolute path without links. Refuses a file that another user could change or replace, and one
 * that is not a whole shared object of this machine. */
bool load_check(const char *path, int *fd, struct fault *fault) __attribute__((warn_unused_result));

/* Loads it in a child process, and reads its descriptor there. False: that ended badly. */
bool load_try(int fd, const char *path, int wait_ms, struct fault *fault) __attribute__((warn_unused_result));

/* The handle of dlopen, after load_try(); NULL with the reason. It is never unmapped. */
void *load_open(int fd, const char *path, struct fault *fault);

#endif
