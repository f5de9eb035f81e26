/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Publishes without pause, as fast as the host accepts, bodies of the size in the option `size`. */
#include "component.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct valawai_host *host;
static char *body;
static size_t len;

static void tick(void *self, void *context)
{
    (void)self, (void)context;
    for (int i = 0; i < 1000; i++)
        if (host->publish(host, PUBLISHED("flood"), body, len) != VALAWAI_OK)
            return;
}

static int start(const struct valawai_host *given, void **self)
{
    host = given;
    *self = &len;
    const char *option = host->option(host, "size");
    int size = option == NULL ? 100 : atoi(option);
    body = malloc((size_t)size + 32);
    if (body == NULL)
        return 1;
    len = (size_t)sprintf(body, "{\"content\":\"%0*d\"}", size, 0);
    return host->timer(host, 0, 1, tick, NULL) == 0;
}

static void stop(void *self)
{
    (void)self;
    free(body);
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = INFO("flood") "channels:\n" CHANNEL(REGISTERED("flood"), "subscribe", "registered")
        CHANNEL(PUBLISHED("flood"), "publish", "any") SCHEMAS,
    .start = start,
    .stop = stop,
};
