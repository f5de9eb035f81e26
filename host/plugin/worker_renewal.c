/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Another file of the plugin takes over. */
#include "plugin/worker_parts.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/memory.h"

void successor_free(struct successor *successor)
{
    if (successor == NULL)
        return;
    options_free(successor->options);
    free(successor->version);
    free(successor->path);
    free(successor);
}

void worker_end_renewal(struct worker *worker, const char *why)
{
    struct successor *successor = worker->successor;
    worker->successor = NULL;
    if (worker->use.renewed != NULL && !worker_is_closing(worker))
        worker->use.renewed(worker->use.context, worker->plugin, why == NULL ? successor->version : NULL, why);
    successor_free(successor);
}

void successor_discard(struct successor *successor)
{
    if (successor == NULL)
        return;
    process_release(successor->process);
    free(successor->process);
    successor_free(successor);
}

static void take_successor(struct worker *worker)
{
    struct successor *offered = atomic_exchange(&worker->offered, NULL);
    if (offered == NULL)
        return;
    if (worker->next != NULL) { /* a newer file: the other one has not taken over yet */
        process_end(worker->next);
        successor_free(worker->successor);
    }
    offered->process->life = ++worker->lives;
    worker->next = offered->process;
    worker->successor = offered;
}

static void take_over(struct worker *worker)
{
    struct successor *successor = worker->successor;
    worker_set_current(worker, worker->next);
    worker->next = NULL;
    options_free(worker->options);
    worker->options = successor->options;
    worker->limits = successor->limits;
    free(worker->path);
    worker->path = successor->path;
    successor->path = NULL;
    successor->options = NULL;
    backoff_reset(&worker->backoff);
    worker_went_up(worker);
    worker_end_renewal(worker, NULL);
}

void worker_drained(struct process *process)
{
    struct worker *worker = process->worker;
    if (process != worker->now || worker->next == NULL || worker->next->state != UP)
        return; /* the host stops, or the successor has failed: the end of the process follows */
    process_return_all(process, false, "");
    worker->last = process;
    take_over(worker);
}

void worker_tend_successor(struct worker *worker, int64_t now)
{
    take_successor(worker);
    if (worker->next == NULL || worker->next->state != UP)
        return;
    if (worker->now == NULL)
        take_over(worker);
    else if (worker->now->state < UP)
        process_condemn(worker->now, SIGKILL, "%s", "another file of the plugin takes over");
    else if (worker->now->state == UP && worker->last == NULL)
        process_close(worker->now, now + worker->use.grace_ms, now);
}

bool worker_can_renew(const struct worker *worker, const struct worker *other)
{
    return about_is_same(&worker->about, &other->about);
}

void worker_renew(struct worker *worker, struct plugin *plugin)
{
    struct worker *other = plugin->worker;
    struct successor *successor = memory_new(sizeof *successor);
    successor->process = other->now;
    successor->process->worker = worker;
    successor->options = plugin->options;
    successor->limits = other->limits;
    successor->path = memory_text(other->path);
    successor->version = memory_text(other->about.version);
    worker_set_current(other, NULL);
    plugin->options = NULL;
    plugin_free(plugin);
    successor_discard(atomic_exchange(&worker->offered, successor));
    eventfd_write(worker->wake, 1);
    if (atomic_load(&worker->started))
        queue_wake(worker->services->waking);
}
