/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A second component: passes every message on as it is, and logs the option "greeting" at start. */
#include "component.h"

static int pass_on(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    if (host->publish(host, PUBLISHED("other"), message->body, message->len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    return VALAWAI_DONE;
}

static int start(const struct valawai_host *host, void **self)
{
    const char *greeting = host->option(host, "greeting");
    VALAWAI_INFO_LOG(host, "greeting: %s", greeting ? greeting : "(none)");
    return keep_host(host, self);
}

static void stop(void *self)
{
    VALAWAI_INFO_LOG((const struct valawai_host *)self, "stopped");
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "0.2.0",
    .asyncapi = DOCUMENT("other"),
    .topics = TOPICS(RECEIVED("other"), pass_on),
    .start = start,
    .stop = stop,
};
