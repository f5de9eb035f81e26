/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads schemas like the MOV 2.0.1. The MOV knows const, enum, type, properties, items, oneOf, anyOf and allOf. It
 * follows a reference made of plain names. Many schemas that are valid in JSON Schema end its reading of the whole
 * document; for_mov.c writes each of them in a form that the MOV can read. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "contract/parts.h"

static const char *const choices[] = {"oneOf", "anyOf", "allOf"};
#define CHOICES (sizeof choices / sizeof choices[0])

struct mov_type mov_type_of(struct json_object *schema)
{
    struct json_object *list = array_member(schema, "type");
    struct json_object *nullable = NULL;
    struct mov_type type = {.one = string_member(schema, "type")};
    size_t others = 0;
    if (list == NULL)
        return type;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *name = json_object_array_get_idx(list, i);
        if (!json_object_is_type(name, json_type_string))
            continue; /* an error already */
        if (strcmp(json_object_get_string(name), "null") == 0) {
            type.nullable = true;
        } else {
            type.one = json_object_get_string(name);
            others++;
        }
    }
    if (others == 0)
        type = (struct mov_type){.one = "null"};
    else if (others > 1)
        type = (struct mov_type){.several = list};
    if (json_object_object_get_ex(schema, "nullable", &nullable) && others == 1)
        type.nullable |= json_object_get_boolean(nullable);
    return type;
}

struct json_object *mov_target(const struct contract *contract, const char *ref)
{
    struct json_object *at = document_root(contract->document);
    if (strncmp(ref, "#/", 2) != 0)
        return NULL;
    char *copy = memory_text(ref + 2);
    char *rest = copy;
    const char *name = NULL;
    while (at != NULL && (name = strsep(&rest, "/")) != NULL)
        at = name[0] == '\0' ? NULL : object_member(at, name);
    free(copy);
    return at;
}

/* --- schemas that the MOV reads --- */

struct payload_walk {
    struct contract *contract;
    struct json_object **waiting;
    size_t count;
    size_t room;
};

static void wait_for(struct payload_walk *walk, struct json_object *schema)
{
    bool is_schema = json_object_is_type(schema, json_type_object) || json_object_is_type(schema, json_type_boolean);
    if (!is_schema || ptrmap_get(&walk->contract->mov_reads, schema, NULL))
        return;
    ptrmap_put(&walk->contract->mov_reads, schema, MOV_READS);
    if (walk->count == walk->room) {
        walk->room = walk->room == 0 ? 64 : walk->room * 2;
        walk->waiting = memory_resize(walk->waiting, walk->room * sizeof(struct json_object *));
    }
    walk->waiting[walk->count++] = schema;
}

static void wait_for_all(struct payload_walk *walk, struct json_object *among)
{
    wait_for(walk, among);
    for (size_t i = 0; json_object_is_type(among, json_type_array) && i < json_object_array_length(among); i++)
        wait_for(walk, json_object_array_get_idx(among, i));
}

/* --- circles: the MOV ends one only where it meets an object again --- */

/* The next schema that the MOV reads for this one without an object between; false: there is none. It may be any
 * value. */
static bool next_inner(const struct contract *contract, struct json_object *schema, size_t index,
                       struct json_object **inner)
{
    struct json_object *among = NULL;
    const char *type = mov_type_of(schema).one;
    if (json_object_object_get_ex(schema, "$ref", NULL))
        return index == 0 && schemas_follow(contract->schemas, schema, inner, NULL);
    if (json_object_object_get_ex(schema, "const", NULL) || json_object_object_get_ex(schema, "enum", NULL))
        return false;
    if (type != NULL && strcmp(type, "array") == 0)
        json_object_object_get_ex(schema, "items", &among);
    else if (type == NULL)
        for (size_t i = 0; i < CHOICES && among == NULL; i++)
            json_object_object_get_ex(schema, choices[i], &among);
    *inner = among;
    if (!json_object_is_type(among, json_type_array))
        return among != NULL && index == 0;
    if (index >= json_object_array_length(among))
        return false;
    *inner = json_object_array_get_idx(among, index);
    return true;
}

/* A schema on the current path, and which of its inner schemas comes next. */
struct stage {
    struct json_object *schema;
    size_t next;
};

/* The state of a schema in contract->circles. */
enum { OFF_PATH, ON_PATH };

/* A cut takes the schema's inner schemas away, which ends every circle through it. The reference that leads back is
 * cut, so that the schema itself stays readable. */
static void cut(struct payload_walk *walk, struct json_object *from, struct json_object *back)
{
    bool is_ref = json_object_object_get_ex(from, "$ref", NULL);
    ptrmap_put(&walk->contract->mov_reads, is_ref ? from : back, MOV_CUT);
}

/* Finds each circle that a schema leads to. It visits each schema once, and without recursion, because the path may be
 * as long as the document. */
static void cut_circles(struct payload_walk *walk, struct json_object *schema)
{
    struct ptrmap *circles = &walk->contract->circles;
    struct stage *stages = NULL;
    size_t count = 0, room = 0;
    struct json_object *enter = schema;
    while (enter != NULL || count > 0) {
        uint64_t state = OFF_PATH;
        struct json_object *inner = NULL;
        if (enter != NULL) {
            if (count == room) {
                room = room == 0 ? 16 : room * 2;
                stages = memory_resize(stages, room * sizeof *stages);
            }
            ptrmap_put(circles, enter, ON_PATH);
            stages[count++] = (struct stage){.schema = enter};
            enter = NULL;
        }
        struct stage *last = &stages[count - 1];
        if (!next_inner(walk->contract, last->schema, last->next++, &inner)) {
            ptrmap_put(circles, last->schema, OFF_PATH);
            count--;
        } else if (json_object_is_type(inner, json_type_object)) {
            if (!ptrmap_get(circles, inner, &state))
                enter = inner;
            else if (state == ON_PATH)
                cut(walk, last->schema, inner);
        }
    }
    free(stages);
}

static void read_schema(struct payload_walk *walk, struct json_object *schema)
{
    struct json_object *part = NULL;
    if (!json_object_is_type(schema, json_type_object))
        return;
    if (!ptrmap_get(&walk->contract->circles, schema, NULL))
        cut_circles(walk, schema);
    if (json_object_object_get_ex(schema, "$ref", NULL)) {
        if (schemas_follow(walk->contract->schemas, schema, &part, NULL))
            wait_for(walk, part);
        return;
    }
    struct json_object *properties = object_member(schema, "properties");
    if (properties != NULL) {
        json_object_object_foreach(properties, name, property)
        {
            (void)name;
            wait_for(walk, property);
        }
    }
    if (json_object_object_get_ex(schema, "items", &part))
        wait_for_all(walk, part);
    for (size_t i = 0; i < CHOICES; i++)
        wait_for_all(walk, array_member(schema, choices[i]));
}

void mov_read_payload(struct contract *contract, struct json_object *payload)
{
    struct payload_walk walk = {.contract = contract};
    wait_for(&walk, payload);
    while (walk.count > 0)
        read_schema(&walk, walk.waiting[--walk.count]);
    free(walk.waiting);
}

/* --- payloads that are objects --- */

/* The only schema of oneOf, anyOf or allOf, which the MOV reads in place of the whole. */
static struct json_object *single_choice(struct json_object *schema)
{
    for (size_t i = 0; i < CHOICES; i++) {
        struct json_object *among = NULL;
        if (!json_object_object_get_ex(schema, choices[i], &among))
            continue;
        bool single = json_object_is_type(among, json_type_array) && json_object_array_length(among) == 1;
        return single ? json_object_array_get_idx(among, 0) : NULL;
    }
    return NULL;
}

static bool has_choice(struct json_object *schema)
{
    for (size_t i = 0; i < CHOICES; i++) {
        if (json_object_object_get_ex(schema, choices[i], NULL))
            return true;
    }
    return false;
}

struct json_object *mov_properties(const struct contract *contract, struct json_object *payload)
{
    for (int hops = 0; payload != NULL && hops < 32; hops++) {
        payload = contract_follow(contract, payload, NULL);
        if (json_object_object_get_ex(payload, "const", NULL) || json_object_object_get_ex(payload, "enum", NULL))
            return NULL;
        struct mov_type type = mov_type_of(payload);
        if (type.one != NULL)
            return strcmp(type.one, "object") == 0 ? object_member(payload, "properties") : NULL;
        if (!has_choice(payload))
            return type.several != NULL ? NULL : object_member(payload, "properties");
        payload = single_choice(payload);
    }
    return NULL;
}
