/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Not a plugin, but a library for LD_PRELOAD. write() to a file with HANGING_FILE in its name, and fsync() of one with
 * HANGING_SYNC in its name, block while a file HANGING_WHILE exists, as on a network disk without its server.
 * */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int hangs(int fd, const char *variable)
{
    const char *name = getenv(variable), *as_long_as = getenv("HANGING_WHILE");
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (name == NULL || as_long_as == NULL || len < 0)
        return 0;
    path[len] = '\0';
    return strstr(path, name) != NULL && access(as_long_as, F_OK) == 0;
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *bytes, size_t len)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    while (fd > STDERR_FILENO && hangs(fd, "HANGING_FILE"))
        nanosleep(&moment, NULL);
    return syscall(SYS_write, fd, bytes, len);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    while (hangs(fd, "HANGING_SYNC"))
        nanosleep(&moment, NULL);
    return (int)syscall(SYS_fsync, fd);
}
