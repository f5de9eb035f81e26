/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* ---- TCP ---- */

static int new_socket(int family, struct fault *fault)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fault_set(fault, "no socket: %s", strerror(errno));
    return fd;
}

static int bind_tcp(const struct sockaddr *address, socklen_t len, bool every, struct fault *fault)
{
    const int on = 1, off = 0;
    int fd = new_socket(address->sa_family, fault);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* for the connections of the host that was here before */
    if (address->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, every ? &off : &on, sizeof on);
    if (bind(fd, address, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    fault_set(fault, "%s", strerror(errno));
    close(fd);
    return -1;
}

/* "" and :: take IPv4 as well. A kernel without IPv6 has 0.0.0.0 for them. */
int door_listen(const struct endpoint *endpoint, struct fault *fault)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)endpoint->port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)endpoint->port)};
    bool every = endpoint->host[0] == '\0' || strcmp(endpoint->host, "::") == 0;
    if (every || inet_pton(AF_INET6, endpoint->host, &six.sin6_addr) == 1) {
        int fd = bind_tcp((const struct sockaddr *)&six, sizeof six, every, fault);
        if (fd >= 0 || !every || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
            return fd;
    } else if (inet_pton(AF_INET, endpoint->host, &four.sin_addr) != 1) {
        fault_set(fault, "no address");
        return -1;
    }
    return bind_tcp((const struct sockaddr *)&four, sizeof four, false, fault);
}

/* ---- the Unix socket ---- */

/* A directory whose path is too long for a socket's address is reached through its descriptor. -1: see errno. */
struct place {
    int directory;
    struct sockaddr_un address;
};

static bool place_open(struct place *place, const char *directory)
{
    place->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    place->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return place->directory >= 0;
}

static void place_name(struct place *place, const char *directory, const char *name)
{
    size_t size = sizeof place->address.sun_path;
    int len = snprintf(place->address.sun_path, size, "%s/%s", directory, name);
    if (len < 0 || (size_t)len >= size)
        snprintf(place->address.sun_path, size, "/proc/self/fd/%d/%s", place->directory, name);
}

static void place_close(struct place *place)
{
    if (place->directory >= 0)
        close(place->directory);
}

static bool connect_to(const struct place *place, int fd)
{
    return connect(fd, (const struct sockaddr *)&place->address, sizeof place->address) == 0;
}

/* True if the name is free, or is that of a socket without a listener. */
static bool is_free(struct place *place, const char *directory, struct fault *fault)
{
    struct stat status;
    if (fstatat(place->directory, CONTROL_SOCKET, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || fault_set(fault, "%s/%s: %s", directory, CONTROL_SOCKET, strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return fault_set(fault, "%s/%s is in the way: it is not a socket; remove it", directory, CONTROL_SOCKET);
    int fd = new_socket(AF_UNIX, fault);
    if (fd < 0)
        return false;
    place_name(place, directory, CONTROL_SOCKET);
    bool answered = connect_to(place, fd) || errno == EAGAIN;
    close(fd);
    return !answered ||
           fault_set(fault, "%s/%s belongs to another host that runs; give each host a log directory of its own",
                     directory, CONTROL_SOCKET);
}

/* Binds under another name and renames: the socket already listens when it appears. */
int door_open(const char *directory, struct stat *made, struct fault *fault)
{
    struct place place;
    char name[64];
    int fd = -1;
    bool good = false;
    if (!place_open(&place, directory)) {
        fault_set(fault, "%s: %s", directory, strerror(errno));
        goto out;
    }
    if (!is_free(&place, directory, fault))
        goto out;
    fd = new_socket(AF_UNIX, fault);
    if (fd < 0)
        goto out;
    snprintf(name, sizeof name, ".%s.%ld", CONTROL_SOCKET, (long)getpid());
    place_name(&place, directory, name);
    unlinkat(place.directory, name, 0);
    /* Linux gives the name the mode of the socket, less the umask, which may take even what the owner needs. */
    good = fchmod(fd, 0600) == 0 && bind(fd, (const struct sockaddr *)&place.address, sizeof place.address) == 0 &&
           fchmodat(place.directory, name, 0600, 0) == 0 && listen(fd, BACKLOG) == 0 &&
           fstatat(place.directory, name, made, AT_SYMLINK_NOFOLLOW) == 0 &&
           renameat(place.directory, name, place.directory, CONTROL_SOCKET) == 0;
    if (!good) {
        fault_set(fault, "%s/%s: %s", directory, CONTROL_SOCKET, strerror(errno));
        unlinkat(place.directory, name, 0);
    }
out:
    if (!good && fd >= 0) {
        close(fd);
        fd = -1;
    }
    place_close(&place);
    return fd;
}

bool door_is_there(const char *directory, const struct stat *made)
{
    struct stat status;
    struct place place;
    bool there = place_open(&place, directory) &&
                 fstatat(place.directory, CONTROL_SOCKET, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 status.st_dev == made->st_dev && status.st_ino == made->st_ino;
    place_close(&place);
    return there;
}

void door_remove(const char *directory, const struct stat *made)
{
    struct place place;
    if (door_is_there(directory, made) && place_open(&place, directory)) {
        unlinkat(place.directory, CONTROL_SOCKET, 0);
        place_close(&place);
    }
}

int door_connect(const char *directory, struct fault *fault)
{
    struct place place;
    int fd = -1;
    bool good = place_open(&place, directory) && (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0;
    if (good) {
        place_name(&place, directory, CONTROL_SOCKET);
        good = connect_to(&place, fd);
    }
    int error = errno;
    if (!good) {
        fault_set(fault, "%s/%s: %s", directory, CONTROL_SOCKET, strerror(error));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    place_close(&place);
    errno = error;
    return fd;
}
