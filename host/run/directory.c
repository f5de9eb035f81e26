/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/directory.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SETTLE_MS 300    /* without a change of the directory, before the host looks */
#define WRITING_MS 10000 /* that a file which is written keeps it waiting */
#define WATCH_MS 2000    /* between two attempts to watch a directory that is not there */
#define EVENTS                                                                                                         \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF |   \
     IN_MOVE_SELF | IN_ONLYDIR)

static void say_unwatched(const struct directory *directory, const char *why)
{
    log_warning(directory->log, "host",
                "cannot watch the plugin directory %s: %s; use valawai-host reload after a change", directory->path,
                why);
}

static void watch(struct directory *directory, int64_t now)
{
    if (directory->fd < 0 || now < directory->watch_at)
        return;
    bool watches = inotify_add_watch(directory->fd, directory->path, EVENTS) >= 0;
    if (!watches && errno != ENOENT && errno != ENOTDIR && directory->watch_at == 0)
        say_unwatched(directory, strerror(errno));
    directory->watch_at = watches ? INT64_MAX : now + WATCH_MS;
    if (watches && now != 0)
        directory->changed_at = now;
}

static void take_event(struct directory *directory, const struct inotify_event *event, int64_t now)
{
    const char *name = event->len > 0 ? event->name : "";
    directory->changed_at = now;
    if ((event->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0)
        directory->watch_at = now;
    if ((event->mask & IN_MODIFY) != 0 && strlen(name) < sizeof directory->writing)
        memcpy(directory->writing, name, strlen(name) + 1);
    else if ((event->mask & (IN_CLOSE_WRITE | IN_MOVED_FROM | IN_DELETE)) != 0 && strcmp(name, directory->writing) == 0)
        directory->writing[0] = '\0';
}

static void take_events(struct directory *directory, int64_t now)
{
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t len;
    while (directory->fd >= 0 && (len = read(directory->fd, bytes, sizeof bytes)) > 0) {
        for (const char *at = bytes; at < bytes + len;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            take_event(directory, event, now);
            at += sizeof *event + event->len;
        }
    }
}

/* When the directory has settled; INT64_MAX: it has not changed. */
static int64_t settled_at(const struct directory *directory)
{
    if (directory->changed_at == 0)
        return INT64_MAX;
    return directory->changed_at + (directory->writing[0] != '\0' ? WRITING_MS : SETTLE_MS);
}

int64_t directory_tend(struct directory *directory, int64_t now)
{
    watch(directory, now);
    take_events(directory, now);
    return settled_at(directory);
}

void directory_taken(struct directory *directory)
{
    directory->changed_at = 0;
}

void directory_watch(struct directory *directory, const char *path, struct log *log)
{
    *directory = (struct directory){.path = path, .log = log};
    directory->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (directory->fd < 0) {
        directory->watch_at = INT64_MAX;
        say_unwatched(directory, strerror(errno));
    }
    watch(directory, 0);
}

void directory_close(struct directory *directory)
{
    if (directory->fd >= 0)
        close(directory->fd);
}
