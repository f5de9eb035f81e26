/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "thread.h"

#include <stdlib.h>
#include <time.h>

#include "backoff.h"

pthread_t thread_start(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        abort();
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
