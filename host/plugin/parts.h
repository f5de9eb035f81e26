/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * parts: what the files behind services.h share, and no other includes. The functions of the table (serve_…) lie with
 * what they are about. */
#ifndef PLUGIN_PARTS_H
#define PLUGIN_PARTS_H

#include <stdarg.h>

#include "plugin/services.h"

/* The handling that this thread is in; NULL: none. */
extern _Thread_local struct handling *handling_current;

extern const struct valawai_host services_calls; /* while the plugin runs; without an impl */
extern const struct valawai_host services_gone;  /* when its host has ended */

static inline struct services *services_of(const struct valawai_host *host)
{
    return host->impl;
}

void services_give_notice(struct services *services, struct notice *notice);

/* --- handling.c --- */

/* True in a handler of the plugin, on its thread; and that of this message. */
static inline bool handling_in(const struct services *services)
{
    return handling_current != NULL && handling_current->services == services;
}

static inline bool handling_is_of(const struct services *services, const struct valawai_message *message)
{
    return handling_in(services) && message != NULL && message->body == handling_current->delivery->body;
}

/* What a handling holds is its thread's alone until a ticket of it may be on another one. */
static inline void handling_lock(struct handling *handling)
{
    if (handling->shared)
        pthread_mutex_lock(&handling->services->lock);
}

static inline void handling_unlock(struct handling *handling)
{
    if (handling->shared)
        pthread_mutex_unlock(&handling->services->lock);
}

void handling_set_reason(struct handling *handling, const char *format, va_list arguments);

/* A copy that stays as long as the message's JSON. Frees the text. */
const char *handling_keep(struct handling *handling, struct text *text);

/* --- records.c --- */

/* Whether anything takes a record of this level. What nothing takes is not even put together. */
bool services_wants(const struct services *services, int level);

/* A rule that the plugin broke: a record, or in a build for debugging the end. */
void services_misuse(struct services *services, const char *rule);

/* A publication that is not made: a record, and the error. */
int services_refuse(struct services *services, int error, const char *topic, const char *why);

/* --- publish.c --- */

/* The publication, or NULL with the error. */
struct publication *publication_make(struct services *services, const char *topic, const char *body, size_t len,
                                     struct properties properties, bool allowed, int *error);

/* --- queries.c --- */

/* A reply came back to the plugin's thread: calls, and frees the query. */
void query_replied(struct services *services, struct plugin_query *query, void *self);
void query_free(struct plugin_query *query);

/* --- the table --- */

int serve_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len);
int serve_publish_with(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                       size_t len, const char *properties);
const char *serve_property(const struct valawai_host *host, const struct valawai_message *message, const char *name);
const char *serve_header(const struct valawai_host *host, const struct valawai_message *message, const char *name);
const char *serve_properties(const struct valawai_host *host, const struct valawai_message *message);
uint64_t serve_later(const struct valawai_host *host, const struct valawai_message *message);
int serve_publish_for(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                      size_t len);
int serve_answer(const struct valawai_host *host, uint64_t ticket, int verdict, const char *reason);
int serve_query(const struct valawai_host *host, int what, const char *query,
                void (*reply)(void *self, const char *page, size_t len, void *context), void *context);

/* The same for a message in hand, or with a ticket for its message. */
int publish_made(struct services *services, struct publication *publication);
int publish_for_ticket(struct services *services, uint64_t ticket, struct publication *publication,
                       const char *function);

#endif
