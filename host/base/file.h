/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * file: contents of text files, directories, and paths. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/fault.h"
#include "base/text.h"

/* Appends the contents of a text file of at most `most` bytes, without a byte order mark. */
bool file_read_text(const char *path, size_t most, struct text *text, struct fault *fault)
    __attribute__((warn_unused_result));

/* Makes the directory and its missing parents. False: see errno. An existing file that is not a directory causes an
 * error at the first use. */
bool directory_make(const char *path) __attribute__((warn_unused_result));

/* The absolute path, which is independent of the working directory; or the path itself if that directory has been
 * removed. The caller frees it. */
char *path_absolute(const char *path);

#endif
