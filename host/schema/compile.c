/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Makes rules of schemas. Every object or boolean that is a schema becomes one `struct schema`, however often it is
 * referred to; new ones wait in a list until their turn comes, so that neither nesting nor circles need recursion. */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/ptrmap.h"
#include "schema/parts.h"

#define SCHEMAS_MAX 50000
#define RULES_MAX 32

/* How many schemas may be applied to one and the same value, one within the other. */
#define HEIGHT_MAX 64

/* How many faults are told of: more than whoever is told keeps, so that it is known that there are more. */
#define REPORTS_MAX 201

struct state {
    unsigned height; /* 0: not measured */
    bool entered;    /* being measured */
    bool refused;
};

struct schemas {
    const struct document *document;
    unsigned flags;
    schema_report *report;
    void *context;
    bool sound;
    bool crowded; /* SCHEMAS_MAX was reached, and reported */
    struct identifiers *identifiers;
    struct patterns *patterns;
    struct ptrmap known; /* from a node to its schema */
    struct schema **at;
    struct state *states; /* of each of them */
    size_t count;
    size_t room;
    size_t filled; /* the schemas before this one have their rules */
    size_t reports;
    struct kept *kept;
    struct schema anything; /* the boolean schemas, which json-c may hold as shared or no nodes */
    struct schema nothing;
    struct rule refusal;
};

/* Memory that lives as long as the set. */
struct kept {
    struct kept *next;
    max_align_t memory[];
};

static void *keep(struct schemas *schemas, size_t count, size_t size)
{
    struct kept *kept = memory_new(sizeof *kept + count * size);
    kept->next = schemas->kept;
    schemas->kept = kept;
    return kept->memory;
}

/* One schema while its rules are made. */
struct build {
    struct schemas *schemas;
    struct json_object *node;
    struct rule rules[RULES_MAX];
    size_t count;
    bool broken;
};

/* --- faults --- */

static void report(struct schemas *schemas, struct json_object *node, const char *key, const char *what)
{
    char pointer[256] = "";
    struct text text = {0};
    struct place place = document_place_of_key(schemas->document, node, key);
    schemas->sound = false;
    if (schemas->report == NULL || schemas->reports++ >= REPORTS_MAX)
        return;
    document_pointer(schemas->document, node, key, pointer, sizeof pointer);
    text_printf(&text, "%s%s%s", pointer, pointer[0] == '\0' ? "" : ": ", what);
    schemas->report(schemas->context, place, text.at);
    text_free(&text);
}

static void complain(struct build *build, const char *key, const char *what)
{
    build->broken = true;
    report(build->schemas, build->node, key, what);
}

/* Complains of what is at a key of an object, which is the schema or within it; without a key, of the value itself. */
static void complain_at(struct build *build, struct json_object *object, const char *key, struct json_object *json,
                        const char *what)
{
    struct value value = value_of(json);
    struct text text = {0};
    value_show(&text, &value);
    text_printf(&text, " %s", what);
    build->broken = true;
    report(build->schemas, object, key, text.at);
    text_free(&text);
}

static void complain_of(struct build *build, const char *key, struct json_object *json, const char *what)
{
    complain_at(build, build->node, key, json, what);
}

/* Complains of an item of the list at a key of an object. A null is no node, and so has no place of its own. */
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

/* The schema of a node, which may have its rules only later. */
static const struct schema *schema_of(struct schemas *schemas, struct json_object *node)
{
    uint64_t known = 0;
    if (json_object_is_type(node, json_type_boolean))
        return json_object_get_boolean(node) ? &schemas->anything : &schemas->nothing;
    if (ptrmap_get(&schemas->known, node, &known))
        return schemas->at[known];
    if (schemas->count == SCHEMAS_MAX) {
        if (!schemas->crowded)
            report(schemas, node, NULL, "too many schemas");
        schemas->crowded = true;
        return &schemas->nothing;
    }
    if (schemas->count == schemas->room) {
        schemas->room = schemas->room == 0 ? 64 : schemas->room * 2;
        schemas->at = memory_resize(schemas->at, schemas->room * sizeof(struct schema *));
        schemas->states = memory_resize(schemas->states, schemas->room * sizeof *schemas->states);
    }
    struct schema *schema = keep(schemas, 1, sizeof *schema);
    schema->node = node;
    schema->index = schemas->count;
    schemas->states[schemas->count] = (struct state){0};
    ptrmap_put(&schemas->known, node, schemas->count);
    schemas->at[schemas->count++] = schema;
    return schema;
}

static bool is_schema(struct json_object *json)
{
    return json_object_is_type(json, json_type_object) || json_object_is_type(json, json_type_boolean);
}

/* The schema at a key of an object; NULL, reported, if it is none. */
static const struct schema *schema_at(struct build *build, struct json_object *object, const char *key,
                                      struct json_object *json)
{
    if (is_schema(json))
        return schema_of(build->schemas, json);
    complain_at(build, object, key, json, "is no schema");
    return NULL;
}

/* The schema that a keyword has. */
static const struct schema *sub_schema(struct build *build, const char *key, struct json_object *json)
{
    return schema_at(build, build->node, key, json);
}

static bool sub_schemas(struct build *build, const char *key, struct json_object *json, struct schema_list *list)
{
    list->count = json_object_array_length(json);
    list->at = keep(build->schemas, list->count, sizeof(struct schema *));
    for (size_t i = 0; i < list->count; i++) {
        struct json_object *item = json_object_array_get_idx(json, i);
        if (is_schema(item))
            list->at[i] = schema_of(build->schemas, item);
        else
            complain_of_item(build, build->node, key, item, "is no schema");
    }
    return !build->broken;
}

/* Whether what is at a key of an object is a list of strings, which becomes a list of names. */
static bool name_list(struct build *build, struct json_object *object, const char *key, struct json_object *json,
                      struct name_list *list)
{
    if (!json_object_is_type(json, json_type_array)) {
        complain_at(build, object, key, json, "is no list of strings");
        return false;
    }
    list->count = json_object_array_length(json);
    list->at = keep(build->schemas, list->count, sizeof(char *));
    for (size_t i = 0; i < list->count; i++) {
        struct json_object *name = json_object_array_get_idx(json, i);
        if (!json_object_is_type(name, json_type_string)) {
            complain_of_item(build, object, key, name, "is no string");
            continue;
        }
        list->at[i] = json_object_get_string(name);
        list->cost += cost_of((size_t)json_object_get_string_len(name));
    }
    return !build->broken;
}

/* --- keywords, each with the kind of rule it makes --- */

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
            complain_of(build, key, json_object_array_get_idx(json, i), "is no type");
            return;
        }
        types |= type;
    }
    if (types == 0) {
        complain_of(build, key, json, "is no type");
        return;
    }
    /* OpenAPI's word, not draft 7's; but VALAWAI's documents use it, and a message is not to be refused for a null that
     * its author allowed. */
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
        complain_of(build, key, json, "is no list of values");
        return;
    }
    list.json = json;
    list.count = json_object_array_length(json);
    list.at = keep(build->schemas, list.count, sizeof *list.at);
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
        complain_of(build, key, json, "is no number");
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
        complain_of(build, key, json, "is no count");
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
        report(build->schemas, object, key, text.at);
        text_free(&text);
    }
    return pattern;
}

static void compile_pattern(struct build *build, const char *key, struct json_object *json, enum rule_kind kind)
{
    if (!json_object_is_type(json, json_type_string)) {
        complain_of(build, key, json, "is no regular expression");
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
        complain_of(build, key, json, "is no name of a format");
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

/* items, and additionalItems, which means nothing without a list of items. */
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

/* The object of schemas that a keyword has; NULL if it is not there, or, reported, no object. */
static struct json_object *object_of_schemas(struct build *build, const char *key)
{
    struct json_object *json = NULL;
    if (!json_object_object_get_ex(build->node, key, &json) || json_object_is_type(json, json_type_object))
        return json;
    complain_of(build, key, json, "is no object of schemas");
    return NULL;
}

static void fill_members(struct build *build, struct members *members, struct json_object *properties)
{
    size_t count = (size_t)json_object_object_length(properties);
    size_t room = 1;
    while (room < count * 2)
        room *= 2;
    members->slots = keep(build->schemas, room, sizeof *members->slots);
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
    members->patterns = keep(build->schemas, (size_t)json_object_object_length(properties), sizeof *members->patterns);
    json_object_object_foreach(properties, source, json)
    {
        const struct pattern *pattern = new_pattern(build, properties, source, source, strlen(source));
        const struct schema *schema = schema_at(build, properties, source, json);
        if (pattern != NULL && schema != NULL)
            members->patterns[members->pattern_count++] = (struct member_pattern){pattern, schema};
    }
}

/* properties, patternProperties and additionalProperties, which are one rule; called once, whichever are there. */
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
    struct members *members = keep(build->schemas, 1, sizeof *members);
    members->slots = keep(build->schemas, 1, sizeof *members->slots);
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
        complain_of(build, key, json, "is no object");
        return;
    }
    list.at = keep(build->schemas, (size_t)json_object_object_length(json), sizeof *list.at);
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
        complain_of(build, key, json, "is no list of schemas");
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

/* In the order in which the rules are to be checked: the cheap and the telling ones first. */
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

static const char *ref_of(struct json_object *object, struct fault *fault)
{
    struct json_object *ref = NULL;
    json_object_object_get_ex(object, "$ref", &ref);
    if (json_object_is_type(ref, json_type_string))
        return json_object_get_string(ref);
    fault_set(fault, "is no string");
    return NULL;
}

bool schemas_follow(const struct schemas *schemas, struct json_object *object, struct json_object **target,
                    struct fault *fault)
{
    const char *ref = ref_of(object, fault);
    return ref != NULL && identifiers_resolve(schemas->identifiers, object, ref, target, fault);
}

bool schemas_learn(struct schemas *schemas, struct json_object *object, struct json_object **target,
                   struct fault *fault)
{
    const char *ref = ref_of(object, fault);
    return ref != NULL && identifiers_learn(schemas->identifiers, object, ref, target, fault);
}

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

static void fill(struct schemas *schemas, struct schema *schema)
{
    struct build build = {.schemas = schemas, .node = schema->node};
    if (json_object_object_get_ex(schema->node, "$ref", NULL)) {
        compile_ref(&build); /* its siblings mean nothing in draft 7 */
    } else {
        for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
            struct json_object *json = NULL;
            if (keywords[i].key == NULL || json_object_object_get_ex(schema->node, keywords[i].key, &json))
                keywords[i].compile(&build, keywords[i].key, json, keywords[i].kind);
        }
    }
    if (build.broken) {
        schema->rules = &schemas->refusal;
        schema->count = 1;
        return;
    }
    schema->count = build.count;
    schema->rules = keep(schemas, build.count, sizeof *schema->rules);
    memcpy(schema->rules, build.rules, build.count * sizeof *schema->rules);
}

/* --- heights: how far schemas lead into one another without leaving the value --- */

static void refuse_schema(struct schemas *schemas, size_t index, const char *why)
{
    struct json_object *node = schemas->at[index]->node;
    bool is_ref = json_object_object_get_ex(node, "$ref", NULL);
    if (!schemas->states[index].refused)
        report(schemas, node, is_ref ? "$ref" : NULL, why);
    schemas->states[index].refused = true;
}

static unsigned measure(struct schemas *schemas, const struct schema *schema, unsigned depth);

static unsigned measure_list(struct schemas *schemas, const struct schema *const *at, size_t count, unsigned depth)
{
    unsigned most = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned height = measure(schemas, at[i], depth);
        most = height > most ? height : most;
    }
    return most;
}

/* The greatest height of what a rule applies to the same value. */
static unsigned measure_rule(struct schemas *schemas, const struct rule *rule, unsigned depth)
{
    const struct condition *condition = &rule->with.condition;
    const struct dependency_list *dependencies = &rule->with.dependencies;
    unsigned most = 0;
    switch (rule->kind) {
    case RULE_REF:
    case RULE_NOT:
        return measure(schemas, rule->with.schema, depth);
    case RULE_ALL_OF:
    case RULE_ANY_OF:
    case RULE_ONE_OF:
        return measure_list(schemas, rule->with.schemas.at, rule->with.schemas.count, depth);
    case RULE_DEPENDENCIES:
        for (size_t i = 0; i < dependencies->count; i++) {
            unsigned height = measure(schemas, dependencies->at[i].schema, depth);
            most = height > most ? height : most;
        }
        return most;
    case RULE_IF:
        return measure_list(schemas, (const struct schema *[]){condition->when, condition->then, condition->otherwise},
                            3, depth);
    default:
        return 0;
    }
}

/* How many schemas may be applied to one value one within the other, from this one on. One that leads back to itself,
 * or too far, is made to refuse every value; that also ends the circle. */
static unsigned measure(struct schemas *schemas, const struct schema *schema, unsigned depth)
{
    if (schema == NULL || schema->index == SIZE_MAX)
        return schema == NULL ? 0 : 1;
    size_t index = schema->index;
    unsigned height = schemas->states[index].height;
    if (schemas->states[index].entered) {
        refuse_schema(schemas, index, "leads back to itself without going deeper into the value");
        return 1;
    }
    if (height > 0)
        return height;
    schemas->states[index].entered = true;
    for (size_t i = 0; i < schema->count && depth < HEIGHT_MAX; i++) {
        unsigned within = measure_rule(schemas, &schema->rules[i], depth + 1);
        height = within > height ? within : height;
    }
    schemas->states[index].entered = false;
    if (height >= HEIGHT_MAX || depth >= HEIGHT_MAX)
        refuse_schema(schemas, index, "leads through too many schemas without going deeper into the value");
    if (schemas->states[index].refused) {
        schemas->at[index]->rules = &schemas->refusal;
        schemas->at[index]->count = 1;
        height = 0;
    }
    schemas->states[index].height = height + 1;
    return height + 1;
}

/* --- the set --- */

struct schemas *schemas_new(const struct document *document, unsigned flags, schema_report *reporter, void *context)
{
    struct schemas *schemas = memory_new(sizeof *schemas);
    schemas->document = document;
    schemas->flags = flags;
    schemas->report = reporter;
    schemas->context = context;
    schemas->sound = true;
    schemas->refusal.kind = RULE_BROKEN;
    const char *why = NULL;
    schemas->identifiers = identifiers_new(document_root(document));
    struct json_object *refused = identifiers_refused(schemas->identifiers, &why);
    if (refused != NULL)
        report(schemas, refused, "$id", why);
    schemas->patterns = patterns_new();
    schemas->anything.index = SIZE_MAX;
    schemas->nothing.index = SIZE_MAX;
    schemas->nothing.rules = keep(schemas, 1, sizeof(struct rule));
    schemas->nothing.rules[0].kind = RULE_NOTHING;
    schemas->nothing.count = 1;
    return schemas;
}

static void fill_all(struct schemas *schemas)
{
    size_t from = schemas->filled;
    while (schemas->filled < schemas->count)
        fill(schemas, schemas->at[schemas->filled++]);
    for (size_t i = from; i < schemas->count; i++)
        measure(schemas, schemas->at[i], 0);
}

const struct schema *schemas_add(struct schemas *schemas, struct json_object *node)
{
    if (!json_object_is_type(node, json_type_object) && !json_object_is_type(node, json_type_boolean)) {
        report(schemas, node, NULL, "is no schema");
        return &schemas->nothing;
    }
    const struct schema *schema = schema_of(schemas, node);
    fill_all(schemas);
    return schema;
}

const struct schema *schemas_one_of(struct schemas *schemas, const struct schema *const *among, size_t count)
{
    struct schema *schema = keep(schemas, 1, sizeof *schema);
    schema->index = SIZE_MAX;
    struct schema_list list = {.at = keep(schemas, count, sizeof(struct schema *))};
    for (size_t i = 0; i < count; i++) {
        bool again = false;
        for (size_t j = 0; j < list.count && !again; j++)
            again = list.at[j] == among[i];
        if (!again)
            list.at[list.count++] = among[i];
    }
    schema->rules = keep(schemas, 1, sizeof *schema->rules);
    schema->rules[0] = (struct rule){.kind = RULE_ONE_OF, .with.schemas = list};
    schema->count = 1;
    return schema;
}

void schemas_free(struct schemas *schemas)
{
    if (schemas == NULL)
        return;
    while (schemas->kept != NULL) {
        struct kept *next = schemas->kept->next;
        free(schemas->kept);
        schemas->kept = next;
    }
    free(schemas->at);
    free(schemas->states);
    ptrmap_clear(&schemas->known);
    identifiers_free(schemas->identifiers);
    patterns_free(schemas->patterns);
    free(schemas);
}

/* Keeps the first fault. */
static void report_to_fault(void *context, struct place place, const char *text)
{
    struct fault *fault = context;
    if (fault != NULL && fault->text[0] == '\0')
        fault_set(fault, "line %u, column %u: %s", place.line, place.column, text);
}

struct schemas *schemas_compile(const struct document *document, const char *pointer, unsigned flags,
                                const struct schema **schema, struct fault *fault)
{
    struct json_object *node = NULL;
    struct schemas *schemas = NULL;
    if (fault != NULL)
        fault->text[0] = '\0';
    if (!document_at(document_root(document), pointer, &node)) {
        fault_set(fault, "%s: the document has no such place", pointer);
        return NULL;
    }
    schemas = schemas_new(document, flags, report_to_fault, fault);
    *schema = schemas_add(schemas, node);
    if (!schemas->sound) {
        schemas_free(schemas);
        return NULL;
    }
    return schemas;
}
