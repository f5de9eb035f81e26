/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/members.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "plugin/worker.h"
#include "run/parts.h"

#define LOOK_MS 20      /* between two looks at a member that starts or ends */
#define ANSWERS_MS 1000 /* before the end of the grace time, when a plugin's tickets have to be answered */

/* ---- coming ---- */

static struct member *make(struct host *host, struct plugin *plugin, struct seat *seat)
{
    struct member *member = memory_new(sizeof *member);
    member->plugin = plugin;
    member->seat = seat;
    member->component = (struct component){.plugin = plugin, .services = seat->services, .answers = &member->answers};
    host_subscribe_member(host, member);
    host->members = memory_resize(host->members, (host->member_count + 1) * sizeof *host->members);
    host->members[host->member_count++] = member;
    return member;
}

static void show(struct host *host, struct member *member)
{
    if (member->shown == NULL)
        member->shown = show_add(host->show, member->seat, &member->component);
}

void members_make(struct host *host)
{
    for (size_t i = 0; i < host->ring->seat_count; i++)
        make(host, host->plugins->at[i], host->ring->seats[i])->known = true;
}

void members_begin(struct host *host)
{
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        show(host, member);
        member->component.starting = !member->seat->started;
        member->state = member->seat->started ? MEMBER_WORKING : MEMBER_STARTING;
        for (size_t r = 0; member->component.starting && r < member->seat->route_count; r++)
            consumer_want(host->consumer, &member->seat->routes[r].subscription, false);
    }
}

void members_free(struct host *host)
{
    for (size_t i = 0; i < host->member_count; i++) {
        free(host->members[i]->path);
        free(host->members[i]);
    }
    free(host->members);
}

static void publish_topics(struct host *host, const struct contract *contract)
{
    const char **topics = memory_new((contract_topics(contract) + 1) * sizeof *topics);
    size_t count = 0;
    for (size_t i = 0; i < contract_topics(contract); i++)
        if (topic_has(contract_topic(contract, i), CONTRACT_PUBLISH))
            topics[count++] = topic_name(contract_topic(contract, i));
    publisher_add_topics(host->publisher, topics, count);
    free(topics);
}

struct member *member_add(struct host *host, struct plugin *plugin, const char *path, struct member *replaces)
{
    struct member *member = make(host, plugin, ring_add(host->ring, plugin));
    member->path = memory_text(path);
    plugins_put(host->plugins, plugin);
    publish_topics(host, plugin->contract);
    publisher_share(host->publisher, host->member_count);
    if (replaces != NULL)
        replaces->successor = member;
    else
        show(host, member);
    executor_start(member->seat->executor);
    return member;
}

static bool is_replacement(const struct host *host, const struct member *member)
{
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i]->successor == member)
            return true;
    return false;
}

/* The members of the start are known: their topics only have to be wanted. */
static void work(struct host *host, struct member *member)
{
    member->state = MEMBER_WORKING;
    member->component.starting = false;
    member->seat->waits = NULL;
    show(host, member);
    for (size_t i = 0; i < member->seat->route_count; i++) {
        struct subscription *subscription = &member->seat->routes[i].subscription;
        if (member->known)
            consumer_want(host->consumer, subscription, true);
        else
            consumer_add(host->consumer, subscription);
    }
    if (!member->known) {
        if (!member->has_registration) {
            consumer_add(host->consumer, &member->answers);
            registration_add(host->registration, &member->component);
        }
        log_info(host->log, member->plugin->name, "works: %s, version %s", member->plugin->path,
                 member->plugin->entry.version);
        reload_done(host->reload, member->plugin->name, "version %s works", member->plugin->entry.version);
    }
    member->known = true;
}

/* ---- going ---- */

void member_remove(struct host *host, struct member *member)
{
    int64_t now = clock_ms(), grace = host->settings->host.grace_seconds * 1000;
    int64_t answers = grace > ANSWERS_MS ? grace - ANSWERS_MS : grace / 2;
    if (member->state >= MEMBER_DRAINING)
        return;
    for (size_t i = 0; member->known && i < member->seat->route_count; i++) {
        consumer_remove(host->consumer, &member->seat->routes[i].subscription, now + grace);
        member->subscriptions++;
    }
    member->state = MEMBER_DRAINING;
    member->seat->waits = "the plugin is being removed";
    executor_close(member->seat->executor, now + answers);
}

/* The code of the plugin no longer runs. */
static void leave(struct host *host, struct member *member)
{
    struct member *successor = member->successor;
    member->state = MEMBER_LEAVING;
    if (!member->known)
        return;
    if (successor != NULL && strcmp(successor->plugin->for_mov, member->plugin->for_mov) == 0) {
        consumer_add(host->consumer, &successor->answers);
        registration_replace(host->registration, &member->component, &successor->component);
        successor->has_registration = true;
    } else {
        registration_remove(host->registration, &member->component);
    }
}

/* True if nothing refers to the member. The MOV's answer to a registration on its way comes first. */
static bool has_left(struct host *host, struct member *member)
{
    if (registration_has(host->registration, &member->component))
        return false;
    if (member->known && !member->forgets_answers) {
        member->forgets_answers = true;
        member->subscriptions++;
        consumer_remove(host->consumer, &member->answers, 0);
    }
    return member->subscriptions == 0 && publisher_is_done_with(host->publisher, &member->seat->services->account) &&
           !services_await_reply(member->seat->services);
}

void members_forgotten(struct host *host, const struct subscription *subscription)
{
    for (size_t i = 0; i < host->member_count; i++) {
        struct member *member = host->members[i];
        bool is_its = subscription == &member->answers;
        for (size_t r = 0; r < member->seat->route_count; r++)
            is_its = is_its || subscription == &member->seat->routes[r].subscription;
        member->subscriptions -= is_its;
    }
}

static void member_free(struct host *host, struct member *member)
{
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i]->successor == member)
            host->members[i]->successor = NULL;
    if (member->shown != NULL)
        show_remove(host->show, member->shown);
    log_info(host->log, member->plugin->name, "has ended: %s", member->plugin->path);
    if (member->successor == NULL)
        reload_done(host->reload, member->plugin->name, "removed");
    if (member->plugin->worker == NULL) { /* threads that it left behind may still call */
        ring_park(host->ring, member->seat);
    } else {
        ring_remove(host->ring, member->seat);
        plugins_drop(host->plugins, member->plugin);
    }
    free(member->path);
    free(member);
}

/* ---- what is due ---- */

static void tend_start(struct host *host, struct member *member)
{
    struct fault fault;
    enum started started = executor_started(member->seat->executor, 0, &fault);
    if (started == STARTED) {
        member->seat->started = true;
        member->seat->waits = "the plugin that it replaces has not ended";
        member->state = MEMBER_WAITING;
        for (size_t i = 0; i < host->member_count; i++)
            if (host->members[i]->successor == member)
                member_remove(host, host->members[i]);
    } else if (started == START_FAILED && member->known) { /* a plugin of the start */
        host->started = START_FAILED;
        *host->fault = fault;
    } else if (started == START_FAILED) {
        log_error(host->log, "host", "%s", fault.text);
        reload_refuse(host->reload, member->path, fault.text);
        host->refused_due = true;
        member_remove(host, member);
    }
}

/* False: the member has gone. */
static bool tend(struct host *host, struct member *member, int64_t now)
{
    switch (member->state) {
    case MEMBER_STARTING:
        tend_start(host, member);
        return true;
    case MEMBER_WAITING:
        if (!is_replacement(host, member))
            work(host, member);
        return true;
    case MEMBER_WORKING:
        return true;
    case MEMBER_DRAINING:
        if (executor_join(member->seat->executor, now))
            leave(host, member);
        return true;
    case MEMBER_LEAVING:
        executor_drop(member->seat->executor);
        return !has_left(host, member);
    }
    return true;
}

int64_t members_tend(struct host *host, int64_t now)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < host->member_count;) {
        struct member *member = host->members[i];
        enum member_state before = member->state;
        if (!tend(host, member, now)) {
            memmove(&host->members[i], &host->members[i + 1], (--host->member_count - i) * sizeof *host->members);
            member_free(host, member);
            publisher_share(host->publisher, host->member_count > 0 ? host->member_count : 1);
            due = now;
            continue;
        }
        if (member->state != before)
            due = now;
        else if (member->state != MEMBER_WORKING && due > now + LOOK_MS)
            due = now + LOOK_MS;
        i++;
    }
    return due;
}

struct consumed members_consumed(const struct host *host)
{
    struct consumed consumed = {0};
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        if (!member->known || member->state >= MEMBER_DRAINING)
            continue;
        for (size_t r = 0; r < member->seat->route_count; r++)
            consumed.up += atomic_load(&member->seat->routes[r].subscription.up);
        consumed.all += member->seat->route_count;
    }
    return consumed;
}

bool members_are_whole(const struct host *host)
{
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        const struct worker *worker = member->plugin->worker;
        if (member->known && (member->state != MEMBER_WORKING || (worker != NULL && !worker_is_up(worker))))
            return false;
    }
    return true;
}

struct member *members_find(const struct host *host, const char *component)
{
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i]->state < MEMBER_DRAINING && host->members[i]->successor == NULL &&
            strcmp(host->members[i]->plugin->name, component) == 0)
            return host->members[i];
    return NULL;
}

struct member *members_going(const struct host *host, const char *component)
{
    for (size_t i = 0; i < host->member_count; i++)
        if (host->members[i]->state >= MEMBER_DRAINING && host->members[i]->successor == NULL &&
            strcmp(host->members[i]->plugin->name, component) == 0)
            return host->members[i];
    return NULL;
}
