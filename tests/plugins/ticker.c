/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Handles no topic: publishes by timers, receives its registration, and queries the MOV. */
#include "component.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct valawai_host *host;
static uint64_t ticks;
static int count;

static void publish(const char *content)
{
    char body[64];
    int len = snprintf(body, sizeof body, "{\"content\":\"%s\"}", content);
    if (host->publish(host, PUBLISHED("ticker"), body, (size_t)len) != VALAWAI_OK)
        VALAWAI_ERROR_LOG(host, "cannot publish");
}

static void tick(void *self, void *context)
{
    char content[32];
    snprintf(content, sizeof content, "tick %d", ++count);
    publish(content);
    if (self != &ticks || context != &count)
        VALAWAI_ERROR_LOG(host, "wrong arguments");
    if (count == 3 && (host->cancel(host, ticks) != VALAWAI_OK || host->cancel(host, ticks) == VALAWAI_OK))
        VALAWAI_ERROR_LOG(host, "cannot cancel");
}

static void once(void *self, void *context)
{
    (void)self, (void)context;
    publish("once");
}

static void never(void *self, void *context)
{
    (void)self, (void)context;
    publish("never");
}

static void answered(void *self, const char *page, size_t len, void *context)
{
    (void)self;
    VALAWAI_INFO_LOG_PAYLOAD(host, page, "the MOV answers about %s: %s", (const char *)context,
                             page == NULL          ? "nothing"
                             : strlen(page) == len ? "a page"
                                                   : "a cut page");
}

static void registered(void *self, const char *id)
{
    (void)self;
    VALAWAI_INFO_LOG(host, "we are %s", id);
    if (host->query(host, VALAWAI_COMPONENTS, "{\"pattern\":\"c1_ticker\",\"offset\":0,\"limit\":5}", answered,
                    (void *)"components") != VALAWAI_OK ||
        host->query(host, VALAWAI_CONNECTIONS, NULL, answered, (void *)"connections") != VALAWAI_OK)
        VALAWAI_ERROR_LOG(host, "cannot ask");
    if (host->query(host, VALAWAI_COMPONENTS, "{\"limit\":0}", answered, NULL) != VALAWAI_E_BODY ||
        host->query(host, VALAWAI_COMPONENTS, "{\"id\":\"ours\",\"limit\":1}", answered, NULL) != VALAWAI_E_BODY ||
        host->query(host, VALAWAI_COMPONENTS, "[]", answered, NULL) != VALAWAI_E_BODY ||
        host->query(host, 2, NULL, answered, NULL) != VALAWAI_E_ARGUMENT)
        VALAWAI_ERROR_LOG(host, "bad questions are asked");
}

static void unregistered(void *self)
{
    (void)self;
    VALAWAI_INFO_LOG(host, "the component lost its id");
}

static int start(const struct valawai_host *given, void **self)
{
    host = given;
    *self = &ticks;
    host->timer(host, 30, 0, once, NULL);
    host->cancel(host, host->timer(host, 0, 1, never, NULL));
    ticks = host->timer(host, 50, 10, tick, &count);
    if (ticks == 0 || host->cancel(host, 12345) != VALAWAI_E_ARGUMENT)
        VALAWAI_ERROR_LOG(host, "strange timers");
    return 0;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = INFO("ticker") "channels:\n" CHANNEL(REGISTERED("ticker"), "subscribe", "registered")
        CHANNEL(PUBLISHED("ticker"), "publish", "any") SCHEMAS,
    .start = start,
    .registered = registered,
    .unregistered = unregistered,
};
