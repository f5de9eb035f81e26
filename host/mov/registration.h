/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * registration: the exchange between host and MOV. It registers every component, receives the id, detects a restart of
 * the MOV (which then forgets all components) and registers again, and unregisters at the end.
 *
 * Every registration makes a new component at the MOV, and one without a host keeps its connections, so all messages
 * that are routed to it arrive twice. Therefore each unused id is unregistered, and the ledger keeps it until then.
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
    bool starting;                /* the plugin is not ready, so the component is not registered yet */
};

struct registration;

/* The sender learns the outcome of publications on the publisher's thread, and passes each to registration_confirmed().
 */
struct registration *registration_new(struct component *const *components, size_t count, struct publisher *publisher,
                                      struct health *health, struct log *log, struct sender sender);
void registration_use(struct registration *registration, struct consumer *consumer, struct queries *queries);
void registration_free(struct registration *registration);

/* Adds a component, as those of registration_new(). The consumer has its subscription to the answers. */
void registration_add(struct registration *registration, struct component *component);

/* Unregisters the component, also if its registration is under way, and forgets it as soon as nothing refers to it: the
 * MOV may take 20 s for an answer that is on its way, and a request in the outbox waits for the broker. An answer that
 * does not come in that time is left to the ledger. While registration_has() is true, the component, its plugin, its
 * services and its subscription stay in use; afterwards the consumer may remove the subscription. Events of it that are
 * on their way do no harm. */
void registration_remove(struct registration *registration, struct component *component);
bool registration_has(const struct registration *registration, const struct component *component);

/* The other component takes over the registration: its document is the same, and so the MOV keeps the id. old is no
 * longer in use afterwards. */
void registration_replace(struct registration *registration, const struct component *old, struct component *other);

/* Events. */
void registration_connected(struct registration *registration, bool receiving, bool publishing);
void registration_blocked(struct registration *registration, bool blocked); /* by an alarm of the broker */
void registration_mov(struct registration *registration, unsigned consumers);
void registration_subscribed(struct registration *registration, struct component *component, bool up);
void registration_notified(struct registration *registration, struct component *component, struct delivery *delivery);
void registration_confirmed(struct registration *registration, struct publication *publication); /* frees it */

/* Does what is due. Returns when to call again. */
int64_t registration_tend(struct registration *registration, int64_t now);

/* The health file's text while all components are registered (the caller frees it), otherwise NULL, as without any
 * component. Those that are being removed do not count. */
char *registration_text(const struct registration *registration);

/* The state of one component's registration. */
struct registration_look {
    bool registered; /* the MOV has assigned an id, and has not forgotten it as far as the host knows */
    const char *id;  /* NULL: it has none */
    const char *why; /* reason for not being registered; NULL: it is registered */
};
struct registration_look registration_look(const struct registration *registration, const struct component *component);

/* there: the MOV accepts registrations. False: not known, because the host has no connection. */
bool registration_knows_mov(const struct registration *registration, bool *there);

/* Unregisters all components. registration_left() is true when the MOV's queue has the messages. */
void registration_leave(struct registration *registration);
bool registration_left(const struct registration *registration);

#endif
