/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/worker_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "plugin/symbols.h"

#define GREET_MS 10000         /* to load the plugin and to tell its descriptor */
#define DOCUMENT_MAX (4 << 20) /* bytes of a part until it runs */
#define READS 8                /* of the socket in a row */
#define END_MS 2000            /* for the zygote to tell of an end */

/* Passes the other end of the socket, and shared memory, to a process of the zygote. */
static bool fork_process(struct process *process, int end, struct fault *fault)
{
    const struct worker *worker = process->worker;
    struct seed seed = {
        .path = worker->path, .is_command = worker->is_command, .socket = end, .page = -1, .limits = worker->limits};
    if (worker->is_command)
        return zygote_fork(worker->zygote, &seed, &process->offspring, fault);
    int page = memfd_create("worker", MFD_CLOEXEC);
    if (page < 0)
        return fault_set(fault, "cannot make memory for a worker: %s", strerror(errno));
    (void)!stat(worker->path, &process->file);
    void *memory = MAP_FAILED;
    if (ftruncate(page, sizeof *process->page) == 0)
        memory = mmap(NULL, sizeof *process->page, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    bool forked = memory != MAP_FAILED || fault_set(fault, "cannot map memory for a worker: %s", strerror(errno));
    if (forked) {
        process->page = memory;
        seed.page = page;
        forked = zygote_fork(worker->zygote, &seed, &process->offspring, fault);
    }
    close(page);
    return forked;
}

struct process *process_new(struct worker *worker, struct fault *fault)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        fault_set(fault, "cannot open a socket for a worker: %s", strerror(errno));
        return NULL;
    }
    struct process *process = memory_new(sizeof *process);
    process->worker = worker;
    process->life = ++worker->lives;
    process->socket = ends[0];
    process->offspring.end = -1;
    process->reader = (struct frame_reader){.direction = FRAMES_FROM_WORKER, .part_max = DOCUMENT_MAX};
    process->state = GREETING;
    process->due = clock_ms() + GREET_MS;
    bool forked = fork_process(process, ends[1], fault);
    close(ends[1]);
    if (!forked) {
        process_end(process);
        return NULL;
    }
    if (process->offspring.by_another && worker->use.log != NULL)
        log_warning(worker->use.log, "host", "the zygote, which makes processes, had ended; another one is there");
    frame_begin(&process->out, FRAME_HELLO);
    frame_number(&process->out, WORKER_PROTOCOL);
    frame_word(&process->out, "valawai-host-" HOST_VERSION);
    frame_end(&process->out);
    return process;
}

void process_release(struct process *process)
{
    offspring_signal(&process->offspring, SIGKILL);
    offspring_forget(&process->offspring);
    close(process->socket);
    if (process->page != NULL)
        munmap(process->page, sizeof *process->page);
    frame_reader_free(&process->reader);
    text_free(&process->out);
    about_clear(&process->about);
}

void process_end(struct process *process)
{
    struct worker *worker = process->worker;
    process_cancel_timers(process);
    process_release(process);
    process->next_ended = worker->ended;
    worker->ended = process;
}

/* Frees what has left. The queue of a process that always lags a little is never empty. Each byte moves at most once.
 */
static void forget_sent(struct process *process)
{
    struct text *out = &process->out;
    if (process->out_at < WORKER_OUT_MAX || process->out_at < out->len - process->out_at)
        return;
    out->len -= process->out_at;
    memmove(out->at, out->at + process->out_at, out->len);
    process->out_at = 0;
}

void process_transmit(struct process *process)
{
    struct text *out = &process->out;
    while (process->out_at < out->len) {
        ssize_t sent =
            send(process->socket, out->at + process->out_at, out->len - process->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) { /* full, or the process has ended, which reading finds */
            forget_sent(process);
            return;
        }
        process->out_at += (size_t)sent;
    }
    text_clear(out);
    process->out_at = 0;
    if (out->room > 4 * (size_t)WORKER_OUT_MAX)
        text_free(out);
}

/* The topic whose handler runs. NULL: none, or more than one. */
static const char *topic_in_call(struct process *process)
{
    const char *topic = NULL;
    size_t at = 0, called = 0;
    for (struct hand *hand; process->page != NULL && (hand = hands_next(&process->hands, &at)) != NULL;) {
        if (atomic_load(&process->page->places[hand->number % WORKER_PLACES]) != PLACE_CALLED)
            continue;
        topic = hand->handling->delivery->from->topic;
        called++;
    }
    return called == 1 ? topic : NULL;
}

/* The file may have changed since it was loaded: then the names of its functions are others. */
static void explain_crash(const struct process *process, struct fault *why)
{
    const struct worker *worker = process->worker;
    const struct stat *loaded = &process->file;
    struct stat now;
    struct text words = {0};
    bool same = worker->plugin != NULL && stat(worker->path, &now) == 0 && now.st_ino == loaded->st_ino &&
                now.st_dev == loaded->st_dev && now.st_size == loaded->st_size &&
                now.st_mtim.tv_sec == loaded->st_mtim.tv_sec && now.st_mtim.tv_nsec == loaded->st_mtim.tv_nsec;
    if (same)
        symbols_put(&words, process->page->words, worker->path, worker->plugin->file);
    fault_set(why, "%s", same ? words.at : process->page->words);
    text_free(&words);
}

void process_explain_end(struct process *process, struct fault *why)
{
    struct offspring_end end = {0};
    bool known = offspring_ended(&process->offspring, END_MS, &end);
    bool lives = !known && process->offspring.end >= 0;
    int status = end.status;
    if (lives)
        offspring_signal(&process->offspring, SIGKILL);
    if (process->page != NULL)
        process->page->words[sizeof process->page->words - 1] = '\0';
    if (process->why.text[0] != '\0') {
        *why = process->why;
        return;
    }
    if (end.limit.text[0] != '\0') {
        *why = end.limit;
        return;
    }
    if (process->page != NULL && process->page->words[0] != '\0') {
        explain_crash(process, why);
        return;
    }
    const char *topic = topic_in_call(process), *in = topic == NULL ? "" : " in the handler of ";
    if (topic == NULL)
        topic = "";
    if (lives)
        fault_set(why, "it has closed its stream, and does not end%s%s", in, topic);
    else if (!known)
        fault_set(why, "the cause is unknown, because the zygote has ended, too%s%s", in, topic);
    else if (WIFSIGNALED(status))
        fault_set(why, "killed by SIG%s%s%s", sigabbrev_np(WTERMSIG(status)), in, topic);
    else
        fault_set(why, "exit status %d%s%s", WEXITSTATUS(status), in, topic);
}

void process_condemn(struct process *process, int signal, const char *format, ...)
{
    if (process->kill_at != 0)
        return;
    struct text why = {0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&why, format, arguments);
    va_end(arguments);
    fault_set(&process->why, "%s", why.at);
    text_free(&why);
    offspring_signal(&process->offspring, signal);
    process->killed = signal == SIGKILL;
    process->kill_at = clock_ms() + WORKER_TERM_MS;
}

static bool is_condemned(const struct process *process)
{
    return process->kill_at != 0;
}

/* Ignores the frames of a condemned process. */
static void take_frames(struct process *process)
{
    struct frame frame;
    struct fault fault;
    enum frame_next next;
    while (!is_condemned(process) && (next = frame_next(&process->reader, &frame, &fault)) != FRAME_NONE) {
        bool good = next == FRAME_HERE && (process->state == GREETING ? process_take_greeting(process, &frame, &fault)
                                                                      : process_take_running(process, &frame, &fault));
        if (!good && next == FRAME_HERE)
            frame_quote(&frame, &fault);
        if (!good)
            process_condemn(process, SIGKILL, "it breaks the worker protocol: %s", fault.text);
    }
    if (is_condemned(process))
        frame_reader_free(&process->reader);
}

/* A process that has left its group is not killed, and would keep the stream open. */
static bool is_over(const struct process *process)
{
    return process->killed && clock_ms() >= process->kill_at;
}

bool process_receive(struct process *process)
{
    for (int reads = 0; reads < READS; reads++) {
        size_t room;
        char *to = frame_reader_room(&process->reader, &room);
        ssize_t len = recv(process->socket, to, room, MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return !is_over(process);
        if (len <= 0 || is_over(process))
            return false;
        frame_reader_got(&process->reader, (size_t)len);
        take_frames(process);
        if ((size_t)len < room)
            return true;
    }
    return true;
}
