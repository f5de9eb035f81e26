/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/inventory.h"

#include <dirent.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "plugin/limits.h"

static int is_shared_object(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 3, ".so") == 0;
}

static void log_excluded(const struct settings *settings, const struct plugins *plugins, struct log *log)
{
    struct dirent **entries = NULL;
    int count = scandir(settings->plugin_directory, &entries, is_shared_object, alphasort);
    for (int i = 0; i < count; i++) {
        char *path = memory_format("%s/%s", settings->plugin_directory, entries[i]->d_name);
        const struct plugin_section *section = settings_section(settings, path);
        if (!plugins_have(plugins, path)) {
            if (section != NULL)
                log_info(log, "host", "did not load %s: the section `plugin %s` of plugins.conf disables it", path,
                         section->name);
            else
                log_info(log, "host", "did not load %s: plugins.conf enables other plugins, and has no section for it",
                         path);
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
}

static void put_topics(struct text *out, const struct plugin *plugin, enum contract_direction direction,
                       const char *verb)
{
    const char *before = verb;
    for (size_t i = 0; i < contract_topics(plugin->contract); i++) {
        const struct contract_topic *topic = contract_topic(plugin->contract, i);
        if (!topic_has(topic, direction) || strcmp(topic_name(topic), plugin->registered) == 0)
            continue;
        text_printf(out, "%s %s", before, topic_name(topic));
        before = ",";
    }
}

/* Only the names, because a value may be a secret. */
static void put_options(struct text *out, const struct plugin *plugin)
{
    const char *before = "; options";
    if (plugin->options == NULL)
        return;
    json_object_object_foreach(options_json(plugin->options), key, value)
    {
        (void)value;
        text_printf(out, "%s %s", before, key);
        before = ",";
    }
}

static void put_limits(struct text *out, const struct limits *limits, const char *before)
{
    const struct {
        const char *name;
        long value;
    } all[] = {{"memory_max", limits->memory_max},
               {"cpu_max", limits->cpu_max},
               {"files_max", limits->files_max},
               {"processes_max", limits->processes_max}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].value == 0)
            continue;
        text_printf(out, "%s%s %ld", before, all[i].name, all[i].value);
        before = ", ";
    }
}

static void warn_of_limits(const struct plugin *plugin, const struct limits *limits, struct log *log)
{
    struct text out = {0};
    put_limits(&out, limits, "");
    if (out.len > 0 && plugin->worker == NULL)
        log_warning(
            log, plugin->name,
            "%s: runs in a thread of the host, where its limits (%s) do not hold; they need isolation = process",
            plugin->file, out.at);
    text_free(&out);
}

static void log_loaded(const struct settings *settings, const struct plugin *plugin, struct log *log)
{
    struct text out = {0};
    struct limits limits = limits_of(settings, plugin->section);
    long threads = plugin->section == NULL ? 1 : plugin->section->threads;
    text_printf(&out, "loaded %s: component %s, version %s", plugin->path, plugin->name, plugin->entry.version);
    put_topics(&out, plugin, CONTRACT_SUBSCRIBE, "; receives");
    put_topics(&out, plugin, CONTRACT_PUBLISH, "; publishes");
    text_printf(&out, "; isolation %s, threads %ld", plugin->worker == NULL ? "thread" : "process", threads);
    if (plugin->worker != NULL)
        put_limits(&out, &limits, ", ");
    put_options(&out, plugin);
    log_info(log, "host", "%s", out.at);
    text_free(&out);
    warn_of_limits(plugin, &limits, log);
}

void inventory_log(const struct settings *settings, const struct plugins *plugins, bool named, struct log *log)
{
    for (size_t i = 0; i < plugins->count; i++)
        log_loaded(settings, plugins->at[i], log);
    for (size_t i = 0; i < plugins->refused_count; i++)
        log_error(log, "host", "cannot run a plugin, and is not healthy without it: %s", plugins->refused[i].why.text);
    if (!named && log_wants(log, LOG_INFO))
        log_excluded(settings, plugins, log);
}
