/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: writes the health file and the ledger (files) on a thread of its own. The control thread says what the two
 * are to hold, and never waits for the disk. What is said while the thread writes replaces what was said before. */
#ifndef MOV_HEALTH_H
#define MOV_HEALTH_H

#include <stdint.h>

#include "mov/files.h"

struct health;

struct health *health_new(const char *directory, const char *file_name, struct log *log);
void health_free(struct health *health); /* after health_stop() said true, or if it was never started */

/* As files_lock() and files_left_behind(): these wait for the disk, before anything runs. */
bool health_lock(struct health *health, struct fault *fault) __attribute__((warn_unused_result));
struct legacy health_left_behind(struct health *health);

/* Starts the thread, which calls written() when what it was told so far is in the files, or cannot be. Until then
 * everything is written at once. */
void health_start(struct health *health, void (*written)(void *context), void *context);

/* Shows the text, or removes the health file (NULL). */
void health_show(struct health *health, const char *text);

/* True if a text is shown: the file has it, or cannot be written. */
bool health_is_shown(struct health *health);

/* What the next run has to find: takes the legacy over. The number is for health_is_kept(). */
uint64_t health_keep(struct health *health, struct legacy legacy);

/* True if the legacy of that number, or a later one, is in the files, or cannot be. */
bool health_is_kept(struct health *health, uint64_t number);

/* Ends the thread when it has written what it was told. False: the disk takes longer than until_ms. Then the two files
 * are removed if there is nothing to tell the next run. */
bool health_stop(struct health *health, int64_t until_ms) __attribute__((warn_unused_result));

#endif
