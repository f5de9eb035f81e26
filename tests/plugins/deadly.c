/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Ends the process in the middle of a message that says "deadly"; passes others on. */
#include "component.h"

#include <string.h>
#include <unistd.h>

static int die_or_pass_on(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;

    if (strstr(message->body, "\"deadly\""))
        _exit(70);
    return host->publish(host, PUBLISHED("deadly"), message->body, message->len) == VALAWAI_OK ? VALAWAI_DONE
                                                                                               : VALAWAI_FAILED;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("deadly"),
    .topics = TOPICS(RECEIVED("deadly"), die_or_pass_on),
    .start = keep_host,
};
