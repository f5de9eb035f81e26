/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * load: the file of a plugin, from its path to its code in memory. The only user of dlopen. The file is opened once, so
 * the loaded file is the checked one, even if the path changes. A child process loads the file first, to find a damaged
 * file and a constructor that crashes, exits or hangs. */
#ifndef PLUGIN_LOAD_H
#define PLUGIN_LOAD_H

#include <stdbool.h>

#include "base/fault.h"

#define LOAD_WAIT_MS 10000 /* for the constructors of a plugin; slower work belongs in its start */

/* From here on load_check() returns a copy of the file, so that a program which overwrites the file changes nothing of
 * a plugin that is loaded. Not for a verb under which an author debugs a plugin, because tools such as valgrind look
 * for the file. A plugin with libraries in its directory is not copied. */
void load_make_copies(void);

/* Opens the file at an absolute path without links. Refuses a file that another user could change or replace, and one
 * that is not a complete shared object for this machine. */
bool load_check(const char *path, int *fd, struct fault *fault) __attribute__((warn_unused_result));

/* Loads the file in a child process, and reads its descriptor there. False: the child failed. */
bool load_try(int fd, const char *path, int wait_ms, struct fault *fault) __attribute__((warn_unused_result));

/* Returns the handle of dlopen, after load_try(); NULL with the reason. The code is never unmapped. */
void *load_open(int fd, const char *path, struct fault *fault);
/* The same without load_try(), where a crash of its constructors costs nothing: in a worker. */
void *load_open_untried(int fd, const char *path, struct fault *fault);

#endif
