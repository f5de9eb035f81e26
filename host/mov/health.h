/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: writes the health file and the ledger (files) on its own thread. The control thread sets the contents of the
 * two files and never waits for the disk. Contents that are set during a write replace those before. */
#ifndef MOV_HEALTH_H
#define MOV_HEALTH_H

#include <stdint.h>

#include "mov/files.h"

struct health;

struct health *health_new(const char *directory, const char *file_name, struct log *log);
void health_free(struct health *health); /* after health_stop() returned true, or if it was never started */

/* Like files_lock() and files_left_behind(): these wait for the disk, at the start. */
bool health_lock(struct health *health, struct fault *fault) __attribute__((warn_unused_result));
struct legacy health_left_behind(struct health *health);

/* Starts the thread, which calls written() when the files have the latest contents, or cannot be written. Before this
 * call everything is written at once. */
void health_start(struct health *health, void (*written)(void *context), void *context);

/* Shows the text, or removes the health file (NULL). */
void health_show(struct health *health, const char *text);

/* True if a text is shown: the file contains it, or cannot be written. */
bool health_is_shown(struct health *health);

/* Sets what the next run must find, and takes ownership of the legacy. Returns a number for health_is_kept(). */
uint64_t health_keep(struct health *health, struct legacy legacy);

/* True if the files contain the legacy of that number, or a later one, or cannot be written. */
bool health_is_kept(struct health *health, uint64_t number);

/* Ends the thread when it has written the latest contents. False: the disk takes longer than until_ms. Then the two
 * files are removed if nothing remains at the MOV. */
bool health_stop(struct health *health, int64_t until_ms) __attribute__((warn_unused_result));

#endif
