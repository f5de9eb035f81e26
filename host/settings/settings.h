/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * settings: default, then plugins.conf, then environment, become one structure that nothing changes afterwards. The
 * only user of libconfuse. One table in settings.c says of each setting its names, its bounds, its default and its
 * help. */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"

#define MESSAGE_MAX_DEFAULT 16777216 /* of host.message_max_bytes, for those that read no settings */

struct plugin_option {
    char *key, *value;
};

/* Where a node of the broker listens. */
struct endpoint {
    char *host;
    int port;
};

/* What is done about a message that is not as the AsyncAPI document declares it. */
enum validate { VALIDATE_STRICT, VALIDATE_WARN, VALIDATE_OFF };

/* A `plugin NAME { … }` section. */
struct plugin_section {
    char *name;
    char *path; /* NAME.so of the plugin directory unless the section says otherwise */
    bool enabled;
    enum validate validate;
    long threads; /* for its handlers */
    struct plugin_option *options;
    size_t option_count;
};

struct settings {
    char *plugin_directory;
    struct plugin_section *sections;
    size_t section_count;

    struct {
        char *host; /* one or more, as NAME or NAME:PORT, with commas between */
        long port;
        struct endpoint *endpoints; /* the same, read */
        size_t endpoint_count;
        bool tls;
        char *tls_ca, *tls_certificate, *tls_key;
        char *username, *password, *password_file;
        char *virtual_host;
        long max_retries;   /* attempts to make the first connection */
        long retry_sleep;   /* seconds between them */
        long heartbeat;     /* seconds */
        long prefetch;      /* messages of a topic that the broker hands out ahead */
        long reconnect_max; /* seconds between attempts once there has been a connection */
    } broker;

    struct log_options log;
    char *log_directory, *log_file_name; /* what log points to */
    char *health_file_name;

    struct {
        long grace_seconds;     /* to finish what is in hand at a stop */
        long message_max_bytes; /* a body over it is rejected unread */
        long outbox_max_bytes;  /* publications that wait for the broker */
        long attempts;          /* calls for one message that answer VALAWAI_RETRY */
        long slow_seconds;      /* a handler that takes longer is named in a WARNING */
    } host;
};

/* config: the file that the command line named, or NULL for ./plugins.conf if there is one. */
bool settings_read(const char *config, struct settings **settings, struct fault *fault)
    __attribute__((warn_unused_result));
void settings_free(struct settings *settings);

/* The section that speaks of this plugin: its path is the same file, or its name is the file's without ".so". */
const struct plugin_section *settings_section(const struct settings *settings, const char *plugin_path);

/* The table for --help: every setting with its environment variable and default. */
void settings_help(FILE *out);

#endif
