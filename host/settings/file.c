/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "settings/file.h"

#include <confuse.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "settings/table.h"

/* The lines of a quoted text with several lines. */
struct quoted {
    int first, last;
};

/* The context of libconfuse's callbacks, which have none, while a file is parsed. */
static _Thread_local struct parse {
    struct settings *settings;
    const char *file;
    struct quoted *quoted;
    size_t quoted_count;
    char *directory; /* of the file; relative paths start there */
    struct fault *fault;
    bool refused; /* by our own check, which has set the fault, so libconfuse's message is ignored */
} * parse;

/* The line of the current value. */
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

static const char *last_value(cfg_opt_t *option)
{
    unsigned count = cfg_opt_size(option);
    const char *value = count == 0 ? NULL : cfg_opt_getnstr(option, count - 1);
    return value == NULL ? "" : value;
}

static int read_value(cfg_t *cfg, cfg_opt_t *option, const struct setting *setting, void *structure)
{
    char where[512];
    snprintf(where, sizeof where, "%s:%d: %s", parse->file, line_of(cfg), setting->key);
    if (setting_read(setting, structure, last_value(option), parse->directory, where, parse->fault))
        return 0;
    parse->refused = true;
    return -1;
}

static int on_setting(cfg_t *cfg, cfg_opt_t *option)
{
    const char *section = strcmp(cfg_name(cfg), "root") == 0 ? NULL : cfg_name(cfg);
    return read_value(cfg, option, setting_find(section, cfg_opt_name(option)), parse->settings);
}

/* Only checks the value, while its line is known. take_section reads it when the section is complete. */
static int on_plugin_setting(cfg_t *cfg, cfg_opt_t *option)
{
    struct plugin_section checked = {0};
    int answer = read_value(cfg, option, plugin_setting_find(cfg_opt_name(option)), &checked);
    settings_free_texts(plugin_table, plugin_table_size, &checked);
    return answer;
}

static bool take_section(struct settings *settings, cfg_t *cfg, struct fault *fault)
{
    settings->sections = memory_resize(settings->sections, (settings->section_count + 1) * sizeof *settings->sections);
    struct plugin_section *section = &settings->sections[settings->section_count++];
    *section = (struct plugin_section){.name = memory_text(cfg_title(cfg))};
    if (!settings_read_defaults(plugin_table, plugin_table_size, section, fault))
        return false;
    for (unsigned i = 0; i < cfg_num(cfg); i++) {
        cfg_opt_t *option = cfg_getnopt(cfg, i);
        const char *key = cfg_opt_name(option);
        const struct setting *setting = plugin_setting_find(key);
        if (cfg_opt_size(option) == 0)
            continue;
        if (setting == NULL) {
            section->options = memory_resize(section->options, (section->option_count + 1) * sizeof *section->options);
            section->options[section->option_count++] =
                (struct plugin_option){.key = memory_text(key), .value = memory_text(last_value(option))};
        } else if (!setting_read(setting, section, last_value(option), parse->directory, key, fault)) {
            return false;
        }
    }
    return true;
}

/* False if ${NAME} at this place has no value, for which libconfuse would insert an empty text. ${NAME:-text} has a
 * substitute. */
static bool variable_is_set(const char *at, char *name, size_t size)
{
    size_t len = strcspn(at + 2, "}"), name_len = strcspn(at + 2, ":}");
    if (at[2 + len] != '}' || name_len < len || name_len >= size)
        return true;
    memcpy(name, at + 2, name_len);
    name[name_len] = '\0';
    return getenv(name) != NULL;
}

/* libconfuse miscounts the lines after a comment, so this function replaces comments by blanks. libconfuse reports the
 * last line of a quoted text, so the lines of longer texts are noted. It accepts an open comment, quotation mark or
 * section at the end of the file, so this function refuses them. */
static bool blank_comments(char *text, struct parse *context, struct fault *fault)
{
    const char *path = context->file;
    enum { PLAIN, LINE_COMMENT, COMMENT, QUOTED } in = PLAIN;
    int line = 1, opened = 0, section = 0, depth = 0;
    char quote = '\0';
    char name[256];
    bool word = false; /* within a word, // is no comment: http://… */
    for (char *at = text; *at != '\0'; at++) {
        line += *at == '\n';
        if (*at == '$' && at[1] == '{' && (in == PLAIN || (in == QUOTED && quote == '"')) &&
            !variable_is_set(at, name, sizeof name))
            return fault_set(fault, "%s:%d: ${%s}: the environment variable %s is not set", path, line, name, name);
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

#define SECTIONS_MAX 8

/* Declares every key as a string, so that the same code reads file and environment with the same messages. */
static cfg_t *grammar(cfg_opt_t *options, cfg_opt_t sections[][SETTINGS_MAX + 1], cfg_opt_t *plugin)
{
    cfg_opt_t end = CFG_END();
    size_t count = 0, keys = 0;
    /* In the table, the settings of a section stand together. */
    for (size_t i = 0; i < settings_table_size && count < SECTIONS_MAX;) {
        const char *section = settings_table[i].section;
        if (section == NULL) {
            i++;
            continue;
        }
        cfg_opt_t *own = sections[count];
        for (keys = 0; i < settings_table_size && strcmp(settings_table[i].section, section) == 0; i++)
            own[keys++] = (cfg_opt_t)CFG_STR(settings_table[i].key, NULL, CFGF_NODEFAULT);
        own[keys] = end;
        options[count++] = (cfg_opt_t)CFG_SEC(section, own, CFGF_NONE);
    }
    options[count++] = (cfg_opt_t)CFG_STR("plugin_directory", NULL, CFGF_NODEFAULT);
    for (keys = 0; keys < plugin_table_size; keys++)
        plugin[keys] = (cfg_opt_t)CFG_STR(plugin_table[keys].key, NULL, CFGF_NODEFAULT);
    plugin[keys] = end;
    options[count++] =
        (cfg_opt_t)CFG_SEC("plugin", plugin, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES | CFGF_KEYSTRVAL);
    options[count] = end;

    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    if (cfg == NULL)
        return memory_got(NULL);
    cfg_set_error_function(cfg, on_error);
    const struct {
        const struct setting *table;
        size_t size;
        cfg_validate_callback_t read;
    } tables[] = {{settings_table, settings_table_size, on_setting},
                  {plugin_table, plugin_table_size, on_plugin_setting}};
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t].size; i++) {
            const struct setting *setting = &tables[t].table[i];
            char name[64];
            snprintf(name, sizeof name, "%s%s%s", setting->section == NULL ? "" : setting->section,
                     setting->section == NULL ? "" : "|", setting->key);
            cfg_set_validate_func(cfg, name, tables[t].read);
        }
    }
    return cfg;
}

bool settings_read_file(struct settings *settings, const char *path, struct fault *fault)
{
    bool read = false;
    cfg_opt_t options[SECTIONS_MAX + 3], sections[SECTIONS_MAX][SETTINGS_MAX + 1], plugin[SETTINGS_MAX + 1];
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
        if (!take_section(settings, cfg_getnsec(cfg, "plugin", i), fault))
            goto out;
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
