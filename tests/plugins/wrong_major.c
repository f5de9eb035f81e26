/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Built for a host of another major version. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_MAGIC,
    VALAWAI_ABI_MAJOR + 76,
    VALAWAI_ABI_MINOR,
    (uint32_t)sizeof(struct valawai_plugin),
    .version = "1.0.0",
    .asyncapi = DOCUMENT("wrong_major"),
    .topics = TOPICS(RECEIVED("wrong_major"), ignore),
};
