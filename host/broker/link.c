/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/link.h"

#include "base/thread.h"

#define SAID_EVERY 60 /* attempts */

struct link_pause link_failed(struct link *link, enum opened opened, int64_t began, int64_t now)
{
    const struct broker *broker = link->broker;
    if ((link->has_been_connected || !link->is_first_bounded) && opened == OPEN_REFUSED)
        return (struct link_pause){
            .is_said = true, /* the pauses keep this rare */
            .until_ms = now + backoff_next(&link->refusals),
        };
    if (link->has_been_connected || !link->is_first_bounded)
        return (struct link_pause){
            .is_said = link->attempt % SAID_EVERY == 1,
            .until_ms = began + backoff_next(&link->backoff), /* the duration of the attempt counts as a pause */
        };
    return (struct link_pause){
        .gives_up = opened == OPEN_REFUSED || link->attempt >= broker->max_retries,
        .is_said = true,
        .until_ms = now + (int64_t)broker->retry_sleep * 1000,
    };
}

static void say(const struct link *link, const char *why)
{
    const char *name = link->name != NULL ? link->name : "", *colon = link->name != NULL ? ": " : "";
    if (link->has_been_connected || !link->is_first_bounded)
        log_warning(link->log, "host", "%s%s%s; attempt %ld, trying on", name, colon, why, link->attempt);
    else
        log_warning(link->log, "host", "%s%s%s; attempt %ld of %d", name, colon, why, link->attempt,
                    link->broker->max_retries);
}

/* False: another attempt is useless. */
static bool connect_once(struct link *link)
{
    struct fault fault;
    int64_t began = clock_ms();
    link->attempt++;
    enum opened opened = connection_open(link->connection, &fault);
    if (opened == OPENED && link->events->suits != NULL && !link->events->suits(link->context, &fault)) {
        connection_close(link->connection);
        opened = OPEN_REFUSED;
    }
    if (opened == OPENED) {
        link->attempt = 0;
        backoff_reset(&link->refusals);
        link->has_been_connected = true;
        if (link->events->connected != NULL)
            link->events->connected(link->context);
        return true;
    }
    if (atomic_load(link->stopping)) /* the stop has ended the attempt */
        return false;
    struct link_pause pause = link_failed(link, opened, began, clock_ms());
    if (pause.gives_up) {
        struct fault why;
        fault_set(&why, opened == OPEN_REFUSED ? "%s" : "%s; gave up after %ld attempt(s)", fault.text, link->attempt);
        link->events->gave_up(link->context, why.text);
        return false;
    }
    if (pause.is_said)
        say(link, fault.text);
    link->events->rest(link->context, pause.until_ms);
    return true;
}

void link_run(struct link *link)
{
    thread_name(link->events->thread);
    link->backoff = connection_backoff(link->broker);
    link->refusals = (struct backoff){.first_ms = 1000, .last_ms = 30000};
    while (!atomic_load(link->stopping) && connect_once(link)) {
        if (!connection_is_open(link->connection))
            continue;
        link->events->serve(link->context);
        link->events->rest(link->context, clock_ms() + connection_pause(link->connection, &link->backoff));
    }
}
