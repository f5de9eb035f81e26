/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/outlets.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static struct outlet *find(const struct outlets *outlets, const char *topic)
{
    for (size_t i = 0; i < outlets->count; i++)
        if (strcmp(outlets->at[i]->topic, topic) == 0)
            return outlets->at[i];
    return NULL;
}

static void add(struct outlets *outlets, const char *topic, bool wanted)
{
    if (find(outlets, topic) != NULL)
        return;
    struct outlet *outlet = memory_new(sizeof *outlet);
    *outlet =
        (struct outlet){.topic = memory_text(topic), .wanted = wanted, .backoff = {.first_ms = 1000, .last_ms = 30000}};
    outlets->at = memory_resize(outlets->at, (outlets->count + 1) * sizeof(struct outlet *));
    outlets->at[outlets->count++] = outlet;
}

void outlets_init(struct outlets *outlets, const char *const *topics, size_t count)
{
    *outlets = (struct outlets){0};
    for (size_t i = 0; i < count; i++)
        add(outlets, topics[i], false);
}

void outlets_free(struct outlets *outlets)
{
    for (size_t i = 0; i < outlets->count; i++) {
        free(outlets->at[i]->topic);
        free(outlets->at[i]);
    }
    free(outlets->at);
    *outlets = (struct outlets){0};
}

void outlets_add(struct outlets *outlets, const char *topic)
{
    add(outlets, topic, true);
}

void outlets_want_all(struct outlets *outlets)
{
    for (size_t i = 0; i < outlets->count; i++) {
        outlets->at[i]->wanted = true;
        outlets->at[i]->retry_at = 0;
    }
}

bool outlets_want(struct outlets *outlets, const char *topic)
{
    struct outlet *outlet = find(outlets, topic);
    if (outlet != NULL)
        outlet->wanted = true;
    return outlet != NULL;
}

const char *outlets_ask(struct outlets *outlets, int64_t now)
{
    for (size_t i = 0; i < outlets->count && outlets->asked == NULL; i++) {
        struct outlet *outlet = outlets->at[i];
        if (!outlet->wanted || now < outlet->retry_at)
            continue;
        outlets->asked = outlet;
        return outlet->topic;
    }
    return NULL;
}

const char *outlets_answer(struct outlets *outlets)
{
    struct outlet *outlet = outlets->asked;
    outlets->asked = NULL;
    outlet->wanted = outlet->complained = false;
    backoff_reset(&outlet->backoff);
    return outlet->topic;
}

const char *outlets_refuse(struct outlets *outlets, int64_t now, bool *first)
{
    struct outlet *outlet = outlets->asked;
    outlets->asked = NULL;
    outlet->retry_at = now + backoff_next(&outlet->backoff);
    *first = !outlet->complained;
    outlet->complained = true;
    return outlet->topic;
}

void outlets_lose(struct outlets *outlets)
{
    outlets->asked = NULL;
}

bool outlets_prepared(const struct outlets *outlets)
{
    for (size_t i = 0; i < outlets->count; i++)
        if (outlets->at[i]->wanted && outlets->at[i]->retry_at == 0)
            return false;
    return outlets->asked == NULL;
}

int64_t outlets_due(const struct outlets *outlets)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < outlets->count; i++)
        if (outlets->at[i]->wanted && outlets->at[i]->retry_at < due)
            due = outlets->at[i]->retry_at;
    return due;
}

enum refusal outlets_note_refusal(struct outlets *outlets, struct publication *publication, bool refused)
{
    if (refused == publication->refused)
        return REFUSAL_SAME;
    publication->refused = refused;
    struct outlet *outlet = find(outlets, publication->topic);
    if (outlet == NULL)
        return REFUSAL_SAME;
    bool refuses = outlet->refused > 0;
    outlet->refused += refused ? 1 : (size_t)-1;
    if (refused)
        return refuses ? REFUSAL_SAME : REFUSAL_BEGINS;
    return outlet->refused == 0 ? REFUSAL_ENDS : REFUSAL_SAME;
}
