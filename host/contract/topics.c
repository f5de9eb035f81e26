/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The channels of an AsyncAPI document, which are our topics: what their messages look like, and whose they are. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "contract/parts.h"

#define TOPICS_MAX 1000
#define MESSAGES_MAX 64
#define QUEUE_NAME_MAX 255 /* bytes that AMQP has for the name of a queue */
#define SUMMARY_DEPTH 2
#define SUMMARY_MEMBERS 16
#define SUMMARY_NAME 100
#define SUMMARY_VALUE 20
#define SUMMARY_LOOKS 20000

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
    contract_note_at(messages->contract, FINDING_ERROR, object, key, "%s", what);
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

/* How far is looked for an object: into so many schemas for one payload, at so many types and values in all. */
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

/* Whether a value of this type may be an object. What is no type at all is another's error. */
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

/* Whether one of several schemas lets an object be, or with `all` each of them. */
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

/* Whether a schema lets any object be, as far as its types and values tell; where the search ends, it does. */
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

/* A body that is no JSON object ends the MOV's listening to a topic, and the MOV never sends one. And it sees only what
 * a payload says in an object: `payload: true` is no payload to it. */
static void check_is_object(struct messages *messages, struct json_object *message, struct json_object *payload)
{
    struct search search = {.contract = messages->contract, .schemas = 100, .values = &messages->contract->patience};
    if (json_object_is_type(payload, json_type_boolean) || !may_be_object(&search, payload))
        complain(messages, message, "payload", "a message of VALAWAI has to be an object");
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
        complain(messages, message, "payload", "is no schema");
        return;
    }
    check_is_object(messages, message, payload);
    if (messages->count == 0)
        messages->payload = payload;
    /* Two topics that refer to the same schema have the same one then, and what was checked for one need not be again.
     */
    struct json_object *meant = contract_follow(messages->contract, payload, NULL);
    messages->schemas[messages->count++] = schemas_add(messages->contract->schemas, meant == NULL ? payload : meant);
}

static void read_messages(struct messages *messages, struct json_object *message, struct json_object *among)
{
    if (!json_object_is_type(among, json_type_array) || json_object_array_length(among) == 0) {
        complain(messages, message, "oneOf", "is no list of messages");
        return;
    }
    size_t length = json_object_array_length(among);
    if (length > MESSAGES_MAX) {
        messages->broken = true;
        contract_note_at(messages->contract, FINDING_ERROR, message, "oneOf",
                         "%zu messages are over the %d that a channel may have", length, MESSAGES_MAX);
    }
    for (size_t i = 0; i < length && i < MESSAGES_MAX; i++)
        read_message(messages, message, json_object_array_get_idx(among, i), true);
    if (length > 1)
        contract_note_at(messages->contract, FINDING_WARNING, message, "oneOf",
                         "the MOV reads no choice of messages: it never connects %s", messages->topic);
}

/* A message object, a reference to one, or a choice of several. */
static void read_message(struct messages *messages, struct json_object *owner, struct json_object *message,
                         bool in_list)
{
    struct json_object *among = NULL;
    unsigned hops = 0;
    const char *key = in_list ? "oneOf" : "message";
    struct json_object *target = contract_follow(messages->contract, message, &hops);
    if (target == NULL && string_member(message, "$ref") != NULL) {
        complain(messages, message, "$ref", "leads to no message");
    } else if (target == NULL) {
        complain(messages, owner, key, "is no message");
    } else {
        if (hops > 1)
            contract_note_at(messages->contract, FINDING_WARNING, message, "$ref",
                             "the MOV follows one reference to a message, not %u: it never connects %s", hops,
                             messages->topic);
        if (!in_list && json_object_object_get_ex(target, "oneOf", &among))
            read_messages(messages, target, among);
        else
            read_payload(messages, target);
    }
}

/* --- channels --- */

static void read_side(struct contract *contract, struct contract_topic *topic, struct json_object *item,
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
        complain(&messages, item, directions[direction], "is no operation");
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
    if (messages.count == 1 && contract->of_component)
        contract_check_payload_for_mov(contract, messages.payload);
}

/* An operation under another name, which everybody would pass over: `subcribe`. */
static bool note_misspelt(struct contract *contract, struct json_object *item)
{
    uint64_t seen = 0;
    bool any = false;
    if (ptrmap_get(&contract->seen_items, item, &seen)) /* several channels may refer to it */
        return seen != 0;
    json_object_object_foreach(item, key, value)
    {
        if (strcmp(key, "subscribe") == 0 || strcmp(key, "publish") == 0 || strncmp(key, "x-", 2) == 0 ||
            !json_object_is_type(value, json_type_object) || !json_object_object_get_ex(value, "message", NULL))
            continue;
        any = true;
        contract_note_at(contract, FINDING_ERROR, item, key, "is neither subscribe nor publish");
    }
    ptrmap_put(&contract->seen_items, item, any);
    return any;
}

static void read_topic(struct contract *contract, struct json_object *channels, const char *name,
                       struct json_object *item)
{
    struct contract_topic *topic = &contract->topics[contract->topic_count++];
    *topic = (struct contract_topic){
        .name = name,
        .contract = contract,
        .place = document_place_of_key(contract->document, channels, name),
    };
    if (string_member(item, "$ref") != NULL) {
        contract_note_at(contract, FINDING_WARNING, item, "$ref", "the MOV follows no reference to a channel");
        item = contract_follow(contract, item, NULL);
    }
    if (!json_object_is_type(item, json_type_object)) {
        contract_note_at(contract, FINDING_ERROR, channels, name, "is no channel");
        return;
    }
    read_side(contract, topic, item, CONTRACT_SUBSCRIBE);
    read_side(contract, topic, item, CONTRACT_PUBLISH);
    if (note_misspelt(contract, item))
        return;
    if (topic->sides[CONTRACT_SUBSCRIBE].declared && topic->sides[CONTRACT_PUBLISH].declared)
        contract_note_at(contract, FINDING_WARNING, channels, name,
                         "is both subscribed and published to: what the component publishes may come back to it");
    if (!topic->sides[CONTRACT_SUBSCRIBE].declared && !topic->sides[CONTRACT_PUBLISH].declared)
        contract_note_at(contract, FINDING_WARNING, channels, name, "is neither subscribed nor published to");
}

void contract_read_topics(struct contract *contract)
{
    struct json_object *root = document_root(contract->document);
    struct json_object *channels = object_member(root, "channels");
    if (channels == NULL || json_object_object_length(channels) == 0) {
        contract_note_at(contract, FINDING_ERROR, root, "channels", "there are no channels");
        return;
    }
    if (json_object_object_length(channels) > TOPICS_MAX) {
        contract_note_at(contract, FINDING_ERROR, root, "channels", "more than %d channels", TOPICS_MAX);
        return;
    }
    contract->topics = memory_new(((size_t)json_object_object_length(channels) + 1) * sizeof *contract->topics);
    json_object_object_foreach(channels, name, item)
    {
        read_topic(contract, channels, name, item);
    }
}

/* --- names --- */

/* The parts of valawai/c1/echo/control/registered. */
struct topic_parts {
    char level; /* '0', '1' or '2' */
    const char *component;
    size_t component_length;
    const char *operation;
    bool is_control;
};

static size_t word_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

static bool starts(const char **text, const char *with)
{
    size_t length = strlen(with);
    if (strncmp(*text, with, length) != 0)
        return false;
    *text += length;
    return true;
}

static bool split_name(const char *name, struct topic_parts *parts)
{
    if (strlen(name) > QUEUE_NAME_MAX || !starts(&name, "valawai/c"))
        return false;
    parts->level = *name;
    if (*name < '0' || *name > '2' || *++name != '/')
        return false;
    parts->component = ++name;
    parts->component_length = word_length(name);
    name += parts->component_length;
    parts->is_control = starts(&name, "/control/");
    if (parts->component_length == 0 || (!parts->is_control && !starts(&name, "/data/")))
        return false;
    parts->operation = name;
    for (; *name != '\0'; name++) {
        if (word_length(name) == 0 && strchr("-./", *name) == NULL)
            return false;
    }
    return parts->operation[0] != '\0' && parts->operation[0] != '/' && name[-1] != '/';
}

static bool is_registered(const struct topic_parts *parts)
{
    return parts->is_control && strcmp(parts->operation, "registered") == 0;
}

/* Queues of the MOV that a component may have among its channels. */
static bool is_service(const struct contract_topic *topic)
{
    static const struct {
        const char *name;
        enum contract_direction direction;
    } services[] = {
        {"valawai/component/register", CONTRACT_PUBLISH},
        {"valawai/component/unregister", CONTRACT_PUBLISH},
        {"valawai/component/query", CONTRACT_PUBLISH},
        {"valawai/component/page", CONTRACT_SUBSCRIBE},
        {"valawai/log/add", CONTRACT_PUBLISH},
        {"valawai/topology/create", CONTRACT_PUBLISH},
        {"valawai/topology/change", CONTRACT_PUBLISH},
        {"valawai/topology/query", CONTRACT_PUBLISH},
        {"valawai/topology/page", CONTRACT_SUBSCRIBE},
    };
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        if (strcmp(topic->name, services[i].name) == 0)
            return topic->sides[services[i].direction].declared && !topic->sides[!services[i].direction].declared;
    }
    return false;
}

/* The component is the one of the first topic that has a name, or rather of the first registered topic. */
static void find_component(struct contract *contract)
{
    struct topic_parts parts = {0};
    for (size_t i = 0; i < contract->topic_count; i++) {
        struct contract_topic *topic = &contract->topics[i];
        if (!split_name(topic->name, &parts) || (contract->name != NULL && !is_registered(&parts)))
            continue;
        free(contract->name);
        contract->name = memory_format("c%c_%.*s", parts.level, (int)parts.component_length, parts.component);
        snprintf(contract->type, sizeof contract->type, "C%c", parts.level);
        if (is_registered(&parts)) {
            contract->registered = topic->name;
            return;
        }
    }
}

static bool is_own(const struct contract *contract, const struct topic_parts *parts)
{
    return contract->name[1] == parts->level && strlen(contract->name) == 3 + parts->component_length &&
           strncmp(contract->name + 3, parts->component, parts->component_length) == 0;
}

void contract_check_names(struct contract *contract)
{
    struct topic_parts parts = {0};
    find_component(contract);
    for (size_t i = 0; i < contract->topic_count; i++) {
        const struct contract_topic *topic = &contract->topics[i];
        if (is_service(topic))
            continue;
        if (!split_name(topic->name, &parts))
            contract_note(contract, FINDING_ERROR, topic->place,
                          "%s is not of the form valawai/c[012]/<name>/(data|control)/<operation>", topic->name);
        else if (!is_own(contract, &parts))
            contract_note(contract, FINDING_ERROR, topic->place, "%s is a channel of another component than %s",
                          topic->name, contract->name);
    }
}

/* --- the registered topic --- */

static void check_registered_properties(struct contract *contract, const struct contract_topic *topic)
{
    static const char *const wanted[] = {"id",          "name", "description", "version",
                                         "api_version", "type", "since",       "channels"};
    struct json_object *properties = contract_properties_for_mov(contract, topic->sides[CONTRACT_SUBSCRIBE].payload);
    struct text missing = {0};
    text_puts(&missing, "");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (properties == NULL || !json_object_object_get_ex(properties, wanted[i], NULL))
            text_printf(&missing, "%s%s", missing.len > 0 ? ", " : "", wanted[i]);
    }
    if (missing.len > 0)
        contract_note(contract, FINDING_ERROR, topic->place,
                      "%s: its message has no property %s: the MOV never tells the component its id", topic->name,
                      missing.at);
    text_free(&missing);
}

/* A channel that was to be it, but has a name that no component can have. */
static bool has_misnamed_registered(const struct contract *contract)
{
    static const char end[] = "/control/registered";
    struct topic_parts parts = {0};
    for (size_t i = 0; i < contract->topic_count; i++) {
        const char *name = contract->topics[i].name;
        size_t length = strlen(name);
        if (length >= sizeof end && strcmp(name + length - (sizeof end - 1), end) == 0 && !split_name(name, &parts))
            return true;
    }
    return false;
}

void contract_check_registered(struct contract *contract)
{
    const struct contract_topic *topic = NULL;
    if (contract->topic_count == 0 || (contract->registered == NULL && has_misnamed_registered(contract)))
        return; /* told of already */
    if (contract->registered == NULL) {
        contract_note_at(contract, FINDING_ERROR, document_root(contract->document), "channels",
                         "there is no channel valawai/c[012]/<name>/control/registered: the MOV never tells the "
                         "component its id");
        return;
    }
    topic = contract_find(contract, contract->registered);
    if (!topic->sides[CONTRACT_SUBSCRIBE].declared)
        contract_note(contract, FINDING_ERROR, topic->place,
                      "%s is not subscribed to: the MOV never tells the component its id", topic->name);
    else if (topic->sides[CONTRACT_SUBSCRIBE].payload != NULL)
        check_registered_properties(contract, topic);
}

/* --- what it says --- */

const char *topic_name(const struct contract_topic *topic)
{
    return topic->name;
}

bool topic_has(const struct contract_topic *topic, enum contract_direction direction)
{
    return topic->sides[direction].declared;
}

bool topic_check(const struct contract_topic *topic, enum contract_direction direction, struct json_object *message,
                 char *reason, size_t size)
{
    const struct contract_side *side = &topic->sides[direction];
    if (side->schema != NULL)
        return schema_check(side->schema, message, reason, size);
    snprintf(reason, size, "%s: %s", topic->name,
             side->declared ? "its messages could not be read in the document" : "not declared in this direction");
    return false;
}

bool topic_passes_on(const struct contract_topic *from, const struct contract_topic *to)
{
    const struct schema *schema = from->sides[CONTRACT_SUBSCRIBE].schema;
    return schema != NULL && schema == to->sides[CONTRACT_PUBLISH].schema;
}

/* --- summaries --- */

/* A summary while it is written. It ends early when it has got longer than anybody wants it, or has taken too long. */
struct summary {
    const struct contract *contract;
    struct text text;
    size_t size;
    size_t looks; /* how many required names may still be looked at */
};

static void summarise(struct summary *summary, struct json_object *schema, unsigned depth);

static bool is_ended(const struct summary *summary)
{
    return summary->text.len > summary->size || summary->looks == 0;
}

/* What is of the document, on one line and no longer than that. */
static void put_short(struct text *text, const char *bytes, size_t most)
{
    size_t length = strnlen(bytes, most + 1);
    size_t shown = text_cut(bytes, length, most);
    text_put_line(text, bytes, shown);
    text_puts(text, shown < length ? "…" : "");
}

static bool is_required(struct summary *summary, struct json_object *schema, const char *name)
{
    struct json_object *names = NULL;
    json_object_object_get_ex(schema, "required", &names);
    for (size_t i = 0; json_object_is_type(names, json_type_array) && i < json_object_array_length(names); i++) {
        if (summary->looks == 0)
            return false;
        summary->looks--;
        struct json_object *one = json_object_array_get_idx(names, i);
        if (json_object_is_type(one, json_type_string) && strcmp(json_object_get_string(one), name) == 0)
            return true;
    }
    return false;
}

static void summarise_object(struct summary *summary, struct json_object *schema, unsigned depth)
{
    struct text *text = &summary->text;
    struct json_object *properties = object_member(schema, "properties");
    size_t count = 0;
    if (properties == NULL || depth >= SUMMARY_DEPTH) {
        text_puts(text, "object");
        return;
    }
    text_puts(text, "{");
    json_object_object_foreach(properties, name, property)
    {
        bool required = count < SUMMARY_MEMBERS && is_required(summary, schema, name);
        if (count == SUMMARY_MEMBERS || is_ended(summary)) {
            text_puts(text, count == 0 ? "…" : ", …");
            break;
        }
        text_puts(text, count++ == 0 ? "" : ", ");
        put_short(text, name, SUMMARY_NAME);
        text_puts(text, required ? "*: " : ": ");
        summarise(summary, property, depth + 1);
    }
    text_puts(text, "}");
}

static void summarise_values(struct json_object *values, struct text *text)
{
    for (size_t i = 0; i < json_object_array_length(values) && i < 6; i++) {
        struct json_object *value = json_object_array_get_idx(values, i);
        text_puts(text, i == 0 ? "" : "|");
        if (json_object_is_type(value, json_type_object) || json_object_is_type(value, json_type_array))
            text_puts(text, json_object_is_type(value, json_type_object) ? "{…}" : "[…]");
        else
            put_short(text, value == NULL ? "null" : json_object_get_string(value), SUMMARY_VALUE);
    }
    if (json_object_array_length(values) > 6)
        text_puts(text, "|…");
}

static void summarise_choice(struct summary *summary, struct json_object *schema, unsigned depth)
{
    struct text *text = &summary->text;
    static const char *const keys[] = {"oneOf", "anyOf", "allOf"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct json_object *among = NULL;
        if (json_object_object_get_ex(schema, keys[i], &among) && json_object_is_type(among, json_type_array)) {
            if (json_object_array_length(among) == 1 && depth < SUMMARY_DEPTH)
                return summarise(summary, json_object_array_get_idx(among, 0), depth + 1);
            text_printf(text, "%s %zu", keys[i], json_object_array_length(among));
            return;
        }
    }
    text_puts(text, "any");
}

static void summarise(struct summary *summary, struct json_object *schema, unsigned depth)
{
    struct text *text = &summary->text;
    struct json_object *values = NULL;
    struct json_object *items = NULL;
    schema = contract_follow(summary->contract, schema, NULL);
    const char *type = string_member(schema, "type");
    if (schema == NULL) {
        text_puts(text, "any");
    } else if (json_object_object_get_ex(schema, "enum", &values) && json_object_is_type(values, json_type_array)) {
        summarise_values(values, text);
    } else if (object_member(schema, "properties") != NULL || (type != NULL && strcmp(type, "object") == 0)) {
        summarise_object(summary, schema, depth);
    } else if (type != NULL && strcmp(type, "array") == 0) {
        json_object_object_get_ex(schema, "items", &items);
        if (json_object_is_type(items, json_type_array) && json_object_array_length(items) == 1)
            items = json_object_array_get_idx(items, 0);
        text_puts(text, "[");
        if (depth < SUMMARY_DEPTH + 2)
            summarise(summary, items, depth + 1);
        text_puts(text, "]");
    } else if (type != NULL) {
        put_short(text, type, SUMMARY_VALUE);
    } else {
        summarise_choice(summary, schema, depth);
    }
}

void topic_summary(const struct contract_topic *topic, enum contract_direction direction, char *summary, size_t size)
{
    const struct contract_side *side = &topic->sides[direction];
    struct summary made = {.contract = topic->contract, .size = size, .looks = SUMMARY_LOOKS};
    text_puts(&made.text, "");
    if (side->payload != NULL)
        summarise(&made, side->payload, 0);
    if (side->messages > 1)
        text_printf(&made.text, " or %zu more", side->messages - 1);
    if (made.text.len < size)
        snprintf(summary, size, "%s", made.text.at);
    else
        snprintf(summary, size, "%.*s…", (int)text_cut(made.text.at, made.text.len, size - sizeof "…"), made.text.at);
    text_free(&made.text);
}
