/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/inventory.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static bool is_loaded(const struct plugins *plugins, const char *path)
{
    char *real = realpath(path, NULL);
    bool loaded = false;
    for (size_t i = 0; real != NULL && i < plugins->count; i++)
        loaded = loaded || strcmp(plugins->at[i]->path, real) == 0;
    free(real);
    return loaded;
}

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
        if (!is_loaded(plugins, path)) {
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

void inventory_log(const struct settings *settings, const struct plugins *plugins, bool named, struct log *log)
{
    for (size_t i = 0; i < plugins->count; i++) {
        const struct plugin *plugin = plugins->at[i];
        log_info(log, "host", "loaded %s: component %s, version %s", plugin->path, plugin->name, plugin->entry.version);
    }
    if (!named && log_wants(log, LOG_INFO))
        log_excluded(settings, plugins, log);
}
