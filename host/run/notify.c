/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"

#define RETRY_MS 200

struct notify {
    struct log *log;
    int fd; /* -1: no service manager */
    struct sockaddr_un address;
    socklen_t address_len;
    int64_t watchdog_ms; /* between two watchdog messages; 0: no watchdog */
    int64_t watchdog_due;
    char *status;
    bool ready, stopping;
    char *unsent; /* the service manager's queue was full, or it was away */
    bool failed;  /* the failure is logged, and not again until a message has been sent */
};

static bool set_address(struct notify *notify, const char *path)
{
    size_t len = strlen(path);
    bool abstract = path[0] == '@';
    if ((path[0] != '/' && !abstract) || len < 2 || len >= sizeof notify->address.sun_path)
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, path, len + 1);
    if (abstract)
        notify->address.sun_path[0] = '\0';
    /* An abstract name ends with its length, a path with '\0'. */
    notify->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    return true;
}

/* Half of the watchdog's time, as systemd recommends; 0 if the watchdog is not for this process. */
static int64_t watchdog_interval(const char *usec, const char *pid)
{
    char *end = NULL;
    if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    errno = 0;
    long long read = strtoll(usec, &end, 10);
    if (errno != 0 || end == usec || *end != '\0' || read <= 0)
        return 0;
    return read >= 4000 ? read / 2000 : 1;
}

struct notify *notify_new(struct log *log)
{
    struct notify *notify = memory_new(sizeof *notify);
    const char *path = getenv("NOTIFY_SOCKET");
    notify->log = log;
    notify->fd = -1;
    if (path != NULL && path[0] != '\0') {
        if (set_address(notify, path))
            notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (notify->fd < 0)
            log_warning(log, "host",
                        "NOTIFY_SOCKET: \"%.120s\" is not a socket address; the service manager gets no messages",
                        path);
        else
            notify->watchdog_ms = watchdog_interval(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return notify;
}

static bool send_words(struct notify *notify, const char *words)
{
    const struct sockaddr *address = (const struct sockaddr *)&notify->address;
    ssize_t sent = sendto(notify->fd, words, strlen(words), MSG_NOSIGNAL, address, notify->address_len);
    if (sent >= 0) {
        notify->failed = false;
        return true;
    }
    if (!notify->failed && errno != EAGAIN) {
        log_warning(notify->log, "host", "cannot send to NOTIFY_SOCKET: %s; trying again", strerror(errno));
        notify->failed = true;
    }
    return false;
}

/* Takes ownership of the text. It replaces an unsent one, because each message contains the whole state. */
static void tell(struct notify *notify, char *words)
{
    free(notify->unsent);
    notify->unsent = words;
    if (send_words(notify, words)) {
        free(notify->unsent);
        notify->unsent = NULL;
    }
}

void notify_show(struct notify *notify, bool ready, const char *status)
{
    ready = ready || notify->ready;
    bool same = notify->status != NULL && strcmp(notify->status, status) == 0 && ready == notify->ready;
    if (notify->fd < 0 || notify->stopping || same)
        return;
    notify->ready = ready;
    free(notify->status);
    notify->status = memory_text(status);
    tell(notify, memory_format("%sSTATUS=%s", ready ? "READY=1\n" : "", status));
}

void notify_stopping(struct notify *notify)
{
    if (notify->fd < 0 || notify->stopping)
        return;
    notify->stopping = true;
    tell(notify, memory_text("STOPPING=1\nSTATUS=stopping"));
}

int64_t notify_tend(struct notify *notify, int64_t now)
{
    int64_t due = INT64_MAX;
    if (notify->unsent != NULL) {
        char *words = notify->unsent;
        notify->unsent = NULL;
        tell(notify, words);
    }
    if (notify->unsent != NULL)
        due = now + RETRY_MS;
    if (notify->watchdog_ms > 0) {
        if (now >= notify->watchdog_due) {
            (void)send_words(notify, "WATCHDOG=1"); /* the next one replaces a lost one */
            notify->watchdog_due = now + notify->watchdog_ms;
        }
        if (notify->watchdog_due < due)
            due = notify->watchdog_due;
    }
    return due;
}

void notify_free(struct notify *notify)
{
    if (notify == NULL)
        return;
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify->status);
    free(notify->unsent);
    free(notify);
}
