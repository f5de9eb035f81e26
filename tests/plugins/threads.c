/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Its handlers run on several threads at a time, and it publishes the largest number of concurrent calls. */
#include "component.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static atomic_int inside, most;

static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    const struct timespec delay = {.tv_nsec = 20000000};
    char body[64];
    int now = atomic_fetch_add(&inside, 1) + 1, known = atomic_load(&most);
    while (now > known && !atomic_compare_exchange_weak(&most, &known, now))
        ;
    nanosleep(&delay, NULL);
    if (host->json(host, message) == NULL)
        return VALAWAI_FAILED;
    int len = snprintf(body, sizeof body, "{\"content\":\"%d\"}", atomic_load(&most));
    int sent = host->publish(host, PUBLISHED("threads"), body, (size_t)len);
    atomic_fetch_sub(&inside, 1);
    return sent == VALAWAI_OK ? VALAWAI_DONE : VALAWAI_FAILED;
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("threads"),
    .topics = TOPICS(RECEIVED("threads"), received),
    .start = keep_host,
    .flags = VALAWAI_THREAD_SAFE,
};
