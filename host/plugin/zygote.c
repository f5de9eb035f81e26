/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "contract/contract.h"
#include "plugin/worker_child.h"

#define PID_MS 10000 /* for the zygote to fork */
#define END_MS 1000  /* for its workers to end after the host */
#define TEXT_MAX 65536
#define OOM_MORE 500 /* on the kernel's scale, whose … */
#define OOM_MOST 1000L

struct zygote {
    pthread_mutex_t lock; /* of what follows */
    pid_t pid;
    int control;     /* a socket, a message for each order */
    unsigned number; /* how many there were before it */
};

/* An order: this, then the path or the command. Its descriptors come with it. */
struct order {
    bool is_command;
    struct limits limits;
};
enum { ORDER_SOCKET, ORDER_END, ORDER_PAGE, ORDER_DESCRIPTORS };

/* ---- the zygote's own process ---- */

struct child {
    pid_t pid;
    int end;
    struct allowance allowance;
    struct fault limit; /* the zygote ends it because of this one; "": it does not */
};

struct nursery {
    pid_t host;
    int control, signals;
    struct child *children;
    size_t count;
    struct usage_look look;
};

/* Removes the way to the broker and the options of other plugins, which no worker may know. The host passes each plugin
 * its own. Clears the bytes as well, because /proc shows them until the process ends. */
static void forget_environment(void)
{
    static const char *const prefixes[] = {"RABBITMQ_", "MQ_", "VALAWAI_OPTION_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        for (char **at = environ; at != NULL && *at != NULL;) {
            char *value = strchr(*at, '=');
            if (value == NULL || strncmp(*at, prefixes[i], strlen(prefixes[i])) != 0) {
                at++;
                continue;
            }
            explicit_bzero(value + 1, strlen(value + 1));
            *value = '\0';
            char *name = memory_text(*at);
            *value = '=';
            unsetenv(name);
            free(name);
            at = environ; /* the list has changed */
        }
    }
}

static void default_signals(bool ignores_pipe)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < SIGRTMIN; number++)
        signal(number, SIG_DFL);
    if (ignores_pipe) /* as in the host's own process */
        signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void use_as(int fd, int number)
{
    if (fd == number)
        fcntl(fd, F_SETFD, 0);
    else if (dup2(fd, number) < 0)
        _exit(127);
}

static _Noreturn void run_command(int socket, const char *command)
{
    use_as(socket, STDIN_FILENO);
    use_as(socket, STDOUT_FILENO);
    close_range(3, UINT_MAX, 0);
    default_signals(false);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static _Noreturn void run_plugin(const int *descriptors, const char *path)
{
    enum { SOCKET = 3, PAGE = 4 };
    int high = fcntl(descriptors[ORDER_PAGE], F_DUPFD, 16);
    int socket = fcntl(descriptors[ORDER_SOCKET], F_DUPFD, 16);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0)
        use_as(nothing, STDIN_FILENO);
    use_as(socket, SOCKET);
    use_as(high, PAGE);
    close_range(PAGE + 1, UINT_MAX, 0);
    fcntl(SOCKET, F_SETFD, FD_CLOEXEC);
    fcntl(PAGE, F_SETFD, FD_CLOEXEC);
    default_signals(true);
    worker_child_run(SOCKET, PAGE, path);
}

/* When memory is short, the kernel ends a worker before the host. */
static void offer_to_kernel(void)
{
    char text[24] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) {
        long score = strtol(text, NULL, 10) + OOM_MORE;
        snprintf(text, sizeof text, "%ld", score < OOM_MOST ? score : OOM_MOST);
        (void)!write(fd, text, strlen(text));
    }
    if (fd >= 0)
        close(fd);
}

static void give_birth(struct nursery *nursery, const struct order *order, const char *path, const int *descriptors)
{
    int end = descriptors[ORDER_END];
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        offer_to_kernel();
        limits_hold(&order->limits);
        if (order->is_command)
            run_command(descriptors[ORDER_SOCKET], path);
        run_plugin(descriptors, path);
    }
    int answer = pid < 0 ? -errno : (int)pid;
    if (pid > 0)
        setpgid(pid, pid); /* both processes do this: either may come first */
    bool told = write(end, &answer, sizeof answer) == sizeof answer;
    if (pid < 0 || !told) {
        close(end);
        return;
    }
    nursery->children = memory_resize(nursery->children, (nursery->count + 1) * sizeof *nursery->children);
    nursery->children[nursery->count++] =
        (struct child){.pid = pid, .end = end, .allowance = {.limits = order->limits, .since_ms = clock_ms()}};
}

/* False: the host is gone. */
static bool take_order(struct nursery *nursery)
{
    struct order order;
    static char text[TEXT_MAX];
    int descriptors[ORDER_DESCRIPTORS] = {-1, -1, -1};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof descriptors)];
    } control;
    struct iovec bytes[] = {{&order, sizeof order}, {text, sizeof text - 1}};
    struct msghdr message = {
        .msg_iov = bytes, .msg_iovlen = 2, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t len = recvmsg(nursery->control, &message, MSG_CMSG_CLOEXEC);
    if (len < 0)
        return errno == EINTR || errno == EAGAIN;
    if (len < (ssize_t)sizeof order)
        return false;
    text[(size_t)len - sizeof order] = '\0';
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t size = header == NULL ? 0 : header->cmsg_len - CMSG_LEN(0);
    memcpy(descriptors, header == NULL ? (const void *)descriptors : (const void *)CMSG_DATA(header),
           size < sizeof descriptors ? size : sizeof descriptors);
    if (!order.is_command)
        (void)contract_of_mov(); /* once; the workers share its memory */
    if (descriptors[ORDER_END] >= 0)
        give_birth(nursery, &order, text, descriptors);
    if (descriptors[ORDER_SOCKET] >= 0)
        close(descriptors[ORDER_SOCKET]);
    if (descriptors[ORDER_PAGE] >= 0)
        close(descriptors[ORDER_PAGE]);
    return true;
}

static struct child *child_of(struct nursery *nursery, pid_t pid)
{
    for (size_t i = 0; i < nursery->count; i++)
        if (nursery->children[i].pid == pid)
            return &nursery->children[i];
    return NULL;
}

/* What a worker left running in its group ends with it. Its id is its own until it is waited for. Other processes are
 * those that workers have left: they come to the zygote. */
static void bury(struct nursery *nursery)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        struct offspring_end end = {0};
        struct child *child = child_of(nursery, info.si_pid);
        if (child != NULL)
            kill(-info.si_pid, SIGKILL);
        waitpid(info.si_pid, &end.status, 0);
        if (child != NULL) {
            end.limit = child->limit;
            (void)!write(child->end, &end, sizeof end);
            close(child->end);
            *child = nursery->children[--nursery->count];
        }
        info.si_pid = 0;
    }
}

/* Milliseconds after which the zygote looks at what the workers use; -1: none of them has a limit. */
static int pause_of(const struct nursery *nursery)
{
    int shortest = -1;
    for (size_t i = 0; i < nursery->count; i++) {
        int pause = limits_pause(&nursery->children[i].allowance.limits);
        if (pause > 0 && (shortest < 0 || pause < shortest))
            shortest = pause;
    }
    return shortest;
}

static void watch(struct nursery *nursery)
{
    struct usage *usages = memory_new((nursery->count + 1) * sizeof *usages);
    size_t count = 0;
    for (size_t i = 0; i < nursery->count; i++) {
        const struct limits *limits = &nursery->children[i].allowance.limits;
        if (limits_pause(limits) > 0)
            usages[count++] = (struct usage){.group = nursery->children[i].pid,
                                             .processes_max = limits->processes_max,
                                             .counts_files = limits->files_max > 0};
    }
    usage_measure(&nursery->look, usages, count);
    for (size_t i = 0; i < count; i++) {
        struct child *child = child_of(nursery, usages[i].group);
        if (limits_exceeded(&child->allowance, &usages[i], clock_ms(), &child->limit))
            kill(-child->pid, SIGKILL);
    }
    free(usages);
}

/* Workers that read their sockets know that the host is gone; one whose plugin is just loading does not, nor do
 * processes that plugins have made. Those that left the group of their worker come to the zygote when the worker ends.
 */
static void end_all(struct nursery *nursery)
{
    char path[64], text[4096];
    int64_t until = clock_ms() + END_MS;
    for (size_t i = 0; i < nursery->count; i++)
        kill(-nursery->children[i].pid, SIGKILL);
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (ssize_t len = 1; len > 0 && clock_ms() < until; poll(NULL, 0, 1)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        text[len > 0 ? len : 0] = '\0';
        if (fd >= 0)
            close(fd);
        char *at = text, *end;
        for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
            kill((pid_t)pid, SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
    }
}

/* A higher priority, if the system permits it: a plugin that forks without end must not keep the zygote from running.
 * Workers do not inherit it. */
static void come_first(void)
{
    (void)!sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &(struct sched_param){0});
    (void)!setpriority(PRIO_PROCESS, 0, -20);
}

static void read_signals(const struct nursery *nursery, bool *goes_on)
{
    struct signalfd_siginfo signal;
    while (read(nursery->signals, &signal, sizeof signal) == sizeof signal)
        if (signal.ssi_signo == SIGUSR1 && getppid() != nursery->host)
            *goes_on = false;
}

/* The end of the socket says that the host is gone. So does a signal, for the case that a process which a plugin has
 * forked in the host holds the socket open. */
static _Noreturn void run(int control, pid_t host)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != host)
        _exit(0);
    prctl(PR_SET_NAME, "valawai-zygote");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    come_first();
    forget_environment();
    signal(SIGPIPE, SIG_IGN);
    struct nursery nursery = {
        .host = host, .control = control, .signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    struct pollfd fds[] = {{.fd = control, .events = POLLIN}, {.fd = nursery.signals, .events = POLLIN}};
    bool goes_on = nursery.signals >= 0;
    int64_t look_at = 0;
    while (goes_on) {
        int pause = pause_of(&nursery);
        poll(fds, 2, pause);
        if (fds[1].revents != 0) {
            read_signals(&nursery, &goes_on);
            bury(&nursery);
        }
        if (fds[0].revents != 0) {
            goes_on = take_order(&nursery) && goes_on;
            look_at = 0; /* at the new one, too */
        }
        if (pause > 0 && (clock_ms() >= look_at || usage_may_have_grown(&nursery.look))) {
            watch(&nursery);
            look_at = clock_ms() + LIMITS_LOOK_MS;
        }
    }
    end_all(&nursery);
    _exit(0);
}

_Noreturn void zygote_main(void)
{
    enum { CONTROL = 3 };
    if (dup2(STDIN_FILENO, CONTROL) < 0)
        _exit(1);
    close_range(CONTROL + 1, UINT_MAX, 0);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0)
        use_as(nothing, STDIN_FILENO);
    fcntl(CONTROL, F_SETFD, FD_CLOEXEC);
    run(CONTROL, getppid());
}

/* ---- the host's side ---- */

struct zygote *zygote_start(struct fault *fault)
{
    int ends[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        fault_set(fault, "cannot open a socket for the zygote: %s", strerror(errno));
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run(ends[1], parent);
    }
    close(ends[1]);
    if (pid < 0) {
        fault_set(fault, "cannot fork the zygote: %s", strerror(errno));
        close(ends[0]);
        return NULL;
    }
    struct zygote *zygote = memory_new(sizeof *zygote);
    zygote->pid = pid;
    zygote->control = ends[0];
    pthread_mutex_init(&zygote->lock, NULL);
    return zygote;
}

static void await_end(const struct zygote *zygote)
{
    while (waitpid(zygote->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* The host has threads and secrets by now, so the new one is this program from its beginning. number: of the one that
 * has ended; another thread may have been faster. */
static bool replace(struct zygote *zygote, unsigned number, struct fault *fault)
{
    char program[] = "/proc/self/exe", name[] = "valawai-host", argument[] = ZYGOTE_ARGUMENT;
    char *const arguments[] = {name, argument, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], error = 0;
    pid_t pid;
    pthread_mutex_lock(&zygote->lock);
    if (zygote->number != number)
        goto out;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        error = errno;
        goto out;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    error = posix_spawn(&pid, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        goto out;
    }
    close(zygote->control);
    await_end(zygote);
    zygote->pid = pid;
    zygote->control = ends[0];
    zygote->number++;
out:
    pthread_mutex_unlock(&zygote->lock);
    return error == 0 || fault_set(fault, "the zygote has ended, and there can be no other: %s", strerror(error));
}

void zygote_end(struct zygote *zygote)
{
    if (zygote == NULL)
        return;
    close(zygote->control);
    await_end(zygote);
    pthread_mutex_destroy(&zygote->lock);
    free(zygote);
}

enum answer { FORKED, REFUSED, GONE /* the zygote has ended */ };

/* number: of the zygote that gets it. */
static enum answer send_order(struct zygote *zygote, const struct seed *seed, int end, unsigned *number,
                              struct fault *fault)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(ORDER_DESCRIPTORS * sizeof(int))];
    } control = {0};
    int descriptors[ORDER_DESCRIPTORS] = {[ORDER_SOCKET] = seed->socket, [ORDER_END] = end, [ORDER_PAGE] = seed->page};
    size_t count = seed->page < 0 ? ORDER_PAGE : ORDER_DESCRIPTORS, len = strlen(seed->path);
    struct order order = {.is_command = seed->is_command, .limits = seed->limits};
    struct iovec bytes[] = {{&order, sizeof order}, {(void *)(uintptr_t)seed->path, len}};
    struct msghdr message = {.msg_iov = bytes,
                             .msg_iovlen = 2,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (len > TEXT_MAX - 2) {
        fault_set(fault, "the command is too long");
        return REFUSED;
    }
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    pthread_mutex_lock(&zygote->lock);
    *number = zygote->number;
    bool sent = sendmsg(zygote->control, &message, MSG_NOSIGNAL) >= 0;
    int error = errno;
    pthread_mutex_unlock(&zygote->lock);
    if (sent)
        return FORKED;
    fault_set(fault, "cannot reach the zygote: %s", strerror(error));
    return error == EPIPE || error == ECONNRESET || error == ENOTCONN ? GONE : REFUSED;
}

static enum answer fork_once(struct zygote *zygote, const struct seed *seed, struct offspring *offspring,
                             unsigned *number, struct fault *fault)
{
    int ends[2], pid = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        fault_set(fault, "cannot open a pipe: %s", strerror(errno));
        return REFUSED;
    }
    enum answer answer = send_order(zygote, seed, ends[1], number, fault);
    close(ends[1]);
    struct pollfd forked = {.fd = ends[0], .events = POLLIN};
    if (answer == FORKED && (poll(&forked, 1, PID_MS) != 1 || read(ends[0], &pid, sizeof pid) != sizeof pid)) {
        fault_set(fault, "the zygote does not answer");
        answer = (forked.revents & POLLHUP) != 0 ? GONE : REFUSED;
    } else if (answer == FORKED && pid < 0) {
        fault_set(fault, "cannot fork: %s", strerror(-pid));
        answer = REFUSED;
    }
    if (answer == FORKED)
        *offspring = (struct offspring){.pid = pid, .end = ends[0]};
    else
        close(ends[0]);
    return answer;
}

bool zygote_fork(struct zygote *zygote, const struct seed *seed, struct offspring *offspring, struct fault *fault)
{
    unsigned number;
    enum answer answer = fork_once(zygote, seed, offspring, &number, fault);
    if (answer != GONE)
        return answer == FORKED;
    if (!replace(zygote, number, fault) || fork_once(zygote, seed, offspring, &number, fault) != FORKED)
        return false;
    offspring->by_another = true;
    return true;
}

bool offspring_ended(struct offspring *offspring, int wait_ms, struct offspring_end *end)
{
    struct pollfd fd = {.fd = offspring->end, .events = POLLIN};
    if (offspring->end < 0 || poll(&fd, 1, wait_ms) != 1)
        return false;
    bool known = read(offspring->end, end, sizeof *end) == sizeof *end;
    offspring_forget(offspring);
    return known;
}

void offspring_signal(const struct offspring *offspring, int signal)
{
    if (offspring->pid > 0)
        kill(-offspring->pid, signal);
}

void offspring_forget(struct offspring *offspring)
{
    if (offspring->end >= 0)
        close(offspring->end);
    *offspring = (struct offspring){.pid = 0, .end = -1};
}
