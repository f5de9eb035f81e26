/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * memory: allocation that does not fail. Without memory the process ends, and unacknowledged messages return to their
 * queues. So callers need no error path. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

void *memory_new(size_t size) __attribute__((malloc, returns_nonnull));  /* zeroed */
void *memory_take(size_t size) __attribute__((malloc, returns_nonnull)); /* not zeroed: for bodies */
void *memory_resize(void *old, size_t size) __attribute__((returns_nonnull));
void *memory_got(void *memory)
    __attribute__((returns_nonnull)); /* ends the process for NULL; for allocators of libraries */
char *memory_text(const char *text);  /* a copy; NULL for NULL */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#endif
