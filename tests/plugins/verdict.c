/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Publishes, and then returns the verdict that the message's content names. */
#include "component.h"

#include <string.h>

static int judge(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;

    if (host->publish(host, PUBLISHED("verdict"), message->body, message->len) != VALAWAI_OK)
        return VALAWAI_FAILED;
    if (strstr(message->body, "\"wrong\""))
        return host->explain(host, VALAWAI_WRONG, "the %s is wrong", "whole thing");
    if (strstr(message->body, "\"failed\""))
        return host->explain(host, VALAWAI_FAILED, "the disk is %d%% full", 100);
    if (strstr(message->body, "\"silent\""))
        return VALAWAI_WRONG;
    if (strstr(message->body, "\"unknown\""))
        return 42;
    return VALAWAI_DONE;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("verdict"),
    .topics = TOPICS(RECEIVED("verdict"), judge),
    .start = keep_host,
};
