/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * members: the plugins of the host, each with its seat in the ring, its component at the MOV and its subscriptions.
 * They come and go while the host runs. All functions belong to the control thread. */
#ifndef RUN_MEMBERS_H
#define RUN_MEMBERS_H

#include "mov/registration.h"
#include "run/ring.h"
#include "run/show.h"

struct host;

enum member_state {
    MEMBER_STARTING, /* the plugin's start has not returned */
    MEMBER_WAITING,  /* for the end of the member that it replaces */
    MEMBER_WORKING,  /* consumed and registered, or about to be */
    MEMBER_DRAINING, /* finishes the messages in hand */
    MEMBER_LEAVING,  /* the consumer and the registration still know it */
};

struct member {
    struct plugin *plugin;
    char *path; /* as the reload found it; NULL: a plugin of the start */
    struct seat *seat;
    struct component component;
    struct subscription answers; /* on the topic on which the MOV answers registrations */
    struct shown *shown;         /* NULL: another member of the component is shown */
    enum member_state state;
    bool known;               /* to the consumer and to the registration */
    bool has_registration;    /* of the member that it replaces */
    struct member *successor; /* works when this one has gone; NULL: none */
    bool forgets_answers;
    size_t subscriptions; /* DRAINING, LEAVING: that the consumer still has */
};

/* Makes a member for each plugin that is there at the start. */
void members_make(struct host *host);
void members_free(struct host *host); /* without their seats */

/* The start of the others is known: those that started work, those that still start join later. */
void members_begin(struct host *host);

/* Adds a plugin, whose executor starts. It works as soon as its start has returned and, if it replaces another member,
 * that one has gone. path: as the reload found the file. Takes ownership of the plugin. */
struct member *member_add(struct host *host, struct plugin *plugin, const char *path, struct member *replaces);

/* Stops consuming, finishes the messages in hand within host.grace_seconds, returns the others to their queues,
 * unregisters the component and frees the member. */
void member_remove(struct host *host, struct member *member);

/* Does what is due. Returns when to call again. */
int64_t members_tend(struct host *host, int64_t now);

/* The consumer has forgotten the subscription. */
void members_forgotten(struct host *host, const struct subscription *subscription);

/* Topics of the members, and how many of them are consumed. */
struct consumed {
    size_t all, up;
};
struct consumed members_consumed(const struct host *host);

/* The last member of this component that is about to go; NULL: none. */
struct member *members_going(const struct host *host, const char *component);

/* The member whose plugin is of this component, and is not about to go; NULL: none. */
struct member *members_find(const struct host *host, const char *component);

/* True if every member works, and no process of a plugin is down. */
bool members_are_whole(const struct host *host);

#endif
