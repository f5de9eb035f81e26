/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/plugin.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "plugin/worker.h"

bool plugins_have(const struct plugins *plugins, const char *path)
{
    char *real = realpath(path, NULL);
    bool loaded = false;
    for (size_t i = 0; real != NULL && i < plugins->count; i++)
        loaded = loaded || strcmp(plugins->at[i]->path, real) == 0;
    free(real);
    return loaded;
}

bool plugins_agree(const struct plugin *plugin, const struct plugin *other, struct fault *fault)
{
    if (strcmp(other->name, plugin->name) == 0)
        return fault_set(fault, "%s: is component %s, which %s is already", plugin->path, plugin->name, other->path);
    for (size_t t = 0; t < plugin->topic_count; t++)
        for (size_t o = 0; o < other->topic_count; o++)
            if (strcmp(plugin->entry.topics[t].name, other->entry.topics[o].name) == 0)
                return fault_set(fault, "%s: handles topic %s, which %s handles already", plugin->path,
                                 plugin->entry.topics[t].name, other->path);
    return true;
}

static bool agree_all(const struct plugins *plugins, const struct plugin *plugin, struct fault *fault)
{
    for (size_t i = 0; i < plugins->count; i++)
        if (!plugins_agree(plugin, plugins->at[i], fault))
            return false;
    return true;
}

static const struct plugin_section *section_of(const struct settings *settings, const char *path)
{
    char *real = realpath(path, NULL);
    const struct plugin_section *section = real == NULL ? NULL : settings_section(settings, real);
    free(real);
    return section;
}

bool plugins_isolate(const struct settings *settings, const struct plugins *plugins, const char *path)
{
    const struct plugin_section *section = section_of(settings, path);
    if (plugins->in_workers != NULL)
        return *plugins->in_workers;
    if (section != NULL && section->isolation != ISOLATION_HOST)
        return section->isolation == ISOLATION_PROCESS;
    return settings->host.isolation == ISOLATION_PROCESS;
}

static bool open_in_worker(const struct settings *settings, const struct plugins *plugins, const char *path,
                           struct plugin **plugin, struct fault *fault)
{
    struct limits limits = limits_of(settings, section_of(settings, path));
    if (plugins->zygote == NULL)
        return fault_set(fault, "%s: there is no zygote to make a process for it", path);
    if (!worker_open(plugins->zygote, path, false, &limits, plugin, fault))
        return false;
    if (plugin_judge(*plugin, fault))
        return true;
    plugin_free(*plugin);
    *plugin = NULL;
    return fault_prefix(fault, "%s", path);
}

static void refuse(struct plugins *plugins, const char *path, const struct fault *why)
{
    plugins->refused = memory_resize(plugins->refused, (plugins->refused_count + 1) * sizeof *plugins->refused);
    plugins->refused[plugins->refused_count++] = (struct refused){.path = path_absolute(path), .why = *why};
}

bool plugins_open_one(const struct settings *settings, const struct plugins *plugins, const char *path,
                      struct plugin **plugin, struct fault *fault)
{
    bool good = plugins_isolate(settings, plugins, path) ? open_in_worker(settings, plugins, path, plugin, fault)
                                                         : plugin_open(path, plugin, fault);
    if (!good || plugin_configure(*plugin, settings, fault))
        return good;
    plugin_free(*plugin);
    *plugin = NULL;
    return fault_prefix(fault, "%s", path);
}

/* One that the command line names has to run. One in a process of its own keeps no other from running. */
static bool add(const struct settings *settings, struct plugins *plugins, const char *path, bool named,
                struct fault *fault)
{
    struct plugin *plugin = NULL;
    bool in_worker = plugins_isolate(settings, plugins, path);
    if (plugins_have(plugins, path))
        return fault_set(fault, "%s: is named twice", path);
    if (plugins_open_one(settings, plugins, path, &plugin, fault) && !agree_all(plugins, plugin, fault)) {
        plugin_free(plugin);
        plugin = NULL;
    }
    if (plugin == NULL) {
        if (!in_worker || named)
            return false;
        refuse(plugins, path, fault);
        return true;
    }
    if (in_worker && named)
        worker_require(plugin->worker);
    plugins_put(plugins, plugin);
    return true;
}

bool plugins_open_command(const struct settings *settings, const char *command, struct plugins *plugins,
                          struct fault *fault)
{
    struct plugin *plugin = NULL;
    struct limits limits = limits_of(settings, NULL);
    if (!worker_open(plugins->zygote, command, true, &limits, &plugin, fault))
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

static void found_put(struct found *found, const char *path)
{
    found->paths = memory_resize(found->paths, (found->count + 1) * sizeof *found->paths);
    found->paths[found->count++] = memory_text(path);
}

static bool find_in_directory(const struct settings *settings, struct found *found, struct fault *fault)
{
    const char *directory = settings->plugin_directory;
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, is_shared_object, alphasort);
    if (count < 0)
        return fault_set(fault, "plugin directory %s: %s; name a plugin on the command line or in plugins.conf",
                         directory, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = memory_format("%s/%s", directory, entries[i]->d_name);
        const struct plugin_section *section = settings_section(settings, path);
        if (section == NULL || section->enabled)
            found_put(found, path);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return true;
}

bool plugins_find(const struct settings *settings, char *const *paths, size_t path_count, struct found *found,
                  struct fault *fault)
{
    for (size_t i = 0; i < path_count; i++)
        found_put(found, paths[i]);
    for (size_t i = 0; path_count == 0 && i < settings->section_count; i++)
        if (settings->sections[i].enabled)
            found_put(found, settings->sections[i].path);
    found->in_directory = found->count == 0;
    return !found->in_directory || find_in_directory(settings, found, fault);
}

void found_free(struct found *found)
{
    for (size_t i = 0; i < found->count; i++)
        free(found->paths[i]);
    free(found->paths);
    *found = (struct found){0};
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
    struct found found = {0};
    bool added = plugins_find(settings, paths, path_count, &found, fault);
    if (added && found.count == 0)
        added = fault_set(fault, "plugin directory %s: no plugin (*.so) to load", settings->plugin_directory);
    for (size_t i = 0; added && i < found.count; i++)
        added = add(settings, plugins, found.paths[i], path_count > 0, fault);
    added = added && check_environment(plugins, fault);
    if (!added)
        plugins_free(plugins);
    found_free(&found);
    return added;
}

void plugins_put(struct plugins *plugins, struct plugin *plugin)
{
    plugins->at = memory_resize(plugins->at, (plugins->count + 1) * sizeof(struct plugin *));
    plugins->at[plugins->count++] = plugin;
}

void plugins_drop(struct plugins *plugins, struct plugin *plugin)
{
    for (size_t i = 0; i < plugins->count; i++) {
        if (plugins->at[i] != plugin)
            continue;
        plugins->at[i] = plugins->at[--plugins->count];
        plugin_free(plugin);
        return;
    }
}

void plugins_free(struct plugins *plugins)
{
    for (size_t i = 0; i < plugins->count; i++)
        plugin_free(plugins->at[i]);
    for (size_t i = 0; i < plugins->refused_count; i++)
        free(plugins->refused[i].path);
    free(plugins->at);
    free(plugins->refused);
    *plugins = (struct plugins){.zygote = plugins->zygote, .in_workers = plugins->in_workers};
}
