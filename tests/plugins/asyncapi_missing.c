/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * No AsyncAPI document. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = NULL,
    .topics = TOPICS(RECEIVED("asyncapi_missing"), ignore),
};
