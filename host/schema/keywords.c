/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Makes the rules of a schema, keyword by keyword. */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "schema/set.h"

/* --- faults --- */

static void complain(struct build *build, const char *key, const char *what)
{
    build->broken = true;
    schemas_complain(build->schemas, build->node, key, what);
}

/* Reports a fault at a key of an object, which is the schema or a part of it; without a key, a fault of the value
 * itself. */
static void complain_at(struct build *build, struct json_object *object, const char *key, struct json_object *json,
                        const char *what)
{
    struct value value = value_of(json);
    struct text text = {0};
    value_show(&text, &value);
    text_printf(&text, " %s", what);
    build->broken = true;
    schemas_complain(build->schemas, object, key, text.at);
    text_free(&text);
}

static void complain_of(struct build *build, const char *key, struct json_object *json, const char *what)
{
    complain_at(build, build->node, key, json, what);
}

/* Reports a fault of an item of the list at a key of an object. A null has no node, and so no place of its own. */
static void complain_of_item(struct build *build, struct json_object *object, const char *key, struct json_object *item,
                             const char *what)
{
    if (item == NULL)
        complain_at(build, object, key, item, what);
    else
        complain_at(build, item, NULL, item, what);
}

/* --- the parts of a schema --- */

static struct rule *add_rule(struct build *build, enum rule_kind kind)
{
    struct rule *rule = &build->rules[build->count++];
    rule->kind = kind;
    return rule;
}

static bool is_schema(struct json_object *json)
{
    return json_object_is_type(json, json_type_object) || json_object_is_type(json, json_type_boolean);
}

/* The schema at a key of an object; NULL, with a report, if it is not a schema. */
static const struct schema *schema_at(struct build *build, struct json_object *object, const char *key,
                                      struct json_object *json)
{
    if (is_schema(json))
        return schemas_of(build->schemas, json);
    complain_at(build, object, key, json, "is not a schema");
    return NULL;
}

/* The schema of a keyword. */
static const struct schema *sub_schema(struct build *build, const char *key, struct json_object *json)
{
    return schema_at(build, build->node, key, json);
}

static bool sub_schemas(struct build *build, const char *key, struct json_object *json, struct schema_list *list)
{
    list->count = json_object_array_length(json);
    list->at = schemas_keep(build->schemas, list->count, sizeof(struct schema *));
    for (size_t i = 0; i < list->count; i++) {
        struct json_object *item = json_object_array_get_idx(json, i);
        if (is_schema(item))
            list->at[i] = schemas_of(build->schemas, item);
        else
            complain_of_item(build, build->node, key, item, "is not a schema");
    }
    return !build->broken;
}

/* Reads the list of strings at a key of an object into a list of names. False: it is not such a list. */
static bool name_list(struct build *build, struct json_object *object, const char *key, struct json_object *json,
                      struct name_list *list)
{
    if (!json_object_is_type(json, json_type_array)) {
        complain_at(build, object, key, json, "is not a list of strings");
        return false;
    }
    list->count = json_object_array_length(json);
    list->at = schemas_keep(build->schemas, list->count, sizeof(char *));
    for (size_t i = 0; i < list->count; i++) {
        struct json_object *name = json_object_array_get_idx(json, i);
        if (!json_object_is_type(name, json_type_string)) {
            complain_of_item(build, object, key, name, "is not a string");
            continue;
        }
        list->at[i] = json_object_get_string(name);
        list->cost += cost_of((size_t)json_object_get_string_len(name));
    }
    return !build->broken;
}

/* --- keywords, each with the kind of rule that it makes --- */

static unsigned type_of_name(struct json_object *name)
{
    static const struct {
        const char *name;
        unsigned types;
    } types[] = {
        {"null", TYPE_NULL},     {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER},
        {"string", TYPE_STRING}, {"array", TYPE_ARRAY},     {"object", TYPE_OBJECT},
    };
    for (size_t i = 0; json_object_is_type(name, json_type_string) && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(json_object_get_string(name), types[i].name) == 0)
            return types[i].types;
    }
    return 0;
}

static void compile_type(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct json_object *nullable = NULL;
    unsigned types = type_of_name(json);
    bool is_list = json_object_is_type(json, json_type_array);
    for (size_t i = 0; is_list && i < json_object_array_length(json); i++) {
        unsigned type = type_of_name(json_object_array_get_idx(json, i));
        if (type == 0) {
            complain_of(build, key, json_object_array_get_idx(json, i), "is not a type");
            return;
        }
        types |= type;
    }
    if (types == 0) {
        complain_of(build, key, json, "is not a type");
        return;
    }
    /* A keyword of OpenAPI and not of draft 7. VALAWAI's documents use it, and the host must not refuse a null that the
     * author allowed. */
    json_object_object_get_ex(build->node, "nullable", &nullable);
    if (json_object_is_type(nullable, json_type_boolean) && json_object_get_boolean(nullable))
        types |= TYPE_NULL;
    add_rule(build, kind)->with.types = types;
}

static void compile_const(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    (void)key;
    add_rule(build, kind)->with.json = json;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t left = ((const struct hashed_value *)a)->hash;
    uint64_t right = ((const struct hashed_value *)b)->hash;
    return (left > right) - (left < right);
}

static void compile_enum(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct value_list list = {0};
    size_t budget = SIZE_MAX;
    if (!json_object_is_type(json, json_type_array)) {
        complain_of(build, key, json, "is not a list of values");
        return;
    }
    list.json = json;
    list.count = json_object_array_length(json);
    list.at = schemas_keep(build->schemas, list.count, sizeof *list.at);
    for (size_t i = 0; i < list.count; i++) {
        struct value value = value_of(json_object_array_get_idx(json, i));
        list.at[i] = (struct hashed_value){.hash = value_hash(&value, &budget), .json = value.json};
    }
    if (list.count > 1)
        qsort(list.at, list.count, sizeof *list.at, by_hash);
    struct rule *rule = add_rule(build, kind);
    rule->with.values = list;
}

static void compile_bound(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct value value = value_of(json);
    if ((value.types & TYPE_NUMBER) == 0) {
        complain_of(build, key, json, "is not a number");
    } else if (isnan(value.number.real)) {
        complain(build, key, "is not a number that anything can be compared with");
    } else if (kind == RULE_MULTIPLE_OF && !(value.number.real > 0 && isfinite(value.number.real))) {
        complain_of(build, key, json, "is not over 0");
    } else {
        struct bound bound = {.limit = value.number, .json = json};
        if (kind == RULE_MULTIPLE_OF)
            bound.decimal = decimal_of(&value.number);
        add_rule(build, kind)->with.bound = bound;
    }
}

static void compile_count(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct value value = value_of(json);
    if ((value.types & TYPE_INTEGER) == 0 || value.number.real < 0)
        complain_of(build, key, json, "is not a whole number of at least 0");
    else
        add_rule(build, kind)->with.limit = value.number.exact ? (size_t)value.number.magnitude : SIZE_MAX;
}

static const struct pattern *new_pattern(struct build *build, struct json_object *object, const char *key,
                                         const char *source, size_t length)
{
    struct fault fault = {0};
    const struct pattern *pattern = patterns_add(build->schemas->patterns, source, length, &fault);
    if (pattern == NULL) {
        struct text text = {0};
        name_show(&text, source, length);
        text_printf(&text, " %s", fault.text);
        build->broken = true;
        schemas_complain(build->schemas, object, key, text.at);
        text_free(&text);
    }
    return pattern;
}

static void compile_pattern(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    if (!json_object_is_type(json, json_type_string)) {
        complain_of(build, key, json, "is not a regular expression");
        return;
    }
    const struct pattern *pattern =
        new_pattern(build, build->node, key, json_object_get_string(json), (size_t)json_object_get_string_len(json));
    if (pattern != NULL)
        add_rule(build, kind)->with.pattern = pattern;
}

static void compile_format(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    if (!json_object_is_type(json, json_type_string)) {
        complain_of(build, key, json, "is not the name of a format");
        return;
    }
    const struct format *format = format_find(json_object_get_string(json));
    if (format != NULL && (build->schemas->flags & SCHEMA_ASSERT_FORMAT) != 0)
        add_rule(build, kind)->with.format = format;
}

static void compile_unique(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    if (!json_object_is_type(json, json_type_boolean))
        complain_of(build, key, json, "is neither true nor false");
    else if (json_object_get_boolean(json))
        add_rule(build, kind);
}

/* items, and additionalItems, which has no effect without a list of items. */
static void compile_items(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    static const char additional[] = "additionalItems";
    struct json_object *rest = NULL;
    struct schema_list list = {0};
    if (!json_object_is_type(json, json_type_array)) {
        const struct schema *schema = sub_schema(build, key, json);
        if (schema != NULL)
            add_rule(build, kind)->with.schema = schema;
        return;
    }
    if (!sub_schemas(build, key, json, &list))
        return;
    if (json_object_object_get_ex(build->node, additional, &rest))
        list.rest = sub_schema(build, additional, rest);
    add_rule(build, RULE_TUPLE)->with.schemas = list;
}

static void compile_schema(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    const struct schema *schema = sub_schema(build, key, json);
    if (schema != NULL)
        add_rule(build, kind)->with.schema = schema;
}

static void compile_required(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct name_list names = {0};
    if (name_list(build, build->node, key, json, &names))
        add_rule(build, kind)->with.names = names;
}

static void add_member(struct members *members, const char *name, const struct schema *schema)
{
    size_t length = 0;
    uint64_t hash = name_hash(name, &length);
    size_t i = hash & members->mask;
    while (members->slots[i].name != NULL)
        i = (i + 1) & members->mask;
    members->slots[i] = (struct member){.name = name, .hash = hash, .schema = schema};
}

/* The object of schemas of a keyword; NULL if it is absent, or, with a report, not an object. */
static struct json_object *object_of_schemas(struct build *build, const char *key)
{
    struct json_object *json = NULL;
    if (!json_object_object_get_ex(build->node, key, &json) || json_object_is_type(json, json_type_object))
        return json;
    complain_of(build, key, json, "is not an object of schemas");
    return NULL;
}

static void fill_members(struct build *build, struct members *members, struct json_object *properties)
{
    size_t count = (size_t)json_object_object_length(properties);
    size_t room = 1;
    while (room < count * 2)
        room *= 2;
    members->slots = schemas_keep(build->schemas, room, sizeof *members->slots);
    members->mask = room - 1;
    json_object_object_foreach(properties, name, json)
    {
        const struct schema *schema = schema_at(build, properties, name, json);
        if (schema != NULL)
            add_member(members, name, schema);
    }
}

static void fill_member_patterns(struct build *build, struct members *members, struct json_object *properties)
{
    members->patterns =
        schemas_keep(build->schemas, (size_t)json_object_object_length(properties), sizeof *members->patterns);
    json_object_object_foreach(properties, source, json)
    {
        const struct pattern *pattern = new_pattern(build, properties, source, source, strlen(source));
        const struct schema *schema = schema_at(build, properties, source, json);
        if (pattern != NULL && schema != NULL)
            members->patterns[members->pattern_count++] = (struct member_pattern){pattern, schema};
    }
}

/* properties, patternProperties and additionalProperties, which make one rule. Called once for any of them. */
static void compile_members(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    static const char additional[] = "additionalProperties";
    struct json_object *rest = NULL;
    (void)key;
    (void)json;
    bool has_rest = json_object_object_get_ex(build->node, additional, &rest);
    struct json_object *properties = object_of_schemas(build, "properties");
    struct json_object *patterns = object_of_schemas(build, "patternProperties");
    if (properties == NULL && patterns == NULL && !has_rest)
        return;
    struct members *members = schemas_keep(build->schemas, 1, sizeof *members);
    members->slots = schemas_keep(build->schemas, 1, sizeof *members->slots);
    if (properties != NULL)
        fill_members(build, members, properties);
    if (patterns != NULL)
        fill_member_patterns(build, members, patterns);
    if (has_rest)
        members->rest = sub_schema(build, additional, rest);
    add_rule(build, kind)->with.members = members;
}

static void compile_dependencies(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct dependency_list list = {0};
    if (!json_object_is_type(json, json_type_object)) {
        complain_of(build, key, json, "is not an object");
        return;
    }
    list.at = schemas_keep(build->schemas, (size_t)json_object_object_length(json), sizeof *list.at);
    json_object_object_foreach(json, name, needs)
    {
        struct dependency dependency = {.name = name};
        bool ok = false;
        if (json_object_is_type(needs, json_type_array))
            ok = name_list(build, json, name, needs, &dependency.names);
        else
            ok = (dependency.schema = schema_at(build, json, name, needs)) != NULL;
        list.cost += cost_of(strlen(name));
        if (ok)
            list.at[list.count++] = dependency;
    }
    struct rule *rule = add_rule(build, kind);
    rule->with.dependencies = list;
}

static void compile_several(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct schema_list list = {0};
    if (!json_object_is_type(json, json_type_array) || json_object_array_length(json) == 0)
        complain_of(build, key, json, "is not a list of schemas");
    else if (sub_schemas(build, key, json, &list))
        add_rule(build, kind)->with.schemas = list;
}

static void compile_if(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    struct json_object *then = NULL;
    struct json_object *otherwise = NULL;
    struct condition condition = {.when = sub_schema(build, key, json)};
    if (json_object_object_get_ex(build->node, "then", &then))
        condition.then = sub_schema(build, "then", then);
    if (json_object_object_get_ex(build->node, "else", &otherwise))
        condition.otherwise = sub_schema(build, "else", otherwise);
    if (condition.when != NULL && (condition.then != NULL || condition.otherwise != NULL))
        add_rule(build, kind)->with.condition = condition;
}

/* In the order of the checks: cheap and informative rules first. */
static const struct keyword {
    const char *key; /* NULL: always called */
    void (*compile)(struct build *build, const char *key, struct json_object *json, enum rule_kind kind);
    enum rule_kind kind;
} keywords[] = {
    {"type", compile_type, RULE_TYPE},
    {"const", compile_const, RULE_CONST},
    {"enum", compile_enum, RULE_ENUM},
    {"multipleOf", compile_bound, RULE_MULTIPLE_OF},
    {"maximum", compile_bound, RULE_MAXIMUM},
    {"exclusiveMaximum", compile_bound, RULE_EXCLUSIVE_MAXIMUM},
    {"minimum", compile_bound, RULE_MINIMUM},
    {"exclusiveMinimum", compile_bound, RULE_EXCLUSIVE_MINIMUM},
    {"maxLength", compile_count, RULE_MAX_LENGTH},
    {"minLength", compile_count, RULE_MIN_LENGTH},
    {"pattern", compile_pattern, RULE_PATTERN},
    {"format", compile_format, RULE_FORMAT},
    {"maxItems", compile_count, RULE_MAX_ITEMS},
    {"minItems", compile_count, RULE_MIN_ITEMS},
    {"uniqueItems", compile_unique, RULE_UNIQUE_ITEMS},
    {"items", compile_items, RULE_ITEMS},
    {"contains", compile_schema, RULE_CONTAINS},
    {"maxProperties", compile_count, RULE_MAX_PROPERTIES},
    {"minProperties", compile_count, RULE_MIN_PROPERTIES},
    {"required", compile_required, RULE_REQUIRED},
    {NULL, compile_members, RULE_MEMBERS},
    {"propertyNames", compile_schema, RULE_PROPERTY_NAMES},
    {"dependencies", compile_dependencies, RULE_DEPENDENCIES},
    {"allOf", compile_several, RULE_ALL_OF},
    {"anyOf", compile_several, RULE_ANY_OF},
    {"oneOf", compile_several, RULE_ONE_OF},
    {"not", compile_schema, RULE_NOT},
    {"if", compile_if, RULE_IF},
};
_Static_assert(sizeof keywords / sizeof keywords[0] <= RULES_MAX, "a schema has room for a rule of every keyword");

/* --- whole schemas --- */

static void compile_ref(struct build *build)
{
    struct json_object *target = NULL;
    struct fault fault = {0};
    if (!schemas_follow(build->schemas, build->node, &target, &fault)) {
        complain(build, "$ref", fault.text);
        return;
    }
    const struct schema *schema = sub_schema(build, "$ref", target);
    if (schema != NULL)
        add_rule(build, RULE_REF)->with.schema = schema;
}

void compile_rules(struct build *build)
{
    if (json_object_object_get_ex(build->node, "$ref", NULL)) {
        compile_ref(build); /* draft 7 ignores its siblings */
        return;
    }
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        struct json_object *json = NULL;
        if (keywords[i].key == NULL || json_object_object_get_ex(build->node, keywords[i].key, &json))
            keywords[i].compile(build, keywords[i].key, json, keywords[i].kind);
    }
}

bool keyword_is_known(const char *name, const char **nearest)
{
    /* The keywords without a rule of their own. */
    static const char *const others[] = {
        "$comment",
        "$id",
        "$ref",
        "$schema",
        "additionalItems",
        "additionalProperties",
        "contentEncoding",
        "contentMediaType",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "else",
        "example",
        "examples",
        "externalDocs",
        "nullable",
        "patternProperties",
        "properties",
        "readOnly",
        "then",
        "title",
        "writeOnly",
        "xml",
    };
    struct nearest search;
    nearest_begin(&search, name);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        nearest_offer(&search, others[i]);
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (keywords[i].key != NULL)
            nearest_offer(&search, keywords[i].key);
    }
    size_t length = strlen(name);
    bool near = search.name != NULL && search.edits <= (length < 8 ? 1 : length / 4);
    *nearest = near ? search.name : NULL;
    return search.name != NULL && search.edits == 0;
}
