/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * known: the plugin files that a reload compares with those of the disk. */
#ifndef RUN_KNOWN_H
#define RUN_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/text.h"
#include "settings/settings.h"

/* Tells one version of a file from another. */
struct identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

/* False: the file cannot be found, with errno. */
bool identity_read(const char *path, struct identity *identity);
bool identity_is(const struct identity *one, const struct identity *other);

/* A file that the host has looked at. */
struct known {
    char *path;      /* as it was found, absolute */
    char *component; /* NULL: it was never opened */
    struct identity identity;
    struct plugin_section *section;
    bool isolated;
    struct fault why; /* it cannot run; "": it runs */
    bool failed;      /* the last look at a new version; the old one goes on */
    bool found;       /* by the reload that runs */
};

struct knowns {
    struct known *at;
    size_t count;
};

struct known *known_find(const struct knowns *knowns, const char *path); /* NULL: it is not known */
struct known *known_put(struct knowns *knowns, const char *path);
void known_set_component(struct known *known, const char *component);
void known_clear(struct known *known);
void knowns_free(struct knowns *knowns);

/* --- names that a user may give to a plugin: its component, or its file with or without the directory and .so --- */

bool known_has_name(const char *name, size_t len, const char *path, const char *component);

/* True if one of the names, each with \n, is that of the plugin. */
bool known_is_named(const struct text *names, const char *path, const char *component);

#endif
