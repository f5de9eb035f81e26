/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An AsyncAPI document without a registered channel. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = INFO("asyncapi_unregistered") "channels:\n" CHANNEL(RECEIVED("asyncapi_unregistered"), "subscribe",
                                                                    "any") SCHEMAS,
    .topics = TOPICS(RECEIVED("asyncapi_unregistered"), ignore),
};
