/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/blame.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/locale.h"
#include "base/log.h"

#define STACK_SIZE 32768
#define FRAMES_MAX 24 /* calls that a backtrace shows */
#define MEMORY_ENOUGH (64UL << 20)
#define BACKTRACE_S 2 /* that it may take: it is not safe in every signal handler */

/* Per thread; read by the thread's own signal handler. */
static _Thread_local const char *inside, *doing_what, *of_what;
static _Thread_local char stack[STACK_SIZE];
static _Thread_local char words[512]; /* the last line, composed without allocation */

static atomic_bool installed, ending; /* ending: the host itself ends the process */
static pthread_key_t thread_key;
static volatile sig_atomic_t forked; /* this process is a child that a plugin forked, not the host */

static char *worker_words; /* in a worker: what it shares with the host, for its last words */
static size_t worker_room;
static void (*last_act)(void *context);
static void *last_context;

static void append(char *to, size_t room, const char *text)
{
    size_t used = strnlen(to, room), len = strlen(text);
    if (used >= room)
        return;
    if (len >= room - used)
        len = room - used - 1;
    memcpy(to + used, text, len);
    to[used + len] = '\0';
}

static void put(const char *text)
{
    append(words, sizeof words, text);
}

/* ---- in a worker ---- */

static void tell(const char *text)
{
    append(worker_words, worker_room, text);
}

static void tell_number(uintptr_t number)
{
    char digits[20], *at = digits + sizeof digits;
    *--at = '\0';
    do
        *--at = "0123456789abcdef"[number % 16];
    while ((number /= 16) > 0);
    tell("0x");
    tell(at);
}

/* The innermost calls, without those of the signal handler: file(function+offset). */
static void tell_backtrace(const void *ours)
{
    void *calls[FRAMES_MAX];
    int count = backtrace(calls, FRAMES_MAX), first = 0;
    Dl_info self, info;
    bool known = dladdr(ours, &self) != 0;
    while (first < count && known && dladdr(calls[first], &info) != 0 && info.dli_fbase == self.dli_fbase)
        first++; /* the signal handler's … */
    first++;     /* … and the frame that the kernel made for it */
    bool in_plugin = false;
    for (int i = first; i < count; i++) {
        bool found = dladdr(calls[i], &info) != 0 && info.dli_fname != NULL;
        bool is_ours = known && found && info.dli_fbase == self.dli_fbase;
        if (is_ours && in_plugin)
            return; /* who called the plugin is known */
        in_plugin = !is_ours;
        tell(i == first ? "; calls: " : " < ");
        if (!found) {
            tell_number((uintptr_t)calls[i]);
            continue;
        }
        const char *name = strrchr(info.dli_fname, '/');
        tell(name == NULL ? info.dli_fname : name + 1);
        tell("(");
        tell(info.dli_sname == NULL ? "" : info.dli_sname);
        tell("+");
        tell_number((uintptr_t)calls[i] - (uintptr_t)(info.dli_sname == NULL ? info.dli_fbase : info.dli_saddr));
        tell(")");
    }
}

/* The usual cause of a crash at a limit is that a plugin does not check what it was given. */
static void tell_shortage(void)
{
    if (fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) < 0 && errno == EMFILE)
        tell("; no descriptor was left (files_max)");
    if (mmap(NULL, MEMORY_ENOUGH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        tell("; less than 64 MiB of memory were left (memory_max)");
}

static void tell_crash(const char *what, const siginfo_t *signal)
{
    alarm(BACKTRACE_S);
    tell(what);
    if (inside != NULL) {
        tell(" in ");
        tell(doing_what);
        tell(of_what[0] != '\0' ? " " : "");
        tell(of_what);
    } else {
        tell(" in a thread that the plugin made");
    }
    if (last_act != NULL)
        last_act(last_context);
    if (signal == NULL)
        return;
    if (signal->si_signo != SIGABRT) {
        tell(" at address ");
        tell_number((uintptr_t)signal->si_addr);
    }
    tell_shortage();
    tell_backtrace((const void *)(uintptr_t)tell_crash);
}

void blame_at_end(void (*act)(void *context), void *context)
{
    last_context = context;
    last_act = act;
}

void blame_write_to(char *room, size_t size)
{
    void *one;
    worker_words = room;
    worker_room = size;
    (void)!backtrace(&one, 1); /* loads what it needs, which a signal handler cannot */
}

static void say(const char *what)
{
    put("plugin ");
    put(inside);
    put(": ");
    put(what);
    put(" in ");
    put(doing_what);
    if (of_what[0] != '\0')
        put(" ");
    put(of_what);
    put("; the host ends, and unacknowledged messages return to their queues");
    log_crash(words);
}

static const char *name_of(int signal)
{
    switch (signal) {
    case SIGSEGV:
        return "crashed (SIGSEGV)";
    case SIGBUS:
        return "crashed (SIGBUS)";
    case SIGFPE:
        return "crashed (SIGFPE)";
    case SIGILL:
        return "crashed (SIGILL)";
    default:
        return "aborted (SIGABRT: an assertion, or an exception that left a callback)";
    }
}

/* SA_RESETHAND has restored the default disposition, so the raised signal ends the process as without this handler. */
static void on_fatal(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (forked) {
        raise(number);
        return;
    }
    if (worker_words != NULL) {
        tell_crash(name_of(number), info);
        raise(number);
        return;
    }
    if (inside != NULL) {
        say(name_of(number));
    } else {
        put(name_of(number));
        put(" outside of the plugins' callbacks: in a thread that a plugin made, or in the host itself");
        log_crash(words);
    }
    raise(number);
}

static void on_exit_of_process(void)
{
    if (forked)
        return;
    if (worker_words != NULL) {
        if (atomic_load(&ending))
            return;
        tell_crash("called exit()", NULL);
        _exit(1);
    }
    if (inside != NULL)
        say("called exit()");
    else if (!atomic_load(&ending))
        log_crash("exit() was called in a thread that a plugin made; the host ends, and "
                  "unacknowledged messages return to their queues");
    else
        return;
    _exit(1);
}

/* A thread of the host ends. If it is inside a callback, the plugin called pthread_exit(). */
static void on_end_of_thread(void *unused)
{
    (void)unused;
    if (inside == NULL || forked)
        return;
    if (worker_words != NULL) {
        tell_crash("ended the host's thread (pthread_exit)", NULL);
        _exit(1);
    }
    say("ended the host's thread (pthread_exit)");
    _exit(1);
}

/* A program that the child runs has the default signals; in the host, run/signals.c sees to that. */
static void note_fork(void)
{
    forked = true;
    if (worker_words != NULL)
        signal(SIGPIPE, SIG_DFL);
}

void blame_install(void)
{
    if (atomic_exchange(&installed, true))
        return;
    pthread_key_create(&thread_key, on_end_of_thread);
    pthread_atfork(NULL, NULL, note_fork);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        struct sigaction old,
            ours = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK | SA_NODEFER};
        if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(fatal[i], &ours, NULL);
    }
    atexit(on_exit_of_process);
    at_quick_exit(on_exit_of_process);
}

void blame_end(void)
{
    atomic_store(&ending, true);
}

void blame_thread(void)
{
    stack_t ours = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE) != 0)
        sigaltstack(&ours, NULL);
    if (atomic_load(&installed))
        pthread_setspecific(thread_key, stack);
}

void blame_enter(const char *plugin, const char *doing, const char *of)
{
    doing_what = doing;
    of_what = of;
    inside = plugin;
}

/* Otherwise two processes would use the same connections. */
static _Noreturn void end_child(void)
{
    put("plugin ");
    put(inside);
    put(": a child process that it forked returned from ");
    put(doing_what);
    put(" ");
    put(of_what);
    put("; the child ends, the host goes on");
    log_crash(words);
    _exit(1);
}

void blame_leave(void)
{
    if (forked)
        end_child();
    inside = NULL;
    locale_hold(); /* the callback may have called uselocale() */
}
