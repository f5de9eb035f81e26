/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings/table.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define AS_TEXT_(number) #number
#define AS_TEXT(number) AS_TEXT_(number)
#define COUNT(array) (sizeof(array) / sizeof *(array))

_Static_assert(sizeof(enum validate) == sizeof(unsigned) && sizeof(enum dead_letters) == sizeof(unsigned) &&
                   sizeof(enum payloads) == sizeof(unsigned) && sizeof(enum isolation) == sizeof(unsigned),
               "a CHOICE is stored as an unsigned int");

static const char *const validate_words[] = {
    [VALIDATE_STRICT] = "strict", [VALIDATE_WARN] = "warn", [VALIDATE_OFF] = "off", NULL};
static const char *const dead_letters_words[] = {[DEAD_LETTERS_KEEP] = "keep", [DEAD_LETTERS_BROKER] = "broker", NULL};
static const char *const isolation_words[] = {[ISOLATION_THREAD] = "thread", [ISOLATION_PROCESS] = "process", NULL};
static const char *const plugin_isolation_words[] = {
    [ISOLATION_THREAD] = "thread", [ISOLATION_PROCESS] = "process", [ISOLATION_HOST] = "host", NULL};
static const char *const payloads_words[] = {[PAYLOADS_FULL] = "full", [PAYLOADS_NONE] = "none", NULL};

/* With less, no worker starts. */
#define MEMORY_MIN (16L << 20)
#define FILES_MIN 16
/* More than any machine has. */
#define CPU_MAX 100000
#define FILES_MAX 1048576
#define PROCESSES_MAX 1000000

#define AT(member) offsetof(struct settings, member)
const struct setting settings_table[] = {
    {NULL, "plugin_directory", NULL, PATH, AT(plugin_directory), 0, 0, "plugins", .help = "directory of the plugins"},
    {"broker", "host", "RABBITMQ_HOST", TEXT, AT(broker.host), 0, 0, "mov-mq",
     .help = "host name or address; for a cluster NAME[:PORT],NAME[:PORT]…", .compose = "MQ_HOST"},
    {"broker", "port", "RABBITMQ_PORT", NUMBER, AT(broker.port), 1, 65535, NULL, .help = "port [5672; with TLS 5671]",
     .compose = "MQ_PORT"},
    {"broker", "username", "RABBITMQ_USERNAME", TEXT, AT(broker.username), 0, 0, "mov", .help = "user name"},
    {"broker", "password", "RABBITMQ_PASSWORD", TEXT, AT(broker.password), 0, 0, "password", .help = "password"},
    {"broker", "password_file", "RABBITMQ_PASSWORD_FILE", PATH, AT(broker.password_file), 0, 0, NULL,
     .help = "file whose first line is the password; overrides the password"},
    {"broker", "tls", "RABBITMQ_TLS", BOOLEAN, AT(broker.tls), 0, 0, "false",
     .help = "TLS; the broker's certificate and name are always verified"},
    {"broker", "tls_ca", "RABBITMQ_TLS_CA", PATH, AT(broker.tls_ca), 0, 0, "/etc/ssl/certs/ca-certificates.crt",
     .help = "file with the certificates to trust"},
    {"broker", "tls_certificate", "RABBITMQ_TLS_CERTIFICATE", PATH, AT(broker.tls_certificate), 0, 0, NULL,
     .help = "file with the host's own certificate, if the broker asks for one"},
    {"broker", "tls_key", "RABBITMQ_TLS_KEY", PATH, AT(broker.tls_key), 0, 0, NULL,
     .help = "file with the key of that certificate"},
    {"broker", "virtual_host", NULL, TEXT, AT(broker.virtual_host), 0, 0, "/", .help = "virtual host"},
    {"broker", "max_retries", "RABBITMQ_MAX_RETRIES", NUMBER, AT(broker.max_retries), 1, 1000000, "100",
     .help = "attempts to make the first connection"},
    {"broker", "retry_sleep", "RABBITMQ_RETRY_SLEEP", NUMBER, AT(broker.retry_sleep), 0, 3600, "3",
     .help = "seconds between these attempts"},
    {"broker", "heartbeat", NULL, NUMBER, AT(broker.heartbeat), 1, 600, "10",
     .help = "seconds; a silent broker is given up within two heartbeats"},
    {"broker", "login_seconds", NULL, NUMBER, AT(broker.login_seconds), 1, 600, "15",
     .help = "seconds that a login may take"},
    {"broker", "prefetch", NULL, NUMBER, AT(broker.prefetch), 1, 65535, "200",
     .help = "messages of a topic that the broker delivers ahead"},
    {"broker", "delivery_limit", NULL, NUMBER, AT(broker.delivery_limit), 0, 1000000, "20",
     .help = "returns after which the broker drops a message; it is rejected before that; 0: no limit"},
    {"broker", "reconnect_max", NULL, NUMBER, AT(broker.reconnect_max), 1, 3600, "1",
     .help = "seconds within which a broker that is back is found"},
    {"log", "directory", "LOG_DIR", PATH, AT(log_directory), 0, 0, "logs",
     .help = "directory of log file and health file"},
    {"log", "console_level", "LOG_CONSOLE_LEVEL", LEVEL, AT(log.console_level), 0, 0, "INFO",
     .help = "lowest level on the console", .compose = "LOG_LEVEL"},
    {"log", "file_level", "LOG_FILE_LEVEL", LEVEL, AT(log.file_level), 0, 0, "DEBUG",
     .help = "lowest level in the log file"},
    {"log", "file_max_bytes", "LOG_FILE_MAX_BYTES", NUMBER, AT(log.max_bytes), 0, LONG_MAX, "1000000",
     .help = "size at which the log file is rotated; 0: never"},
    {"log", "file_backup_count", "LOG_FILE_BACKUP_COUNT", NUMBER, AT(log.backup_count), 0, LOG_BACKUPS_MAX, "5",
     .help = "older log files to keep; 0: no rotation"},
    {"log", "file_name", "LOG_FILE_NAME", TEXT, AT(log_file_name), 0, 0, "log_messages.txt",
     .help = "name of the log file"},
    {"log", "payloads", NULL, CHOICE, AT(payloads), 0, 0, "full",
     .help = "payloads of rejected messages in records: full or none", .words = payloads_words},
    {"health", "file_name", "COMPONET_ID_FILE_NAME", TEXT, AT(health_file_name), 0, 0, "component_id.json",
     .help = "name of the health file, in the log directory"},
    {"http", "listen", "HTTP_LISTEN", TEXT, AT(http.listen), 0, 0, NULL,
     .help = "ADDRESS:PORT of health, metrics and status by HTTP; without it there is no TCP"},
    {"otel", "endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", TEXT, AT(otel.endpoint), 0, 0, NULL,
     .help = "base URL of an OpenTelemetry collector that takes OTLP over HTTP; without it no traces"},
    {"otel", "headers", "OTEL_EXPORTER_OTLP_HEADERS", TEXT, AT(otel.headers), 0, 0, NULL,
     .help = "headers of the requests to it: KEY=VALUE,KEY=VALUE…"},
    {"otel", "service_name", "OTEL_SERVICE_NAME", TEXT, AT(otel.service_name), 0, 0, NULL,
     .help = "service of the traces; without it each component is one of its name"},
    {"host", "grace_seconds", NULL, NUMBER, AT(host.grace_seconds), 0, 3600, "5",
     .help = "seconds to finish the work in hand at a stop"},
    {"host", "message_max_bytes", NULL, NUMBER, AT(host.message_max_bytes), 1024, 134217728,
     AS_TEXT(MESSAGE_MAX_DEFAULT), .help = "larger messages are rejected, larger publications refused"},
    {"host", "outbox_max_bytes", NULL, NUMBER, AT(host.outbox_max_bytes), 1024, LONG_MAX, "67108864",
     .help = "memory for publications that wait for the broker; each plugin has an equal share"},
    {"host", "attempts", NULL, NUMBER, AT(host.attempts), 1, 1000000, "10",
     .help = "calls for a message that the plugin asks to retry"},
    {"host", "dead_letters", NULL, CHOICE, AT(host.dead_letters), 0, 0, "keep",
     .help = "rejected messages: keep moves them to TOPIC/dead, broker leaves them to its policies",
     .words = dead_letters_words},
    {"host", "dead_letters_max", NULL, NUMBER, AT(host.dead_letters_max), 1, 100000000, "10000",
     .help = "messages that TOPIC/dead may hold"},
    {"host", "slow_seconds", NULL, NUMBER, AT(host.slow_seconds), 1, 86400, "60",
     .help = "a handler that takes longer is named in a warning"},
    {"host", "isolation", "VALAWAI_ISOLATION", CHOICE, AT(host.isolation), 0, 0, "process",
     .help = "each plugin runs in a process of its own, or in a thread of the host", .words = isolation_words},
    {"host", "crash_attempts", NULL, NUMBER, AT(host.crash_attempts), 1, 1000, "3",
     .help = "calls for a message that end its plugin's process, before it is rejected"},
    {"host", "handler_seconds", NULL, NUMBER, AT(host.handler_seconds), 0, 604800, "1500",
     .help = "a handler in a process of its own that takes longer is ended with it; 0: never"},
    {"host", "memory_max", NULL, SIZE, AT(host.limits.memory_max), MEMORY_MIN, LONG_MAX, NULL,
     .help = "memory of a plugin's process, such as 256M; one that has more is ended"},
    {"host", "cpu_max", NULL, NUMBER, AT(host.limits.cpu_max), 1, CPU_MAX, NULL,
     .help = "percent of one core for a plugin's process; one that uses more in 10 s is ended"},
    {"host", "files_max", NULL, NUMBER, AT(host.limits.files_max), FILES_MIN, FILES_MAX, NULL,
     .help = "open descriptors of a plugin's process; one that has so many is ended"},
    {"host", "processes_max", NULL, NUMBER, AT(host.limits.processes_max), 1, PROCESSES_MAX, NULL,
     .help = "processes of a plugin, its own included; if it makes more, all of them are ended"},
};
const size_t settings_table_size = COUNT(settings_table);
#undef AT

#define AT(member) offsetof(struct plugin_section, member)
const struct setting plugin_table[] = {
    {"plugin", "path", NULL, PATH, AT(path), 0, 0, NULL, .help = "the file [NAME.so in the plugin directory]"},
    {"plugin", "enabled", NULL, BOOLEAN, AT(enabled), 0, 0, "true", .help = "false: the plugin is not loaded"},
    {"plugin", "validate", NULL, CHOICE, AT(validate), 0, 0, "strict",
     .help = "what its AsyncAPI document does not allow: strict, warn or off", .words = validate_words},
    {"plugin", "isolation", NULL, CHOICE, AT(isolation), 0, 0, "host",
     .help = "thread, process, or as host.isolation says", .words = plugin_isolation_words},
    {"plugin", "threads", NULL, NUMBER, AT(threads), 1, 64, "1",
     .help = "threads for the handlers of a plugin that is safe for several"},
    {"plugin", "prefetch", NULL, NUMBER, AT(prefetch), 1, 65535, NULL,
     .help = "messages of each of its topics that the broker delivers ahead [broker.prefetch]"},
    {"plugin", "attempts", NULL, NUMBER, AT(attempts), 1, 1000000, NULL,
     .help = "calls for a message that the plugin asks to retry; default: host.attempts"},
    {"plugin", "memory_max", NULL, SIZE, AT(limits.memory_max), MEMORY_MIN, LONG_MAX, NULL,
     .help = "memory of its process; default: host.memory_max"},
    {"plugin", "cpu_max", NULL, NUMBER, AT(limits.cpu_max), 1, CPU_MAX, NULL,
     .help = "percent of one core for its process; default: host.cpu_max"},
    {"plugin", "files_max", NULL, NUMBER, AT(limits.files_max), FILES_MIN, FILES_MAX, NULL,
     .help = "open descriptors of its process; default: host.files_max"},
    {"plugin", "processes_max", NULL, NUMBER, AT(limits.processes_max), 1, PROCESSES_MAX, NULL,
     .help = "its processes; default: host.processes_max"},
};
const size_t plugin_table_size = COUNT(plugin_table);
#undef AT

_Static_assert(COUNT(settings_table) <= SETTINGS_MAX && COUNT(plugin_table) <= SETTINGS_MAX,
               "SETTINGS_MAX is too small");

static const struct setting *find(const struct setting *table, size_t size, const char *section, const char *key)
{
    for (size_t i = 0; i < size; i++) {
        const char *own = table[i].section;
        bool same = section == NULL || own == NULL ? section == own : strcmp(own, section) == 0;
        if (same && strcmp(table[i].key, key) == 0)
            return &table[i];
    }
    return NULL;
}

const struct setting *setting_find(const char *section, const char *key)
{
    return find(settings_table, settings_table_size, section, key);
}

const struct setting *plugin_setting_find(const char *key)
{
    return find(plugin_table, plugin_table_size, "plugin", key);
}

bool settings_has_plugin_key(const char *key)
{
    return plugin_setting_find(key) != NULL;
}

bool number_read(const char *value, long min, long max, long *number)
{
    char *end = NULL;
    errno = 0;
    long read = strtol(value, &end, 10);
    bool begins = value[0] == '-' || (value[0] >= '0' && value[0] <= '9'); /* strtol takes blanks and a plus sign */
    if (!begins || errno != 0 || end == value || *end != '\0' || read < min || read > max)
        return false;
    *number = read;
    return true;
}

/* A number of bytes; with K, M or G at its end, of KiB, MiB or GiB. */
static bool size_read(const char *value, long min, long max, long *size)
{
    static const char units[] = "KMG";
    size_t len = strlen(value);
    const char *unit = len < 2 ? NULL : strchr(units, value[len - 1]);
    char digits[24];
    if (unit == NULL)
        return number_read(value, min, max, size);
    if (len >= sizeof digits)
        return false;
    memcpy(digits, value, len - 1);
    digits[len - 1] = '\0';
    int shift = 10 * (int)(unit - units + 1);
    long number;
    if (!number_read(digits, 0, LONG_MAX >> shift, &number) || number << shift < min || number << shift > max)
        return false;
    *size = number << shift;
    return true;
}

static bool boolean_read(const char *value, bool *boolean)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < COUNT(words); i++) {
        for (int truth = 0; truth < 2; truth++) {
            if (strcmp(value, words[i][truth]) == 0) {
                *boolean = truth != 0;
                return true;
            }
        }
    }
    return false;
}

static bool choice_read(const struct setting *setting, unsigned *choice, const char *value, const char *where,
                        struct fault *fault)
{
    struct text words = {0};
    for (unsigned i = 0; setting->words[i] != NULL; i++) {
        if (strcmp(value, setting->words[i]) == 0) {
            *choice = i;
            text_free(&words);
            return true;
        }
        text_printf(&words, "%s%s", i == 0 ? "" : setting->words[i + 1] == NULL ? " or " : ", ", setting->words[i]);
    }
    fault_set(fault, "%s: \"%.40s\" is not %s", where, value, words.at);
    text_free(&words);
    return false;
}

static char *path_from(const char *directory, const char *path)
{
    return directory == NULL || path[0] == '/' ? memory_text(path) : memory_format("%s/%s", directory, path);
}

bool setting_read(const struct setting *setting, void *structure, const char *value, const char *directory,
                  const char *where, struct fault *fault)
{
    void *at = (char *)structure + setting->at;
    switch (setting->kind) {
    case TEXT:
    case PATH:
        if (value[0] == '\0')
            return fault_set(fault, "%s: is empty", where);
        free(*(char **)at);
        *(char **)at = setting->kind == PATH ? path_from(directory, value) : memory_text(value);
        return true;
    case NUMBER:
        if (number_read(value, setting->min, setting->max, at))
            return true;
        if (setting->max == LONG_MAX)
            return fault_set(fault, "%s: \"%.40s\" is not a whole number of at least %ld", where, value, setting->min);
        return fault_set(fault, "%s: \"%.40s\" is not a whole number from %ld to %ld", where, value, setting->min,
                         setting->max);
    case SIZE:
        return size_read(value, setting->min, setting->max, at) ||
               fault_set(fault, "%s: \"%.40s\" is not a size of at least %ldM, such as 256M or 268435456", where, value,
                         setting->min >> 20);
    case LEVEL:
        return log_level_read(value, at) ||
               fault_set(fault, "%s: \"%.40s\" is not a level; use DEBUG, INFO, WARNING, ERROR, FATAL or CRITICAL",
                         where, value);
    case BOOLEAN:
        return boolean_read(value, at) || fault_set(fault, "%s: \"%.40s\" is neither true nor false", where, value);
    case CHOICE:
        return choice_read(setting, at, value, where, fault);
    }
    return false;
}

bool settings_read_defaults(const struct setting *table, size_t size, void *structure, struct fault *fault)
{
    for (size_t i = 0; i < size; i++)
        if (table[i].fallback != NULL &&
            !setting_read(&table[i], structure, table[i].fallback, NULL, table[i].key, fault))
            return false;
    return true;
}

void settings_free_texts(const struct setting *table, size_t size, void *structure)
{
    for (size_t i = 0; i < size; i++) {
        if (table[i].kind == TEXT || table[i].kind == PATH) {
            char **text = (char **)((char *)structure + table[i].at);
            free(*text);
            *text = NULL;
        }
    }
}

void settings_copy_texts(const struct setting *table, size_t size, void *structure)
{
    for (size_t i = 0; i < size; i++) {
        char **text = (char **)((char *)structure + table[i].at);
        if ((table[i].kind == TEXT || table[i].kind == PATH) && *text != NULL)
            *text = memory_text(*text);
    }
}

bool setting_is_equal(const struct setting *setting, const void *one, const void *other)
{
    const void *a = (const char *)one + setting->at, *b = (const char *)other + setting->at;
    const char *text, *other_text;
    switch (setting->kind) {
    case TEXT:
    case PATH:
        text = *(char *const *)a, other_text = *(char *const *)b;
        return text == NULL || other_text == NULL ? text == other_text : strcmp(text, other_text) == 0;
    case NUMBER:
    case SIZE:
    case LEVEL:
        return *(const long *)a == *(const long *)b;
    case BOOLEAN:
        return *(const bool *)a == *(const bool *)b;
    case CHOICE:
        return *(const unsigned *)a == *(const unsigned *)b;
    }
    return false;
}

const char *setting_variable(const struct setting *setting)
{
    const char *value = setting->variable == NULL ? NULL : getenv(setting->variable);
    if (value == NULL || value[0] == '\0')
        return NULL;
    const char *written = setting->compose == NULL ? NULL : getenv(setting->compose);
    return written != NULL && strcmp(written, value) == 0 ? setting->compose : setting->variable;
}

static void help(FILE *out, const struct setting *table, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%s%s", table[i].section == NULL ? "" : table[i].section,
                 table[i].section == NULL ? "" : ".", table[i].key);
        fprintf(out, "  %-24s %-23s %s", key, table[i].variable == NULL ? "" : table[i].variable, table[i].help);
        if (table[i].fallback != NULL)
            fprintf(out, " [%s]", table[i].fallback);
        fputc('\n', out);
    }
}

void settings_help(FILE *out)
{
    help(out, settings_table, settings_table_size);
    help(out, plugin_table, plugin_table_size);
}
