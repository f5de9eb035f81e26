/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Predicts the connections that the MOV makes by itself. The MOV connects a `publish` channel with a `subscribe`
 * channel when their schemas match: the target has each property of the source, with the same type; `required` does not
 * matter. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/ptrmap.h"
#include "contract/parts.h"

#define DEPTH_MAX 64

/* One comparison of two payloads. */
struct match {
    struct contract *contract;
    struct ptrmap within; /* the sources on the current path */
};

static bool matches(struct match *match, struct json_object *source, struct json_object *target, unsigned depth);

/* The MOV's interpretation of a schema. */
enum shape { SHAPE_ANY, SHAPE_BASIC, SHAPE_VALUES, SHAPE_ARRAY, SHAPE_CHOICE, SHAPE_OBJECT };

struct reading {
    enum shape shape;
    const char *type;         /* of SHAPE_BASIC */
    struct json_object *part; /* the values, the items, the alternatives or the properties; may be NULL */
};

static struct reading read_choice(struct json_object *schema)
{
    static const char *const choices[] = {"oneOf", "anyOf", "allOf"};
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        struct json_object *among = array_member(schema, choices[i]);
        if (among != NULL)
            return (struct reading){.shape = SHAPE_CHOICE, .part = among};
    }
    struct json_object *properties = object_member(schema, "properties");
    return (struct reading){.shape = properties != NULL ? SHAPE_OBJECT : SHAPE_ANY, .part = properties};
}

static struct reading read_as(struct json_object *schema)
{
    struct json_object *part = NULL;
    if (json_object_object_get_ex(schema, "const", &part) || json_object_object_get_ex(schema, "enum", &part))
        return (struct reading){.shape = SHAPE_VALUES, .part = part};
    struct mov_type type = mov_type_of(schema);
    if (type.one == NULL)
        return type.several != NULL ? (struct reading){.shape = SHAPE_ANY} : read_choice(schema);
    if (strcmp(type.one, "object") == 0)
        return (struct reading){.shape = SHAPE_OBJECT, .part = object_member(schema, "properties")};
    if (strcmp(type.one, "array") != 0)
        return (struct reading){.shape = SHAPE_BASIC, .type = type.one};
    json_object_object_get_ex(schema, "items", &part);
    return (struct reading){.shape = SHAPE_ARRAY, .part = part};
}

/* True if the target has each property of the source, and they match. */
static bool objects_match(struct match *match, struct json_object *source, struct json_object *target, unsigned depth)
{
    if (source == NULL)
        return true;
    json_object_object_foreach(source, name, schema)
    {
        struct json_object *other = NULL;
        if (!json_object_object_get_ex(target, name, &other) || !matches(match, schema, other, depth))
            return false;
    }
    return true;
}

/* True if each alternative of the source matches one of the target, and both have the same number. */
static bool lists_match(struct match *match, struct json_object *source, struct json_object *target, unsigned depth)
{
    bool lists = json_object_is_type(source, json_type_array) && json_object_is_type(target, json_type_array);
    if (!lists)
        return (source == NULL && target == NULL) ||
               (source != NULL && target != NULL && matches(match, source, target, depth));
    if (json_object_array_length(source) != json_object_array_length(target))
        return false;
    for (size_t i = 0; i < json_object_array_length(source); i++) {
        bool found = false;
        for (size_t j = 0; j < json_object_array_length(target) && !found; j++)
            found = matches(match, json_object_array_get_idx(source, i), json_object_array_get_idx(target, j), depth);
        if (!found)
            return false;
    }
    return true;
}

static bool schemas_match(struct match *match, struct json_object *source, struct json_object *target, unsigned depth)
{
    struct reading one = read_as(source), other = read_as(target);
    if (one.shape != other.shape)
        return false;
    switch (one.shape) {
    case SHAPE_BASIC:
        return strcmp(one.type, other.type) == 0;
    case SHAPE_VALUES:
        return json_object_equal(one.part, other.part);
    case SHAPE_ARRAY:
    case SHAPE_CHOICE:
        return lists_match(match, one.part, other.part, depth);
    case SHAPE_OBJECT:
        return objects_match(match, one.part, other.part, depth);
    default:
        return true;
    }
}

/* A circle counts as a match. When the patience is used up, nothing matches. */
static bool matches(struct match *match, struct json_object *source, struct json_object *target, unsigned depth)
{
    if (match->contract->patience == 0 || depth == DEPTH_MAX)
        return false;
    match->contract->patience--;
    source = contract_follow(match->contract, source, NULL);
    target = contract_follow(match->contract, target, NULL);
    if (source == NULL || target == NULL) /* boolean schemas */
        return source == target;
    uint64_t within = 0;
    if (ptrmap_get(&match->within, source, &within) && within != 0)
        return true;
    ptrmap_put(&match->within, source, 1);
    bool same = schemas_match(match, source, target, depth + 1);
    ptrmap_put(&match->within, source, 0);
    return same;
}

/* --- channels --- */

/* True if a payload has all properties of a notification. */
static bool is_notification(const struct contract *contract, struct json_object *payload)
{
    static const char *const wanted[] = {"connection_id", "source", "target", "message_payload", "timestamp"};
    struct json_object *properties = mov_properties(contract, payload);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (properties == NULL || !json_object_object_get_ex(properties, wanted[i], NULL))
            return false;
    }
    return true;
}

static void check_notification(struct contract *contract, const struct contract_topic *topic)
{
    if (strcmp(contract->type, "C2") != 0)
        findings_add(&contract->findings, FINDING_HINT, topic->place,
                     "%s: takes notifications, and the MOV sends them only to a C2", topic->name);
    else if (strstr(topic->name, "/control/") == NULL)
        findings_add(&contract->findings, FINDING_HINT, topic->place,
                     "%s: takes notifications, and the MOV sends them only to channels valawai/c2/%s/control/…",
                     topic->name, contract->name + 3);
}

/* True if the MOV makes connections for this side. It makes none for its own answers and notifications. */
static bool is_connected(const struct contract *contract, const struct contract_topic *topic,
                         enum contract_direction direction)
{
    const struct contract_side *side = &topic->sides[direction];
    return side->payload != NULL && side->messages == 1 && contract_find(contract_of_mov(), topic->name) == NULL &&
           (direction == CONTRACT_PUBLISH ||
            (topic->name != contract->registered && !is_notification(contract, side->payload)));
}

/* Finds another channel that the component subscribes to, with a schema that the publication matches. */
static const struct contract_topic *find_own_target(struct match *match, const struct contract_topic *source)
{
    const struct contract *contract = match->contract;
    for (size_t i = 0; i < contract->topic_count; i++) {
        const struct contract_topic *topic = &contract->topics[i];
        if (topic != source && is_connected(contract, topic, CONTRACT_SUBSCRIBE) &&
            matches(match, source->sides[CONTRACT_PUBLISH].payload, topic->sides[CONTRACT_SUBSCRIBE].payload, 0))
            return topic;
    }
    return NULL;
}

/* True if the MOV reads the payload as an object without properties, which matches every object. */
static bool takes_any_object(const struct contract *contract, struct json_object *payload)
{
    struct reading reading = read_as(contract_follow(contract, payload, NULL));
    return reading.shape == SHAPE_OBJECT && (reading.part == NULL || json_object_object_length(reading.part) == 0);
}

void contract_check_connections(struct contract *contract)
{
    struct match match = {.contract = contract};
    for (size_t i = 0; i < contract->topic_count; i++) {
        const struct contract_topic *topic = &contract->topics[i];
        const struct contract_side *taken = &topic->sides[CONTRACT_SUBSCRIBE];
        if (taken->payload != NULL && is_notification(contract, taken->payload))
            check_notification(contract, topic);
        if (!is_connected(contract, topic, CONTRACT_PUBLISH))
            continue;
        struct json_object *payload = topic->sides[CONTRACT_PUBLISH].payload;
        const struct contract_topic *target = find_own_target(&match, topic);
        if (takes_any_object(contract, payload))
            findings_add(
                &contract->findings, FINDING_HINT, topic->place,
                "%s: its schema has no properties: the MOV connects it with every channel that takes an object",
                topic->name);
        else if (target != NULL)
            findings_add(&contract->findings, FINDING_HINT, topic->place,
                         "%s: its schema matches that of %s: two such components, connected by the MOV, send a message "
                         "back and forth for ever",
                         topic->name, target->name);
    }
    ptrmap_clear(&match.within);
}
