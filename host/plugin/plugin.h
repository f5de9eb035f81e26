/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plugin: finds, checks and opens plugins. A plugin is never unmapped, because threads and destructors that it left
 * behind still need the code. */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <valawai/plugin.h>

#include "base/fault.h"
#include "contract/contract.h"
#include "plugin/options.h"
#include "settings/settings.h"

struct plugin {
    char *path;
    const char *file;            /* the last part of path */
    struct valawai_plugin entry; /* the members that the plugin has; the others are zero */
    size_t topic_count;
    struct contract *contract;
    const char *name, *type, *registered; /* of the contract: c1_echo, C1, the topic of the MOV's answer */
    const char *for_mov;                  /* of the contract: the document that the MOV receives */
    struct plugin_section *section;       /* NULL: plugins.conf does not mention it */
    struct options *options;              /* read with the section */
    struct worker *worker;                /* NULL: it lives in this process */
};

/* Checks and opens one plugin. Runs none of its functions. */
bool plugin_open(const char *path, struct plugin **plugin, struct fault *fault) __attribute__((warn_unused_result));
void plugin_free(struct plugin *plugin);

/* The two halves of plugin_open(): reads the descriptor, and checks document and topics. */
bool plugin_inspect(const char *path, struct plugin **plugin, struct fault *fault) __attribute__((warn_unused_result));
/* The same in a worker, which may end by it. */
bool plugin_inspect_untried(const char *path, struct plugin **plugin, struct fault *fault)
    __attribute__((warn_unused_result));
bool plugin_judge(struct plugin *plugin, struct fault *fault) __attribute__((warn_unused_result));

/* Receives each fault of the topics; plugin_judge() returns only the first. */
typedef void plugin_report(void *context, const char *text);
bool plugin_judge_topics(struct plugin *plugin, plugin_report *report, void *context);

/* Assigns the section of plugins.conf, and reads the options from it and from the environment. */
bool plugin_configure(struct plugin *plugin, const struct settings *settings, struct fault *fault)
    __attribute__((warn_unused_result));

struct zygote;

/* A plugin that cannot run, and why. */
struct refused {
    char *path;
    struct fault why;
};

struct plugins {
    struct plugin **at;
    size_t count;
    struct zygote *zygote;   /* where workers come from; NULL: there are none */
    const bool *in_workers;  /* what the command line says of all plugins; NULL: nothing */
    struct refused *refused; /* in workers: the others go on without them */
    size_t refused_count;
};

/* The files of the plugins: those of paths; if there are none, those that plugins.conf enables; if it enables none,
 * every .so of the plugin directory that it does not disable. */
struct found {
    char **paths;
    size_t count;
    bool in_directory;
};
bool plugins_find(const struct settings *settings, char *const *paths, size_t path_count, struct found *found,
                  struct fault *fault) __attribute__((warn_unused_result));
void found_free(struct found *found);

/* Opens the plugins that plugins_find() finds. Two plugins may not have the same component or handle the same topic.
 * plugins has its zygote, and what the command line says. */
bool plugins_open(const struct settings *settings, char *const *paths, size_t path_count, struct plugins *plugins,
                  struct fault *fault) __attribute__((warn_unused_result));
/* The same for one worker that is a command of the shell. */
bool plugins_open_command(const struct settings *settings, const char *command, struct plugins *plugins,
                          struct fault *fault) __attribute__((warn_unused_result));
void plugins_free(struct plugins *plugins);

/* Adds one that is open already; frees one. */
void plugins_put(struct plugins *plugins, struct plugin *plugin);
void plugins_drop(struct plugins *plugins, struct plugin *plugin);

/* True if the file is one of the plugins. */
bool plugins_have(const struct plugins *plugins, const char *path);

/* --- the parts of plugins_open() --- */

/* True if the plugin at the path gets a process of its own. */
bool plugins_isolate(const struct settings *settings, const struct plugins *plugins, const char *path);
/* Opens one plugin with its options, whatever the others are. */
bool plugins_open_one(const struct settings *settings, const struct plugins *plugins, const char *path,
                      struct plugin **plugin, struct fault *fault) __attribute__((warn_unused_result));
/* False: the two cannot run in one host. */
bool plugins_agree(const struct plugin *plugin, const struct plugin *other, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
