/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

char *fuzz_string(const uint8_t *bytes, size_t len)
{
    char *string = memory_take(len + 1);
    if (len > 0)
        memcpy(string, bytes, len);
    string[len] = '\0';
    return string;
}

double fuzz_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct log *fuzz_log(void)
{
    return log_open(
        &(struct log_options){.directory = "/dev", .file_name = "null", .console_level = 100, .file_level = LOG_DEBUG});
}

static char directory[512];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_directory(void)
{
    const char *base = getenv("TMPDIR");
    if (directory[0] != '\0')
        return directory;
    snprintf(directory, sizeof directory, "%s/valawai-fuzz-XXXXXX", base == NULL || base[0] == '\0' ? "/tmp" : base);
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        exit(1);
    }
    atexit(remove_directory);
    return directory;
}

void fuzz_write(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
        perror(path);
        exit(1);
    }
    close(fd);
}

char *fuzz_read(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    EXPECT(fstat(fd, &status) == 0, "%s has no size", path);
    char *text = memory_new((size_t)status.st_size + 1);
    EXPECT(read(fd, text, (size_t)status.st_size) == status.st_size, "%s cannot be read", path);
    close(fd);
    return text;
}

struct json_object *fuzz_object(const char *text, size_t len)
{
    struct fault fault = {""};
    EXPECT(json_is_object(text, len, &fault), "%s: %.*s", fault.text, (int)len, text);
    static struct json_tokener *reader;
    reader = reader == NULL ? json_reader_new() : reader;
    struct json_object *object = json_read(reader, text, len);
    EXPECT(json_object_is_type(object, json_type_object), "json-c does not read: %.*s", (int)len, text);
    return object;
}

const char *fuzz_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

void fuzz_expect_fault(const char *text, const char *const *prefixes)
{
    EXPECT(text[0] != '\0', "refused without a word");
    const unsigned char *at = (const unsigned char *)text;
    for (size_t i = 0, size, len = strlen(text); i < len; i += size) {
        size = utf8_length(at + i, len - i);
        EXPECT(size > 0 && at[i] >= 0x20 && at[i] != 0x7f, "not one line: %s", text);
    }
    for (; *prefixes != NULL; prefixes++)
        if (strncmp(text, *prefixes, strlen(*prefixes)) == 0)
            return;
    EXPECT(*prefixes != NULL, "it does not name the thing: %s", text);
}
