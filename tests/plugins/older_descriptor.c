/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Built with an earlier header, in which the descriptor ends with the topics: it still runs. The memory after it does
 * not belong to the descriptor. */
#include "component.h"

struct older_plugin {
    uint32_t magic, abi_major, abi_minor, size;
    const char *version;
    const char *asyncapi;
    const struct valawai_topic *topics;
};

struct in_memory {
    struct older_plugin known;
    uintptr_t behind[8]; /* called as a function, this crashes */
};

/* The header declares the symbol with today's type, so it gets its name behind the compiler's back. */
extern const struct in_memory entry __asm__(VALAWAI_PLUGIN_SYMBOL) __attribute__((visibility("default")));

const struct in_memory entry = {
    .known =
        {
            VALAWAI_PLUGIN_MAGIC,
            VALAWAI_ABI_MAJOR,
            VALAWAI_ABI_MINOR,
            (uint32_t)sizeof(struct older_plugin),
            .version = "1.0.0",
            .asyncapi = DOCUMENT("older_descriptor"),
            .topics = TOPICS(RECEIVED("older_descriptor"), ignore),
        },
    .behind = {1, 1, 1, 1, 1, 1, 1, 1},
};
