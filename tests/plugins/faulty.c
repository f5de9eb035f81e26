/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plugins with one fault each, which the build selects (FAULT_…). */
#include "component.h"

#define NAME "faulty"

#if defined(FAULT_VERSION_SHORT)
#define VERSION "1.0"
#elif defined(FAULT_VERSION_WORDS)
#define VERSION "1.0.0-rc1"
#elif defined(FAULT_VERSION_MISSING)
#define VERSION NULL
#else
#define VERSION "1.0.0"
#endif

static const struct valawai_topic topics[] = {
#if defined(FAULT_NO_HANDLER)
    VALAWAI_TOPIC(RECEIVED(NAME), NULL),
#elif defined(FAULT_UNKNOWN_TOPIC)
    VALAWAI_TOPIC("valawai/c1/" NAME "/data/unheard_of", ignore),
#elif defined(FAULT_PUBLISHED_TOPIC)
    VALAWAI_TOPIC(PUBLISHED(NAME), ignore),
#elif defined(FAULT_REGISTERED_TOPIC)
    VALAWAI_TOPIC(REGISTERED(NAME), ignore),
#elif defined(FAULT_TOPIC_TWICE)
    VALAWAI_TOPIC(RECEIVED(NAME), ignore),
    VALAWAI_TOPIC(RECEIVED(NAME), ignore),
#else
    VALAWAI_TOPIC(RECEIVED(NAME), ignore),
#endif
    VALAWAI_TOPICS_END,
};

#if defined(FAULT_CONSTRUCTOR_CRASHES) || defined(FAULT_CONSTRUCTOR_EXITS) || defined(FAULT_CONSTRUCTOR_HANGS)
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void at_load(void)
{
#if defined(FAULT_CONSTRUCTOR_CRASHES)
    static volatile int *volatile nowhere;
    *nowhere = 1; /* NOLINT(clang-analyzer-core.NullDereference): the fault that is tested */
#elif defined(FAULT_CONSTRUCTOR_EXITS)
    exit(5);
#else
    for (;;)
        pause();
#endif
}
#endif

#if defined(FAULT_OTHER_JSON)
/* Like another JSON library with json-c's names. */
__attribute__((visibility("default"))) void *json_object_get(void *object);
__attribute__((visibility("default"))) void *json_object_get(void *object)
{
    return object;
}
#endif

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD, .version = VERSION, .asyncapi = DOCUMENT(NAME), .topics = topics,
#if defined(FAULT_NEEDS_MINOR)
    .needs_minor = 7,
#endif
};
