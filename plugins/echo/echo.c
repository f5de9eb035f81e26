/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * echo: what comes in on received_message goes out on publish_message. Copy this directory to begin a component of your
 * own. */
#include <valawai/plugin.h>

extern const char valawai_asyncapi[]; /* asyncapi.yaml, put in by the build */

static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "Received a message to echo");
    if (host->publish(host, "valawai/c1/echo/data/publish_message", message->body, message->len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "Sent Echoed message");
    return VALAWAI_DONE;
}

static int start(const struct valawai_host *host, void **self)
{
    *self = (void *)host;
    return 0;
}

static const struct valawai_topic topics[] = {
    VALAWAI_TOPIC("valawai/c1/echo/data/received_message", received),
    VALAWAI_TOPICS_END,
};

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD, .version = VALAWAI_PLUGIN_VERSION, .asyncapi = valawai_asyncapi, .topics = topics,
    .start = start,
};
