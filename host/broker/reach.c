/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/reach.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/locale.h"
#include "base/memory.h"
#include "base/thread.h"

static int milliseconds_until(int64_t until_ms)
{
    int64_t left = until_ms - clock_ms();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

/* ---- the name ---- */

/* Owned by its thread and by the waiting thread; the last of the two frees it. */
struct lookup {
    atomic_uint owners;
    atomic_bool ended;
    int done; /* an eventfd: readable when the lookup has ended */
    int error;
    struct addrinfo *list;
    char port[8];
    char host[];
};

static atomic_uint threads; /* they may outlive the thread that started them */

unsigned lookup_threads(void)
{
    return atomic_load(&threads);
}

void lookup_abandon(struct lookup *lookup)
{
    if (lookup == NULL || atomic_fetch_sub(&lookup->owners, 1) != 1)
        return;
    if (lookup->list != NULL)
        freeaddrinfo(lookup->list);
    close(lookup->done);
    free(lookup);
}

static int resolve(struct lookup *lookup, int flags)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    return getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list);
}

static void *lookup_run(void *argument)
{
    struct lookup *lookup = argument;
    thread_name("vh-resolver");
    locale_hold();
    lookup->error = resolve(lookup, AI_ADDRCONFIG);
    atomic_store(&lookup->ended, true);
    eventfd_write(lookup->done, 1);
    lookup_abandon(lookup);
    atomic_fetch_sub(&threads, 1);
    return NULL;
}

static bool lookup_start(struct lookup *lookup, struct fault *fault)
{
    pthread_t thread;
    atomic_fetch_add(&lookup->owners, 1);
    atomic_fetch_add(&threads, 1);
    int error = pthread_create(&thread, NULL, lookup_run, lookup);
    if (error == 0) {
        pthread_detach(thread);
        return true;
    }
    atomic_fetch_sub(&threads, 1);
    atomic_fetch_sub(&lookup->owners, 1);
    return fault_set(fault, "no thread to resolve %s: %s", lookup->host, strerror(error));
}

/* NULL: see fault. A numeric address needs no resolver and no thread. */
static struct lookup *lookup_new(const struct target *target, struct fault *fault)
{
    size_t size = strlen(target->host) + 1;
    struct lookup *lookup = memory_new(sizeof *lookup + size);
    memcpy(lookup->host, target->host, size);
    snprintf(lookup->port, sizeof lookup->port, "%d", target->port);
    atomic_init(&lookup->owners, 1);
    lookup->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->done < 0) {
        free(lookup);
        fault_set(fault, "eventfd: %s", strerror(errno));
        return NULL;
    }
    if (resolve(lookup, AI_NUMERICHOST) == 0) {
        atomic_store(&lookup->ended, true);
    } else if (!lookup_start(lookup, fault)) {
        lookup_abandon(lookup);
        return NULL;
    }
    return lookup;
}

static bool lookup_is_for(const struct lookup *lookup, const struct target *target)
{
    return lookup != NULL && strcmp(lookup->host, target->host) == 0 && atoi(lookup->port) == target->port;
}

static bool lookup_wait(struct lookup *lookup, const struct target *target, struct fault *fault)
{
    while (!atomic_load(&lookup->ended)) {
        struct pollfd fds[] = {{.fd = lookup->done, .events = POLLIN}, {.fd = target->wake, .events = POLLIN}};
        int ready = poll(fds, 2, milliseconds_until(target->deadline_ms));
        if (ready < 0 && errno != EINTR)
            return fault_set(fault, "poll: %s", strerror(errno));
        if (ready > 0 && fds[1].revents != 0)
            return fault_set(fault, "the attempt was given up");
        if (ready == 0 && !atomic_load(&lookup->ended))
            return fault_set(fault, "the name is still being resolved; check the DNS server");
    }
    return lookup->error == 0 || fault_set(fault, "the name has no address: %s", gai_strerror(lookup->error));
}

/* ---- the addresses ---- */

/* The remaining addresses, and the sockets that are connecting. */
struct race {
    const struct addrinfo *addresses[REACH_ADDRESSES_MAX];
    size_t count, begun;
    struct pollfd fds[REACH_ADDRESSES_MAX +
                      1]; /* one for each address; -1: not begun, or failed. The last is the target's wake */
    size_t connecting;
    int64_t next_at; /* when the next one begins */
    int error;       /* of the last failure */
};

/* Alternates the two families, beginning with that of the first address (RFC 8305, section 4). */
static void sort(struct race *race, const struct addrinfo *list)
{
    const struct addrinfo *same = list, *other = list;
    int family = list->ai_family;
    while (race->count < REACH_ADDRESSES_MAX && (same != NULL || other != NULL)) {
        while (same != NULL && same->ai_family != family)
            same = same->ai_next;
        if (same != NULL) {
            race->addresses[race->count++] = same;
            same = same->ai_next;
        }
        while (other != NULL && other->ai_family == family)
            other = other->ai_next;
        if (other != NULL && race->count < REACH_ADDRESSES_MAX) {
            race->addresses[race->count++] = other;
            other = other->ai_next;
        }
    }
}

static void failed(struct race *race, size_t at, int error)
{
    if (race->fds[at].fd >= 0) {
        close(race->fds[at].fd);
        race->connecting--;
    }
    race->fds[at].fd = -1;
    race->error = error;
    race->next_at = 0; /* the next attempt need not wait */
}

/* True: connected at once. */
static bool begin_next(struct race *race)
{
    size_t at = race->begun++;
    const struct addrinfo *address = race->addresses[at];
    race->next_at = clock_ms() + REACH_STAGGER_MS;
    race->fds[at].fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    if (race->fds[at].fd < 0) {
        failed(race, at, errno);
        return false;
    }
    race->connecting++;
    if (connect(race->fds[at].fd, address->ai_addr, address->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS)
        failed(race, at, errno);
    return false;
}

/* The index of a connected socket; count: none is. */
static size_t winner(struct race *race)
{
    for (size_t at = 0; at < race->begun; at++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (race->fds[at].fd < 0 || race->fds[at].revents == 0)
            continue;
        if (getsockopt(race->fds[at].fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
            return at;
        failed(race, at, error);
    }
    return race->count;
}

/* The index of the winner; count: there is none. */
static size_t run(struct race *race, const struct target *target, struct fault *fault)
{
    while (race->begun < race->count || race->connecting > 0) {
        int64_t now = clock_ms();
        if (race->begun < race->count && now >= race->next_at) {
            if (begin_next(race))
                return race->begun - 1;
            continue;
        }
        if (now >= target->deadline_ms) {
            fault_set(fault, "no answer: is the address right, and does a firewall block the port?");
            return race->count;
        }
        bool waits = race->begun < race->count && race->next_at < target->deadline_ms;
        if (poll(race->fds, race->count + 1, milliseconds_until(waits ? race->next_at : target->deadline_ms)) < 0 &&
            errno != EINTR) {
            fault_set(fault, "poll: %s", strerror(errno));
            return race->count;
        }
        if (race->fds[race->count].revents != 0) {
            fault_set(fault, "the attempt was given up");
            return race->count;
        }
        size_t at = winner(race);
        if (at < race->count)
            return at;
    }
    fault_set(fault, "no connection (%s): is the broker running and listening there?", strerror(race->error));
    return race->count;
}

int reach_addresses(const struct addrinfo *list, const struct target *target, struct fault *fault)
{
    struct race race = {0};
    sort(&race, list);
    for (size_t at = 0; at < race.count; at++)
        race.fds[at] = (struct pollfd){.fd = -1, .events = POLLOUT};
    race.fds[race.count] = (struct pollfd){.fd = target->wake, .events = POLLIN};
    size_t won = run(&race, target, fault);
    for (size_t at = 0; at < race.count; at++)
        if (at != won && race.fds[at].fd >= 0)
            close(race.fds[at].fd);
    return won < race.count ? race.fds[won].fd : -1;
}

/* Addresses can change, so the next attempt resolves the name again. */
static void forget(struct lookup **lookup)
{
    if (*lookup == NULL || !atomic_load(&(*lookup)->ended))
        return;
    lookup_abandon(*lookup);
    *lookup = NULL;
}

static bool look_up(const struct target *target, struct lookup **lookup, struct fault *fault)
{
    if (!lookup_is_for(*lookup, target)) {
        lookup_abandon(*lookup);
        *lookup = lookup_new(target, fault);
    }
    return *lookup != NULL && lookup_wait(*lookup, target, fault);
}

bool reach_name(const struct target *target, struct lookup **lookup, struct fault *fault)
{
    bool found = look_up(target, lookup, fault);
    forget(lookup);
    return found;
}

int reach(const struct target *target, struct lookup **lookup, struct fault *fault)
{
    int fd = look_up(target, lookup, fault) ? reach_addresses((*lookup)->list, target, fault) : -1;
    forget(lookup);
    return fd;
}

bool reach_address(const struct target *target, struct lookup **lookup, char address[REACH_ADDRESS_SIZE],
                   struct fault *fault)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int fd = reach(target, lookup, fault);
    if (fd < 0)
        return false;
    bool known = getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
                 getnameinfo((struct sockaddr *)&peer, size, address, REACH_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0;
    close(fd);
    return known || fault_set(fault, "the broker closed the connection at once");
}
