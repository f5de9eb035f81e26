/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The plugin of the target `worker`: each letter of a message's content is something that a plugin does. */
#include "../plugins/component.h"

#include <stdlib.h>
#include <string.h>

#define OUT PUBLISHED("fuzz")

static const struct valawai_host *host;

static void answer(void *self, void *ticket)
{
    (void)self;
    host->publish_for(host, (uint64_t)(uintptr_t)ticket, OUT, "{\"content\":\"later\"}", 19);
    host->answer(host, (uint64_t)(uintptr_t)ticket, VALAWAI_DONE, NULL);
}

static void publish(void *self, void *context)
{
    (void)self, (void)context;
    for (int i = 0; i < 10; i++)
        host->publish(host, OUT, "{\"content\":\"loose\"}", 19);
}

static void replied(void *self, const char *page, size_t len, void *context)
{
    (void)self, (void)context;
    VALAWAI_INFO_LOG_PAYLOAD(host, page, "a page of %zu bytes", len);
}

static void read_properties(const struct valawai_message *message)
{
    const char *header = host->header(host, message, "a");
    VALAWAI_INFO_LOG(host, "%s %s %s", host->properties(host, message), header == NULL ? "" : header,
                     host->property(host, message, "message_id") == NULL ? "" : "with an id");
}

static int act(char letter, const struct valawai_message *message)
{
    uint64_t ticket;
    switch (letter) {
    case 'p': /* the same body */
        host->publish(host, OUT, message->body, message->len);
        break;
    case 'q':
        host->publish(host, OUT, "{\"content\":\"another\"}", 21);
        break;
    case 'u': /* refused */
        host->publish(host, "not/declared", message->body, message->len);
        break;
    case 'x':
        host->publish_with(host, 0, OUT, message->body, message->len, "{\"headers\":{\"a\":\"b\"},\"priority\":3}");
        break;
    case 'b': /* outside of the message */
        host->timer(host, 0, 0, publish, NULL);
        break;
    case 'l':
        VALAWAI_INFO_LOG_PAYLOAD(host, message->body, "two\nlines");
        break;
    case 'a':
        host->query(host, VALAWAI_COMPONENTS, NULL, replied, NULL);
        break;
    case 'h':
        read_properties(message);
        break;
    case 'r':
        return VALAWAI_RETRY;
    case 'w':
        return host->explain(host, VALAWAI_WRONG, "not \x01 %s", "good");
    case 'f':
        return VALAWAI_FAILED;
    case 'T': /* answered by a timer */
        ticket = host->later(host, message);
        host->timer(host, 1, 0, answer, (void *)(uintptr_t)ticket);
        return VALAWAI_LATER;
    case 'N': /* never answered */
        host->later(host, message);
        return VALAWAI_LATER;
    default:
        break;
    }
    return VALAWAI_DONE;
}

static int received(void *self, const struct valawai_message *message)
{
    (void)self;
    int verdict = VALAWAI_DONE;
    const char *at = strstr(message->body, "\"content\":\"");
    for (at = at == NULL ? "" : at + 11; *at != '\0' && *at != '"' && verdict == VALAWAI_DONE; at++)
        verdict = act(*at, message);
    return verdict;
}

static int start(const struct valawai_host *given, void **self)
{
    const char *fails = given->option(given, "fails");
    host = given;
    *self = NULL;
    return fails == NULL ? 0 : atoi(fails);
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("fuzz"),
    .topics = TOPICS(RECEIVED("fuzz"), received),
    .start = start,
    .flags = VALAWAI_THREAD_SAFE,
};
