/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Shared by the verbs: messages about the command line, and the check that all output is written. */
#include "cli/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int stdout_error; /* errno of the first write that failed */

int usage(const char *what, const char *which)
{
    struct fault fault;
    fault_set(&fault, "%s%s%s; see valawai-host --help", what, which == NULL ? "" : " ", which == NULL ? "" : which);
    log_last_words(NULL, fault.text);
    return STATUS_USAGE;
}

bool isolation_read(const char *word, bool *in_workers)
{
    *in_workers = strcmp(word, "process") == 0;
    return *in_workers || strcmp(word, "thread") == 0;
}

/* The word at which getopt_long() stopped, if it is a long option. Within a word of short options optind has not
 * advanced, so argv[optind - 1] is the previous word. */
static const char *long_option(int returned, const struct option *options, char **argv)
{
    const char *word = argv[optind - 1];
    bool known = false;
    for (const struct option *option = options; option->name != NULL; option++)
        known = known || option->val == optopt;
    return optopt == 0 || ((returned == ':' || known) && strncmp(word, "--", 2) == 0) ? word : NULL;
}

int usage_option(const char *verb, int returned, const struct option *options, char **argv)
{
    const char letter[] = {'-', (char)optopt, '\0'}, *word = long_option(returned, options, argv);
    struct fault what;
    if (returned == '?' && (word == NULL || optopt == 0)) {
        fault_set(&what, "%s%sunknown option", verb, verb[0] == '\0' ? "" : ": ");
        return usage(what.text, word == NULL ? letter : word);
    }
    return usage(word == NULL ? letter : word, returned == ':' ? "expects a value" : "takes no value");
}

void hold_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null",
                        fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* gets the lowest free descriptor: fd */
}

#define DESCRIPTORS 32 /* a host has about twenty open, and opens a few for a moment */

bool descriptors_suffice(struct fault *fault)
{
    int fds[DESCRIPTORS], count = 0, error = 0;
    while (error == 0 && count < DESCRIPTORS) {
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            error = errno;
        else
            fds[count++] = fd;
    }
    for (int i = 0; i < count; i++)
        close(fds[i]);
    return error == 0 || fault_set(fault, "needs %d file descriptors, may open %d: %s; see ulimit -n", DESCRIPTORS,
                                   count, strerror(error));
}

bool stdout_works(void)
{
    if (stdout_error == 0 && ferror(stdout))
        stdout_error = errno;
    return stdout_error == 0 || stdout_error == EPIPE;
}

bool stdout_flush(struct fault *fault)
{
    fflush(stdout);
    return stdout_works() || fault_set(fault, "standard output: %s", strerror(stdout_error));
}

int finish(bool good)
{
    struct fault fault;
    if (stdout_flush(&fault))
        return good ? STATUS_OK : STATUS_FAILED;
    log_last_words(NULL, fault.text);
    return STATUS_FAILED;
}
