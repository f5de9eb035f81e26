/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Takes as long for a message as the option "milliseconds" says, then passes it on. */
#include "component.h"

#include <stdlib.h>
#include <time.h>

static int pass_on_slowly(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    const char *option = host->option(host, "milliseconds");
    long milliseconds = option ? strtol(option, NULL, 10) : 1000;
    struct timespec left = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};

    VALAWAI_INFO_LOG(host, NULL, "working for %ld ms", milliseconds);
    while (nanosleep(&left, &left) != 0)
        ;
    return host->publish(host, PUBLISHED("slow"), message->body, message->len) == VALAWAI_OK ? VALAWAI_DONE
                                                                                             : VALAWAI_FAILED;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,          .version = "1.0.0",
    .asyncapi = DOCUMENT("slow"), .topics = TOPICS(RECEIVED("slow"), pass_on_slowly),
    .start = keep_host,
};
