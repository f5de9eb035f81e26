/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads payloads as the MOV does, to foresee what it makes of them. The MOV knows only const, enum, type, properties,
 * items, oneOf, anyOf and allOf, follows a reference only if it is made of plain names, and some schemas that are right
 * by JSON Schema end its reading of the whole document: then it refuses to register the component. It is its reader
 * that falls short there, not the document, and a later MOV may do better: so these are warnings. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "contract_parts.h"
#include "memory.h"

/* What a schema that the MOV stumbles over is: one place to make an error of it. */
#define MOV_STUMBLES FINDING_WARNING

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
    contract_note_at(walk->contract, MOV_STUMBLES, schema, key, "%s: the MOV refuses the component", what);
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
    if (type == NULL) {
        stumble(walk, schema, "type", "a list of types");
        return;
    }
    for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++) {
        if (strcmp(type, simple[i]) == 0)
            return;
    }
    if (strcmp(type, "object") == 0)
        look_at_object(walk, schema, "an object without properties");
    else
        look_at_diverse(walk, schema, type);
}

static void look_at(struct payload_walk *walk, struct json_object *schema)
{
    struct json_object *target = NULL;
    const char *ref = string_member(schema, "$ref");
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
