/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An AsyncAPI document that is not YAML. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = "asyncapi: [2.6.0\nchannels: {",
    .topics = TOPICS(RECEIVED("asyncapi_not_yaml"), ignore),
};
