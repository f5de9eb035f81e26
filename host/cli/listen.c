/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host listen: prints the messages of a topic, one on each line. A message is acknowledged when its line is
 * written, so one that was not printed returns to its queue. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/dialogue.h"
#include "cli/verbs.h"

#define PIECE 4096 /* bytes that a writable pipe accepts without waiting */

struct output {
    struct text text; /* lines */
    size_t at;        /* start of the unwritten part */
    bool plain_file;  /* a regular file, which never blocks */
    uint64_t tag;     /* of the last message in the text; 0: all are acknowledged */
    bool closed;      /* the reader has closed the pipe */
};

/* Appends the message as one line. In JSON a line break is white space, so it becomes a blank. Other bodies are quoted
 * as in the log. */
static void put_message(struct output *output, const struct dialogue_message *message)
{
    struct text *text = &output->text;
    struct fault fault;
    if (json_is_object(message->body, message->len, &fault)) {
        size_t start = text->len;
        text_put(text, message->body, message->len);
        for (char *at = text->at + start; *at != '\0'; at++)
            if (*at == '\n' || *at == '\r')
                *at = ' ';
    } else {
        text_put_line(text, message->body, message->len);
    }
    text_put(text, "\n", 1);
}

/* Writes without waiting, so heartbeats go on while the reader pauses. */
static bool write_some(struct output *output, struct fault *fault)
{
    size_t left = output->text.len - output->at;
    ssize_t wrote =
        write(STDOUT_FILENO, output->text.at + output->at, left < PIECE || output->plain_file ? left : PIECE);
    if (wrote < 0 && errno == EPIPE) {
        output->closed = true;
        return true;
    }
    if (wrote < 0)
        return errno == EINTR || errno == EAGAIN || fault_set(fault, "standard output: %s", strerror(errno));
    output->at += (size_t)wrote;
    if (output->at == output->text.len) {
        text_clear(&output->text);
        output->at = 0;
    }
    return true;
}

/* Ignores messages beyond the count: they stay unacknowledged and return to the queue. It goes on reading for the
 * heartbeats. */
static bool take_messages(struct dialogue *dialogue, struct output *output, unsigned long *left, struct fault *fault)
{
    struct dialogue_message message;
    enum dialogue_event event;
    while ((event = dialogue_next(dialogue, &message, fault)) == DIALOGUE_MESSAGE) {
        if (*left == 0)
            continue;
        output->tag = message.tag;
        if (message.wanted) {
            put_message(output, &message);
            --*left;
        }
    }
    return event == DIALOGUE_NOTHING;
}

static bool talk(struct dialogue *dialogue, struct output *output, int signals, unsigned long left, struct fault *fault)
{
    for (;;) {
        if (!take_messages(dialogue, output, &left, fault))
            return false;
        bool to_write = output->at < output->text.len;
        if (!to_write && output->tag != 0) {
            if (!dialogue_acknowledge(dialogue, output->tag, fault))
                return false;
            output->tag = 0;
        }
        if (!to_write && left == 0)
            return true;
        /* Without POLLOUT, poll() still reports a closed pipe. */
        struct pollfd fds[] = {
            {.fd = -1}, {.fd = signals, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = to_write ? POLLOUT : 0}};
        if (!dialogue_wait(dialogue, fds, 3, fault))
            return false;
        if (fds[1].revents != 0 || (fds[2].revents & POLLERR) != 0)
            return true;
        if (to_write && fds[2].revents != 0 && !write_some(output, fault))
            return false;
        if (output->closed)
            return true;
    }
}

static bool begin(struct dialogue *dialogue, const char *topic, bool trace, unsigned long count, long prefetch,
                  struct fault *fault)
{
    uint32_t others = 0;
    if (!dialogue_find(dialogue, topic, &others, fault))
        return false;
    if (trace) {
        if (!dialogue_trace(dialogue, topic, fault))
            return false;
        fprintf(stderr, "valawai-host: shows what is published on %s from now on, and takes nothing\n", topic);
        return true;
    }
    if (count < (unsigned long)prefetch)
        prefetch = (long)count; /* no more than it prints */
    if (!dialogue_consume(dialogue, topic, (uint16_t)prefetch, fault))
        return false;
    if (others == 0)
        fprintf(stderr, "valawai-host: takes the messages of %s out of its queue; --trace takes none\n", topic);
    else
        fprintf(stderr,
                "valawai-host: takes messages of %s away from the %u other consumer(s) of that topic; --trace only "
                "looks\n",
                topic, others);
    return true;
}

/* Ctrl-C is the usual end and no failure, and so is a reader that closes the pipe. */
static int catch_signals(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool read_count(const char *text, unsigned long *count)
{
    char *end = NULL;
    errno = 0;
    *count = strtoul(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && strchr(text, '-') == NULL && *count > 0;
}

int verb_listen(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"trace", no_argument, NULL, LONG_ONLY},
                                            {0}};
    const char *config = NULL;
    unsigned long count = (unsigned long)-1;
    bool trace = false;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:n:", options, NULL)) != -1;) {
        if (option == ':' || option == '?')
            return usage_option("listen", option, options, argv);
        if (option == 'n' && !read_count(optarg, &count))
            return usage("listen: --count expects a whole number of at least 1, not", optarg);
        if (option == 'c')
            config = optarg;
        trace = trace || option == LONG_ONLY;
    }
    if (argc - optind != 1)
        return usage("listen: expects one topic", NULL);
    const char *topic = argv[optind];
    if (topic[0] == '\0' || strlen(topic) > 255)
        return usage("listen: a topic has 1 to 255 bytes", NULL);

    struct fault fault = {""};
    struct settings *settings = NULL;
    struct dialogue *dialogue = NULL;
    struct output output = {0};
    struct stat stat;
    int signals = -1, status = STATUS_FAILED;
    output.plain_file = fstat(STDOUT_FILENO, &stat) == 0 && S_ISREG(stat.st_mode);
    if (!settings_read(config, &settings, &fault))
        goto out;
    dialogue = dialogue_open(settings, "valawai-host listens", &fault);
    if (dialogue == NULL)
        goto out;
    signals = catch_signals();
    if (begin(dialogue, topic, trace, count, settings->broker.prefetch, &fault) &&
        talk(dialogue, &output, signals, count, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK)
        log_last_words(NULL, fault.text);
    if (signals >= 0)
        close(signals);
    dialogue_close(dialogue);
    settings_free(settings);
    text_free(&output.text);
    return status;
}
