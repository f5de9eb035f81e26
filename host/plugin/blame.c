/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/blame.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/locale.h"
#include "base/log.h"

#define STACK_SIZE 16384

/* Per thread; read by the thread's own signal handler. */
static _Thread_local const char *inside, *doing_what, *of_what;
static _Thread_local char stack[STACK_SIZE];
static _Thread_local char words[512]; /* the last line, composed without allocation */

static atomic_bool installed, ending; /* ending: the host itself ends the process */
static pthread_key_t thread_key;
static volatile sig_atomic_t forked; /* this process is a child that a plugin forked, not the host */

static void put(const char *text)
{
    size_t used = strlen(words), len = strlen(text);
    if (len >= sizeof words - used)
        len = sizeof words - used - 1;
    memcpy(words + used, text, len);
    words[used + len] = '\0';
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
static void on_fatal(int number)
{
    if (forked) {
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
    say("ended the host's thread (pthread_exit)");
    _exit(1);
}

static void note_fork(void)
{
    forked = true;
}

void blame_install(void)
{
    if (atomic_exchange(&installed, true))
        return;
    pthread_key_create(&thread_key, on_end_of_thread);
    pthread_atfork(NULL, NULL, note_fork);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        struct sigaction old, ours = {.sa_handler = on_fatal, .sa_flags = SA_RESETHAND | SA_ONSTACK | SA_NODEFER};
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
