/* SPDX-License-Identifier: MIT
 *
 * c1_my_component: publishes every message that it receives. The manual is <valawai/plugin.h>. */
#include <valawai/plugin.h>

extern const char valawai_asyncapi[]; /* asyncapi.yaml, put in by the build */

/* Called for each message that is as asyncapi.yaml says, one at a time. */
static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    if (host->publish(host, "valawai/c1/my_component/data/publish_message", message->body, message->len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    VALAWAI_INFO_LOG(host, "published a message of %zu bytes", message->len);
    return VALAWAI_DONE;
}

/* A component that remembers something makes a structure for it here, with the host in it, and frees it in a stop. */
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
