/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The benchmark's hands on the broker; run.py calls it. Times are CLOCK_MONOTONIC in nanoseconds, as Python's
 * time.monotonic_ns().
 *
 *     load fill COUNT SIZE QUEUE...      puts COUNT messages of SIZE bytes into the queues in turn, until all are there
 *     load watch COUNT QUEUE...          looks at how many messages lie in the queues: `first TIME COUNT` when there is
 *                                        one, `warm TIME COUNT` at a tenth, `done TIME COUNT` at COUNT
 *     load scrape RATE SECONDS SOCKET    gets /metrics from a Unix socket, over one connection: how often, and the CPU
 * time that this took here, in microseconds load trip COUNT SIZE RATE IN OUT   COUNT messages a second apart by 1/RATE
 * (0: each after the echo of the one before), and how long their echoes took, in microseconds: p50 p99 p99.9 max */
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "amqp.h"

#define LOOK_NS 4000000
#define LOOK_FIRST_NS 300000 /* until there is one message: start-ups are measured by it */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_ns(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&time, NULL);
}

/* {"content":"000000000007xxxx…"}, of size bytes in all. */
#define HEAD "{\"content\":\""
#define TAIL "\"}"
static char *make_body(size_t size)
{
    size_t least = sizeof HEAD - 1 + 12 + sizeof TAIL - 1;
    must(size >= least, "a body of at least 26 bytes:");
    char *body = malloc(size + 1);
    must(body != NULL, "memory");
    memset(body, 'x', size);
    memcpy(body, HEAD, sizeof HEAD - 1);
    memcpy(body + size - (sizeof TAIL - 1), TAIL, sizeof TAIL - 1);
    return body;
}

static void number_body(char *body, size_t number)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%012zu", number);
    memcpy(body + sizeof HEAD - 1, digits, 12);
}

/* A peer may have written the JSON again, with spaces. */
static size_t body_number(const char *body)
{
    return strtoull(body + strcspn(body, "0123456789"), NULL, 10);
}

static long depth(amqp_connection_state_t connection, const char *queue)
{
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(connection, 1, amqp_cstring_bytes(queue), 1, 1, 0, 0, amqp_empty_table);
    must_rpc(connection, queue);
    long count = ok->message_count;
    amqp_maybe_release_buffers(connection);
    return count;
}

static int fill(long count, size_t size, int queues, char **queue)
{
    amqp_connection_state_t connection = connect_broker();
    char *body = make_body(size);
    open_channel(connection, 1);
    for (long i = 0; i < count; i++) {
        number_body(body, (size_t)i);
        publish(connection, 1, amqp_cstring_bytes(queue[i % queues]), (amqp_bytes_t){.bytes = body, .len = size}, true,
                false);
    }
    for (int i = 0; i < queues; i++)
        while (depth(connection, queue[i]) < count / queues)
            sleep_ns(LOOK_NS);
    free(body);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    return 0;
}

static int watch(long count, int queues, char **queue)
{
    amqp_connection_state_t connection = connect_broker();
    long *there = calloc((size_t)queues, sizeof *there), share = count / queues, last = -1;
    must(there != NULL && share * queues == count, "the same number for each queue:");
    open_channel(connection, 1);
    for (;;) {
        long all = 0;
        for (int i = 0; i < queues; i++) {
            if (there[i] < share)
                there[i] = depth(connection, queue[i]);
            all += there[i];
        }
        int64_t now = now_ns();
        if (last <= 0 && all > 0)
            printf("first %lld %ld\n", (long long)now, all);
        if (last < count / 10 && all >= count / 10 && all < count)
            printf("warm %lld %ld\n", (long long)now, all);
        fflush(stdout);
        last = all;
        if (all >= count) {
            printf("done %lld %ld\n", (long long)now, all);
            free(there);
            return 0;
        }
        sleep_ns(all == 0 ? LOOK_FIRST_NS : LOOK_NS);
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct trip {
    amqp_connection_state_t connection;
    size_t sent, back, count;
    int64_t *began; /* of each message: when it was due */
    int64_t *took;
};

/* Takes the available echoes. */
static void take_echoes(struct trip *trip)
{
    struct timeval zero = {0};
    amqp_frame_t frame;
    do {
        int status = amqp_simple_wait_frame_noblock(trip->connection, &frame, &zero);
        if (status == AMQP_STATUS_TIMEOUT)
            break;
        must(status == AMQP_STATUS_OK, "read");
        if (frame.frame_type == AMQP_FRAME_METHOD)
            must(frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD ||
                     frame.payload.method.id == AMQP_BASIC_CONSUME_OK_METHOD,
                 "an echo");
        /* Bodies here are of one frame. */
        if (frame.frame_type == AMQP_FRAME_BODY) {
            size_t number = body_number(frame.payload.body_fragment.bytes);
            must(number < trip->sent && trip->took[number] == 0, "each echo once");
            trip->took[number] = now_ns() - trip->began[number];
            trip->back++;
        }
    } while (amqp_frames_enqueued(trip->connection) || amqp_data_in_buffer(trip->connection));
    amqp_maybe_release_buffers(trip->connection);
}

static void wait_for_more(struct trip *trip, int64_t until)
{
    int64_t left = until - now_ns();
    struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    struct pollfd fd = {.fd = amqp_get_sockfd(trip->connection), .events = POLLIN};
    if (left > 0)
        ppoll(&fd, 1, &time, NULL);
}

static int trip(size_t count, size_t size, double rate, char *in, char *out)
{
    struct trip trip = {.connection = connect_broker(), .count = count};
    char *body = make_body(size);
    trip.began = calloc(count, sizeof *trip.began);
    trip.took = calloc(count, sizeof *trip.took);
    must(trip.began != NULL && trip.took != NULL, "memory");
    open_channel(trip.connection, 1);
    amqp_basic_consume(trip.connection, 1, amqp_cstring_bytes(out), amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
    must_rpc(trip.connection, "consume");

    int64_t begin = now_ns(), silence = begin;
    while (trip.back < count) {
        size_t back = trip.back;
        int64_t now = now_ns(), due = INT64_MAX;
        if (trip.sent < count)
            due = rate > 0                 ? begin + (int64_t)((double)trip.sent * 1e9 / rate)
                  : trip.back == trip.sent ? now
                                           : INT64_MAX;
        if (due <= now) {
            number_body(body, trip.sent);
            trip.began[trip.sent++] = due;
            publish(trip.connection, 1, amqp_cstring_bytes(in), (amqp_bytes_t){.bytes = body, .len = size}, true,
                    false);
            if (rate > 0 && trip.sent % 16 != 0)
                continue; /* catching up; or the next look finds that nothing is due */
        } else {
            wait_for_more(&trip, due < now + 100000000 ? due : now + 100000000);
        }
        take_echoes(&trip);
        silence = trip.back > back ? now : silence;
        must(now - silence < 20000000000, "an echo within 20 s:");
    }
    /* The first tenth warmed up. */
    size_t from = count / 10, used = count - from;
    int64_t end = now_ns();
    qsort(trip.took + from, used, sizeof *trip.took, compare);
    const double parts[] = {0.5, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t at = (size_t)((double)used * parts[i]);
        printf("%.1f ", (double)trip.took[from + (at < used ? at : used - 1)] / 1000);
    }
    printf("%.1f\n", (double)count * 1e9 / (double)(end - begin));
    free(body);
    amqp_connection_close(trip.connection, AMQP_REPLY_SUCCESS);
    return 0;
}

/* ---- scrape ---- */

/* Reads one reply, whose headers fit into the block. */
static void read_metrics(int fd)
{
    char block[65536];
    size_t have = 0, need = SIZE_MAX;
    while (have < need) {
        ssize_t got = read(fd, block + have % (sizeof block - 1), sizeof block - 1 - have % (sizeof block - 1));
        must(got > 0, "a reply with metrics");
        have += (size_t)got;
        if (need != SIZE_MAX)
            continue;
        block[have] = '\0';
        const char *length = strcasestr(block, "Content-Length: "), *end = strstr(block, "\r\n\r\n");
        must(strncmp(block, "HTTP/1.1 200 ", 13) == 0, "status 200");
        if (end != NULL && length != NULL)
            need = (size_t)(end + 4 - block) + strtoul(length + 16, NULL, 10);
    }
}

static int scrape(double rate, double seconds, const char *path)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && strlen(path) < sizeof address.sun_path, "socket");
    strcpy(address.sun_path, path);
    must(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0, "connect");
    int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9);
    long count = 0;
    for (int64_t due = begin; due < end; due = begin + (int64_t)((double)count * 1e9 / rate)) {
        int64_t now = now_ns();
        if (now >= end)
            break;
        if (due > now)
            sleep_ns(due - now);
        must(write(fd, request, sizeof request - 1) == (ssize_t)(sizeof request - 1), "write");
        read_metrics(fd);
        count++;
    }
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%ld %.0f\n", count, (double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "fill") == 0)
        return fill(atol(argv[2]), (size_t)atol(argv[3]), argc - 4, argv + 4);
    if (argc > 3 && strcmp(argv[1], "watch") == 0)
        return watch(atol(argv[2]), argc - 3, argv + 3);
    if (argc == 5 && strcmp(argv[1], "scrape") == 0)
        return scrape(atof(argv[2]), atof(argv[3]), argv[4]);
    if (argc == 7 && strcmp(argv[1], "trip") == 0)
        return trip((size_t)atol(argv[2]), (size_t)atol(argv[3]), atof(argv[4]), argv[5], argv[6]);
    fprintf(stderr, "load: see the beginning of load.c\n");
    return 2;
}
