/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host validate: are these messages as the AsyncAPI document declares them for a topic? One message a line in,
 * one verdict a line out. The checks are made by a thread, whose stack is large enough whatever `ulimit -s` says. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "file.h"
#include "json.h"
#include "log.h"
#include "text.h"
#include "thread.h"
#include "verbs.h"

static int fail(const struct fault *fault)
{
    log_last_words(NULL, fault->text);
    return STATUS_FAILED;
}

static bool check_line(const struct contract_topic *topic, struct json_tokener *reader, const char *line, size_t len,
                       char *reason, size_t size)
{
    enum contract_direction direction = topic_has(topic, CONTRACT_SUBSCRIBE) ? CONTRACT_SUBSCRIBE : CONTRACT_PUBLISH;
    struct fault fault;
    if (!json_is_object(line, len, &fault)) {
        snprintf(reason, size, "%s", fault.text);
        return false;
    }
    struct json_object *message = json_read(reader, line, len);
    bool valid = topic_check(topic, direction, message, reason, size);
    json_object_put(message);
    return valid;
}

struct lines {
    const struct contract_topic *topic;
    FILE *file;
    bool all_valid;
};

static void *check_lines(void *argument)
{
    struct lines *lines = argument;
    struct json_tokener *reader = json_reader_new();
    char *line = NULL;
    size_t room = 0;
    unsigned long number = 0;
    for (ssize_t len; (len = getline(&line, &room, lines->file)) >= 0;) {
        char reason[512];
        number++;
        if (len > 0 && line[len - 1] == '\n')
            line[--len] = '\0';
        bool valid = check_line(lines->topic, reader, line, (size_t)len, reason, sizeof reason);
        printf("%lu: %s%s\n", number, valid ? "valid" : "invalid: ", valid ? "" : reason);
        lines->all_valid = lines->all_valid && valid;
    }
    free(line);
    json_tokener_free(reader);
    return NULL;
}

int verb_validate(int argc, char **argv)
{
    struct fault fault;
    struct text text = {0};
    struct contract *contract = NULL;
    FILE *file = stdin;
    int status = STATUS_FAILED;
    static const struct option options[] = {{0}};
    opterr = 0;
    int option = getopt_long(argc, argv, ":", options, NULL);
    if (option != -1)
        return usage_option("validate", option, options, argv);
    argv += optind - 1;
    argc -= optind - 1;
    if (argc < 3 || argc > 4)
        return usage("validate: a document, a topic and at most one file are wanted", NULL);

    if (!file_read_text(argv[1], DOCUMENT_TEXT_MAX, &text, &fault)) {
        status = fail(&fault);
        goto out;
    }
    contract = contract_read(text.at, text.len);
    if (contract_errors(contract) > 0) {
        fault_set(&fault, "%s: the document has errors; `valawai-host check %s` shows them", argv[1], argv[1]);
        status = fail(&fault);
        goto out;
    }
    const struct contract_topic *topic = contract_find(contract, argv[2]);
    if (topic == NULL) {
        fault_set(&fault, "%s: has no channel %s", argv[1], argv[2]);
        status = fail(&fault);
        goto out;
    }
    if (argc == 4 && strcmp(argv[3], "-") != 0)
        file = fopen(argv[3], "re");
    if (file == NULL) {
        fault_set(&fault, "%s: %s", argv[3], strerror(errno));
        status = fail(&fault);
        goto out;
    }
    struct lines lines = {.topic = topic, .file = file, .all_valid = true};
    pthread_join(thread_start(check_lines, &lines), NULL);
    status = finish(!ferror(file) && lines.all_valid);
    if (file != stdin)
        fclose(file);
out:
    contract_free(contract);
    text_free(&text);
    return status;
}
