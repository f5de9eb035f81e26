/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * reach: on loopback, with the test's own resolver. An address is silent when the queue of its listener is full. */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/thread.h"
#include "broker/reach.h"

/* ---- the resolver ---- */

static atomic_int asked;  /* not called for numeric addresses */
static int hanging[2];    /* a pipe: names wait until something can be read */
static const char *named; /* the result */

int __real_getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
    if ((hints->ai_flags & AI_NUMERICHOST) != 0)
        return __real_getaddrinfo(name, port, hints, list);
    asked++;
    struct pollfd fd = {.fd = hanging[0], .events = POLLIN};
    poll(&fd, 1, -1);
    const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    return named == NULL ? EAI_NONAME : __real_getaddrinfo(named, port, &numeric, list);
}

/* ---- listeners ---- */

static int listener(const char *address, int *port, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address, &at.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

#define FILLING 8

struct silent {
    int fd, clients[FILLING];
};

/* Its queue has room for one connection; later ones get no answer. */
static struct silent silence(const char *address, int *port)
{
    struct silent silent = {.fd = listener(address, port, 0)};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    inet_pton(AF_INET, address, &at.sin_addr);
    for (int i = 0; i < FILLING; i++) {
        silent.clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int result = connect(silent.clients[i], (struct sockaddr *)&at, sizeof at);
        assert_true(result == 0 || errno == EINPROGRESS);
    }
    return silent;
}

static void silence_end(const struct silent *silent)
{
    for (int i = 0; i < FILLING; i++)
        close(silent->clients[i]);
    close(silent->fd);
}

/* A list as getaddrinfo() makes it, of up to four addresses on a port. */
struct addresses {
    struct sockaddr_in at[4];
    struct addrinfo list[4];
};

static const struct addrinfo *addresses(struct addresses *made, int port, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        made->at[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        inet_pton(AF_INET, texts[i], &made->at[i].sin_addr);
        made->list[i] = (struct addrinfo){.ai_family = AF_INET,
                                          .ai_socktype = SOCK_STREAM,
                                          .ai_addr = (struct sockaddr *)&made->at[i],
                                          .ai_addrlen = sizeof made->at[i],
                                          .ai_next = i + 1 < count ? &made->list[i + 1] : NULL};
    }
    return made->list;
}

static const char *peer(int fd)
{
    static char text[64];
    struct sockaddr_in at = {0};
    socklen_t size = sizeof at;
    assert_int_equal(getpeername(fd, (struct sockaddr *)&at, &size), 0);
    inet_ntop(AF_INET, &at.sin_addr, text, sizeof text);
    close(fd);
    return text;
}

static int64_t in(double seconds)
{
    return clock_ms() + (int64_t)(stretched(seconds) * 1000);
}

static struct fault fault;

static int begin(void **state)
{
    UNUSED(state);
    fault = (struct fault){""};
    asked = 0;
    named = "127.0.0.1";
    return pipe(hanging);
}

static int end(void **state)
{
    UNUSED(state);
    while (lookup_threads() > 0) /* they read the pipe */
        usleep(1000);
    close(hanging[0]);
    close(hanging[1]);
    return 0;
}

static void release(void)
{
    assert_int_equal(write(hanging[1], "x", 1), 1);
}

/* ---- the addresses ---- */

static void an_address_is_not_resolved(void **state)
{
    UNUSED(state);
    int port = 0, fd = listener("127.0.0.1", &port, 5);
    struct lookup *lookup = NULL;
    const struct target target = {.host = "127.0.0.1", .port = port, .deadline_ms = in(10), .wake = -1};
    assert_string_equal(peer(reach(&target, &lookup, &fault)), "127.0.0.1");
    assert_null(lookup);
    assert_int_equal(asked, 0);
    close(fd);
    release();
}

static void a_silent_address_costs_a_moment(void **state)
{
    UNUSED(state);
    int port = 0;
    struct silent silent = silence("127.0.0.2", &port), silent_too = silence("127.0.0.3", &port);
    int fd = listener("127.0.0.1", &port, 5);
    struct addresses made;
    const struct addrinfo *list =
        addresses(&made, port, (const char *const[]){"127.0.0.2", "127.0.0.3", "127.0.0.1"}, 3);
    const struct target target = {.host = "several", .port = port, .deadline_ms = in(20), .wake = -1};
    int64_t began = clock_ms();
    assert_string_equal(peer(reach_addresses(list, &target, &fault)), "127.0.0.1");
    assert_true(clock_ms() - began >= 2 * (int64_t)REACH_STAGGER_MS);
    assert_true(clock_ms() - began < (int64_t)(stretched(2) * 1000));
    close(fd);
    silence_end(&silent);
    silence_end(&silent_too);
    release();
}

/* For a library that connects by itself: the text of the address, and no connection that stays. */
static void the_address_that_answers(void **state)
{
    UNUSED(state);
    int port = 0, fd = listener("127.0.0.1", &port, 5);
    struct lookup *lookup = NULL;
    struct target target = {.host = "name", .port = port, .deadline_ms = in(20), .wake = -1};
    char address[REACH_ADDRESS_SIZE];
    release(); /* the resolver answers */
    assert_true(reach_address(&target, &lookup, address, &fault));
    assert_string_equal(address, "127.0.0.1");
    int accepted = accept(fd, NULL, NULL);
    char byte = 0;
    assert_int_equal(read(accepted, &byte, 1), 0);
    close(accepted);
    close(fd);
    assert_false(reach_address(&target, &lookup, address, &fault));
    expect_in(fault.text, "Connection refused");
}

/* After a refusal the next attempt begins at once. */
static void a_refusal_costs_nothing(void **state)
{
    UNUSED(state);
    int port = 0, fd = listener("127.0.0.1", &port, 5);
    struct addresses made;
    const struct addrinfo *list =
        addresses(&made, port, (const char *const[]){"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"}, 4);
    const struct target target = {.host = "several", .port = port, .deadline_ms = in(20), .wake = -1};
    int64_t began = clock_ms();
    assert_string_equal(peer(reach_addresses(list, &target, &fault)), "127.0.0.1");
    assert_true(clock_ms() - began < REACH_STAGGER_MS || stretched(1) > 1);
    close(fd);
    assert_int_equal(reach_addresses(list, &target, &fault), -1);
    expect_in(fault.text, "Connection refused");
    release();
}

static void the_first_that_answers_wins(void **state)
{
    UNUSED(state);
    int port = 0, first = listener("127.0.0.2", &port, 5), second = listener("127.0.0.1", &port, 5);
    struct addresses made;
    const struct addrinfo *list = addresses(&made, port, (const char *const[]){"127.0.0.2", "127.0.0.1"}, 2);
    const struct target target = {.host = "several", .port = port, .deadline_ms = in(20), .wake = -1};
    assert_string_equal(peer(reach_addresses(list, &target, &fault)), "127.0.0.2");
    close(first);
    close(second);
    release();
}

static void no_answer_within_the_deadline(void **state)
{
    UNUSED(state);
    int port = 0;
    struct silent silent = silence("127.0.0.2", &port);
    struct addresses made;
    const struct addrinfo *list = addresses(&made, port, (const char *const[]){"127.0.0.2"}, 1);
    const struct target target = {.host = "one", .port = port, .deadline_ms = clock_ms() + 300, .wake = -1};
    assert_int_equal(reach_addresses(list, &target, &fault), -1);
    expect_in(fault.text, "no answer");
    assert_true(clock_ms() >= target.deadline_ms);
    silence_end(&silent);
    release();
}

static void a_stop_does_not_wait(void **state)
{
    UNUSED(state);
    int port = 0, wake = eventfd(1, EFD_CLOEXEC);
    struct silent silent = silence("127.0.0.2", &port);
    struct addresses made;
    const struct addrinfo *list = addresses(&made, port, (const char *const[]){"127.0.0.2"}, 1);
    const struct target target = {.host = "one", .port = port, .deadline_ms = INT64_MAX, .wake = wake};
    assert_int_equal(reach_addresses(list, &target, &fault), -1);
    expect_in(fault.text, "given up");
    silence_end(&silent);
    close(wake);
    release();
}

/* ---- the name ---- */

static void a_name_without_an_address(void **state)
{
    UNUSED(state);
    struct lookup *lookup = NULL;
    named = NULL;
    release();
    const struct target target = {.host = "nowhere", .port = 5672, .deadline_ms = in(20), .wake = -1};
    assert_int_equal(reach(&target, &lookup, &fault), -1);
    expect_in(fault.text, "no address");
    assert_null(lookup);
}

static void a_resolver_that_hangs(void **state)
{
    UNUSED(state);
    int port = 0, fd = listener("127.0.0.1", &port, 5), wake = eventfd(1, EFD_CLOEXEC);
    struct lookup *lookup = NULL;
    struct target target = {.host = "name", .port = port, .deadline_ms = clock_ms() + 50, .wake = -1};
    assert_int_equal(reach(&target, &lookup, &fault), -1);
    expect_in(fault.text, "still being resolved");
    assert_non_null(lookup);
    target.wake = wake;
    target.deadline_ms = INT64_MAX;
    assert_int_equal(reach(&target, &lookup, &fault), -1);
    expect_in(fault.text, "given up");
    assert_int_equal(lookup_threads(), 1); /* the second attempt waited for the first one's lookup */

    release();
    target.wake = -1;
    target.deadline_ms = in(20);
    assert_string_equal(peer(reach(&target, &lookup, &fault)), "127.0.0.1");
    assert_int_equal(asked, 1);
    assert_null(lookup);
    assert_true(reach_name(&target, &lookup, &fault)); /* and is resolved anew then */
    assert_int_equal(asked, 2);
    close(fd);
    close(wake);
}

static void a_lookup_that_is_abandoned(void **state)
{
    UNUSED(state);
    struct lookup *lookup = NULL;
    struct target target = {.host = "name", .port = 1, .deadline_ms = clock_ms(), .wake = -1};
    assert_int_equal(reach(&target, &lookup, &fault), -1);
    target.host = "another";
    assert_int_equal(reach(&target, &lookup, &fault), -1);
    assert_int_equal(lookup_threads(), 2);
    lookup_abandon(lookup);
    lookup_abandon(NULL);
    release(); /* both threads end, and free what they have */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_address_is_not_resolved), TEST(a_silent_address_costs_a_moment), TEST(a_refusal_costs_nothing),
        TEST(the_address_that_answers),   TEST(the_first_that_answers_wins),     TEST(no_answer_within_the_deadline),
        TEST(a_stop_does_not_wait),       TEST(a_name_without_an_address),       TEST(a_resolver_that_hangs),
        TEST(a_lookup_that_is_abandoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
