/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fault: why something could not be done, in one line that names the thing: whatever it quotes, it is UTF-8 without
 * control characters. Every function of the host that can fail takes a pointer to one; main decides what ends the
 * program. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

struct fault {
    char text[512];
};

/* Writes the reason and returns false, so that a caller can `return fault_set(fault, "…")`. fault may be NULL. */
bool fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before what is there; returns false too. */
bool fault_prefix(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
