/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "contract.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "memory.h"

static yaml_node_t *member(yaml_document_t *document, yaml_node_t *mapping, const char *key)
{
    if (mapping == NULL || mapping->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(document, pair->key);
        if (name != NULL && name->type == YAML_SCALAR_NODE && strcmp((char *)name->data.scalar.value, key) == 0)
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

/* valawai/c[012]/<name>/(data|control)/<operation>: how long the name is, or 0. */
static size_t name_in_topic(const char *topic)
{
    if (strncmp(topic, "valawai/c", 9) != 0 || topic[9] < '0' || topic[9] > '2' || topic[10] != '/')
        return 0;
    const char *rest = topic + 11;
    while (isalnum((unsigned char)*rest) || *rest == '_')
        rest++;
    size_t len = (size_t)(rest - (topic + 11));
    bool data = strncmp(rest, "/data/", 6) == 0 && rest[6] != '\0';
    bool control = strncmp(rest, "/control/", 9) == 0 && rest[9] != '\0';
    return data || control ? len : 0;
}

static bool is_registered_topic(const char *topic)
{
    size_t len = name_in_topic(topic);
    return len > 0 && strcmp(topic + 11 + len, "/control/registered") == 0;
}

static bool take_channel(struct contract *contract, yaml_document_t *document, yaml_node_t *name, yaml_node_t *channel,
                         struct fault *fault)
{
    int line = (int)name->start_mark.line + 1;
    if (name->type != YAML_SCALAR_NODE)
        return fault_set(fault, "line %d: the name of a channel is not a text", line);
    const char *topic = (char *)name->data.scalar.value;
    if (name->data.scalar.length != strlen(topic) || name_in_topic(topic) == 0 || strlen(topic) > 255)
        return fault_set(fault, "line %d: channel %s is not named valawai/c[012]/<name>/(data|control)/<operation>",
                         line, topic);
    contract->channels = memory_resize(contract->channels, (contract->channel_count + 1) * sizeof *contract->channels);
    struct contract_channel *taken = &contract->channels[contract->channel_count++];
    *taken = (struct contract_channel){.topic = memory_text(topic), .line = line};
    if (member(document, channel, "subscribe") != NULL)
        taken->directions |= DIRECTION_SUBSCRIBE;
    if (member(document, channel, "publish") != NULL)
        taken->directions |= DIRECTION_PUBLISH;
    if (taken->directions & DIRECTION_SUBSCRIBE && is_registered_topic(topic)) {
        if (contract->registered != NULL)
            return fault_set(fault, "line %d: a second registered channel; the first is %s", line,
                             contract->registered);
        contract->registered = memory_text(topic);
        contract->name = memory_format("c%c_%.*s", topic[9], (int)name_in_topic(topic), topic + 11);
        contract->type[0] = 'C';
        contract->type[1] = topic[9];
    }
    return true;
}

static bool take_document(struct contract *contract, yaml_document_t *document, struct fault *fault)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE)
        return fault_set(fault, "not a mapping");
    yaml_node_t *version = member(document, root, "asyncapi");
    if (version == NULL || version->type != YAML_SCALAR_NODE)
        return fault_set(fault, "no `asyncapi: 2.6.0`");
    if (strcmp((char *)version->data.scalar.value, "2.6.0") != 0)
        return fault_set(fault, "line %zu: asyncapi %s; the MOV reads 2.6.0", version->start_mark.line + 1,
                         (char *)version->data.scalar.value);
    yaml_node_t *channels = member(document, root, "channels");
    if (channels == NULL || channels->type != YAML_MAPPING_NODE)
        return fault_set(fault, "no `channels`");
    for (yaml_node_pair_t *pair = channels->data.mapping.pairs.start; pair < channels->data.mapping.pairs.top; pair++)
        if (!take_channel(contract, document, yaml_document_get_node(document, pair->key),
                          yaml_document_get_node(document, pair->value), fault))
            return false;
    return contract->registered != NULL ||
           fault_set(fault, "no channel valawai/c[012]/<name>/control/registered with `subscribe`; without it the MOV "
                            "answers no registration");
}

bool contract_read(const char *text, struct contract **result, struct fault *fault)
{
    bool read = false;
    yaml_parser_t parser;
    yaml_document_t document;
    struct contract *contract = memory_new(sizeof *contract);

    if (!yaml_parser_initialize(&parser))
        memory_got(NULL);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    if (!yaml_parser_load(&parser, &document)) {
        fault_set(fault, "not YAML: line %zu, column %zu: %s", parser.problem_mark.line + 1,
                  parser.problem_mark.column + 1, parser.problem == NULL ? "?" : parser.problem);
        goto out;
    }
    read = take_document(contract, &document, fault);
    yaml_document_delete(&document);
out:
    yaml_parser_delete(&parser);
    if (read)
        *result = contract;
    else
        contract_free(contract);
    return read || fault_prefix(fault, "AsyncAPI document");
}

void contract_free(struct contract *contract)
{
    if (contract == NULL)
        return;
    for (size_t i = 0; i < contract->channel_count; i++)
        free(contract->channels[i].topic);
    free(contract->channels);
    free(contract->registered);
    free(contract->name);
    free(contract);
}

const struct contract_channel *contract_channel(const struct contract *contract, const char *topic)
{
    for (size_t i = 0; i < contract->channel_count; i++)
        if (strcmp(contract->channels[i].topic, topic) == 0)
            return &contract->channels[i];
    return NULL;
}
