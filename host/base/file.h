/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * file: the content of a file that somebody wrote. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/fault.h"
#include "base/text.h"

/* Appends the content of a file that is a text of at most `most` bytes, without the byte order mark of some editors. */
bool file_read_text(const char *path, size_t most, struct text *text, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
