/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads payloads as the MOV does, to foresee what it makes of them. The MOV knows only const, enum, type, properties,
 * items, oneOf, anyOf and allOf, follows a reference only if it is made of plain names, and some schemas that are right
 * by JSON Schema end its reading of the whole document: then it refuses to register the component.
 *
 * Why these are warnings and not errors. An error is what makes a document wrong for everybody: a reference that leads
 * to nothing, a schema that is none, a notification without one of its eight properties. The MOV passes over those in
 * silence, so that nobody else would say it. The shapes here are right: all of JSON Schema is ours to enforce, and an
 * error would take from the author what only this one reader lacks (`type: [string, 'null']`, a map with
 * additionalProperties, a schema of nothing but `not`). The wire contract says which words the MOV follows, not that a
 * component may use no others; and the MOV is not silent here, it answers no registration and logs why. A host without
 * a MOV, or with a later one, works. Whoever wants a MOV of today runs `check --strict`. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "contract/parts.h"

struct payload_walk {
    struct contract *contract;
    struct json_object **waiting;
    size_t count;
    size_t room;
};

static void wait_for(struct payload_walk *walk, struct json_object *schema)
{
    if (!json_object_is_type(schema, json_type_object) || ptrmap_get(&walk->contract->seen_for_mov, schema, NULL))
        return; /* the MOV passes over boolean schemas */
    ptrmap_put(&walk->contract->seen_for_mov, schema, 1);
    if (walk->count == walk->room) {
        walk->room = walk->room == 0 ? 64 : walk->room * 2;
        walk->waiting = memory_resize(walk->waiting, walk->room * sizeof(struct json_object *));
    }
    walk->waiting[walk->count++] = schema;
}

static void stumble(struct payload_walk *walk, struct json_object *schema, const char *key, const char *what)
{
    contract_note_at(walk->contract, FINDING_WARNING, schema, key, "%s: the MOV refuses the component", what);
}

/* The reference taken as the MOV does: "#/", and names that are keys of objects, without any escapes. */
static bool mov_follows(struct json_object *root, const char *ref)
{
    if (strncmp(ref, "#/", 2) != 0)
        return false;
    char *copy = memory_text(ref + 2);
    char *rest = copy;
    const char *name = NULL;
    while (root != NULL && (name = strsep(&rest, "/")) != NULL)
        root = object_member(root, name);
    free(copy);
    return root != NULL;
}

static void look_at_object(struct payload_walk *walk, struct json_object *schema, const char *why)
{
    struct json_object *properties = object_member(schema, "properties");
    if (properties == NULL) {
        if (!json_object_object_get_ex(schema, "properties", NULL)) /* or else it is an error already */
            stumble(walk, schema, NULL, why);
        return;
    }
    json_object_object_foreach(properties, name, property)
    {
        if (!document_key_is_text(walk->contract->document, properties, name))
            stumble(walk, properties, name, "without quotation marks this name is no text in YAML 1.1");
        wait_for(walk, property);
    }
}

/* An array, or one of the keywords that combine schemas; else it has to be an object. */
static void look_at_diverse(struct payload_walk *walk, struct json_object *schema, const char *type)
{
    static const char *const keys[] = {"oneOf", "anyOf", "allOf"};
    struct json_object *among = NULL;
    if (type != NULL && strcmp(type, "array") == 0) {
        json_object_object_get_ex(schema, "items", &among);
    } else {
        for (size_t i = 0; i < sizeof keys / sizeof keys[0] && among == NULL; i++)
            json_object_object_get_ex(schema, keys[i], &among);
        if (among == NULL) {
            look_at_object(walk, schema,
                           type == NULL ? "a schema without a type and without properties"
                                        : "a schema of a type that the MOV does not know");
            return;
        }
    }
    wait_for(walk, among);
    for (size_t i = 0; json_object_is_type(among, json_type_array) && i < json_object_array_length(among); i++)
        wait_for(walk, json_object_array_get_idx(among, i));
}

static void look_at_type(struct payload_walk *walk, struct json_object *schema)
{
    static const char *const simple[] = {"integer", "number", "string", "boolean"};
    const char *type = string_member(schema, "type");
    struct json_object *types = NULL;
    if (type == NULL) {
        if (json_object_object_get_ex(schema, "type", &types) && json_object_is_type(types, json_type_array))
            stumble(walk, schema, "type", "a list of types");
        return;
    }
    for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++) {
        if (strcmp(type, simple[i]) == 0)
            return;
    }
    if (strcmp(type, "object") == 0)
        look_at_object(walk, schema, "an object without properties (`properties: {}` will do)");
    else if (strcmp(type, "array") == 0 || strcmp(type, "null") == 0) /* all others are errors already */
        look_at_diverse(walk, schema, type);
}

/* --- circles: the MOV ends one only where it meets an object again --- */

/* The next schema that the MOV reads for this one, without an object between; false: there are no more. What it is may
 * be no object at all. */
static bool next_inner(const struct contract *contract, struct json_object *schema, size_t index,
                       struct json_object **inner)
{
    static const char *const keys[] = {"oneOf", "anyOf", "allOf"};
    struct json_object *among = NULL;
    const char *type = string_member(schema, "type");
    if (json_object_object_get_ex(schema, "$ref", NULL))
        return index == 0 && schemas_follow(contract->schemas, schema, inner, NULL);
    if (json_object_object_get_ex(schema, "const", NULL) || json_object_object_get_ex(schema, "enum", NULL))
        return false;
    if (type != NULL && strcmp(type, "array") == 0)
        json_object_object_get_ex(schema, "items", &among);
    else if (type == NULL)
        for (size_t i = 0; i < sizeof keys / sizeof keys[0] && among == NULL; i++)
            json_object_object_get_ex(schema, keys[i], &among);
    *inner = among;
    if (!json_object_is_type(among, json_type_array))
        return among != NULL && index == 0;
    if (index >= json_object_array_length(among))
        return false;
    *inner = json_object_array_get_idx(among, index);
    return true;
}

/* One schema on the way that is being gone, which of its inner ones comes next, and how many arrays are on the way up
 * to it. */
struct stage {
    struct json_object *schema;
    size_t next;
    size_t arrays;
};

/* Of a schema on the way: its place there, and whether it was told of. 0: it is on the way no more. */
#define CIRCLE_DONE UINT64_C(0)
#define CIRCLE_TOLD UINT64_C(1)

static struct stage stage_after(const struct stage *before, struct json_object *schema)
{
    const char *type = string_member(schema, "type");
    size_t arrays = before == NULL ? 0 : before->arrays;
    return (struct stage){.schema = schema, .arrays = arrays + (type != NULL && strcmp(type, "array") == 0)};
}

/* A circle without an array in it is an error already: it goes no deeper into the value. */
static void tell_circle(struct payload_walk *walk, const struct stage *stages, size_t count, uint64_t state)
{
    if (state == CIRCLE_DONE || (state & CIRCLE_TOLD) != 0)
        return;
    size_t first = (size_t)(state >> 1) - 1;
    size_t before = first == 0 ? 0 : stages[first - 1].arrays;
    if (stages[count - 1].arrays == before)
        return;
    ptrmap_put(&walk->contract->circles_for_mov, stages[first].schema, state | CIRCLE_TOLD);
    stumble(walk, stages[first].schema, NULL, "it contains itself with no object between");
}

/* Finds the schemas that lead back to themselves without an object between; each schema is gone through once, and
 * without recursion, because the way may be as long as the document. */
static void look_for_circle(struct payload_walk *walk, struct json_object *schema)
{
    struct ptrmap *circles = &walk->contract->circles_for_mov;
    struct stage *stages = NULL;
    size_t count = 0, room = 0;
    struct json_object *enter = schema;
    while (enter != NULL || count > 0) {
        uint64_t state = CIRCLE_DONE;
        struct json_object *inner = NULL;
        if (enter != NULL) {
            if (count == room) {
                room = room == 0 ? 16 : room * 2;
                stages = memory_resize(stages, room * sizeof *stages);
            }
            stages[count] = stage_after(count == 0 ? NULL : &stages[count - 1], enter);
            ptrmap_put(circles, enter, (uint64_t)++count << 1);
            enter = NULL;
        }
        struct stage *last = &stages[count - 1];
        if (!next_inner(walk->contract, last->schema, last->next++, &inner)) {
            ptrmap_put(circles, last->schema, CIRCLE_DONE);
            count--;
        } else if (json_object_is_type(inner, json_type_object)) {
            if (ptrmap_get(circles, inner, &state))
                tell_circle(walk, stages, count, state);
            else
                enter = inner;
        }
    }
    free(stages);
}

static void look_at(struct payload_walk *walk, struct json_object *schema)
{
    struct json_object *target = NULL;
    const char *ref = string_member(schema, "$ref");
    if (!ptrmap_get(&walk->contract->circles_for_mov, schema, NULL))
        look_for_circle(walk, schema);
    if (json_object_object_get_ex(schema, "$ref", NULL) && ref == NULL)
        return; /* an error already */
    if (ref != NULL) {
        if (!schemas_follow(walk->contract->schemas, schema, &target, NULL))
            return; /* an error already */
        if (mov_follows(document_root(walk->contract->document), ref))
            wait_for(walk, target);
        else
            stumble(walk, schema, "$ref", "a reference that the MOV cannot follow");
    } else if (json_object_object_get_ex(schema, "const", &target)) {
        if (target != NULL && !json_object_is_type(target, json_type_string))
            stumble(walk, schema, "const", "a const that is no string");
    } else if (json_object_object_get_ex(schema, "enum", NULL)) {
        return;
    } else if (json_object_object_get_ex(schema, "type", NULL)) {
        look_at_type(walk, schema);
    } else {
        look_at_diverse(walk, schema, NULL);
    }
}

void contract_check_payload_for_mov(struct contract *contract, struct json_object *payload)
{
    struct payload_walk walk = {.contract = contract};
    wait_for(&walk, payload);
    while (walk.count > 0)
        look_at(&walk, walk.waiting[--walk.count]);
    free(walk.waiting);
}

/* The one schema that oneOf, anyOf or allOf has, which the MOV takes for the whole. */
static struct json_object *single_choice(struct json_object *schema)
{
    static const char *const keys[] = {"oneOf", "anyOf", "allOf"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct json_object *among = NULL;
        if (!json_object_object_get_ex(schema, keys[i], &among))
            continue;
        bool single = json_object_is_type(among, json_type_array) && json_object_array_length(among) == 1;
        return single ? json_object_array_get_idx(among, 0) : NULL;
    }
    return NULL;
}

struct json_object *contract_properties_for_mov(const struct contract *contract, struct json_object *payload)
{
    for (int hops = 0; payload != NULL && hops < 32; hops++) {
        payload = contract_follow(contract, payload, NULL);
        const char *type = string_member(payload, "type");
        if (type != NULL)
            return strcmp(type, "object") == 0 ? object_member(payload, "properties") : NULL;
        struct json_object *choice = single_choice(payload);
        if (choice == NULL)
            return object_member(payload, "properties");
        payload = choice;
    }
    return NULL;
}
