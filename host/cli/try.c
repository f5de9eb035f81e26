/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host try: runs a plugin without a broker and without a MOV. It uses the same ring as `run`, with memory as
 * its transport: messages come from standard input, a JSON text on each line, and publications go to standard output.
 */
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/memory.h"
#include "base/thread.h"
#include "cli/verbs.h"
#include "message/dead.h"
#include "plugin/blame.h"
#include "plugin/zygote.h"
#include "run/ring.h"

#define AHEAD 1000                    /* messages in the ring; like a prefetch, this bounds memory */
#define TEND_MS 1000                  /* between two checks for slow handlers */
#define ENVELOPE_MAX 4096             /* bytes of a line in addition to its body */
#define ID "000000000000000000000000" /* without a MOV there is no real one */

struct trial {
    const char *topic; /* of every line; NULL: each line names its topic */
    bool verbose, keep_going;
    size_t body_max;
    struct ring *ring;
    int64_t tended;

    pthread_mutex_t lock; /* for the members below, and stdout */
    pthread_cond_t fewer;
    size_t on_their_way, done, rejected, published;
    bool idle; /* no input for now, so output is flushed at once */
    bool lost; /* output could not be written */
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
            fprintf(stderr, "line %llu: %s, %s%s%s\n", (unsigned long long)delivery->tag, delivery->from->topic,
                    good ? "done" : "rejected: ", good ? "" : reason_name(delivery->reason),
                    delivery->attempt > 1 ? " after more than one attempt" : "");
    }
    if (trial->on_their_way <= AHEAD / 2)
        pthread_cond_signal(&trial->fewer);
    pthread_mutex_unlock(&trial->lock);
}

/* Prints a body on one line: line breaks, which occur only between JSON tokens, become spaces. */
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
    FILE *out = stdout;
    pthread_mutex_lock(&trial->lock);
    for (struct node *node = publications->head; node != NULL; node = node->next) {
        struct publication *publication = (struct publication *)node;
        fputs_unlocked("{\"topic\":\"", out);
        fputs_unlocked(publication->topic, out); /* a topic of the document needs no escape */
        fputs_unlocked("\",\"body\":", out);
        put_body(out, publication->body, publication->len);
        fputs_unlocked("}\n", out);
        publication->outcome = OUTCOME_CONFIRMED;
        trial->published++;
    }
    if (trial->idle)
        fflush(out);
    trial->lost = !stdout_works();
    pthread_mutex_unlock(&trial->lock);
    publications_report(publications);
    return true;
}

static void on_asked(void *context, struct plugin_query *query)
{
    (void)context;
    services_reply(query, NULL, 0);
}

/* ---- messages from standard input ---- */

/* Reports slow handlers. The main thread calls it wherever it waits. */
static void tend(struct trial *trial)
{
    int64_t now = clock_ms();
    if (now - trial->tended < TEND_MS)
        return;
    trial->tended = now;
    ring_tend(trial->ring, now);
}

/* [locked] Waits until fewer messages are in the ring, or the next check is due. */
static void wait_for_fewer(struct trial *trial)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TEND_MS / 1000;
    pthread_cond_timedwait(&trial->fewer, &trial->lock, &until);
    pthread_mutex_unlock(&trial->lock);
    tend(trial);
    pthread_mutex_lock(&trial->lock);
}

/* [locked] False: a message was rejected, or output is lost, and try ends. */
static bool goes_on(const struct trial *trial)
{
    return !trial->lost && (trial->keep_going || trial->rejected == 0);
}

/* Waits while too many messages are in the ring. False: try ends. */
static bool put(struct trial *trial, struct subscription *from, unsigned long number, const char *body, size_t len)
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
    while (trial->on_their_way >= AHEAD && goes_on(trial))
        wait_for_fewer(trial);
    bool more = goes_on(trial);
    trial->on_their_way += more;
    pthread_mutex_unlock(&trial->lock);
    list_put(&one, &delivery->node);
    if (more)
        ring_deliver(trial->ring, &one);
    else
        list_free(&one);
    return more;
}

static bool refuse_line(struct trial *trial, unsigned long number, const char *why, const char *which)
{
    struct fault fault;
    fault_set(&fault, "line %lu: %s%s%s", number, why, which != NULL ? " " : "", which != NULL ? which : "");
    log_last_words(NULL, fault.text);
    pthread_mutex_lock(&trial->lock);
    trial->rejected++;
    pthread_mutex_unlock(&trial->lock);
    return trial->keep_going;
}

static bool put_envelope(struct trial *trial, const struct line *line)
{
    struct fault fault;
    struct json_object *topic = NULL, *body = NULL;
    struct json_object *envelope = json_parse(json_thread_reader(), line->at, line->len, &fault);
    if (envelope == NULL)
        return refuse_line(trial, line->number, fault.text, NULL);
    bool more;
    if (!json_object_object_get_ex(envelope, "topic", &topic) || !json_object_is_type(topic, json_type_string) ||
        !json_object_object_get_ex(envelope, "body", &body)) {
        more = refuse_line(trial, line->number,
                           "is not {\"topic\": …, \"body\": …}; for bodies only, name their topic with --topic", NULL);
    } else {
        const char *name = json_object_get_string(topic);
        struct subscription *from = ring_find(trial->ring, name);
        size_t body_len;
        const char *text = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN, &body_len);
        more = from == NULL ? refuse_line(trial, line->number, "the plugin does not handle the topic", name)
                            : put(trial, from, line->number, text, body_len);
    }
    json_object_put(envelope);
    return more;
}

static bool refuse_long_line(struct trial *trial, const struct line *line, size_t most)
{
    struct fault fault;
    fault_set(&fault, "longer than %zu bytes; host.message_max_bytes is %zu", most, trial->body_max);
    return refuse_line(trial, line->number, fault.text, NULL);
}

static void set_idle(struct trial *trial, bool idle)
{
    pthread_mutex_lock(&trial->lock);
    trial->idle = idle;
    if (idle) {
        fflush(stdout);
        trial->lost = !stdout_works();
    }
    pthread_mutex_unlock(&trial->lock);
}

static bool is_over(struct trial *trial)
{
    pthread_mutex_lock(&trial->lock);
    bool over = !goes_on(trial);
    pthread_mutex_unlock(&trial->lock);
    return over;
}

/* Waits for input. False: try ends before there is any. */
static bool await_input(struct trial *trial)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&in, 1, 0);
    tend(trial);
    if (ready != 0)
        return true;
    bool over = false;
    set_idle(trial, true);
    while (ready <= 0 && !(over = is_over(trial))) {
        ready = poll(&in, 1, TEND_MS);
        tend(trial);
    }
    set_idle(trial, false);
    return !over;
}

/* Reads until the input or try ends. False: the input cannot be read. */
static bool put_lines(struct trial *trial, struct fault *fault)
{
    struct subscription *from = trial->topic != NULL ? ring_find(trial->ring, trial->topic) : NULL;
    struct lines lines = {.most = trial->body_max + (from == NULL ? ENVELOPE_MAX : 0)};
    struct line line;
    bool read = true, more = true;
    while (read && more && !lines.ended && await_input(trial)) {
        read = lines_read(&lines, STDIN_FILENO, "standard input", fault);
        while (more && lines_next(&lines, &line)) {
            if (line.at == NULL)
                more = refuse_long_line(trial, &line, lines.most);
            else if (from != NULL)
                more = put(trial, from, line.number, line.at, line.len);
            else
                more = put_envelope(trial, &line);
        }
    }
    lines_free(&lines);
    set_idle(trial, true);
    return read;
}

/* ---- */

/* Reports once that it waits, because a plugin that forgets to answer a ticket would look like a hang. */
static void wait_for_all(struct trial *trial)
{
    int64_t say_at = clock_ms() + TEND_MS;
    bool said = false;
    pthread_mutex_lock(&trial->lock);
    while (trial->on_their_way > 0 && goes_on(trial)) {
        if (!said && clock_ms() >= say_at) {
            said = true;
            fprintf(stderr, "valawai-host: the input has ended; still waiting for %zu message%s\n", trial->on_their_way,
                    trial->on_their_way == 1 ? "" : "s");
        }
        wait_for_fewer(trial);
    }
    pthread_mutex_unlock(&trial->lock);
}

static void stay_for(struct trial *trial, long stay)
{
    int64_t until = clock_ms() + stay * 1000;
    for (int64_t left; (left = until - clock_ms()) > 0; tend(trial))
        poll(NULL, 0, left < TEND_MS ? (int)left : TEND_MS);
}

static bool join(struct trial *trial, int64_t deadline)
{
    for (;;) {
        int64_t until = clock_ms() + TEND_MS;
        if (ring_join(trial->ring, until < deadline ? until : deadline))
            return true;
        if (until >= deadline)
            return false;
        tend(trial);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* True if all was read, handled and written. */
static bool run(struct trial *trial, long stay, long grace, struct fault *fault)
{
    enum started started;
    ring_start(trial->ring);
    while ((started = ring_started(trial->ring, clock_ms() + 1000, fault)) == STARTING)
        continue;
    if (started != STARTED) {
        (void)!ring_join(trial->ring, clock_ms() + 10000); /* the plugin ends at once after its start */
        return false;
    }
    double began = seconds();
    for (size_t i = 0; i < trial->ring->seat_count; i++)
        services_set_id(trial->ring->seats[i]->services, ID);
    bool read = put_lines(trial, fault);
    wait_for_all(trial);
    double took = seconds() - began;
    stay_for(trial, stay);
    int64_t deadline = clock_ms() + grace * 1000;
    ring_close(trial->ring, deadline - 100);
    bool joined = join(trial, deadline);
    pthread_mutex_lock(&trial->lock);
    size_t messages = trial->done + trial->rejected;
    bool handled = trial->rejected == 0;
    struct fault lost;
    bool written = stdout_flush(&lost);
    fprintf(stderr, "%zu message%s in %.3f s (%.0f a second): %zu done, %zu rejected; %zu publication%s\n", messages,
            messages == 1 ? "" : "s", took, took > 0 ? (double)messages / took : 0, trial->done, trial->rejected,
            trial->published, trial->published == 1 ? "" : "s");
    pthread_mutex_unlock(&trial->lock);
    if (!written) /* only one reason is reported: first the one that the summary does not show */
        *fault = lost;
    else if (read && !joined)
        fault_set(fault, "the plugin did not return from a callback or its stop");
    else if (read && !handled)
        fault_set(fault, "not every message was handled");
    if (!joined) {
        log_last_words(NULL, fault->text);
        _exit(STATUS_FAILED); /* the plugin still uses this memory */
    }
    return written && read && handled;
}

/* Frees nothing, because a plugin's thread may still call the host. */
static void end_beside(struct log *log, int status, const struct fault *fault)
{
    log_warning(log, "host", PLUGIN_LEFT_THREADS);
    if (status != STATUS_OK)
        log_last_words(NULL, fault->text);
    blame_end();
    exit(status);
}

static bool open_plugin(const struct settings *settings, char **name, bool is_command, struct plugins *plugins,
                        struct fault *fault)
{
    return is_command ? plugins_open_command(settings, *name, plugins, fault)
                      : plugins_open(settings, name, 1, plugins, fault);
}

int verb_try(int argc, char **argv)
{
    enum { ISOLATION = LONG_ONLY, WORKER };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"topic", required_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},      {"keep-going", no_argument, NULL, 'k'},
        {"for", required_argument, NULL, 'f'},    {"isolation", required_argument, NULL, ISOLATION},
        {"worker", no_argument, NULL, WORKER},    {0}};
    struct trial trial = {0};
    const char *config = NULL, *isolation = "thread";
    char *end;
    long stay = 0;
    bool in_worker = false, is_command = false;
    struct fault fault = {""};
    int status = STATUS_FAILED;
    struct settings *settings = NULL;
    struct plugins plugins = {.in_workers = &in_worker};
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
                return usage("--for expects seconds, from 1 to 86400, not", optarg);
            break;
        case ISOLATION:
            isolation = optarg;
            break;
        case WORKER:
            is_command = true;
            break;
        default:
            return usage_option("try", option, options, argv);
        }
    }
    if (!isolation_read(isolation, &in_worker))
        return usage("--isolation expects thread or process, not", isolation);
    if (argc - optind != 1)
        return usage(is_command ? "try --worker expects one command, quoted" : "try expects one plugin", NULL);
    if (in_worker || is_command) {
        plugins.zygote = zygote_start(&fault);
        if (plugins.zygote == NULL)
            goto out;
    }
    unsigned long threads = thread_count();

    pthread_mutex_init(&trial.lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&trial.fewer, &attributes);
    pthread_condattr_destroy(&attributes);
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (!settings_read(config, &settings, &fault))
        goto out;
    struct log_options console = {.console_level = settings->log.console_level, .file_level = LOG_CRITICAL};
    log = log_open(&console);
    if (!open_plugin(settings, argv + optind, is_command, &plugins, &fault))
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
    if (trial.topic != NULL && ring_find(trial.ring, trial.topic) == NULL)
        fault_set(&fault, "%s: does not handle the topic %s", argv[optind], trial.topic);
    else if (run(&trial, stay, settings->host.grace_seconds, &fault))
        status = STATUS_OK;
    if (!thread_wait_down_to(threads))
        end_beside(log, status, &fault);
out:
    if (status != STATUS_OK)
        log_last_words(NULL, fault.text);
    ring_free(trial.ring);
    plugins_free(&plugins);
    zygote_end(plugins.zygote);
    log_close(log);
    settings_free(settings);
    return status;
}
