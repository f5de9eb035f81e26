/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * options: the options of one plugin. If its AsyncAPI document declares them (x-options), each comes from the
 * environment, else from plugins.conf, else from its default, and all together are as the document declares them.
 * Otherwise they are the texts of plugins.conf, whatever they are. */
#ifndef PLUGIN_OPTIONS_H
#define PLUGIN_OPTIONS_H

#include <stdbool.h>

#include "base/fault.h"
#include "contract/contract.h"
#include "settings/settings.h"

#define OPTION_VARIABLE "VALAWAI_OPTION_" /* … <PLUGIN>_<KEY> */

struct options; /* read-only once they are read: any thread may use them */

/* file: the name of the plugin's file, which names it in the environment and in faults. section may be NULL. */
bool options_read(const struct contract *contract, const char *file, const struct plugin_section *section,
                  struct options **options, struct fault *fault) __attribute__((warn_unused_result));
void options_free(struct options *options);

/* The value of an option as text; NULL: it has none. options may be NULL. */
const char *options_text(const struct options *options, const char *key);

/* All of them as a JSON object. */
struct json_object *options_json(const struct options *options);

/* Whether a variable of the environment is one that options_read() looks at. */
bool options_claim(const struct contract *contract, const char *file, const char *variable);

/* NULL unless the variable begins like those of this plugin's options; then the nearest of them, or "" if none is near.
 * The text is the caller's to free. */
char *options_suggest(const struct contract *contract, const char *file, const char *variable);

#endif
