/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * main: the command line. Each verb is a row of a table. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/locale.h"
#include "base/log.h"
#include "cli/verbs.h"
#include "plugin/inventory.h"
#include "plugin/load.h"
#include "plugin/plugin.h"
#include "plugin/zygote.h"
#include "run/host.h"
#include "run/signals.h"
#include "settings/settings.h"

static void help(void)
{
    puts("Usage: valawai-host [run] [--config FILE] [--isolation WHERE] [PLUGIN.so ...]\n"
         "       valawai-host check [--config FILE] [--strict] [--for-mov] FILE...\n"
         "       valawai-host validate DOCUMENT TOPIC [FILE|-]\n"
         "       valawai-host try [--config FILE] [--topic TOPIC] [--verbose] [--keep-going] [--for SECONDS]\n"
         "                        [--isolation WHERE] PLUGIN.so\n"
         "       valawai-host try --worker [OPTION ...] COMMAND\n"
         "       valawai-host send [--config FILE] TOPIC [JSON|-]\n"
         "       valawai-host listen [--config FILE] [--count N] [--trace] TOPIC\n"
         "       valawai-host dead [list] [--config FILE] [--json] [TOPIC]\n"
         "       valawai-host dead show [--config FILE] [--json] [--number N] TOPIC\n"
         "       valawai-host dead retry|drop [--config FILE] [--json] [--count N] [--reason PATTERN] [--all] TOPIC\n"
         "       valawai-host doctor [--config FILE] [PLUGIN.so ...]\n"
         "       valawai-host status [--config FILE] [--json] [--watch] [--dir LOG_DIR]\n"
         "       valawai-host reload [--config FILE] [--dir LOG_DIR] [NAME]\n"
         "       valawai-host new [--dir DIRECTORY] [--from DOCUMENT] NAME\n"
         "\n"
         "Carries messages between a RabbitMQ broker and VALAWAI components that are plugins.\n"
         "Loads the plugins that the command line names; if it names none, those that plugins.conf\n"
         "enables; if that enables none, every .so of the plugin directory that it does not disable.\n"
         "Runs until SIGTERM, SIGINT, or SIGHUP of its terminal (not under nohup).\n"
         "\n"
         "check prints what a plugin or an AsyncAPI document declares, and every error and warning with\n"
         "its line and column. It ends with 1 if there is an error, with --strict also for a warning.\n"
         "If plugins.conf has a section for the plugin, its options are checked, too.\n"
         "With --for-mov it prints the document that the host sends to the MOV.\n"
         "validate reads messages from FILE or standard input, one JSON object on each line, checks them\n"
         "against the topic's schema in the AsyncAPI document, prints a verdict for each, and ends with 1\n"
         "if one is invalid. validate, try and send skip empty lines, and ignore a byte order mark before\n"
         "the first line and a CR at the end of a line.\n"
         "\n"
         "try runs a plugin without a broker. Standard input has one message on each line, as\n"
         "{\"topic\": …, \"body\": …} or as bodies of --topic; standard output gets the publications. It ends\n"
         "with the input, or --for that many seconds later, at the first message that is rejected unless\n"
         "--keep-going is given, and at output that cannot be written. --verbose shows the verdict of\n"
         "each message; a slow handler is named.\n"
         "\n"
         "send puts a message into a topic, or one for each line of standard input, and waits until the\n"
         "broker has confirmed it. listen prints the messages of a topic, one on each line, until Ctrl-C or\n"
         "until N messages. It takes them out of the queue, so a component that consumes the topic does\n"
         "not receive them. With --trace it only prints what is published there; this needs tracing at the\n"
         "broker: rabbitmqctl trace_on, and trace_off afterwards.\n"
         "\n"
         "dead lists the dead letters of a topic, or of all topics of the plugins: how many, how old, and why\n"
         "they were rejected. show prints one of them with its headers. retry moves them back to the topic,\n"
         "the oldest first, each confirmed by the broker; drop deletes them. A kill at any moment loses none.\n"
         "PATTERN is compared with reason and explanation; * and ? stand for any text and any character.\n"
         "\n"
         "doctor looks at all that a host needs, and prints a line for each: ✓, or ✗ with advice, or – where\n"
         "it cannot be looked at. It changes nothing, and a host may run meanwhile. It ends with 1 after a ✗.\n"
         "\n"
         "status shows what a running host does: its state with reasons, throughput, times and counts. It asks\n"
         "the host by the socket in its log directory: that of the settings, or LOG_DIR. --watch shows it\n"
         "again every two seconds. It ends with 0 if the host is healthy, 1 if not, 3 if no host is there.\n"
         "\n"
         "reload makes a running host look at its plugins again: new files are loaded, removed ones drained, and\n"
         "changed ones take over without a lost message; a file that cannot be used changes nothing. It reads the\n"
         "plugin sections of plugins.conf again. NAME is a component or a file, which is loaded anew even if it\n"
         "has not changed. A host reloads by itself when its plugin directory changes, and on SIGHUP if it has\n"
         "no controlling terminal. It ends with 0 if all plugins run, 1 if not, 3 if no host is there.\n"
         "\n"
         "new writes the project of a component, c0_…, c1_… or c2_…, into a directory of that name. The\n"
         "project builds, passes its own tests, and publishes the length of each message. With --from it\n"
         "starts from an AsyncAPI document: a handler and a test message for each subscribed channel.\n"
         "\n"
         "  -c, --config FILE    of run, check, try, send, listen, dead, doctor, status, reload: read FILE, not\n"
         "                       ./plugins.conf\n"
         "  --isolation WHERE    of run, try: thread: all plugins in the host's process; process: each in one of\n"
         "                       its own; whatever plugins.conf says [of try: thread]\n"
         "  --worker             of try: the argument is a command that speaks the worker protocol\n"
         "  --strict             of check: a warning is an error\n"
         "  --for-mov            of check: print the document that the host sends to the MOV\n"
         "  -t, --topic TOPIC    of try: each line is a body of TOPIC\n"
         "  -v, --verbose        of try: show the verdict of each message\n"
         "  -k, --keep-going     of try: go on after a message that is rejected\n"
         "  -f, --for SECONDS    of try: go on for that long after the input\n"
         "  -n, --count N        of listen, dead: end after N messages; retry or drop N at most\n"
         "  -r, --reason PATTERN  of dead: retry or drop only those with this reason\n"
         "  --all                of dead: drop all\n"
         "  --number N           of dead: show the Nth; 1 is the oldest [1]\n"
         "  --json               of dead, status: print JSON\n"
         "  -w, --watch          of status: show it again every two seconds\n"
         "  --trace              of listen: take nothing, only print what is published\n"
         "  -d, --dir DIRECTORY  of new, status, reload: the new directory, which must not exist; the log directory\n"
         "  --from DOCUMENT      of new: start from the AsyncAPI document of the component NAME\n"
         "  -h, --help           show this help\n"
         "  -V, --version        show the version\n"
         "\n"
         "Settings, in plugins.conf and in the environment, which overrides the file [default]:\n");
    settings_help(stdout);
    puts("\n"
         "A section `plugin NAME { … }` of plugins.conf enables a plugin. Besides the keys above it may have\n"
         "options of the plugin itself. A relative path in the file starts at the directory of the file.\n"
         "\n"
         "Exit status: 0 stopped on request or done, 1 failed, 2 usage error. Of status: 0 healthy, 1 not healthy,\n"
         "3 no host is there.");
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
    {"dead", verb_dead},
    {"doctor", verb_doctor},
    {"status", verb_status},
    {"reload", verb_reload},
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

/* True if the word is probably a verb and not a plugin. */
static bool is_word(const char *name)
{
    size_t len = strlen(name);
    bool plugin = strchr(name, '/') != NULL || (len > 3 && strcmp(name + len - 3, ".so") == 0);
    return !plugin && access(name, F_OK) != 0;
}

/* Without `run`, a word among the plugins may be a misspelt or misplaced verb. */
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

/* A later plugin needs the zygote, too, if the settings ask for a process of its own anywhere. */
static bool needs_zygote(const struct settings *settings, const struct plugins *plugins)
{
    bool needs = plugins->in_workers == NULL ? settings->host.isolation == ISOLATION_PROCESS : *plugins->in_workers;
    for (size_t i = 0; i < plugins->count; i++)
        needs = needs || plugins->at[i]->worker != NULL;
    for (size_t i = 0; i < settings->section_count; i++)
        needs = needs || settings->sections[i].isolation == ISOLATION_PROCESS;
    return needs;
}

static void end_unused_zygote(const struct settings *settings, struct plugins *plugins)
{
    if (needs_zygote(settings, plugins))
        return;
    zygote_end(plugins->zygote);
    plugins->zygote = NULL;
}

int verb_run(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"isolation", required_argument, NULL, LONG_ONLY}, {0}};
    const char *config = NULL, *isolation = NULL;
    bool in_workers = false;
    struct fault fault = {""};
    int status = STATUS_FAILED;
    struct settings *settings = NULL;
    struct plugins plugins = {0};
    struct signals *signals = NULL;
    struct log *log = NULL;

    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case LONG_ONLY:
            isolation = optarg;
            break;
        default:
            return usage_option("", option, options, argv);
        }
    }
    if (strcmp(argv[0], "run") != 0 && check_words(argc - optind, argv + optind) != STATUS_OK)
        return STATUS_USAGE;

    if (isolation != NULL && !isolation_read(isolation, &in_workers))
        return usage("--isolation expects thread or process, not", isolation);
    plugins.in_workers = isolation == NULL ? NULL : &in_workers;
    load_make_copies();
    /* Before anything that a worker is not to have: a secret, a thread, a descriptor. */
    plugins.zygote = zygote_start(&fault);
    if (!settings_read(config, &settings, &fault))
        goto out;
    if (!descriptors_suffice(&fault))
        goto out;
    settings_anchor(settings);
    (void)!directory_make(settings->log_directory); /* for the lock; the log reports a failure */
    settings->log.threads = true;
    log = log_open(&settings->log);
    signals = signals_new(log, &fault);
    if (signals == NULL)
        goto out;
    signals_watch(signals, settings->host.grace_seconds * 1000);
    bool opened = plugins_open(settings, argv + optind, (size_t)(argc - optind), &plugins, &fault);
    signals_unwatch(signals);
    if (!opened)
        goto out;
    end_unused_zygote(settings, &plugins);
    inventory_log(settings, &plugins, argc > optind, log);
    const struct run_options run = {
        .settings = settings,
        .config = config,
        .paths = argv + optind,
        .path_count = (size_t)(argc - optind),
        .plugins = &plugins,
        .signals = signals,
        .log = log,
    };
    if (host_run(&run, &fault))
        status = STATUS_OK;
out:
    if (status != STATUS_OK)
        log_last_words(log, fault.text);
    plugins_free(&plugins);
    zygote_end(plugins.zygote);
    signals_free(signals);
    log_close(log);
    settings_free(settings);
    return status;
}

int main(int argc, char **argv)
{
    signals_hold();
    locale_hold();
    hold_descriptors();
    if (argc == 2 && strcmp(argv[1], ZYGOTE_ARGUMENT) == 0)
        zygote_main();
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
