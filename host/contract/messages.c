/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads the messages of a channel: their payloads, and the schema that a body must match. */
#include <json-c/json.h>
#include <string.h>

#include "contract/parts.h"

#define MESSAGES_MAX 64

/* The words of the document, by direction. */
static const char *const directions[] = {[CONTRACT_SUBSCRIBE] = "subscribe", [CONTRACT_PUBLISH] = "publish"};

/* --- messages --- */

/* One message after another, as they are found. */
struct messages {
    struct contract *contract;
    const char *topic;
    enum contract_direction direction;
    const struct schema *schemas[MESSAGES_MAX];
    size_t count;
    struct json_object *payload; /* of the first */
    bool broken;
};

static void read_message(struct messages *messages, struct json_object *owner, struct json_object *message,
                         bool in_list);

static void complain(struct messages *messages, struct json_object *object, const char *key, const char *what)
{
    messages->broken = true;
    findings_add_at(&messages->contract->findings, FINDING_ERROR, object, key, "%s", what);
}

/* Whether the payload is written in JSON Schema: by default it is. */
static bool is_json_schema(struct json_object *message)
{
    static const char *const formats[] = {"application/vnd.aai.asyncapi", "application/schema+json",
                                          "application/schema+yaml"};
    const char *format = string_member(message, "schemaFormat");
    if (format == NULL)
        return true;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strncmp(format, formats[i], strlen(formats[i])) == 0)
            return true;
    }
    return false;
}

/* The bounds of the search for an object: schemas for one payload, and types and values in all. */
struct search {
    const struct contract *contract;
    unsigned schemas;
    size_t *values;
};

static bool may_look_at(struct search *search, size_t values)
{
    bool may = *search->values >= values;
    *search->values -= may ? values : *search->values;
    return may;
}

/* True if a value of this type may be an object. An invalid type is reported elsewhere. */
static bool is_object_type(struct json_object *type)
{
    static const char *const others[] = {"array", "boolean", "integer", "null", "number", "string"};
    for (size_t i = 0; json_object_is_type(type, json_type_string) && i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(json_object_get_string(type), others[i]) == 0)
            return false;
    }
    return true;
}

static bool type_has_object(struct search *search, struct json_object *type)
{
    if (!json_object_is_type(type, json_type_array))
        return is_object_type(type);
    if (!may_look_at(search, json_object_array_length(type)))
        return true;
    for (size_t i = 0; i < json_object_array_length(type); i++) {
        struct json_object *one = json_object_array_get_idx(type, i);
        if (!json_object_is_type(one, json_type_array) && is_object_type(one))
            return true;
    }
    return false;
}

static bool values_have_object(struct search *search, struct json_object *values)
{
    if (!may_look_at(search, json_object_array_length(values)))
        return true;
    for (size_t i = 0; i < json_object_array_length(values); i++) {
        if (json_object_is_type(json_object_array_get_idx(values, i), json_type_object))
            return true;
    }
    return false;
}

static bool may_be_object(struct search *search, struct json_object *schema);

/* True if one of several schemas allows an object, or with `all` each of them. */
static bool may_be_objects(struct search *search, struct json_object *among, bool all)
{
    for (size_t i = 0; i < json_object_array_length(among); i++) {
        if (search->schemas == 0)
            return true;
        if (may_be_object(search, json_object_array_get_idx(among, i)) != all)
            return !all;
    }
    return all;
}

/* True if a schema allows an object, by its types and values; also when the search reaches its bounds. */
static bool may_be_object(struct search *search, struct json_object *schema)
{
    struct json_object *part = NULL;
    if (search->schemas == 0)
        return true;
    search->schemas--;
    if (json_object_is_type(schema, json_type_boolean))
        return json_object_get_boolean(schema);
    schema = contract_follow(search->contract, schema, NULL);
    if (schema == NULL)
        return true;
    if (json_object_object_get_ex(schema, "type", &part) && !type_has_object(search, part))
        return false;
    if (json_object_object_get_ex(schema, "const", &part) && !json_object_is_type(part, json_type_object))
        return false;
    if (json_object_object_get_ex(schema, "enum", &part) && json_object_is_type(part, json_type_array) &&
        !values_have_object(search, part))
        return false;
    static const struct {
        const char *key;
        bool all;
    } keys[] = {{"allOf", true}, {"anyOf", false}, {"oneOf", false}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (json_object_object_get_ex(schema, keys[i].key, &part) && json_object_is_type(part, json_type_array) &&
            !may_be_objects(search, part, keys[i].all))
            return false;
    }
    return true;
}

/* A body that is not a JSON object ends the MOV's listener of the topic, and the MOV never sends one. The MOV reads
 * only a payload that is an object, so for it `payload: true` is not a payload. */
static void check_is_object(struct messages *messages, struct json_object *message, struct json_object *payload)
{
    struct search search = {.contract = messages->contract, .schemas = 100, .values = &messages->contract->patience};
    if (json_object_is_type(payload, json_type_boolean) || !may_be_object(&search, payload))
        complain(messages, message, "payload", "a message of VALAWAI must be an object");
}

static void read_payload(struct messages *messages, struct json_object *message)
{
    struct json_object *payload = NULL;
    if (!json_object_object_get_ex(message, "payload", &payload)) {
        complain(messages, message, NULL, "a message without a payload");
        return;
    }
    if (!is_json_schema(message)) {
        complain(messages, message, "schemaFormat", "the payload is not described in JSON Schema");
        return;
    }
    if (!json_object_is_type(payload, json_type_object) && !json_object_is_type(payload, json_type_boolean)) {
        complain(messages, message, "payload", "is not a schema");
        return;
    }
    check_is_object(messages, message, payload);
    if (messages->contract->of_component)
        mov_read_payload(messages->contract, payload);
    if (messages->count == 0)
        messages->payload = payload;
    /* After this, topics that refer to the same schema share it, so a message that was checked for one need not be
     * checked for the other.
     * */
    struct json_object *meant = contract_follow(messages->contract, payload, NULL);
    messages->schemas[messages->count++] = schemas_add(messages->contract->schemas, meant == NULL ? payload : meant);
}

static void read_messages(struct messages *messages, struct json_object *message, struct json_object *among)
{
    if (!json_object_is_type(among, json_type_array) || json_object_array_length(among) == 0) {
        complain(messages, message, "oneOf", "is not a list of messages");
        return;
    }
    size_t length = json_object_array_length(among);
    if (length > MESSAGES_MAX) {
        messages->broken = true;
        findings_add_at(&messages->contract->findings, FINDING_ERROR, message, "oneOf",
                        "%zu messages are over the %d that a channel may have", length, MESSAGES_MAX);
    }
    for (size_t i = 0; i < length && i < MESSAGES_MAX; i++)
        read_message(messages, message, json_object_array_get_idx(among, i), true);
}

/* A message object, a reference to one, or a choice of several. */
static void read_message(struct messages *messages, struct json_object *owner, struct json_object *message,
                         bool in_list)
{
    struct json_object *among = NULL;
    const char *key = in_list ? "oneOf" : "message";
    struct json_object *target = contract_follow(messages->contract, message, NULL);
    if (target == NULL && string_member(message, "$ref") != NULL) {
        complain(messages, message, "$ref", "does not lead to a message");
    } else if (target == NULL) {
        complain(messages, owner, key, "is not a message");
    } else {
        if (!in_list && json_object_object_get_ex(target, "oneOf", &among))
            read_messages(messages, target, among);
        else
            read_payload(messages, target);
    }
}

/* --- operations --- */

void contract_read_side(struct contract *contract, struct contract_topic *topic, struct json_object *item,
                        enum contract_direction direction)
{
    struct contract_side *side = &topic->sides[direction];
    struct messages messages = {.contract = contract, .topic = topic->name, .direction = direction};
    struct json_object *message = NULL;
    if (!json_object_object_get_ex(item, directions[direction], NULL))
        return;
    struct json_object *operation = object_member(item, directions[direction]);
    side->declared = true;
    if (operation == NULL) {
        complain(&messages, item, directions[direction], "is not an operation");
    } else if (!json_object_object_get_ex(operation, "message", &message)) {
        complain(&messages, item, directions[direction], "has no message");
    } else {
        read_message(&messages, operation, message, false);
    }
    side->payload = messages.payload;
    side->messages = messages.count;
    if (messages.broken || messages.count == 0)
        return;
    side->schema =
        messages.count == 1 ? messages.schemas[0] : schemas_one_of(contract->schemas, messages.schemas, messages.count);
}
