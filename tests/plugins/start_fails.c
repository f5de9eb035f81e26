/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A plugin that cannot run, and logs the reason. */
#include "component.h"

static int start(const struct valawai_host *host, void **self)
{
    (void)self;
    VALAWAI_ERROR_LOG(host, "the model file is missing");
    return 7;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("start_fails"),
    .topics = TOPICS(RECEIVED("start_fails"), ignore),
    .start = start,
};
