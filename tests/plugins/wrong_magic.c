/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Its first member shows that it is not a plugin of this host. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_MAGIC + 1,
    VALAWAI_ABI_MAJOR,
    VALAWAI_ABI_MINOR,
    (uint32_t)sizeof(struct valawai_plugin),
    .version = "1.0.0",
    .asyncapi = DOCUMENT("wrong_magic"),
    .topics = TOPICS(RECEIVED("wrong_magic"), ignore),
};
