/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/thread.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/backoff.h"

/* Whatever `ulimit -s` says, which is 8 MiB mostly: a check of a value and a schema that are nested as deep as they may
 * be takes up to 1 MiB of it, and a plugin's author expects what a program has. */
#define STACK_SIZE ((size_t)8 << 20)

pthread_t thread_start(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    size_t size = 0;
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_getstacksize(&attributes, &size) != 0)
        abort();
    if (size < STACK_SIZE && pthread_attr_setstacksize(&attributes, STACK_SIZE) != 0)
        abort();
    if (pthread_create(&thread, &attributes, run, argument) != 0)
        abort();
    pthread_attr_destroy(&attributes);
    return thread;
}

bool thread_join(pthread_t thread, int64_t until_ms)
{
    /* By the wall clock, because ThreadSanitizer does not know the variant for the monotonic one. */
    int64_t left = until_ms - clock_ms();
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t nanoseconds = until.tv_nsec + (left > 0 ? left : 0) * 1000000;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

/* The directory has one link more for each. Without /proc nobody is seen. */
static unsigned long count_now(void)
{
    struct stat tasks;
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 2 ? tasks.st_nlink - 2 : 1;
}

static void *do_nothing(void *argument)
{
    return argument;
}

unsigned long thread_count(void)
{
    unsigned long count = count_now();
    pthread_join(thread_start(do_nothing, NULL), NULL);
    return thread_few(count) ? count : count_now();
}

bool thread_few(unsigned long count)
{
    const struct timespec moment = {.tv_nsec = 100000};
    for (int looks = 1000; looks > 0 && count_now() > count; looks--)
        nanosleep(&moment, NULL);
    return count_now() <= count;
}
