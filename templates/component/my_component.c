/* SPDX-License-Identifier: MIT
 *
 * c1_my_component: publishes the length of each message that it receives. The manual is <valawai/plugin.h>. */
#include <stdio.h>
#include <valawai/plugin.h>

extern const char valawai_asyncapi[]; /* asyncapi.yaml, embedded by the build */

/* Called for each message that matches its schema in asyncapi.yaml, one at a time. */
static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    char body[64];
    int len = snprintf(body, sizeof body, "{\"bytes\":%zu}", message->len);
    if (host->publish(host, "valawai/c1/my_component/data/publish_message", body, (size_t)len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    VALAWAI_INFO_LOG(host, "received a message of %zu bytes", message->len);
    return VALAWAI_DONE;
}

/* A component with a state allocates a structure here, keeps the host in it, and frees it in a stop function. */
static int start(const struct valawai_host *host, void **self)
{
    *self = (void *)host;
    return 0;
}

static const struct valawai_topic topics[] = {
    VALAWAI_TOPIC("valawai/c1/my_component/data/received_message", received),
    VALAWAI_TOPICS_END,
};

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD, .version = VALAWAI_PLUGIN_VERSION, .asyncapi = valawai_asyncapi, .topics = topics,
    .start = start,
};
