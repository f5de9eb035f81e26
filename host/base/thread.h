/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * thread: starts and names a thread, and waits for its end until a deadline. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* With a stack of 8 MiB or more. Without a thread there is no host: a message and the end of the process, status 1. */
pthread_t thread_start(void *(*run)(void *argument), void *argument);

/* Names the calling thread, as `ps -L`, `top -H` and a debugger show it, by the first 15 bytes. A thread that it makes
 * has the same name until it gets its own. */
void thread_name(const char *name);

/* How many threads the process has, including those that come with the first thread (ThreadSanitizer starts one). */
unsigned long thread_count(void);

/* True if the process has no more threads than that, at once or soon: the kernel counts a thread that was joined for a
 * moment longer. */
bool thread_wait_down_to(unsigned long count) __attribute__((warn_unused_result));

/* False: the thread has not ended when clock_ms() shows until_ms. */
bool thread_join(pthread_t thread, int64_t until_ms) __attribute__((warn_unused_result));

#endif
