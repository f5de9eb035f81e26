/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host check: prints what a plugin or an AsyncAPI document declares, and every fault in it. The code that loads
 * plugins also checks them. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/verbs.h"
#include "plugin/plugin.h"

struct mode {
    bool strict;
    bool for_mov;
};

static void print_topics(const struct contract *contract, enum contract_direction direction, const char *what)
{
    for (size_t i = 0; i < contract_topics(contract); i++) {
        const struct contract_topic *topic = contract_topic(contract, i);
        char summary[200] = "";
        if (!topic_has(topic, direction))
            continue;
        topic_summary(topic, direction, summary, sizeof summary);
        printf("  %-10s %s %s\n", what, topic_name(topic), summary);
    }
}

/* True without errors; with strict also without warnings. */
static bool print_contract(const struct contract *contract, const char *version, struct mode mode)
{
    bool good = true;
    if (mode.for_mov && contract_for_mov(contract) != NULL) {
        printf("%s\n", contract_for_mov(contract));
        return true;
    }
    if (contract_name(contract) != NULL)
        printf("  %-10s %s (%s) %s\n", "component", contract_name(contract), contract_type(contract),
               version != NULL ? version : "");
    print_topics(contract, CONTRACT_SUBSCRIBE, "receives");
    print_topics(contract, CONTRACT_PUBLISH, "publishes");
    for (size_t i = 0; i < contract_findings(contract); i++) {
        const struct finding *finding = contract_finding(contract, i);
        bool error = finding->kind == FINDING_ERROR;
        good = good && !error && !mode.strict;
        printf("  %-10s ", error ? "error" : "warning");
        if (finding->place.line > 0)
            printf("line %u, column %u: ", finding->place.line, finding->place.column);
        printf("%s\n", finding->text);
    }
    if (contract_findings_are_cut(contract))
        printf("  %-10s only the first %zu findings are shown\n", "cut", contract_findings(contract));
    return good && contract_errors(contract) == 0;
}

static void print_error(void *context, const char *text)
{
    (void)context;
    printf("  %-10s %s\n", "error", text);
}

static bool check_plugin(const char *path, struct mode mode, const struct settings *settings)
{
    struct plugin *plugin = NULL;
    struct fault fault;
    if (!plugin_inspect(path, &plugin, &fault)) {
        printf("  %-10s %s\n", "error", fault.text);
        return false;
    }
    if (!mode.for_mov)
        printf("  %-10s %u.%u\n", "ABI", plugin->entry.abi_major, plugin->entry.abi_minor);
    bool good = print_contract(plugin->contract, plugin->entry.version, mode);
    if (contract_errors(plugin->contract) == 0 && !plugin_judge(plugin, &fault)) {
        plugin_judge_topics(plugin, print_error, NULL);
        good = false;
    }
    bool mentioned = settings != NULL && settings_section(settings, path) != NULL;
    if (good && mentioned && !plugin_configure(plugin, settings, &fault)) {
        printf("  %-10s %s\n", "error", fault.text);
        good = false;
    }
    const char *version = contract_version(plugin->contract);
    if (version != NULL && strcmp(version, plugin->entry.version) != 0) {
        printf("  %-10s the plugin is version %s, its AsyncAPI document says %s\n", "warning", plugin->entry.version,
               version);
        good = good && !mode.strict;
    }
    plugin_free(plugin);
    return good;
}

static bool check_document(const char *path, struct mode mode)
{
    struct text text = {0};
    struct fault fault;
    bool good = false;
    if (file_read_text(path, DOCUMENT_TEXT_MAX, &text, &fault)) {
        struct contract *contract = contract_read(text.at, text.len);
        good = print_contract(contract, contract_version(contract), mode);
        contract_free(contract);
    } else {
        printf("  %-10s %s\n", "error", fault.text);
    }
    text_free(&text);
    return good;
}

static bool is_plugin(const char *path)
{
    char magic[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool elf = fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "\177ELF", 4) == 0;
    if (fd >= 0)
        close(fd);
    size_t len = strlen(path);
    return elf || (len > 3 && strcmp(path + len - 3, ".so") == 0);
}

int verb_check(int argc, char **argv)
{
    enum { STRICT = 256, FOR_MOV };
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"strict", no_argument, NULL, STRICT},
                                            {"for-mov", no_argument, NULL, FOR_MOV},
                                            {0}};
    struct mode mode = {0};
    bool all_good = true;
    const char *config = NULL;
    struct settings *settings = NULL;
    struct fault fault;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:", options, NULL)) != -1;) {
        if (option == 'c')
            config = optarg;
        else if (option == STRICT)
            mode.strict = true;
        else if (option == FOR_MOV)
            mode.for_mov = true;
        else
            return usage_option("check", option, options, argv);
    }
    if (optind == argc)
        return usage("check: expects a plugin or an AsyncAPI document", NULL);
    if (config == NULL && access("plugins.conf", F_OK) == 0)
        config = "plugins.conf";
    if (config != NULL && !settings_read(config, &settings, &fault)) {
        printf("%s\n", fault.text);
        all_good = false;
    }
    for (int i = optind; i < argc; i++) {
        if (!mode.for_mov)
            printf("%s\n", argv[i]);
        bool good = is_plugin(argv[i]) ? check_plugin(argv[i], mode, settings) : check_document(argv[i], mode);
        if (!mode.for_mov)
            printf("  %s\n", good ? "good" : "not good");
        all_good = all_good && good;
    }
    settings_free(settings);
    return finish(all_good);
}
