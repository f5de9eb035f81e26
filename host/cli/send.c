/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host send: puts messages into a topic, and succeeds only when the broker has confirmed all of them. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "broker/dialogue.h"
#include "cli/verbs.h"

#define LOOK_EVERY 32           /* messages between two reads of the socket … */
#define LOOK_EVERY_BYTES 262144 /* … or bytes, so that an alarm is read before the socket is full */

struct input {
    struct lines lines;
    bool drained; /* no whole line remains of the input so far */
    bool refused; /* a line is invalid: no later line is sent, and the earlier ones are awaited */
    unsigned long sent;
};

static bool is_message(const char *body, size_t len, size_t message_max, struct fault *fault)
{
    if (len > message_max)
        return fault_set(fault, "%zu bytes are more than host.message_max_bytes, %zu", len, message_max);
    return json_is_object(body, len, fault);
}

static void refuse_line(struct input *input, const struct line *line, struct fault *fault)
{
    fault_prefix(fault, "line %lu", line->number);
    input->refused = input->lines.ended = input->drained = true;
}

static bool line_is_message(const struct line *line, size_t message_max, struct fault *fault)
{
    if (line->at == NULL)
        return fault_set(fault, "longer than host.message_max_bytes, %zu", message_max);
    return json_is_object(line->at, line->len, fault);
}

/* Sends the available lines, until it is time to read the socket. */
static bool send_some(struct dialogue *dialogue, const char *topic, struct input *input, struct fault *fault)
{
    struct line line = {0};
    size_t bytes = 0;
    for (unsigned i = 0; i < LOOK_EVERY && bytes < LOOK_EVERY_BYTES && dialogue_has_room(dialogue); i++) {
        if (input->refused)
            break;
        input->drained = !lines_next(&input->lines, &line);
        if (input->drained)
            break;
        if (!line_is_message(&line, input->lines.most, fault)) {
            refuse_line(input, &line, fault);
            break;
        }
        if (!dialogue_publish(dialogue, topic, line.at, line.len, fault))
            return false;
        input->sent++;
        bytes += line.len;
    }
    return true;
}

/* Continues until all lines are read, sent and confirmed. */
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
        bool more = !input->drained, ended = input->lines.ended;
        if (ended && !more && dialogue_unconfirmed(dialogue) == 0)
            return !input->refused;
        if (more && dialogue_has_room(dialogue))
            continue;
        struct pollfd fds[] = {{.fd = -1}, {.fd = ended || more ? -1 : STDIN_FILENO, .events = POLLIN}};
        if (!dialogue_wait(dialogue, fds, 2, fault))
            return false;
        if (fds[1].revents == 0)
            continue;
        if (!lines_read(&input->lines, STDIN_FILENO, "standard input", fault))
            return false;
        input->drained = false;
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
        return usage("send: expects a topic and at most one message", NULL);

    const char *topic = argv[optind], *body = argc - optind == 2 ? argv[optind + 1] : "-";
    struct fault fault = {""};
    struct settings *settings = NULL;
    struct dialogue *dialogue = NULL;
    bool reads = strcmp(body, "-") == 0;
    struct input input = {.lines.ended = !reads, .drained = true};
    if (topic[0] == '\0' || strlen(topic) > 255)
        return usage("send: a topic has 1 to 255 bytes", NULL);
    if (!settings_read(config, &settings, &fault))
        goto out;
    input.lines.most = (size_t)settings->host.message_max_bytes;
    if (!reads && !is_message(body, strlen(body), input.lines.most, &fault)) {
        fault_prefix(&fault, "the message");
        goto out;
    }
    dialogue = dialogue_open(settings, "valawai-host send", &fault);
    if (dialogue == NULL || !dialogue_confirm(dialogue, &fault))
        goto out;
    if (!reads && !dialogue_publish(dialogue, topic, body, strlen(body), &fault))
        goto out;
    if (talk(dialogue, topic, &input, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK && reads && dialogue != NULL)
        fault_prefix(&fault, "%lu message(s) arrived, then",
                     input.sent - (unsigned long)dialogue_unconfirmed(dialogue));
    if (status != STATUS_OK)
        log_last_words(NULL, fault.text);
    dialogue_close(dialogue);
    settings_free(settings);
    lines_free(&input.lines);
    return status;
}
