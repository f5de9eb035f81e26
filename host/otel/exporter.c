/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "otel/exporter.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/thread.h"
#include "otel/curl.h"
#include "otel/span.h"

#define BATCH_MAX 512    /* spans of a request */
#define DELAY_MS 1000    /* that a span waits for others */
#define REQUEST_MS 10000 /* that a request may take */
#define IDLE_MS 3600000  /* until the thread looks again, though nothing happens */
#define ANSWER_MAX 4096  /* bytes of an answer that are read: the host needs none of them */
#define SUCCESS(status) ((status) >= 200 && (status) < 300)

struct exporter {
    struct log *log;
    struct curl curl;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    char host[256];
    struct span_source source;

    struct queue queue;
    atomic_uint waiting; /* spans in the queue, and those that the thread has */
    atomic_ulong dropped;
    atomic_bool stopping;
    atomic_int_fast64_t stop_until;
    pthread_t thread;

    /* The thread's: */
    struct list taken; /* from the queue */
    size_t count;      /* of them */
    size_t answer_size;
    int64_t due; /* the next request, unless there is enough for one before */
    struct backoff backoff;
    bool failing; /* the log says so */
};

/* ---- one request ---- */

static size_t on_answer(const char *bytes, size_t size, size_t count, void *context)
{
    struct exporter *exporter = context;
    (void)bytes;
    exporter->answer_size += size * count; /* libcurl's, of at most a few kilobytes */
    return exporter->answer_size <= ANSWER_MAX ? size * count : 0;
}

static int64_t deadline_of(const struct exporter *exporter, int64_t began)
{
    int64_t until = atomic_load(&exporter->stop_until);
    return atomic_load(&exporter->stopping) && until < began + REQUEST_MS ? until : began + REQUEST_MS;
}

/* Waits until the request has ended. False: it took too long. */
static bool run(struct exporter *exporter, struct fault *fault)
{
    int64_t began = clock_ms(), left;
    int running = 1;
    for (;;) {
        CURLMcode code = exporter->curl.multi_perform(exporter->multi, &running);
        if (code != CURLM_OK)
            return fault_set(fault, "libcurl fails (%d)", (int)code);
        if (running == 0)
            return true;
        left = deadline_of(exporter, began) - clock_ms();
        if (left <= 0)
            return fault_set(fault, "no answer within %" PRId64 " ms", clock_ms() - began);
        exporter->curl.multi_poll(exporter->multi, NULL, 0, (int)left, NULL);
    }
}

static bool judge(struct exporter *exporter, struct fault *fault)
{
    int left;
    long status = 0;
    const CURLMsg *message = exporter->curl.multi_info_read(exporter->multi, &left);
    if (message == NULL)
        return fault_set(fault, "libcurl tells no result");
    if (message->data.result != CURLE_OK)
        return fault_set(fault, "%s", exporter->curl.easy_strerror(message->data.result));
    exporter->curl.easy_getinfo(exporter->easy, CURLINFO_RESPONSE_CODE, &status);
    return SUCCESS(status) || fault_set(fault, "it answers HTTP %ld", status);
}

static bool post(struct exporter *exporter, const struct text *body, struct fault *fault)
{
    const struct curl *curl = &exporter->curl;
    exporter->answer_size = 0;
    curl->easy_setopt(exporter->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    curl->easy_setopt(exporter->easy, CURLOPT_POSTFIELDS, body->at);
    curl->multi_add_handle(exporter->multi, exporter->easy);
    bool posted = run(exporter, fault) && judge(exporter, fault);
    curl->multi_remove_handle(exporter->multi, exporter->easy);
    return posted;
}

/* ---- the thread ---- */

/* One record for each row of failures, and one for its end. */
static void report(struct exporter *exporter, bool sent, const struct fault *fault)
{
    if (!sent && !exporter->failing)
        log_warning(exporter->log, "host", "traces: %s: %s; spans are dropped until it takes them", exporter->url,
                    fault->text);
    else if (sent && exporter->failing)
        log_info(exporter->log, "host", "traces: %s takes spans again; %lu were dropped", exporter->url,
                 atomic_load(&exporter->dropped));
    exporter->failing = !sent;
}

/* The first of those that were taken, as many as a request may have. */
static void send_some(struct exporter *exporter)
{
    struct fault fault = {""};
    struct list batch = {0};
    struct text body = {0};
    unsigned size = 0;
    for (; size < BATCH_MAX && exporter->taken.head != NULL; size++)
        list_put(&batch, list_take(&exporter->taken));
    spans_put_json(&batch, &exporter->source, &body);
    bool sent = post(exporter, &body, &fault);
    text_free(&body);
    list_free(&batch);
    exporter->count -= size;
    atomic_fetch_sub(&exporter->waiting, size);
    if (!sent)
        atomic_fetch_add(&exporter->dropped, size);
    report(exporter, sent, &fault);
    if (sent)
        backoff_reset(&exporter->backoff);
    exporter->due = clock_ms() + (sent ? DELAY_MS : backoff_next(&exporter->backoff));
}

static void take(struct exporter *exporter, struct list *more)
{
    int64_t soon = clock_ms() + DELAY_MS;
    if (exporter->count == 0 && more->head != NULL && exporter->due < soon && !exporter->failing)
        exporter->due = soon;
    for (const struct node *node = more->head; node != NULL; node = node->next)
        exporter->count++;
    list_join(&exporter->taken, more);
}

/* The end of the stop has come: what is left is dropped, without the time that another request takes to put together.
 */
static bool give_up(struct exporter *exporter)
{
    if (clock_ms() < atomic_load(&exporter->stop_until))
        return false;
    atomic_fetch_add(&exporter->dropped, exporter->count);
    list_free(&exporter->taken);
    exporter->count = 0;
    return true;
}

static void *exporter_run(void *argument)
{
    struct exporter *exporter = argument;
    thread_name("vh-traces");
    for (;;) {
        bool stopping = atomic_load(&exporter->stopping);
        int64_t until = exporter->count == 0 ? clock_ms() + IDLE_MS : exporter->due;
        struct list more = stopping ? queue_take(&exporter->queue) : queue_wait(&exporter->queue, until);
        take(exporter, &more);
        if (stopping && (exporter->count == 0 || give_up(exporter)))
            return NULL;
        bool full = exporter->count >= BATCH_MAX && !exporter->failing;
        if (exporter->count > 0 && (stopping || full || clock_ms() >= exporter->due))
            send_some(exporter);
    }
}

/* ---- handing over ---- */

static bool make_id(char *id)
{
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance || chance == 0)
        return false;
    snprintf(id, SPAN_ID_LEN + 1, "%016" PRIx64, chance);
    return true;
}

bool exporter_note(struct exporter *exporter, const struct delivery *delivery, const char *component,
                   struct text *passed)
{
    struct trace trace;
    char id[SPAN_ID_LEN + 1];
    if (delivery->properties.len == 0 || delivery->began_ns == 0 || delivery->settlement == SETTLE_PUT_BACK ||
        !trace_read(delivery->properties, &trace) || !trace_is_sampled(&trace) || !make_id(id) ||
        !trace_put_properties(&trace, id, delivery->properties, passed))
        return false;
    if (atomic_fetch_add(&exporter->waiting, 1) >= EXPORTER_SPANS_MAX) {
        atomic_fetch_sub(&exporter->waiting, 1);
        atomic_fetch_add(&exporter->dropped, 1);
        return true;
    }
    queue_put(&exporter->queue, &span_new(delivery, &trace, id, component, clock_date_ns())->node);
    return true;
}

/* ---- beginning and end ---- */

static int digit(char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = byte == '\0' ? NULL : strchr(digits, byte >= 'A' && byte <= 'F' ? byte - 'A' + 'a' : byte);
    return at == NULL ? -1 : (int)(at - digits);
}

/* %2C is a comma, and so on. Control characters could add headers, so there are none. */
static void put_decoded(struct text *out, const char *from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char byte = from[i];
        if (byte == '%' && i + 2 < len && digit(from[i + 1]) >= 0 && digit(from[i + 2]) >= 0) {
            byte = (char)(digit(from[i + 1]) * 16 + digit(from[i + 2]));
            i += 2;
        }
        if ((unsigned char)byte >= 0x20 && byte != 0x7f)
            text_put(out, &byte, 1);
    }
}

static void add_header(struct exporter *exporter, const char *text)
{
    struct curl_slist *longer = exporter->curl.slist_append(exporter->headers, text);
    if (longer != NULL)
        exporter->headers = longer;
}

/* KEY=VALUE,KEY=VALUE, as OTEL_EXPORTER_OTLP_HEADERS has it. No record shows a value: it may be a secret. */
static void add_headers(struct exporter *exporter, const char *list)
{
    while (list != NULL && list[0] != '\0') {
        size_t len = strcspn(list, ",");
        const char *sign = memchr(list, '=', len);
        if (sign == NULL) {
            log_error(exporter->log, "host", "traces: an entry of OTEL_EXPORTER_OTLP_HEADERS has no =; it is left out");
        } else {
            struct text header = {0};
            put_decoded(&header, list, (size_t)(sign - list));
            text_puts(&header, ": ");
            put_decoded(&header, sign + 1, (size_t)(list + len - sign - 1));
            add_header(exporter, header.at);
            text_free(&header);
        }
        list += len + (list[len] == ',');
    }
}

/* The endpoint is a base: the path of traces follows it. */
static char *url_of(const char *endpoint)
{
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    return memory_format("%.*s/v1/traces", (int)len, endpoint);
}

static void prepare(struct exporter *exporter)
{
    const struct curl *curl = &exporter->curl;
    exporter->multi = memory_got(curl->multi_init());
    exporter->easy = memory_got(curl->easy_init());
    curl->easy_setopt(exporter->easy, CURLOPT_URL, exporter->url);
    curl->easy_setopt(exporter->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(exporter->easy, CURLOPT_HTTPHEADER, exporter->headers);
    curl->easy_setopt(exporter->easy, CURLOPT_USERAGENT, "valawai-host/" HOST_VERSION);
    curl->easy_setopt(exporter->easy, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(exporter->easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl->easy_setopt(exporter->easy, CURLOPT_WRITEDATA, exporter);
}

struct exporter *exporter_start(const struct settings *settings, struct log *log)
{
    struct fault fault;
    if (settings->otel.endpoint == NULL)
        return NULL;
    struct exporter *exporter = memory_new(sizeof *exporter);
    exporter->log = log;
    if (!curl_open(&exporter->curl, &fault)) {
        log_error(log, "host", "traces: %s; going on without", fault.text);
        free(exporter);
        return NULL;
    }
    if (gethostname(exporter->host, sizeof exporter->host - 1) != 0)
        exporter->host[0] = '\0';
    exporter->source = (struct span_source){
        .service = settings->otel.service_name, .version = HOST_VERSION, .host = exporter->host, .pid = (long)getpid()};
    exporter->backoff = (struct backoff){.first_ms = 1000, .last_ms = 30000};
    exporter->url = url_of(settings->otel.endpoint);
    add_header(exporter, "Content-Type: application/json");
    add_headers(exporter, settings->otel.headers);
    prepare(exporter);
    queue_init(&exporter->queue, false);
    log_info(log, "host", "traces: spans go to %s", exporter->url);
    exporter->thread = thread_start(exporter_run, exporter);
    return exporter;
}

bool exporter_stop(struct exporter *exporter, int64_t until_ms)
{
    if (exporter == NULL)
        return true;
    int64_t now = clock_ms();
    atomic_store(&exporter->stop_until,
                 now + (until_ms - now) / 2); /* leaves the thread time to end before the caller gives it up */
    atomic_store(&exporter->stopping, true);
    queue_wake(&exporter->queue);
    exporter->curl.multi_wakeup(exporter->multi);
    if (!thread_join(exporter->thread, until_ms))
        return false;
    unsigned long dropped = atomic_load(&exporter->dropped);
    if (dropped > 0)
        log_warning(exporter->log, "host", "traces: %lu span%s dropped", dropped, dropped == 1 ? " was" : "s were");
    return true;
}

void exporter_free(struct exporter *exporter)
{
    if (exporter == NULL)
        return;
    exporter->curl.easy_cleanup(exporter->easy);
    exporter->curl.multi_cleanup(exporter->multi);
    exporter->curl.slist_free_all(exporter->headers);
    queue_destroy(&exporter->queue);
    free(exporter->url);
    free(exporter);
}
