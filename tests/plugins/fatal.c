/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Ends the process in the way that a message's content names. */
#include "component.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static volatile int depth_max = 1 << 30; /* the stack ends before */

static volatile int *volatile nowhere;

static int overflow(int depth)
{
    volatile char here[4096] = {0};
    return depth == depth_max ? 0 : here[0] + overflow(depth + 1) + here[1];
}

static void *end_the_process(void *argument)
{
    exit(argument == NULL ? 0 : 1);
}

static int received(void *self, const struct valawai_message *message)
{
    const struct valawai_host *host = self;
    if (strstr(message->body, "crash") != NULL)
        *nowhere = 0;
    if (strstr(message->body, "abort") != NULL)
        abort();
    if (strstr(message->body, "exit") != NULL)
        exit(0);
    if (strstr(message->body, "leave") != NULL)
        pthread_exit(NULL);
    if (strstr(message->body, "thread") != NULL) {
        pthread_t thread;
        pthread_create(&thread, NULL, end_the_process, NULL);
        pthread_join(thread, NULL);
    }
    if (strstr(message->body, "overflow") != NULL)
        return overflow(0);
    return host->publish(host, PUBLISHED("fatal"), message->body, message->len);
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("fatal"),
    .topics = TOPICS(RECEIVED("fatal"), received),
    .start = keep_host,
};
