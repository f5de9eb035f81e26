/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * log: records for the console (stderr) and for a rotating file, each with its own lowest level, in the formats of
 * VALAWAI components. A record is always one line. Any thread may write.
 *
 * The log never stops the host. If the file cannot be written, one record on the console reports it. With threads of
 * its own (log_options.threads) the log delays no writing thread: records that a slow console or disk cannot take are
 * dropped, errors last, and `37 records dropped: console too slow` replaces them. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { /* Python's logging: the numbers order them */
                 LOG_DEBUG = 10,
                 LOG_INFO = 20,
                 LOG_WARNING = 30,
                 LOG_ERROR = 40,
                 LOG_CRITICAL = 50
};

#define LOG_BACKUPS_MAX 1000

struct log_options {
    const char *directory; /* made if it does not exist */
    const char *setting;   /* the setting of the directory, for the message about a failure; may be NULL … */
    const char *beside;    /* … and other files that are lost with it; may be NULL */
    const char *file_name; /* in the directory; NULL or "": no file */
    long console_level;
    long file_level;
    long max_bytes;    /* rotate before a record would pass it; 0: never */
    bool threads;      /* for at most one log in a process; without threads each call waits for the write */
    long backup_count; /* name.1 is the newest; 0: never rotate. At most LOG_BACKUPS_MAX */
    /* Takes the records of the console's level instead of the console and the file; said is one line. NULL: they do.
     * Must not call the log. */
    void (*forward)(void *context, enum log_level level, const char *name, const char *said);
    void *forward_context;
};

struct log;

typedef void log_heard(void *context, enum log_level level, const char *name, const char *said, size_t len);

/* The texts of the options must outlive the log. Never fails: see above. */
struct log *log_open(const struct log_options *options);
void log_close(struct log *log);

bool log_wants(const struct log *log, enum log_level level);

/* name: "host" or a component. file: only its last part is shown. */
void log_write(struct log *log, enum log_level level, const char *name, const char *file, int line, const char *format,
               ...) __attribute__((format(printf, 6, 7)));

/* The same for a finished text, and a payload that follows ": " (NULL: none). */
void log_put(struct log *log, enum log_level level, const char *name, const char *file, int line, const char *said,
             const char *more, size_t len);

/* Passes the text of each record of this level and above to heard(), if console or file takes it: one line, without the
 * payload. heard() is called with the log's lock held, and must neither wait nor write a record. NULL ends this. */
void log_listen(struct log *log, enum log_level level, log_heard *heard, void *context);

/* [any thread] The number of dropped records of console and file. Takes no lock. */
void log_dropped(const struct log *log, uint64_t *console, uint64_t *file);

/* Returns when all records are written, or after a second. For a process that ends without log_close(). */
void log_flush(struct log *log);

/* The message of a failed start: `valawai-host: text` on stderr at every level, and a CRITICAL record in the file only.
 * log may be NULL. */
void log_last_words(struct log *log, const char *text);

/* The last line of a crashing process: `valawai-host: words` on stderr, and a CRITICAL record in the file of the log
 * with threads, after the waiting records. Returns within a fraction of a second. words must stay valid.
 * [async-signal-safe] */
void log_crash(const char *words);

/* The same, and ends the process with status 1. For errors after which no caller can continue. */
void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A plugin has closed descriptors of the host. The next opened files get their numbers, so the host cannot continue: it
 * would write messages into other files. */
#define DESCRIPTORS_CLOSED                                                                                             \
    "a plugin closed the host's descriptors; the host ends, and unacknowledged messages return to their queues"

/* Reads DEBUG, INFO, WARNING (or WARN), ERROR, FATAL or CRITICAL, in upper or lower case. */
const char *log_level_name(enum log_level level);
bool log_level_read(const char *name, long *level) __attribute__((warn_unused_result));

#define HOST_LOG(log, level, name, ...) log_write((log), (level), (name), __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(log, name, ...) HOST_LOG(log, LOG_DEBUG, name, __VA_ARGS__)
#define log_info(log, name, ...) HOST_LOG(log, LOG_INFO, name, __VA_ARGS__)
#define log_warning(log, name, ...) HOST_LOG(log, LOG_WARNING, name, __VA_ARGS__)
#define log_error(log, name, ...) HOST_LOG(log, LOG_ERROR, name, __VA_ARGS__)

#endif
