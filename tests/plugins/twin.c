/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Another component with the echo plugin's name. */
#include "component.h"

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("echo"),
    .topics = TOPICS(RECEIVED("echo"), ignore),
};
