/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * main: the command line. Each verb is a row of a table. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/verbs.h"
#include "plugin/plugin.h"
#include "run/host.h"
#include "run/signals.h"
#include "settings/settings.h"

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
         "In the lines of validate, try and send, a byte order mark before the first and a CR before the\n"
         "end say nothing, and blank ones are no messages.\n"
         "\n"
         "try runs a plugin without a broker: messages come from standard input, one\n"
         "a line, as {\"topic\": …, \"body\": …} or as bodies of --topic, and publications go to standard\n"
         "output; it ends with the input, or --for so many seconds later, and with the first message that\n"
         "is rejected unless it is to --keep-going. --verbose shows the verdict of each. Output that\n"
         "cannot be written ends it, too; a handler that is slow is named.\n"
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
         "  -c, --config FILE    of run, try, send, listen: read FILE and not ./plugins.conf\n"
         "  --strict             of check: a warning is an error\n"
         "  -t, --topic TOPIC    of try: the lines are bodies of TOPIC\n"
         "  -v, --verbose        of try: show what became of each message\n"
         "  -k, --keep-going     of try: do not end with the first that is rejected\n"
         "  -f, --for SECONDS    of try: go on for so long after the input\n"
         "  -n, --count N        of listen: end after N messages\n"
         "  --trace              of listen: take nothing, only look\n"
         "  -d, --dir DIRECTORY  of new: write into DIRECTORY, which must not be there yet\n"
         "  -h, --help           show this help\n"
         "  -V, --version        show the version\n"
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

static int (*verb_find(const char *name))(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(name, verbs[i].name) == 0)
            return verbs[i].function;
    return NULL;
}

/* A word that looks like no plugin was to be a verb. */
static bool is_word(const char *name)
{
    size_t len = strlen(name);
    bool plugin = strchr(name, '/') != NULL || (len > 3 && strcmp(name + len - 3, ".so") == 0);
    return !plugin && access(name, F_OK) != 0;
}

/* Without `run`, a word among the plugins may be a verb, misspelt or in the wrong place. */
static int check_words(int count, char **words)
{
    for (int i = 0; i < count; i++) {
        struct fault fault;
        if (!is_word(words[i]))
            continue;
        if (verb_find(words[i]) == NULL)
            fault_set(&fault, "%.100s is neither a verb nor a file", words[i]);
        else
            fault_set(&fault, "the verb comes first: valawai-host %s ...", words[i]);
        return usage(fault.text, NULL);
    }
    return STATUS_OK;
}

int verb_run(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {0}};
    const char *config = NULL;
    struct fault fault = {""};
    int status = STATUS_FAILED;
    struct settings *settings = NULL;
    struct plugins plugins = {0};
    struct signals *signals = NULL;
    struct log *log = NULL;

    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
        if (option != 'c')
            return usage_option("", option, options, argv);
        config = optarg;
    }
    if (strcmp(argv[0], "run") != 0 && check_words(argc - optind, argv + optind) != STATUS_OK)
        return STATUS_USAGE;

    if (!settings_read(config, &settings, &fault))
        goto out;
    log = log_open(&settings->log);
    signals = signals_new(log, &fault);
    if (signals == NULL)
        goto out;
    signals_watch(signals, settings->host.grace_seconds * 1000);
    bool opened = plugins_open(settings, argv + optind, (size_t)(argc - optind), &plugins, &fault);
    signals_unwatch(signals);
    if (opened && host_run(settings, &plugins, signals, log, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK)
        log_last_words(log, fault.text);
    plugins_free(&plugins);
    signals_free(signals);
    log_close(log);
    settings_free(settings);
    return status;
}

int main(int argc, char **argv)
{
    signals_hold();
    hold_descriptors();
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help();
            return finish(true);
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            puts("valawai-host " HOST_VERSION);
            return finish(true);
        }
    }
    int (*verb)(int, char **) = argc > 1 ? verb_find(argv[1]) : NULL;
    if (verb == NULL)
        return verb_run(argc, argv);
    if (verb != verb_run)
        signals_release();
    return verb(argc - 1, argv + 1);
}
