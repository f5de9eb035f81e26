/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * try: runs a plugin without a broker and without a MOV. The ring is the one that `run` has; its transport is memory:
 * messages come from standard input, a JSON text on each line, and publications go to standard output. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backoff.h"
#include "json.h"
#include "memory.h"
#include "ring.h"
#include "text.h"
#include "verbs.h"

#define AHEAD 1000                    /* messages on their way; as prefetch, it bounds memory */
#define ID "000000000000000000000000" /* there is no MOV to give one */

struct trial {
    const char *topic; /* of every line; NULL: each line says its own */
    bool verbose, keep_going;
    size_t body_max;
    struct ring *ring;
    FILE *out;

    pthread_mutex_t lock; /* of what follows, and of out */
    pthread_cond_t fewer;
    size_t on_their_way, done, rejected, published;
    bool idle; /* nothing more comes in for now: what goes out is to be seen at once */
};

/* ---- the transport ---- */

static void trial_settle(void *context, struct list *deliveries)
{
    struct trial *trial = context;
    pthread_mutex_lock(&trial->lock);
    for (struct node *node; (node = list_take(deliveries)) != NULL; free(node)) {
        const struct delivery *delivery = (const struct delivery *)node;
        bool good = delivery->settlement == SETTLE_ACKNOWLEDGE;
        *(good ? &trial->done : &trial->rejected) += 1;
        trial->on_their_way--;
        if (trial->verbose)
            fprintf(stderr, "line %llu: %s, %s%s\n", (unsigned long long)delivery->tag, delivery->from->topic,
                    good ? "done" : "rejected", delivery->attempt > 1 ? " after more than one attempt" : "");
    }
    if (trial->on_their_way <= AHEAD / 2)
        pthread_cond_signal(&trial->fewer);
    pthread_mutex_unlock(&trial->lock);
}

/* A body may be written on several lines; outside of its strings, where no line can end, a space says the same. */
static void put_body(FILE *out, const char *body, size_t len)
{
    while (len > 0) {
        const char *end = memchr(body, '\n', len);
        size_t part = end == NULL ? len : (size_t)(end - body);
        fwrite_unlocked(body, 1, part, out);
        if (end == NULL)
            return;
        putc_unlocked(' ', out);
        body = end + 1;
        len -= part + 1;
    }
}

static bool trial_send(void *context, struct list *publications)
{
    struct trial *trial = context;
    pthread_mutex_lock(&trial->lock);
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        struct publication *publication = (struct publication *)node;
        fputs_unlocked("{\"topic\":\"", trial->out);
        fputs_unlocked(publication->topic, trial->out); /* of the document: nothing in it wants an escape */
        fputs_unlocked("\",\"body\":", trial->out);
        put_body(trial->out, publication->body, publication->len);
        fputs_unlocked("}\n", trial->out);
        publication->outcome = OUTCOME_CONFIRMED;
        trial->published++;
    }
    if (trial->idle)
        fflush(trial->out);
    pthread_mutex_unlock(&trial->lock);
    ring_settled(trial->ring, publications);
    return true;
}

static void on_asked(void *context, struct question *question)
{
    (void)context;
    services_answer(question, NULL, 0);
}

/* ---- messages from standard input ---- */

static struct subscription *find_topic(const struct trial *trial, const char *topic)
{
    for (size_t i = 0; i < trial->ring->route_count; i++)
        if (strcmp(trial->ring->routes[i].subscription.topic, topic) == 0)
            return &trial->ring->routes[i].subscription;
    return NULL;
}

/* Waits while too many are on their way. False: one was rejected, and that is the end. */
static bool put(struct trial *trial, struct subscription *from, size_t number, const char *body, size_t len)
{
    bool too_long = len > trial->body_max;
    struct delivery *delivery = delivery_new(too_long ? 0 : len);
    struct list one = {0};
    delivery->from = from;
    delivery->tag = number;
    delivery->refused = too_long ? len : 0;
    if (!too_long)
        memcpy(delivery->body, body, len);
    pthread_mutex_lock(&trial->lock);
    while (trial->on_their_way >= AHEAD)
        pthread_cond_wait(&trial->fewer, &trial->lock);
    bool goes_on = trial->keep_going || trial->rejected == 0;
    trial->on_their_way += goes_on;
    pthread_mutex_unlock(&trial->lock);
    list_put(&one, &delivery->node);
    if (goes_on)
        ring_deliver(trial->ring, &one);
    else
        list_free(&one);
    return goes_on;
}

static bool refuse_line(struct trial *trial, size_t number, const char *why, const char *which)
{
    struct fault fault;
    fault_set(&fault, "line %zu: %s%s%s", number, why, which != NULL ? " " : "", which != NULL ? which : "");
    log_last_words(NULL, fault.text);
    pthread_mutex_lock(&trial->lock);
    trial->rejected++;
    pthread_mutex_unlock(&trial->lock);
    return trial->keep_going;
}

static bool put_envelope(struct trial *trial, size_t number, const char *line, size_t len)
{
    struct fault fault;
    struct json_object *topic = NULL, *body = NULL;
    if (!json_is_object(line, len, &fault))
        return refuse_line(trial, number, fault.text, NULL);
    bool goes_on;
    struct json_object *envelope = json_read(json_thread_reader(), line, len);
    if (!json_object_object_get_ex(envelope, "topic", &topic) || !json_object_is_type(topic, json_type_string) ||
        !json_object_object_get_ex(envelope, "body", &body)) {
        goes_on = refuse_line(
            trial, number, "is not {\"topic\": …, \"body\": …}; for bodies alone, name their topic with --topic", NULL);
    } else {
        const char *name = json_object_get_string(topic);
        struct subscription *from = find_topic(trial, name);
        size_t body_len;
        const char *text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN, &body_len);
        goes_on = from == NULL ? refuse_line(trial, number, "the plugin does not handle the topic", name)
                               : put(trial, from, number, text, body_len);
    }
    json_object_put(envelope);
    return goes_on;
}

static void set_idle(struct trial *trial, bool idle)
{
    pthread_mutex_lock(&trial->lock);
    trial->idle = idle;
    if (idle)
        fflush(trial->out);
    pthread_mutex_unlock(&trial->lock);
}

/* Appends what standard input has. False: that was all. */
static bool read_more(struct trial *trial, struct text *input)
{
    static char block[1 << 16];
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    bool waits = poll(&in, 1, 0) == 0;
    if (waits)
        set_idle(trial, true);
    ssize_t got;
    do
        got = read(STDIN_FILENO, block, sizeof block);
    while (got < 0 && errno == EINTR);
    if (waits)
        set_idle(trial, false);
    if (got > 0)
        text_put(input, block, (size_t)got);
    return got > 0;
}

/* False: that was the last one. */
static bool put_line(struct trial *trial, struct subscription *from, size_t number, const char *line, size_t len)
{
    size_t blank = 0;
    while (blank < len && strchr(" \t\r", line[blank]) != NULL && line[blank] != '\0')
        blank++;
    if (blank == len)
        return true;
    return from != NULL ? put(trial, from, number, line, len) : put_envelope(trial, number, line, len);
}

static void put_lines(struct trial *trial)
{
    struct text input = {0};
    struct subscription *from = trial->topic != NULL ? find_topic(trial, trial->topic) : NULL;
    size_t number = 0, looked_at = 0;
    bool more = true, goes_on = true;
    while (more && goes_on) {
        more = read_more(trial, &input);
        if (input.len == 0)
            break;
        const char *line = input.at, *end;
        const char *all = input.at + input.len;
        while (goes_on && line < all &&
               (end = memchr(line + looked_at, '\n', (size_t)(all - line) - looked_at)) != NULL) {
            goes_on = put_line(trial, from, ++number, line, (size_t)(end - line));
            line = end + 1;
            looked_at = 0;
        }
        size_t left = (size_t)(all - line);
        if (goes_on && !more && left > 0) /* without a line end */
            goes_on = put_line(trial, from, ++number, line, left);
        if (left > 0)
            memmove(input.at, line, left);
        input.len = looked_at = left;
    }
    text_free(&input);
    set_idle(trial, true);
}

/* ---- */

static bool never(void *context)
{
    (void)context;
    return false;
}

static void wait_for_all(struct trial *trial)
{
    pthread_mutex_lock(&trial->lock);
    while (trial->on_their_way > 0 && (trial->keep_going || trial->rejected == 0))
        pthread_cond_wait(&trial->fewer, &trial->lock);
    pthread_mutex_unlock(&trial->lock);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* True if nothing was rejected. */
static bool run(struct trial *trial, long stay, long grace, struct fault *fault)
{
    if (ring_start(trial->ring, never, NULL, fault) != STARTED) {
        (void)!ring_join(trial->ring, clock_ms() + 10000); /* back from start, it ends at once */
        return false;
    }
    double began = seconds();
    for (size_t i = 0; i < trial->ring->seat_count; i++)
        services_set_id(trial->ring->seats[i].services, ID);
    put_lines(trial);
    wait_for_all(trial);
    double took = seconds() - began;
    if (stay > 0)
        sleep((unsigned)stay);
    int64_t deadline = clock_ms() + grace * 1000;
    ring_close(trial->ring, deadline - 100);
    bool joined = ring_join(trial->ring, deadline);
    pthread_mutex_lock(&trial->lock);
    if (fflush(trial->out) != 0)
        joined = fault_set(fault, "cannot write to standard output") && joined;
    size_t messages = trial->done + trial->rejected;
    fprintf(stderr, "%zu message%s in %.3f s (%.0f a second): %zu done, %zu rejected; %zu publication%s\n", messages,
            messages == 1 ? "" : "s", took, took > 0 ? (double)messages / took : 0, trial->done, trial->rejected,
            trial->published, trial->published == 1 ? "" : "s");
    bool good = trial->rejected == 0;
    pthread_mutex_unlock(&trial->lock);
    if (!good)
        fault_set(fault, "not every message was handled");
    if (!joined) {
        fault_set(fault, "the plugin did not come back from its callback or its stop");
        log_last_words(NULL, fault->text);
        _exit(STATUS_FAILED); /* it still uses what would be freed */
    }
    return good;
}

int verb_try(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"topic", required_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},      {"keep-going", no_argument, NULL, 'k'},
        {"for", required_argument, NULL, 'f'},    {0}};
    struct trial trial = {.out = stdout};
    const char *config = NULL;
    char *end;
    long stay = 0;
    struct fault fault = {""};
    int status = STATUS_FAILED;
    struct settings *settings = NULL;
    struct plugins plugins = {0};
    struct log *log = NULL;

    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:t:vkf:", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 't':
            trial.topic = optarg;
            break;
        case 'v':
            trial.verbose = true;
            break;
        case 'k':
            trial.keep_going = true;
            break;
        case 'f':
            stay = strtol(optarg, &end, 10);
            if (*end != '\0' || stay < 1 || stay > 86400)
                return usage("--for wants seconds, from 1 to 86400, not", optarg);
            break;
        default:
            return usage_option("try", option, options, argv);
        }
    }
    if (argc - optind != 1)
        return usage("try wants one plugin", NULL);

    pthread_mutex_init(&trial.lock, NULL);
    pthread_cond_init(&trial.fewer, NULL);
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (!settings_read(config, &settings, &fault))
        goto out;
    struct log_options console = {.console_level = settings->log.console_level, .file_level = LOG_CRITICAL};
    log = log_open(&console);
    if (!plugins_open(settings, argv + optind, 1, &plugins, &fault))
        goto out;
    trial.body_max = (size_t)settings->host.message_max_bytes;
    struct ring_options ring = {
        .settings = settings,
        .plugins = &plugins,
        .log = log,
        .transport = {.settle = trial_settle, .send = trial_send, .context = &trial},
        .ask = on_asked,
    };
    trial.ring = ring_new(&ring);
    if (trial.topic != NULL && find_topic(&trial, trial.topic) == NULL)
        fault_set(&fault, "%s: does not handle the topic %s", argv[optind], trial.topic);
    else if (run(&trial, stay, settings->host.grace_seconds, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK)
        log_last_words(NULL, fault.text);
    ring_free(trial.ring);
    plugins_free(&plugins);
    log_close(log);
    settings_free(settings);
    return status;
}
