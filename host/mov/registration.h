/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * registration: what the host and the MOV say to each other. Enrols every component, takes the id that the MOV answers,
 * notices when the MOV has been away (it forgets all components then) and enrols again, and withdraws at the end.
 *
 * Every register makes a new component at the MOV, and one without an owner keeps its connections: all that is
 * routed to it comes twice. So each id that is not in use is owed an unregister, and is kept in the ledger until then.
 *
 * All functions belong to the control thread. */
#ifndef MOV_REGISTRATION_H
#define MOV_REGISTRATION_H

#include "broker/consumer.h"
#include "mov/health.h"
#include "mov/queries.h"
#include "plugin/services.h"

#define REGISTER_TOPIC "valawai/component/register"
#define UNREGISTER_TOPIC "valawai/component/unregister"

struct component {
    const struct plugin *plugin;
    struct services *services;
    struct subscription *answers; /* on the plugin's registered topic; its owner is the component */
    bool starting;                /* the plugin is not ready: the component is not registered yet */
};

struct registration;

/* The sender hears of publications on the publisher's thread, and passes each to registration_confirmed(). */
struct registration *registration_new(struct component *const *components, size_t count, struct publisher *publisher,
                                      struct health *health, struct log *log, struct sender sender);
void registration_use(struct registration *registration, struct consumer *consumer, struct queries *queries);
void registration_free(struct registration *registration);

/* What happened. */
void registration_connected(struct registration *registration, bool receiving, bool publishing);
void registration_blocked(struct registration *registration, bool blocked); /* by an alarm of the broker */
void registration_mov(struct registration *registration, unsigned consumers);
void registration_subscribed(struct registration *registration, struct component *component, bool up);
void registration_notified(struct registration *registration, struct component *component, struct delivery *delivery);
void registration_confirmed(struct registration *registration, struct publication *publication); /* frees it */

/* Does what is due; returns when there is something to do again. */
int64_t registration_tend(struct registration *registration, int64_t now);

/* The health file's text while all components are registered (the caller frees it), otherwise NULL. */
char *registration_text(const struct registration *registration);

/* Where the registration of one component stands, by its place in the list that registration_new() got. */
struct registration_look {
    bool registered; /* the MOV gave it an id, and nothing says that it has forgotten that */
    const char *id;  /* NULL: it has none */
    const char *why; /* it is not registered; NULL: it is */
};
struct registration_look registration_look(const struct registration *registration, size_t index);

/* Whether the MOV takes registrations: of that the host knows nothing while it has no connection. */
bool registration_knows_mov(const struct registration *registration, bool *there);

/* Withdraws all components; registration_left() tells when the MOV's queue has taken it. */
void registration_leave(struct registration *registration);
bool registration_left(const struct registration *registration);

#endif
