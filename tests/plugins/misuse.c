/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Calls publish in wrong ways, and then publishes the results: the key is the case. */
#include "component.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct misuse {
    const struct valawai_host *host;
    int in_start;
};

static int misuse(void *self, const struct valawai_message *message)
{
    static const char good[] = "{\"content\":\"x\"}";
    const struct valawai_host *host = ((struct misuse *)self)->host;
    const char *topic = PUBLISHED("misuse");
    char long_topic[300];
    char answers[512];
    int len;

    (void)message;
    memset(long_topic, 'a', sizeof long_topic - 1);
    long_topic[sizeof long_topic - 1] = '\0';
    len = snprintf(
        answers, sizeof answers,
        "{\"start\":%d,\"no topic\":%d,\"empty topic\":%d,\"long topic\":%d,\"no body\":%d,"
        "\"foreign topic\":%d,\"own input\":%d,\"empty\":%d,\"array\":%d,\"no json\":%d,\"no utf-8\":%d,\"good\":%d}",
        ((struct misuse *)self)->in_start, host->publish(host, NULL, good, strlen(good)),
        host->publish(host, "", good, strlen(good)), host->publish(host, long_topic, good, strlen(good)),
        host->publish(host, topic, NULL, 1),
        host->publish(host, "valawai/c1/echo/data/publish_message", good, strlen(good)),
        host->publish(host, RECEIVED("misuse"), good, strlen(good)), host->publish(host, topic, "", 0),
        host->publish(host, topic, "[1]", 3), host->publish(host, topic, "{", 1),
        host->publish(host, topic, "{\"a\":\"\xff\"}", 9), host->publish(host, topic, good, strlen(good)));
    return host->publish(host, topic, answers, (size_t)len) == VALAWAI_OK ? VALAWAI_DONE : VALAWAI_FAILED;
}

static int start(const struct valawai_host *host, void **self)
{
    static struct misuse state;
    state.host = host;
    state.in_start = host->publish(host, PUBLISHED("misuse"), "{}", 2);
    *self = &state;
    return 0;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("misuse"),
    .topics = TOPICS(RECEIVED("misuse"), misuse),
    .start = start,
};
