/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * main: the command line. Each verb is a row of a table. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "plugin.h"
#include "settings.h"
#include "verbs.h"

int usage(const char *what, const char *which)
{
    struct fault fault;
    fault_set(&fault, "%s%s%s; see valawai-host --help", what, which == NULL ? "" : " ", which == NULL ? "" : which);
    log_last_words(NULL, fault.text);
    return STATUS_USAGE;
}

static void help(void)
{
    puts("Usage: valawai-host [run] [--config FILE] [PLUGIN.so ...]\n"
         "       valawai-host check [--strict] FILE...\n"
         "       valawai-host validate DOCUMENT TOPIC [FILE|-]\n"
         "       valawai-host try [--config FILE] [--topic TOPIC] [--verbose] [--keep-going] [--for SECONDS]\n"
         "                        PLUGIN.so\n"
         "       valawai-host send [--config FILE] TOPIC [JSON|-]\n"
         "       valawai-host listen [--config FILE] [--count N] [--trace] TOPIC\n"
         "       valawai-host new [--dir DIRECTORY] NAME\n"
         "\n"
         "Carries messages between a RabbitMQ broker and VALAWAI components that are plugins.\n"
         "Loads the plugins that are named, or else those that plugins.conf enables, or else\n"
         "every .so of the plugin directory that it does not disable. Runs until SIGTERM, SIGINT or\n"
         "SIGHUP (not under nohup).\n"
         "\n"
         "check says what a plugin or an AsyncAPI document declares, and every error and warning\n"
         "with its line and column; it ends with 1 if there is an error, with --strict also for a\n"
         "warning. validate reads messages, JSON objects, one a line, from FILE or standard input,\n"
         "checks them against what the AsyncAPI document declares for the topic, prints a verdict\n"
         "a line, and ends with 1 if one is invalid.\n"
         "\n"
         "try runs a plugin without a broker: messages come from standard input, one\n"
         "a line, as {\"topic\": …, \"body\": …} or as bodies of --topic, and publications go to standard\n"
         "output; it ends with the input, or --for so many seconds later, and with the first message that\n"
         "is rejected unless it is to --keep-going. --verbose shows the verdict of each.\n"
         "\n"
         "send puts a message into a topic, or one for each line of standard input, and waits until\n"
         "the broker has confirmed it. listen shows the messages of a topic, one a line, until Ctrl-C\n"
         "or for N messages. It takes them out of the queue, so a component that consumes the topic\n"
         "does not get them; with --trace it only looks at what is published there. For that, tracing\n"
         "has to be on at the broker: rabbitmqctl trace_on, and trace_off afterwards.\n"
         "\n"
         "new writes the project of a component that is called c0_…, c1_… or c2_…, into a directory\n"
         "of that name. It builds, passes its own tests, and publishes what it receives.\n"
         "\n"
         "  -c, --config FILE  read FILE and not ./plugins.conf\n"
         "  --strict           of check: a warning is an error\n"
         "  -h, --help         show this help\n"
         "  -V, --version      show the version\n"
         "\n"
         "Settings, in plugins.conf and in the environment (which goes before the file) [default]:\n");
    settings_help(stdout);
    puts("\n"
         "A section `plugin NAME { path = \"…\"  enabled = true  key = \"value\" }` of plugins.conf\n"
         "enables a plugin; validate = strict, warn or off tells what is done about messages that are\n"
         "not as the AsyncAPI document declares them [strict]; threads = N calls the handlers of a plugin\n"
         "that is safe for it on so many threads [1]; every other key is the plugin's own.\n"
         "Paths in the file start from its directory.\n"
         "\n"
         "Exit status: 0 stopped as asked, 1 could not do it, 2 wrong usage.");
}

int verb_run(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {0}};
    const char *config = NULL;
    struct fault fault = {""};
    int status = STATUS_FAILED;
    struct settings *settings = NULL;
    struct plugins plugins = {0};
    struct log *log = NULL;

    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
        if (option == ':')
            return usage(argv[optind - 1], "wants a value");
        if (option == '?')
            return usage("unknown option", argv[optind - 1]);
        config = optarg;
    }

    if (!settings_read(config, &settings, &fault))
        goto out;
    log = log_open(&settings->log);
    if (!plugins_open(settings, argv + optind, (size_t)(argc - optind), &plugins, &fault))
        goto out;
    if (host_run(settings, &plugins, log, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK)
        log_last_words(log, fault.text);
    plugins_free(&plugins);
    log_close(log);
    settings_free(settings);
    return status;
}

/* clang-format off */
static const struct {
    const char *name;
    int (*function)(int argc, char **argv); /* argv[0] is the verb */
} verbs[] = {
    {"run", verb_run},
    {"check", verb_check},
    {"validate", verb_validate},
    {"try", verb_try},
    {"send", verb_send},
    {"listen", verb_listen},
    {"new", verb_new},
};
/* clang-format on */

int main(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help();
            return STATUS_OK;
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            puts("valawai-host " HOST_VERSION);
            return STATUS_OK;
        }
    }
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].function(argc - 1, argv + 1);
    return verb_run(argc, argv);
}
