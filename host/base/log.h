/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * log: records for the console (stderr) and for a rotating file, each from a level of its own, in the formats that
 * VALAWAI components write. A record is one line whatever its text holds. Any thread may write.
 *
 * The log never stops the host. A file that cannot be written costs the file, and one record on the console says so.
 * With threads of its own (log_options.threads) the log holds up no thread that writes a record: what a slow console or
 * a slow disk cannot take is dropped, lesser records before errors, and `37 records dropped: console too slow` takes
 * its place. */
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
    const char *directory; /* made if it is not there */
    const char *setting;   /* what names the directory, for the message that it cannot be written; may be NULL … */
    const char *beside;    /* … and what else is written there and is lost with it; may be NULL */
    const char *file_name; /* in the directory; NULL or "": no file */
    long console_level;
    long file_level;
    long max_bytes;    /* rotate before a record would pass it; 0: never */
    bool threads;      /* of which only one log of a process may have some; otherwise a call that writes waits */
    long backup_count; /* name.1 is the newest; 0: never rotate. At most LOG_BACKUPS_MAX */
};

struct log;

typedef void log_heard(void *context, enum log_level level, const char *name, const char *said, size_t len);

/* The options' texts have to outlive the log. Never fails: see above. */
struct log *log_open(const struct log_options *options);
void log_close(struct log *log);

bool log_wants(const struct log *log, enum log_level level);

/* name: who speaks, "host" or a component. file: only its last part is shown. */
void log_write(struct log *log, enum log_level level, const char *name, const char *file, int line, const char *format,
               ...) __attribute__((format(printf, 6, 7)));

/* The same for a text that is there already, and what follows it after ": " (NULL: nothing). */
void log_put(struct log *log, enum log_level level, const char *name, const char *file, int line, const char *said,
             const char *more, size_t len);

/* Has records of that level and above told to heard() as well, if console or file takes them: what each says, on one
 * line, without the payload that follows it. It is called with the log's lock held, and must neither wait nor write a
 * record. NULL: ends that. */
void log_listen(struct log *log, enum log_level level, log_heard *heard, void *context);

/* [any thread] How many records console and file were too slow for. Takes no lock. */
void log_dropped(const struct log *log, uint64_t *console, uint64_t *file);

/* Returns when all records are written, or after a second. Before a process ends without log_close(). */
void log_flush(struct log *log);

/* The last words of a start that failed: `valawai-host: text` on stderr whatever the levels, and a CRITICAL record in
 * the file only. log may be NULL. */
void log_last_words(struct log *log, const char *text);

/* The last line of a process that is about to crash: `valawai-host: words` on stderr, and a CRITICAL record in the file
 * of the log that has threads, behind the records that wait. Returns within a fraction of a second. words have to last.
 * [async-signal-safe] */
void log_crash(const char *words);

/* The same, and the end of the process with status 1: for what no caller could go on without. */
void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A plugin has closed descriptors that are not its own. Whatever is opened next gets their numbers, so the host cannot
 * go on: it would write messages into other files. */
#define DESCRIPTORS_CLOSED                                                                                             \
    "a plugin closed the host's descriptors; the host ends, and what was not acknowledged is back in its queue"

/* Reads DEBUG, INFO, WARNING (or WARN), ERROR, FATAL or CRITICAL, in upper or lower case. */
bool log_level_read(const char *name, long *level) __attribute__((warn_unused_result));

#define HOST_LOG(log, level, name, ...) log_write((log), (level), (name), __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(log, name, ...) HOST_LOG(log, LOG_DEBUG, name, __VA_ARGS__)
#define log_info(log, name, ...) HOST_LOG(log, LOG_INFO, name, __VA_ARGS__)
#define log_warning(log, name, ...) HOST_LOG(log, LOG_WARNING, name, __VA_ARGS__)
#define log_error(log, name, ...) HOST_LOG(log, LOG_ERROR, name, __VA_ARGS__)

#endif
