/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * thread: starting a thread and waiting for its end, no longer than until a given time. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* With a stack of 8 MiB or more. Ends the process if there is no thread to be had: that is at the start, and without
 * them there is no host. */
pthread_t thread_start(void *(*run)(void *argument), void *argument);

/* How many threads the process has, with those that come with the first one that is started (ThreadSanitizer's). */
unsigned long thread_count(void);

/* True if soon there are no more than that. A thread that was joined may be counted for a moment longer. */
bool thread_few(unsigned long count) __attribute__((warn_unused_result));

/* False: it has not ended when clock_ms() shows until_ms. */
bool thread_join(pthread_t thread, int64_t until_ms) __attribute__((warn_unused_result));

#endif
