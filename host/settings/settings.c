/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "settings/file.h"
#include "settings/table.h"

#define DEFAULT_FILE "plugins.conf"

static bool read_environment(struct settings *settings, struct fault *fault)
{
    bool password_given = false, password_file_given = false;
    for (size_t i = 0; i < settings_table_size; i++) {
        const struct setting *setting = &settings_table[i];
        const char *name = setting_variable(setting);
        if (name == NULL)
            continue;
        if (!setting_read(setting, settings, getenv(setting->variable), NULL, name, fault))
            return false;
        password_given |= setting->at == offsetof(struct settings, broker.password);
        password_file_given |= setting->at == offsetof(struct settings, broker.password_file);
    }
    if (password_given && !password_file_given) { /* RABBITMQ_PASSWORD overrides password_file of plugins.conf */
        free(settings->broker.password_file);
        settings->broker.password_file = NULL;
    }
    return true;
}

/* The name for a message about a value: the variable that set it, or the setting. */
static const char *source_of(const char *section, const char *key, char *buffer, size_t size)
{
    const char *variable = setting_variable(setting_find(section, key));
    if (variable != NULL)
        return variable;
    snprintf(buffer, size, "%s.%s", section, key);
    return buffer;
}

char *settings_password(const char *path, struct fault *fault)
{
    struct text text = {0};
    char *password = NULL;
    if (file_read_text(path, 4096, &text, fault)) {
        size_t len = strcspn(text.at, "\r\n");
        if (len == 0)
            fault_set(fault, "%s: the first line is empty; it must be the password", path);
        else
            password = memory_format("%.*s", (int)len, text.at);
    }
    text_free(&text);
    if (password == NULL)
        fault_prefix(fault, "password file");
    return password;
}

static bool read_password(struct settings *settings, struct fault *fault)
{
    if (settings->broker.password_file == NULL)
        return true;
    char *password = settings_password(settings->broker.password_file, fault);
    if (password == NULL)
        return false;
    free(settings->broker.password);
    settings->broker.password = password;
    return true;
}

static void endpoint_add(struct settings *settings, char *host, long port)
{
    settings->broker.endpoints = memory_resize(settings->broker.endpoints, (settings->broker.endpoint_count + 1) *
                                                                               sizeof *settings->broker.endpoints);
    settings->broker.endpoints[settings->broker.endpoint_count++] = (struct endpoint){.host = host, .port = (int)port};
}

/* NAME[:PORT] or [ADDRESS]:PORT, separated by commas. A bare IPv6 address contains colons and has no port. */
static bool read_endpoints(struct settings *settings, struct fault *fault)
{
    char source[64];
    const char *where = source_of("broker", "host", source, sizeof source);
    if (settings->broker.port == 0)
        settings->broker.port = settings->broker.tls ? 5671 : 5672;
    for (const char *at = settings->broker.host; at != NULL;
         at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1) {
        while (*at == ' ')
            at++;
        size_t len = strcspn(at, ",");
        while (len > 0 && at[len - 1] == ' ')
            len--;
        const char *colon = memrchr(at, ':', len);
        size_t host_len = len;
        long port = settings->broker.port;
        bool bracket = len > 0 && at[0] == '[';
        bool has_port = colon != NULL && (bracket ? colon[-1] == ']' : memchr(at, ':', len) == colon);
        if (has_port) {
            char text[8] = "";
            host_len = (size_t)(colon - at);
            size_t port_len = len - host_len - 1;
            memcpy(text, colon + 1, port_len < sizeof text ? port_len : 0);
            if (!number_read(text, 1, 65535, &port))
                return fault_set(fault, "%s: the port in \"%.*s\" is not a whole number from 1 to 65535", where,
                                 (int)len, at);
        }
        bool bare = bracket && host_len >= 2 && at[host_len - 1] == ']';
        size_t name_len = bare ? host_len - 2 : host_len;
        if (name_len == 0)
            return fault_set(fault, "%s: \"%s\" lacks a host name", where, settings->broker.host);
        endpoint_add(settings, memory_format("%.*s", (int)name_len, bare ? at + 1 : at), port);
    }
    return true;
}

/* 127.0.0.1:9090, [::1]:9090, [::]:8080 or :8080. Digits only: no resolver is asked for what this machine is called. */
static bool read_listen(struct settings *settings, struct fault *fault)
{
    char source[64];
    const char *where = source_of("http", "listen", source, sizeof source), *listen = settings->http.listen;
    if (listen == NULL)
        return true;
    const char *colon = strrchr(listen, ':');
    bool bracket = listen[0] == '[' && colon != NULL && colon > listen + 1 && colon[-1] == ']';
    struct in6_addr address; /* has room for either kind */
    long port = 0;
    if (colon != NULL && number_read(colon + 1, 1, 65535, &port))
        settings->http.address.host = memory_format("%.*s", (int)(colon - listen) - 2 * bracket, listen + bracket);
    settings->http.address.port = (int)port;
    const char *host = settings->http.address.host;
    bool every = host != NULL && host[0] == '\0' && !bracket;
    return (host != NULL && (every || inet_pton(bracket ? AF_INET6 : AF_INET, host, &address) == 1)) ||
           fault_set(fault, "%s: \"%.80s\" is not ADDRESS:PORT, such as 127.0.0.1:9090, [::1]:9090 or :9090", where,
                     listen);
}

/* Log file and health file share a directory. */
static bool check_file_names(const struct settings *settings, struct fault *fault)
{
    char source[64];
    const char *where = source_of("health", "file_name", source, sizeof source);
    const char *log = settings->log_file_name, *health = settings->health_file_name;
    size_t len = strlen(log), end = strlen(health);
    if (end == 0 || health[end - 1] == '/' || strcmp(health, ".") == 0 || strcmp(health, "..") == 0)
        return fault_set(fault, "%s: \"%s\" is not a file name", where, health);
    const char *number = strncmp(health, log, len) != 0 ? "?" : health + len + (health[len] == '.');
    if (number[strspn(number, "0123456789")] == '\0') /* an older log file has this name */
        return fault_set(fault, "%s: \"%s\" is a name of the log file (LOG_FILE_NAME)", where, health);
    return true;
}

static bool check_collector(const struct settings *settings, struct fault *fault)
{
    char source[64];
    const char *url = settings->otel.endpoint;
    return url == NULL || strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 ||
           fault_set(fault, "%s: \"%s\" does not begin with http:// or https://",
                     source_of("otel", "endpoint", source, sizeof source), url);
}

bool settings_read(const char *config, struct settings **result, struct fault *fault)
{
    struct settings *settings = memory_new(sizeof *settings);
    struct stat status;

    if (!settings_read_defaults(settings_table, settings_table_size, settings, fault))
        goto refused;
    if (config == NULL &&
        (lstat(DEFAULT_FILE, &status) == 0 || errno != ENOENT)) /* a file that exists must be readable */
        config = DEFAULT_FILE;
    if (config != NULL && !settings_read_file(settings, config, fault))
        goto refused;
    if (!read_environment(settings, fault) || !read_password(settings, fault) || !read_endpoints(settings, fault) ||
        !check_file_names(settings, fault) || !read_listen(settings, fault) || !check_collector(settings, fault))
        goto refused;

    for (size_t i = 0; i < settings->section_count; i++) {
        struct plugin_section *section = &settings->sections[i];
        if (section->path == NULL)
            section->path = memory_format("%s/%s.so", settings->plugin_directory, section->name);
    }
    settings->log.directory = settings->log_directory;
    settings->log.setting = "LOG_DIR or log.directory";
    settings->log.beside =
        settings->health_file_name[0] == '/' ? NULL : "health file, so the component stays unhealthy";
    settings->log.file_name = settings->log_file_name;
    *result = settings;
    return true;
refused:
    settings_free(settings);
    return false;
}

static void make_absolute(char **path)
{
    if (*path == NULL)
        return;
    char *absolute = path_absolute(*path);
    free(*path);
    *path = absolute;
}

void settings_anchor(struct settings *settings)
{
    make_absolute(&settings->plugin_directory);
    make_absolute(&settings->broker.password_file);
    make_absolute(&settings->broker.tls_ca);
    make_absolute(&settings->broker.tls_certificate);
    make_absolute(&settings->broker.tls_key);
    make_absolute(&settings->log_directory);
    settings->log.directory = settings->log_directory;
}

static void clear_section(struct plugin_section *section)
{
    for (size_t i = 0; i < section->option_count; i++) {
        free(section->options[i].key);
        free(section->options[i].value);
    }
    free(section->options);
    free(section->name);
    settings_free_texts(plugin_table, plugin_table_size, section);
}

void settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    settings_free_texts(settings_table, settings_table_size, settings);
    for (size_t i = 0; i < settings->broker.endpoint_count; i++)
        free(settings->broker.endpoints[i].host);
    free(settings->broker.endpoints);
    free(settings->http.address.host);
    for (size_t i = 0; i < settings->section_count; i++)
        clear_section(&settings->sections[i]);
    free(settings->sections);
    free(settings);
}

struct plugin_section *plugin_section_copy(const struct plugin_section *section)
{
    if (section == NULL)
        return NULL;
    struct plugin_section *copy = memory_new(sizeof *copy);
    *copy = *section;
    copy->name = memory_text(section->name);
    settings_copy_texts(plugin_table, plugin_table_size, copy);
    copy->options = memory_new((section->option_count + 1) * sizeof *copy->options);
    for (size_t i = 0; i < section->option_count; i++)
        copy->options[i] = (struct plugin_option){.key = memory_text(section->options[i].key),
                                                  .value = memory_text(section->options[i].value)};
    return copy;
}

void plugin_section_free(struct plugin_section *section)
{
    if (section != NULL)
        clear_section(section);
    free(section);
}

bool plugin_sections_are_equal(const struct plugin_section *one, const struct plugin_section *other)
{
    if (one == NULL || other == NULL)
        return one == other;
    if (one->option_count != other->option_count)
        return false;
    for (size_t i = 0; i < plugin_table_size; i++)
        if (!setting_is_equal(&plugin_table[i], one, other))
            return false;
    for (size_t i = 0; i < one->option_count; i++)
        if (strcmp(one->options[i].key, other->options[i].key) != 0 ||
            strcmp(one->options[i].value, other->options[i].value) != 0)
            return false;
    return true;
}

void settings_compare(const struct settings *one, const struct settings *other,
                      void (*differs)(void *context, const char *name), void *context)
{
    for (size_t i = 0; i < settings_table_size; i++) {
        const struct setting *setting = &settings_table[i];
        char name[64];
        snprintf(name, sizeof name, "%s%s%s", setting->section == NULL ? "" : setting->section,
                 setting->section == NULL ? "" : ".", setting->key);
        if (!setting_is_equal(setting, one, other))
            differs(context, name);
    }
}

const struct plugin_section *settings_section(const struct settings *settings, const char *plugin_path)
{
    const char *slash = strrchr(plugin_path, '/');
    const char *name = slash == NULL ? plugin_path : slash + 1;
    size_t len = strlen(name);
    if (len > 3 && strcmp(name + len - 3, ".so") == 0)
        len -= 3;
    struct stat plugin, other;
    bool known = stat(plugin_path, &plugin) == 0;
    for (size_t i = 0; i < settings->section_count; i++) {
        const struct plugin_section *section = &settings->sections[i];
        bool same_file =
            known && stat(section->path, &other) == 0 && other.st_dev == plugin.st_dev && other.st_ino == plugin.st_ino;
        if (same_file || (strlen(section->name) == len && memcmp(section->name, name, len) == 0))
            return section;
    }
    return NULL;
}
