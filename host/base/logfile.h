/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * logfile: the rotating file of the log. If the file cannot be written, one record on the console gives the reason, and
 * the host tries again. A file or directory that was removed is made again. Symbolic links are not followed, because a
 * user who can write in the directory could make the host append to any file.
 *
 * It has no lock: one thread at a time. */
#ifndef BASE_LOGFILE_H
#define BASE_LOGFILE_H

#include <stddef.h>

#include "base/log.h"

struct logfile;

/* complain: receives a sentence about a failure. Returns NULL if the options name no file. */
struct logfile *logfile_new(const struct log_options *options, void (*complain)(void *context, const char *what),
                            void *context);
void logfile_free(struct logfile *file);

/* Call it before the first write. It waits for the disk. */
void logfile_open(struct logfile *file);

/* Whole lines, each ending with '\n'. */
void logfile_write(struct logfile *file, const char *lines, size_t len);

/* Opens the file again if its name no longer refers to it. */
void logfile_tend(struct logfile *file);

#endif
