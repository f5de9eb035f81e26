/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An AsyncAPI document without a byte. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = "",
    .topics = TOPICS(RECEIVED("asyncapi_empty"), ignore),
};
