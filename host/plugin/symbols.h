/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * symbols: the names of a plugin's functions. A process that crashes knows only those that its file exports; handlers
 * are static, as a rule, and their names stand in the symbol table of a file that is not stripped. */
#ifndef PLUGIN_SYMBOLS_H
#define PLUGIN_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* The function at this address of the file, which the caller frees, and how far in it; NULL: unknown. */
char *symbols_find(int fd, uint64_t address, uint64_t *into);

/* Puts the words of a crash, with the calls file(+0x12) of this file as file(function+0x2). path: of the file, whose
 * last part is `file`. */
void symbols_put(struct text *out, const char *words, const char *path, const char *file);

#endif
