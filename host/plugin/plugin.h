/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plugin: finds, checks and opens plugins. What was opened is never unmapped: threads and destructors that a plugin
 * left behind still find their code. */
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
    struct valawai_plugin entry; /* as much of it as the plugin has; the rest is zero */
    size_t topic_count;
    struct contract *contract;
    const char *name, *type, *registered; /* of the contract: c1_echo, C1, the topic of the MOV's answer */
    const char *for_mov;                  /* of the contract: the document that the MOV receives */
    const struct plugin_section *section; /* NULL: plugins.conf does not mention it */
    struct options *options;              /* with the section */
};

/* Checks and opens one plugin. Runs none of its functions. */
bool plugin_open(const char *path, struct plugin **plugin, struct fault *fault) __attribute__((warn_unused_result));
void plugin_free(struct plugin *plugin);

/* The two halves of plugin_open(): what can be read of it at all, and whether document and topics are good. */
bool plugin_inspect(const char *path, struct plugin **plugin, struct fault *fault) __attribute__((warn_unused_result));
bool plugin_judge(struct plugin *plugin, struct fault *fault) __attribute__((warn_unused_result));

/* Reports each fault of the topics, where plugin_judge() names the first. */
typedef void plugin_report(void *context, const char *text);
bool plugin_judge_topics(struct plugin *plugin, plugin_report *report, void *context);

/* Gives it its section of plugins.conf, and reads its options from there and the environment. */
bool plugin_configure(struct plugin *plugin, const struct settings *settings, struct fault *fault)
    __attribute__((warn_unused_result));

struct plugins {
    struct plugin **at;
    size_t count;
};

/* Opens those that paths name, or else those that plugins.conf enables, or else every .so of the plugin directory that
 * it does not disable. No two may be one component or handle one topic. */
bool plugins_open(const struct settings *settings, char *const *paths, size_t path_count, struct plugins *plugins,
                  struct fault *fault) __attribute__((warn_unused_result));
void plugins_free(struct plugins *plugins);

#endif
