/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host reload: asks the host of a log directory to read plugins.conf and its plugins again, and shows what has
 * become of each plugin. */
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"
#include "http/ask.h"
#include "settings/settings.h"

#define LOOK_MS 50
#define PATIENCE_MS 60000 /* for all plugins to start, and for the old ones to finish what they have */

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return value;
}

static const char *string(struct json_object *object, const char *name)
{
    const char *text = json_object_get_string(member(object, name));
    return text == NULL ? "" : text;
}

static struct json_object *parse(const struct text *body, struct fault *fault)
{
    size_t len = body->len;
    while (len > 0 && body->at[len - 1] == '\n')
        len--;
    return json_parse(json_thread_reader(), len > 0 ? body->at : "", len, fault);
}

/* The host's reply. NULL: see the status of the verb. */
static struct json_object *ask(const char *directory, const char *method, const char *path, int *status)
{
    struct fault fault;
    struct text body = {0};
    struct json_object *reply = NULL;
    switch (http_ask(directory, method, path, &body, &fault)) {
    case ANSWER_NO_HOST:
        fprintf(stderr, "valawai-host: no host is there: %s; start one, or name its log directory with --dir\n",
                fault.text);
        *status = STATUS_NO_HOST;
        break;
    case ANSWER_FAILED:
        fprintf(stderr, "valawai-host: %s\n", fault.text);
        *status = STATUS_FAILED;
        break;
    case ANSWER_GOT:
        reply = parse(&body, &fault);
        *status = reply == NULL ? STATUS_FAILED : STATUS_OK;
        if (reply == NULL)
            fprintf(stderr, "valawai-host: the host's reply: %s\n", fault.text);
        break;
    }
    text_free(&body);
    return reply;
}

/* True if every step has succeeded. */
static bool show(struct json_object *report)
{
    struct json_object *steps = member(report, "steps"), *restart = member(report, "needs_restart");
    size_t count = json_object_array_length(steps), settings = json_object_array_length(restart);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct json_object *step = json_object_array_get_idx(steps, i);
        const char *state = string(step, "state"), *text = string(step, "text");
        bool done = strcmp(state, "done") == 0;
        struct text line = {0};
        text_put_line(&line, string(step, "path"), strlen(string(step, "path")));
        text_puts(&line, ": ");
        text_put_line(&line, text[0] == '\0' ? state : text, strlen(text[0] == '\0' ? state : text));
        printf("%s %s\n", done ? "✓" : strcmp(state, "failed") == 0 ? "✗" : "–", line.at);
        text_free(&line);
        good = good && done;
    }
    for (size_t i = 0; i < settings; i++)
        printf("– %s has changed; a restart of the host applies it\n",
               json_object_get_string(json_object_array_get_idx(restart, i)));
    if (count == 0)
        puts("✓ no plugin has changed");
    return good;
}

/* True if the report is about this request or a later one. */
static bool covers(struct json_object *report, int64_t request)
{
    return json_object_get_int64(member(report, "request")) >= request;
}

static int reload(const char *directory, const char *name)
{
    int status;
    struct text path = {0};
    text_printf(&path, "/reload%s%s", name[0] == '\0' ? "" : "/", name);
    struct json_object *reply = ask(directory, "POST", path.at, &status);
    text_clear(&path);
    if (reply == NULL) {
        text_free(&path);
        return status;
    }
    int64_t request = json_object_get_int64(member(reply, "request")), until = clock_ms() + PATIENCE_MS;
    json_object_put(reply);
    text_printf(&path, "/reload/%" PRId64, request);
    while ((reply = ask(directory, "GET", path.at, &status)) != NULL) {
        bool is_over = covers(reply, request) && json_object_get_boolean(member(reply, "done"));
        if (is_over || clock_ms() > until) {
            bool good = covers(reply, request) && show(reply) && is_over;
            if (!is_over)
                fprintf(stderr,
                        "valawai-host: the reload is still under way after %d s; valawai-host status shows more\n",
                        PATIENCE_MS / 1000);
            status = good ? STATUS_OK : STATUS_FAILED;
            break;
        }
        json_object_put(reply);
        usleep(LOOK_MS * 1000);
    }
    json_object_put(reply);
    text_free(&path);
    return status;
}

/* A component's name, or the name of a plugin's file: it becomes a part of the request. */
static bool is_name(const char *name)
{
    for (; *name != '\0'; name++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-", *name) == NULL)
            return false;
    return true;
}

int verb_reload(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"dir", required_argument, NULL, 'd'}, {0}};
    const char *config = NULL, *directory = NULL;
    struct settings *settings = NULL;
    struct fault fault;

    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:d:", options, NULL)) != -1;) {
        if (option == 'c')
            config = optarg;
        else if (option == 'd')
            directory = optarg;
        else
            return usage_option("reload", option, options, argv);
    }
    const char *name = optind < argc ? argv[optind++] : "";
    if (optind < argc)
        return usage("reload: expects one plugin at most, not also", argv[optind]);
    if (!is_name(name) || strlen(name) > 100)
        return usage("reload: expects the name of a component or of a plugin's file, not", name);
    if (directory == NULL && !settings_read(config, &settings, &fault)) {
        log_last_words(NULL, fault.text);
        return STATUS_FAILED;
    }
    int result = reload(directory == NULL ? settings->log_directory : directory, name);
    settings_free(settings);
    return finish(true) != STATUS_OK ? STATUS_FAILED : result;
}
