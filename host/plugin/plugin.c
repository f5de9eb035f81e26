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
    plugin_section_free(plugin->section);
    worker_free(plugin->worker);
    contract_free(plugin->contract);
    free(plugin->path);
    free(plugin);
}

bool plugin_configure(struct plugin *plugin, const struct settings *settings, struct fault *fault)
{
    plugin->section = plugin_section_copy(settings_section(settings, plugin->path));
    if (plugin->section != NULL && plugin->section->threads > 1 && !(plugin->entry.flags & VALAWAI_THREAD_SAFE))
        return fault_set(fault, "plugins.conf gives it %ld threads, but the plugin does not set VALAWAI_THREAD_SAFE",
                         plugin->section->threads);
    return options_read(plugin->contract, plugin->file, plugin->section, &plugin->options, fault);
}
