/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * guard: hears of every load that passes a connection, and disables a connection on which one is above the limit. Shows
 * a C2: the Master Of VALAWAI (MOV) tells it what components say to each other, and does what it asks for. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <valawai/plugin.h>

extern const char valawai_asyncapi[];

struct guard {
    const struct valawai_host *host;
    double limit;
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
    VALAWAI_TOPIC("valawai/c2/guard/control/notification", notified),
    VALAWAI_TOPICS_END,
};

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = VALAWAI_PLUGIN_VERSION,
    .asyncapi = valawai_asyncapi,
    .topics = topics,
    .start = start,
    .stop = free,
};
