/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A library that starts a thread while it is loaded, like OpenMP, Go and others, and takes CONSTRUCTOR_MS for it. Its
 * component passes messages on. */
#include "component.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void *stay(void *unused)
{
    for (;;)
        pause();
    return unused;
}

__attribute__((constructor)) static void make_thread(void)
{
    const char *taken = getenv("CONSTRUCTOR_MS");
    long ms = taken == NULL ? 0 : strtol(taken, NULL, 10);
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    pthread_t thread;
    pthread_create(&thread, NULL, stay, NULL);
    while (nanosleep(&left, &left) != 0)
        continue;
}

static int pass_on(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    return host->publish(host, PUBLISHED("constructor"), message->body, message->len) == VALAWAI_OK ? VALAWAI_DONE
                                                                                                    : VALAWAI_FAILED;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("constructor"),
    .topics = TOPICS(RECEIVED("constructor"), pass_on),
    .start = keep_host,
};
