/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * directory: changes of the plugin directory, by inotify. A change counts once no program is writing to a file of the
 * directory. Belongs to the control thread. */
#ifndef RUN_DIRECTORY_H
#define RUN_DIRECTORY_H

#include <stdint.h>

#include "base/log.h"

struct directory {
    const char *path;
    struct log *log;
    int fd;             /* of inotify; -1: there is none */
    int64_t watch_at;   /* when to watch it: it may not be there; INT64_MAX: it is watched */
    int64_t changed_at; /* 0: it has not changed */
    char writing[256];  /* the name of a file that is written; "": none */
};

void directory_watch(struct directory *directory, const char *path, struct log *log);
void directory_close(struct directory *directory);

/* Takes what has happened. Returns when a change counts; INT64_MAX: there is none. */
int64_t directory_tend(struct directory *directory, int64_t now);

/* The change has been taken. */
void directory_taken(struct directory *directory);

#endif
