/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * files: the health file and, beside it, the ledger (`<name>.ids`). The health file shows the surroundings that every
 * component is registered and at work (`test -s`). The ledger tells the next run what this one, killed, leaves with the
 * MOV: the ids that the MOV knows it by, and the components for which an answer of the MOV is still to come. It is kept
 * while the health file does not say the same. Both files are written beside and renamed.
 *
 * These functions wait for the disk. health calls them on a thread of its own. */
#ifndef MOV_FILES_H
#define MOV_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/log.h"

/* What the MOV gives a component as its id: 24 hexadecimal digits. */
#define COMPONENT_ID_LEN 24
bool is_component_id(const char *text, size_t len);

/* What a run leaves with the MOV when it is killed. */
struct legacy {
    char **ids;
    size_t id_count;
    char **pending; /* names of components, once for each registration that may still be answered */
    size_t pending_count;
};

void legacy_add_id(struct legacy *legacy, const char *id);
void legacy_add_pending(struct legacy *legacy, const char *name);
void legacy_free(struct legacy *legacy); /* what it holds, and not itself */

struct files;

struct files *files_new(const char *directory, const char *file_name, struct log *log);
void files_free(struct files *files);

/* Keeps other processes from the two files until the end of this one, by a lock on a third (`<name>.lock`). False:
 * another one has it, and the files are its own. Where nothing can be locked it goes on without. */
bool files_lock(struct files *files, struct fault *fault) __attribute__((warn_unused_result));

/* The process that has locked the two files; -1: one of another PID namespace; 0: none. Changes nothing. */
int files_owner(const char *directory, const char *file_name);

/* What earlier runs left in either file. Removes the health file. */
struct legacy files_left_behind(struct files *files);

/* Writes the text, or removes the health file (NULL). Does nothing if that is so already. */
void files_show(struct files *files, const char *text);

/* What the next run has to find. Takes the legacy over. */
void files_keep(struct files *files, struct legacy legacy);

/* Writes again what was removed from outside, and what a full disk did not take, or says once why it cannot. */
void files_restore(struct files *files);

/* Removes whatever is there of the two files, also half written, and the lock; without asking the disk for more. */
void files_remove(const struct files *files);

#endif
