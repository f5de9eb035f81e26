/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/thread.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/backoff.h"
#include "base/locale.h"
#include "base/log.h"
#include "base/memory.h"

/* Independent of `ulimit -s`, which is usually 8 MiB. The deepest check takes up to 1 MiB, and authors of plugins
 * expect the stack of a program. */
#define STACK_SIZE ((size_t)8 << 20)

struct beginning {
    void *(*run)(void *argument);
    void *argument;
    sem_t begun;
};

static void *begin(void *argument)
{
    struct beginning *ours = argument;
    struct beginning beginning = {.run = ours->run, .argument = ours->argument};
    sem_post(&ours->begun);
    locale_hold();
    return beginning.run(beginning.argument);
}

pthread_t thread_start(void *(*run)(void *argument), void *argument)
{
    struct beginning beginning = {.run = run, .argument = argument};
    pthread_t thread;
    sem_init(&beginning.begun, 0, 0);
    pthread_attr_t attributes;
    size_t size = 0;
    int error = pthread_attr_init(&attributes);
    if (error == 0)
        error = pthread_attr_getstacksize(&attributes, &size);
    if (error == 0 && size < STACK_SIZE)
        error = pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (error == 0)
        error = pthread_create(&thread, &attributes, begin, &beginning);
    if (error != 0)
        log_fatal("cannot start a thread: %s; see ulimit -u, ulimit -v and the pids limit of the container",
                  strerror(error));
    pthread_attr_destroy(&attributes);
    /* Until then the thread holds locks of the allocator of a sanitizer, and a child that is forked now would find them
     * locked. */
    while (sem_wait(&beginning.begun) != 0)
        continue;
    return thread;
}

#define NAME_MAX_BYTES 15 /* the kernel's limit */

void thread_name(const char *name)
{
    char cut[NAME_MAX_BYTES + 1];
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(pthread_self(), cut);
}

#if defined __SANITIZE_THREAD__
#define THREAD_SANITIZER 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

bool thread_join(pthread_t thread, int64_t until_ms)
{
#ifdef THREAD_SANITIZER /* ThreadSanitizer does not support pthread_clockjoin_np() */
    const struct timespec moment = {.tv_nsec = 1000000};
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        if (clock_ms() >= until_ms)
            return false;
        nanosleep(&moment, NULL);
    }
    return true;
#else
    const struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0;
#endif
}

/* The directory has one link for each thread and two more. Without /proc the count is 1. */
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
    return thread_wait_down_to(count) ? count : count_now();
}

bool thread_wait_down_to(unsigned long count)
{
    const struct timespec moment = {.tv_nsec = 100000};
    for (int looks = 1000; looks > 0 && count_now() > count; looks--)
        nanosleep(&moment, NULL);
    return count_now() <= count;
}
