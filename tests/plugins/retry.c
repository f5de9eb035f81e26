/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Returns RETRY until the attempt in the option "attempt", and publishes in every attempt. */
#include "component.h"

#include <stdlib.h>

static int try_again(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    const char *option = host->option(host, "attempt");
    uint32_t last = option ? (uint32_t)strtoul(option, NULL, 10) : 3;

    VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "attempt %u", (unsigned)message->attempt);
    if (host->publish(host, PUBLISHED("retry"), message->body, message->len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    return message->attempt < last ? VALAWAI_RETRY : VALAWAI_DONE;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("retry"),
    .topics = TOPICS(RECEIVED("retry"), try_again),
    .start = keep_host,
};
