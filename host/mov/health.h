/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: the file by which the surroundings see that every component is registered and at work (`test -s`), and beside
 * it the ledger (`<name>.ids`): the ids that the MOV knows us by, so that the next run can unregister what this one,
 * killed, could not. Both are written beside and renamed. A full disk costs the file and is said once. */
#ifndef MOV_HEALTH_H
#define MOV_HEALTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/log.h"

/* What the MOV gives a component as its id: 24 hexadecimal digits. */
#define COMPONENT_ID_LEN 24
bool is_component_id(const char *text, size_t len);

struct health;

struct health *health_new(const char *directory, const char *file_name, struct log *log);
void health_free(struct health *health);

/* Keeps other processes from the two files until the end of this one, by a lock on a third (`<name>.lock`). False:
 * another one has it, and what stands in the files is its own. Where nothing can be locked it goes on without. */
bool health_lock(struct health *health, struct fault *fault) __attribute__((warn_unused_result));

/* The ids that earlier runs left behind in either file. The caller frees them and the array. Takes the health file
 * away. */
char **health_left_behind(struct health *health, size_t *count);

/* Shows the text, or takes the file away (NULL). Does nothing if that is so already. */
void health_show(struct health *health, const char *text);

/* The ids that the MOV knows us by now. */
void health_keep_ids(struct health *health, char *const *ids, size_t count);

#endif
