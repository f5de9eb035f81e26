/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mov/queries.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

#define FOREIGN_MS 100 /* that an answer to somebody else stays with us at most */

static const char *const topics[] = {
    [QUERY_COMPONENTS] = "valawai/component/query",
    [QUERY_CONNECTIONS] = "valawai/topology/query",
};

struct queries {
    struct publisher *publisher;
    struct consumer *consumer;
    struct subscription *pages[2];
    bool listening[2]; /* what the consumer was last told of them */
    struct query *open;
    bool publishing;
    char name[20];             /* of this process, in every id: an answer that comes too late is still known as ours */
    unsigned long last_number; /* never starts over, for the same reason */
    struct list foreign;       /* answers to others, to be put back … */
    int64_t foreign_until;     /* … then */
};

struct queries *queries_new(struct publisher *publisher)
{
    struct queries *queries = memory_new(sizeof *queries);
    uint64_t number = 0;
    queries->publisher = publisher;
    while (getrandom(&number, sizeof number, 0) != sizeof number)
        continue;
    snprintf(queries->name, sizeof queries->name, "%016llx", (unsigned long long)number);
    return queries;
}

void queries_use(struct queries *queries, struct consumer *consumer, struct subscription *const pages[2])
{
    queries->consumer = consumer;
    memcpy(queries->pages, pages, sizeof queries->pages);
}

/* Takes it out of the list. */
static void end(struct queries *queries, struct query *query)
{
    struct query **place = &queries->open;
    while (*place != NULL && *place != query)
        place = &(*place)->next;
    if (*place != NULL)
        *place = query->next;
    free(query->body);
    query->body = NULL;
}

void queries_free(struct queries *queries)
{
    if (queries == NULL)
        return;
    while (queries->open != NULL) { /* whoever asked is told that there is no answer */
        struct query *query = queries->open;
        end(queries, query);
        query->answered(query->context, query, NULL, 0, NULL);
    }
    list_free(&queries->foreign);
    free(queries);
}

static void send(struct queries *queries, struct query *query)
{
    struct publication *publication = publication_new(topics[query->about], query->body, strlen(query->body));
    query->sent = true;
    publisher_send_urgent(queries->publisher, publication);
}

void queries_ask(struct queries *queries, struct query *query, const char *members)
{
    struct text body = {0};
    query->number = ++queries->last_number;
    query->until = clock_ms() + query->patience_ms;
    query->sent = false;
    query->next = queries->open;
    queries->open = query;
    text_printf(&body, "{\"id\":\"%s-%lu\"", queries->name, query->number);
    const char *first = members + strspn(members, " \t\r\n{");
    text_printf(&body, "%s%s", first[0] == '}' ? "" : ",", first);
    query->body = body.at;
}

void queries_cancel(struct queries *queries, struct query *query)
{
    if (query->body != NULL)
        end(queries, query);
}

/* The number of an answer to this process, or 0. */
static unsigned long number_of(const struct queries *queries, struct json_object *page)
{
    struct json_object *id = NULL;
    size_t len = strlen(queries->name);
    if (!json_object_object_get_ex(page, "query_id", &id) || !json_object_is_type(id, json_type_string))
        return 0;
    const char *text = json_object_get_string(id);
    return strncmp(text, queries->name, len) == 0 && text[len] == '-' ? strtoul(text + len + 1, NULL, 10) : 0;
}

void queries_paged(struct queries *queries, struct delivery *delivery)
{
    struct fault fault;
    struct json_object *page = NULL;
    struct list one = {0};
    if (delivery->refused == 0 && json_is_object(delivery->body, delivery->len, &fault))
        page = json_read(json_thread_reader(), delivery->body, delivery->len);
    unsigned long number = number_of(queries, page);
    if (number == 0) {
        delivery->settlement = SETTLE_PUT_BACK;
        if (queries->foreign.head == NULL)
            queries->foreign_until = clock_ms() + FOREIGN_MS;
        list_put(&queries->foreign, &delivery->node);
        json_object_put(page);
        return;
    }
    struct query *query = queries->open;
    while (query != NULL && query->number != number)
        query = query->next;
    if (query != NULL) {
        end(queries, query);
        query->answered(query->context, query, delivery->body, delivery->len, page);
    }
    json_object_put(page);
    delivery->settlement = SETTLE_ACKNOWLEDGE;
    list_put(&one, &delivery->node);
    consumer_settle(queries->consumer, &one);
}

void queries_connected(struct queries *queries, bool publishing)
{
    queries->publishing = publishing;
}

/* Asks what can be heard, gives up what took too long; when there is something to do again. */
static int64_t see_to(struct queries *queries, int64_t now)
{
    int64_t next = now + 1000;
    for (struct query *query = queries->open, *after; query != NULL; query = after) {
        after = query->next;
        if (now >= query->until) {
            end(queries, query);
            query->answered(query->context, query, NULL, 0, NULL);
            return now; /* it may have asked again, or cancelled others */
        }
        if (!query->sent && queries->publishing && atomic_load(&queries->pages[query->about]->up))
            send(queries, query);
        if (query->until < next)
            next = query->until;
    }
    return next;
}

int64_t queries_tend(struct queries *queries, int64_t now)
{
    int64_t next;
    bool wanted[2] = {false};
    do
        next = see_to(queries, now);
    while (next <= now);
    for (const struct query *query = queries->open; query != NULL; query = query->next)
        wanted[query->about] = true;
    for (int i = 0; i < 2; i++)
        if (wanted[i] != queries->listening[i])
            consumer_want(queries->consumer, queries->pages[i], queries->listening[i] = wanted[i]);
    if (queries->foreign.head != NULL && ((!wanted[0] && !wanted[1]) || now >= queries->foreign_until))
        consumer_settle(queries->consumer, &queries->foreign);
    if (queries->foreign.head != NULL && queries->foreign_until < next)
        next = queries->foreign_until;
    return next;
}
