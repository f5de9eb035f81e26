/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tickets: messages that are answered later, on any thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "plugin/parts.h"

/* A ticket consists of its place in the table and the number of uses of that place, so an old ticket never equals a new
 * one. */
#define TICKET(place, use) ((uint64_t)(use) << 32 | ((uint64_t)(place) + 1))

/* The caller holds the lock. NULL: the ticket is answered, is unknown, or is too late. */
static struct ticket *find_ticket(struct services *services, uint64_t number)
{
    size_t place = (size_t)(number & UINT32_MAX) - 1;
    if (place >= services->ticket_count || atomic_load(&services->ended))
        return NULL;
    struct ticket *ticket = &services->tickets[place];
    return ticket->handling != NULL && ticket->use == number >> 32 ? ticket : NULL;
}

/* The caller holds the lock; readers do not. */
static void note_open(struct services *services, int more)
{
    unsigned open = atomic_load_explicit(&services->open, memory_order_relaxed);
    atomic_store_explicit(&services->open, open + (unsigned)more, memory_order_relaxed);
}

/* The caller holds the lock. */
static uint64_t new_ticket(struct services *services, struct handling *handling)
{
    size_t place = services->first_free;
    while (place < services->ticket_count && services->tickets[place].handling != NULL)
        place++;
    if (place == services->ticket_count) {
        size_t count = 2 * services->ticket_count + 8;
        services->tickets = memory_resize(services->tickets, count * sizeof *services->tickets);
        memset(&services->tickets[place], 0, (count - place) * sizeof *services->tickets);
        services->ticket_count = count;
    }
    services->first_free = place + 1;
    services->tickets[place].handling = handling;
    handling->ticket = TICKET(place, ++services->tickets[place].use);
    handling->since = clock_ms();
    note_open(services, 1);
    return handling->ticket;
}

/* The caller holds the lock. */
static void end_ticket(struct services *services, struct ticket *ticket)
{
    size_t place = (size_t)(ticket - services->tickets);
    ticket->handling->ticket = 0;
    note_open(services, -1);
    ticket->handling = NULL;
    if (place < services->first_free)
        services->first_free = place;
}

uint64_t serve_later(const struct valawai_host *host, const struct valawai_message *message)
{
    struct services *services = services_of(host);
    if (!handling_is_of(services, message)) {
        services_misuse(services, "later() is for the message in hand, on the thread of its handler");
        return 0;
    }
    uint64_t number = 0;
    pthread_mutex_lock(&services->lock);
    handling_current->shared = true;
    if (handling_current->ticket != 0)
        number = handling_current->ticket;
    else if (!handling_current->answered)
        number = new_ticket(services, handling_current);
    pthread_mutex_unlock(&services->lock);
    if (number == 0)
        services_misuse(services, "later() for a message that is already answered");
    return number;
}

static int no_ticket(struct services *services, const char *function)
{
    char rule[160];
    if (atomic_load(&services->ended))
        return VALAWAI_E_STATE;
    snprintf(rule, sizeof rule, "%s() with a ticket that later() did not return, or that is already answered",
             function);
    services_misuse(services, rule);
    return VALAWAI_E_STATE;
}

int publish_for_ticket(struct services *services, uint64_t number, struct publication *publication,
                       const char *function)
{
    pthread_mutex_lock(&services->lock);
    struct ticket *ticket = find_ticket(services, number);
    if (ticket != NULL)
        list_put(&ticket->handling->publications, &publication->node);
    pthread_mutex_unlock(&services->lock);
    if (ticket != NULL)
        return VALAWAI_OK;
    free(publication);
    return no_ticket(services, function);
}

int serve_publish_for(const struct valawai_host *host, uint64_t number, const char *topic, const char *body, size_t len)
{
    struct services *services = services_of(host);
    int error;
    struct publication *publication =
        publication_make(services, topic, body, len, (struct properties){0}, !atomic_load(&services->ended), &error);
    return publication == NULL ? error : publish_for_ticket(services, number, publication, "publish_for");
}

int serve_answer(const struct valawai_host *host, uint64_t number, int verdict, const char *reason)
{
    struct services *services = services_of(host);
    pthread_mutex_lock(&services->lock);
    struct ticket *ticket = find_ticket(services, number);
    struct handling *handling = ticket == NULL ? NULL : ticket->handling;
    struct verdict_name name;
    if (handling != NULL) {
        if (reason != NULL)
            handling_explain(handling, "%s", reason);
        if (!is_verdict(verdict)) {
            handling_explain(handling, "the ticket was answered with %s", verdict_name(verdict, &name));
            verdict = VALAWAI_FAILED;
        }
        end_ticket(services, ticket);
        handling->verdict = verdict;
        handling->answered = true;
        if (handling->returned) /* under the lock, because services_end_tickets() may end it */
            services_concluded(handling);
    }
    pthread_mutex_unlock(&services->lock);
    return handling == NULL ? no_ticket(services, "answer") : VALAWAI_OK;
}

bool services_leave(struct handling *handling)
{
    struct services *services = handling->services;
    if (handling->held)
        return true;
    pthread_mutex_lock(&services->lock);
    bool waits = handling->ticket != 0, answered = handling->answered;
    handling->returned = waits;
    pthread_mutex_unlock(&services->lock);
    if (!waits && !answered) {
        services_misuse(services, "a handler returned VALAWAI_LATER without a ticket of later()");
        handling_explain(handling, "the handler returned VALAWAI_LATER without a ticket of later()");
        handling->verdict = VALAWAI_FAILED;
    }
    return waits;
}

void services_revoke(struct handling *handling)
{
    struct services *services = handling->services;
    pthread_mutex_lock(&services->lock);
    struct ticket *ticket = find_ticket(services, handling->ticket);
    if (ticket != NULL)
        end_ticket(services, ticket);
    bool answered = handling->answered;
    pthread_mutex_unlock(&services->lock);
    if (answered)
        services_misuse(services, "a handler answered a ticket and returned a verdict other than VALAWAI_LATER");
}

void services_end_tickets(struct services *services)
{
    pthread_mutex_lock(&services->lock);
    atomic_store(&services->ended, true);
    pthread_mutex_unlock(&services->lock);
}

size_t services_open(struct services *services, int64_t *since, const char **topic)
{
    size_t open = 0;
    pthread_mutex_lock(&services->lock);
    for (size_t i = 0; i < services->ticket_count; i++) {
        const struct handling *handling = services->tickets[i].handling;
        if (handling == NULL)
            continue;
        if (open++ == 0 || handling->since < *since) {
            *since = handling->since;
            *topic = handling->delivery->from->topic;
        }
    }
    pthread_mutex_unlock(&services->lock);
    return open;
}

void services_set_open(struct services *services, size_t open)
{
    atomic_store_explicit(&services->open, (unsigned)open, memory_order_relaxed);
}
