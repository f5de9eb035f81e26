/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * publish: the checks of a publication: the document declares the topic, and the body matches its schema. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "plugin/parts.h"

#define TOPIC_MAX 255 /* AMQP's short string */

/* A handler passes on the body that it received, which has been checked already. */
static bool is_handled(const struct services *services, const char *body, size_t len)
{
    return handling_in(services) && body == handling_current->delivery->body && len == handling_current->delivery->len;
}

static struct json_object *publication_json(struct services *services, const char *body, size_t len,
                                            struct fault *fault)
{
    if (is_handled(services, body, len))
        return json_object_get(services_json(handling_current));
    return json_parse(json_thread_reader(), body, len, fault);
}

static bool fits(struct services *services, const struct contract_topic *topic, struct json_object *json,
                 struct fault *fault)
{
    char reason[384];
    if (topic_check(topic, CONTRACT_PUBLISH, json, reason, sizeof reason))
        return true;
    if (services->validate != VALIDATE_WARN)
        return fault_set(fault, "does not match the AsyncAPI document: %s", reason);
    log_warning(services->options.log, services->options.plugin->name,
                "publishes a body on %s that does not match its AsyncAPI document: %s", topic_name(topic), reason);
    return true;
}

/* True if the body is a JSON object and matches the topic's schema in the AsyncAPI document. */
static bool may_publish(struct services *services, const struct contract_topic *topic, const char *body, size_t len,
                        struct fault *fault)
{
    if (services->validate == VALIDATE_OFF)
        return is_handled(services, body, len) || json_is_object(body, len, fault);
    if (is_handled(services, body, len) && handling_current->fits != NULL &&
        topic_passes_on(handling_current->fits, topic))
        return true;
    struct json_object *json = publication_json(services, body, len, fault);
    bool good = json != NULL && fits(services, topic, json, fault);
    json_object_put(json);
    return good;
}

/* The publication, or NULL with the error. */
struct publication *publication_make(struct services *services, const char *topic, const char *body, size_t len,
                                     struct properties properties, bool allowed, int *error)
{
    struct fault fault;
    *error = VALAWAI_OK;
    if (topic == NULL || body == NULL || topic[0] == '\0')
        *error = services_refuse(services, VALAWAI_E_ARGUMENT, topic, "expects a topic and a body");
    else if (strlen(topic) > TOPIC_MAX)
        *error = services_refuse(services, VALAWAI_E_ARGUMENT, "(too long)", "a topic has at most 255 bytes");
    if (*error != VALAWAI_OK)
        return NULL;
    const struct contract_topic *declared = contract_find(services->options.plugin->contract, topic);
    bool of_mov = declared == NULL || !topic_has(declared, CONTRACT_PUBLISH);
    if (of_mov)
        declared = contract_find(services->options.mov, topic);
    if (declared == NULL)
        *error = services_refuse(services, VALAWAI_E_TOPIC, topic, "not a `publish` channel of the AsyncAPI document");
    else if (!allowed)
        *error = services_refuse(services, VALAWAI_E_STATE, topic, "only between start and stop");
    else if (len > services->options.message_max_bytes)
        *error = services_refuse(services, VALAWAI_E_BODY, topic, "the body is larger than message_max_bytes");
    else if (!contract_body_for_mov(body, len, &fault) || !may_publish(services, declared, body, len, &fault))
        *error = services_refuse(services, VALAWAI_E_BODY, topic, fault.text);
    if (*error != VALAWAI_OK)
        return NULL;
    struct publication *publication = publication_with(topic, body, len, properties);
    publication->persistent = true;
    publication->waits = true;
    publication->account = &services->account;
    publication->counts = services_counts(services, declared, of_mov);
    return publication;
}

int publish_made(struct services *services, struct publication *publication)
{
    if (handling_in(services)) {
        handling_lock(handling_current);
        list_put(&handling_current->publications, &publication->node);
        handling_unlock(handling_current);
        return VALAWAI_OK;
    }
    struct list one = {0};
    list_put(&one, &publication->node);
    if (services->options.transport->send(services->options.transport->context, &one))
        return VALAWAI_OK;
    int error = services_refuse(services, VALAWAI_E_STATE, publication->topic, "the host is stopping");
    list_free(&one);
    return error;
}

int serve_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len)
{
    struct services *services = services_of(host);
    int error;
    struct publication *publication =
        publication_make(services, topic, body, len, (struct properties){0}, atomic_load(&services->running), &error);
    return publication == NULL ? error : publish_made(services, publication);
}
