/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * queries: asks the MOV about components and connections. The MOV answers on two queues that all components share, so
 * the host consumes them only while an answer is pending, and returns the answers to others. It holds each of those
 * meanwhile and returns it once. A broker that counts returns drops a message after some twenty, so the host publishes
 * an answer again when half of them are used up.
 *
 * All functions belong to the control thread. */
#ifndef MOV_QUERIES_H
#define MOV_QUERIES_H

#include "broker/consumer.h"
#include "broker/publisher.h"

enum query_about { QUERY_COMPONENTS, QUERY_CONNECTIONS };
#define QUERY_ABOUT_COUNT 2

/* The queue on which the MOV answers the queries of all programs about components. */
#define COMPONENT_PAGES_TOPIC "valawai/component/page"

struct json_object;

/* One query. Belongs to the caller until queries_ask(), then to this room until answered has been called. */
struct query {
    enum query_about about;
    int64_t patience_ms; /* time for the answer, from queries_ask() on */

    /* Receives the page (body, len, and parsed), or NULL without an answer. May make another query. */
    void (*answered)(void *context, struct query *query, const char *body, size_t len, struct json_object *page);
    void *context;

    struct query *next; /* this room's, as are: */
    unsigned long number;
    int64_t until;
    bool sent;
    char *body; /* a JSON object, with the id */
};

struct queries;

/* publisher and consumer must outlive it. pages: the subscriptions of the two shared queues, in the order of enum
 * query_about. */
struct queries *queries_new(struct publisher *publisher, uint32_t delivery_limit, struct sender sender);
void queries_use(struct queries *queries, struct consumer *consumer,
                 struct subscription *const pages[QUERY_ABOUT_COUNT]);
void queries_free(struct queries *queries);

/* members: a JSON object without an id. */
void queries_ask(struct queries *queries, struct query *query, const char *members);

/* Cancels the query, if it is open; answered is not called. A late answer is acknowledged and ignored.
 * */
void queries_cancel(struct queries *queries, struct query *query);

/* Events. */
void queries_paged(struct queries *queries, struct delivery *delivery);
/* False: the publication belongs to another sender. */
bool queries_confirmed(struct queries *queries, struct publication *publication) __attribute__((warn_unused_result));
void queries_connected(struct queries *queries, bool publishing);

/* Does what is due. Returns when to call again. */
int64_t queries_tend(struct queries *queries, int64_t now);

#endif
