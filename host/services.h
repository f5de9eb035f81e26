/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * services: what a plugin may call. One table for each plugin; what a handler asks for goes to the handling that its
 * thread is in. */
#ifndef HOST_SERVICES_H
#define HOST_SERVICES_H

#include <stdatomic.h>
#include <valawai/plugin.h>

#include "message.h"
#include "plugin.h"
#include "publisher.h"
#include "text.h"

struct json_object;
struct json_tokener;

/* One call of a handler: what it is about and what it brings about. */
struct handling {
    struct services *services;
    const struct delivery *delivery;
    struct list publications;
    struct json_object *json; /* of the body, once asked for */
    bool quoted;              /* the services' quoted text is this body's */
    char reason[512];         /* why it is not done */
};

struct services {
    struct valawai_host table; /* what the plugin gets */
    const struct plugin *plugin;
    struct log *log;
    struct publisher *publisher;
    size_t message_max_bytes;
    const struct contract *mov;
    enum validate validate;
    struct json_tokener *reader; /* the plugin's thread's */
    struct text record, quoted;  /* the same one's: a record in the making, and the body as a JSON string */
    atomic_bool running;         /* after start, before stop */
    pthread_mutex_t lock;        /* the id */
    char id[64];                 /* that the MOV gave the component; "" without */
};

/* mov: the contract of the MOV's own queues, on which every component may publish. */
struct services *services_new(const struct plugin *plugin, const struct contract *mov, struct log *log,
                              struct publisher *publisher, size_t message_max_bytes);
void services_free(struct services *services);

/* [any thread] The id under which records go to the MOV; "" when there is none. */
void services_set_id(struct services *services, const char *id);

/* [any thread] A record of the component: console and file by their levels, and the MOV. payload may be NULL. */
void services_record(struct services *services, int level, const char *file, int line, const char *payload,
                     const char *text);

/* [plugin's thread] The records of handlers leave with what these publish. To be called before a sleep, for the others.
 */
void services_flush(struct services *services);

/* [plugin's thread] Between the two the thread's calls belong to the handling. */
void services_begin(struct services *services, struct handling *handling, const struct delivery *delivery);
void services_end(struct handling *handling);

/* [plugin's thread] The body that is handled, parsed at the first call. */
struct json_object *services_json(struct handling *handling);

#endif
