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

#define GREET_MS 10000         /* to load the plugin and to tell its descriptor */
#define DOCUMENT_MAX (4 << 20) /* bytes of a part until it runs */
#define READS 8                /* of the socket in a row */
#define END_MS 2000            /* for the zygote to tell of an end */

bool worker_spawn(struct worker *worker, struct fault *fault)
{
    int ends[2], page = -1;
    bool spawned = false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fault_set(fault, "cannot open a socket for a worker: %s", strerror(errno));
    worker->life++;
    if (worker->is_command) {
        spawned = zygote_fork_command(worker->zygote, worker->path, ends[1], &worker->offspring, fault);
        goto out;
    }
    page = memfd_create("worker", MFD_CLOEXEC);
    if (page < 0 || ftruncate(page, sizeof *worker->page) != 0) {
        fault_set(fault, "cannot make memory for a worker: %s", strerror(errno));
        goto out;
    }
    worker->page = mmap(NULL, sizeof *worker->page, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    if (worker->page == MAP_FAILED) {
        worker->page = NULL;
        fault_set(fault, "cannot map memory for a worker: %s", strerror(errno));
        goto out;
    }
    spawned = zygote_fork(worker->zygote, worker->path, ends[1], page, &worker->offspring, fault);
out:
    if (page >= 0)
        close(page);
    close(ends[1]);
    if (!spawned) {
        close(ends[0]);
        return false;
    }
    worker->socket = ends[0];
    atomic_store(&worker->pid, (int)worker->offspring.pid);
    worker->reader = (struct frame_reader){.direction = FRAMES_FROM_WORKER, .part_max = DOCUMENT_MAX};
    worker->state = GREETING;
    worker->due = clock_ms() + GREET_MS;
    worker->why.text[0] = '\0';
    worker->handled = false;
    frame_begin(&worker->out, FRAME_HELLO);
    frame_number(&worker->out, WORKER_PROTOCOL);
    frame_word(&worker->out, "valawai-host-" HOST_VERSION);
    frame_end(&worker->out);
    return true;
}

void worker_transmit(struct worker *worker)
{
    struct text *out = &worker->out;
    while (worker->socket >= 0 && worker->out_at < out->len) {
        ssize_t sent =
            send(worker->socket, out->at + worker->out_at, out->len - worker->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) /* full, or the worker is gone: then reading finds it */
            return;
        worker->out_at += (size_t)sent;
    }
    text_clear(out);
    worker->out_at = 0;
    if (out->room > 4 * (size_t)WORKER_OUT_MAX)
        text_free(out);
}

/* What it was at when it ended, if that can be told. */
static const char *topic_in_call(struct worker *worker)
{
    const char *topic = NULL;
    size_t at = 0, called = 0;
    for (struct hand *hand; worker->page != NULL && (hand = hands_next(&worker->hands, &at)) != NULL;) {
        if (atomic_load(&worker->page->places[hand->number % WORKER_PLACES]) != PLACE_CALLED)
            continue;
        topic = hand->handling->delivery->from->topic;
        called++;
    }
    return called == 1 ? topic : NULL;
}

void worker_explain_end(struct worker *worker, struct fault *why)
{
    int status = 0;
    bool known = offspring_ended(&worker->offspring, END_MS, &status);
    if (!known)
        offspring_signal(&worker->offspring, SIGKILL);
    if (worker->page != NULL)
        worker->page->words[sizeof worker->page->words - 1] = '\0';
    if (worker->why.text[0] != '\0') {
        *why = worker->why;
        return;
    }
    if (worker->page != NULL && worker->page->words[0] != '\0') {
        fault_set(why, "%s", worker->page->words);
        return;
    }
    const char *topic = topic_in_call(worker), *in = topic == NULL ? "" : " in the handler of ";
    if (topic == NULL)
        topic = "";
    if (!known)
        fault_set(why, "how is not known, because the zygote is gone, too%s%s", in, topic);
    else if (WIFSIGNALED(status))
        fault_set(why, "killed by SIG%s%s%s", sigabbrev_np(WTERMSIG(status)), in, topic);
    else
        fault_set(why, "exit status %d%s%s", WEXITSTATUS(status), in, topic);
}

void worker_drop_process(struct worker *worker)
{
    if (worker->socket >= 0)
        close(worker->socket);
    worker->socket = -1;
    atomic_store(&worker->pid, 0);
    atomic_store(&worker->busy_since, 0);
    offspring_forget(&worker->offspring);
    if (worker->page != NULL)
        munmap(worker->page, sizeof *worker->page);
    worker->page = NULL;
    frame_reader_free(&worker->reader);
    text_free(&worker->out);
    worker->out_at = 0;
    worker->kill_at = 0;
    about_clear(&worker->now);
}

void worker_condemn(struct worker *worker, int signal, const char *format, ...)
{
    if (worker->kill_at != 0)
        return;
    struct text why = {0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&why, format, arguments);
    va_end(arguments);
    fault_set(&worker->why, "%s", why.at);
    text_free(&why);
    offspring_signal(&worker->offspring, signal);
    worker->kill_at = clock_ms() + WORKER_TERM_MS;
}

static bool is_condemned(const struct worker *worker)
{
    return worker->kill_at != 0;
}

static void take_frames(struct worker *worker)
{
    struct frame frame;
    struct fault fault;
    enum frame_next next;
    while (!is_condemned(worker) && (next = frame_next(&worker->reader, &frame, &fault)) != FRAME_NONE) {
        bool good = next == FRAME_HERE && (worker->state == GREETING ? worker_take_greeting(worker, &frame, &fault)
                                                                     : worker_take_running(worker, &frame, &fault));
        if (!good && worker->state == GREETING && next == FRAME_HERE)
            worker_condemn(worker, SIGKILL, "%s", fault.text);
        else if (!good)
            worker_condemn(worker, SIGKILL, "it breaks the worker protocol: %s", fault.text);
    }
}

bool worker_receive(struct worker *worker)
{
    for (int reads = 0; reads < READS; reads++) {
        size_t room;
        char *to = frame_reader_room(&worker->reader, &room);
        ssize_t len = recv(worker->socket, to, room, MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (len <= 0)
            return false;
        frame_reader_got(&worker->reader, (size_t)len);
        take_frames(worker);
        if ((size_t)len < room)
            return true;
    }
    return true;
}
