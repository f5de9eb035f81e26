/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * support: shared by the unit tests: cmocka with its required headers, temporary directories, files, and the output of
 * a function on stderr. */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka 2 defines a macro stop, and has assert_int_in_range and assert_uint_in_range instead of cmocka 1's
 * assert_in_range. */
#undef stop
#ifndef assert_uint_in_range
#define assert_uint_in_range assert_in_range
#endif

/* cmocka passes a test's state as a void **; most of these tests have none. */
#define UNUSED(state) ((void)(state))
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Scales seconds for slow builds and tools (VALAWAI_TIMEOUT_FACTOR). */
double stretched(double seconds);

/* Makes an empty directory. directory_remove() deletes it with its contents, and frees the name. */
char *directory_new(void);
void directory_remove(char *directory);

void file_write(const char *path, const char *bytes, size_t len);
void file_puts(const char *path, const char *text);
char *file_read(const char *path, size_t *len); /* NULL: there is none; len may be NULL */
bool file_exists(const char *path);
long file_size(const char *path); /* -1: there is none */

/* Between the two, stderr goes into a file. The second returns its contents, which the caller frees. */
void stderr_catch(void);
char *stderr_caught(void);

/* The number of occurrences of part in text. */
size_t count_of(const char *text, const char *part);

/* Fails the test with both texts if text does not contain part. */
void expect_in(const char *text, const char *part);
void expect_not_in(const char *text, const char *part);

/* Fails the test unless the whole text matches the extended regular expression. */
void expect_match(const char *text, const char *pattern);

#endif
