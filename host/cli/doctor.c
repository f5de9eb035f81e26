/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host doctor: looks at everything that a host needs, from its settings to the MOV, and prints one line for
 * each: ✓, ✗ with advice, or – where it cannot be looked at. It changes nothing, neither here nor at the broker, and a
 * host may run meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "broker/probe.h"
#include "broker/reach.h"
#include "cli/verbs.h"
#include "http/ask.h"
#include "message/dead.h"
#include "mov/files.h"
#include "mov/queries.h"
#include "mov/registration.h"
#include "plugin/plugin.h"

#define REACH_MS 5000                /* as long as a host waits for a connection */
#define ROOM_MIN ((uint64_t)1 << 20) /* bytes for health file and ledger */
#define CLOCK_SLACK 86400            /* seconds: a file that was unpacked may have the time of another clock */

struct examination {
    const struct settings *settings; /* NULL: they cannot be read */
    struct plugins plugins;
    struct dialogue *dialogue; /* NULL: no login */
    bool all_good;
};

enum sign { GOOD, BAD, NOT_SEEN };

static void __attribute__((format(printf, 4, 5)))
say(struct examination *exam, enum sign sign, const char *what, const char *format, ...)
{
    static const char *const signs[] = {[GOOD] = "✓", [BAD] = "✗", [NOT_SEEN] = "–"};
    struct text said = {0}, line = {0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&said, format, arguments);
    va_end(arguments);
    text_put_line(&line, said.at, said.len);
    printf("%s %s: %s\n", signs[sign], what, line.at);
    exam->all_good = exam->all_good && sign != BAD;
    text_free(&said);
    text_free(&line);
}

/* ---- settings and plugins ---- */

static void see_plugins(struct examination *exam, char *const *paths, size_t count)
{
    static const bool in_workers = false; /* their descriptors are all that is needed */
    struct fault fault;
    exam->plugins.in_workers = &in_workers;
    if (!plugins_open(exam->settings, paths, count, &exam->plugins, &fault)) {
        say(exam, BAD, "plugins", "%s; `valawai-host check FILE` shows all that is wrong with a file", fault.text);
        return;
    }
    for (size_t i = 0; i < exam->plugins.count; i++) {
        const struct plugin *plugin = exam->plugins.at[i];
        say(exam, GOOD, "plugin", "%s is the component %s, version %s", plugin->path, plugin->name,
            plugin->entry.version);
    }
}

/* ---- the way to the broker ---- */

/* True if the port answers. */
static bool see_endpoint(struct examination *exam, const struct endpoint *endpoint)
{
    struct target target = {
        .host = endpoint->host, .port = endpoint->port, .deadline_ms = clock_ms() + REACH_MS, .wake = -1};
    struct lookup *lookup = NULL;
    struct fault fault;
    int fd = -1;
    if (!reach_name(&target, &lookup, &fault)) {
        say(exam, BAD, "broker name",
            "%s: %s; check RABBITMQ_HOST, and that this machine or container has the network "
            "of the broker",
            endpoint->host, fault.text);
        say(exam, NOT_SEEN, "port", "%s:%d: needs an address", endpoint->host, endpoint->port);
        goto out;
    }
    say(exam, GOOD, "broker name", "%s has an address", endpoint->host);
    fd = reach(&target, &lookup, &fault);
    if (fd < 0)
        say(exam, BAD, "port", "%s:%d: %s Check RABBITMQ_PORT, too", endpoint->host, endpoint->port, fault.text);
    else
        say(exam, GOOD, "port", "%s:%d accepts connections", endpoint->host, endpoint->port);
out:
    if (fd >= 0)
        close(fd);
    lookup_abandon(lookup);
    return fd >= 0;
}

static void see_login(struct examination *exam)
{
    struct fault fault;
    exam->dialogue = dialogue_open(exam->settings, "valawai-host doctor", &fault);
    if (exam->dialogue == NULL)
        say(exam, BAD, "login", "%s", fault.text);
    else
        say(exam, GOOD, "login", "user %s, virtual host %s, RabbitMQ %s%s", exam->settings->broker.username,
            exam->settings->broker.virtual_host, dialogue_version(exam->dialogue),
            exam->settings->broker.tls ? ", with TLS" : "");
}

static void see_broker(struct examination *exam)
{
    bool reached = false;
    for (size_t i = 0; i < exam->settings->broker.endpoint_count; i++)
        reached = see_endpoint(exam, &exam->settings->broker.endpoints[i]) || reached;
    if (reached)
        see_login(exam);
    else
        say(exam, NOT_SEEN, "login", "needs a port that accepts connections");
}

/* ---- queues ---- */

/* The connection is lost: what is left cannot be seen. */
static void lose(struct examination *exam, const char *what, const struct fault *fault)
{
    say(exam, BAD, what, "%s", fault->text);
    dialogue_close(exam->dialogue);
    exam->dialogue = NULL;
}

static void put_permission(struct text *out, const struct examination *exam, const char *which)
{
    text_printf(out, "user %s has no %s permission for it; see rabbitmqctl list_permissions -p %s",
                exam->settings->broker.username, which, exam->settings->broker.virtual_host);
}

/* What keeps a host from using the queue, appended to an empty text if anything does. */
static void put_obstacle(struct text *out, const struct examination *exam, const struct queue_facts *facts,
                         bool consumes)
{
    if (!facts->may_configure && facts->presence != QUEUE_THERE)
        put_permission(out, exam, "configure");
    else if (!facts->fits)
        text_printf(out,
                    "has other properties than the host declares, %s; delete it, or make its type that of the "
                    "virtual host",
                    facts->mismatch.text);
    else if (strcmp(facts->type, "stream") == 0)
        text_puts(out, "is a stream, which hands out a message more than once; delete it");
    else if (consumes && !facts->may_read)
        put_permission(out, exam, "read");
}

static void put_facts(struct text *out, const struct queue_facts *facts)
{
    if (facts->presence != QUEUE_THERE) {
        text_puts(out, "does not exist yet; the host may declare it");
        return;
    }
    text_printf(out, "%s%s%" PRIu32 " message%s, %" PRIu32 " consumer%s", facts->type,
                facts->type[0] == '\0' ? "" : ", ", facts->messages, facts->messages == 1 ? "" : "s", facts->consumers,
                facts->consumers == 1 ? "" : "s");
    if (!facts->may_configure)
        text_puts(out, "; the host uses it as it is, because it may not declare it");
}

/* The limit of the broker against the one that the host expects. True: messages may be lost. */
static bool put_limit(struct text *out, const struct examination *exam, const struct queue_facts *facts)
{
    long expected = exam->settings->broker.delivery_limit;
    long limit = (long)probe_delivery_limit(dialogue_version(exam->dialogue), facts->type);
    if (limit == 0)
        return false;
    if (expected == 0 || expected > limit) {
        text_printf(out,
                    "; this broker drops a message after %ld returns, and broker.delivery_limit is %ld: set it to "
                    "%ld, unless a policy, which cannot be seen from here, sets another delivery-limit",
                    limit, expected, limit);
        return true;
    }
    text_printf(out,
                "; the broker drops a message after %ld returns, unless a policy, which cannot be seen from here, "
                "says otherwise",
                limit);
    return false;
}

static void see_queue(struct examination *exam, const char *queue, bool consumes)
{
    struct queue_facts facts;
    struct fault fault;
    struct text out = {0};
    char *what = memory_format("queue %s", queue);
    if (exam->dialogue == NULL)
        goto out;
    if (!probe_queue(exam->dialogue, queue, &facts, &fault)) {
        lose(exam, what, &fault);
        goto out;
    }
    put_obstacle(&out, exam, &facts, consumes);
    bool bad = out.len > 0;
    if (!bad) {
        put_facts(&out, &facts);
        bad = consumes && put_limit(&out, exam, &facts);
    }
    say(exam, bad ? BAD : GOOD, what, "%s", out.at);
out:
    text_free(&out);
    free(what);
}

static void see_dead_letters(struct examination *exam, const char *topic)
{
    char *queue = memory_format("%s" DEAD_SUFFIX, topic);
    see_queue(exam, queue, false);
    free(queue);
}

static void see_queues_of(struct examination *exam, const struct plugin *plugin)
{
    for (size_t i = 0; i < contract_topics(plugin->contract); i++) {
        const struct contract_topic *topic = contract_topic(plugin->contract, i);
        bool consumes = topic_has(topic, CONTRACT_SUBSCRIBE);
        see_queue(exam, topic_name(topic), consumes);
        if (consumes && strcmp(topic_name(topic), plugin->registered) != 0 &&
            exam->settings->host.dead_letters == DEAD_LETTERS_KEEP)
            see_dead_letters(exam, topic_name(topic));
    }
}

static void see_queues(struct examination *exam)
{
    if (exam->dialogue == NULL || exam->plugins.count == 0)
        say(exam, NOT_SEEN, "queues", "need %s", exam->dialogue == NULL ? "a login" : "plugins that name them");
    for (size_t i = 0; i < exam->plugins.count; i++)
        see_queues_of(exam, exam->plugins.at[i]);
}

/* ---- the MOV ---- */

/* The queue is the MOV's to declare. */
static void see_pages(struct examination *exam)
{
    struct queue_facts facts;
    struct fault fault;
    const char *what = "queue " COMPONENT_PAGES_TOPIC;
    if (!probe_queue(exam->dialogue, COMPONENT_PAGES_TOPIC, &facts, &fault))
        lose(exam, what, &fault);
    else if (!facts.may_read)
        say(exam, BAD, what, "user %s has no read permission for it, so the MOV cannot confirm a registration",
            exam->settings->broker.username);
    else
        say(exam, GOOD, what, "%s", facts.presence == QUEUE_THERE ? "may be consumed" : "does not exist yet");
}

static void see_mov(struct examination *exam)
{
    struct queue_facts facts;
    struct fault fault;
    if (exam->dialogue == NULL) {
        say(exam, NOT_SEEN, "MOV", "needs a login");
        return;
    }
    if (!probe_queue(exam->dialogue, REGISTER_TOPIC, &facts, &fault)) {
        lose(exam, "MOV", &fault);
        return;
    }
    if (facts.presence == QUEUE_HIDDEN)
        say(exam, BAD, "MOV", "%s: user %s may not see this queue: it has no configure permission for it",
            REGISTER_TOPIC, exam->settings->broker.username);
    else if (facts.presence == QUEUE_ABSENT)
        say(exam, BAD, "MOV",
            "%s: no such queue: no MOV has ever run in virtual host %s; start it, and check its broker", REGISTER_TOPIC,
            exam->settings->broker.virtual_host);
    else if (facts.consumers == 0)
        say(exam, BAD, "MOV", "%s has no consumer: the MOV does not run, or has lost its connection; start it",
            REGISTER_TOPIC);
    else
        say(exam, GOOD, "MOV", "it consumes %s", REGISTER_TOPIC);
    see_pages(exam);
}

/* The last question to the broker. */
static void see_publishing(struct examination *exam)
{
    struct fault fault;
    bool may = false;
    if (exam->dialogue == NULL)
        say(exam, NOT_SEEN, "publishing", "needs a login");
    else if (!dialogue_may_publish(exam->dialogue, &may, &fault))
        say(exam, BAD, "publishing", "%s", fault.text);
    else if (!may)
        say(exam, BAD, "publishing", "%s; user %s needs the write permission for amq.default", fault.text,
            exam->settings->broker.username);
    else
        say(exam, GOOD, "publishing", "the broker takes messages of user %s", exam->settings->broker.username);
}

/* ---- the log directory ---- */

/* NULL: absent, or null. */
static const char *string_of(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static void see_component(struct examination *exam, struct json_object *component)
{
    const char *name = string_of(component, "name"), *id = string_of(component, "mov_id");
    const char *reason = string_of(component, "reason");
    if (name == NULL || (id == NULL && reason == NULL))
        say(exam, BAD, "registration", "the host's status lacks a component's name, id or reason");
    else if (reason != NULL)
        say(exam, BAD, "registration", "%s is not healthy: %s", name, reason);
    else
        say(exam, GOOD, "registration", "the MOV has registered %s as %s", name, id);
}

/* True if the host has answered with its components. */
static bool see_components(struct examination *exam, struct fault *fault)
{
    struct text body = {0};
    struct json_object *status = NULL, *components = NULL;
    if (http_ask(exam->settings->log_directory, "GET", "/status", &body, fault) == ANSWER_GOT)
        status = json_parse(json_thread_reader(), body.at, body.len, fault);
    bool known = json_object_object_get_ex(status, "components", &components) &&
                 json_object_is_type(components, json_type_array);
    for (size_t i = 0; known && i < json_object_array_length(components); i++)
        see_component(exam, json_object_array_get_idx(components, i));
    json_object_put(status);
    text_free(&body);
    return known;
}

static void see_registration(struct examination *exam, int owner)
{
    struct fault fault = {""};
    if (owner == 0)
        say(exam, NOT_SEEN, "registration",
            "no host runs with this log directory, and a question to the MOV would change something");
    else if (!see_components(exam, &fault))
        say(exam, BAD, "registration", "a host runs, and does not tell its status: %s", fault.text);
}

/* The nearest directory that is there. The caller frees it. */
static char *nearest_directory(const char *path)
{
    struct stat status;
    char *nearest = memory_text(path);
    while (stat(nearest, &status) != 0 && errno == ENOENT) {
        char *slash = strrchr(nearest, '/');
        size_t len = slash == NULL ? 0 : slash == nearest ? 1 : (size_t)(slash - nearest);
        char *above = len == 0 ? memory_text(".") : memory_format("%.*s", (int)len, nearest);
        bool last = len <= 1;
        free(nearest);
        nearest = above;
        if (last)
            break;
    }
    return nearest;
}

/* Bytes that the host may write: the files of its log at most. */
static uint64_t room_needed(const struct settings *settings)
{
    uint64_t logs = 0;
    if (__builtin_mul_overflow((uint64_t)settings->log.max_bytes, (uint64_t)settings->log.backup_count + 1, &logs) ||
        logs > UINT64_MAX - ROOM_MIN)
        return UINT64_MAX;
    return logs + ROOM_MIN;
}

/* NULL: nothing is wrong with it, or the reason. The caller frees it. */
static char *fault_of_directory(const struct settings *settings, const char *directory)
{
    struct stat status;
    struct statvfs disk;
    if (stat(directory, &status) != 0)
        return memory_text(strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return memory_text("is not a directory");
    if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        return memory_format("%s; user %d has to be able to write there", strerror(errno), (int)geteuid());
    if (statvfs(directory, &disk) != 0 || disk.f_blocks == 0)
        return NULL;
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize, needed = room_needed(settings);
    if (room < needed)
        return memory_format("%" PRIu64 " MB are free, and the log may take %" PRIu64 " MB; make room, or lower "
                             "LOG_FILE_MAX_BYTES",
                             room / 1000000, needed / 1000000 + 1);
    if (disk.f_files > 0 && disk.f_favail == 0)
        return memory_text("the file system has no room for another file (inodes)");
    return NULL;
}

/* Of the log file, which a run as another user may have left. */
static char *fault_of_log_file(const struct settings *settings)
{
    char *path = memory_format("%s/%s", settings->log_directory, settings->log_file_name), *fault = NULL;
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 && errno != ENOENT)
        fault = memory_format("%s: %s", settings->log_file_name, strerror(errno));
    free(path);
    return fault;
}

static void see_log_directory(struct examination *exam, int owner)
{
    const struct settings *settings = exam->settings;
    char *directory = nearest_directory(settings->log_directory);
    bool there = strcmp(directory, settings->log_directory) == 0;
    char *fault = fault_of_directory(settings, directory);
    if (fault == NULL && there)
        fault = fault_of_log_file(settings);
    if (fault != NULL)
        say(exam, BAD, "log directory", "%s: %s; LOG_DIR names it", directory, fault);
    else if (!there)
        say(exam, GOOD, "log directory", "%s is not there yet; the host makes it", settings->log_directory);
    else if (owner > 0)
        say(exam, GOOD, "log directory", "%s, in use by the host that runs as process %d; a second one needs its own",
            directory, owner);
    else
        say(exam, GOOD, "log directory", "%s%s", directory, owner < 0 ? ", in use by a host of another container" : "");
    free(fault);
    free(directory);
}

/* ---- the clock ---- */

static void put_date(char *date, size_t size, time_t time)
{
    struct tm parts;
    if (gmtime_r(&time, &parts) == NULL || strftime(date, size, "%Y-%m-%d %H:%M UTC", &parts) == 0)
        snprintf(date, size, "%lld", (long long)time);
}

static void see_clock(struct examination *exam)
{
    struct stat program;
    char now_text[40], built_text[40];
    time_t now = (time_t)clock_date_s();
    put_date(now_text, sizeof now_text, now);
    if (stat("/proc/self/exe", &program) == 0 && now + CLOCK_SLACK < program.st_mtime) {
        put_date(built_text, sizeof built_text, program.st_mtime);
        say(exam, BAD, "clock", "%s, which is before this program was made (%s); set it, or start an NTP client",
            now_text, built_text);
    } else {
        say(exam, GOOD, "clock", "%s", now_text);
    }
}

/* ---- the command line ---- */

static void see_with_settings(struct examination *exam, char *const *paths, size_t count)
{
    int owner = files_owner(exam->settings->log_directory, exam->settings->health_file_name);
    see_plugins(exam, paths, count);
    see_broker(exam);
    see_queues(exam);
    see_mov(exam);
    see_publishing(exam);
    see_registration(exam, owner);
    see_log_directory(exam, owner);
}

int verb_doctor(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {0}};
    struct examination exam = {.all_good = true};
    struct settings *settings = NULL;
    const char *config = NULL;
    struct fault fault;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
        if (option != 'c')
            return usage_option("doctor", option, options, argv);
        config = optarg;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line may take seconds */
    if (settings_read(config, &settings, &fault)) {
        exam.settings = settings;
        if (config == NULL && access("plugins.conf", F_OK) == 0)
            config = "plugins.conf";
        say(&exam, GOOD, "settings", "%s and the environment", config == NULL ? "defaults" : config);
        see_with_settings(&exam, argv + optind, (size_t)(argc - optind));
    } else {
        say(&exam, BAD, "settings", "%s", fault.text);
        say(&exam, NOT_SEEN, "plugins, broker, MOV, log directory", "need settings");
    }
    see_clock(&exam);
    dialogue_close(exam.dialogue);
    plugins_free(&exam.plugins);
    settings_free(settings);
    return finish(exam.all_good);
}
