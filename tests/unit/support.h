/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * support: what the unit tests share: cmocka with what it wants included before it, a directory of one's own, files,
 * and what a function writes to stderr. */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka 2 takes the name stop for itself, and has assert_int_in_range and assert_uint_in_range instead of cmocka 1's
 * assert_in_range. */
#undef stop
#ifndef assert_uint_in_range
#define assert_uint_in_range assert_in_range
#endif

/* cmocka keeps a test's state in a void **; most tests of ours have none. */
#define UNUSED(state) ((void)(state))
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Seconds, in a build or under a tool that is so much slower (VALAWAI_TIMEOUT_FACTOR). */
double stretched(double seconds);

/* A new empty directory. directory_remove() takes it away with all that is in it, and frees the name. */
char *directory_new(void);
void directory_remove(char *directory);

void file_write(const char *path, const char *bytes, size_t len);
void file_puts(const char *path, const char *text);
char *file_read(const char *path, size_t *len); /* NULL: there is none; len may be NULL */
bool file_exists(const char *path);
long file_size(const char *path); /* -1: there is none */

/* Between the two, stderr goes into a file; the second gives what was written there. The caller frees it. */
void stderr_catch(void);
char *stderr_caught(void);

/* How often part stands in text. */
size_t count_of(const char *text, const char *part);

/* Fails the test with both texts if part is not there. */
void expect_in(const char *text, const char *part);
void expect_not_in(const char *text, const char *part);

/* Fails the test if text is not all that the extended regular expression wants. */
void expect_match(const char *text, const char *pattern);

#endif
