/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * logfile: the rotating file of the log. A file that cannot be written costs the file, and one record on the console
 * says why; it is tried again. A file or directory that was removed is made again. Symbolic links are not followed:
 * a user who can write in the directory could make the host append to any file.
 *
 * No locks: one thread at a time. */
#ifndef BASE_LOGFILE_H
#define BASE_LOGFILE_H

#include <stddef.h>

#include "base/log.h"

struct logfile;

/* complain: takes a sentence that says what the file cannot do. NULL: the options name no file. */
struct logfile *logfile_new(const struct log_options *options, void (*complain)(void *context, const char *what),
                            void *context);
void logfile_free(struct logfile *file);

/* Before the first write; what takes time on a disk that hangs. */
void logfile_open(struct logfile *file);

/* Whole lines, each ending with '\n'. */
void logfile_write(struct logfile *file, const char *lines, size_t len);

/* Opens the file again if it is not the one that its name means any more. */
void logfile_tend(struct logfile *file);

#endif
