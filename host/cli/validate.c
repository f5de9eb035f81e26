/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host validate: checks messages against the schema of a topic. One message on each line in, one verdict on
 * each line out. A separate thread makes the checks, so its stack is large enough with every `ulimit -s`. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "cli/verbs.h"
#include "contract/contract.h"
#include "settings/settings.h"

static bool check_line(const struct contract_topic *topic, struct json_tokener *reader, const struct line *line,
                       char *reason, size_t size)
{
    enum contract_direction direction = topic_has(topic, CONTRACT_SUBSCRIBE) ? CONTRACT_SUBSCRIBE : CONTRACT_PUBLISH;
    struct fault fault;
    if (line->at == NULL) {
        snprintf(reason, size, "longer than %d bytes, the default of host.message_max_bytes", MESSAGE_MAX_DEFAULT);
        return false;
    }
    struct json_object *message = json_parse(reader, line->at, line->len, &fault); /* like a received message */
    if (message == NULL) {
        snprintf(reason, size, "%s", fault.text);
        return false;
    }
    bool valid = topic_check(topic, direction, message, reason, size);
    json_object_put(message);
    return valid;
}

struct job {
    const struct contract_topic *topic;
    int fd;
    const char *name; /* of the input */
    bool read, all_valid;
    struct fault *fault;
};

/* Checks the available lines. False: their verdicts cannot be printed. */
static bool check_some(struct job *job, struct lines *lines, struct json_tokener *reader)
{
    struct line line;
    while (lines_next(lines, &line)) {
        char reason[512];
        bool valid = check_line(job->topic, reader, &line, reason, sizeof reason);
        job->all_valid = job->all_valid && valid;
        printf("%lu: %s%s\n", line.number, valid ? "valid" : "invalid: ", valid ? "" : reason);
        if (!stdout_works())
            return false;
    }
    return true;
}

static void *check_lines(void *argument)
{
    struct job *job = argument;
    struct json_tokener *reader = json_reader_new();
    struct lines lines = {.most = MESSAGE_MAX_DEFAULT};
    struct pollfd input = {.fd = job->fd, .events = POLLIN}; /* the descriptor may be non-blocking */
    do {
        poll(&input, 1, -1);
        job->read = lines_read(&lines, job->fd, job->name, job->fault);
    } while (job->read && check_some(job, &lines, reader) && !lines.ended);
    lines_free(&lines);
    json_tokener_free(reader);
    return NULL;
}

/* False, with the fault, if the document or the input cannot be read. */
static bool validate(const char *document, const char *topic, const char *input, bool *all_valid, struct fault *fault)
{
    struct text text = {0};
    struct contract *contract = NULL;
    struct job job = {.fd = STDIN_FILENO, .name = "standard input", .all_valid = true, .fault = fault};
    if (!file_read_text(document, DOCUMENT_TEXT_MAX, &text, fault))
        goto out;
    contract = contract_read(text.at, text.len);
    if (contract_errors(contract) > 0) {
        fault_set(fault, "%s: the document has errors; `valawai-host check %s` shows them", document, document);
        goto out;
    }
    job.topic = contract_find(contract, topic);
    if (job.topic == NULL) {
        fault_set(fault, "%s: has no channel %s", document, topic);
        goto out;
    }
    if (input != NULL) {
        job.name = input;
        job.fd = open(input, O_RDONLY | O_CLOEXEC);
    }
    if (job.fd < 0) {
        fault_set(fault, "%s: %s", input, strerror(errno));
        goto out;
    }
    pthread_join(thread_start(check_lines, &job), NULL);
    *all_valid = job.all_valid;
out:
    if (job.fd > STDIN_FILENO)
        close(job.fd);
    contract_free(contract);
    text_free(&text);
    return job.read;
}

int verb_validate(int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct fault fault = {""};
    bool all_valid = false;
    opterr = 0;
    int option = getopt_long(argc, argv, ":", options, NULL);
    if (option != -1)
        return usage_option("validate", option, options, argv);
    char **words = argv + optind;
    int count = argc - optind;
    if (count < 2 || count > 3)
        return usage("validate: expects a document, a topic and at most one file", NULL);
    const char *input = count == 3 && strcmp(words[2], "-") != 0 ? words[2] : NULL;
    bool read = validate(words[0], words[1], input, &all_valid, &fault);
    int status = finish(read && all_valid);
    if (!read)
        log_last_words(NULL, fault.text);
    return status;
}
