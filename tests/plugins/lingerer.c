/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Calls the host when it is too late: with how = "thread" from a thread that is not joined, else from a destructor,
 * which runs after the end of the host. */
#include "component.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct valawai_host *kept;
static bool lingers;

static void ring(void *self, void *context)
{
    (void)self;
    (void)context;
}

static void answer(void *self, const char *page, size_t len, void *context)
{
    (void)self;
    (void)page;
    (void)len;
    (void)context;
}

/* The number of calls that were not refused as too late. */
static int call_everything(void)
{
    static const char body[] = "{\"content\":\"late\"}";
    struct valawai_message message = {.size = sizeof message, .topic = RECEIVED("lingerer"), .body = body, .len = 18};
    VALAWAI_INFO_LOG(kept, "a late record");
    kept->option(kept, "how");
    return (kept->publish(kept, PUBLISHED("lingerer"), body, strlen(body)) != VALAWAI_E_STATE) +
           (kept->publish_for(kept, 1, PUBLISHED("lingerer"), body, strlen(body)) != VALAWAI_E_STATE) +
           (kept->answer(kept, 1, VALAWAI_DONE, NULL) != VALAWAI_E_STATE) + (kept->later(kept, &message) != 0) +
           (kept->json(kept, &message) != NULL) + (kept->explain(kept, VALAWAI_WRONG, "late") != VALAWAI_WRONG) +
           (kept->query(kept, VALAWAI_COMPONENTS, NULL, answer, NULL) != VALAWAI_E_STATE) +
           (kept->timer(kept, 0, 0, ring, NULL) != 0) + (kept->cancel(kept, 1) == VALAWAI_OK);
}

static void *linger(void *unused)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    (void)unused;
    for (;;) {
        VALAWAI_DEBUG_LOG(kept, "still here");
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static int start(const struct valawai_host *host, void **self)
{
    pthread_t thread;
    const char *how = host->option(host, "how");
    kept = host;
    *self = NULL;
    lingers = how != NULL && strcmp(how, "thread") == 0;
    return lingers ? pthread_create(&thread, NULL, linger, NULL) : 0;
}

__attribute__((destructor)) static void too_late(void)
{
    if (kept != NULL && !lingers)
        fprintf(stderr, "lingerer: %d late calls were answered\n", call_everything());
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("lingerer"),
    .topics = TOPICS(RECEIVED("lingerer"), ignore),
    .start = start,
};
