/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A descriptor that ends before its topics. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_MAGIC,
    VALAWAI_ABI_MAJOR,
    VALAWAI_ABI_MINOR,
    (uint32_t)offsetof(struct valawai_plugin, topics),
    .version = "1.0.0",
    .asyncapi = DOCUMENT("short_descriptor"),
    .topics = TOPICS(RECEIVED("short_descriptor"), ignore),
};
