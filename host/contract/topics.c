/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Makes a topic of each channel of an AsyncAPI document. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "contract/parts.h"

#define TOPICS_MAX 1000

/* An operation under another name, which every reader would ignore: `subcribe`. */
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
        findings_add_at(&contract->findings, FINDING_ERROR, item, key, "is neither subscribe nor publish");
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
    if (string_member(item, "$ref") != NULL)
        item = contract_follow(contract, item, NULL);
    if (!json_object_is_type(item, json_type_object)) {
        findings_add_at(&contract->findings, FINDING_ERROR, channels, name, "is no channel");
        return;
    }
    contract_read_side(contract, topic, item, CONTRACT_SUBSCRIBE);
    contract_read_side(contract, topic, item, CONTRACT_PUBLISH);
    if (note_misspelt(contract, item))
        return;
    if (topic->sides[CONTRACT_SUBSCRIBE].declared && topic->sides[CONTRACT_PUBLISH].declared)
        findings_add_at(&contract->findings, FINDING_WARNING, channels, name,
                        "is both subscribed and published to: what the component publishes may come back to it");
    if (!topic->sides[CONTRACT_SUBSCRIBE].declared && !topic->sides[CONTRACT_PUBLISH].declared)
        findings_add_at(&contract->findings, FINDING_WARNING, channels, name, "is neither subscribed nor published to");
}

void contract_read_topics(struct contract *contract)
{
    struct json_object *root = document_root(contract->document);
    struct json_object *channels = object_member(root, "channels");
    if (channels == NULL || json_object_object_length(channels) == 0) {
        findings_add_at(&contract->findings, FINDING_ERROR, root, "channels", "there are no channels");
        return;
    }
    if (json_object_object_length(channels) > TOPICS_MAX) {
        findings_add_at(&contract->findings, FINDING_ERROR, root, "channels", "more than %d channels", TOPICS_MAX);
        return;
    }
    contract->topics = memory_new(((size_t)json_object_object_length(channels) + 1) * sizeof *contract->topics);
    json_object_object_foreach(channels, name, item)
    {
        read_topic(contract, channels, name, item);
    }
}

/* --- what a topic says --- */

size_t topic_index(const struct contract_topic *topic)
{
    return (size_t)(topic - topic->contract->topics);
}

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
