/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host send: puts messages into a topic, and ends well only when the broker has confirmed them all. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dialogue.h"
#include "json.h"
#include "log.h"
#include "text.h"
#include "verbs.h"

#define LOOK_EVERY 32           /* messages between two looks at what the broker says … */
#define LOOK_EVERY_BYTES 262144 /* … or so many bytes: an alarm is to be seen before the socket is full */
#define READ_BYTES 65536

struct input {
    struct text text;
    size_t at;      /* of what is not yet sent … */
    size_t scanned; /* … and how far there is no end of a line */
    bool ended;
    bool refused; /* a line of it: nothing after it is sent, and all before it is waited for */
    unsigned long line, sent;
    size_t message_max;
};

/* The next line, if all of it is there. */
static bool next_line(struct input *input, const char **line, size_t *len)
{
    const char *newline = input->scanned < input->text.len
                              ? memchr(input->text.at + input->scanned, '\n', input->text.len - input->scanned)
                              : NULL;
    size_t end = newline == NULL ? input->text.len : (size_t)(newline - input->text.at);
    input->scanned = end;
    bool too_long = end - input->at > input->message_max; /* its rest is not waited for */
    if (newline == NULL && !too_long && (!input->ended || end == input->at))
        return false;
    *line = input->text.at + input->at;
    *len = end - input->at;
    input->at = input->scanned = end + (newline != NULL);
    input->line++;
    return true;
}

static bool read_more(struct input *input, struct fault *fault)
{
    char bytes[READ_BYTES];
    if (input->at > 0) { /* what is sent makes room */
        input->text.len -= input->at;
        memmove(input->text.at, input->text.at + input->at, input->text.len + 1);
        input->scanned -= input->at;
        input->at = 0;
    }
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN || fault_set(fault, "standard input: %s", strerror(errno));
    input->ended = got == 0;
    text_put(&input->text, bytes, (size_t)got);
    return true;
}

static bool is_message(const char *body, size_t len, size_t message_max, struct fault *fault)
{
    if (len > message_max)
        return fault_set(fault, "%zu bytes are more than host.message_max_bytes, %zu", len, message_max);
    return json_is_object(body, len, fault);
}

static void refuse_line(struct input *input, struct fault *fault)
{
    fault_prefix(fault, "line %lu", input->line);
    input->refused = input->ended = true;
    input->at = input->scanned = input->text.len;
}

/* What is at hand, until it is time to look at what the broker says. */
static bool send_some(struct dialogue *dialogue, const char *topic, struct input *input, struct fault *fault)
{
    const char *line = NULL;
    size_t len = 0, bytes = 0;
    for (unsigned i = 0; i < LOOK_EVERY && bytes < LOOK_EVERY_BYTES && dialogue_has_room(dialogue); i++) {
        if (!next_line(input, &line, &len))
            break;
        if (strspn(line, " \t\r") >= len) /* an empty line is no message */
            continue;
        if (!is_message(line, len, input->message_max, fault)) {
            refuse_line(input, fault);
            break;
        }
        if (!dialogue_publish(dialogue, topic, line, len, fault))
            return false;
        input->sent++;
        bytes += len;
    }
    return true;
}

static bool has_line(const struct input *input)
{
    return input->at < input->text.len &&
           (input->ended || memchr(input->text.at + input->scanned, '\n', input->text.len - input->scanned) != NULL);
}

/* Until all is read, sent and confirmed. */
static bool talk(struct dialogue *dialogue, const char *topic, struct input *input, struct fault *fault)
{
    bool said = false;
    for (;;) {
        struct dialogue_message message;
        if (dialogue_next(dialogue, &message, fault) == DIALOGUE_FAILED || !send_some(dialogue, topic, input, fault))
            return false;
        if (dialogue_is_blocked(dialogue) && !said) {
            fputs("valawai-host: the broker has raised an alarm and takes no messages; waiting until it is over\n",
                  stderr);
            said = true;
        }
        bool more = has_line(input);
        if (input->ended && !more && dialogue_unconfirmed(dialogue) == 0)
            return !input->refused;
        if (more && dialogue_has_room(dialogue))
            continue;
        struct pollfd fds[] = {{.fd = -1}, {.fd = input->ended || more ? -1 : STDIN_FILENO, .events = POLLIN}};
        if (!dialogue_wait(dialogue, fds, 2, fault))
            return false;
        if (fds[1].revents != 0 && !read_more(input, fault))
            return false;
    }
}

int verb_send(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {0}};
    const char *config = NULL;
    int status = STATUS_FAILED;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
        if (option != 'c')
            return usage_option("send", option, options, argv);
        config = optarg;
    }
    if (argc - optind < 1 || argc - optind > 2)
        return usage("send: a topic and at most one message are wanted", NULL);

    const char *topic = argv[optind], *body = argc - optind == 2 ? argv[optind + 1] : "-";
    struct fault fault = {""};
    struct settings *settings = NULL;
    struct dialogue *dialogue = NULL;
    struct input input = {.ended = strcmp(body, "-") != 0};
    if (topic[0] == '\0' || strlen(topic) > 255)
        return usage("send: a topic has 1 to 255 bytes", NULL);
    if (!settings_read(config, &settings, &fault))
        goto out;
    input.message_max = (size_t)settings->host.message_max_bytes;
    if (input.ended && !is_message(body, strlen(body), input.message_max, &fault)) {
        fault_prefix(&fault, "the message");
        goto out;
    }
    dialogue = dialogue_open(settings, "valawai-host send", &fault);
    if (dialogue == NULL || !dialogue_confirm(dialogue, &fault))
        goto out;
    if (input.ended && !dialogue_publish(dialogue, topic, body, strlen(body), &fault))
        goto out;
    if (talk(dialogue, topic, &input, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK && strcmp(body, "-") == 0 && dialogue != NULL)
        fault_prefix(&fault, "%lu message(s) arrived, then",
                     input.sent - (unsigned long)dialogue_unconfirmed(dialogue));
    if (status != STATUS_OK)
        log_last_words(NULL, fault.text);
    dialogue_close(dialogue);
    settings_free(settings);
    text_free(&input.text);
    return status;
}
