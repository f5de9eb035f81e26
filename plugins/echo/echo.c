/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * echo: what comes in on received_message goes out on publish_message. Copy this directory to begin a component of your
 * own. */
#include <json-c/json.h>
#include <valawai/plugin.h>

extern const char valawai_asyncapi[]; /* asyncapi.yaml, put in by the build */

static const char *fault_of(struct json_object *payload)
{
    struct json_object *content = NULL;
    if (!json_object_object_get_ex(payload, "content", &content))
        return "content is missing";
    if (!json_object_is_type(content, json_type_string))
        return "content is not a string";
    return json_object_get_string_len(content) == 0 ? "content is empty" : NULL;
}

static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    const char *fault = fault_of(host->json(host, message));
    if (fault != NULL)
        return host->explain(host, VALAWAI_WRONG, "%s", fault);

    VALAWAI_INFO_LOG(host, message->body, "Received a message to echo");
    if (host->publish(host, "valawai/c1/echo/data/publish_message", message->body, message->len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    VALAWAI_INFO_LOG(host, message->body, "Sent Echoed message");
    return VALAWAI_DONE;
}

static int start(const struct valawai_host *host, void **self)
{
    *self = (void *)host;
    return 0;
}

static const struct valawai_topic topics[] = {
    {"valawai/c1/echo/data/received_message", received, {0}},
    {0},
};

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD, .version = VALAWAI_PLUGIN_VERSION, .asyncapi = valawai_asyncapi, .topics = topics,
    .start = start,
};
