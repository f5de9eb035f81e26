/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * guard: receives each load that passes a connection, and disables a connection on which one is above the limit. It
 * shows a C2: the Master Of VALAWAI (MOV) notifies it of the messages between components, and changes the topology on
 * its request. */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valawai/plugin.h>

extern const char valawai_asyncapi[];

#define NOTIFICATION "valawai/c2/guard/control/notification"

struct guard {
    const struct valawai_host *host;
    double limit;
    char id[25]; /* the component's; "" while it is not registered */
};

static const char *name_of(struct json_object *notification, const char *end)
{
    struct json_object *component = NULL, *name = NULL;
    if (json_object_object_get_ex(notification, end, &component) && json_object_object_get_ex(component, "name", &name))
        return json_object_get_string(name);
    return "?";
}

static int notified(void *self, const struct valawai_message *message)
{
    const struct guard *guard = self;
    const struct valawai_host *host = guard->host;
    struct json_object *json = host->json(host, message), *id = NULL, *reading = NULL, *load = NULL;
    char body[128];
    /* The schema says that they are there, and what they are. */
    json_object_object_get_ex(json, "connection_id", &id);
    json_object_object_get_ex(json, "message_payload", &reading);
    json_object_object_get_ex(reading, "load", &load);
    if (json_object_get_double(load) <= guard->limit)
        return VALAWAI_DONE;

    VALAWAI_WARN_LOG_PAYLOAD(host, message->body, "a load of %g is above %g: disabling the connection from %s to %s",
                             json_object_get_double(load), guard->limit, name_of(json, "source"),
                             name_of(json, "target"));
    int len =
        snprintf(body, sizeof body, "{\"action\":\"DISABLE\",\"connection_id\":\"%s\"}", json_object_get_string(id));
    if (host->publish(host, "valawai/topology/change", body, (size_t)len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    return VALAWAI_DONE;
}

/* --- notifications --- */

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *member = NULL;
    if (!json_object_object_get_ex(object, key, &member) || !json_object_is_type(member, json_type_string))
        return "";
    return json_object_get_string(member);
}

/* Publishes a request about the notification of a connection. what: its members, with a comma at the end, or "". */
static void request(const struct guard *guard, const char *topic, const char *what, const char *connection,
                    const char *component)
{
    char body[512];
    int len = snprintf(body, sizeof body,
                       "{%s\"connection_id\":\"%s\",\"target\":{\"component_id\":\"%s\",\"channel_name\":\"%s\"}}",
                       what, connection, component, NOTIFICATION);
    if (len < (int)sizeof body)
        (void)guard->host->publish(guard->host, topic, body, (size_t)len); /* a refusal is in the log */
}

/* Enables the notification of this guard, and removes those of guards that ran before: the MOV sends one copy of each
 * message for each of them. */
static void renew(const struct guard *guard, struct json_object *connection)
{
    struct json_object *all = NULL, *target = NULL, *enabled = NULL;
    bool hears = false, heard = false;
    json_object_object_get_ex(connection, "notifications", &all);
    for (size_t i = 0; json_object_is_type(all, json_type_array) && i < json_object_array_length(all); i++) {
        struct json_object *one = json_object_array_get_idx(all, i);
        json_object_object_get_ex(one, "target", &target);
        if (strcmp(text_of(target, "channel_name"), NOTIFICATION) != 0)
            continue;
        heard = true;
        if (strcmp(text_of(target, "component_id"), guard->id) == 0)
            hears = json_object_object_get_ex(one, "enabled", &enabled) && json_object_get_boolean(enabled);
        else
            request(guard, "valawai/topology/notification/change", "\"action\":\"REMOVE\",", text_of(connection, "id"),
                    text_of(target, "component_id"));
    }
    if (heard && !hears)
        request(guard, "valawai/topology/notification/create", "\"enabled\":true,", text_of(connection, "id"),
                guard->id);
}

static void connections_known(void *self, const char *page, size_t len, void *context)
{
    const struct guard *guard = self;
    struct json_object *json = page == NULL ? NULL : json_tokener_parse(page), *all = NULL;
    (void)len, (void)context;
    if (guard->id[0] != '\0' && json_object_object_get_ex(json, "connections", &all))
        for (size_t i = 0; json_object_is_type(all, json_type_array) && i < json_object_array_length(all); i++)
            renew(guard, json_object_array_get_idx(all, i));
    json_object_put(json);
}

/* The MOV gives a C2 that registers after a connection exists a notification that is disabled, and does so a moment
 * after the registration. So the guard looks several times. */
static void look(void *self, void *context)
{
    const struct guard *guard = self;
    (void)context;
    if (guard->id[0] != '\0')
        (void)guard->host->query(guard->host, VALAWAI_CONNECTIONS, "{\"limit\":1000}", connections_known, NULL);
}

static void registered(void *self, const char *component_id)
{
    struct guard *guard = self;
    static const uint32_t looks_ms[] = {500, 5000, 30000};
    snprintf(guard->id, sizeof guard->id, "%s", component_id);
    for (size_t i = 0; i < sizeof looks_ms / sizeof looks_ms[0]; i++)
        guard->host->timer(guard->host, looks_ms[i], 0, look, NULL);
}

static void unregistered(void *self)
{
    struct guard *guard = self;
    guard->id[0] = '\0';
}

static int start(const struct valawai_host *host, void **self)
{
    const char *limit = host->option(host, "limit");
    char *end = NULL;
    struct guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL)
        return -1;
    guard->host = host;
    guard->limit = limit == NULL ? 8 : strtod(limit, &end);
    if (limit != NULL && (end == limit || *end != '\0' || !(guard->limit >= 0))) {
        VALAWAI_ERROR_LOG(host, "limit: \"%s\" is not a number of at least 0", limit);
        free(guard);
        return -1;
    }
    *self = guard;
    return 0;
}

static const struct valawai_topic topics[] = {
    VALAWAI_TOPIC(NOTIFICATION, notified),
    VALAWAI_TOPICS_END,
};

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = VALAWAI_PLUGIN_VERSION,
    .asyncapi = valawai_asyncapi,
    .topics = topics,
    .start = start,
    .stop = free,
    .registered = registered,
    .unregistered = unregistered,
};
