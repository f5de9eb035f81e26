/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The set of compiled schemas. Each object or boolean that is a schema becomes one `struct schema`, regardless of the
 * number of references. New ones wait in a list, so neither nesting nor circles need recursion. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "schema/set.h"

#define SCHEMAS_MAX 50000

/* The most nested schemas that apply to the same value. */
#define HEIGHT_MAX 64

/* The most reported faults: one more than the receiver keeps, so that it detects the excess. */
#define REPORTS_MAX 201

void *schemas_keep(struct schemas *schemas, size_t count, size_t size)
{
    struct kept *kept = memory_new(sizeof *kept + count * size);
    kept->next = schemas->kept;
    schemas->kept = kept;
    return kept->memory;
}

void schemas_complain(struct schemas *schemas, struct json_object *node, const char *key, const char *what)
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

/* The schema of a node, which may get its rules later. */
const struct schema *schemas_of(struct schemas *schemas, struct json_object *node)
{
    uint64_t known = 0;
    if (json_object_is_type(node, json_type_boolean))
        return json_object_get_boolean(node) ? &schemas->anything : &schemas->nothing;
    if (ptrmap_get(&schemas->known, node, &known))
        return schemas->at[known];
    if (schemas->count == SCHEMAS_MAX) {
        if (!schemas->crowded)
            schemas_complain(schemas, node, NULL, "too many schemas");
        schemas->crowded = true;
        return &schemas->nothing;
    }
    if (schemas->count == schemas->room) {
        schemas->room = schemas->room == 0 ? 64 : schemas->room * 2;
        schemas->at = memory_resize(schemas->at, schemas->room * sizeof(struct schema *));
        schemas->states = memory_resize(schemas->states, schemas->room * sizeof *schemas->states);
    }
    struct schema *schema = schemas_keep(schemas, 1, sizeof *schema);
    schema->node = node;
    schema->index = schemas->count;
    schemas->states[schemas->count] = (struct state){0};
    ptrmap_put(&schemas->known, node, schemas->count);
    schemas->at[schemas->count++] = schema;
    return schema;
}

/* --- whole schemas --- */

static const char *ref_of(struct json_object *object, struct fault *fault)
{
    struct json_object *ref = NULL;
    json_object_object_get_ex(object, "$ref", &ref);
    if (json_object_is_type(ref, json_type_string))
        return json_object_get_string(ref);
    fault_set(fault, "is not a string");
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

static void fill(struct schemas *schemas, struct schema *schema)
{
    struct build build = {.schemas = schemas, .node = schema->node};
    compile_rules(&build);
    if (build.broken) {
        schema->rules = &schemas->refusal;
        schema->count = 1;
        return;
    }
    schema->count = build.count;
    schema->rules = schemas_keep(schemas, build.count, sizeof *schema->rules);
    memcpy(schema->rules, build.rules, build.count * sizeof *schema->rules);
}

/* --- heights: the number of nested schemas for one value --- */

static void refuse_schema(struct schemas *schemas, size_t index, const char *why)
{
    struct json_object *node = schemas->at[index]->node;
    bool is_ref = json_object_object_get_ex(node, "$ref", NULL);
    if (!schemas->states[index].refused)
        schemas_complain(schemas, node, is_ref ? "$ref" : NULL, why);
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

/* The greatest height of the schemas that a rule applies to the same value. */
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

/* The number of nested schemas for one value, from this one on. A schema that leads back to itself, or too far, refuses
 * every value from then on, which also ends the circle. */
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
        schemas_complain(schemas, refused, "$id", why);
    schemas->patterns = patterns_new();
    schemas->anything.index = SIZE_MAX;
    schemas->nothing.index = SIZE_MAX;
    schemas->nothing.rules = schemas_keep(schemas, 1, sizeof(struct rule));
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
        schemas_complain(schemas, node, NULL, "is not a schema");
        return &schemas->nothing;
    }
    const struct schema *schema = schemas_of(schemas, node);
    fill_all(schemas);
    return schema;
}

const struct schema *schemas_one_of(struct schemas *schemas, const struct schema *const *among, size_t count)
{
    struct schema *schema = schemas_keep(schemas, 1, sizeof *schema);
    schema->index = SIZE_MAX;
    struct schema_list list = {.at = schemas_keep(schemas, count, sizeof(struct schema *))};
    for (size_t i = 0; i < count; i++) {
        bool again = false;
        for (size_t j = 0; j < list.count && !again; j++)
            again = list.at[j] == among[i];
        if (!again)
            list.at[list.count++] = among[i];
    }
    schema->rules = schemas_keep(schemas, 1, sizeof *schema->rules);
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
