/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds the component in the names of its channels, and the channels that no component may have. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "contract/parts.h"

#define QUEUE_NAME_MAX 255 /* bytes: AMQP's limit */

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

/* True if a topic is a queue of the MOV, used in the direction that the MOV expects. */
static bool is_queue_of_mov(const struct contract_topic *topic)
{
    const struct contract_topic *queue = contract_find(contract_of_mov(), topic->name);
    return queue != NULL && topic_has(queue, CONTRACT_PUBLISH) == topic_has(topic, CONTRACT_PUBLISH) &&
           topic_has(queue, CONTRACT_SUBSCRIBE) == topic_has(topic, CONTRACT_SUBSCRIBE);
}

/* Finds the component in the first registered topic, or otherwise in the first topic with a valid name. */
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
        if (is_queue_of_mov(topic))
            continue;
        if (!split_name(topic->name, &parts))
            findings_add(&contract->findings, FINDING_ERROR, topic->place,
                         "%s is not of the form valawai/c[012]/<name>/(data|control)/<operation>", topic->name);
        else if (!is_own(contract, &parts))
            findings_add(&contract->findings, FINDING_ERROR, topic->place,
                         "%s is a channel of another component than %s", topic->name, contract->name);
    }
}

/* --- the registered topic --- */

static void check_registered_properties(struct contract *contract, const struct contract_topic *topic)
{
    static const char *const wanted[] = {"id",          "name", "description", "version",
                                         "api_version", "type", "since",       "channels"};
    struct json_object *properties = mov_properties(contract, topic->sides[CONTRACT_SUBSCRIBE].payload);
    struct text missing = {0};
    text_puts(&missing, "");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (properties == NULL || !json_object_object_get_ex(properties, wanted[i], NULL))
            text_printf(&missing, "%s%s", missing.len > 0 ? ", " : "", wanted[i]);
    }
    if (missing.len > 0)
        findings_add(&contract->findings, FINDING_ERROR, topic->place,
                     "%s: its message has no property %s: the MOV never sends the component its id", topic->name,
                     missing.at);
    text_free(&missing);
}

/* True if a channel was meant to be the registered topic, but has a name that no component can have. */
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
        return; /* reported already */
    if (contract->registered == NULL) {
        findings_add_at(&contract->findings, FINDING_ERROR, document_root(contract->document), "channels",
                        "there is no channel valawai/c[012]/<name>/control/registered: the MOV never tells the "
                        "component its id");
        return;
    }
    topic = contract_find(contract, contract->registered);
    if (!topic->sides[CONTRACT_SUBSCRIBE].declared)
        findings_add(&contract->findings, FINDING_ERROR, topic->place,
                     "%s is not subscribed to: the MOV never sends the component its id", topic->name);
    else if (topic->sides[CONTRACT_SUBSCRIBE].messages > 1)
        findings_add(&contract->findings, FINDING_ERROR, topic->place,
                     "%s: has a choice of messages: the MOV never sends the component its id", topic->name);
    else if (topic->sides[CONTRACT_SUBSCRIBE].payload != NULL)
        check_registered_properties(contract, topic);
}
