/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A component that also handles the echo plugin's topic. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = INFO("same_topic") "channels:\n" CHANNEL(REGISTERED("same_topic"), "subscribe", "registered")
        CHANNEL(RECEIVED("same_topic"), "subscribe", "any") CHANNEL(RECEIVED("echo"), "subscribe", "any") SCHEMAS,
    .topics =
        (const struct valawai_topic[]){
            {RECEIVED("same_topic"), ignore, {0}},
            {RECEIVED("echo"), ignore, {0}},
            {0},
        },
};
