/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "plugin/worker.h"
#include "run/parts.h"

/* ---- plugins that cannot run ---- */

static void show_refused(void *context, const char *path, const char *why)
{
    struct host *host = context;
    host->refused = memory_resize(host->refused, (host->refused_count + 1) * sizeof(struct shown *));
    host->refused[host->refused_count++] = show_add_refused(host->show, path, why);
}

static void ignore(void *context, const char *path, const char *why)
{
    (void)context, (void)path, (void)why;
}

void changes_show_refused(struct host *host)
{
    host->refused_due = !reload_refused(host->reload, ignore, NULL);
    if (host->refused_due) /* those of before stay until the reload has ended */
        return;
    for (size_t i = 0; i < host->refused_count; i++)
        show_remove(host->show, host->refused[i]);
    host->refused_count = 0;
    (void)reload_refused(host->reload, show_refused, host);
}

void changes_free(struct host *host)
{
    free(host->refused);
}

/* ---- a plan ---- */

/* True if another component has the name or a topic of the plugin. */
static bool clashes(const struct host *host, const struct plugin *plugin, const struct member *replaced,
                    struct fault *fault)
{
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        bool goes = member->state >= MEMBER_DRAINING || member == replaced || member->successor != NULL;
        if (!goes && !plugins_agree(plugin, member->plugin, fault))
            return true;
    }
    return false;
}

/* A process can take over if nothing else of the plugin changes. */
static bool can_take_over(const struct plugin *old, const struct plugin *new)
{
    const struct plugin_section *one = old->section, *other = new->section;
    bool same = one == NULL || other == NULL ? one == other
                                             : one->threads == other->threads && one->prefetch == other->prefetch &&
                                                   one->attempts == other->attempts && one->validate == other->validate;
    bool in_workers = old->worker != NULL && new->worker != NULL;
    return same && in_workers && worker_can_renew(old->worker, new->worker);
}

static struct member *bring(struct host *host, struct step *step, struct member *replaced)
{
    struct plugin *plugin = step->plugin;
    struct fault fault;
    step->plugin = NULL;
    if (replaced == NULL) /* it may have gone just now */
        replaced = members_going(host, plugin->name);
    if (!clashes(host, plugin, replaced, &fault))
        return member_add(host, plugin, step->path, replaced);
    reload_refuse(host->reload, step->path, fault.text);
    plugin_free(plugin);
    return NULL;
}

static void renew(struct host *host, struct step *step)
{
    struct member *member = members_find(host, step->component);
    if (member == NULL) { /* the plugin has never run */
        bring(host, step, NULL);
    } else if (can_take_over(member->plugin, step->plugin)) {
        worker_renew(member->plugin->worker, step->plugin);
        step->plugin = NULL;
    } else {
        bring(host, step, member);
    }
}

/* The member of the plugin's component, if the plan removes its file: the file was renamed. Steps that remove come
 * first in a plan. */
static struct member *renamed(struct host *host, const struct plan *plan, const struct plugin *plugin)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct step *step = &plan->steps[i];
        if (step->change != CHANGE_REMOVE || strcmp(step->component, plugin->name) != 0)
            continue;
        reload_done(host->reload, plugin->name, "its file is %s now", plugin->path);
        return members_find(host, plugin->name);
    }
    return NULL;
}

/* Also removes a member that waits to replace this one. */
static void remove_component(struct host *host, const char *component)
{
    bool goes = false;
    for (size_t i = 0; i < host->member_count; i++) {
        if (strcmp(host->members[i]->plugin->name, component) != 0)
            continue;
        member_remove(host, host->members[i]);
        goes = true;
    }
    if (!goes)
        reload_done(host->reload, component, "removed");
}

static void apply(struct host *host, struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct step *step = &plan->steps[i];
        if (step->change == CHANGE_ADD && step->plugin != NULL)
            bring(host, step, renamed(host, plan, step->plugin));
        else if (step->change == CHANGE_RENEW && step->plugin != NULL)
            renew(host, step);
    }
    for (size_t i = 0; i < plan->count; i++) {
        const struct step *step = &plan->steps[i];
        if (step->change == CHANGE_REMOVE && step->state == STEP_UNDER_WAY)
            remove_component(host, step->component);
        if (step->state == STEP_FAILED)
            log_error(host->log, "host", "reload: %s: %s", step->path, step->text.at);
    }
}

int64_t changes_tend(struct host *host, int64_t now)
{
    struct plan *plan = reload_take(host->reload);
    if (plan != NULL) {
        apply(host, plan);
        host->refused_due = true;
    }
    if (host->refused_due)
        changes_show_refused(host);
    return reload_tend(host->reload, now);
}

void changes_renewed(struct host *host, const struct plugin *plugin, const char *version, const char *why)
{
    struct member *member = members_find(host, plugin->name);
    if (member == NULL)
        return;
    if (version != NULL) {
        if (member->shown != NULL)
            show_version(host->show, member->shown, version);
        log_info(host->log, plugin->name, "another file has taken over: %s, version %s", plugin->path, version);
        reload_done(host->reload, plugin->name, "version %s has taken over", version);
    } else {
        log_error(host->log, plugin->name, "another file cannot take over, and the one before it goes on: %s: %s",
                  plugin->path, why);
        reload_failed(host->reload, plugin->name, "%s; the file before it goes on", why);
    }
}
