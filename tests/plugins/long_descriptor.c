/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Built with a later header, with more members in the descriptor: it still runs. */
#include "component.h"

struct later_plugin {
    struct valawai_plugin known;
    void (*later)(void *self);
    const char *much_later[8];
};

static int pass_on(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    return host->publish(host, PUBLISHED("long_descriptor"), message->body, message->len);
}

/* The header declares the symbol with today's type, so it gets its name behind the compiler's back. */
extern const struct later_plugin entry __asm__(VALAWAI_PLUGIN_SYMBOL) __attribute__((visibility("default")));

const struct later_plugin entry = {
    .known =
        {
            VALAWAI_PLUGIN_MAGIC,
            VALAWAI_ABI_MAJOR,
            VALAWAI_ABI_MINOR + 3,
            (uint32_t)sizeof(struct later_plugin),
            .version = "1.0.0",
            .asyncapi = DOCUMENT("long_descriptor"),
            .topics = TOPICS(RECEIVED("long_descriptor"), pass_on),
            .start = keep_host,
        },
    .much_later = {"of no concern to this host"},
};
