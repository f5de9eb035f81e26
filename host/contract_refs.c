/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Walks a whole AsyncAPI document for references that lead to nothing. Without recursion, because a document may be as
 * deep as it is long. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "contract_parts.h"
#include "memory.h"
#include "ptrmap.h"

/* Nodes that wait to be looked into; each gets in once. `names`: the keys of the object are names, not words of the
 * format, so that "$ref" among them is nothing special. */
struct visit {
    struct json_object *node;
    bool names;
};

struct walk {
    struct contract *contract;
    struct visit *waiting;
    size_t count;
    size_t room;
    struct ptrmap seen;
};

static void wait_for(struct walk *walk, struct json_object *node, bool names)
{
    bool inner = json_object_is_type(node, json_type_object) || json_object_is_type(node, json_type_array);
    if (!inner || ptrmap_get(&walk->seen, node, NULL))
        return;
    ptrmap_put(&walk->seen, node, 1);
    if (walk->count == walk->room) {
        walk->room = walk->room == 0 ? 64 : walk->room * 2;
        walk->waiting = memory_resize(walk->waiting, walk->room * sizeof *walk->waiting);
    }
    walk->waiting[walk->count++] = (struct visit){.node = node, .names = names};
}

static bool is_one_of(const char *key, const char *const *keys)
{
    while (*keys != NULL && strcmp(key, *keys) != 0)
        keys++;
    return *keys != NULL;
}

/* Keywords whose contents are the author's, where a "$ref" is no reference: values, and extensions of the format. */
static bool holds_values(const char *key)
{
    static const char *const keys[] = {"const", "default", "enum", "example", "examples", NULL};
    return strncmp(key, "x-", 2) == 0 || is_one_of(key, keys);
}

static bool holds_names(const char *key)
{
    static const char *const keys[] = {
        "channels",        "definitions",       "dependencies",    "messages",   "messageTraits",
        "operationTraits", "patternProperties", "properties",      "parameters", "schemas",
        "servers",         "correlationIds",    "channelBindings", NULL};
    return is_one_of(key, keys);
}

static void look_into(struct walk *walk, struct visit visit)
{
    struct json_object *target = NULL;
    struct fault fault = {0};
    if (json_object_is_type(visit.node, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(visit.node); i++)
            wait_for(walk, json_object_array_get_idx(visit.node, i), false);
        return;
    }
    if (!visit.names && string_member(visit.node, "$ref") != NULL &&
        !schemas_learn(walk->contract->schemas, visit.node, &target, &fault))
        contract_note_at(walk->contract, FINDING_ERROR, visit.node, "$ref", "%s", fault.text);
    json_object_object_foreach(visit.node, key, value)
    {
        if (visit.names || !holds_values(key))
            wait_for(walk, value, !visit.names && holds_names(key));
    }
}

static void walk_all(struct walk *walk)
{
    while (walk->count > 0)
        look_into(walk, walk->waiting[--walk->count]);
}

static void walk_clear(struct walk *walk)
{
    free(walk->waiting);
    ptrmap_clear(&walk->seen);
}

void contract_check_refs(struct contract *contract)
{
    struct walk walk = {.contract = contract};
    wait_for(&walk, document_root(contract->document), false);
    walk_all(&walk);
    walk_clear(&walk);
}

void contract_check_schemas(struct contract *contract)
{
    struct json_object *components = object_member(document_root(contract->document), "components");
    struct json_object *all = object_member(components, "schemas");
    if (all == NULL)
        return;
    json_object_object_foreach(all, name, schema)
    {
        if (json_object_is_type(schema, json_type_object) || json_object_is_type(schema, json_type_boolean))
            (void)schemas_add(contract->schemas, schema);
        else
            contract_note_at(contract, FINDING_ERROR, all, name, "is no schema");
    }
}
