/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * parts: shared by the files behind services.h only. The functions of the table (serve_…) are in the file of their
 * subject. */
#ifndef PLUGIN_PARTS_H
#define PLUGIN_PARTS_H

#include <stdarg.h>

#include "plugin/services.h"

/* The current handling of this thread; NULL: none. */
extern _Thread_local struct handling *handling_current;

extern const struct valawai_host services_calls; /* for a running plugin; without an impl */
extern const struct valawai_host services_gone;  /* after the end of the host */

static inline struct services *services_of(const struct valawai_host *host)
{
    return host->impl;
}

void services_give_notice(struct services *services, struct notice *notice);

/* --- handling.c --- */

/* True in a handler of the plugin, on its thread; the second function also compares the message. */
static inline bool handling_in(const struct services *services)
{
    return handling_current != NULL && handling_current->services == services;
}

static inline bool handling_is_of(const struct services *services, const struct valawai_message *message)
{
    return handling_in(services) && message != NULL && message->body == handling_current->delivery->body;
}

/* A handling belongs to its thread until another thread may have its ticket; then it needs the lock. */
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

/* Returns a copy that is valid as long as the message's JSON. Frees the text. */
const char *handling_keep(struct handling *handling, struct text *text);

/* --- records.c --- */

/* True if an output takes records of this level. Other records are not formatted. */
bool services_wants(const struct services *services, int level);

/* The plugin broke a rule: writes a record, or aborts in a build with VALAWAI_ABORT_ON_MISUSE. */
void services_misuse(struct services *services, const char *rule);

/* Refuses a publication: writes a record and returns the error. */
int services_refuse(struct services *services, int error, const char *topic, const char *why);

/* --- publish.c --- */

/* Makes the publication, or returns NULL with the error. */
struct publication *publication_make(struct services *services, const char *topic, const char *body, size_t len,
                                     struct properties properties, bool allowed, int *error);

/* --- properties.c --- */

/* The same with the properties that a plugin gives, a JSON object or NULL. */
struct publication *publication_make_with(struct services *services, const char *topic, const char *body, size_t len,
                                          const char *properties, bool allowed, int *error);

/* --- queries.c --- */

/* A reply has reached the plugin's thread: calls back, and frees the query. */
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

/* Publishes a finished publication, as publish() and publish_for() do. */
int publish_made(struct services *services, struct publication *publication);
int publish_for_ticket(struct services *services, uint64_t ticket, struct publication *publication,
                       const char *function);

#endif
