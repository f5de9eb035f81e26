/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mov/health.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/thread.h"

#define LOOK_MS 1000  /* between two checks that the files still exist */
#define REMOVE_MS 200 /* for the removal of the files, when the thread waits for the disk */

struct health {
    struct files *files; /* the thread's, once it runs */
    bool started;
    pthread_t thread;
    void (*written)(void *context);
    void *context;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* by the monotonic clock */
    bool ending;
    uint64_t said, done;  /* number of requests, and of those that the files reflect */
    char *text;           /* the latest text … */
    uint64_t text_said;   /* … and its request */
    struct legacy legacy; /* the latest one, until the thread takes it */
    bool legacy_said;
    bool legacy_empty;
};

struct health *health_new(const char *directory, const char *file_name, struct log *log)
{
    struct health *health = memory_new(sizeof *health);
    pthread_condattr_t attributes;
    health->files = files_new(directory, file_name, log);
    health->legacy_empty = true;
    pthread_mutex_init(&health->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&health->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return health;
}

bool health_lock(struct health *health, struct fault *fault)
{
    return files_lock(health->files, fault);
}

struct legacy health_left_behind(struct health *health)
{
    struct legacy left = files_left_behind(health->files);
    health->legacy_empty = left.id_count == 0 && left.pending_count == 0;
    return left;
}

/* Writes the latest contents. The lock is held, but not during the write. */
static void write_said(struct health *health)
{
    uint64_t number = health->said;
    char *text = memory_text(health->text);
    struct legacy legacy = health->legacy;
    bool legacy_said = health->legacy_said;
    health->legacy = (struct legacy){0};
    health->legacy_said = false;
    pthread_mutex_unlock(&health->lock);

    if (legacy_said)
        files_keep(health->files, legacy);
    files_show(health->files, text);
    free(text);

    pthread_mutex_lock(&health->lock);
    health->done = number;
}

static void *health_run(void *argument)
{
    struct health *health = argument;
    thread_name("vh-health");
    pthread_mutex_lock(&health->lock);
    while (!health->ending || health->done != health->said) {
        if (health->done != health->said) {
            write_said(health);
            pthread_mutex_unlock(&health->lock);
            health->written(health->context);
            pthread_mutex_lock(&health->lock);
            continue;
        }
        int64_t look_at = clock_ms() + LOOK_MS;
        struct timespec until = {.tv_sec = (time_t)(look_at / 1000), .tv_nsec = (long)(look_at % 1000) * 1000000};
        pthread_cond_timedwait(&health->changed, &health->lock, &until);
        if (health->ending || health->done != health->said)
            continue;
        pthread_mutex_unlock(&health->lock);
        files_restore(health->files);
        pthread_mutex_lock(&health->lock);
    }
    pthread_mutex_unlock(&health->lock);
    return NULL;
}

void health_start(struct health *health, void (*written)(void *context), void *context)
{
    health->written = written;
    health->context = context;
    health->started = true;
    health->thread = thread_start(health_run, health);
}

/* The lock is held; releases it. */
static uint64_t say(struct health *health)
{
    uint64_t number = ++health->said;
    if (health->started)
        pthread_cond_signal(&health->changed);
    else
        write_said(health);
    pthread_mutex_unlock(&health->lock);
    return number;
}

void health_show(struct health *health, const char *text)
{
    pthread_mutex_lock(&health->lock);
    if (text == NULL ? health->text == NULL : health->text != NULL && strcmp(text, health->text) == 0) {
        pthread_mutex_unlock(&health->lock);
        return;
    }
    free(health->text);
    health->text = memory_text(text);
    health->text_said = health->said + 1;
    say(health);
}

bool health_is_shown(struct health *health)
{
    pthread_mutex_lock(&health->lock);
    bool shown = health->text != NULL && health->done >= health->text_said;
    pthread_mutex_unlock(&health->lock);
    return shown;
}

uint64_t health_keep(struct health *health, struct legacy legacy)
{
    pthread_mutex_lock(&health->lock);
    legacy_free(&health->legacy);
    health->legacy = legacy;
    health->legacy_said = true;
    health->legacy_empty = legacy.id_count == 0 && legacy.pending_count == 0;
    return say(health);
}

bool health_is_kept(struct health *health, uint64_t number)
{
    pthread_mutex_lock(&health->lock);
    bool kept = health->done >= number;
    pthread_mutex_unlock(&health->lock);
    return kept;
}

static void *remove_files(void *argument)
{
    thread_name("vh-health");
    files_remove(argument);
    return NULL;
}

bool health_stop(struct health *health, int64_t until_ms)
{
    if (!health->started)
        return true;
    pthread_mutex_lock(&health->lock);
    health->ending = true;
    bool nothing_left = health->text == NULL && health->legacy_empty;
    pthread_cond_signal(&health->changed);
    pthread_mutex_unlock(&health->lock);
    if (thread_join(health->thread, until_ms))
        return true;
    /* The disk hangs. Nothing remains at the MOV, so the files need no writing, and a removal may succeed where a write
     * does not. */
    if (nothing_left)
        (void)!thread_join(thread_start(remove_files, health->files), clock_ms() + REMOVE_MS);
    return false;
}

void health_free(struct health *health)
{
    if (health == NULL)
        return;
    files_free(health->files);
    pthread_cond_destroy(&health->changed);
    pthread_mutex_destroy(&health->lock);
    legacy_free(&health->legacy);
    free(health->text);
    free(health);
}
