/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host dead: shows dead letters, moves them back to their topic, or drops them. It takes letters one at a time,
 * the oldest first. A letter that is only shown returns to its place. On some brokers a quorum queue counts this and
 * drops a letter that was returned too often, so at half of the limit the letter is published again and moves to the
 * end of the queue. */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "broker/dialogue.h"
#include "cli/verbs.h"
#include "message/dead.h"
#include "plugin/plugin.h"

#define TOPIC_MAX (255 - (sizeof DEAD_SUFFIX - 1))
#define REASONS_MAX 50 /* that are counted; the host has seven */
#define RETURN_LOOKS 50
#define RETURN_LOOK_MS 20

enum action { LIST, SHOW, RETRY, DROP };

struct job {
    enum action action;
    const char *topic;
    char *queue;         /* of its dead letters */
    unsigned long count; /* the most letters to move or drop; for show, the number of the letter: 1 is the oldest */
    const char *pattern; /* of the selected letters; NULL: all */
    bool json;
    int64_t renew_at; /* returns after which a letter is published again; 0: never */
    uint32_t there;   /* letters in the queue at the start */
    unsigned long seen, done;

    /* For list: */
    struct tally {
        char *reason;
        unsigned long count;
    } tallies[REASONS_MAX];
    size_t tally_count;
    int64_t oldest, newest; /* 0: no letter has a time */
};

/* The contents of a letter's headers. */
struct letter {
    struct text reason, detail, component, host, attempts;
    int64_t time; /* 0: unknown */
};

static void read_header(struct properties properties, const char *name, const char *otherwise, struct text *out)
{
    struct field value;
    if (properties_header(properties, name, &value))
        field_put_text(&value, out);
    else
        text_puts(out, otherwise);
}

static void letter_read(struct letter *letter, struct properties properties)
{
    struct field time;
    *letter = (struct letter){0};
    read_header(properties, DEAD_REASON, "unknown", &letter->reason);
    read_header(properties, DEAD_DETAIL, "", &letter->detail);
    read_header(properties, DEAD_COMPONENT, "unknown", &letter->component);
    read_header(properties, DEAD_HOST, "unknown", &letter->host);
    read_header(properties, DEAD_ATTEMPTS, "0", &letter->attempts);
    if (properties_header(properties, DEAD_TIME, &time) && time.kind == FIELD_TIME)
        letter->time = time.number;
}

static void letter_free(struct letter *letter)
{
    text_free(&letter->reason);
    text_free(&letter->detail);
    text_free(&letter->component);
    text_free(&letter->host);
    text_free(&letter->attempts);
}

/* True if reason or detail match the pattern. */
static bool is_meant(const struct job *job, const struct letter *letter)
{
    return job->pattern == NULL || fnmatch(job->pattern, letter->reason.at, 0) == 0 ||
           fnmatch(job->pattern, letter->detail.at, 0) == 0;
}

/* ---- output ---- */

static void print(struct text *text)
{
    text_puts(text, "\n");
    fwrite(text->at, 1, text->len, stdout);
    text_free(text);
}

static void put_time(struct text *out, int64_t seconds)
{
    struct tm parts;
    char text[64];
    time_t time = (time_t)seconds;
    if (gmtime_r(&time, &parts) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0)
        text_puts(out, text);
    else
        text_printf(out, "%" PRId64, seconds);
}

static void put_age(struct text *out, int64_t since)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    int64_t age = clock_date_s() - since;
    size_t i = 0;
    if (age < 0)
        age = 0;
    while (i < 3 && age < 2 * units[i].seconds)
        i++;
    text_printf(out, "%" PRId64 " %s", age / units[i].seconds, units[i].name);
}

static void put_member(struct text *out, const char *name, const struct text *value)
{
    text_printf(out, "\"%s\":", name);
    text_put_json(out, value->at, value->len);
    text_puts(out, ",");
}

static void put_time_member(struct text *out, const char *name, int64_t time)
{
    if (time == 0)
        return;
    text_printf(out, "\"%s\":\"", name);
    put_time(out, time);
    text_puts(out, "\",");
}

/* Appends JSON on one line, and anything else as a JSON string. */
static void put_body(struct text *out, const struct dialogue_message *message)
{
    if (!json_is_value(message->body, message->len, NULL)) {
        text_put_json(out, message->body, message->len);
        return;
    }
    size_t begin = out->len;
    text_put(out, message->body, message->len);
    for (char *at = out->at + begin; *at != '\0'; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
}

static void show_as_json(const struct job *job, const struct letter *letter, const struct dialogue_message *message)
{
    struct text out = {0};
    text_puts(&out, "{\"topic\":");
    text_put_json(&out, job->topic, strlen(job->topic));
    text_printf(&out, ",\"number\":%lu,", job->count);
    put_member(&out, "reason", &letter->reason);
    put_member(&out, "detail", &letter->detail);
    put_time_member(&out, "time", letter->time);
    put_member(&out, "component", &letter->component);
    put_member(&out, "host", &letter->host);
    text_puts(&out, "\"properties\":");
    properties_put_json(message->properties, &out);
    text_puts(&out, ",\"body\":");
    put_body(&out, message);
    text_puts(&out, "}");
    print(&out);
}

static void show_as_text(const struct letter *letter, const struct dialogue_message *message)
{
    struct text out = {0};
    text_puts(&out, "reason:      ");
    text_put_line(&out, letter->reason.at, letter->reason.len);
    if (letter->detail.len > 0) {
        text_puts(&out, ": ");
        text_put_line(&out, letter->detail.at, letter->detail.len);
    }
    if (letter->time != 0) {
        text_puts(&out, "\ntime:        ");
        put_time(&out, letter->time);
        text_puts(&out, ", ");
        put_age(&out, letter->time);
        text_puts(&out, " ago");
    }
    text_puts(&out, "\ncomponent:   ");
    text_put_line(&out, letter->component.at, letter->component.len);
    text_puts(&out, "\nhost:        ");
    text_put_line(&out, letter->host.at, letter->host.len);
    text_puts(&out, "\nattempts:    ");
    text_put_line(&out, letter->attempts.at, letter->attempts.len);
    text_puts(&out, "\nproperties:  ");
    properties_put_json(message->properties, &out);
    text_puts(&out, "\nbody:        ");
    text_put_line(&out, message->body, message->len);
    print(&out);
}

static void print_list(const struct job *job)
{
    struct text out = {0};
    if (job->json) {
        text_puts(&out, "{\"topic\":");
        text_put_json(&out, job->topic, strlen(job->topic));
        text_printf(&out, ",\"count\":%lu,", job->seen);
        put_time_member(&out, "oldest", job->oldest);
        put_time_member(&out, "newest", job->newest);
        text_puts(&out, "\"reasons\":{");
        for (size_t i = 0; i < job->tally_count; i++) {
            text_puts(&out, i == 0 ? "" : ",");
            text_put_json(&out, job->tallies[i].reason, strlen(job->tallies[i].reason));
            text_printf(&out, ":%lu", job->tallies[i].count);
        }
        text_puts(&out, "}}");
    } else {
        text_printf(&out, "%s: %lu dead letter%s", job->topic, job->seen, job->seen == 1 ? "" : "s");
        if (job->oldest != 0) {
            text_puts(&out, ", the oldest ");
            put_age(&out, job->oldest);
            text_puts(&out, " old, the newest ");
            put_age(&out, job->newest);
        }
        for (size_t i = 0; i < job->tally_count; i++) {
            text_printf(&out, "\n%8lu  ", job->tallies[i].count);
            text_put_line(&out, job->tallies[i].reason, strlen(job->tallies[i].reason));
        }
    }
    print(&out);
}

static void print_moved(const struct job *job)
{
    struct text out = {0};
    const char *what = job->action == RETRY ? "retried" : "dropped";
    unsigned long left = job->there - job->done;
    if (job->json) {
        text_puts(&out, "{\"topic\":");
        text_put_json(&out, job->topic, strlen(job->topic));
        text_printf(&out, ",\"%s\":%lu,\"left\":%lu}", what, job->done, left);
    } else {
        text_printf(&out, "%s: %lu %s, %lu left", job->topic, job->done, what, left);
    }
    print(&out);
}

/* ---- one letter ---- */

static size_t find_tally(const struct job *job, const char *reason)
{
    size_t i = 0;
    while (i < job->tally_count && strcmp(job->tallies[i].reason, reason) != 0)
        i++;
    return i;
}

static void tally(struct job *job, const struct letter *letter)
{
    size_t i = find_tally(job, letter->reason.at);
    if (i == job->tally_count && i < REASONS_MAX)
        job->tallies[job->tally_count++] = (struct tally){.reason = memory_text(letter->reason.at)};
    if (i < REASONS_MAX)
        job->tallies[i].count++;
    if (letter->time != 0 && (job->oldest == 0 || letter->time < job->oldest))
        job->oldest = letter->time;
    if (letter->time > job->newest)
        job->newest = letter->time;
}

/* Moves the letter back to the topic. The letter is acknowledged when the broker has confirmed the message. The
 * acknowledgement precedes the next message on the same AMQP channel, so at most one message is in both queues. */
static bool move_back(struct dialogue *dialogue, const struct job *job, const struct dialogue_message *message,
                      struct fault *fault)
{
    struct text list = {0};
    bool moved = dead_revive(message->properties, &list, fault) &&
                 dialogue_move(dialogue, job->topic, message, (struct properties){list.at, list.len}, fault);
    text_free(&list);
    return moved;
}

/* True if the letter has reached half of the limit. A letter without its body cannot be published again. */
static bool is_worn(const struct job *job, const struct dialogue_message *message)
{
    struct field returns;
    return job->renew_at > 0 && message->wanted && properties_header(message->properties, DEAD_RETURNS, &returns) &&
           returns.kind == FIELD_NUMBER && returns.number >= job->renew_at;
}

/* Moves the letter to the end of its queue, where the broker counts from 0. It is in both places for a moment, as in
 * move_back(). */
static bool renew(struct dialogue *dialogue, const struct job *job, const struct dialogue_message *message,
                  struct fault *fault)
{
    struct text list = {0};
    bool renewed = dead_renew(message->properties, &list, fault) &&
                   dialogue_move(dialogue, job->queue, message, (struct properties){list.at, list.len}, fault) &&
                   dialogue_accept(dialogue, message->tag, fault);
    text_free(&list);
    return renewed;
}

/* taken: the letter does not return to its place. */
static bool handle(struct dialogue *dialogue, struct job *job, const struct dialogue_message *message, bool *taken,
                   struct fault *fault)
{
    struct letter letter;
    bool good = true;
    letter_read(&letter, message->properties);
    *taken = false;
    switch (job->action) {
    case LIST:
        tally(job, &letter);
        break;
    case SHOW:
        if (job->seen == job->count && job->json)
            show_as_json(job, &letter, message);
        else if (job->seen == job->count)
            show_as_text(&letter, message);
        break;
    case RETRY:
    case DROP:
        *taken = is_meant(job, &letter);
        good = !*taken || job->action == DROP || move_back(dialogue, job, message, fault);
        good = good && (!*taken || dialogue_accept(dialogue, message->tag, fault));
        job->done += *taken && good;
        break;
    }
    letter_free(&letter);
    if (good && !*taken && is_worn(job, message)) {
        *taken = true;
        good = renew(dialogue, job, message, fault);
    }
    return good;
}

static bool is_over(const struct job *job)
{
    return job->action == LIST ? false : job->action == SHOW ? job->seen == job->count : job->done == job->count;
}

/* ---- one topic ---- */

/* A quorum queue returns letters some time after the broker has read the request. Waits for them, so that the next look
 * finds every letter, but only for a second: another program may have taken them. */
static bool return_letters(struct dialogue *dialogue, const struct job *job, uint64_t tag, struct fault *fault)
{
    bool found = true;
    uint32_t there = 0, expected = job->there - (uint32_t)job->done;
    if (!dialogue_return(dialogue, tag, fault))
        return false;
    for (int i = 0; i < RETURN_LOOKS && found && there < expected; i++) {
        if (i > 0)
            usleep(RETURN_LOOK_MS * 1000);
        if (!dialogue_look(dialogue, job->queue, &found, &there, fault))
            return false;
    }
    return true;
}

/* Handles the letters that are in the queue now, and not later ones, so a message that dies again is not retried again.
 */
static bool walk(struct dialogue *dialogue, struct job *job, struct fault *fault)
{
    uint64_t kept = 0; /* the tag of the last letter that returns */
    while (job->seen < job->there && !is_over(job)) {
        struct dialogue_message message;
        bool taken;
        enum dialogue_event event =
            dialogue_get(dialogue, job->queue, job->action == SHOW || job->action == RETRY, &message, fault);
        if (event == DIALOGUE_FAILED)
            return false;
        if (event == DIALOGUE_NOTHING)
            break;
        job->seen++;
        if (!handle(dialogue, job, &message, &taken, fault))
            return false;
        if (!taken)
            kept = message.tag;
    }
    return kept == 0 || return_letters(dialogue, job, kept, fault);
}

static bool work(const struct settings *settings, struct job *job, struct fault *fault)
{
    bool found = false, good = false;
    job->renew_at = (settings->broker.delivery_limit + 1) / 2;
    job->queue = memory_format("%s" DEAD_SUFFIX, job->topic);
    struct dialogue *dialogue = dialogue_open(settings, "valawai-host dead", fault);
    if (dialogue == NULL || !dialogue_look(dialogue, job->queue, &found, &job->there, fault))
        goto out;
    if (found && (!dialogue_confirm(dialogue, fault) || !walk(dialogue, job, fault)))
        goto out;
    if (job->action == SHOW && !is_over(job)) {
        fault_set(fault, "%s: %lu dead letter%s, so there is none of number %lu", job->topic, job->seen,
                  job->seen == 1 ? "" : "s", job->count);
        goto out;
    }
    if (job->action == LIST)
        print_list(job);
    else if (job->action != SHOW)
        print_moved(job);
    good = true;
out:
    if (!good && job->done > 0)
        fault_prefix(fault, "%lu %s, then", job->done, job->action == RETRY ? "retried" : "dropped");
    dialogue_close(dialogue);
    free(job->queue);
    for (size_t i = 0; i < job->tally_count; i++)
        free(job->tallies[i].reason);
    return good;
}

/* Lists the letters of every topic that a plugin handles. */
static bool list_all(const struct settings *settings, const struct job *job, struct fault *fault)
{
    static const bool in_workers = false; /* their topics are all that is needed */
    struct plugins plugins = {.in_workers = &in_workers};
    bool good = plugins_open(settings, NULL, 0, &plugins, fault);
    for (size_t i = 0; good && i < plugins.count; i++) {
        for (size_t t = 0; good && t < plugins.at[i]->topic_count; t++) {
            struct job one = *job;
            one.topic = plugins.at[i]->entry.topics[t].name;
            good = work(settings, &one, fault);
        }
    }
    plugins_free(&plugins);
    return good;
}

/* ---- the command line ---- */

static bool read_count(const char *text, unsigned long *count)
{
    char *end = NULL;
    errno = 0;
    *count = strtoul(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *count > 0;
}

static bool read_action(const char *word, enum action *action)
{
    static const char *const words[] = {[LIST] = "list", [SHOW] = "show", [RETRY] = "retry", [DROP] = "drop"};
    for (int i = LIST; i <= DROP; i++) {
        if (strcmp(word, words[i]) == 0) {
            *action = (enum action)i;
            return true;
        }
    }
    return false;
}

/* Returns STATUS_OK, or reports the fault. */
static int check_job(struct job *job, bool counted, bool numbered, bool all)
{
    if (job->topic == NULL && job->action != LIST)
        return usage("dead: show, retry and drop expect a topic", NULL);
    if (job->topic != NULL && (job->topic[0] == '\0' || strlen(job->topic) > TOPIC_MAX))
        return usage("dead: a topic has 1 to 250 bytes", NULL);
    if (counted && (job->action == LIST || (job->action == SHOW) != numbered))
        return usage("dead: --count is for retry and drop, --number for show", NULL);
    if (job->pattern != NULL && job->action != RETRY && job->action != DROP)
        return usage("dead: --reason is for retry and drop", NULL);
    if (all && job->action != DROP)
        return usage("dead: --all is for drop", NULL);
    if (job->action == DROP && !counted && !all && job->pattern == NULL)
        return usage("dead: drop expects --count, --reason or --all", NULL);
    if (!counted)
        job->count = job->action == SHOW ? 1 : (unsigned long)-1;
    return STATUS_OK;
}

int verb_dead(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"reason", required_argument, NULL, 'r'},
                                            {"json", no_argument, NULL, LONG_ONLY},
                                            {"all", no_argument, NULL, LONG_ONLY + 1},
                                            {"number", required_argument, NULL, LONG_ONLY + 2},
                                            {0}};
    struct job job = {.action = LIST};
    const char *config = NULL;
    bool counted = false, numbered = false, all = false;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:n:r:", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 'n':
        case LONG_ONLY + 2:
            counted = true;
            numbered = option != 'n';
            if (!read_count(optarg, &job.count))
                return usage("dead: --count and --number expect a whole number of at least 1, not", optarg);
            break;
        case 'r':
            job.pattern = optarg;
            break;
        case LONG_ONLY:
            job.json = true;
            break;
        case LONG_ONLY + 1:
            all = true;
            break;
        default:
            return usage_option("dead", option, options, argv);
        }
    }
    if (optind < argc && read_action(argv[optind], &job.action))
        optind++;
    else if (optind < argc && strchr(argv[optind], '/') == NULL)
        return usage("dead: expects list, show, retry or drop, not", argv[optind]);
    if (optind < argc)
        job.topic = argv[optind++];
    if (optind < argc)
        return usage("dead: expects one topic, not also", argv[optind]);
    int status = check_job(&job, counted, numbered, all);
    if (status != STATUS_OK)
        return status;

    struct fault fault = {""};
    struct settings *settings = NULL;
    bool good = settings_read(config, &settings, &fault);
    if (good)
        good = job.topic == NULL ? list_all(settings, &job, &fault) : work(settings, &job, &fault);
    if (!good)
        log_last_words(NULL, fault.text);
    settings_free(settings);
    return finish(good);
}
