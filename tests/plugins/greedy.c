/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Takes more than its share of what a message's content names. */
#include "component.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MB 1000000
#define BOMB_MAX 5000 /* processes in all, for a limit that does not hold */

static void wait_forever(void)
{
    for (;;)
        pause();
}

/* 10 MB in a second. */
static void leak(void)
{
    for (;; usleep(100000))
        memset(malloc(MB), 1, MB);
}

/* Faster than anyone looks; without a check, as plugins do it. */
static void grab(void)
{
    for (;;)
        *(volatile char *)malloc((size_t)64 * MB) = 1;
}

static void open_files(void)
{
    while (open("/dev/null", O_RDONLY) >= 0)
        continue;
    wait_forever();
}

static void bomb(void)
{
    atomic_int *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    while (atomic_fetch_add(made, 1) < BOMB_MAX)
        (void)!fork();
    wait_forever();
}

static void spin(void)
{
    static volatile size_t turns;
    for (;;)
        turns++;
}

/* A process that leaves the group of its worker. */
static void leave_group(void)
{
    if (fork() == 0) {
        setsid();
        wait_forever();
    }
}

static int received(void *self, const struct valawai_message *message)
{
    static const struct {
        const char *word;
        void (*act)(void);
    } acts[] = {{"leak", leak}, {"grab", grab}, {"files", open_files},
                {"bomb", bomb}, {"spin", spin}, {"daemon", leave_group}};
    const struct valawai_host *host = self;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strstr(message->body, acts[i].word) != NULL)
            acts[i].act();
    return host->publish(host, PUBLISHED("greedy"), message->body, message->len);
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("greedy"),
    .topics = TOPICS(RECEIVED("greedy"), received),
    .start = keep_host,
};
