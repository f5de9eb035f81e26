/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * settings: the environment overrides plugins.conf, which overrides the defaults. The result is one constant structure.
 * Each setting is a row in table.c. */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"

#define MESSAGE_MAX_DEFAULT 16777216 /* host.message_max_bytes, for verbs that read no settings */

struct plugin_option {
    char *key, *value;
};

/* Where a node of the broker listens. */
struct endpoint {
    char *host;
    int port;
};

/* What happens to a message that the AsyncAPI document does not allow. */
enum validate { VALIDATE_STRICT, VALIDATE_WARN, VALIDATE_OFF };

/* What happens to a rejected message: it moves to TOPIC/dead, or the broker's policies decide. */
enum dead_letters { DEAD_LETTERS_KEEP, DEAD_LETTERS_BROKER };

/* Whether records show the payload of a rejected message. */
enum payloads { PAYLOADS_FULL, PAYLOADS_NONE };

/* Where a plugin lives: with the others in the host's process, or in one of its own. */
enum isolation { ISOLATION_THREAD, ISOLATION_PROCESS, ISOLATION_HOST /* of a section: as host.isolation says */ };

/* What a plugin in a process of its own may use. 0: in a section, as host { } says; there, no limit. */
struct limits {
    long memory_max;    /* bytes that a process has in memory */
    long cpu_max;       /* percent of one core */
    long files_max;     /* open descriptors */
    long processes_max; /* the plugin's own, and those that it makes */
};

/* A `plugin NAME { … }` section. */
struct plugin_section {
    char *name;
    char *path; /* default: NAME.so in the plugin directory */
    bool enabled;
    enum validate validate;
    enum isolation isolation;
    long threads;  /* that call its handlers */
    long prefetch; /* 0: broker.prefetch */
    long attempts; /* 0: host.attempts */
    struct limits limits;
    struct plugin_option *options;
    size_t option_count;
};

struct settings {
    char *plugin_directory;
    struct plugin_section *sections;
    size_t section_count;

    struct {
        char *host; /* NAME[:PORT], several separated by commas */
        long port;
        struct endpoint *endpoints; /* the same, parsed */
        size_t endpoint_count;
        bool tls;
        char *tls_ca, *tls_certificate, *tls_key;
        char *username, *password, *password_file;
        char *virtual_host;
        long max_retries;    /* attempts to make the first connection */
        long retry_sleep;    /* seconds between these attempts */
        long heartbeat;      /* seconds */
        long login_seconds;  /* for a login */
        long prefetch;       /* messages of a topic that the broker delivers ahead */
        long delivery_limit; /* returns after which the broker may drop a message; 0: no limit */
        long reconnect_max;  /* seconds between attempts after the first connection */
    } broker;

    struct log_options log;
    char *log_directory, *log_file_name; /* log points to them */
    char *health_file_name;
    struct {
        char *listen;            /* NULL: no TCP */
        struct endpoint address; /* the same, parsed: an address in digits, or "" for every address */
    } http;
    enum payloads payloads;

    struct {
        char *endpoint;     /* of an OTLP collector; NULL: no traces */
        char *headers;      /* KEY=VALUE,KEY=VALUE, for its requests; may be NULL */
        char *service_name; /* NULL: each component's name */
    } otel;

    struct {
        long grace_seconds;     /* to finish the work in hand at a stop */
        long message_max_bytes; /* a larger body is rejected unread */
        long outbox_max_bytes;  /* of publications that wait for the broker */
        long attempts;          /* calls for one message that return VALAWAI_RETRY */
        enum dead_letters dead_letters;
        long dead_letters_max; /* messages that the queue of a topic's dead letters may hold */
        long slow_seconds;     /* a handler that takes longer is named in a WARNING */
        enum isolation isolation;
        long crash_attempts;  /* calls for one message that end the plugin's process */
        long handler_seconds; /* a handler of a plugin in a process of its own that takes longer is ended; 0: never */
        struct limits limits;
    } host;
};

/* config: the file that the command line names; NULL: ./plugins.conf, if it exists. */
bool settings_read(const char *config, struct settings **settings, struct fault *fault)
    __attribute__((warn_unused_result));
/* Makes the paths absolute that the host uses later, when a plugin may have changed the working directory. */
void settings_anchor(struct settings *settings);
/* The first line of a password file, which the caller frees; NULL: see fault. */
char *settings_password(const char *path, struct fault *fault) __attribute__((warn_unused_result));
void settings_free(struct settings *settings);

/* The section of this plugin: its path is the same file, or its name is the file name without ".so". */
const struct plugin_section *settings_section(const struct settings *settings, const char *plugin_path);

/* NULL: of NULL. */
struct plugin_section *plugin_section_copy(const struct plugin_section *section);
void plugin_section_free(struct plugin_section *section); /* one of plugin_section_copy() */
bool plugin_sections_are_equal(const struct plugin_section *one, const struct plugin_section *other);

/* Calls back for each setting outside of the sections that differs, by its name in plugins.conf. */
void settings_compare(const struct settings *one, const struct settings *other,
                      void (*differs)(void *context, const char *name), void *context);

/* True if a plugin's section has a host's setting of this name, which no option of the plugin may have. */
bool settings_has_plugin_key(const char *key);

/* The table of --help: every setting with its environment variable and its default. */
void settings_help(FILE *out);

#endif
