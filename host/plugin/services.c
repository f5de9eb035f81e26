/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "message/counts.h"
#include "plugin/parts.h"

void services_give_notice(struct services *services, struct notice *notice)
{
    queue_put(&services->notices, &notice->node);
    atomic_store(&services->noticed, true);
    if (services->waking != NULL)
        queue_wake(services->waking);
}

void services_concluded(struct handling *handling)
{
    services_give_notice(handling->services, &handling->notice);
}

void services_notify(struct services *services, struct notice *notice, void *self)
{
    const struct valawai_plugin *entry = &services->options.plugin->entry;
    if (notice->kind == NOTICE_ID) {
        struct id_notice *changed = (struct id_notice *)notice;
        if (changed->id != NULL && entry->registered != NULL)
            entry->registered(self, changed->id);
        else if (changed->id == NULL && entry->unregistered != NULL)
            entry->unregistered(self);
        free(changed->id);
        free(notice);
    } else {
        query_replied(services, (struct plugin_query *)notice, self);
    }
}

const struct valawai_host *services_give_table(struct services *services)
{
    services->given = true;
    return &services->table;
}

void services_begin_running(struct services *services)
{
    atomic_store(&services->running, true);
}

enum validate services_validate(const struct services *services)
{
    return services->validate;
}

struct timers *services_timers(struct services *services)
{
    return &services->timers;
}

void services_wake(struct services *services, struct queue *waking)
{
    services->waking = waking;
}

bool services_has_notices(const struct services *services)
{
    return atomic_load(&services->noticed);
}

struct list services_take_notices(struct services *services)
{
    atomic_store(&services->noticed, false);
    return queue_take(&services->notices);
}

void services_end_running(struct services *services)
{
    pthread_mutex_lock(&services->lock);
    atomic_store(&services->running, false);
    pthread_mutex_unlock(&services->lock);
}

static size_t topics_of(const struct contract *contract)
{
    return contract == NULL ? 0 : contract_topics(contract);
}

/* Aligned, so that the threads write to different cache lines. */
static struct counts *make_counts(const struct services_options *options)
{
    size_t count = topics_of(options->plugin->contract) + topics_of(options->mov) + 1;
    struct counts *counts = memory_got(aligned_alloc(alignof(struct counts), count * sizeof *counts));
    memset(counts, 0, count * sizeof *counts);
    return counts;
}

struct counts *services_counts(const struct services *services, const struct contract_topic *topic, bool of_mov)
{
    return &services->counts[topic_index(topic) + (of_mov ? topics_of(services->options.plugin->contract) : 0)];
}

static struct services *all_gone; /* reachable, so that a leak checker does not report them */

struct services *services_new(const struct services_options *options)
{
    struct services *services = memory_new(sizeof *services);
    const struct plugin_section *section = options->plugin->section;
    services->table = services_calls;
    services->table.impl = services;
    services->options = *options;
    services->validate = section == NULL ? VALIDATE_STRICT : section->validate;
    services->counts = make_counts(options);
    pthread_mutex_init(&services->lock, NULL);
    timers_init(&services->timers);
    queue_init(&services->notices, false);
    return services;
}

void services_free(struct services *services)
{
    if (services == NULL)
        return;
    struct list notices = queue_take(&services->notices);
    for (struct node *node; (node = list_take(&notices)) != NULL;) {
        struct notice *notice = (struct notice *)node;
        if (notice->kind == NOTICE_REPLY) {
            query_free((struct plugin_query *)notice);
            continue;
        }
        if (notice->kind == NOTICE_ID)
            free(((struct id_notice *)notice)->id);
        free(notice);
    }
    queue_destroy(&services->notices);
    timers_destroy(&services->timers);
    free(services->tickets);
    free(services->counts);
    text_free(&services->id_member);
    pthread_mutex_destroy(&services->lock);
    if (!services->given || services->options.plugin->worker != NULL) {
        free(services);
        return;
    }
    services->table = services_gone;
    services->next_gone = all_gone;
    all_gone = services;
}

void services_set_id(struct services *services, const char *id)
{
    pthread_mutex_lock(&services->lock);
    bool changed = strcmp(services->id, id == NULL ? "" : id) != 0;
    snprintf(services->id, sizeof services->id, "%s", id == NULL ? "" : id);
    text_clear(&services->id_member);
    if (services->id[0] != '\0') {
        text_puts(&services->id_member, ",\"component_id\":");
        text_put_json(&services->id_member, services->id, strlen(services->id));
    }
    pthread_mutex_unlock(&services->lock);
    if (!changed)
        return;
    struct id_notice *notice = memory_new(sizeof *notice);
    notice->notice.kind = NOTICE_ID;
    notice->id = memory_text(id);
    services_give_notice(services, &notice->notice);
}
