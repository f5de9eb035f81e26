/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

double stretched(double seconds)
{
    const char *factor = getenv("VALAWAI_TIMEOUT_FACTOR");
    return factor != NULL ? seconds * strtod(factor, NULL) : seconds;
}

char *directory_new(void)
{
    const char *base = getenv("TMPDIR");
    char *directory = NULL;
    if (asprintf(&directory, "%s/valawai-unit-XXXXXX", base == NULL || base[0] == '\0' ? "/tmp" : base) < 0 ||
        mkdtemp(directory) == NULL)
        fail_msg("no directory to work in: %s", strerror(errno));
    return directory;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void directory_remove(char *directory)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(directory);
}

void file_write(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "we");
    if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
        fail_msg("cannot write %s: %s", path, strerror(errno));
}

void file_puts(const char *path, const char *text)
{
    file_write(path, text, strlen(text));
}

char *file_read(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    size_t got = 0, room = 65536;
    if (file == NULL)
        return NULL;
    char *text = malloc(room);
    for (size_t more; (more = fread(text + got, 1, room - got - 1, file)) > 0;) {
        got += more;
        if (got == room - 1)
            text = realloc(text, room *= 2);
    }
    fclose(file);
    text[got] = '\0';
    if (len != NULL)
        *len = got;
    return text;
}

bool file_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

long file_size(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (long)status.st_size : -1;
}

static int stderr_kept = -1, stderr_file = -1;

void stderr_catch(void)
{
    fflush(stderr);
    stderr_kept = dup(STDERR_FILENO);
    stderr_file = memfd_create("stderr", 0);
    if (stderr_kept < 0 || stderr_file < 0)
        abort();
    dup2(stderr_file, STDERR_FILENO);
}

char *stderr_caught(void)
{
    fflush(stderr);
    dup2(stderr_kept, STDERR_FILENO);
    close(stderr_kept);
    off_t len = lseek(stderr_file, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    if (pread(stderr_file, text, (size_t)len, 0) != len)
        abort();
    close(stderr_file);
    return text;
}

size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

void expect_in(const char *text, const char *part)
{
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text == NULL ? "(NULL)" : text);
}

void expect_not_in(const char *text, const char *part)
{
    if (text != NULL && strstr(text, part) != NULL)
        fail_msg("\"%s\" is in: %s", part, text);
}

void expect_match(const char *text, const char *pattern)
{
    regex_t regex;
    regmatch_t match = {.rm_so = -1};
    if (regcomp(&regex, pattern, REG_EXTENDED) != 0)
        fail_msg("not a regular expression: %s", pattern);
    bool matched = text != NULL && regexec(&regex, text, 1, &match, 0) == 0 && match.rm_so == 0 &&
                   (size_t)match.rm_eo == strlen(text);
    regfree(&regex);
    if (!matched)
        fail_msg("\"%s\" is not what %s says", text == NULL ? "(NULL)" : text, pattern);
}
