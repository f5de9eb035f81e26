/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "plugin/worker_child.h"

#define PID_MS 10000 /* for the zygote to fork */
#define TEXT_MAX 65536

struct zygote {
    pid_t pid;
    int control; /* a socket, a message for each order */
    pthread_mutex_t lock;
};

/* An order: one byte that says what, then the path or the command. Its descriptors come with it. */
enum order { ORDER_PLUGIN = 'p', ORDER_COMMAND = 'c' };
enum { ORDER_SOCKET, ORDER_END, ORDER_PAGE, ORDER_DESCRIPTORS };

/* ---- the zygote's own process ---- */

struct child {
    pid_t pid;
    int end;
};

struct nursery {
    int control, signals;
    struct child *children;
    size_t count;
};

/* What a worker is not to know: how to reach the broker, and options of other plugins. The host passes each plugin its
 * own. The bytes go, too: /proc shows them to the end. */
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

static void give_birth(struct nursery *nursery, const char *order, const int *descriptors)
{
    int end = descriptors[ORDER_END];
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (order[0] == ORDER_COMMAND)
            run_command(descriptors[ORDER_SOCKET], order + 1);
        run_plugin(descriptors, order + 1);
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
    nursery->children[nursery->count++] = (struct child){pid, end};
}

/* False: the host is gone. */
static bool take_order(struct nursery *nursery)
{
    static char order[TEXT_MAX];
    int descriptors[ORDER_DESCRIPTORS] = {-1, -1, -1};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof descriptors)];
    } control;
    struct iovec bytes = {order, sizeof order - 1};
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t len = recvmsg(nursery->control, &message, MSG_CMSG_CLOEXEC);
    if (len < 0)
        return errno == EINTR || errno == EAGAIN;
    if (len == 0)
        return false;
    order[len] = '\0';
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t size = header == NULL ? 0 : header->cmsg_len - CMSG_LEN(0);
    memcpy(descriptors, header == NULL ? (const void *)descriptors : (const void *)CMSG_DATA(header),
           size < sizeof descriptors ? size : sizeof descriptors);
    if (descriptors[ORDER_END] >= 0)
        give_birth(nursery, order, descriptors);
    if (descriptors[ORDER_SOCKET] >= 0)
        close(descriptors[ORDER_SOCKET]);
    if (descriptors[ORDER_PAGE] >= 0)
        close(descriptors[ORDER_PAGE]);
    return true;
}

/* What a worker left running ends with it. Its id is its own until it is waited for. */
static void bury(struct nursery *nursery)
{
    struct signalfd_siginfo signal;
    siginfo_t info = {0};
    (void)!read(nursery->signals, &signal, sizeof signal);
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        int status = 0;
        pid_t pid = info.si_pid;
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        for (size_t i = 0; i < nursery->count; i++) {
            if (nursery->children[i].pid != pid)
                continue;
            (void)!write(nursery->children[i].end, &status, sizeof status);
            close(nursery->children[i].end);
            nursery->children[i] = nursery->children[--nursery->count];
            break;
        }
        info.si_pid = 0;
    }
}

static _Noreturn void run(int control, pid_t parent)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    setpgid(0, 0);
    if (getppid() != parent)
        _exit(0);
    prctl(PR_SET_NAME, "valawai-zygote");
    forget_environment();
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct nursery nursery = {.control = control, .signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    struct pollfd fds[] = {{.fd = control, .events = POLLIN}, {.fd = nursery.signals, .events = POLLIN}};
    bool goes_on = nursery.signals >= 0;
    while (goes_on) {
        poll(fds, 2, -1);
        if (fds[1].revents != 0)
            bury(&nursery);
        if (fds[0].revents != 0)
            goes_on = take_order(&nursery);
    }
    /* The host is gone. Workers that read their sockets know it; one whose plugin is just loading does not. */
    for (size_t i = 0; i < nursery.count; i++)
        kill(-nursery.children[i].pid, SIGKILL);
    _exit(0);
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

void zygote_end(struct zygote *zygote)
{
    if (zygote == NULL)
        return;
    close(zygote->control);
    while (waitpid(zygote->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    pthread_mutex_destroy(&zygote->lock);
    free(zygote);
}

static bool send_order(struct zygote *zygote, char what, const char *text, const int *descriptors, size_t count,
                       struct fault *fault)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(ORDER_DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec bytes[] = {{&what, 1}, {(void *)(uintptr_t)text, strlen(text)}};
    struct msghdr message = {.msg_iov = bytes,
                             .msg_iovlen = 2,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (strlen(text) > TEXT_MAX - 2)
        return fault_set(fault, "the command is too long");
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    pthread_mutex_lock(&zygote->lock);
    bool sent = sendmsg(zygote->control, &message, MSG_NOSIGNAL) >= 0;
    int error = errno;
    pthread_mutex_unlock(&zygote->lock);
    return sent || fault_set(fault, "the zygote is gone: %s", strerror(error));
}

static bool order(struct zygote *zygote, char what, const char *text, int socket, int page, struct offspring *offspring,
                  struct fault *fault)
{
    int ends[2], answer = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fault_set(fault, "cannot open a pipe: %s", strerror(errno));
    int descriptors[ORDER_DESCRIPTORS] = {[ORDER_SOCKET] = socket, [ORDER_END] = ends[1], [ORDER_PAGE] = page};
    bool sent = send_order(zygote, what, text, descriptors, page < 0 ? ORDER_PAGE : ORDER_DESCRIPTORS, fault);
    close(ends[1]);
    struct pollfd forked = {.fd = ends[0], .events = POLLIN};
    if (sent && (poll(&forked, 1, PID_MS) != 1 || read(ends[0], &answer, sizeof answer) != sizeof answer))
        sent = fault_set(fault, "the zygote does not answer");
    if (sent && answer < 0)
        sent = fault_set(fault, "cannot fork: %s", strerror(-answer));
    if (sent)
        *offspring = (struct offspring){.pid = answer, .end = ends[0]};
    else
        close(ends[0]);
    return sent;
}

bool zygote_fork(struct zygote *zygote, const char *path, int socket, int page, struct offspring *offspring,
                 struct fault *fault)
{
    return order(zygote, ORDER_PLUGIN, path, socket, page, offspring, fault);
}

bool zygote_fork_command(struct zygote *zygote, const char *command, int socket, struct offspring *offspring,
                         struct fault *fault)
{
    return order(zygote, ORDER_COMMAND, command, socket, -1, offspring, fault);
}

bool offspring_ended(struct offspring *offspring, int wait_ms, int *status)
{
    struct pollfd end = {.fd = offspring->end, .events = POLLIN};
    if (offspring->end < 0 || poll(&end, 1, wait_ms) != 1)
        return false;
    bool known = read(offspring->end, status, sizeof *status) == sizeof *status;
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
