/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * options: the options of one plugin. If its AsyncAPI document declares them (x-options), the environment overrides
 * plugins.conf, which overrides the default, and the values match the declaration. Otherwise they are the unchecked
 * texts of plugins.conf. */
#ifndef PLUGIN_OPTIONS_H
#define PLUGIN_OPTIONS_H

#include <stdbool.h>

#include "base/fault.h"
#include "contract/contract.h"
#include "settings/settings.h"

#define OPTION_VARIABLE "VALAWAI_OPTION_" /* … <PLUGIN>_<KEY> */

struct options; /* constant after options_read(), so any thread may use them */

/* file: the name of the plugin's file, for the names of variables and for faults. section may be NULL. */
bool options_read(const struct contract *contract, const char *file, const struct plugin_section *section,
                  struct options **options, struct fault *fault) __attribute__((warn_unused_result));
void options_free(struct options *options);

/* Options that options_json() gave in another process. The object is the options' from now on. */
struct options *options_of(struct json_object *json);

/* The value of an option as text; NULL: no value. options may be NULL. */
const char *options_text(const struct options *options, const char *key);

/* All options as a JSON object. */
struct json_object *options_json(const struct options *options);

/* True if options_read() reads this environment variable. */
bool options_claim(const struct contract *contract, const char *file, const char *variable);

/* NULL unless the variable begins like those of this plugin's options; then the nearest of them, or "" if none is near.
 * The caller frees the text. */
char *options_suggest(const struct contract *contract, const char *file, const char *variable);

#endif
