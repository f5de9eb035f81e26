/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host status: asks the host of a log directory for its state, through its socket, and shows it to a person or
 * passes the JSON on. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/verbs.h"
#include "http/ask.h"
#include "http/door.h"
#include "settings/settings.h"

#define WATCH_MS 2000
#define CLEAR "\033[H\033[J" /* the cursor to the first place, and nothing behind it */

/* ---- members of the JSON; what is absent is nothing, 0 or false ---- */

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return value;
}

/* NULL: absent, or null. */
static const char *string(struct json_object *object, const char *name)
{
    struct json_object *value = member(object, name);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static long long number(struct json_object *object, const char *name)
{
    return (long long)json_object_get_int64(member(object, name));
}

static bool truth(struct json_object *object, const char *name)
{
    return json_object_get_boolean(member(object, name)) != 0;
}

static size_t length(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* ---- for people ---- */

static void put_line(struct text *out, const char *text)
{
    text_put_line(out, text == NULL ? "?" : text, text == NULL ? 1 : strlen(text));
}

/* Two units are enough: 3 d 4 h. */
static void put_duration(struct text *out, double seconds)
{
    static const struct {
        long long seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    long long left = (long long)seconds;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (left < units[i].seconds && i + 1 < sizeof units / sizeof *units)
            continue;
        text_printf(out, "%lld %s", left / units[i].seconds, units[i].name);
        if (i + 1 < sizeof units / sizeof *units && left % units[i].seconds >= units[i + 1].seconds)
            text_printf(out, " %lld %s", left % units[i].seconds / units[i + 1].seconds, units[i + 1].name);
        return;
    }
}

static void put_bytes(struct text *out, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    size_t unit = 0;
    for (; bytes >= 1000 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1000;
    text_printf(out, "%.3g %s", bytes, units[unit]);
}

/* Of a call of a handler: 12 µs, 3.4 ms, 5 s. */
static void put_time(struct text *out, struct json_object *seconds)
{
    double value = json_object_get_double(seconds);
    if (seconds == NULL)
        text_puts(out, "–");
    else if (value < 0.001)
        text_printf(out, "%.3g µs", value * 1e6);
    else if (value < 1)
        text_printf(out, "%.3g ms", value * 1e3);
    else
        text_printf(out, "%.3g s", value);
}

static void put_host(struct text *out, struct json_object *status)
{
    struct json_object *host = member(status, "host"), *broker = member(status, "broker");
    bool receiving = truth(broker, "receiving"), publishing = truth(broker, "publishing");
    text_puts(out, "valawai-host ");
    put_line(out, string(host, "version"));
    text_printf(out, ", process %lld, %s for ", number(host, "pid"),
                truth(host, "alive") ? string(host, "state") : "not responding,");
    put_duration(out, json_object_get_double(member(host, "uptime_seconds")));
    text_puts(out, "\nbroker  ");
    put_line(out, string(broker, "address"));
    if (string(broker, "version")[0] != '\0') {
        text_puts(out, ", RabbitMQ ");
        put_line(out, string(broker, "version"));
    }
    text_printf(out, ": %s, %lld reconnects\nMOV     ",
                receiving && publishing ? "connected"
                : receiving             ? "no publishing connection"
                                        : "no receiving connection",
                number(broker, "reconnects"));
    put_line(out, string(member(status, "mov"), "state"));
    text_puts(out, "\noutbox  ");
    put_bytes(out, json_object_get_double(member(broker, "outbox_bytes")));
    text_printf(out, ", the oldest publication has waited %.1f s\n",
                json_object_get_double(member(broker, "outbox_oldest_seconds")));
}

/* Pairs of a member and what it is called here; only what is not 0, unless `all`. */
static void put_counts(struct text *out, struct json_object *object, const char *const (*names)[2], size_t size)
{
    const char *between = "";
    for (size_t i = 0; i < size; i++) {
        if (member(object, names[i][0]) == NULL || (i > 1 && number(object, names[i][0]) == 0))
            continue;
        text_printf(out, "%s%s %lld", between, names[i][1], number(object, names[i][0]));
        between = ", ";
    }
}

static void put_topic(struct text *out, struct json_object *topic)
{
    static const char *const in[][2] = {{"received", "received"},
                                        {"in_hand", "in hand"},
                                        {"acknowledged", "acknowledged"},
                                        {"retried", "retried"},
                                        {"dead_lettered", "dead-lettered"},
                                        {"rejected", "rejected"},
                                        {"returned", "returned"}};
    static const char *const forth[][2] = {
        {"published", "published"}, {"confirmed", "confirmed"}, {"refused", "refused"}, {"withdrawn", "withdrawn"}};
    text_puts(out, "    ");
    put_line(out, string(topic, "topic"));
    text_puts(out, ": ");
    if (truth(topic, "subscribe")) {
        text_puts(out, truth(topic, "consuming") ? "" : "not consumed, ");
        put_counts(out, topic, in, sizeof in / sizeof *in);
    }
    if (truth(topic, "publish")) {
        text_puts(out, truth(topic, "subscribe") ? "; " : "");
        put_counts(out, topic, forth, sizeof forth / sizeof *forth);
    }
    text_puts(out, "\n");
}

static void put_component(struct text *out, struct json_object *component)
{
    struct json_object *handler = member(component, "handler"), *topics = member(component, "topics");
    struct json_object *error = member(component, "last_error");
    const char *id = string(component, "mov_id"), *reason = string(component, "reason");
    text_puts(out, truth(component, "healthy") ? "\n✓ " : "\n✗ ");
    put_line(out, string(component, "name"));
    text_puts(out, " ");
    put_line(out, string(component, "version"));
    text_puts(out, ": ");
    put_line(out, string(component, "state"));
    text_puts(out, " since ");
    put_line(out, string(component, "since"));
    text_puts(out, id == NULL ? "" : ", MOV id ");
    text_puts(out, id == NULL ? "" : id);
    if (reason != NULL) {
        text_puts(out, "\n    ");
        put_line(out, reason);
    }
    text_printf(out, "\n    %.1f messages/s; handler p50 ",
                json_object_get_double(member(member(component, "rate"), "now")));
    put_time(out, member(handler, "p50_seconds"));
    text_puts(out, ", p99 ");
    put_time(out, member(handler, "p99_seconds"));
    text_printf(out, "; in hand %lld, tickets %lld, retried %lld, dead %lld\n", number(component, "in_hand"),
                number(component, "tickets"), number(component, "retried"), number(component, "dead"));
    for (size_t i = 0; i < length(topics); i++)
        put_topic(out, json_object_array_get_idx(topics, i));
    if (error != NULL) {
        text_puts(out, "    last error ");
        put_line(out, string(error, "time"));
        text_puts(out, ": ");
        put_line(out, string(error, "text"));
        text_puts(out, "\n");
    }
}

static void put_status(struct text *out, struct json_object *status)
{
    struct json_object *components = member(status, "components");
    put_host(out, status);
    for (size_t i = 0; i < length(components); i++)
        put_component(out, json_object_array_get_idx(components, i));
}

/* ---- the verb ---- */

/* Prints what the host answers. */
static int show_once(const char *directory, bool json, bool clear)
{
    struct fault fault;
    struct text body = {0}, out = {0};
    struct json_object *status = NULL;
    int result = STATUS_FAILED;
    switch (http_ask(directory, "GET", "/status", &body, &fault)) {
    case ANSWER_NO_HOST:
        text_printf(&out, "valawai-host: no host is there: %s; start one, or name its log directory with --dir\n",
                    fault.text);
        result = STATUS_NO_HOST;
        break;
    case ANSWER_FAILED:
        text_printf(&out, "valawai-host: %s\n", fault.text);
        break;
    case ANSWER_GOT:
        status = json_parse(json_thread_reader(), body.at,
                            body.len > 0 && body.at[body.len - 1] == '\n' ? body.len - 1 : body.len, &fault);
        if (status == NULL)
            text_printf(&out, "valawai-host: %s/%s: %s\n", directory, CONTROL_SOCKET, fault.text);
        else if (truth(status, "healthy"))
            result = STATUS_OK;
        break;
    }
    if (clear)
        fputs(CLEAR, stdout);
    if (status != NULL && json)
        text_put(&out, body.at, body.len);
    else if (status != NULL)
        put_status(&out, status);
    fwrite(out.at, 1, out.len, status != NULL || clear ? stdout : stderr);
    json_object_put(status);
    text_free(&body);
    text_free(&out);
    return result;
}

/* Until a signal, or until standard output is closed. */
static int watch(const char *directory, bool json)
{
    sigset_t ending;
    struct fault fault;
    bool clear = !json && isatty(STDOUT_FILENO);
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_BLOCK, &ending, NULL);
    struct pollfd signals = {.fd = signalfd(-1, &ending, SFD_CLOEXEC), .events = POLLIN};
    int result;
    do {
        result = show_once(directory, json, clear);
        if (!json && !clear)
            putchar('\n');
    } while (stdout_flush(&fault) && !ferror(stdout) && poll(&signals, 1, WATCH_MS) == 0);
    close(signals.fd);
    return result;
}

int verb_status(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, LONG_ONLY},
                                            {"watch", no_argument, NULL, 'w'},
                                            {0}};
    const char *config = NULL, *directory = NULL;
    bool json = false, watching = false;
    struct settings *settings = NULL;
    struct fault fault;

    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:d:w", options, NULL)) != -1;) {
        if (option == 'c')
            config = optarg;
        else if (option == 'd')
            directory = optarg;
        else if (option == 'w')
            watching = true;
        else if (option == LONG_ONLY)
            json = true;
        else
            return usage_option("status", option, options, argv);
    }
    if (optind < argc)
        return usage("status: expects no argument:", argv[optind]);
    if (directory == NULL && !settings_read(config, &settings, &fault)) {
        log_last_words(NULL, fault.text);
        return STATUS_FAILED;
    }
    if (directory == NULL)
        directory = settings->log_directory;
    int result = watching ? watch(directory, json) : show_once(directory, json, false);
    settings_free(settings);
    return finish(true) != STATUS_OK ? STATUS_FAILED : result;
}
