/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Takes the time of the option "milliseconds" for a message, then passes it on; and the time of the option "start" to
 * start. */
#include "component.h"

#include <stdlib.h>
#include <time.h>

static long number(const struct valawai_host *host, const char *name, long otherwise)
{
    const char *option = host->option(host, name);
    return option ? strtol(option, NULL, 10) : otherwise;
}

static void take_time(long milliseconds)
{
    struct timespec left = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

static int start_slowly(const struct valawai_host *host, void **self)
{
    long milliseconds = number(host, "start", 0);
    if (milliseconds > 0)
        VALAWAI_INFO_LOG(host, "starting for %ld ms", milliseconds);
    take_time(milliseconds);
    return keep_host(host, self);
}

static int pass_on_slowly(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    long milliseconds = number(host, "milliseconds", 1000);
    VALAWAI_INFO_LOG(host, "working for %ld ms", milliseconds);
    take_time(milliseconds);
    return host->publish(host, PUBLISHED("slow"), message->body, message->len) == VALAWAI_OK ? VALAWAI_DONE
                                                                                             : VALAWAI_FAILED;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,          .version = "1.0.0",
    .asyncapi = DOCUMENT("slow"), .topics = TOPICS(RECEIVED("slow"), pass_on_slowly),
    .start = start_slowly,
};
