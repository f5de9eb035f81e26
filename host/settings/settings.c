/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings/settings.h"

#include <confuse.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#define DEFAULT_FILE "plugins.conf"

enum kind { TEXT, PATH, NUMBER, LEVEL, BOOLEAN };

/* One setting: where plugins.conf and the environment name it, and what it may be. */
struct setting {
    const char *section, *key; /* section NULL: at the top of the file */
    const char *variable;      /* NULL: only in the file */
    enum kind kind;
    size_t at; /* offset in struct settings */
    long min, max;
    const char *fallback; /* NULL: none */
    const char *help;
};

#define AS_TEXT_(number) #number
#define AS_TEXT(number) AS_TEXT_(number)
#define AT(member) offsetof(struct settings, member)

static const struct setting table[] = {
    {NULL, "plugin_directory", NULL, PATH, AT(plugin_directory), 0, 0, "plugins", "where plugins lie"},
    {"broker", "host", "RABBITMQ_HOST", TEXT, AT(broker.host), 0, 0, "mov-mq",
     "host name or address; of a cluster several, NAME[:PORT],NAME[:PORT]…"},
    {"broker", "port", "RABBITMQ_PORT", NUMBER, AT(broker.port), 1, 65535, NULL, "port [5672; with TLS 5671]"},
    {"broker", "username", "RABBITMQ_USERNAME", TEXT, AT(broker.username), 0, 0, "mov", "user name"},
    {"broker", "password", "RABBITMQ_PASSWORD", TEXT, AT(broker.password), 0, 0, "password", "password"},
    {"broker", "password_file", "RABBITMQ_PASSWORD_FILE", PATH, AT(broker.password_file), 0, 0, NULL,
     "file whose first line is the password; goes before the password"},
    {"broker", "tls", "RABBITMQ_TLS", BOOLEAN, AT(broker.tls), 0, 0, "false", "TLS; peer and name are always verified"},
    {"broker", "tls_ca", "RABBITMQ_TLS_CA", PATH, AT(broker.tls_ca), 0, 0, "/etc/ssl/certs/ca-certificates.crt",
     "file with the certificates to trust"},
    {"broker", "tls_certificate", "RABBITMQ_TLS_CERTIFICATE", PATH, AT(broker.tls_certificate), 0, 0, NULL,
     "file with our own certificate, if the broker wants one …"},
    {"broker", "tls_key", "RABBITMQ_TLS_KEY", PATH, AT(broker.tls_key), 0, 0, NULL, "… and its key"},
    {"broker", "virtual_host", NULL, TEXT, AT(broker.virtual_host), 0, 0, "/", "virtual host"},
    {"broker", "max_retries", "RABBITMQ_MAX_RETRIES", NUMBER, AT(broker.max_retries), 1, 1000000, "100",
     "attempts to make the first connection"},
    {"broker", "retry_sleep", "RABBITMQ_RETRY_SLEEP", NUMBER, AT(broker.retry_sleep), 0, 3600, "3",
     "seconds between those attempts"},
    {"broker", "heartbeat", NULL, NUMBER, AT(broker.heartbeat), 1, 600, "10",
     "seconds; a silent broker is given up before two"},
    {"broker", "prefetch", NULL, NUMBER, AT(broker.prefetch), 1, 65535, "200",
     "messages of a topic that are handed out ahead"},
    {"broker", "reconnect_max", NULL, NUMBER, AT(broker.reconnect_max), 1, 3600, "1",
     "seconds within which a broker that is back is found"},
    {"log", "directory", "LOG_DIR", PATH, AT(log_directory), 0, 0, "logs", "directory of log and health file"},
    {"log", "console_level", "LOG_CONSOLE_LEVEL", LEVEL, AT(log.console_level), 0, 0, "INFO",
     "console from this level"},
    {"log", "file_level", "LOG_FILE_LEVEL", LEVEL, AT(log.file_level), 0, 0, "DEBUG", "log file from this level"},
    {"log", "file_max_bytes", "LOG_FILE_MAX_BYTES", NUMBER, AT(log.max_bytes), 0, LONG_MAX, "1000000",
     "rotate before a record would pass this size; 0: never"},
    {"log", "file_backup_count", "LOG_FILE_BACKUP_COUNT", NUMBER, AT(log.backup_count), 0, LOG_BACKUPS_MAX, "5",
     "older log files to keep; 0: never rotate"},
    {"log", "file_name", "LOG_FILE_NAME", TEXT, AT(log_file_name), 0, 0, "log_messages.txt", "name of the log file"},
    {"health", "file_name", "COMPONET_ID_FILE_NAME", TEXT, AT(health_file_name), 0, 0, "component_id.json",
     "health file, in the log directory"},
    {"host", "grace_seconds", NULL, NUMBER, AT(host.grace_seconds), 0, 3600, "5",
     "seconds to finish what is in hand at a stop"},
    {"host", "message_max_bytes", NULL, NUMBER, AT(host.message_max_bytes), 1024, 134217728,
     AS_TEXT(MESSAGE_MAX_DEFAULT), "larger messages are rejected, larger publications refused"},
    {"host", "outbox_max_bytes", NULL, NUMBER, AT(host.outbox_max_bytes), 1024, LONG_MAX, "67108864",
     "bytes of publications that may wait for the broker"},
    {"host", "attempts", NULL, NUMBER, AT(host.attempts), 1, 1000000, "10",
     "calls for a message that a plugin wants to try again"},
    {"host", "slow_seconds", NULL, NUMBER, AT(host.slow_seconds), 1, 86400, "60",
     "a handler that takes longer is named in a warning"},
};

#define TABLE_SIZE (sizeof table / sizeof *table)

/* The lines of a quoted text that goes over several. */
struct quoted {
    int first, last;
};

/* libconfuse's callbacks carry no context; this is theirs while a file is parsed. */
static _Thread_local struct parse {
    struct settings *settings;
    const char *file;
    struct quoted *quoted;
    size_t quoted_count;
    char *directory; /* of the file: what its relative paths start from */
    struct fault *fault;
    bool refused; /* by one of our checks: libconfuse's word on it is not needed */
} * parse;

static const struct setting *setting_find(const char *section, const char *key)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        bool top = table[i].section == NULL;
        if (strcmp(table[i].key, key) == 0 && (section == NULL ? top : !top && strcmp(table[i].section, section) == 0))
            return &table[i];
    }
    return NULL;
}

static char *path_from(const char *directory, const char *path)
{
    return directory == NULL || path[0] == '/' ? memory_text(path) : memory_format("%s/%s", directory, path);
}

static bool number_read(const char *value, long min, long max, long *number)
{
    char *end = NULL;
    errno = 0;
    long read = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || read < min || read > max)
        return false;
    *number = read;
    return true;
}

static bool boolean_read(const char *value, bool *boolean)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        for (int truth = 0; truth < 2; truth++) {
            if (strcmp(value, words[i][truth]) == 0) {
                *boolean = truth != 0;
                return true;
            }
        }
    }
    return false;
}

/* where: what to name when the value is refused. directory: what a relative path starts from; NULL: as it is. */
static bool setting_read(const struct setting *setting, struct settings *settings, const char *value,
                         const char *directory, const char *where, struct fault *fault)
{
    void *at = (char *)settings + setting->at;
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
    case LEVEL:
        return log_level_read(value, at) ||
               fault_set(fault, "%s: \"%.40s\" is not a level; use DEBUG, INFO, WARNING, ERROR, FATAL or CRITICAL",
                         where, value);
    case BOOLEAN:
        return boolean_read(value, at) || fault_set(fault, "%s: \"%.40s\" is neither true nor false", where, value);
    }
    return false;
}

/* Where the reading is: after a quoted text, where that began, since libconfuse stands at its end. */
static int line_of(const cfg_t *cfg)
{
    for (size_t i = 0; i < parse->quoted_count; i++)
        if (parse->quoted[i].last == cfg->line)
            return parse->quoted[i].first;
    return cfg->line;
}

static void on_error(cfg_t *cfg, const char *format, va_list arguments)
{
    if (parse->refused)
        return;
    char what[256];
    vsnprintf(what, sizeof what, format, arguments);
    fault_set(parse->fault, "%s:%d: %s", parse->file, line_of(cfg), what);
}

static int refuse_value(void)
{
    parse->refused = true;
    return -1;
}

static int on_setting(cfg_t *cfg, cfg_opt_t *option)
{
    const char *section = strcmp(cfg_name(cfg), "root") == 0 ? NULL : cfg_name(cfg);
    const struct setting *setting = setting_find(section, cfg_opt_name(option));
    const char *value = cfg_opt_getnstr(option, cfg_opt_size(option) - 1);
    char where[512];
    snprintf(where, sizeof where, "%s:%d: %s", parse->file, line_of(cfg), setting->key);
    return setting_read(setting, parse->settings, value == NULL ? "" : value, parse->directory, where, parse->fault)
               ? 0
               : refuse_value();
}

static int on_enabled(cfg_t *cfg, cfg_opt_t *option)
{
    bool enabled = true;
    const char *value = cfg_opt_getnstr(option, cfg_opt_size(option) - 1);
    if (boolean_read(value == NULL ? "" : value, &enabled))
        return 0;
    fault_set(parse->fault, "%s:%d: enabled: \"%.40s\" is neither true nor false", parse->file, line_of(cfg), value);
    return refuse_value();
}

static int on_path(cfg_t *cfg, cfg_opt_t *option)
{
    const char *value = cfg_opt_getnstr(option, cfg_opt_size(option) - 1);
    if (value != NULL && value[0] != '\0')
        return 0;
    fault_set(parse->fault, "%s:%d: path: is empty", parse->file, line_of(cfg));
    return refuse_value();
}

static bool validate_read(const char *value, enum validate *validate)
{
    static const char *const names[] = {[VALIDATE_STRICT] = "strict", [VALIDATE_WARN] = "warn", [VALIDATE_OFF] = "off"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(value, names[i]) == 0) {
            *validate = (enum validate)i;
            return true;
        }
    }
    return false;
}

static int on_validate(cfg_t *cfg, cfg_opt_t *option)
{
    enum validate validate;
    const char *value = cfg_opt_getnstr(option, cfg_opt_size(option) - 1);
    if (value != NULL && validate_read(value, &validate))
        return 0;
    fault_set(parse->fault, "%s:%d: validate: \"%.40s\" is not strict, warn or off", parse->file, line_of(cfg),
              value == NULL ? "" : value);
    return refuse_value();
}

#define THREADS_MAX 64

static bool threads_read(const char *value, long *threads)
{
    char *end = NULL;
    errno = 0;
    long number = strtol(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < 1 || number > THREADS_MAX)
        return false;
    *threads = number;
    return true;
}

static int on_threads(cfg_t *cfg, cfg_opt_t *option)
{
    long threads;
    const char *value = cfg_opt_getnstr(option, cfg_opt_size(option) - 1);
    if (value != NULL && threads_read(value, &threads))
        return 0;
    fault_set(parse->fault, "%s:%d: threads: \"%.40s\" is not a number from 1 to %d", parse->file, cfg->line,
              value == NULL ? "" : value, THREADS_MAX);
    return refuse_value();
}

static void section_take(struct settings *settings, cfg_t *cfg)
{
    settings->sections = memory_resize(settings->sections, (settings->section_count + 1) * sizeof *settings->sections);
    struct plugin_section *section = &settings->sections[settings->section_count++];
    *section = (struct plugin_section){.name = memory_text(cfg_title(cfg)), .enabled = true, .threads = 1};
    for (unsigned i = 0; i < cfg_num(cfg); i++) {
        cfg_opt_t *option = cfg_getnopt(cfg, i);
        const char *key = cfg_opt_name(option);
        const char *value = cfg_opt_size(option) == 0 ? NULL : cfg_opt_getnstr(option, cfg_opt_size(option) - 1);
        if (value == NULL)
            continue;
        if (strcmp(key, "path") == 0) {
            section->path = path_from(parse->directory, value);
        } else if (strcmp(key, "enabled") == 0) {
            (void)!boolean_read(value, &section->enabled); /* on_enabled has seen it */
        } else if (strcmp(key, "validate") == 0) {
            (void)!validate_read(value, &section->validate);
        } else if (strcmp(key, "threads") == 0) {
            (void)!threads_read(value, &section->threads);
        } else {
            section->options = memory_resize(section->options, (section->option_count + 1) * sizeof *section->options);
            section->options[section->option_count++] =
                (struct plugin_option){.key = memory_text(key), .value = memory_text(value)};
        }
    }
}

/* Blanks comments out, because libconfuse miscounts the lines after them, notes which quoted texts go over several
 * lines, and finds what libconfuse does not mind at the end of the file: an open comment, quotation mark or section. */
static bool blank_comments(char *text, struct parse *context, struct fault *fault)
{
    const char *path = context->file;
    enum { PLAIN, LINE_COMMENT, COMMENT, QUOTED } in = PLAIN;
    int line = 1, opened = 0, section = 0, depth = 0;
    char quote = '\0';
    bool word = false; /* in the middle of one "//" begins no comment: http://… */
    for (char *at = text; *at != '\0'; at++) {
        line += *at == '\n';
        switch (in) {
        case PLAIN:
            if (*at == '#' || (*at == '/' && at[1] == '/' && !word)) {
                in = LINE_COMMENT;
                *at = ' ';
            } else if (*at == '/' && at[1] == '*' && !word) {
                in = COMMENT;
                opened = line;
                *at++ = ' ';
                *at = ' ';
            } else if (*at == '"' || *at == '\'') {
                in = QUOTED;
                opened = line;
                quote = *at;
            } else if (*at == '{' && depth++ == 0) {
                section = line;
            } else if (*at == '}' && depth > 0) {
                depth--;
            }
            word = in == PLAIN && strchr(" \t\r\n{}=(),+", *at) == NULL;
            break;
        case LINE_COMMENT:
            if (*at == '\n')
                in = PLAIN;
            else
                *at = ' ';
            break;
        case COMMENT:
            if (*at == '*' && at[1] == '/') {
                in = PLAIN;
                *at++ = ' ';
                *at = ' ';
            } else if (*at != '\n') {
                *at = ' ';
            }
            break;
        case QUOTED:
            if (*at == '\\' && at[1] != '\0')
                line += *++at == '\n';
            else if (*at == quote)
                in = PLAIN;
            if (in == PLAIN && opened != line) {
                context->quoted = memory_resize(context->quoted, (context->quoted_count + 1) * sizeof *context->quoted);
                context->quoted[context->quoted_count++] = (struct quoted){.first = opened, .last = line};
            }
            break;
        }
    }
    if (in == COMMENT)
        return fault_set(fault, "%s:%d: the comment that begins here has no end", path, opened);
    if (in == QUOTED)
        return fault_set(fault, "%s:%d: the text that begins here has no closing %c", path, opened, quote);
    return depth == 0 || fault_set(fault, "%s:%d: the section that begins here has no closing }", path, section);
}

/* Every setting is declared as a string, so that file and environment are read by the same code and say the same. */
static cfg_t *grammar(cfg_opt_t *options, cfg_opt_t sections[][TABLE_SIZE + 1], cfg_opt_t *plugin)
{
    static const char *const names[] = {"broker", "log", "health", "host"};
    cfg_opt_t end = CFG_END();
    size_t count = 0;
    for (size_t s = 0; s < sizeof names / sizeof *names; s++) {
        size_t keys = 0;
        for (size_t i = 0; i < TABLE_SIZE; i++)
            if (table[i].section != NULL && strcmp(table[i].section, names[s]) == 0)
                sections[s][keys++] = (cfg_opt_t)CFG_STR(table[i].key, NULL, CFGF_NODEFAULT);
        sections[s][keys] = end;
        options[count++] = (cfg_opt_t)CFG_SEC(names[s], sections[s], CFGF_NONE);
    }
    options[count++] = (cfg_opt_t)CFG_STR("plugin_directory", NULL, CFGF_NODEFAULT);
    plugin[0] = (cfg_opt_t)CFG_STR("path", NULL, CFGF_NODEFAULT);
    plugin[1] = (cfg_opt_t)CFG_STR("enabled", NULL, CFGF_NODEFAULT);
    plugin[2] = (cfg_opt_t)CFG_STR("validate", NULL, CFGF_NODEFAULT);
    plugin[3] = (cfg_opt_t)CFG_STR("threads", NULL, CFGF_NODEFAULT);
    plugin[4] = end;
    options[count++] =
        (cfg_opt_t)CFG_SEC("plugin", plugin, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES | CFGF_KEYSTRVAL);
    options[count] = end;

    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    if (cfg == NULL)
        return memory_got(NULL);
    cfg_set_error_function(cfg, on_error);
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s%s", table[i].section == NULL ? "" : table[i].section,
                 table[i].section == NULL ? "" : "|", table[i].key);
        cfg_set_validate_func(cfg, name, on_setting);
    }
    cfg_set_validate_func(cfg, "plugin|enabled", on_enabled);
    cfg_set_validate_func(cfg, "plugin|path", on_path);
    cfg_set_validate_func(cfg, "plugin|validate", on_validate);
    cfg_set_validate_func(cfg, "plugin|threads", on_threads);
    return cfg;
}

static bool file_read(struct settings *settings, const char *path, struct fault *fault)
{
    bool read = false;
    cfg_opt_t options[8], sections[4][TABLE_SIZE + 1], plugin[5];
    cfg_t *cfg = NULL;
    struct text text = {0};
    struct parse context = {.settings = settings, .file = path, .fault = fault};

    if (!file_read_text(path, 1 << 20, &text, fault) || !blank_comments(text.at, &context, fault))
        goto out;
    const char *slash = strrchr(path, '/');
    context.directory = slash == NULL ? NULL : slash == path ? memory_text("/") : memory_text(path);
    if (slash != NULL && slash != path)
        context.directory[slash - path] = '\0';

    parse = &context;
    cfg = grammar(options, sections, plugin);
    fault_set(fault, "%s: cannot be read", path);
    if (cfg_parse_buf(cfg, text.at) != CFG_SUCCESS)
        goto out;
    for (unsigned i = 0; i < cfg_size(cfg, "plugin"); i++)
        section_take(settings, cfg_getnsec(cfg, "plugin", i));
    read = true;
out:
    parse = NULL;
    if (cfg != NULL)
        cfg_free(cfg);
    free(context.directory);
    free(context.quoted);
    text_free(&text);
    return read;
}

static bool environment_read(struct settings *settings, struct fault *fault)
{
    bool password_given = false, password_file_given = false;
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const char *value = table[i].variable == NULL ? NULL : getenv(table[i].variable);
        if (value == NULL || value[0] == '\0') /* compose hands empty ones over for what is not set */
            continue;
        if (!setting_read(&table[i], settings, value, NULL, table[i].variable, fault))
            return false;
        password_given |= table[i].at == AT(broker.password);
        password_file_given |= table[i].at == AT(broker.password_file);
    }
    if (password_given && !password_file_given) { /* the environment goes before the file's password_file */
        free(settings->broker.password_file);
        settings->broker.password_file = NULL;
    }
    return true;
}

static bool password_read(struct settings *settings, struct fault *fault)
{
    if (settings->broker.password_file == NULL)
        return true;
    struct text text = {0};
    bool read = file_read_text(settings->broker.password_file, 4096, &text, fault);
    if (read) {
        size_t len = strcspn(text.at, "\r\n");
        if (len == 0)
            read =
                fault_set(fault, "%s: its first line is empty; a password is wanted", settings->broker.password_file);
        else {
            free(settings->broker.password);
            settings->broker.password = memory_format("%.*s", (int)len, text.at);
        }
    }
    text_free(&text);
    return read || fault_prefix(fault, "password file");
}

static void endpoint_add(struct settings *settings, char *host, long port)
{
    settings->broker.endpoints = memory_resize(settings->broker.endpoints, (settings->broker.endpoint_count + 1) *
                                                                               sizeof *settings->broker.endpoints);
    settings->broker.endpoints[settings->broker.endpoint_count++] = (struct endpoint){.host = host, .port = (int)port};
}

/* NAME[:PORT] and [ADDRESS]:PORT, with commas between. A bare IPv6 address has colons of its own and no port. */
static bool endpoints_read(struct settings *settings, struct fault *fault)
{
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
                return fault_set(
                    fault, "RABBITMQ_HOST or broker.host: the port in \"%.*s\" is not a whole number from 1 to 65535",
                    (int)len, at);
        }
        bool bare = bracket && host_len >= 2 && at[host_len - 1] == ']';
        size_t name_len = bare ? host_len - 2 : host_len;
        if (name_len == 0)
            return fault_set(fault, "RABBITMQ_HOST or broker.host: a name is missing in \"%s\"", settings->broker.host);
        endpoint_add(settings, memory_format("%.*s", (int)name_len, bare ? at + 1 : at), port);
    }
    return true;
}

/* Log and health file lie in one directory. */
static bool files_are_apart(const struct settings *settings, struct fault *fault)
{
    const char *log = settings->log_file_name, *health = settings->health_file_name;
    size_t len = strlen(log), end = strlen(health);
    if (end == 0 || health[end - 1] == '/' || strcmp(health, ".") == 0 || strcmp(health, "..") == 0)
        return fault_set(fault, "COMPONET_ID_FILE_NAME or health.file_name: \"%s\" is no name of a file", health);
    const char *number = strncmp(health, log, len) != 0 ? "?" : health + len + (health[len] == '.');
    if (number[strspn(number, "0123456789")] == '\0') /* also of an older log */
        return fault_set(fault, "COMPONET_ID_FILE_NAME or health.file_name: \"%s\" is the log's (LOG_FILE_NAME)",
                         health);
    return true;
}

bool settings_read(const char *config, struct settings **result, struct fault *fault)
{
    struct settings *settings = memory_new(sizeof *settings);
    struct stat status;

    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].fallback != NULL &&
            !setting_read(&table[i], settings, table[i].fallback, NULL, table[i].key, fault))
            goto refused;
    if (config == NULL && (lstat(DEFAULT_FILE, &status) == 0 || errno != ENOENT)) /* what is there is to be read */
        config = DEFAULT_FILE;
    if (config != NULL && !file_read(settings, config, fault))
        goto refused;
    if (!environment_read(settings, fault) || !password_read(settings, fault) || !endpoints_read(settings, fault) ||
        !files_are_apart(settings, fault))
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

void settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].kind == TEXT || table[i].kind == PATH)
            free(*(char **)((char *)settings + table[i].at));
    for (size_t i = 0; i < settings->broker.endpoint_count; i++)
        free(settings->broker.endpoints[i].host);
    free(settings->broker.endpoints);
    for (size_t i = 0; i < settings->section_count; i++) {
        struct plugin_section *section = &settings->sections[i];
        for (size_t o = 0; o < section->option_count; o++) {
            free(section->options[o].key);
            free(section->options[o].value);
        }
        free(section->options);
        free(section->name);
        free(section->path);
    }
    free(settings->sections);
    free(settings);
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

void settings_help(FILE *out)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%s%s", table[i].section == NULL ? "" : table[i].section,
                 table[i].section == NULL ? "" : ".", table[i].key);
        fprintf(out, "  %-24s %-23s %s", key, table[i].variable == NULL ? "" : table[i].variable, table[i].help);
        if (table[i].fallback != NULL)
            fprintf(out, " [%s]", table[i].fallback);
        fputc('\n', out);
    }
}
