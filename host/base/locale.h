/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * locale: numbers read and print alike, whatever locale a plugin sets. setlocale() changes every thread that has no
 * locale of its own, and a decimal comma makes strtod() read 0.25 as 0. So each thread of the host has the C locale as
 * its own, which covers libraries and plugins' callbacks, too. Threads that a plugin makes have the process's locale;
 * what the host converts on them goes through the two functions for real numbers. */
#ifndef BASE_LOCALE_H
#define BASE_LOCALE_H

#include <stddef.h>

/* The calling thread has the C locale from here on. Costs no system call. */
void locale_hold(void);

/* strtod() in the C locale. end may be NULL. */
double real_read(const char *text, char **end);

/* snprintf() of one number in the C locale. form: 'e' or 'g'; digits: the precision. */
void real_write(char *text, size_t size, char form, int digits, double real);

#endif
