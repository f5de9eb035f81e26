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

#define HOLD_MS 1000       /* an answer to another program is held while ours is pending … */
#define REST_FIRST_MS 1000 /* … and then the queue is not consumed for this time, which grows */
#define REST_LAST_MS 8000

static const char *const topics[] = {
    [QUERY_COMPONENTS] = "valawai/component/query",
    [QUERY_CONNECTIONS] = "valawai/topology/query",
};

/* A queue on which the MOV answers. */
struct page_queue {
    struct subscription *subscription;
    bool listening;      /* the last command to the consumer */
    struct list foreign; /* answers to other programs … */
    int64_t put_back_at; /* … which return to the queue then */
    int64_t resting_until;
    int64_t rest_ms;
};

struct queries {
    struct publisher *publisher;
    struct sender sender; /* of answers that are published anew */
    uint32_t renew_at;    /* returns after which an answer to another is; 0: never */
    struct consumer *consumer;
    struct page_queue pages[QUERY_ABOUT_COUNT];
    struct query *open;
    bool publishing;
    char name[20];             /* of this process, in every id, so that a late answer is recognised */
    unsigned long last_number; /* never restarts, for the same reason */
};

struct queries *queries_new(struct publisher *publisher, uint32_t delivery_limit, struct sender sender)
{
    struct queries *queries = memory_new(sizeof *queries);
    uint64_t number = 0;
    queries->publisher = publisher;
    queries->sender = sender;
    queries->renew_at = (delivery_limit + 1) / 2;
    while (getrandom(&number, sizeof number, 0) != sizeof number)
        continue;
    snprintf(queries->name, sizeof queries->name, "%016llx", (unsigned long long)number);
    return queries;
}

void queries_use(struct queries *queries, struct consumer *consumer,
                 struct subscription *const pages[QUERY_ABOUT_COUNT])
{
    queries->consumer = consumer;
    for (int about = 0; about < QUERY_ABOUT_COUNT; about++)
        queries->pages[about].subscription = pages[about];
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
    while (queries->open != NULL) { /* ended without an answer */
        struct query *query = queries->open;
        end(queries, query);
        query->answered(query->context, query, NULL, 0, NULL);
    }
    for (int about = 0; about < QUERY_ABOUT_COUNT; about++)
        deliveries_drop(&queries->pages[about].foreign);
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
    struct page_queue *pages = &queries->pages[query->about];
    query->number = ++queries->last_number;
    query->until = clock_ms() + query->patience_ms;
    query->sent = false;
    query->next = queries->open;
    queries->open = query;
    text_printf(&body, "{\"id\":\"%s-%lu\"", queries->name, query->number);
    const char *first = members + strspn(members, " \t\r\n{");
    text_printf(&body, "%s%s", first[0] == '}' ? "" : ",", first);
    query->body = body.at;
    pages->resting_until = pages->rest_ms = 0; /* an answer may come */
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

/* Holds an answer to another program, without its body: there may be many. */
static void hold(struct queries *queries, struct delivery *delivery)
{
    struct page_queue *pages = queries->pages;
    while (pages->subscription != delivery->from)
        pages++;
    delivery->settlement = SETTLE_PUT_BACK;
    delivery = delivery_empty(delivery);
    if (pages->foreign.head == NULL)
        pages->put_back_at = clock_ms() + HOLD_MS;
    list_put(&pages->foreign, &delivery->node);
}

/* To the end of its queue, where the broker counts anew: RabbitMQ 4.0 counts every look at a message of a quorum queue,
 * and drops the message at the delivery limit. The broker confirms the copy before it loses the original. */
static void renew(struct queries *queries, struct delivery *delivery)
{
    struct publication *publication = publication_new(delivery->from->topic, delivery->body, delivery->len);
    publication->sender = &queries->sender;
    publication->cause = delivery;
    delivery->unconfirmed = 1;
    publisher_send_urgent(queries->publisher, publication);
}

bool queries_confirmed(struct queries *queries, struct publication *publication)
{
    struct list one = {0};
    if (publication->sender != &queries->sender)
        return false;
    struct delivery *delivery = publication->cause;
    delivery->settlement = publication->outcome == OUTCOME_CONFIRMED ? SETTLE_ACKNOWLEDGE : SETTLE_PUT_BACK;
    list_put(&one, &delivery->node);
    consumer_settle(queries->consumer, &one);
    free(publication);
    return true;
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
        json_object_put(page);
        if (queries->renew_at > 0 && delivery->returns >= queries->renew_at && delivery->refused == 0)
            renew(queries, delivery);
        else
            hold(queries, delivery);
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

/* Sends the queries that can be answered, and ends those that took too long. Returns when to call again. */
static int64_t tend_open(struct queries *queries, int64_t now)
{
    int64_t next = now + 1000;
    for (struct query *query = queries->open, *after; query != NULL; query = after) {
        after = query->next;
        if (now >= query->until) {
            end(queries, query);
            query->answered(query->context, query, NULL, 0, NULL);
            return now; /* the callback may have made or cancelled queries */
        }
        if (!query->sent && queries->publishing && atomic_load(&queries->pages[query->about].subscription->up))
            send(queries, query);
        if (query->until < next)
            next = query->until;
    }
    return next;
}

/* Consumes the queue, or not. Returns when to call again. */
static int64_t tend_pages(struct queries *queries, struct page_queue *pages, bool awaited, int64_t now)
{
    if (awaited && pages->foreign.head != NULL && now >= pages->put_back_at) {
        pages->rest_ms = pages->rest_ms == 0 ? REST_FIRST_MS : 2 * pages->rest_ms;
        pages->rest_ms = pages->rest_ms > REST_LAST_MS ? REST_LAST_MS : pages->rest_ms;
        pages->resting_until = now + pages->rest_ms;
    }
    bool wanted = awaited && now >= pages->resting_until;
    if (wanted != pages->listening)
        consumer_want(queries->consumer, pages->subscription, pages->listening = wanted);
    if (!wanted && pages->foreign.head !=
                       NULL) /* after the end of the subscription; otherwise the broker would deliver them here again */
        consumer_settle(queries->consumer, &pages->foreign);
    if (pages->foreign.head != NULL)
        return pages->put_back_at;
    return awaited && !wanted ? pages->resting_until : INT64_MAX;
}

int64_t queries_tend(struct queries *queries, int64_t now)
{
    int64_t next;
    bool awaited[QUERY_ABOUT_COUNT] = {false};
    do
        next = tend_open(queries, now);
    while (next <= now);
    for (const struct query *query = queries->open; query != NULL; query = query->next)
        awaited[query->about] = true;
    for (int about = 0; about < QUERY_ABOUT_COUNT; about++) {
        int64_t due = tend_pages(queries, &queries->pages[about], awaited[about], now);
        next = due < next ? due : next;
    }
    return next;
}
