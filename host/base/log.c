/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/text.h"

#define REOPEN_MS 5000 /* between attempts to open a file that could not be opened */

struct log {
    struct log_options options;
    char *path;
    pthread_mutex_t lock; /* all below */
    int file;             /* -1: not open */
    off_t file_size;
    bool file_failed;   /* said on the console; not again until it worked */
    bool rotate_failed; /* the same */
    int64_t reopen_at;
    time_t second;  /* that the clock shows */
    char clock[32]; /* "2026-11-22 15:51:13,382", of the record in hand */
    size_t clock_len;
    char process[16];                        /* id, as text */
    struct text said, line, console, record; /* scratch: a record costs no allocation */
};

static const struct {
    const char *name;
    long level;
} level_names[] = {
    {"DEBUG", LOG_DEBUG}, {"INFO", LOG_INFO},      {"WARNING", LOG_WARNING},   {"WARN", LOG_WARNING},
    {"ERROR", LOG_ERROR}, {"FATAL", LOG_CRITICAL}, {"CRITICAL", LOG_CRITICAL},
};

bool log_level_read(const char *name, long *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcasecmp(name, level_names[i].name) == 0) {
            *level = level_names[i].level;
            return true;
        }
    }
    return false;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "DEBUG";
    case LOG_INFO:
        return "INFO";
    case LOG_WARNING:
        return "WARNING";
    case LOG_ERROR:
        return "ERROR";
    case LOG_CRITICAL:
        return "CRITICAL";
    }
    return "CRITICAL";
}

/* True if everything was written. A console that goes away (EPIPE) is nobody's loss. */
static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        len -= (size_t)written;
    }
    return true;
}

/* Records come many to a second: only the milliseconds are written anew. */
static void set_clock(struct log *log)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != log->second) {
        struct tm local;
        localtime_r(&now.tv_sec, &local);
        log->clock_len = strftime(log->clock, sizeof log->clock - 4, "%Y-%m-%d %H:%M:%S", &local);
        log->second = now.tv_sec;
    }
    int ms = (int)(now.tv_nsec / 1000000);
    memcpy(log->clock + log->clock_len,
           (char[]){',', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10)}, 4);
}

static void put_clock(struct log *log, struct text *record)
{
    text_put(record, log->clock, log->clock_len + 4);
}

static void put_number(struct text *text, unsigned number)
{
    char digits[16], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    text_put(text, at, (size_t)(digits + sizeof digits - at));
}

/* said: on one line already, as all that the formats below are given. */
static void console_record(struct log *log, enum log_level level, const char *name, const char *said, size_t len)
{
    struct text *record = &log->console;
    text_clear(record);
    put_clock(log, record);
    text_put(record, " [", 2);
    text_puts(record, level_name(level));
    text_put(record, "] ", 2);
    text_puts(record, name);
    text_put(record, ": ", 2);
    text_put(record, said, len);
    text_put(record, "\n", 1);
    write_all(STDERR_FILENO, record->at, record->len);
}

static void console_complain(struct log *log, char *said)
{
    struct text line = {0};
    text_put_line(&line, said, strlen(said));
    set_clock(log);
    console_record(log, LOG_ERROR, "host", line.at, line.len);
    text_free(&line);
    free(said);
}

/* Says what the file cannot do, unless that was said already. */
static void file_complain(struct log *log, bool *complained, const char *what, const char *instead)
{
    int error = errno;
    if (*complained)
        return;
    *complained = true;
    console_complain(log, memory_format("%s: cannot %s: %s; %s", log->path, what, strerror(error), instead));
}

static void file_lost(struct log *log, const char *what)
{
    file_complain(log, &log->file_failed, what, "going on without the log file");
}

/* The directory itself is the fault: everything that is to be written there is lost, and one record says so. */
static void directory_lost(struct log *log)
{
    int error = errno;
    const struct log_options *options = &log->options;
    if (log->file_failed)
        return;
    log->file_failed = true;
    console_complain(
        log, memory_format("%s%suser %u cannot write to the log directory %s: %s; let that user write there "
                           "(chown, chmod, a volume) or choose another directory; until then there is no log "
                           "file%s%s",
                           options->setting == NULL ? "" : options->setting, options->setting == NULL ? "" : ": ",
                           (unsigned)geteuid(), options->directory, strerror(error),
                           options->beside == NULL ? "" : " and no ", options->beside == NULL ? "" : options->beside));
}

static bool is_forbidden(int error)
{
    return error == EACCES || error == EROFS || error == EPERM;
}

/* True if the log file is to be in the directory, and nothing can be. */
static bool directory_is_forbidden(const struct log *log)
{
    return log->options.file_name[0] != '/' &&
           faccessat(AT_FDCWD, log->options.directory, W_OK | X_OK, AT_EACCESS) != 0 && is_forbidden(errno);
}

static bool make_directories(const char *path)
{
    char *copy = memory_text(path);
    bool made = true;
    for (char *at = copy + 1; made && *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            made = mkdir(copy, 0777) == 0 || errno == EEXIST;
            *at = '/';
        }
    }
    made = made && (mkdir(copy, 0777) == 0 || errno == EEXIST);
    free(copy);
    return made;
}

static void file_open(struct log *log)
{
    log->reopen_at = clock_ms() + REOPEN_MS;
    if (!make_directories(log->options.directory)) {
        if (is_forbidden(errno) && log->options.file_name[0] != '/')
            directory_lost(log);
        else
            file_lost(log, "make its directory");
        return;
    }
    log->file = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (log->file < 0) {
        int error = errno;
        bool forbidden = is_forbidden(error) && directory_is_forbidden(log);
        errno = error;
        if (forbidden)
            directory_lost(log);
        else
            file_lost(log, "open it");
        return;
    }
    struct stat status;
    log->file_size = fstat(log->file, &status) == 0 ? status.st_size : 0;
}

static void file_close(struct log *log)
{
    if (log->file >= 0)
        close(log->file);
    log->file = -1;
}

static void file_rotate(struct log *log)
{
    for (long i = log->options.backup_count; i > 0; i--) {
        char *older = memory_format("%s.%ld", log->path, i);
        char *newer = i == 1 ? memory_text(log->path) : memory_format("%s.%ld", log->path, i - 1);
        bool moved = rename(newer, older) == 0 || errno == ENOENT;
        if (!moved)
            file_complain(log, &log->rotate_failed, "rotate it", "it grows over its size");
        free(older);
        free(newer);
        if (!moved)
            return; /* goes on in the same file: too long is better than lost */
    }
    log->rotate_failed = false;
    file_close(log);
    file_open(log);
}

/* name.7 is 7; 0: no older log file of this log. */
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

/* Removes what an earlier run with a higher backup count has kept. Where this log never rotates, other programs may
 * (logrotate), and their files have the same names. */
static void remove_old_backups(const struct log *log)
{
    if (log->options.max_bytes == 0 || log->options.backup_count == 0)
        return;
    const char *slash = strrchr(log->path, '/');
    char *parent = memory_format("%.*s", slash == log->path ? 1 : (int)(slash - log->path), log->path);
    DIR *directory = opendir(parent);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        if (backup_number(entry->d_name, slash + 1) > log->options.backup_count)
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    free(parent);
}

static void file_record(struct log *log, enum log_level level, const char *name, const char *file, int line)
{
    if (log->file < 0) {
        if (clock_ms() < log->reopen_at)
            return;
        file_open(log);
        if (log->file < 0)
            return;
    }
    struct text *record = &log->record;
    text_clear(record);
    text_puts(record, name);
    text_put(record, ": ", 2);
    put_clock(log, record);
    text_put(record, " | ", 3);
    text_puts(record, level_name(level));
    text_put(record, " | ", 3);
    text_puts(record, file);
    text_put(record, ":", 1);
    put_number(record, line > 0 ? (unsigned)line : 0);
    text_put(record, " | ", 3);
    text_puts(record, log->process);
    text_put(record, " >>> ", 5);
    text_put(record, log->line.at, log->line.len);
    text_put(record, "\n", 1);

    off_t len = (off_t)record->len;
    if (log->options.max_bytes > 0 && log->options.backup_count > 0 && log->file_size > 0 &&
        log->file_size + len > log->options.max_bytes) {
        file_rotate(log);
        if (log->file < 0)
            return;
    }
    if (write_all(log->file, record->at, record->len)) {
        log->file_size += len;
        log->file_failed = false;
    } else {
        int error = errno;
        if (ftruncate(log->file, log->file_size) != 0)
            errno = error; /* half a line stays: nothing better can be done */
        errno = error;
        file_lost(log, "write it");
    }
}

struct log *log_open(const struct log_options *options)
{
    struct log *log = memory_new(sizeof *log);
    log->options = *options;
    log->file = -1;
    pthread_mutex_init(&log->lock, NULL);
    snprintf(log->process, sizeof log->process, "%d", (int)getpid());
    if (options->file_name != NULL && options->file_name[0] != '\0') {
        log->path = options->file_name[0] == '/' ? memory_text(options->file_name)
                                                 : memory_format("%s/%s", options->directory, options->file_name);
        file_open(log);
        remove_old_backups(log);
    }
    return log;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    file_close(log);
    pthread_mutex_destroy(&log->lock);
    text_free(&log->said);
    text_free(&log->line);
    text_free(&log->console);
    text_free(&log->record);
    free(log->path);
    free(log);
}

static bool file_wants(const struct log *log, enum log_level level)
{
    return log->path != NULL && (long)level >= log->options.file_level;
}

bool log_wants(const struct log *log, enum log_level level)
{
    return (long)level >= log->options.console_level || file_wants(log, level);
}

static const char *last_part(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash == NULL ? file : slash + 1;
}

/* What log->line says, wherever it is wanted. The caller holds the lock. */
static void write_record(struct log *log, enum log_level level, const char *name, const char *file, int line)
{
    set_clock(log);
    if ((long)level >= log->options.console_level)
        console_record(log, level, name, log->line.at, log->line.len);
    if (file_wants(log, level))
        file_record(log, level, name, last_part(file), line);
}

void log_write(struct log *log, enum log_level level, const char *name, const char *file, int line, const char *format,
               ...)
{
    if (!log_wants(log, level))
        return;
    pthread_mutex_lock(&log->lock);
    text_clear(&log->said);
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&log->said, format, arguments);
    va_end(arguments);
    text_clear(&log->line);
    text_put_line(&log->line, log->said.at, log->said.len);
    write_record(log, level, name, file, line);
    pthread_mutex_unlock(&log->lock);
}

void log_put(struct log *log, enum log_level level, const char *name, const char *file, int line, const char *said,
             const char *more, size_t len)
{
    if (!log_wants(log, level))
        return;
    pthread_mutex_lock(&log->lock);
    text_clear(&log->line);
    text_put_line(&log->line, said, strlen(said));
    if (more != NULL) {
        text_put(&log->line, ": ", 2);
        text_put_line(&log->line, more, len);
    }
    write_record(log, level, name, file, line);
    pthread_mutex_unlock(&log->lock);
}

void log_last_words(struct log *log, const char *text)
{
    struct text line = {0};
    text_puts(&line, "valawai-host: ");
    text_put_line(&line, text, strlen(text));
    text_put(&line, "\n", 1);
    write_all(STDERR_FILENO, line.at, line.len);
    text_free(&line);

    if (log != NULL && file_wants(log, LOG_CRITICAL)) {
        pthread_mutex_lock(&log->lock);
        text_clear(&log->line);
        text_put_line(&log->line, text, strlen(text));
        set_clock(log);
        file_record(log, LOG_CRITICAL, "host", "main.c", 0);
        pthread_mutex_unlock(&log->lock);
    }
}
