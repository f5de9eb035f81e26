/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/options.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/text.h"

#define FROM_FILE "_FILE"
#define VALUE_MAX 65536 /* bytes of a file with a value */

struct option {
    char *key, *text;
};

struct options {
    struct json_object *json;
    struct option *at;
    size_t count;
};

/* ---- names ---- */

static void put_upper(struct text *name, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char byte = bytes[i];
        if (byte >= 'a' && byte <= 'z')
            byte = (char)(byte - 'a' + 'A');
        else if (!(byte >= 'A' && byte <= 'Z') && !(byte >= '0' && byte <= '9'))
            byte = '_';
        text_put(name, &byte, 1);
    }
}

static size_t stem_length(const char *file)
{
    size_t len = strlen(file);
    return len > 3 && strcmp(file + len - 3, ".so") == 0 ? len - 3 : len;
}

/* VALAWAI_OPTION_<PLUGIN>_<KEY>, in capitals, with an underscore for every character that is neither a letter nor a
 * digit. */
static char *variable_of(const char *file, const char *key)
{
    struct text name = {0};
    text_puts(&name, OPTION_VARIABLE);
    put_upper(&name, file, stem_length(file));
    text_put(&name, "_", 1);
    put_upper(&name, key, strlen(key));
    return name.at;
}

/* True if the variable sets a declared option. */
static bool is_variable(const struct contract *contract, const char *file, const char *variable)
{
    json_object_object_foreach(contract_options(contract), key, schema)
    {
        (void)schema;
        char *name = variable_of(file, key);
        bool same = strcmp(name, variable) == 0;
        free(name);
        if (same)
            return true;
    }
    return false;
}

/* ---- values ---- */

/* Reads the value of a variable; NULL with true: it is not set. An empty variable counts as not set, because compose
 * files pass unset variables on as empty texts. */
static bool read_variable(const char *variable, bool from_file, char **value, struct fault *fault)
{
    const char *found = getenv(variable);
    struct text text = {0};
    *value = NULL;
    if (found == NULL || found[0] == '\0')
        return true;
    if (!from_file) {
        *value = memory_text(found);
        return true;
    }
    if (!file_read_text(found, VALUE_MAX, &text, fault)) {
        text_free(&text);
        return fault_prefix(fault, "%s", variable);
    }
    while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
        text.at[--text.len] = '\0';
    *value = text.at;
    return true;
}

/* The JSON value of a text, by the types that the schema allows: `500` is a number where a number is allowed, and a
 * string where it is not. A text that fits no allowed type becomes a string, which the schema refuses. */
static struct json_object *value_of(struct json_object *schema, const char *text)
{
    struct json_object *type = NULL, *value = NULL, *whole = NULL;
    const char *name = json_object_object_get_ex(schema, "type", &type) && json_object_is_type(type, json_type_string)
                           ? json_object_get_string(type)
                           : NULL;
    if ((name == NULL || strcmp(name, "string") != 0) && json_is_value(text, strlen(text), NULL)) {
        struct text object = {0};
        struct fault fault;
        text_printf(&object, "{\"value\":%s}", text);
        whole = json_parse(json_thread_reader(), object.at, object.len, &fault);
        text_free(&object);
        json_object_object_get_ex(whole, "value", &value);
        if (!json_object_is_type(value, json_type_string))
            json_object_get(value);
        else
            value = NULL;
        json_object_put(whole);
        if (value != NULL)
            return value;
    }
    return memory_got(json_object_new_string(text));
}

static const char *text_in_section(const struct plugin_section *section, const char *key)
{
    for (size_t i = 0; section != NULL && i < section->option_count; i++)
        if (strcmp(section->options[i].key, key) == 0)
            return section->options[i].value;
    return NULL;
}

/* ---- declared options ---- */

/* In plugins.conf such a key sets the host's own setting, so the option would never get a value. */
static bool check_names(const struct contract *contract, const char *file, struct fault *fault)
{
    json_object_object_foreach(contract_options(contract), key, schema)
    {
        (void)schema;
        if (settings_has_plugin_key(key))
            return fault_set(fault,
                             "options of plugin %.*s: x-options declares %s, which is a setting of the host; give the "
                             "option another name",
                             (int)stem_length(file), file, key);
    }
    return true;
}

static bool check_keys(const struct contract *contract, const struct plugin_section *section, struct fault *fault)
{
    for (size_t i = 0; section != NULL && i < section->option_count; i++) {
        const char *key = section->options[i].key;
        struct nearest nearest;
        if (json_object_object_get_ex(contract_options(contract), key, NULL))
            continue;
        nearest_begin(&nearest, key);
        json_object_object_foreach(contract_options(contract), known, schema)
        {
            (void)schema;
            nearest_offer(&nearest, known);
        }
        return fault_set(fault, "plugin %s in plugins.conf: unknown option %s%s%s%s", section->name, key,
                         nearest.name != NULL ? "; did you mean " : "", nearest.name != NULL ? nearest.name : "",
                         nearest.name != NULL ? "?" : "");
    }
    return true;
}

/* Reads a value: the environment overrides plugins.conf, which overrides the default. The default is copied, so the
 * document does not change. NULL with true: the option has no value. */
static bool read_value(const struct contract *contract, const char *file, const struct plugin_section *section,
                       const char *key, struct json_object **value, struct fault *fault)
{
    bool read = false;
    struct json_object *schema = contract_option(contract, key), *fallback = NULL;
    char *variable = variable_of(file, key), *file_variable = memory_format("%s" FROM_FILE, variable);
    char *text = NULL, *secret = NULL;
    *value = NULL;
    if (!read_variable(variable, false, &text, fault))
        goto out;
    if (!is_variable(contract, file, file_variable) && !read_variable(file_variable, true, &secret, fault))
        goto out; /* unless it is the variable of another option */
    if (text != NULL && secret != NULL) {
        fault_set(fault, "%s and %s are both set; set one of them", variable, file_variable);
        goto out;
    }
    const char *given = text != NULL ? text : secret != NULL ? secret : text_in_section(section, key);
    if (given != NULL)
        *value = value_of(schema, given);
    else if (json_object_object_get_ex(schema, "default", &fallback) && fallback != NULL &&
             json_object_deep_copy(fallback, value, NULL) != 0)
        memory_got(NULL);
    read = true;
out:
    free(variable);
    free(file_variable);
    free(text);
    free(secret);
    return read;
}

/* Adds the source of the wrong value. A reason begins with the JSON pointer of the value: /key… */
static void name_source(const struct contract *contract, const char *file, const struct plugin_section *section,
                        const char *reason, struct fault *fault)
{
    char key[256] = "";
    size_t len = reason[0] == '/' ? strcspn(reason + 1, "/:") : 0;
    if (len > 0 && len < sizeof key)
        memcpy(key, reason + 1, len);
    char *variable = variable_of(file, key), *file_variable = memory_format("%s" FROM_FILE, variable);
    const char *set = getenv(variable), *set_by_file = getenv(file_variable);
    if (!json_object_object_get_ex(contract_options(contract), key, NULL))
        fault_set(fault, "options of plugin %.*s: %s", (int)stem_length(file), file, reason);
    else if (set != NULL && set[0] != '\0')
        fault_set(fault, "%s: %s", variable, reason);
    else if (set_by_file != NULL && set_by_file[0] != '\0') /* does not show the value, which may be a secret */
        fault_set(fault, "%s: the value in %s does not match the declaration of %s in x-options", file_variable,
                  set_by_file, key);
    else if (text_in_section(section, key) != NULL)
        fault_set(fault, "plugin %s in plugins.conf: %s", section->name, reason);
    else
        fault_set(fault, "options of plugin %.*s: default of %s", (int)stem_length(file), file, reason);
    free(variable);
    free(file_variable);
}

static bool read_declared(struct options *options, const struct contract *contract, const char *file,
                          const struct plugin_section *section, struct fault *fault)
{
    char reason[384];
    if (!check_names(contract, file, fault) || !check_keys(contract, section, fault))
        return false;
    json_object_object_foreach(contract_options(contract), key, schema)
    {
        struct json_object *value;
        (void)schema;
        if (!read_value(contract, file, section, key, &value, fault))
            return false;
        if (value != NULL)
            json_object_object_add(options->json, key, value);
    }
    if (contract_check_options(contract, options->json, reason, sizeof reason))
        return true;
    name_source(contract, file, section, reason, fault);
    return false;
}

/* ---- all of them ---- */

/* Makes the texts once, because json-c changes an object when it converts it, and any thread may ask for a text. */
static void put_texts(struct options *options)
{
    options->at = memory_new((size_t)(json_object_object_length(options->json) + 1) * sizeof *options->at);
    json_object_object_foreach(options->json, key, value)
    {
        const char *text = json_object_is_type(value, json_type_string)
                               ? json_object_get_string(value)
                               : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
        options->at[options->count++] = (struct option){memory_text(key), memory_text(text)};
    }
}

bool options_read(const struct contract *contract, const char *file, const struct plugin_section *section,
                  struct options **result, struct fault *fault)
{
    struct options *options = memory_new(sizeof *options);
    options->json = memory_got(json_object_new_object());
    if (contract_options(contract) == NULL) {
        for (size_t i = 0; section != NULL && i < section->option_count; i++)
            json_object_object_add(options->json, section->options[i].key,
                                   memory_got(json_object_new_string(section->options[i].value)));
    } else if (!read_declared(options, contract, file, section, fault)) {
        options_free(options);
        return false;
    }
    put_texts(options);
    *result = options;
    return true;
}

struct options *options_of(struct json_object *json)
{
    struct options *options = memory_new(sizeof *options);
    options->json = json;
    put_texts(options);
    return options;
}

void options_free(struct options *options)
{
    if (options == NULL)
        return;
    for (size_t i = 0; i < options->count; i++) {
        free(options->at[i].key);
        free(options->at[i].text);
    }
    free(options->at);
    json_object_put(options->json);
    free(options);
}

const char *options_text(const struct options *options, const char *key)
{
    for (size_t i = 0; options != NULL && i < options->count; i++)
        if (strcmp(options->at[i].key, key) == 0)
            return options->at[i].text;
    return NULL;
}

struct json_object *options_json(const struct options *options)
{
    return options->json;
}

/* ---- the environment as a whole ---- */

bool options_claim(const struct contract *contract, const char *file, const char *variable)
{
    if (contract_options(contract) == NULL)
        return false;
    size_t len = strlen(variable), suffix = strlen(FROM_FILE);
    bool from_file = len > suffix && strcmp(variable + len - suffix, FROM_FILE) == 0;
    char *name = memory_format("%.*s", (int)(from_file ? len - suffix : len), variable);
    bool claimed = is_variable(contract, file, variable) || is_variable(contract, file, name);
    free(name);
    return claimed;
}

char *options_suggest(const struct contract *contract, const char *file, const char *variable)
{
    if (contract_options(contract) == NULL)
        return NULL;
    char *prefix = variable_of(file, ""), *suggestion = NULL;
    size_t len = strlen(prefix);
    if (strncmp(variable, prefix, len) == 0) {
        struct nearest nearest;
        suggestion = memory_text("");
        nearest_begin(&nearest, variable + len);
        json_object_object_foreach(contract_options(contract), key, schema)
        {
            (void)schema;
            char *name = variable_of(file, key);
            const char *before = nearest.name;
            nearest_offer(&nearest, name + len);
            if (nearest.name != before) {
                free(suggestion);
                suggestion = name;
            } else {
                free(name);
            }
        }
    }
    free(prefix);
    return suggestion;
}
