/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * files: the health file and, beside it, the ledger (`<name>.ids`). The health file shows that every component is
 * registered and consuming (`test -s`). If this run is killed, the ledger tells the next run what remains at the MOV:
 * the ids of its components, and the components that wait for the MOV's answer. It exists while the health file does
 * not contain the same. Both files are written under a temporary name and renamed.
 *
 * These functions wait for the disk; health calls them on its own thread. */
#ifndef MOV_FILES_H
#define MOV_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/log.h"

/* The MOV's id of a component has 24 hexadecimal digits. */
#define COMPONENT_ID_LEN 24
bool is_component_id(const char *text, size_t len);

/* What remains at the MOV when a run is killed. */
struct legacy {
    char **ids;
    size_t id_count;
    char **pending; /* names of components, once for each registration without an answer */
    size_t pending_count;
};

void legacy_add_id(struct legacy *legacy, const char *id);
void legacy_add_pending(struct legacy *legacy, const char *name);
void legacy_free(struct legacy *legacy); /* frees the contents, not the structure */

struct files;

struct files *files_new(const char *directory, const char *file_name, struct log *log);
void files_free(struct files *files);

/* Locks the two files for this process until it ends, by a lock on a third file (`<name>.lock`). False: another process
 * has the lock. Where locking is impossible, continues without it. */
bool files_lock(struct files *files, struct fault *fault) __attribute__((warn_unused_result));

/* The id of the process that has locked the two files; -1: it is in another PID namespace; 0: none has. Changes
 * nothing. */
int files_owner(const char *directory, const char *file_name);

/* What earlier runs left at the MOV, by both files. Removes the health file. */
struct legacy files_left_behind(struct files *files);

/* Writes the text, or removes the health file (NULL). Does nothing if the file is in this state already. */
void files_show(struct files *files, const char *text);

/* Sets what the next run must find. Takes ownership of the legacy. */
void files_keep(struct files *files, struct legacy legacy);

/* Writes files again that were removed, or that a full disk refused; or reports once why it cannot. */
void files_restore(struct files *files);

/* Removes the two files, including temporary ones, and the lock. Writes nothing. */
void files_remove(const struct files *files);

#endif
