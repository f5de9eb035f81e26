/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * locale: makes numbers independent of the locale that a plugin sets. setlocale() changes every thread without its own
 * locale, and with a decimal comma strtod() reads 0.25 as 0. So each thread of the host has its own C locale, which
 * covers libraries and plugins' callbacks, too. Threads of a plugin have the process's locale; on them the host
 * converts real numbers with the two functions below. */
#ifndef BASE_LOCALE_H
#define BASE_LOCALE_H

#include <stddef.h>

/* Gives the calling thread the C locale. Costs no system call. */
void locale_hold(void);

/* strtod() in the C locale. end may be NULL. */
double real_read(const char *text, char **end);

/* snprintf() of one number in the C locale. form: 'e' or 'g'; digits: the precision. */
void real_write(char *text, size_t size, char form, int digits, double real);

#endif
