/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * limits: what a plugin in a process of its own may use. The kernel refuses descriptors beyond files_max. The rest is
 * measured: the zygote looks at its workers several times a second, and ends one that has more. Control groups would
 * need a part of the hierarchy that a container rarely has, and rlimits count something else: addresses instead of
 * memory, the processes of a user instead of those of a worker, and those of root not at all. */
#ifndef PLUGIN_LIMITS_H
#define PLUGIN_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"
#include "settings/settings.h"

#define LIMITS_LOOK_MS 100  /* between two looks at what workers use */
#define LIMITS_FORKS_MS 5   /* between two counts of processes, which can double within a millisecond */
#define LIMITS_CPU_MS 10000 /* the share of CPU time counts in a time of this length */

/* Those of the section, and of host { } where it has none. section: NULL if plugins.conf has none of the plugin. */
struct limits limits_of(const struct settings *settings, const struct plugin_section *section);

/* Milliseconds after which something has to be looked at; 0: nothing has. */
int limits_pause(const struct limits *limits);

/* In the process that is limited, before it runs any code of the plugin. */
void limits_hold(const struct limits *limits);

/* What a worker uses: the first process of its group, and those that it has made. */
struct usage {
    pid_t group;
    uint64_t bytes;  /* that the largest process has in memory */
    uint64_t cpu_ms; /* of all processes, those that have ended included */
    unsigned processes;
    long processes_max; /* that it may have; 0: any number */
    unsigned files;     /* descriptors of the first one */
    bool counts_files;  /* they are asked for */
};

/* A look at all groups costs a list of all processes, and two files for each that belongs to a group. Without new
 * processes since the last look the list is not needed. */
struct usage_look {
    long last_pid; /* the newest process at the last look; 0: unknown */
    bool had_more; /* one of the groups had more than one process */
    long room;     /* new processes that no group can have too many with */
};
void usage_measure(struct usage_look *look, struct usage *usages, size_t count);

/* The same for the processes alone, at the cost of one file: false while so few are new that no group can have too
 * many. */
bool usage_may_have_grown(const struct usage_look *look);

struct allowance {
    struct limits limits;
    int64_t since_ms;       /* the time in which its share counts, … */
    uint64_t cpu_ms_before; /* … and what had been used before */
};

/* True if the usage is more than the limits allow; which says so. */
bool limits_exceeded(struct allowance *allowance, const struct usage *usage, int64_t now_ms, struct fault *which);

#endif
