/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * file: the content of a text file, directories, and names of files. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/fault.h"
#include "base/text.h"

/* Appends the content of a file that is a text of at most `most` bytes, without the byte order mark of some editors. */
bool file_read_text(const char *path, size_t most, struct text *text, struct fault *fault)
    __attribute__((warn_unused_result));

/* Makes the directory and its missing parents. False: errno says why. What is there and is no directory
 * is found by the first use of it. */
bool directory_make(const char *path) __attribute__((warn_unused_result));

/* The same file whatever becomes of the working directory; the path itself if that has been removed. The caller frees
 * it. */
char *path_absolute(const char *path);

#endif
