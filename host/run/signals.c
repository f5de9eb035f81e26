/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/thread.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct signals {
    struct log *log;
    int fd; /* a signalfd */
    int first;
    bool logged;
    sigset_t held; /* the signals that stop the host */
    bool kept, taken_back, hurried;
    bool reloads, hung_up; /* SIGHUP asks for a reload; it has come */

    pthread_t watcher; /* owns fd and first while it watches */
    bool watching;
    int loaded; /* an eventfd: loading has ended */
    int64_t grace_ms;
};

static void stop_signals(sigset_t *set)
{
    struct sigaction hangup;
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(set, SIGHUP);
}

void signals_hold(void)
{
    sigset_t set;
    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- plugins that change signals ---- */

static const int stops[] = {SIGTERM, SIGINT, SIGHUP};

/* A plugin has unblocked the signal on this thread. The thread blocks it again and sends the signal to the process,
 * where the host reads it. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    int error = errno;
    (void)info;
    sigaddset(&((ucontext_t *)context)->uc_sigmask, number);
    kill(getpid(), number);
    errno = error;
}

/* Runs in a child after fork(), before exec(). No part of the host reads signals in the child. */
static void restore_in_child(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(stops); i++) {
        struct sigaction now;
        if (sigaction(stops[i], NULL, &now) == 0 && now.sa_sigaction == pass_on)
            signal(stops[i], SIG_DFL);
        sigaddset(&set, stops[i]);
    }
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void install_in_children(void)
{
    pthread_atfork(NULL, NULL, restore_in_child);
}

static const struct sigaction passing_on = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};

void signals_keep(struct signals *signals)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (signals->hurried)
        return;
    pthread_once(&once, install_in_children);
    for (size_t i = 0; i < COUNT(stops); i++) {
        struct sigaction now;
        if (sigismember(&signals->held, stops[i]) != 1 || sigaction(stops[i], NULL, &now) != 0 ||
            now.sa_sigaction == pass_on)
            continue;
        if (signals->kept && !signals->taken_back) {
            log_warning(signals->log, "host", "a plugin handles or ignores SIG%s; the host takes the signal back",
                        sigabbrev_np(stops[i]));
            signals->taken_back = true;
        }
        sigaction(stops[i], &passing_on, NULL);
    }
    signals->kept = true;
}

void signals_release(void)
{
    sigset_t set;
    stop_signals(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* A terminal sends SIGHUP when it closes. */
static bool has_terminal(void)
{
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal >= 0)
        close(terminal);
    return terminal >= 0;
}

struct signals *signals_new(struct log *log, struct fault *fault)
{
    struct signals *signals = memory_new(sizeof *signals);
    sigset_t set;
    stop_signals(&set);
    signals->log = log;
    signals->held = set;
    signals->reloads = !has_terminal();
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    signals->loaded = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signals->fd >= 0 && signals->loaded >= 0)
        return signals;
    fault_set(fault, "cannot open a descriptor for signals: %s", strerror(errno));
    signals_free(signals);
    return NULL;
}

void signals_free(struct signals *signals)
{
    if (signals == NULL)
        return;
    if (signals->fd >= 0)
        close(signals->fd);
    if (signals->loaded >= 0)
        close(signals->loaded);
    free(signals);
}

static void take_first(struct signals *signals)
{
    struct signalfd_siginfo signal;
    while (signals->first == 0) {
        if (read(signals->fd, &signal, sizeof signal) != sizeof signal) {
            if (errno == EBADF)
                log_fatal(DESCRIPTORS_CLOSED);
            return;
        }
        if (signal.ssi_signo == SIGHUP && signals->reloads)
            signals->hung_up = true;
        else
            signals->first = (int)signal.ssi_signo;
    }
}

bool signals_hung_up(struct signals *signals)
{
    bool hung_up = signals->hung_up;
    signals->hung_up = false;
    return hung_up;
}

bool signals_stop(struct signals *signals)
{
    take_first(signals);
    if (signals->first == 0)
        return false;
    if (!signals->logged)
        log_info(signals->log, "host", "stopping on SIG%s", sigabbrev_np(signals->first));
    signals->logged = true;
    return true;
}

int signals_fd(const struct signals *signals)
{
    return signals->fd;
}

static void at_second_signal(int signal)
{
    (void)signal;
    log_crash("ended by a second signal");
    _exit(1);
}

void signals_hurry(struct signals *signals)
{
    signals->hurried = true;
    sigset_t set;
    struct sigaction action = {.sa_handler = at_second_signal};
    stop_signals(&set);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGHUP, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- while plugins are loaded ---- */

static void *watch(void *argument)
{
    struct signals *signals = argument;
    thread_name("vh-signals");
    struct pollfd fds[] = {{.fd = signals->loaded, .events = POLLIN}, {.fd = signals->fd, .events = POLLIN}};
    while (fds[0].revents == 0 && signals->first == 0) {
        poll(fds, 2, -1);
        take_first(signals);
    }
    if (signals->first == 0)
        return NULL;
    signals_hurry(signals);
    int64_t deadline = clock_ms() + signals->grace_ms, left;
    while (fds[0].revents == 0 && (left = deadline - clock_ms()) > 0)
        poll(fds, 1, (int)left);
    if (fds[0].revents != 0)
        return NULL;
    signals_stop(signals);
    log_warning(signals->log, "host", "a plugin has not been loaded in time; nothing is registered yet");
    log_info(signals->log, "host", "stopped");
    log_flush(signals->log);
    _exit(0);
}

void signals_watch(struct signals *signals, int64_t grace_ms)
{
    signals->grace_ms = grace_ms;
    signals->watching = true;
    signals->watcher = thread_start(watch, signals);
}

void signals_unwatch(struct signals *signals)
{
    if (!signals->watching)
        return;
    signals->watching = false;
    eventfd_write(signals->loaded, 1);
    pthread_join(signals->watcher, NULL);
}
