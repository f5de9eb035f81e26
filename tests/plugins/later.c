/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers every message on another thread, `milliseconds` after its arrival. The content selects the answer; most
 * contents are echoed. */
#include "component.h"

#include <json-c/json.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct job {
    struct job *next;
    uint64_t ticket;
    const char *body, *content; /* valid until the ticket is answered */
    size_t len;
    uint32_t attempt;
};

struct later {
    const struct valawai_host *host;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    bool stopping;
    long milliseconds;
};

static bool is(const struct job *job, const char *content)
{
    return strcmp(job->content, content) == 0;
}

static void do_job(const struct valawai_host *host, const struct job *job)
{
    static const char topic[] = PUBLISHED("later");
    uint64_t ticket = job->ticket;
    if (is(job, "never")) {
        return;
    } else if (is(job, "wrong")) {
        host->answer(host, ticket, VALAWAI_WRONG, "we do not like it");
    } else if (is(job, "again") && job->attempt < 3) {
        host->publish_for(host, ticket, topic, "{\"content\":\"not this one\"}", 26);
        host->answer(host, ticket, VALAWAI_RETRY, NULL);
    } else if (is(job, "no verdict")) {
        host->answer(host, ticket, 7, NULL);
    } else if (is(job, "undeclared")) {
        int error = host->publish_for(host, ticket, "valawai/c1/other/data/x", job->body, job->len);
        host->answer(host, ticket, error == VALAWAI_E_TOPIC ? VALAWAI_DONE : VALAWAI_FAILED, NULL);
    } else if (is(job, "off the thread")) {
        struct valawai_message message = {.size = sizeof message, .body = job->body, .len = job->len};
        bool refused = host->json(host, &message) == NULL && host->later(host, &message) == 0;
        host->answer(host, ticket, refused ? VALAWAI_DONE : VALAWAI_FAILED, NULL);
    } else {
        bool twice = is(job, "twice");
        int sent = host->publish_for(host, ticket, topic, job->body, job->len);
        int answered = host->answer(host, ticket, sent == VALAWAI_OK ? VALAWAI_DONE : VALAWAI_FAILED, NULL);
        if (twice && answered == VALAWAI_OK &&
            (host->answer(host, ticket, VALAWAI_DONE, NULL) != VALAWAI_E_STATE ||
             host->publish_for(host, ticket, topic, "{}", 2) != VALAWAI_E_STATE))
            VALAWAI_ERROR_LOG(host, "a ticket was answered twice");
    }
}

static void *work(void *argument)
{
    struct later *later = argument;
    struct timespec delay = {.tv_sec = later->milliseconds / 1000, .tv_nsec = later->milliseconds % 1000 * 1000000};
    pthread_mutex_lock(&later->lock);
    for (;;) {
        while (later->first == NULL && !later->stopping)
            pthread_cond_wait(&later->changed, &later->lock);
        struct job *job = later->first;
        if (job == NULL)
            break;
        later->first = job->next;
        if (later->first == NULL)
            later->last = &later->first;
        pthread_mutex_unlock(&later->lock);
        nanosleep(&delay, NULL);
        do_job(later->host, job);
        free(job);
        pthread_mutex_lock(&later->lock);
    }
    pthread_mutex_unlock(&later->lock);
    return NULL;
}

static int received(void *self, const struct valawai_message *message)
{
    struct later *later = self;
    const struct valawai_host *host = later->host;
    struct json_object *content = NULL;
    struct job *job = calloc(1, sizeof *job);
    json_object_object_get_ex(host->json(host, message), "content", &content);
    job->content = json_object_get_string(content);
    job->body = message->body;
    job->len = message->len;
    job->attempt = message->attempt;
    VALAWAI_DEBUG_LOG(host, "received %s", job->content);
    if (is(job, "no ticket")) {
        free(job);
        return VALAWAI_LATER;
    }
    job->ticket = host->later(host, message);
    if (host->later(host, message) != job->ticket)
        VALAWAI_ERROR_LOG(host, "two tickets for one message");
    if (is(job, "at once")) { /* answered before the handler returns */
        do_job(host, job);
        free(job);
        return VALAWAI_LATER;
    }
    if (is(job, "after all") || is(job, "both")) { /* and another verdict than LATER */
        bool both = is(job, "both");
        host->publish(host, PUBLISHED("later"), job->body, job->len);
        if (both)
            host->answer(host, job->ticket, VALAWAI_DONE, NULL);
        free(job);
        return both ? VALAWAI_FAILED : VALAWAI_DONE;
    }
    pthread_mutex_lock(&later->lock);
    *later->last = job;
    later->last = &job->next;
    pthread_cond_signal(&later->changed);
    pthread_mutex_unlock(&later->lock);
    return VALAWAI_LATER;
}

static int start(const struct valawai_host *host, void **self)
{
    static struct later later = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    const char *milliseconds = host->option(host, "milliseconds");
    later.host = host;
    later.last = &later.first;
    later.milliseconds = milliseconds != NULL ? strtol(milliseconds, NULL, 10) : 0;
    *self = &later;
    return pthread_create(&later.thread, NULL, work, &later);
}

static void stop(void *self)
{
    struct later *later = self;
    pthread_mutex_lock(&later->lock);
    later->stopping = true;
    pthread_cond_signal(&later->changed);
    pthread_mutex_unlock(&later->lock);
    pthread_join(later->thread, NULL);
}

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = "1.0.0",
    .asyncapi = DOCUMENT("later"),
    .topics = TOPICS(RECEIVED("later"), received),
    .start = start,
    .stop = stop,
};
