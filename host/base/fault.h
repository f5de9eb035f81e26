/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fault: the reason of a failure, in one line that names the thing. It is UTF-8 without control characters, whatever it
 * quotes. Every function that can fail takes a pointer to a fault; main decides what ends the program. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

struct fault {
    char text[512];
};

/* Writes the reason and returns false, so that a caller can `return fault_set(fault, "…")`. fault may be NULL. */
bool fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the reason; also returns false. */
bool fault_prefix(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
