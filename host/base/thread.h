/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * thread: starts and names a thread, and waits for its end until a deadline. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts a thread with a stack of at least 8 MiB. A failure ends the process with a message and status 1. */
pthread_t thread_start(void *(*run)(void *argument), void *argument);

/* Names the calling thread for `ps -L`, `top -H` and debuggers, by the first 15 bytes. A thread that it makes inherits
 * the name until it gets its own. */
void thread_name(const char *name);

/* The number of threads of the process, including those of tools (ThreadSanitizer starts one). */
unsigned long thread_count(void);

/* True if the process has at most that many threads, at once or after a moment: the kernel counts a joined thread a
 * little longer. */
bool thread_wait_down_to(unsigned long count) __attribute__((warn_unused_result));

/* False: the thread has not ended when clock_ms() shows until_ms. */
bool thread_join(pthread_t thread, int64_t until_ms) __attribute__((warn_unused_result));

#endif
