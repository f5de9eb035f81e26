/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * queries: a plugin's queries to the MOV, and the replies. Each query is called back exactly once before stop, with or
 * without a reply. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "plugin/parts.h"

static int refuse(struct services *services, int error, const char *why)
{
    char text[640];
    snprintf(text, sizeof text, "cannot query the MOV: %s", why);
    services_record(services, VALAWAI_ERROR, services->options.plugin->file, 0, NULL, text);
    return error;
}

static bool is_good(struct services *services, int what, const char *query, struct fault *fault)
{
    const char *topic = what == VALAWAI_COMPONENTS ? "valawai/component/query" : "valawai/topology/query";
    char reason[384];
    struct json_object *json = json_parse(json_thread_reader(), query, strlen(query), fault);
    if (json == NULL)
        return false;
    bool good = topic_check(contract_find(services->options.mov, topic), CONTRACT_PUBLISH, json, reason, sizeof reason);
    if (good && json_object_object_get_ex(json, "id", NULL)) {
        snprintf(reason, sizeof reason, "contains an id, which the host adds");
        good = false;
    }
    json_object_put(json);
    return good || fault_set(fault, "%s", reason);
}

void query_free(struct plugin_query *query)
{
    free(query->text);
    free(query->page);
    free(query);
}

int serve_query(const struct valawai_host *host, int what, const char *text,
                void (*reply)(void *self, const char *page, size_t len, void *context), void *context)
{
    struct services *services = services_of(host);
    struct fault fault;
    if (text == NULL)
        text = "{\"offset\":0,\"limit\":100}";
    if (reply == NULL) {
        services_misuse(services, "query() without a function for the reply");
        return VALAWAI_E_ARGUMENT;
    }
    if (what != VALAWAI_COMPONENTS && what != VALAWAI_CONNECTIONS)
        return refuse(services, VALAWAI_E_ARGUMENT, "neither for components nor for connections");
    if (!is_good(services, what, text, &fault))
        return refuse(services, VALAWAI_E_BODY, fault.text);
    struct plugin_query *query = memory_new(sizeof *query);
    query->notice.kind = NOTICE_REPLY;
    query->services = services;
    query->what = what;
    query->text = memory_text(text);
    query->reply = reply;
    query->context = context;
    pthread_mutex_lock(&services->lock);
    bool running = atomic_load(&services->running); /* otherwise the reply would never be called */
    if (running) {
        query->next = services->queries;
        services->queries = query;
    }
    pthread_mutex_unlock(&services->lock);
    if (!running) {
        query_free(query);
        return refuse(services, VALAWAI_E_STATE, "only between start and stop");
    }
    atomic_fetch_add(&services->asked, 1);
    services->options.ask(services->options.context, query);
    return VALAWAI_OK;
}

void services_reply(struct plugin_query *query, const char *page, size_t len)
{
    struct services *services = query->services;
    if (page != NULL) {
        query->page = memory_take(len + 1);
        memcpy(query->page, page, len);
        query->page[len] = '\0';
        query->len = len;
    }
    services_give_notice(services, &query->notice);
    atomic_fetch_sub(&services->asked, 1);
}

bool services_await_reply(const struct services *services)
{
    return atomic_load(&services->asked) > 0;
}

void query_replied(struct services *services, struct plugin_query *query, void *self)
{
    pthread_mutex_lock(&services->lock);
    struct plugin_query **place = &services->queries;
    while (*place != NULL && *place != query)
        place = &(*place)->next;
    bool open = *place != NULL;
    if (open)
        *place = query->next;
    pthread_mutex_unlock(&services->lock);
    if (open)
        query->reply(self, query->page, query->len, query->context);
    query_free(query);
}

/* The transport keeps the queries that end here until it replies; then query_replied() finds them closed. */
void services_end_queries(struct services *services, void *self)
{
    for (;;) {
        pthread_mutex_lock(&services->lock);
        struct plugin_query *query = services->queries;
        if (query == NULL) {
            pthread_mutex_unlock(&services->lock);
            return;
        }
        services->queries = query->next;
        void (*reply)(void *, const char *, size_t, void *) = query->reply;
        void *context = query->context;
        pthread_mutex_unlock(&services->lock);
        reply(self, NULL, 0, context);
    }
}
