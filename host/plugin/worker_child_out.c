/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_child_out: what a worker sends. All of its threads write frames into one buffer. The executor's thread sends
 * it before it sleeps, and whenever a millisecond has passed: so many small frames leave at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "plugin/worker_child_parts.h"

#define BUFFER_MAX (1 << 18) /* bytes that are sent at once */
#define FREE_MAX 64          /* publications outside of a handler that the host has not taken yet */
#define PAYLOAD_MAX (2 << 20)

struct text *child_begin(struct child *child)
{
    pthread_mutex_lock(&child->lock);
    if (child->out.len == 0)
        child->out_since = clock_ms();
    return &child->out;
}

static void send_all(struct child *child)
{
    pthread_mutex_lock(&child->write_lock);
    pthread_mutex_lock(&child->lock);
    struct text full = child->out;
    child->out = child->sending;
    child->sending = full;
    pthread_mutex_unlock(&child->lock);
    for (size_t at = 0; at < full.len;) {
        ssize_t sent = send(child->socket, full.at + at, full.len - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            child_end_now();
        at += sent > 0 ? (size_t)sent : 0;
    }
    text_clear(&child->sending);
    if (child->sending.room > 4 * (size_t)BUFFER_MAX)
        text_free(&child->sending);
    pthread_mutex_unlock(&child->write_lock);
}

void child_send_last(void *context)
{
    struct child *child = context;
    if (pthread_mutex_trylock(&child->write_lock) != 0 || pthread_mutex_trylock(&child->lock) != 0)
        return;
    size_t at = 0;
    for (ssize_t sent = 1; sent > 0 && at<child->out.len; at += sent> 0 ? (size_t)sent : 0)
        sent = send(child->socket, child->out.at + at, child->out.len - at, MSG_NOSIGNAL);
}

void child_end(struct child *child, bool waits)
{
    bool is_full = child->out.len > BUFFER_MAX;
    pthread_mutex_unlock(&child->lock);
    if (!waits || is_full)
        send_all(child);
}

void child_send_if_late(struct child *child)
{
    pthread_mutex_lock(&child->lock);
    bool late = child->out.len > 0 && clock_ms() != child->out_since;
    pthread_mutex_unlock(&child->lock);
    if (late)
        send_all(child);
}

static bool in_handler(const struct child *child)
{
    return child->services != NULL && handling_in(child->services);
}

void child_on_record(void *context, int level, const char *file, int line, const char *payload, const char *text)
{
    static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    struct child *child = context;
    const struct delivery *delivery = in_handler(child) ? handling_current->delivery : NULL;
    const char *slash = file == NULL ? NULL : strrchr(file, '/');
    size_t len = payload == NULL ? 0 : strlen(payload), text_len = strlen(text);
    bool same = payload != NULL && delivery != NULL && payload == delivery->body && len == delivery->len;
    if (len > PAYLOAD_MAX)
        len = text_cut(payload, len, PAYLOAD_MAX);
    if (text_len > PAYLOAD_MAX)
        text_len = text_cut(text, text_len, PAYLOAD_MAX);
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_LOG);
    frame_number(out, delivery == NULL ? 0 : delivery->tag);
    frame_word(out, levels[level]);
    frame_number(out, line > 0 ? (uint64_t)line : 0);
    frame_word(out, slash == NULL ? file : slash + 1);
    frame_number(out, text_len);
    if (same)
        frame_same(out);
    else if (payload != NULL)
        frame_number(out, len);
    frame_end(out);
    frame_part(out, text, text_len);
    if (payload != NULL && !same)
        frame_part(out, payload, len);
    child_end(child, delivery != NULL);
}

void child_on_note(void *context, enum log_level level, const char *name, const char *said)
{
    struct child *child = context;
    (void)name;
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_NOTE);
    frame_word(out, log_level_name(level));
    frame_end_with(out, said);
    child_end(child, false);
}

static void put_publication(struct text *out, uint64_t number, const struct publication *publication,
                            const struct delivery *delivery)
{
    bool same = delivery != NULL && publication->len == delivery->len &&
                memcmp(publication->body, delivery->body, delivery->len) == 0;
    frame_begin(out, FRAME_PUB);
    frame_number(out, number);
    frame_word(out, publication->topic);
    if (same)
        frame_same(out);
    else
        frame_number(out, publication->len);
    if (publication->properties.len > 0)
        frame_number(out, publication->properties.len);
    frame_end(out);
    if (!same)
        frame_part(out, publication->body, publication->len);
    if (publication->properties.len > 0)
        frame_part(out, publication->properties.at, publication->properties.len);
}

static enum frame_kind frame_of(int verdict)
{
    switch (verdict) {
    case VALAWAI_DONE:
        return FRAME_DONE;
    case VALAWAI_RETRY:
        return FRAME_RETRY;
    case VALAWAI_WRONG:
        return FRAME_WRONG;
    default:
        return FRAME_FAILED;
    }
}

static void set_place(struct child *child, const struct delivery *delivery, enum place_state state)
{
    atomic_store_explicit(&child->page->places[delivery->tag % WORKER_PLACES], (unsigned char)state,
                          memory_order_relaxed);
}

/* [executor's thread] */
static void on_judged(void *context, struct handling *handling)
{
    struct child *child = context;
    const struct delivery *delivery = handling->delivery;
    set_place(child, delivery, PLACE_JUDGED);
    struct text *out = child_begin(child);
    if (handling->verdict == VALAWAI_DONE)
        for (const struct node *node = handling->publications.head; node != NULL; node = node->next)
            put_publication(out, delivery->tag, (const struct publication *)node, delivery);
    frame_begin(out, frame_of(handling->verdict));
    frame_number(out, delivery->tag);
    if (handling->verdict == VALAWAI_DONE)
        frame_end(out);
    else
        frame_end_with(out, handling->reason);
    child_end(child, true);
    atomic_fetch_sub(&child->in_hand, 1);
    child_send_if_late(child);
}

/* [executor's thread] */
static void on_postponed(void *context, const struct delivery *delivery)
{
    struct child *child = context;
    set_place(child, delivery, PLACE_WAITS);
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_AGAIN);
    frame_number(out, delivery->tag);
    frame_number(out, delivery->attempt + 1);
    frame_end(out);
    child_end(child, false);
}

/* [the thread that calls] */
static void on_calling(void *context, const struct delivery *delivery, bool begins)
{
    struct child *child = context;
    set_place(child, delivery, begins ? PLACE_CALLED : PLACE_OPEN);
}

/* [executor's thread] */
static void on_started(void *context)
{
    struct child *child = context;
    struct fault fault;
    char answer[16];
    if (executor_started(child->executor, 0, &fault) == START_FAILED)
        atomic_store(&child->start_failed, true);
    snprintf(answer, sizeof answer, "%d", executor_start_answer(child->executor));
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_STARTED);
    frame_word(out, answer);
    frame_end(out);
    child_end(child, false);
}

static void on_drained(void *context)
{
    struct text *out = child_begin(context);
    frame_begin(out, FRAME_DRAINED);
    frame_end(out);
    child_end(context, false);
}

const struct executor_events child_events = {.started = on_started,
                                             .drained = on_drained,
                                             .judged = on_judged,
                                             .postponed = on_postponed,
                                             .calling = on_calling};

bool child_on_send(void *context, struct list *publications)
{
    struct child *child = context;
    struct text *out = child_begin(child);
    while (child->free_sent >= FREE_MAX && !child->stopped)
        pthread_cond_wait(&child->room, &child->lock);
    bool takes = !child->stopped;
    if (takes && child->out.len == 0)
        child->out_since = clock_ms();
    for (struct node *node = publications->head; takes && node != NULL; node = node->next) {
        put_publication(out, 0, (const struct publication *)node, NULL);
        child->free_sent++;
    }
    child_end(child, false);
    if (takes)
        list_free(publications);
    return takes;
}

void child_on_flush(void *context)
{
    struct child *child = context;
    pthread_mutex_lock(&child->lock);
    bool any = child->out.len > 0;
    pthread_mutex_unlock(&child->lock);
    if (any)
        send_all(child);
}

void child_on_asked(void *context, struct plugin_query *query)
{
    struct child *child = context;
    struct query_number *numbered = memory_new(sizeof *numbered);
    struct text *out = child_begin(child);
    *numbered = (struct query_number){.next = child->queries, .number = ++child->last_query, .query = query};
    child->queries = numbered;
    frame_begin(out, FRAME_QUERY);
    frame_number(out, numbered->number);
    frame_word(out, query->what == VALAWAI_COMPONENTS ? "components" : "connections");
    frame_number(out, strlen(query->text));
    frame_end(out);
    frame_part(out, query->text, strlen(query->text));
    child_end(child, false);
}
