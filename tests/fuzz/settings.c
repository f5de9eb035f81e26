/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * settings: the input is plugins.conf. It is either read completely, or refused with one line that has the place. Every
 * file that the host opens has these bytes, so no other file is read. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "settings/settings.h"

#define FILE_NAME "plugins.conf"

static int memory_file;
static char memory_path[32];

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    return __real_fopen(strcmp(mode, "re") == 0 ? memory_path : path, mode); /* libFuzzer opens files as well */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    memory_file = memfd_create(FILE_NAME, MFD_CLOEXEC);
    snprintf(memory_path, sizeof memory_path, "/proc/self/fd/%d", memory_file);
    clearenv();
    setenv("NAME", "value", 1); /* ${NAME} */
    return 0;
}

static void expect_whole(const struct settings *settings)
{
    EXPECT(settings->broker.endpoint_count > 0, "no broker");
    for (size_t i = 0; i < settings->broker.endpoint_count; i++) {
        const struct endpoint *endpoint = &settings->broker.endpoints[i];
        EXPECT(endpoint->host[0] != '\0' && endpoint->port >= 1 && endpoint->port <= 65535, "endpoint \"%s\" port %d",
               endpoint->host, endpoint->port);
    }
    const char *const texts[] = {settings->plugin_directory, settings->broker.username,     settings->broker.password,
                                 settings->broker.tls_ca,    settings->broker.virtual_host, settings->log_directory,
                                 settings->health_file_name, settings->log_file_name};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        EXPECT(texts[i] != NULL && texts[i][0] != '\0', "text %zu is empty", i);
    EXPECT(settings->broker.heartbeat >= 1 && settings->broker.heartbeat <= 600, "%ld", settings->broker.heartbeat);
    EXPECT(settings->broker.prefetch >= 1 && settings->broker.prefetch <= 65535, "%ld", settings->broker.prefetch);
    EXPECT(settings->host.attempts >= 1 && settings->host.attempts <= 1000000, "%ld", settings->host.attempts);
    EXPECT(settings->host.message_max_bytes >= 1024 && settings->host.message_max_bytes <= 134217728, "%ld",
           settings->host.message_max_bytes);
    for (size_t i = 0; i < settings->section_count; i++) {
        const struct plugin_section *section = &settings->sections[i];
        EXPECT(section->name != NULL && section->path != NULL && section->path[0] != '\0', "a section without path");
        for (size_t o = 0; o < section->option_count; o++)
            EXPECT(section->options[o].key[0] != '\0' && section->options[o].value != NULL, "an option without key");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    /* These are checked after the file has been read, so their messages name the setting. */
    static const char *const prefixes[] = {FILE_NAME ":",
                                           "broker.host: ", "health.file_name: ", "password file: ", NULL};
    struct settings *settings = NULL;
    struct fault fault = {""};
    if (ftruncate(memory_file, 0) != 0 || pwrite(memory_file, bytes, len, 0) != (ssize_t)len)
        return 0;
    if (settings_read(FILE_NAME, &settings, &fault)) {
        expect_whole(settings);
        settings_free(settings);
    } else {
        EXPECT(settings == NULL, "refused, and there");
        fuzz_expect_fault(fault.text, prefixes);
    }
    return 0;
}
