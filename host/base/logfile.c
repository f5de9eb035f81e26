/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/file.h"
#include "base/memory.h"

#define REOPEN_MS 5000 /* between attempts to open the file after a failure */
#define LOOK_MS 2000   /* between two checks that the file still exists */

struct logfile {
    const struct log_options *options;
    void (*complain)(void *context, const char *what);
    void *context;
    char *path;
    int fd; /* -1: not open */
    off_t size;
    bool failed;        /* reported on the console; not again until a write succeeds */
    bool rotate_failed; /* the same for a rotation */
    int64_t reopen_at, look_at;
};

static void tell_once(struct logfile *file, bool *said, const char *what, const char *instead)
{
    int error = errno;
    if (*said)
        return;
    *said = true;
    const char *why = error == ELOOP ? "it is a symbolic link" : strerror(error);
    char *text = memory_format("%s: cannot %s: %s; %s", file->path, what, why, instead);
    file->complain(file->context, text);
    free(text);
}

static void lose(struct logfile *file, const char *what)
{
    tell_once(file, &file->failed, what, "continuing without the log file");
}

/* The directory cannot be written: one record reports that everything in it is lost. */
static void lose_directory(struct logfile *file)
{
    int error = errno;
    const struct log_options *options = file->options;
    if (file->failed)
        return;
    file->failed = true;
    char *text =
        memory_format("%s%suser %u cannot write to the log directory %s: %s; let that user write there (chown, "
                      "chmod, a volume) or choose another directory; until then there is no log file%s%s",
                      options->setting == NULL ? "" : options->setting, options->setting == NULL ? "" : ": ",
                      (unsigned)geteuid(), options->directory, strerror(error),
                      options->beside == NULL ? "" : " and no ", options->beside == NULL ? "" : options->beside);
    file->complain(file->context, text);
    free(text);
}

static bool is_forbidden(int error)
{
    return error == EACCES || error == EROFS || error == EPERM;
}

/* True if nothing can be written in the log file's directory. */
static bool directory_is_forbidden(const struct logfile *file)
{
    return file->options->file_name[0] != '/' &&
           faccessat(AT_FDCWD, file->options->directory, W_OK | X_OK, AT_EACCESS) != 0 && is_forbidden(errno);
}

static void try_open(struct logfile *file)
{
    file->reopen_at = clock_ms() + REOPEN_MS;
    if (!directory_make(file->options->directory)) {
        if (is_forbidden(errno) && file->options->file_name[0] != '/')
            lose_directory(file);
        else
            lose(file, "make its directory");
        return;
    }
    file->fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0644);
    if (file->fd < 0) {
        int error = errno;
        bool forbidden = is_forbidden(error) && directory_is_forbidden(file);
        errno = error;
        if (forbidden)
            lose_directory(file);
        else
            lose(file, "open it");
        return;
    }
    struct stat status;
    bool known = fstat(file->fd, &status) == 0;
    if (known && (status.st_mode & S_IRUSR) == 0 && status.st_size == 0) /* made under a plugin's umask */
        fchmod(file->fd, 0644);
    file->size = known ? status.st_size : 0;
}

static void close_it(struct logfile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* The number of an older log file: 7 for name.7; 0: it is none. */
static long backup_number(const char *name, const char *log_name)
{
    size_t len = strlen(log_name);
    if (strncmp(name, log_name, len) != 0 || name[len] != '.' || name[len + 1] < '1' || name[len + 1] > '9' ||
        strlen(name + len + 1) > 4)
        return 0;
    char *end = NULL;
    long number = strtol(name + len + 1, &end, 10);
    return *end == '\0' && number <= LOG_BACKUPS_MAX ? number : 0;
}

static bool rotates(const struct logfile *file)
{
    return file->options->max_bytes > 0 && file->options->backup_count > 0;
}

/* Removes older log files of an earlier run with a higher backup count. A log that never rotates removes none, because
 * the files of other programs (logrotate) have the same names. */
static void remove_old_backups(const struct logfile *file)
{
    if (!rotates(file))
        return;
    const char *slash = strrchr(file->path, '/');
    char *parent = memory_format("%.*s", slash == file->path ? 1 : (int)(slash - file->path), file->path);
    DIR *directory = opendir(parent);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        if (backup_number(entry->d_name, slash + 1) > file->options->backup_count)
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    free(parent);
}

static void rotate(struct logfile *file)
{
    for (long i = file->options->backup_count; i > 0; i--) {
        char *older = memory_format("%s.%ld", file->path, i);
        char *newer = i == 1 ? memory_text(file->path) : memory_format("%s.%ld", file->path, i - 1);
        bool moved = rename(newer, older) == 0 || errno == ENOENT;
        if (!moved)
            tell_once(file, &file->rotate_failed, "rotate it", "it grows over its size");
        free(older);
        free(newer);
        if (!moved)
            return; /* continues in the same file: a long file is better than lost records */
    }
    file->rotate_failed = false;
    close_it(file);
    try_open(file);
}

/* The length of the whole lines that still fit into the file. */
static size_t fitting(const struct logfile *file, const char *lines, size_t len)
{
    if (!rotates(file))
        return len;
    size_t part = 0;
    while (part < len) {
        const char *end = memchr(lines + part, '\n', len - part);
        size_t with = end == NULL ? len : (size_t)(end - lines) + 1;
        if (file->size + (off_t)part > 0 && file->size + (off_t)with > file->options->max_bytes)
            break;
        part = with;
    }
    return part;
}

static size_t first_line(const char *lines, size_t len)
{
    const char *end = memchr(lines, '\n', len);
    return end == NULL ? len : (size_t)(end - lines) + 1;
}

/* Writes the lines. A line that a failure cuts off is removed and lost; the others are kept. Returns the number of
 * bytes that are written or lost, which is not 0. */
static size_t append(struct logfile *file, const char *lines, size_t len)
{
    size_t done = 0;
    ssize_t written = 0;
    while (done < len && ((written = write(file->fd, lines + done, len - done)) > 0 || (written < 0 && errno == EINTR)))
        done += written > 0 ? (size_t)written : 0;
    int error = errno;
    if (done < len)
        while (done > 0 && lines[done - 1] != '\n')
            done--;
    file->size += (off_t)done;
    if (done > 0)
        file->failed = false;
    if (done == len)
        return len;
    (void)!ftruncate(file->fd, file->size); /* if this fails, half a line remains */
    errno = error;
    lose(file, "write it");
    return done + first_line(lines + done, len - done);
}

/* True if a file is open for writing. */
static bool is_open(struct logfile *file)
{
    if (file->fd >= 0 && fcntl(file->fd, F_GETFD) < 0) { /* a plugin has closed it; the reason must still be written */
        file->fd = -1;
        file->reopen_at = 0;
    }
    if (clock_ms() >= file->look_at)
        logfile_tend(file);
    if (file->fd < 0 && clock_ms() >= file->reopen_at)
        try_open(file);
    return file->fd >= 0;
}

void logfile_write(struct logfile *file, const char *lines, size_t len)
{
    while (len > 0 && is_open(file)) {
        size_t part = fitting(file, lines, len);
        if (part == 0) {
            rotate(file);
            if (file->fd < 0)
                return;
            part = first_line(lines, len);
        }
        size_t done = append(file, lines, part);
        lines += done;
        len -= done;
    }
}

void logfile_tend(struct logfile *file)
{
    struct stat there, ours;
    file->look_at = clock_ms() + LOOK_MS;
    if (file->fd < 0 || fstat(file->fd, &ours) != 0)
        return;
    if (lstat(file->path, &there) == 0 && there.st_dev == ours.st_dev && there.st_ino == ours.st_ino) {
        file->size = ours.st_size; /* another program may have truncated it */
        return;
    }
    close_it(file);
    try_open(file);
}

struct logfile *logfile_new(const struct log_options *options, void (*complain)(void *context, const char *what),
                            void *context)
{
    if (options->file_name == NULL || options->file_name[0] == '\0')
        return NULL;
    struct logfile *file = memory_new(sizeof *file);
    file->options = options;
    file->complain = complain;
    file->context = context;
    file->fd = -1;
    file->path = options->file_name[0] == '/' ? memory_text(options->file_name)
                                              : memory_format("%s/%s", options->directory, options->file_name);
    return file;
}

void logfile_open(struct logfile *file)
{
    try_open(file);
    remove_old_backups(file);
}

void logfile_free(struct logfile *file)
{
    if (file == NULL)
        return;
    close_it(file);
    free(file->path);
    free(file);
}
