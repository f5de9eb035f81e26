/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Shared by the test plugins: a component receives messages on received_message and publishes on publish_message. */
#ifndef VALAWAI_TEST_COMPONENT_H
#define VALAWAI_TEST_COMPONENT_H

#include <valawai/plugin.h>

#define RECEIVED(component) "valawai/c1/" component "/data/received_message"
#define PUBLISHED(component) "valawai/c1/" component "/data/publish_message"
#define REGISTERED(component) "valawai/c1/" component "/control/registered"

#define INFO(component)                                                                                                \
    "asyncapi: '2.6.0'\n"                                                                                              \
    "info:\n"                                                                                                          \
    "  title: c1_" component "\n"                                                                                      \
    "  version: '1.0.0'\n"                                                                                             \
    "  description: A component of the tests\n"

#define CHANNEL(topic, operation, schema)                                                                              \
    "  " topic ":\n"                                                                                                   \
    "    " operation ":\n"                                                                                             \
    "      message:\n"                                                                                                 \
    "        payload:\n"                                                                                               \
    "          $ref: '#/components/schemas/" schema "'\n"

#define SCHEMAS                                                                                                        \
    "components:\n"                                                                                                    \
    "  schemas:\n"                                                                                                     \
    "    any:\n"                                                                                                       \
    "      type: object\n"                                                                                             \
    "      properties:\n"                                                                                              \
    "        content: {type: string}\n"                                                                                \
    "    registered:\n"                                                                                                \
    "      type: object\n"                                                                                             \
    "      properties:\n"                                                                                              \
    "        id: {type: string}\n"                                                                                     \
    "        name: {type: string}\n"                                                                                   \
    "        description: {type: string}\n"                                                                            \
    "        version: {type: string}\n"                                                                                \
    "        api_version: {type: string}\n"                                                                            \
    "        type: {type: string, enum: [C0, C1, C2]}\n"                                                               \
    "        since: {type: integer}\n"                                                                                 \
    "        channels: {type: array, items: {type: object, properties: {name: {type: string}}}}\n"

#define DOCUMENT(component)                                                                                            \
    INFO(component)                                                                                                    \
    "channels:\n" CHANNEL(REGISTERED(component), "subscribe", "registered")                                            \
        CHANNEL(RECEIVED(component), "subscribe", "any") CHANNEL(PUBLISHED(component), "publish", "any") SCHEMAS

/* clang-format off */
#define TOPICS(name, handler) (const struct valawai_topic[]){VALAWAI_TOPIC(name, handler), VALAWAI_TOPICS_END}
/* clang-format on */

static inline int keep_host(const struct valawai_host *host, void **self)
{
    *self = (void *)host;
    return 0;
}

/* A handler for plugins with other behaviour. */
static inline int ignore(void *self, const struct valawai_message *message)
{
    (void)self;
    (void)message;
    return VALAWAI_DONE;
}

#endif
