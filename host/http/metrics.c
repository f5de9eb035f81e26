/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * metrics: the counters for Prometheus, in its text format 0.0.4 or as OpenMetrics 1.0. Each metric is a row of a
 * table. docs/operating.md says what each means. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "http/replies.h"

enum family_type { COUNTER, GAUGE, HISTOGRAM };

/* Whose number it is, and so which labels it has. */
enum scope { OF_CONSUMED, OF_PUBLISHED, OF_COMPONENT, OF_HOST, OF_PROCESS };

enum number { COUNT, TRUTH, REAL, SUMS };

struct process {
    double cpu, started;
    uint64_t resident, virtual, fds, fds_max, threads;
};

struct family {
    const char *name; /* of a counter: without _total */
    enum family_type type;
    enum scope scope;
    enum number number;
    size_t at; /* offset in the structure of the scope */
    const char *help;
};

#define TOPIC(member) offsetof(struct view_topic, member)
#define COMPONENT(member) offsetof(struct view_component, member)
#define HOST(member) offsetof(struct view, member)
#define PROCESS(member) offsetof(struct process, member)

/* clang-format off */
static const struct family families[] = {
    {"valawai_messages_received", COUNTER, OF_CONSUMED, COUNT, TOPIC(received),
     "Messages that the broker handed out, each time it did."},
    {"valawai_messages_acknowledged", COUNTER, OF_CONSUMED, COUNT, TOPIC(acknowledged),
     "Messages that were handled, and whose publications are confirmed."},
    {"valawai_messages_dead_lettered", COUNTER, OF_CONSUMED, COUNT, TOPIC(kept),
     "Rejected messages that were moved to TOPIC/dead."},
    {"valawai_messages_rejected", COUNTER, OF_CONSUMED, COUNT, TOPIC(rejected),
     "Rejected messages that were left to the broker's policies."},
    {"valawai_messages_returned", COUNTER, OF_CONSUMED, COUNT, TOPIC(returned),
     "Messages that went back to their queue, because the host stopped or a channel or connection was lost."},
    {"valawai_messages_retried", COUNTER, OF_CONSUMED, COUNT, TOPIC(retried),
     "Calls of a handler that ended with VALAWAI_RETRY and were followed by another one."},
    {"valawai_messages_dead_invalid", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_INVALID]),
     "Messages rejected because they are not one JSON object, or do not match the AsyncAPI document."},
    {"valawai_messages_dead_wrong", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_WRONG]),
     "Messages rejected because the handler returned VALAWAI_WRONG."},
    {"valawai_messages_dead_failed", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_FAILED]),
     "Messages rejected because the handler returned VALAWAI_FAILED."},
    {"valawai_messages_dead_attempts", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_ATTEMPTS]),
     "Messages rejected because the handler returned VALAWAI_RETRY once too often."},
    {"valawai_messages_dead_delivery_limit", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_DELIVERY_LIMIT]),
     "Messages rejected because the broker might drop them at the next return."},
    {"valawai_messages_dead_publication", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_PUBLICATION]),
     "Messages rejected because the broker refuses what their handler published."},
    {"valawai_messages_dead_crashed", COUNTER, OF_CONSUMED, COUNT, TOPIC(dead[VIEW_CRASHED]),
     "Messages rejected because they ended the process of the plugin."},
    {"valawai_messages_in_hand", GAUGE, OF_CONSUMED, COUNT, TOPIC(in_hand),
     "Messages that were received and are not settled."},
    {"valawai_topic_consuming", GAUGE, OF_CONSUMED, TRUTH, TOPIC(consuming),
     "1 while the broker delivers the messages of the topic."},
    {"valawai_handler_duration_seconds", HISTOGRAM, OF_CONSUMED, SUMS, TOPIC(handling),
     "Time that a call of the handler took."},
    {"valawai_message_duration_seconds", HISTOGRAM, OF_CONSUMED, SUMS, TOPIC(settling),
     "Time from the receipt of a message to its settlement, without those that were returned."},
    {"valawai_publications_made", COUNTER, OF_PUBLISHED, COUNT, TOPIC(published),
     "Publications that the component made."},
    {"valawai_publications_confirmed", COUNTER, OF_PUBLISHED, COUNT, TOPIC(confirmed),
     "Publications that the broker confirmed."},
    {"valawai_publications_refused", COUNTER, OF_PUBLISHED, COUNT, TOPIC(refused),
     "Publications that the broker will never take."},
    {"valawai_publications_withdrawn", COUNTER, OF_PUBLISHED, COUNT, TOPIC(withdrawn),
     "Publications that were not sent, because the message that caused them went back to its queue."},
    {"valawai_component_healthy", GAUGE, OF_COMPONENT, TRUTH, COMPONENT(healthy),
     "1 while the component is registered and consumes its topics, and no handler exceeds its limit."},
    {"valawai_component_registered", GAUGE, OF_COMPONENT, TRUTH, COMPONENT(registered),
     "1 while the component is registered at the MOV."},
    {"valawai_handler_over_limit", GAUGE, OF_COMPONENT, TRUTH, COMPONENT(over_limit),
     "1 while a handler has been busy with one message for longer than host.slow_seconds."},
    {"valawai_tickets_open", GAUGE, OF_COMPONENT, COUNT, COMPONENT(tickets),
     "Messages that the plugin is to answer later, and has not answered."},
    {"valawai_outbox_bytes", GAUGE, OF_COMPONENT, COUNT, COMPONENT(outbox_bytes),
     "Memory of the component's publications that the broker has not confirmed."},
    {"valawai_worker_resident_memory_bytes", GAUGE, OF_COMPONENT, COUNT, COMPONENT(worker_bytes),
     "Resident memory of the plugin's own process; 0: it has none."},
    {"valawai_outbox_oldest_seconds", GAUGE, OF_HOST, REAL, HOST(outbox_oldest),
     "How long the oldest publication has waited for its confirmation."},
    {"valawai_broker_receiving", GAUGE, OF_HOST, TRUTH, HOST(receiving),
     "1 while the receiving connection to the broker is there."},
    {"valawai_broker_publishing", GAUGE, OF_HOST, TRUTH, HOST(publishing),
     "1 while the publishing connection to the broker is there."},
    {"valawai_broker_reconnects", COUNTER, OF_HOST, COUNT, HOST(reconnects),
     "How often one of the two connections was made again."},
    {"valawai_mov_present", GAUGE, OF_HOST, TRUTH, HOST(mov_present),
     "1 while the MOV takes registrations."},
    {"valawai_log_console_dropped", COUNTER, OF_HOST, COUNT, HOST(console_dropped),
     "Log records that the console was too slow for."},
    {"valawai_log_file_dropped", COUNTER, OF_HOST, COUNT, HOST(file_dropped),
     "Log records that the log file was too slow for."},
    {"process_cpu_seconds", COUNTER, OF_PROCESS, REAL, PROCESS(cpu),
     "User and system time of the host."},
    {"process_resident_memory_bytes", GAUGE, OF_PROCESS, COUNT, PROCESS(resident),
     "Resident memory of the host."},
    {"process_virtual_memory_bytes", GAUGE, OF_PROCESS, COUNT, PROCESS(virtual),
     "Virtual memory of the host."},
    {"process_open_fds", GAUGE, OF_PROCESS, COUNT, PROCESS(fds),
     "Open file descriptors of the host."},
    {"process_max_fds", GAUGE, OF_PROCESS, COUNT, PROCESS(fds_max),
     "The most file descriptors that the host may open."},
    {"process_threads", GAUGE, OF_PROCESS, COUNT, PROCESS(threads),
     "Threads of the host."},
    {"process_start_time_seconds", GAUGE, OF_PROCESS, REAL, PROCESS(started),
     "When the host started, in seconds since 1970."},
};
/* clang-format on */

/* ---- the format ---- */

struct page {
    struct text *out;
    bool open; /* OpenMetrics */
};

/* A text between quotation marks, or a help text. */
static void put_escaped(struct text *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at == '\n')
            text_puts(out, "\\n");
        else if (*at == '"' || *at == '\\')
            text_put(out, (char[]){'\\', *at}, 2);
        else
            text_put(out, at, 1);
}

/* OpenMetrics expects a bound as a real number: 1.0. */
static void put_bound(struct text *out, uint64_t us)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.6g", (double)us / 1e6);
    text_puts(out, digits);
    if (strpbrk(digits, ".e") == NULL)
        text_puts(out, ".0");
}

static void put_number(struct text *out, const struct family *family, const void *structure)
{
    const void *at = (const char *)structure + family->at;
    switch (family->number) {
    case COUNT:
        text_printf(out, " %llu\n", (unsigned long long)*(const uint64_t *)at);
        break;
    case TRUTH:
        text_puts(out, *(const bool *)at ? " 1\n" : " 0\n");
        break;
    case REAL:
        text_printf(out, " %.15g\n", *(const double *)at);
        break;
    case SUMS:
        break;
    }
}

static void put_sums(struct text *out, const struct family *family, const char *labels, const void *structure)
{
    struct histogram_sums sums;
    uint64_t count = 0;
    memcpy(&sums, (const char *)structure + family->at, sizeof sums);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        count += sums.buckets[i];
        text_printf(out, "%s_bucket{%s,le=\"", family->name, labels);
        if (i < HISTOGRAM_BOUNDS)
            put_bound(out, histogram_bounds[i]);
        else
            text_puts(out, "+Inf");
        text_printf(out, "\"} %llu\n", (unsigned long long)count);
    }
    text_printf(out, "%s_sum{%s} %.15g\n%s_count{%s} %llu\n", family->name, labels, (double)sums.sum / 1e6,
                family->name, labels, (unsigned long long)count);
}

/* labels: "" for none. */
static void put_sample(const struct page *page, const struct family *family, const char *labels, const void *structure)
{
    if (family->type == HISTOGRAM) {
        put_sums(page->out, family, labels, structure);
        return;
    }
    text_puts(page->out, family->name);
    if (family->type == COUNTER)
        text_puts(page->out, "_total");
    if (labels[0] != '\0') {
        text_puts(page->out, "{");
        text_puts(page->out, labels);
        text_puts(page->out, "}");
    }
    put_number(page->out, family, structure);
}

static void put_head(const struct page *page, const struct family *family)
{
    static const char *const types[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    const char *end = family->type == COUNTER && !page->open ? "_total" : "";
    text_printf(page->out, "# HELP %s%s ", family->name, end);
    put_escaped(page->out, family->help);
    text_printf(page->out, "\n# TYPE %s%s %s\n", family->name, end, types[family->type]);
}

/* ---- whose numbers ---- */

static void put_labels(struct text *labels, const char *component, const char *topic)
{
    text_clear(labels);
    text_puts(labels, "component=\"");
    put_escaped(labels, component);
    if (topic != NULL) {
        text_puts(labels, "\",topic=\"");
        put_escaped(labels, topic);
    }
    text_puts(labels, "\"");
}

static void put_topics(const struct page *page, const struct family *family, const struct view_component *component,
                       struct text *labels)
{
    for (size_t i = 0; i < component->topic_count; i++) {
        const struct view_topic *topic = &component->topics[i];
        if (family->scope == OF_CONSUMED ? !topic->subscribe : !topic->publish)
            continue;
        put_labels(labels, component->name, topic->name);
        put_sample(page, family, labels->at, topic);
    }
}

static void put_family(const struct page *page, const struct family *family, const struct view *view,
                       const struct process *process, struct text *labels)
{
    put_head(page, family);
    switch (family->scope) {
    case OF_CONSUMED:
    case OF_PUBLISHED:
        for (size_t i = 0; i < view->component_count; i++)
            put_topics(page, family, &view->components[i], labels);
        break;
    case OF_COMPONENT:
        for (size_t i = 0; i < view->component_count; i++) {
            put_labels(labels, view->components[i].name, NULL);
            put_sample(page, family, labels->at, &view->components[i]);
        }
        break;
    case OF_HOST:
        put_sample(page, family, "", view);
        break;
    case OF_PROCESS:
        put_sample(page, family, "", process);
        break;
    }
}

/* ---- the process ---- */

static uint64_t entries_of(const char *directory)
{
    uint64_t count = 0;
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

static struct process look_at_process(int64_t started)
{
    struct process process = {.started = (double)started};
    struct timespec cpu;
    struct rlimit limit;
    char line[128];
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL && fgets(line, sizeof line, statm) != NULL) {
        char *next = NULL;
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        process.virtual = strtoull(line, &next, 10) * page;
        process.resident = strtoull(next, NULL, 10) * page;
    }
    if (statm != NULL)
        fclose(statm);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        process.cpu = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        process.fds_max = limit.rlim_cur;
    process.fds = entries_of("/proc/self/fd");
    process.fds -= process.fds > 0; /* the one that counted */
    process.threads = entries_of("/proc/self/task");
    return process;
}

/* ---- the reply ---- */

/* What a client thinks of a type, by the q of its Accept header; less than 0: it does not name it. */
static double liking(const char *accept, const char *type)
{
    size_t len = strlen(type);
    for (const char *at = accept; at != NULL; at = strchr(at, ',')) {
        at += strspn(at, ", \t");
        if (strncasecmp(at, type, len) != 0 || (at[len] != '\0' && strchr(";, \t", at[len]) == NULL))
            continue;
        const char *end = at + strcspn(at, ","), *q = strstr(at, ";q=");
        return q != NULL && q < end ? strtod(q + strlen(";q="), NULL) : 1;
    }
    return -1;
}

static bool wants_openmetrics(const char *accept)
{
    double open = accept == NULL ? -1 : liking(accept, "application/openmetrics-text");
    return open > 0 && open >= liking(accept, "text/plain");
}

void reply_metrics(struct reply *reply, const char *accept, const struct view *view)
{
    struct page page = {.out = &reply->body, .open = wants_openmetrics(accept)};
    struct process process = look_at_process(view->started);
    struct text labels = {0};
    reply->status = 200;
    reply->type = page.open ? REPLY_OPENMETRICS : REPLY_PROMETHEUS;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        put_family(&page, &families[i], view, &process, &labels);
    if (page.open)
        text_puts(page.out, "# EOF\n");
    text_free(&labels);
}
