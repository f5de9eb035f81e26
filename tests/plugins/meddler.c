/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Changes its process in the way that a message's content names, and passes the message on. */
#include "component.h"

#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void take_signal(int number)
{
    (void)number; /* and the host never receives it */
}

static void change_handlers(const struct valawai_host *host)
{
    (void)host;
    signal(SIGTERM, take_signal);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, take_signal);
}

static void unblock(const struct valawai_host *host)
{
    sigset_t none;
    (void)host;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void take_handlers_and_unblock(const struct valawai_host *host)
{
    change_handlers(host);
    unblock(host);
}

static void change_locale(const struct valawai_host *host)
{
    const char *now = setlocale(LC_ALL, "de_DE.UTF-8");
    VALAWAI_INFO_LOG(host, "locale: %s", now == NULL ? "(none)" : now);
    uselocale(LC_GLOBAL_LOCALE);
}

static void change_directory(const struct valawai_host *host)
{
    if (chdir("/") != 0)
        VALAWAI_ERROR_LOG(host, "cannot change the directory");
}

static void change_umask(const struct valawai_host *host)
{
    (void)host;
    umask(0777);
}

static void close_all(const struct valawai_host *host)
{
    (void)host;
    closefrom(0);
}

static bool is_child;

/* The child returns from the handler, as in a program that forgets to end it. */
static void fork_and_return(const struct valawai_host *host)
{
    pid_t child = fork();
    is_child = child == 0;
    if (child <= 0)
        return;
    int status = 0;
    waitpid(child, &status, 0);
    VALAWAI_INFO_LOG(host, "the child ended with %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* The child outlives the host. */
static void fork_and_stay(const struct valawai_host *host)
{
    pid_t child = fork();
    if (child == 0) {
        while (getppid() != 1)
            pause();
        _exit(0);
    }
    VALAWAI_INFO_LOG(host, "child %d", (int)child);
}

/* The signals that a child's program inherits. */
static void fork_and_exec(const struct valawai_host *host)
{
    int ends[2];
    char text[512] = "";
    if (pipe(ends) != 0)
        return;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execlp("grep", "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t len = 0, got; (got = read(ends[0], text + len, sizeof text - 1 - (size_t)len)) > 0;)
        len += got;
    close(ends[0]);
    waitpid(child, NULL, 0);
    VALAWAI_INFO_LOG(host, "child has %s", text);
}

static const struct {
    const char *name;
    void (*change)(const struct valawai_host *host);
} changes[] = {
    {"handlers", change_handlers},
    {"unblock", unblock},
    {"both", take_handlers_and_unblock},
    {"locale", change_locale},
    {"chdir", change_directory},
    {"umask", change_umask},
    {"closefrom", close_all},
    {"fork-return", fork_and_return},
    {"fork-stay", fork_and_stay},
    {"fork-exec", fork_and_exec},
};

static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char content[32];
        snprintf(content, sizeof content, "\"%s\"", changes[i].name);
        if (strstr(message->body, content) != NULL)
            changes[i].change(host);
    }
    if (is_child)
        return VALAWAI_DONE;
    return host->publish(host, PUBLISHED("meddler"), message->body, message->len);
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("meddler"),
    .topics = TOPICS(RECEIVED("meddler"), received),
    .start = keep_host,
};
