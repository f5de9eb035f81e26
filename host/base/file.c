/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

bool file_read_text(const char *path, size_t most, struct text *text, struct fault *fault)
{
    bool read = false;
    FILE *file = fopen(path, "re");
    struct stat status;
    if (file == NULL)
        return fault_set(fault, "%s: %s", path, strerror(errno));
    if (fstat(fileno(file), &status) == 0 && S_ISDIR(status.st_mode)) {
        fault_set(fault, "%s: is a directory", path);
        goto out;
    }
    char block[4096];
    size_t got = fread(block, 1, sizeof block, file), mark = text_mark(block, got);
    text_put(text, block + mark, got - mark);
    while (text->len <= most && (got = fread(block, 1, sizeof block, file)) > 0)
        text_put(text, block, got);
    if (ferror(file))
        fault_set(fault, "%s: %s", path, strerror(errno));
    else if (text->len > most)
        fault_set(fault, "%s: is larger than %zu bytes", path, most);
    else if (memchr(text->at, '\0', text->len) != NULL)
        fault_set(fault, "%s: holds NUL bytes; it is not a text", path);
    else
        read = true;
out:
    fclose(file);
    return read;
}

bool directory_make(const char *path)
{
    char *copy = memory_text(path);
    bool made = true;
    for (char *at = copy + 1; made && copy[0] != '\0' && *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            made = mkdir(copy, 0777) == 0 || errno == EEXIST;
            *at = '/';
        }
    }
    made = made && (mkdir(copy, 0777) == 0 || errno == EEXIST);
    free(copy);
    return made;
}

char *path_absolute(const char *path)
{
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *absolute = here == NULL ? memory_text(path) : memory_format("%s/%s", here, path);
    free(here);
    return absolute;
}
