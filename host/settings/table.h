/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * table: every setting is one row with its names, its type, its bounds, its default and its help text. plugins.conf,
 * the environment and --help read the same rows. Private to this room. */
#ifndef SETTINGS_TABLE_H
#define SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fault.h"
#include "settings/settings.h"

enum kind {
    TEXT,    /* char *, not empty */
    PATH,    /* the same; a relative path in plugins.conf starts at the directory of that file */
    NUMBER,  /* long, from min to max */
    SIZE,    /* the same, of bytes: 1048576, 1024K, 1M */
    LEVEL,   /* long, a log level */
    BOOLEAN, /* bool */
    CHOICE,  /* an enum: the index of one of the words */
};

struct setting {
    const char *section, *key; /* section NULL: at the top of plugins.conf */
    const char *variable;      /* NULL: only in plugins.conf */
    enum kind kind;
    size_t at; /* offset in the structure that the row fills */
    long min, max;
    const char *fallback; /* the default, as text; NULL: none */
    const char *help;
    const char *const *words; /* of a CHOICE, with NULL at the end */
    const char
        *compose; /* the variable that docker-compose.yml takes the value from if the user sets no other; may be NULL */
};

/* Rows that fill struct settings, and rows of a `plugin NAME { … }` section that fill struct plugin_section. */
extern const struct setting settings_table[], plugin_table[];
extern const size_t settings_table_size, plugin_table_size;

#define SETTINGS_MAX 64 /* rows of a table */

/* section NULL: a setting at the top. NULL: there is no such setting. */
const struct setting *setting_find(const char *section, const char *key);
const struct setting *plugin_setting_find(const char *key);

/* Reads the value into the structure. where: what an error message names. directory: where a relative path starts;
 * NULL: the path stays as it is. On failure the structure is unchanged. */
bool setting_read(const struct setting *setting, void *structure, const char *value, const char *directory,
                  const char *where, struct fault *fault) __attribute__((warn_unused_result));

/* Fills the structure with the defaults. */
bool settings_read_defaults(const struct setting *table, size_t size, void *structure, struct fault *fault)
    __attribute__((warn_unused_result));

/* The texts and paths of the structure: frees them, or replaces each by a copy. */
void settings_free_texts(const struct setting *table, size_t size, void *structure);
void settings_copy_texts(const struct setting *table, size_t size, void *structure);

/* True if both structures have the same value. */
bool setting_is_equal(const struct setting *setting, const void *one, const void *other);

bool number_read(const char *value, long min, long max, long *number) __attribute__((warn_unused_result));

/* The variable that set this value, by the name that the user wrote; NULL: none did. */
const char *setting_variable(const struct setting *setting);

#endif
