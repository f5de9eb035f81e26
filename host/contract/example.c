/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Makes a message that matches the schema of a topic, for a first test. It tries the values in the schema (example,
 * default, const, enum) first, then values for the type and its bounds. Each value is checked against its schemas, so
 * an unsupported keyword at worst yields no message. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "contract/parts.h"

#define DEPTH_MAX 24
#define DEPTH_OF_OPTIONAL 4 /* below this depth there are only required members */
#define PARTS_MAX 16
#define STEPS_MAX 4000 /* most values that are made, including discarded ones */
#define LENGTH_MAX 4096
#define ITEMS_MAX 64

struct making {
    const struct contract *contract;
    size_t steps; /* left */
};

/* The schemas that one value must match, all of them. */
struct parts {
    struct json_object *at[PARTS_MAX];
    size_t count;
    size_t opened; /* parts with allOf, oneOf and anyOf already added as parts */
};

static bool make(struct making *making, const struct parts *given, unsigned depth, size_t variant,
                 struct json_object **value);

/* False: no value matches the schema, or there is no room. */
static bool add_part(const struct making *making, struct parts *parts, struct json_object *schema)
{
    if (json_object_is_type(schema, json_type_boolean))
        return json_object_get_boolean(schema);
    schema = contract_follow(making->contract, schema, NULL);
    if (schema == NULL || parts->count == PARTS_MAX)
        return false;
    parts->at[parts->count++] = schema;
    return true;
}

static bool fits(const struct making *making, const struct parts *parts, struct json_object *value)
{
    char reason[64];
    for (size_t i = 0; i < parts->count; i++) {
        if (!schema_check(schemas_add(making->contract->schemas, parts->at[i]), value, reason, sizeof reason))
            return false;
    }
    return true;
}

/* Keeps the value if it matches, and frees it otherwise. */
static bool take(const struct making *making, const struct parts *parts, struct json_object *made,
                 struct json_object **value)
{
    if (fits(making, parts, made)) {
        *value = made;
        return true;
    }
    json_object_put(made);
    return false;
}

/* --- values in the schema --- */

/* variant: the number of the item, where items may have to differ. Only an enum has several values. */
static bool take_given(const struct making *making, const struct parts *parts, size_t variant,
                       struct json_object **value)
{
    static const char *const keys[] = {"examples", "example", "default", "const", "enum"};
    for (size_t i = 0; i < parts->count; i++) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            struct json_object *given = NULL, *list = array_member(parts->at[i], keys[k]);
            bool is_list = strcmp(keys[k], "examples") == 0 || strcmp(keys[k], "enum") == 0;
            if (!json_object_object_get_ex(parts->at[i], keys[k], &given) || (is_list && list == NULL) ||
                (!is_list && variant > 0))
                continue;
            if (!is_list && take(making, parts, json_object_get(given), value))
                return true;
            for (size_t n = variant; is_list && n < json_object_array_length(list) && n < variant + ITEMS_MAX; n++) {
                if (take(making, parts, json_object_get(json_object_array_get_idx(list, n)), value))
                    return true;
            }
        }
    }
    return false;
}

/* --- bounds --- */

/* The least or the greatest number of the parts for a keyword. */
static double bound(const struct parts *parts, const char *key, bool greatest, double otherwise)
{
    double found = otherwise;
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *limit = NULL;
        json_object_object_get_ex(parts->at[i], key, &limit);
        if (!json_object_is_type(limit, json_type_int) && !json_object_is_type(limit, json_type_double))
            continue;
        double number = json_object_get_double(limit);
        found = greatest ? fmax(found, number) : fmin(found, number);
    }
    return found;
}

static size_t count_bound(const struct parts *parts, const char *key, bool greatest, size_t otherwise)
{
    double found = bound(parts, key, greatest, (double)otherwise);
    return found < 0 ? 0 : found > LENGTH_MAX ? LENGTH_MAX : (size_t)found;
}

/* --- numbers and texts --- */

static struct json_object *new_number(double number)
{
    char text[40];
    if (trunc(number) == number && fabs(number) < 9007199254740992.0)
        return memory_got(json_object_new_int64((int64_t)number));
    snprintf(text, sizeof text, "%.15g", number);
    return memory_got(json_object_new_double_s(strtod(text, NULL), text));
}

static bool make_number(const struct making *making, const struct parts *parts, bool is_integer, size_t variant,
                        struct json_object **value)
{
    double low = fmax(bound(parts, "minimum", true, -INFINITY), bound(parts, "exclusiveMinimum", true, -INFINITY));
    double high = fmin(bound(parts, "maximum", false, INFINITY), bound(parts, "exclusiveMaximum", false, INFINITY));
    double step = bound(parts, "multipleOf", true, is_integer ? 1 : 0), more = (double)variant;
    double unit = step > 0 ? step : 1;
    const double candidates[] = {1 + more,
                                 low + more * unit,
                                 low + (1 + more) * unit,
                                 high - more * unit,
                                 high - (1 + more) * unit,
                                 (low + high) / 2,
                                 0};
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        const double rounded[] = {candidates[i], ceil(candidates[i] / unit) * unit, floor(candidates[i] / unit) * unit};
        for (size_t r = 0; isfinite(candidates[i]) && r < sizeof rounded / sizeof rounded[0]; r++) {
            if (isfinite(rounded[r]) && take(making, parts, new_number(rounded[r]), value))
                return true;
        }
    }
    return false;
}

static bool take_text(const struct making *making, const struct parts *parts, const struct text *text,
                      struct json_object **value)
{
    return take(making, parts, memory_got(json_object_new_string_len(text->at, (int)text->len)), value);
}

static bool make_of_pattern(const struct making *making, const struct parts *parts, const char *pattern, size_t least,
                            struct json_object **value)
{
    const unsigned repeats[] = {1, 0, (unsigned)least};
    struct text text = {0};
    bool made = false;
    for (size_t i = 0; !made && i < sizeof repeats / sizeof repeats[0]; i++)
        made = pattern_sample(pattern, repeats[i], &text) && take_text(making, parts, &text, value);
    text_free(&text);
    return made;
}

/* A text of the format; NULL: any text fits. */
static const char *format_sample(const char *format)
{
    static const char *const samples[][2] = {
        {"date-time", "2026-01-31T12:00:00Z"},
        {"date", "2026-01-31"},
        {"time", "12:00:00Z"},
        {"email", "name@example.org"},
        {"idn-email", "name@example.org"},
        {"uri", "https://example.org/"},
        {"uri-reference", "https://example.org/"},
        {"iri", "https://example.org/"},
        {"uuid", "6f9a4a0e-4c1d-4f0b-9d5e-0a1b2c3d4e5f"},
        {"ipv4", "192.0.2.1"},
        {"ipv6", "2001:db8::1"},
        {"hostname", "example.org"},
        {"byte", "dGV4dA=="},
    };
    for (size_t i = 0; format != NULL && i < sizeof samples / sizeof samples[0]; i++) {
        if (strcmp(format, samples[i][0]) == 0)
            return samples[i][1];
    }
    return NULL;
}

static bool make_text(const struct making *making, const struct parts *parts, size_t variant,
                      struct json_object **value)
{
    size_t least = count_bound(parts, "minLength", true, 0), most = count_bound(parts, "maxLength", false, LENGTH_MAX);
    struct text text = {0};
    for (size_t i = 0; i < parts->count; i++) {
        const char *pattern = string_member(parts->at[i], "pattern");
        const char *sample = format_sample(string_member(parts->at[i], "format"));
        if (pattern != NULL && make_of_pattern(making, parts, pattern, least, value))
            return true;
        if (sample != NULL && take(making, parts, memory_got(json_object_new_string(sample)), value))
            return true;
    }
    if (variant > 0)
        text_printf(&text, "%zu ", variant + 1);
    text_puts(&text, "text");
    while (text.len < least)
        text_puts(&text, "x");
    text.len = text.len > most ? most : text.len;
    bool made = take_text(making, parts, &text, value);
    text_free(&text);
    return made;
}

/* --- arrays and objects --- */

/* Collects the schemas of an item, which are those of `items`, or of a list in it. */
static bool item_parts(const struct making *making, const struct parts *parts, size_t index, struct parts *item)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *items = NULL, *list = array_member(parts->at[i], "items"), *contains = NULL;
        bool has = json_object_object_get_ex(parts->at[i], "items", &items);
        if (list != NULL && index < json_object_array_length(list))
            items = json_object_array_get_idx(list, index);
        else if (list != NULL)
            has = json_object_object_get_ex(parts->at[i], "additionalItems", &items);
        if (has && !add_part(making, item, items))
            return false;
        if (index == 0 && json_object_object_get_ex(parts->at[i], "contains", &contains) &&
            !add_part(making, item, contains))
            return false;
    }
    return true;
}

static size_t tuple_length(const struct parts *parts)
{
    size_t length = 1;
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *list = array_member(parts->at[i], "items");
        if (list != NULL && json_object_array_length(list) > length)
            length = json_object_array_length(list);
    }
    return length;
}

static bool make_array(struct making *making, const struct parts *parts, unsigned depth, struct json_object **value)
{
    size_t count = count_bound(parts, "minItems", true, depth < DEPTH_OF_OPTIONAL ? tuple_length(parts) : 0);
    size_t most = count_bound(parts, "maxItems", false, ITEMS_MAX);
    struct json_object *array = memory_got(json_object_new_array());
    for (size_t i = 0; i < count && i < most; i++) {
        struct parts item = {.count = 0};
        struct json_object *made = NULL;
        if (!item_parts(making, parts, i, &item) || !make(making, &item, depth + 1, i, &made))
            break;
        if (json_object_array_add(array, made) != 0)
            memory_got(NULL);
    }
    return take(making, parts, array, value);
}

static bool is_required(const struct parts *parts, const char *name)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *names = array_member(parts->at[i], "required");
        for (size_t n = 0; names != NULL && n < json_object_array_length(names); n++) {
            struct json_object *one = json_object_array_get_idx(names, n);
            if (json_object_is_type(one, json_type_string) && strcmp(json_object_get_string(one), name) == 0)
                return true;
        }
    }
    return false;
}

/* Adds a member that matches all parts. False: none was found. */
static bool add_member(struct making *making, const struct parts *parts, unsigned depth, const char *name,
                       struct json_object *object)
{
    struct parts member = {.count = 0};
    struct json_object *made = NULL;
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *schema = NULL;
        bool has = json_object_object_get_ex(object_member(parts->at[i], "properties"), name, &schema) ||
                   json_object_object_get_ex(parts->at[i], "additionalProperties", &schema);
        if (has && !add_part(making, &member, schema))
            return false;
    }
    if (!make(making, &member, depth + 1, 0, &made))
        return false;
    if (json_object_object_add(object, name, made) != 0)
        memory_got(NULL);
    return true;
}

static bool add_required(struct making *making, const struct parts *parts, unsigned depth, struct json_object *object)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *names = array_member(parts->at[i], "required");
        for (size_t n = 0; names != NULL && n < json_object_array_length(names); n++) {
            const char *name = json_object_get_string(json_object_array_get_idx(names, n));
            if (name != NULL && !json_object_object_get_ex(object, name, NULL) &&
                !add_member(making, parts, depth, name, object))
                return false;
        }
    }
    return true;
}

/* sparse: only required members. */
static bool make_members(struct making *making, const struct parts *parts, unsigned depth, bool sparse,
                         struct json_object *object)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *properties = object_member(parts->at[i], "properties");
        if (properties == NULL)
            continue;
        json_object_object_foreach(properties, name, property)
        {
            (void)property;
            bool required = is_required(parts, name);
            if (json_object_object_get_ex(object, name, NULL) || (!required && (sparse || depth >= DEPTH_OF_OPTIONAL)))
                continue;
            if (!add_member(making, parts, depth, name, object) && required)
                return false;
        }
    }
    if (!add_required(making, parts, depth, object))
        return false;
    size_t least = count_bound(parts, "minProperties", true, 0);
    for (size_t i = 1; (size_t)json_object_object_length(object) < least && i <= least; i++) {
        char name[32];
        snprintf(name, sizeof name, "member_%zu", i);
        if (!add_member(making, parts, depth, name, object))
            return false;
    }
    return true;
}

static bool make_object(struct making *making, const struct parts *parts, unsigned depth, struct json_object **value)
{
    for (int sparse = 0; sparse <= 1; sparse++) {
        struct json_object *object = memory_got(json_object_new_object());
        if (!make_members(making, parts, depth, sparse == 1, object))
            json_object_put(object);
        else if (take(making, parts, object, value))
            return true;
    }
    return false;
}

/* --- by type --- */

/* The type of the parts, or the type that their keywords suggest; of several the first that is not null. */
static const char *type_of_parts(const struct parts *parts)
{
    static const char *const hints[][2] = {
        {"properties", "object"}, {"required", "object"},         {"additionalProperties", "object"},
        {"items", "array"},       {"minItems", "array"},          {"minimum", "number"},
        {"maximum", "number"},    {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"},
        {"multipleOf", "number"},
    };
    for (size_t i = 0; i < parts->count; i++) {
        struct json_object *several = array_member(parts->at[i], "type");
        const char *type = string_member(parts->at[i], "type");
        for (size_t n = 0; type == NULL && several != NULL && n < json_object_array_length(several); n++) {
            const char *one = json_object_get_string(json_object_array_get_idx(several, n));
            if (one != NULL && (strcmp(one, "null") != 0 || json_object_array_length(several) == 1))
                type = one;
        }
        if (type != NULL)
            return type;
    }
    for (size_t i = 0; i < parts->count; i++) {
        for (size_t h = 0; h < sizeof hints / sizeof hints[0]; h++) {
            if (json_object_object_get_ex(parts->at[i], hints[h][0], NULL))
                return hints[h][1];
        }
    }
    return "string";
}

static bool make_by_type(struct making *making, const struct parts *parts, unsigned depth, size_t variant,
                         struct json_object **value)
{
    const char *type = type_of_parts(parts);
    if (strcmp(type, "object") == 0)
        return make_object(making, parts, depth, value);
    if (strcmp(type, "array") == 0)
        return make_array(making, parts, depth, value);
    if (strcmp(type, "string") == 0)
        return make_text(making, parts, variant, value);
    if (strcmp(type, "boolean") == 0)
        return take(making, parts, memory_got(json_object_new_boolean(variant % 2 == 0)), value);
    if (strcmp(type, "null") == 0)
        return take(making, parts, NULL, value);
    return make_number(making, parts, strcmp(type, "integer") == 0, variant, value);
}

/* Tries one alternative after the other. */
static bool make_choice(struct making *making, const struct parts *parts, struct json_object *choices, unsigned depth,
                        size_t variant, struct json_object **value)
{
    for (size_t i = 0; i < json_object_array_length(choices); i++) {
        struct parts with = *parts;
        if (add_part(making, &with, json_object_array_get_idx(choices, i)) &&
            make(making, &with, depth + 1, variant, value))
            return true;
    }
    return false;
}

/* Makes a value that matches all parts. variant: as in take_given(). */
static bool make(struct making *making, const struct parts *given, unsigned depth, size_t variant,
                 struct json_object **value)
{
    struct parts parts = *given;
    if (depth > DEPTH_MAX || making->steps == 0)
        return false;
    making->steps--;
    if (take_given(making, &parts, variant, value))
        return true;
    while (parts.opened < parts.count) {
        struct json_object *schema = parts.at[parts.opened++];
        struct json_object *all = array_member(schema, "allOf"), *choices = array_member(schema, "oneOf");
        for (size_t i = 0; all != NULL && i < json_object_array_length(all); i++) {
            if (!add_part(making, &parts, json_object_array_get_idx(all, i)))
                return false;
        }
        choices = choices == NULL ? array_member(schema, "anyOf") : choices;
        if (choices != NULL)
            return make_choice(making, &parts, choices, depth, variant, value);
    }
    return make_by_type(making, &parts, depth, variant, value);
}

/* True if the receiving code accepts the body as a message of the topic. */
static bool is_message(const struct contract_topic *topic, enum contract_direction direction, const char *body)
{
    char reason[64];
    struct fault fault = {""};
    struct json_tokener *reader = json_reader_new();
    struct json_object *message = json_parse(reader, body, strlen(body), &fault);
    bool right = message != NULL && topic_check(topic, direction, message, reason, sizeof reason);
    json_object_put(message);
    json_tokener_free(reader);
    return right;
}

bool topic_example(const struct contract_topic *topic, enum contract_direction direction, struct text *body)
{
    struct making making = {.contract = topic->contract, .steps = STEPS_MAX};
    struct parts parts = {.count = 0};
    struct json_object *value = NULL;
    bool made = topic->sides[direction].payload != NULL && topic->contract->schemas != NULL &&
                add_part(&making, &parts, topic->sides[direction].payload) && make(&making, &parts, 0, 0, &value);
    if (made) {
        const char *text = memory_got(
            (void *)json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        made = is_message(topic, direction, text);
        text_puts(body, made ? text : "");
    }
    json_object_put(value);
    return made;
}
