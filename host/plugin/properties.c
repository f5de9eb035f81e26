/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * properties: the AMQP properties that a plugin reads of a message and sets on a publication. */
#include "message/properties.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "plugin/parts.h"

/* ---- of a message ---- */

static bool may_read(struct services *services, const struct valawai_message *message, const void *name,
                     const char *rule)
{
    if (name != NULL && handling_is_of(services, message))
        return true;
    services_misuse(services, rule);
    return false;
}

static const char *text_of(const struct field *field)
{
    struct text text = {0};
    field_put_text(field, &text);
    return handling_keep(handling_current, &text);
}

const char *serve_property(const struct valawai_host *host, const struct valawai_message *message, const char *name)
{
    enum property property;
    struct field field;
    if (!may_read(services_of(host), message, name, "property() is for the message in hand, in its handler") ||
        !property_by_name(name, &property) || !properties_get(handling_current->delivery->properties, property, &field))
        return NULL;
    return text_of(&field);
}

const char *serve_header(const struct valawai_host *host, const struct valawai_message *message, const char *name)
{
    struct field field;
    if (!may_read(services_of(host), message, name, "header() is for the message in hand, in its handler") ||
        !properties_header(handling_current->delivery->properties, name, &field))
        return NULL;
    return text_of(&field);
}

const char *serve_properties(const struct valawai_host *host, const struct valawai_message *message)
{
    struct text text = {0};
    if (!may_read(services_of(host), message, message, "properties() is for the message in hand, in its handler") ||
        handling_current->delivery->properties.len == 0)
        return NULL;
    properties_put_json(handling_current->delivery->properties, &text);
    return handling_keep(handling_current, &text);
}

/* ---- of a publication ---- */

static bool set_header(struct draft *draft, const char *name, struct json_object *value, struct fault *fault)
{
    struct field field = {0};
    switch (json_object_get_type(value)) {
    case json_type_string:
        field.kind = FIELD_TEXT;
        field.text = json_object_get_string(value);
        field.len = (size_t)json_object_get_string_len(value);
        break;
    case json_type_int:
        field.kind = FIELD_NUMBER;
        field.number = json_object_get_int64(value);
        break;
    case json_type_double:
        field.kind = FIELD_REAL;
        field.real = json_object_get_double(value);
        break;
    case json_type_boolean:
        field.kind = FIELD_TRUTH;
        field.number = json_object_get_boolean(value);
        break;
    default:
        return fault_set(fault, "header %s is neither a string, a number nor a boolean", name);
    }
    return draft_set_header(draft, name, &field, fault);
}

static bool set_headers(struct draft *draft, struct json_object *headers, struct fault *fault)
{
    if (!json_object_is_type(headers, json_type_object))
        return fault_set(fault, "headers is not an object");
    json_object_object_foreach(headers, name, value)
    {
        if (!set_header(draft, name, value, fault))
            return false;
    }
    return true;
}

static bool set_property(struct draft *draft, const char *name, struct json_object *value, struct fault *fault)
{
    enum property property;
    if (strcmp(name, "headers") == 0)
        return set_headers(draft, value, fault);
    if (!property_by_name(name, &property))
        return fault_set(fault, "%s is not a property", name);
    if (json_object_is_type(value, json_type_string)) {
        const char *text = json_object_get_string(value);
        if (strlen(text) != (size_t)json_object_get_string_len(value))
            return fault_set(fault, "%s contains a zero byte", name);
        return draft_set_text(draft, property, text, fault);
    }
    if (json_object_is_type(value, json_type_int))
        return draft_set_number(draft, property, json_object_get_int64(value), fault);
    return fault_set(fault, "%s is neither a string nor a whole number", name);
}

/* Converts a plugin's JSON object to the list of the wire. */
static bool read_properties(const char *json, struct text *list, struct fault *fault)
{
    struct draft draft;
    struct json_object *object = json_parse(json_thread_reader(), json, strlen(json), fault);
    if (object == NULL)
        return false;
    bool set = true;
    draft_begin(&draft, (struct properties){0});
    json_object_object_foreach(object, name, value)
    {
        set = set && set_property(&draft, name, value, fault);
    }
    set = set && draft_put(&draft, list, fault);
    draft_free(&draft);
    json_object_put(object);
    return set;
}

struct publication *publication_make_with(struct services *services, const char *topic, const char *body, size_t len,
                                          const char *properties, bool allowed, int *error)
{
    struct text list = {0};
    struct fault fault;
    struct publication *publication = NULL;
    if (properties != NULL && !read_properties(properties, &list, &fault)) {
        fault_prefix(&fault, "properties");
        *error = services_refuse(services, VALAWAI_E_ARGUMENT, topic, fault.text);
    } else {
        struct properties given = {list.at, list.len};
        if (properties != NULL && services->options.passes_properties_on)
            given = (struct properties){properties, strlen(properties)};
        publication = publication_make(services, topic, body, len, given, allowed, error);
    }
    text_free(&list);
    return publication;
}

int serve_publish_with(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                       size_t len, const char *properties)
{
    struct services *services = services_of(host);
    int error;
    bool allowed = ticket != 0 ? !atomic_load(&services->ended) : atomic_load(&services->running);
    struct publication *publication = publication_make_with(services, topic, body, len, properties, allowed, &error);
    if (publication == NULL)
        return error;
    if (ticket != 0)
        return publish_for_ticket(services, ticket, publication, "publish_with");
    return publish_made(services, publication);
}
