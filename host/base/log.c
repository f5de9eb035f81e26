/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The writing thread formats a record and puts it into the queues of console and file (base/sink.c). This keeps the
 * order and costs no system call. A full pipe or a disk that hangs blocks only the thread of that queue. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/logfile.h"
#include "base/memory.h"
#include "base/sink.h"
#include "base/text.h"

#define CRASH_MS 300  /* a crashing process waits this long for its last records */
#define CLOSE_MS 1000 /* the same at a regular end */

#define WORD_ROOM 16
#define RECORD_ROOM 128 /* for the clock, the words, a number and the separators */

/* A short text that many records contain. The whole array is copied, which costs less than a copy of its length. */
struct word {
    char text[WORD_ROOM];
    size_t len;
};

struct clock {
    time_t second; /* shown by the text */
    char text[32]; /* "2026-11-22 15:51:13,382" */
    size_t len;    /* without the milliseconds */
};

struct log {
    struct log_options options;
    struct sink console, file; /* file: unused without a logfile */
    struct logfile *logfile;   /* belongs to the file sink */
    pthread_mutex_t lock;      /* for all below, so that both sinks have the records in the same order */
    struct clock clock;
    struct word process;            /* id, as text */
    struct text said, line, record; /* scratch buffers, so that a record costs no allocation */
    bool forked;                    /* in a child process, which leaves the file to its parent */
    enum log_level heard_from;      /* … is passed to */
    log_heard *heard;               /* NULL: nothing is */
    void *heard_context;
};

/* The only log with threads, for signal handlers and fork(), which have no other reference to it. */
static _Atomic(struct log *) running;

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

static const struct word *level_word(enum log_level level)
{
    static const struct word words[] = {{"DEBUG", 5}, {"INFO", 4}, {"WARNING", 7}, {"ERROR", 5}, {"CRITICAL", 8}};
    return &words[level / LOG_DEBUG - 1];
}

const char *log_level_name(enum log_level level)
{
    return level_word(level)->text;
}

/* ---- the formats ---- */

/* A second has many records, so only the milliseconds are written again. */
static void clock_set(struct clock *clock)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != clock->second) {
        struct tm local;
        localtime_r(&now.tv_sec, &local);
        clock->len = strftime(clock->text, sizeof clock->text - 4, "%Y-%m-%d %H:%M:%S", &local);
        clock->second = now.tv_sec;
    }
    int ms = (int)(now.tv_nsec / 1000000);
    memcpy(clock->text + clock->len,
           (char[]){',', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10)}, 4);
}

/* These write where there is room, and return the end. */
static char *put_clock(char *to, const struct clock *clock)
{
    memcpy(to, clock->text, sizeof clock->text);
    return to + clock->len + 4;
}

static char *put_word(char *to, const struct word *word)
{
    memcpy(to, word->text, sizeof word->text);
    return to + word->len;
}

static char *put_number(char *to, unsigned number)
{
    char digits[WORD_ROOM], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return mempcpy(to, at, (size_t)(digits + sizeof digits - at));
}

/* The contents of both formats. said: already on one line. */
struct record {
    const struct word *level;
    const char *name, *file; /* file: a path, of which the last part is shown */
    int line;
    const char *said;
    size_t len;
};

/* Ends a record in the room that was reserved for it. */
static void put_said(struct text *to, char *at, const struct record *record)
{
    at = mempcpy(at, record->said, record->len);
    *at++ = '\n';
    *at = '\0';
    to->len = (size_t)(at - to->at);
}

/* Each format reserves its room once, because a handler writes several records for each message. */
static void console_format(struct text *to, const struct clock *clock, const struct record *record)
{
    size_t name_len = strlen(record->name);
    text_clear(to);
    text_reserve(to, RECORD_ROOM + name_len + record->len);
    char *at = put_clock(to->at, clock);
    at = mempcpy(at, " [", 2);
    at = put_word(at, record->level);
    at = mempcpy(at, "] ", 2);
    at = mempcpy(at, record->name, name_len);
    at = mempcpy(at, ": ", 2);
    put_said(to, at, record);
}

static const char *last_part(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash == NULL ? file : slash + 1;
}

static void file_format(struct text *to, const struct clock *clock, const struct record *record,
                        const struct word *process)
{
    const char *file = last_part(record->file);
    size_t name_len = strlen(record->name), file_len = strlen(file);
    text_clear(to);
    text_reserve(to, RECORD_ROOM + name_len + file_len + record->len);
    char *at = mempcpy(to->at, record->name, name_len);
    at = mempcpy(at, ": ", 2);
    at = put_clock(at, clock);
    at = mempcpy(at, " | ", 3);
    at = put_word(at, record->level);
    at = mempcpy(at, " | ", 3);
    at = mempcpy(at, file, file_len);
    *at++ = ':';
    at = put_number(at, record->line > 0 ? (unsigned)record->line : 0);
    at = mempcpy(at, " | ", 3);
    at = put_word(at, process);
    at = mempcpy(at, " >>> ", 5);
    put_said(to, at, record);
}

/* ---- console and file, each behind its sink ---- */

/* A closed console (EPIPE) loses its records, without other effects. */
static void write_console(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(STDERR_FILENO, bytes, len);
        if (written < 0 && errno == EAGAIN) /* another process with the same console has made it non-blocking */
            poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
        else if (written <= 0 && errno != EINTR)
            return;
        if (written > 0) {
            bytes += written;
            len -= (size_t)written;
        }
    }
}

/* A record of the log itself, written directly by the thread of a sink. */
static void own_record(struct text *to, const struct log *log, enum log_level level, bool for_file, const char *said)
{
    struct clock clock = {0};
    struct text line = {0};
    text_put_line(&line, said, strlen(said));
    struct record record = {level_word(level), "host", "log.c", __LINE__, line.at, line.len};
    clock_set(&clock);
    if (for_file)
        file_format(to, &clock, &record, &log->process);
    else
        console_format(to, &clock, &record);
    text_free(&line);
}

static void on_console(void *context, const char *lines, size_t len)
{
    (void)context;
    write_console(lines, len);
}

static void on_file(void *context, const char *lines, size_t len)
{
    logfile_write(((struct log *)context)->logfile, lines, len);
}

static void console_say(struct log *log, enum log_level level, const char *said)
{
    struct text line = {0};
    own_record(&line, log, level, false, said);
    write_console(line.at, line.len);
    text_free(&line);
}

static void file_say(struct log *log, enum log_level level, const char *said)
{
    struct text line = {0};
    own_record(&line, log, level, true, said);
    logfile_write(log->logfile, line.at, line.len);
    text_free(&line);
}

static void on_console_dropped(void *context, unsigned long count)
{
    char said[80];
    snprintf(said, sizeof said, "%lu record%s dropped: console too slow", count, count == 1 ? "" : "s");
    console_say(context, LOG_WARNING, said);
}

static void on_file_dropped(void *context, unsigned long count)
{
    char said[80];
    snprintf(said, sizeof said, "%lu record%s dropped: log file too slow", count, count == 1 ? "" : "s");
    file_say(context, LOG_WARNING, said);
}

static void on_file_last(void *context, const char *words)
{
    file_say(context, LOG_CRITICAL, words);
}

static void on_file_tend(void *context)
{
    logfile_tend(((struct log *)context)->logfile);
}

static const struct sink_events console_events = {
    .thread = "vh-console", .write = on_console, .dropped = on_console_dropped};
/* Reports a failure of the log file on the console, at every console level. [file sink's thread] */
static void on_complaint(void *context, const char *what)
{
    struct log *log = context;
    struct text line = {0};
    own_record(&line, log, LOG_ERROR, false, what);
    sink_put(&log->console, line.at, line.len, true);
    text_free(&line);
}

/* Each output reports at once that the other is too slow, because the slow one may be silent for long. */
static void put_console(struct log *log, const char *line, size_t len, bool important)
{
    if (!log->options.threads) { /* this thread writes, without a queue and a second lock */
        write_console(line, len);
        return;
    }
    if (sink_put(&log->console, line, len, important) || log->logfile == NULL)
        return;
    struct text notice = {0};
    own_record(&notice, log, LOG_WARNING, true, "console too slow: dropping its records");
    sink_put(&log->file, notice.at, notice.len, true);
    text_free(&notice);
}

static void put_file(struct log *log, const char *line, size_t len, bool important)
{
    if (log->forked || sink_put(&log->file, line, len, important))
        return;
    struct text notice = {0};
    own_record(&notice, log, LOG_WARNING, false, "log file too slow: dropping its records");
    sink_put(&log->console, notice.at, notice.len, true);
    text_free(&notice);
}

static void on_file_begin(void *context)
{
    logfile_open(((struct log *)context)->logfile);
}

static const struct sink_events file_events = {.thread = "vh-logfile",
                                               .begin = on_file_begin,
                                               .write = on_file,
                                               .dropped = on_file_dropped,
                                               .last = on_file_last,
                                               .tend = on_file_tend};

/* ---- fork ---- */

static void before_fork(void)
{
    struct log *log = atomic_load(&running);
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    sink_before_fork(&log->file);
    sink_before_fork(&log->console);
}

static void after_fork(bool child)
{
    struct log *log = atomic_load(&running);
    if (log == NULL)
        return;
    sink_after_fork(&log->console, child);
    sink_after_fork(&log->file, child);
    log->forked = log->forked || child;
    if (child)
        atomic_store(&running, NULL);
    pthread_mutex_unlock(&log->lock);
}

static void in_parent(void)
{
    after_fork(false);
}

static void in_child(void)
{
    after_fork(true);
}

static void install_fork_handlers(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- the log ---- */

struct log *log_open(const struct log_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct log *log = memory_new(sizeof *log);
    log->options = *options;
    pthread_mutex_init(&log->lock, NULL);
    log->process.len = (size_t)snprintf(log->process.text, sizeof log->process.text, "%d", (int)getpid());
    sink_init(&log->console, &console_events, log);
    sink_init(&log->file, &file_events, log);
    log->logfile = logfile_new(&log->options, on_complaint, log);
    if (!options->threads) {
        if (log->logfile != NULL)
            logfile_open(log->logfile);
        return log;
    }
    pthread_once(&once, install_fork_handlers);
    atomic_store(&running, log);
    sink_start(&log->console);
    if (log->logfile != NULL)
        sink_start(&log->file);
    return log;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    struct log *self = log;
    atomic_compare_exchange_strong(&running, &self, NULL);
    int64_t until = clock_ms() + CLOSE_MS;
    bool console = sink_stop(&log->console, until), file = sink_stop(&log->file, until);
    if (!console || !file)
        return; /* a blocked thread still uses the memory */
    sink_free(&log->console);
    sink_free(&log->file);
    logfile_free(log->logfile);
    pthread_mutex_destroy(&log->lock);
    text_free(&log->said);
    text_free(&log->line);
    text_free(&log->record);
    free(log);
}

void log_flush(struct log *log)
{
    int64_t until = clock_ms() + CLOSE_MS;
    (void)!sink_flush(&log->console, until);
    (void)!sink_flush(&log->file, until);
}

static bool file_wants(const struct log *log, enum log_level level)
{
    return log->logfile != NULL && (long)level >= log->options.file_level;
}

bool log_wants(const struct log *log, enum log_level level)
{
    return (long)level >= log->options.console_level || file_wants(log, level);
}

/* Writes log->line to each output with this level. said_len: length without the payload. The caller holds the lock. */
static void write_record(struct log *log, enum log_level level, const char *name, const char *file, int line,
                         size_t said_len)
{
    struct record record = {level_word(level), name, file, line, log->line.at, log->line.len};
    bool important = level >= LOG_ERROR;
    if (log->options.forward != NULL) {
        log->options.forward(log->options.forward_context, level, name, log->line.at);
        return;
    }
    if (log->heard != NULL && level >= log->heard_from)
        log->heard(log->heard_context, level, name, log->line.at, said_len);
    clock_set(&log->clock);
    if ((long)level >= log->options.console_level) {
        console_format(&log->record, &log->clock, &record);
        put_console(log, log->record.at, log->record.len, important);
    }
    if (file_wants(log, level)) {
        file_format(&log->record, &log->clock, &record, &log->process);
        put_file(log, log->record.at, log->record.len, important);
    }
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
    write_record(log, level, name, file, line, log->line.len);
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
    size_t said_len = log->line.len;
    if (more != NULL) {
        text_put(&log->line, ": ", 2);
        text_put_line(&log->line, more, len);
    }
    write_record(log, level, name, file, line, said_len);
    pthread_mutex_unlock(&log->lock);
}

void log_listen(struct log *log, enum log_level level, log_heard *heard, void *context)
{
    pthread_mutex_lock(&log->lock);
    log->heard_from = level;
    log->heard = heard;
    log->heard_context = context;
    pthread_mutex_unlock(&log->lock);
}

void log_dropped(const struct log *log, uint64_t *console, uint64_t *file)
{
    *console = sink_dropped(&log->console);
    *file = sink_dropped(&log->file);
}

void log_last_words(struct log *log, const char *text)
{
    struct text line = {0};
    text_puts(&line, "valawai-host: ");
    text_put_line(&line, text, strlen(text));
    text_put(&line, "\n", 1);
    if (log == NULL || sink_flush(&log->console, clock_ms() + CLOSE_MS))
        write_console(line.at, line.len);
    text_free(&line);

    if (log != NULL && file_wants(log, LOG_CRITICAL)) {
        own_record(&line, log, LOG_CRITICAL, true, text);
        put_file(log, line.at, line.len, true);
        text_free(&line);
    }
}

/* ---- the end of a process after a fatal error ---- */

/* Allocates nothing and takes no lock, because the calling thread may hold any lock. */
void log_crash(const char *words)
{
    struct log *log = atomic_load(&running);
    int64_t until = clock_ms() + CRASH_MS;
    if (log != NULL && file_wants(log, LOG_CRITICAL))
        sink_last(&log->file, words);
    bool flushed = log == NULL || sink_flush(&log->console, until);
    struct pollfd console = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (flushed && poll(&console, 1, 0) == 1 && (console.revents & POLLOUT) != 0) {
        static const char begin[] = "valawai-host: ";
        (void)!write(STDERR_FILENO, begin, sizeof begin - 1);
        (void)!write(STDERR_FILENO, words, strlen(words));
        (void)!write(STDERR_FILENO, "\n", 1);
    }
    if (log != NULL)
        (void)!sink_flush(&log->file, until);
}

void log_fatal(const char *format, ...)
{
    static char words[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    log_crash(words);
    _exit(1);
}
