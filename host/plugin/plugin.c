/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/plugin.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "plugin/load.h"
#include "plugin/worker.h"

/* The shortest descriptor has the members up to the table of topics. Later members may be NULL. */
#define SIZE_MIN (offsetof(struct valawai_plugin, topics) + sizeof(void *))

/* json-c and jansson define the same names, so with both in one process a plugin would call the wrong one. */
static bool check_json_library(void *handle, struct fault *fault)
{
    void *theirs = dlsym(handle, "json_object_get");
    Dl_info info;
    if (theirs == NULL || theirs == (void *)(uintptr_t)json_object_get)
        return true;
    return fault_set(fault, "links %s, which defines json_object_get as json-c does; use json-c",
                     dladdr(theirs, &info) != 0 ? info.dli_fname : "a library");
}

static bool is_version(const char *version)
{
    for (int part = 0; part < 3; part++) {
        if (!isdigit((unsigned char)*version))
            return false;
        while (isdigit((unsigned char)*version))
            version++;
        if (*version++ != (part < 2 ? '.' : '\0'))
            return false;
    }
    return true;
}

static bool take_entry(struct plugin *plugin, const struct valawai_plugin *entry, struct fault *fault)
{
    if (entry->magic != VALAWAI_PLUGIN_MAGIC)
        return fault_set(fault, VALAWAI_PLUGIN_SYMBOL " has the magic number %08x, not %08x", entry->magic,
                         VALAWAI_PLUGIN_MAGIC);
    if (entry->abi_major != VALAWAI_ABI_MAJOR)
        return fault_set(fault, "ABI major %u, this host speaks %u", entry->abi_major, VALAWAI_ABI_MAJOR);
    if (entry->size < SIZE_MIN)
        return fault_set(fault, "its descriptor has %u bytes, expected at least %zu", entry->size, SIZE_MIN);
    memcpy(&plugin->entry, entry, entry->size < sizeof plugin->entry ? entry->size : sizeof plugin->entry);
    if (plugin->entry.needs_minor > VALAWAI_ABI_MINOR)
        return fault_set(fault, "needs ABI %u.%u, this host speaks %u.%u", entry->abi_major, plugin->entry.needs_minor,
                         VALAWAI_ABI_MAJOR, VALAWAI_ABI_MINOR);
    return true;
}

/* Reports the first error of the document; `valawai-host check` shows all. */
static bool check_contract(struct plugin *plugin, struct fault *fault)
{
    const struct contract *contract = plugin->contract;
    for (size_t i = 0; i < contract_findings(contract); i++) {
        const struct finding *finding = contract_finding(contract, i);
        if (finding->kind != FINDING_ERROR)
            continue;
        if (finding->place.line == 0)
            return fault_set(fault, "AsyncAPI document: %s", finding->text);
        return fault_set(fault, "AsyncAPI document, line %u, column %u: %s", finding->place.line, finding->place.column,
                         finding->text);
    }
    plugin->name = contract_name(contract);
    plugin->type = contract_type(contract);
    plugin->registered = contract_registered(contract);
    plugin->for_mov = contract_for_mov(contract);
    return true;
}

static bool has_handler(const struct plugin *plugin, const char *name)
{
    for (size_t i = 0; i < plugin->topic_count; i++)
        if (strcmp(plugin->entry.topics[i].name, name) == 0)
            return true;
    return false;
}

static void report_topic(plugin_report *report, void *context, const char *topic, const char *what)
{
    struct fault fault;
    fault_set(&fault, "topic %s %s", topic, what);
    report(context, fault.text);
}

bool plugin_judge_topics(struct plugin *plugin, plugin_report *report, void *context)
{
    size_t faults = 0;
    plugin->topic_count = 0;
    for (const struct valawai_topic *topic = plugin->entry.topics; topic != NULL && topic->name != NULL; topic++) {
        const struct contract_topic *declared = contract_find(plugin->contract, topic->name);
        const char *what = NULL;
        if (topic->handle == NULL)
            what = "has no handler";
        else if (strcmp(topic->name, plugin->registered) == 0)
            what = "is handled by the host";
        else if (declared == NULL || !topic_has(declared, CONTRACT_SUBSCRIBE))
            what = "is not a `subscribe` channel of its AsyncAPI document";
        else if (has_handler(plugin, topic->name))
            what = "occurs twice in its table";
        if (what != NULL)
            report_topic(report, context, topic->name, what);
        faults += what != NULL;
        plugin->topic_count++;
    }
    for (size_t i = 0; i < contract_topics(plugin->contract); i++) {
        const struct contract_topic *declared = contract_topic(plugin->contract, i);
        const char *name = topic_name(declared);
        bool wanted = topic_has(declared, CONTRACT_SUBSCRIBE) && strcmp(name, plugin->registered) != 0;
        if (!wanted || has_handler(plugin, name))
            continue;
        report_topic(report, context, name, "is a `subscribe` channel of its AsyncAPI document and has no handler");
        faults++;
    }
    return faults == 0;
}

static void keep_first(void *context, const char *text)
{
    struct fault *fault = context;
    if (fault->text[0] == '\0')
        fault_set(fault, "%s", text);
}

static bool inspect(const char *path, void *(*load)(int fd, const char *path, struct fault *fault),
                    struct plugin **result, struct fault *fault)
{
    bool opened = false;
    int fd = -1;
    void *handle = NULL;
    struct plugin *plugin = memory_new(sizeof *plugin);

    plugin->path = realpath(path, NULL); /* dlopen would search the library path for a bare name */
    if (plugin->path == NULL) {
        fault_set(fault, "%s", strerror(errno));
        goto out;
    }
    plugin->file = strrchr(plugin->path, '/') + 1;
    if (!load_check(plugin->path, &fd, fault))
        goto out;
    handle = load(fd, plugin->path, fault);
    if (handle == NULL)
        goto out;
    const struct valawai_plugin *entry = dlsym(handle, VALAWAI_PLUGIN_SYMBOL);
    if (entry == NULL) {
        fault_set(fault, "exports no " VALAWAI_PLUGIN_SYMBOL "; it is not a plugin of this host");
        goto out;
    }
    if (!take_entry(plugin, entry, fault) || !check_json_library(handle, fault))
        goto out;
    if (plugin->entry.version == NULL || !is_version(plugin->entry.version)) {
        fault_set(fault, "version \"%s\" is not x.y.z", plugin->entry.version == NULL ? "" : plugin->entry.version);
        goto out;
    }
    if (plugin->entry.asyncapi == NULL || plugin->entry.asyncapi[0] == '\0') {
        fault_set(fault, "contains no AsyncAPI document");
        goto out;
    }
    plugin->contract = contract_read(plugin->entry.asyncapi, strlen(plugin->entry.asyncapi));
    opened = true;
out:
    if (fd >= 0)
        close(fd);
    if (handle != NULL)
        dlclose(handle); /* unmaps nothing: RTLD_NODELETE */
    if (opened)
        *result = plugin;
    else
        plugin_free(plugin);
    return opened || fault_prefix(fault, "%s", path);
}

bool plugin_inspect(const char *path, struct plugin **plugin, struct fault *fault)
{
    return inspect(path, load_open, plugin, fault);
}

bool plugin_inspect_untried(const char *path, struct plugin **plugin, struct fault *fault)
{
    return inspect(path, load_open_untried, plugin, fault);
}

bool plugin_judge(struct plugin *plugin, struct fault *fault)
{
    if (!check_contract(plugin, fault))
        return false;
    fault->text[0] = '\0';
    return plugin_judge_topics(plugin, keep_first, fault);
}

bool plugin_open(const char *path, struct plugin **result, struct fault *fault)
{
    struct plugin *plugin = NULL;
    if (!plugin_inspect(path, &plugin, fault))
        return false;
    if (!plugin_judge(plugin, fault)) {
        plugin_free(plugin);
        return fault_prefix(fault, "%s", path);
    }
    *result = plugin;
    return true;
}

void plugin_free(struct plugin *plugin)
{
    if (plugin == NULL)
        return;
    options_free(plugin->options);
    worker_free(plugin->worker);
    contract_free(plugin->contract);
    free(plugin->path);
    free(plugin);
}

bool plugin_configure(struct plugin *plugin, const struct settings *settings, struct fault *fault)
{
    plugin->section = settings_section(settings, plugin->path);
    if (plugin->section != NULL && plugin->section->threads > 1 && !(plugin->entry.flags & VALAWAI_THREAD_SAFE))
        return fault_set(fault, "plugins.conf gives it %ld threads, but the plugin does not set VALAWAI_THREAD_SAFE",
                         plugin->section->threads);
    return options_read(plugin->contract, plugin->file, plugin->section, &plugin->options, fault);
}

static bool is_loaded(const struct plugins *plugins, const char *path)
{
    char *real = realpath(path, NULL);
    bool loaded = false;
    for (size_t i = 0; real != NULL && i < plugins->count; i++)
        loaded = loaded || strcmp(plugins->at[i]->path, real) == 0;
    free(real);
    return loaded;
}

static bool check_against(const struct plugins *plugins, const struct plugin *plugin, const char *path,
                          struct fault *fault)
{
    for (size_t i = 0; i < plugins->count; i++) {
        const struct plugin *other = plugins->at[i];
        if (strcmp(other->name, plugin->name) == 0)
            return fault_set(fault, "%s: is component %s, which %s is already", path, plugin->name, other->path);
        for (size_t t = 0; t < plugin->topic_count; t++)
            for (size_t o = 0; o < other->topic_count; o++)
                if (strcmp(plugin->entry.topics[t].name, other->entry.topics[o].name) == 0)
                    return fault_set(fault, "%s: handles topic %s, which %s handles already", path,
                                     plugin->entry.topics[t].name, other->path);
    }
    return true;
}

/* Whether it gets a process of its own. */
static bool is_in_worker(const struct settings *settings, const struct plugins *plugins, const char *path)
{
    char *real = realpath(path, NULL);
    const struct plugin_section *section = real == NULL ? NULL : settings_section(settings, real);
    free(real);
    if (plugins->in_workers != NULL)
        return *plugins->in_workers;
    if (section != NULL && section->isolation != ISOLATION_HOST)
        return section->isolation == ISOLATION_PROCESS;
    return settings->host.isolation == ISOLATION_PROCESS;
}

static bool open_in_worker(const struct plugins *plugins, const char *path, struct plugin **plugin, struct fault *fault)
{
    if (plugins->zygote == NULL)
        return fault_set(fault, "%s: there is no zygote to make a process for it", path);
    if (!worker_open(plugins->zygote, path, false, plugin, fault))
        return false;
    if (plugin_judge(*plugin, fault))
        return true;
    plugin_free(*plugin);
    *plugin = NULL;
    return fault_prefix(fault, "%s", path);
}

static void refuse(struct plugins *plugins, const struct fault *why)
{
    plugins->refused = memory_resize(plugins->refused, (plugins->refused_count + 1) * sizeof *plugins->refused);
    plugins->refused[plugins->refused_count++] = *why;
}

static bool open_for(const struct settings *settings, const struct plugins *plugins, const char *path, bool in_worker,
                     struct plugin **result, struct fault *fault)
{
    struct plugin *plugin = NULL;
    bool good = in_worker ? open_in_worker(plugins, path, &plugin, fault) : plugin_open(path, &plugin, fault);
    if (!good || plugin == NULL || !check_against(plugins, plugin, path, fault))
        goto out;
    if (!plugin_configure(plugin, settings, fault)) {
        fault_prefix(fault, "%s", path);
        goto out;
    }
    *result = plugin;
    return true;
out:
    if (good)
        plugin_free(plugin);
    return false;
}

/* One that the command line names has to run. One in a process of its own keeps no other from running. */
static bool add(const struct settings *settings, struct plugins *plugins, const char *path, bool named,
                struct fault *fault)
{
    struct plugin *plugin = NULL;
    bool in_worker = is_in_worker(settings, plugins, path);
    if (is_loaded(plugins, path))
        return fault_set(fault, "%s: is named twice", path);
    if (!open_for(settings, plugins, path, in_worker, &plugin, fault)) {
        if (!in_worker || named)
            return false;
        refuse(plugins, fault);
        return true;
    }
    if (in_worker && named)
        worker_require(plugin->worker);
    plugins->at = memory_resize(plugins->at, (plugins->count + 1) * sizeof(struct plugin *));
    plugins->at[plugins->count++] = plugin;
    return true;
}

bool plugins_open_command(const struct settings *settings, const char *command, struct plugins *plugins,
                          struct fault *fault)
{
    struct plugin *plugin = NULL;
    if (!worker_open(plugins->zygote, command, true, &plugin, fault))
        return false;
    if (!plugin_judge(plugin, fault) || !plugin_configure(plugin, settings, fault)) {
        plugin_free(plugin);
        fault_prefix(fault, "%s", command);
        return false;
    }
    worker_require(plugin->worker);
    plugins->at = memory_new(sizeof(struct plugin *));
    plugins->at[plugins->count++] = plugin;
    return true;
}

static int is_shared_object(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 3, ".so") == 0;
}

static bool add_directory(const struct settings *settings, struct plugins *plugins, struct fault *fault)
{
    const char *directory = settings->plugin_directory;
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, is_shared_object, alphasort);
    if (count < 0)
        return fault_set(fault, "plugin directory %s: %s; name a plugin on the command line or in plugins.conf",
                         directory, strerror(errno));
    bool added = true;
    for (int i = 0; i < count; i++) {
        char *path = memory_format("%s/%s", directory, entries[i]->d_name);
        const struct plugin_section *section = settings_section(settings, path);
        if (added && (section == NULL || section->enabled))
            added = add(settings, plugins, path, false, fault);
        free(path);
        free(entries[i]);
    }
    free(entries);
    if (added && plugins->count == 0 && plugins->refused_count == 0)
        return fault_set(fault, "plugin directory %s: no plugin (*.so) to load", directory);
    return added;
}

/* A variable with the prefix of a plugin's options that sets none of them is a mistake. */
static bool check_environment(const struct plugins *plugins, struct fault *fault)
{
    bool good = true;
    for (char **variable = environ; good && *variable != NULL; variable++) {
        if (strncmp(*variable, OPTION_VARIABLE, strlen(OPTION_VARIABLE)) != 0)
            continue;
        char *name = memory_format("%.*s", (int)strcspn(*variable, "="), *variable), *suggestion = NULL;
        bool claimed = false;
        for (size_t i = 0; i < plugins->count; i++)
            claimed = claimed || options_claim(plugins->at[i]->contract, plugins->at[i]->file, name);
        for (size_t i = 0; !claimed && suggestion == NULL && i < plugins->count; i++)
            suggestion = options_suggest(plugins->at[i]->contract, plugins->at[i]->file, name);
        good = suggestion == NULL ||
               fault_set(fault, "%s: no plugin has such an option%s%s%s", name,
                         suggestion[0] != '\0' ? "; did you mean " : "", suggestion, suggestion[0] != '\0' ? "?" : "");
        free(suggestion);
        free(name);
    }
    return good;
}

bool plugins_open(const struct settings *settings, char *const *paths, size_t path_count, struct plugins *plugins,
                  struct fault *fault)
{
    bool added = true, any = path_count > 0;
    for (size_t i = 0; added && i < path_count; i++)
        added = add(settings, plugins, paths[i], true, fault);
    for (size_t i = 0; added && path_count == 0 && i < settings->section_count; i++) {
        if (settings->sections[i].enabled) {
            any = true;
            added = add(settings, plugins, settings->sections[i].path, false, fault);
        }
    }
    if (added && !any)
        added = add_directory(settings, plugins, fault);
    added = added && check_environment(plugins, fault);
    if (!added)
        plugins_free(plugins);
    return added;
}

void plugins_free(struct plugins *plugins)
{
    for (size_t i = 0; i < plugins->count; i++)
        plugin_free(plugins->at[i]);
    free(plugins->at);
    free(plugins->refused);
    *plugins = (struct plugins){.zygote = plugins->zygote, .in_workers = plugins->in_workers};
}
