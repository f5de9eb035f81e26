/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds valid parts of a schema that are probably mistakes: a misspelt keyword, which JSON Schema ignores, an unknown
 * format, and examples that do not match. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "schema/set.h"

/* A run of the lint. The budget is for all examples of the document. */
struct lint {
    const struct schemas *schemas;
    schema_report *report;
    void *context;
    size_t budget;
};

static void report(const struct lint *lint, struct json_object *node, const char *key, const struct text *what)
{
    char pointer[256] = "";
    struct text text = {0};
    document_pointer(lint->schemas->document, node, key, pointer, sizeof pointer);
    text_printf(&text, "%s%s%s", pointer, pointer[0] == '\0' ? "" : ": ", what->at);
    lint->report(lint->context, document_place_of_key(lint->schemas->document, node, key), text.at);
    text_free(&text);
}

static void check_keyword(const struct lint *lint, struct json_object *node, const char *key)
{
    const char *nearest = NULL;
    struct text text = {0};
    if (strncmp(key, "x-", 2) == 0 || keyword_is_known(key, &nearest) || nearest == NULL)
        return;
    text_puts(&text, "unknown keyword ");
    name_show(&text, key, strlen(key));
    text_printf(&text, "; did you mean %s?", nearest);
    report(lint, node, key, &text);
    text_free(&text);
}

static void check_format(const struct lint *lint, struct json_object *node, struct json_object *format)
{
    const char *nearest = NULL;
    struct text text = {0};
    if (!json_object_is_type(format, json_type_string) || format_is_known(json_object_get_string(format), &nearest))
        return;
    text_puts(&text, "unknown format ");
    name_show(&text, json_object_get_string(format), (size_t)json_object_get_string_len(format));
    text_puts(&text, ", which checks nothing");
    if (nearest != NULL)
        text_printf(&text, "; did you mean %s?", nearest);
    report(lint, node, "format", &text);
    text_free(&text);
}

static void check_tuple(const struct lint *lint, struct json_object *node, struct json_object *items)
{
    struct text text = {0};
    bool single = json_object_is_type(items, json_type_array) && json_object_array_length(items) == 1;
    if (!single || json_object_object_get_ex(node, "additionalItems", NULL))
        return;
    text_puts(&text, "a list of one schema checks only the first item; without the brackets it checks all items");
    report(lint, node, "items", &text);
    text_free(&text);
}

static void check_example(struct lint *lint, const struct schema *schema, struct json_object *value, const char *key,
                          const char *what)
{
    char reason[512];
    struct text text = {0};
    if (lint->budget == 0 || schema_check_within(schema, value, reason, sizeof reason, &lint->budget))
        return;
    if (lint->budget == 0)
        text_puts(&text, "the examples take too long to check; the rest is not checked");
    else
        text_printf(&text, "%s does not match the schema: %s", what, reason);
    report(lint, schema->node, key, &text);
    text_free(&text);
}

static void check_examples(struct lint *lint, const struct schema *schema)
{
    struct json_object *value = NULL;
    if (json_object_object_get_ex(schema->node, "default", &value))
        check_example(lint, schema, value, "default", "the default");
    if (json_object_object_get_ex(schema->node, "example", &value))
        check_example(lint, schema, value, "example", "the example");
    if (!json_object_object_get_ex(schema->node, "examples", &value) || !json_object_is_type(value, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        char what[64];
        snprintf(what, sizeof what, "the example at index %zu", i);
        check_example(lint, schema, json_object_array_get_idx(value, i), "examples", what);
    }
}

void schemas_lint(const struct schemas *schemas, schema_report *warn, void *context)
{
    struct lint lint = {.schemas = schemas, .report = warn, .context = context, .budget = CHECK_BUDGET};
    for (size_t i = 0; i < schemas->count; i++) {
        const struct schema *schema = schemas->at[i];
        struct json_object *value = NULL;
        if (json_object_object_get_ex(schema->node, "$ref", NULL))
            continue; /* its siblings are ignored */
        json_object_object_foreach(schema->node, key, member)
        {
            (void)member;
            check_keyword(&lint, schema->node, key);
        }
        if (json_object_object_get_ex(schema->node, "format", &value))
            check_format(&lint, schema->node, value);
        if (json_object_object_get_ex(schema->node, "items", &value))
            check_tuple(&lint, schema->node, value);
        check_examples(&lint, schema);
    }
}
