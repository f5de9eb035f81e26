/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Describes the messages of a topic in one line: `{content*: string, tags: [string]}`. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "contract/parts.h"

#define SUMMARY_DEPTH 2
#define SUMMARY_MEMBERS 16
#define SUMMARY_NAME 100
#define SUMMARY_VALUE 20
#define SUMMARY_LOOKS 20000

/* A summary while it is written. It ends early when it has got longer than anybody wants it, or has taken too long. */
struct summary {
    const struct contract *contract;
    struct text text;
    size_t size;
    size_t looks; /* how many required names may still be looked at */
};

static void summarise(struct summary *summary, struct json_object *schema, unsigned depth);

static bool is_ended(const struct summary *summary)
{
    return summary->text.len > summary->size || summary->looks == 0;
}

/* What is of the document, on one line and no longer than that. */
static void put_short(struct text *text, const char *bytes, size_t most)
{
    size_t length = strnlen(bytes, most + 1);
    size_t shown = text_cut(bytes, length, most);
    text_put_line(text, bytes, shown);
    text_puts(text, shown < length ? "…" : "");
}

static bool is_required(struct summary *summary, struct json_object *schema, const char *name)
{
    struct json_object *names = NULL;
    json_object_object_get_ex(schema, "required", &names);
    for (size_t i = 0; json_object_is_type(names, json_type_array) && i < json_object_array_length(names); i++) {
        if (summary->looks == 0)
            return false;
        summary->looks--;
        struct json_object *one = json_object_array_get_idx(names, i);
        if (json_object_is_type(one, json_type_string) && strcmp(json_object_get_string(one), name) == 0)
            return true;
    }
    return false;
}

static void summarise_object(struct summary *summary, struct json_object *schema, unsigned depth)
{
    struct text *text = &summary->text;
    struct json_object *properties = object_member(schema, "properties");
    size_t count = 0;
    if (properties == NULL || depth >= SUMMARY_DEPTH) {
        text_puts(text, "object");
        return;
    }
    text_puts(text, "{");
    json_object_object_foreach(properties, name, property)
    {
        bool required = count < SUMMARY_MEMBERS && is_required(summary, schema, name);
        if (count == SUMMARY_MEMBERS || is_ended(summary)) {
            text_puts(text, count == 0 ? "…" : ", …");
            break;
        }
        text_puts(text, count++ == 0 ? "" : ", ");
        put_short(text, name, SUMMARY_NAME);
        text_puts(text, required ? "*: " : ": ");
        summarise(summary, property, depth + 1);
    }
    text_puts(text, "}");
}

static void summarise_values(struct json_object *values, struct text *text)
{
    for (size_t i = 0; i < json_object_array_length(values) && i < 6; i++) {
        struct json_object *value = json_object_array_get_idx(values, i);
        text_puts(text, i == 0 ? "" : "|");
        if (json_object_is_type(value, json_type_object) || json_object_is_type(value, json_type_array))
            text_puts(text, json_object_is_type(value, json_type_object) ? "{…}" : "[…]");
        else
            put_short(text, value == NULL ? "null" : json_object_get_string(value), SUMMARY_VALUE);
    }
    if (json_object_array_length(values) > 6)
        text_puts(text, "|…");
}

static void summarise_choice(struct summary *summary, struct json_object *schema, unsigned depth)
{
    struct text *text = &summary->text;
    static const char *const keys[] = {"oneOf", "anyOf", "allOf"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct json_object *among = NULL;
        if (json_object_object_get_ex(schema, keys[i], &among) && json_object_is_type(among, json_type_array)) {
            if (json_object_array_length(among) == 1 && depth < SUMMARY_DEPTH)
                return summarise(summary, json_object_array_get_idx(among, 0), depth + 1);
            text_printf(text, "%s %zu", keys[i], json_object_array_length(among));
            return;
        }
    }
    text_puts(text, "any");
}

static void summarise(struct summary *summary, struct json_object *schema, unsigned depth)
{
    struct text *text = &summary->text;
    struct json_object *values = NULL;
    struct json_object *items = NULL;
    schema = contract_follow(summary->contract, schema, NULL);
    const char *type = string_member(schema, "type");
    if (schema == NULL) {
        text_puts(text, "any");
    } else if (json_object_object_get_ex(schema, "enum", &values) && json_object_is_type(values, json_type_array)) {
        summarise_values(values, text);
    } else if (object_member(schema, "properties") != NULL || (type != NULL && strcmp(type, "object") == 0)) {
        summarise_object(summary, schema, depth);
    } else if (type != NULL && strcmp(type, "array") == 0) {
        json_object_object_get_ex(schema, "items", &items);
        if (json_object_is_type(items, json_type_array) && json_object_array_length(items) == 1)
            items = json_object_array_get_idx(items, 0);
        text_puts(text, "[");
        if (depth < SUMMARY_DEPTH + 2)
            summarise(summary, items, depth + 1);
        text_puts(text, "]");
    } else if (type != NULL) {
        put_short(text, type, SUMMARY_VALUE);
    } else {
        summarise_choice(summary, schema, depth);
    }
}

void topic_summary(const struct contract_topic *topic, enum contract_direction direction, char *summary, size_t size)
{
    const struct contract_side *side = &topic->sides[direction];
    struct summary made = {.contract = topic->contract, .size = size, .looks = SUMMARY_LOOKS};
    text_puts(&made.text, "");
    if (side->payload != NULL)
        summarise(&made, side->payload, 0);
    if (side->messages > 1)
        text_printf(&made.text, " or %zu more", side->messages - 1);
    if (made.text.len < size)
        snprintf(summary, size, "%s", made.text.at);
    else
        snprintf(summary, size, "%.*s…", (int)text_cut(made.text.at, made.text.len, size - sizeof "…"), made.text.at);
    text_free(&made.text);
}
