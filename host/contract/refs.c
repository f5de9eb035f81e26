/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Walks a whole AsyncAPI document for references that lead to nothing, or from a schema to another kind of part. It
 * uses no recursion, because a document may be as deep as it is long. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/ptrmap.h"
#include "base/text.h"
#include "contract/parts.h"

#define REF_SHOWN 100 /* bytes */

/* The kind of a node. A message, a channel or the document itself would match everything as a schema, because it has no
 * keyword of JSON Schema. A place that the format does not define, such as `definitions` beside the channels, may also
 * contain schemas. */
enum kind { KIND_OTHER, KIND_SCHEMA, KIND_MESSAGE, KIND_PART, KIND_DOCUMENT };

/* Nodes that wait for a visit; each enters once. `names`: the keys of the object are names, not keywords of the format,
 * so "$ref" among them has no special meaning; `members` is the kind of the named parts. */
struct visit {
    struct json_object *node;
    enum kind kind;
    bool names;
    enum kind members;
};

/* A reference from a schema, which is checked when the kinds of all nodes are known. */
struct reference {
    struct json_object *from;
    struct json_object *to;
};

struct walk {
    struct contract *contract;
    struct visit *waiting;
    size_t count;
    size_t room;
    struct ptrmap seen; /* the kinds of the nodes */
    struct reference *references;
    size_t reference_count;
    size_t reference_room;
};

static void wait_for(struct walk *walk, struct visit visit)
{
    bool inner = json_object_is_type(visit.node, json_type_object) || json_object_is_type(visit.node, json_type_array);
    if (!inner || ptrmap_get(&walk->seen, visit.node, NULL))
        return;
    ptrmap_put(&walk->seen, visit.node, visit.kind);
    if (walk->count == walk->room) {
        walk->room = walk->room == 0 ? 64 : walk->room * 2;
        walk->waiting = memory_resize(walk->waiting, walk->room * sizeof *walk->waiting);
    }
    walk->waiting[walk->count++] = visit;
}

static void note_reference(struct walk *walk, struct json_object *from, struct json_object *to)
{
    if (walk->reference_count == walk->reference_room) {
        walk->reference_room = walk->reference_room == 0 ? 64 : walk->reference_room * 2;
        walk->references = memory_resize(walk->references, walk->reference_room * sizeof *walk->references);
    }
    walk->references[walk->reference_count++] = (struct reference){.from = from, .to = to};
}

static bool is_one_of(const char *key, const char *const *keys)
{
    while (*keys != NULL && strcmp(key, *keys) != 0)
        keys++;
    return *keys != NULL;
}

/* True for keywords with contents of the author, where a "$ref" is not a reference: values, and extensions of the
 * format. */
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

/* The kind of the node at a keyword of the format. */
static enum kind kind_at(const struct visit *visit, const char *key)
{
    static const char *const schemas[] = {"payload", "headers", "schema", NULL};
    static const char *const parts[] = {"info",
                                        "servers",
                                        "channels",
                                        "tags",
                                        "externalDocs",
                                        "messages",
                                        "schemas",
                                        "serverVariables",
                                        "parameters",
                                        "securitySchemes",
                                        "correlationIds",
                                        "operationTraits",
                                        "messageTraits",
                                        "serverBindings",
                                        "channelBindings",
                                        "operationBindings",
                                        "messageBindings",
                                        NULL};
    if (visit->kind == KIND_SCHEMA)
        return KIND_SCHEMA;
    if (is_one_of(key, schemas))
        return KIND_SCHEMA;
    if (strcmp(key, "message") == 0 || (visit->kind == KIND_MESSAGE && strcmp(key, "oneOf") == 0))
        return KIND_MESSAGE;
    if (visit->kind == KIND_DOCUMENT)
        return strcmp(key, "components") == 0 ? KIND_DOCUMENT : is_one_of(key, parts) ? KIND_PART : KIND_OTHER;
    return visit->kind == KIND_OTHER ? KIND_OTHER : KIND_PART;
}

/* The kind of the named parts at a keyword of the format. */
static enum kind kind_of_members(enum kind kind, const char *key)
{
    return kind != KIND_PART              ? kind
           : strcmp(key, "messages") == 0 ? KIND_MESSAGE
           : strcmp(key, "schemas") == 0  ? KIND_SCHEMA
                                          : KIND_PART;
}

static void look_into(struct walk *walk, struct visit visit)
{
    struct json_object *target = NULL;
    struct fault fault = {0};
    if (json_object_is_type(visit.node, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(visit.node); i++)
            wait_for(walk, (struct visit){.node = json_object_array_get_idx(visit.node, i), .kind = visit.kind});
        return;
    }
    if (!visit.names && string_member(visit.node, "$ref") != NULL) {
        if (!schemas_learn(walk->contract->schemas, visit.node, &target, &fault))
            findings_add_at(&walk->contract->findings, FINDING_ERROR, visit.node, "$ref", "%s", fault.text);
        else if (visit.kind == KIND_SCHEMA)
            note_reference(walk, visit.node, target);
    }
    json_object_object_foreach(visit.node, key, value)
    {
        struct visit next = {.node = value, .kind = visit.members};
        if (!visit.names && holds_values(key))
            continue;
        if (!visit.names) {
            next.kind = kind_at(&visit, key);
            next.names = holds_names(key);
            next.members = kind_of_members(next.kind, key);
        }
        wait_for(walk, next);
    }
}

static void walk_all(struct walk *walk)
{
    while (walk->count > 0)
        look_into(walk, walk->waiting[--walk->count]);
}

static void judge(struct walk *walk, const struct reference *reference)
{
    uint64_t kind = KIND_OTHER;
    struct text shown = {0};
    const char *ref = string_member(reference->from, "$ref");
    if (!ptrmap_get(&walk->seen, reference->to, &kind) || kind == KIND_OTHER || kind == KIND_SCHEMA)
        return;
    size_t length = strlen(ref), cut = text_cut(ref, length, REF_SHOWN);
    text_printf(&shown, "%.*s%s", (int)cut, ref, cut < length ? "…" : "");
    if (kind == KIND_MESSAGE)
        findings_add_at(&walk->contract->findings, FINDING_ERROR, reference->from, "$ref",
                        "\"%s\" leads to a message, not to a schema; did you mean %s/payload?", shown.at, shown.at);
    else
        findings_add_at(&walk->contract->findings, FINDING_ERROR, reference->from, "$ref",
                        "\"%s\" does not lead to a schema", shown.at);
    text_free(&shown);
}

static void walk_clear(struct walk *walk)
{
    free(walk->waiting);
    free(walk->references);
    ptrmap_clear(&walk->seen);
}

void contract_check_refs(struct contract *contract)
{
    struct walk walk = {.contract = contract};
    wait_for(&walk, (struct visit){.node = document_root(contract->document), .kind = KIND_DOCUMENT});
    walk_all(&walk);
    for (size_t i = 0; i < walk.reference_count; i++)
        judge(&walk, &walk.references[i]);
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
            findings_add_at(&contract->findings, FINDING_ERROR, all, name, "is not a schema");
    }
}
