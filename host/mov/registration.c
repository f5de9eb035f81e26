/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * registration: carries out the steps of the components' enrolments. More than 600 lines because requests, ids and
 * notifications change one list of entries together. */
#include "mov/registration.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "mov/enrolment.h"

#define LOOK_MS 5000     /* for the MOV's answer to a query about a registration without an answer */
#define CLOCKS_APART_S 5 /* allowed difference between the MOV's clock and this machine's */

/* Why a registration is stuck. Each cause is reported once until the component is registered. */
enum cause {
    CAUSE_NO_QUEUE = 1 << 0,
    CAUSE_REFUSED = 1 << 1, /* the MOV answers queries, and does not list the component */
    CAUSE_REFUSED_AGAIN = 1 << 2,
    CAUSE_TAKEN = 1 << 3,  /* the MOV lists the component, and the answer is gone */
    CAUSE_SILENT = 1 << 4, /* the MOV answers nothing */
};

/* One component. */
struct entry {
    struct component *component;
    struct sender sender; /* each entry has its own, by which a publication identifies its component */
    struct registration *registration;
    struct enrolment enrolment;
    bool leaving;           /* the component is being removed: it is unregistered, and nothing new begins */
    unsigned in_flight;     /* registrations without an outcome, which refer to the sender */
    unsigned outstanding;   /* as the ledger has it */
    int64_t requested_at_s; /* by the wall clock, for comparison with the MOV's times */
    unsigned reported;      /* causes */
    char *id;
    char *notification;       /* as the MOV sent it */
    struct query check, look; /* does the MOV know the id; why does it not answer */
};

/* An id that must still be unregistered. */
struct debt {
    char *id;
    bool sent;
};

struct registration {
    struct entry **entries;
    size_t count;
    struct legacy abandoned; /* removed components that the MOV may still register */
    struct consumer *consumer;
    struct queries *queries;
    struct publisher *publisher;
    struct health *health;
    struct log *log;
    struct sender sender; /* of unregister messages */
    struct json_tokener *reader;

    struct enrolment_reach reach;
    bool watched; /* the number of the MOV's consumers is known on this connection */
    bool missing; /* no MOV: reported */
    struct debt *debts;
    size_t debt_count;

    struct list taken;   /* answers to acknowledge … */
    uint64_t taken_kept; /* … when the ledger contains their ids */
};

static const char *name_of(const struct entry *entry)
{
    return entry->component->plugin->name;
}

/* ---- ids ---- */

/* Sets what the next run must find if this one ends now. */
static uint64_t keep_legacy(struct registration *registration)
{
    struct legacy legacy = {0};
    for (size_t i = 0; i < registration->debt_count; i++)
        legacy_add_id(&legacy, registration->debts[i].id);
    for (size_t i = 0; i < registration->count; i++) {
        struct entry *entry = registration->entries[i];
        if (entry->id != NULL)
            legacy_add_id(&legacy, entry->id);
        entry->outstanding = entry->enrolment.outstanding;
        for (unsigned n = 0; n < entry->outstanding; n++)
            legacy_add_pending(&legacy, name_of(entry));
    }
    for (size_t i = 0; i < registration->abandoned.pending_count; i++)
        legacy_add_pending(&legacy, registration->abandoned.pending[i]);
    return health_keep(registration->health, legacy);
}

/* Takes ownership of the id. */
static void owe(struct registration *registration, char *id)
{
    registration->debts =
        memory_resize(registration->debts, (registration->debt_count + 1) * sizeof *registration->debts);
    registration->debts[registration->debt_count++] = (struct debt){.id = id};
    registration->reach.clear = false;
    keep_legacy(registration);
}

static void send_unregister(struct registration *registration, struct debt *debt)
{
    struct text body = {0};
    text_puts(&body, "{\"component_id\":");
    text_put_json(&body, debt->id, strlen(debt->id));
    text_puts(&body, "}");
    struct publication *publication = publication_new(UNREGISTER_TOPIC, body.at, body.len);
    publication->persistent = true;
    publication->sender = &registration->sender;
    debt->sent = true;
    publisher_send_urgent(registration->publisher, publication);
    text_free(&body);
}

/* The queue has the message; or the queue does not exist, so no MOV knows the id. */
static void debt_paid(struct registration *registration, const struct publication *publication)
{
    for (size_t i = 0; i < registration->debt_count; i++) {
        if (strstr(publication->body, registration->debts[i].id) != NULL) {
            log_info(registration->log, "host", "unregistered %s", registration->debts[i].id);
            free(registration->debts[i].id);
            registration->debts[i] = registration->debts[--registration->debt_count];
            break;
        }
    }
    registration->reach.clear = registration->debt_count == 0;
    keep_legacy(registration);
}

/* ---- one component: the steps of its enrolment ---- */

/* True the first time since the component was registered. */
static bool report(struct entry *entry, enum cause cause)
{
    bool first = (entry->reported & cause) == 0;
    entry->reported |= cause;
    return first;
}

static void give_up_id(struct registration *registration, struct entry *entry)
{
    services_set_id(entry->component->services, NULL);
    queries_cancel(registration->queries, &entry->check);
    enrolment_forget(&entry->enrolment);
    free(entry->notification);
    entry->notification = NULL;
    char *id = entry->id;
    entry->id = NULL;
    if (id != NULL)
        owe(registration, id);
}

static void send_register(struct registration *registration, struct entry *entry)
{
    const struct plugin *plugin = entry->component->plugin;
    struct text body = {0};
    text_printf(&body, "{\"type\":\"%s\",\"name\":\"%s\",\"version\":\"%s\",\"asyncapi_yaml\":", plugin->type,
                plugin->name, plugin->entry.version);
    text_put_json(&body, plugin->for_mov, strlen(plugin->for_mov));
    text_puts(&body, "}");
    struct publication *publication = publication_new(REGISTER_TOPIC, body.at, body.len);
    publication->persistent = true;
    publication->sender = &entry->sender;
    text_free(&body);
    entry->requested_at_s = clock_date_s();
    entry->in_flight++;
    log_debug(registration->log, name_of(entry), "registering at the MOV");
    publisher_send_urgent(registration->publisher, publication);
}

/* The newest come first, so ours is among them even with many replicas. */
static void ask(struct entry *entry, struct query *query, int64_t patience_ms,
                void (*answered)(void *, struct query *, const char *, size_t, struct json_object *))
{
    char members[512];
    snprintf(members, sizeof members,
             "{\"pattern\":\"%s\",\"type\":\"%s\",\"order\":\"-since\",\"offset\":0,\"limit\":1000}", name_of(entry),
             entry->component->plugin->type);
    *query =
        (struct query){.about = QUERY_COMPONENTS, .patience_ms = patience_ms, .answered = answered, .context = entry};
    queries_ask(entry->registration->queries, query, members);
}

static const char *text_member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(object, name, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

/* The component in the page with this id, or with this name and registered at this time or later; NULL: there is none.
 * */
static struct json_object *listed(struct json_object *page, const char *id, const char *name, int64_t since)
{
    struct json_object *components = NULL, *when = NULL;
    if (!json_object_object_get_ex(page, "components", &components) ||
        !json_object_is_type(components, json_type_array))
        return NULL;
    for (size_t i = 0; i < json_object_array_length(components); i++) {
        struct json_object *one = json_object_array_get_idx(components, i);
        if (!json_object_is_type(one, json_type_object))
            continue;
        if (id != NULL && strcmp(text_member(one, "id"), id) == 0)
            return one;
        if (name != NULL && strcmp(text_member(one, "name"), name) == 0 &&
            json_object_object_get_ex(one, "since", &when) && json_object_get_int64(when) >= since)
            return one;
    }
    return NULL;
}

static void react(struct registration *registration, struct entry *entry, int64_t now);

/* Does the MOV know the id? */
static void on_checked(void *context, struct query *query, const char *body, size_t len, struct json_object *page)
{
    struct entry *entry = context;
    struct registration *registration = entry->registration;
    enum enrolment_check check = CHECK_FORGOTTEN;
    bool doubtful = entry->enrolment.doubtful;
    (void)query, (void)body, (void)len;
    if (page == NULL)
        check = CHECK_UNANSWERED;
    else if (listed(page, entry->id, NULL, 0) != NULL)
        check = CHECK_KNOWN;
    switch (enrolment_checked(&entry->enrolment, check, clock_ms())) {
    case VERDICT_KEEP:
        if (doubtful && check == CHECK_KNOWN)
            log_info(registration->log, name_of(entry), "still registered as %s", entry->id);
        break;
    case VERDICT_FORGOTTEN:
        log_warning(registration->log, name_of(entry), "the MOV has forgotten %s; registering again", entry->id);
        give_up_id(registration, entry);
        break;
    case VERDICT_UNKNOWN:
        log_warning(registration->log, name_of(entry),
                    "the MOV does not answer whether it knows %s; registering again. Check that the queue "
                    "valawai/component/query has a consumer",
                    entry->id);
        give_up_id(registration, entry);
        break;
    }
    react(registration, entry, clock_ms());
}

/* Why is there no answer to the registration? */
static void on_looked(void *context, struct query *query, const char *body, size_t len, struct json_object *page)
{
    struct entry *entry = context;
    struct log *log = entry->registration->log;
    const char *name = name_of(entry);
    unsigned requests = entry->enrolment.requests;
    (void)query, (void)body, (void)len;
    if (entry->enrolment.state != ENROLMENT_ASKED)
        return;
    struct json_object *other = listed(page, NULL, name, entry->requested_at_s - CLOCKS_APART_S);
    if (page == NULL) {
        if (report(entry, CAUSE_SILENT))
            log_warning(log, name,
                        "the MOV answers neither the registration nor a query; waiting for it. Check that it runs and "
                        "is not overloaded");
    } else if (other != NULL) {
        if (report(entry, CAUSE_TAKEN))
            log_warning(log, name,
                        "the MOV has registered %s, but another instance took the answer. Check that no other "
                        "program consumes %s, or that each replica of this component is a valawai-host",
                        text_member(other, "id"), entry->component->plugin->registered);
    } else if (requests >= 2) {
        if (report(entry, CAUSE_REFUSED_AGAIN))
            log_warning(log, name,
                        "the MOV has not answered %u registrations. Its live configuration may be APPLY_TOPOLOGY, "
                        "which refuses a component that the topology does not have, without an answer; see the MOV's "
                        "own log",
                        requests);
    } else if (report(entry, CAUSE_REFUSED)) {
        log_warning(log, name,
                    "the MOV has not answered the registration; it may have refused it: see the MOV's own log, and "
                    "run `valawai-host check --strict %s`",
                    entry->component->plugin->file);
    }
}

/* Carries out all steps that are due for this component. */
static void react(struct registration *registration, struct entry *entry, int64_t now)
{
    struct enrolment *enrolment = &entry->enrolment;
    struct subscription *answers = entry->component->answers;
    struct enrolment_reach reach = registration->reach;
    reach.leaving = reach.leaving || entry->leaving;
    if (entry->component->starting)
        return;
    for (enum enrolment_step step; (step = enrolment_next(enrolment, &reach, now)) != STEP_NONE;) {
        switch (step) {
        case STEP_LISTEN:
            consumer_want(registration->consumer, answers, true);
            enrolment_subscribed(enrolment, atomic_load(&answers->up));
            break;
        case STEP_END_LISTENING:
            consumer_want(registration->consumer, answers, false);
            break;
        case STEP_SWEEP:
            consumer_sweep(registration->consumer, answers);
            break;
        case STEP_REQUEST:
            keep_legacy(registration); /* if this run is killed from here on, the next one expects an answer */
            send_register(registration, entry);
            break;
        case STEP_PUZZLE:
            queries_cancel(registration->queries, &entry->look);
            ask(entry, &entry->look, LOOK_MS, on_looked);
            break;
        case STEP_CHECK:
            ask(entry, &entry->check, enrolment_patience(enrolment), on_checked);
            break;
        case STEP_NONE:
            break;
        }
    }
    if (entry->outstanding != enrolment->outstanding)
        keep_legacy(registration);
}

/* ---- notifications ---- */

/* The id of a notification for this component, or NULL with the reason. */
static char *read_id(struct registration *registration, const struct entry *entry, const struct delivery *delivery,
                     struct fault *fault)
{
    char *id = NULL;
    struct json_object *content = NULL, *value = NULL;
    if (delivery->refused > 0) {
        fault_set(fault, "too large");
        return NULL;
    }
    if (!json_is_object(delivery->body, delivery->len, fault))
        return NULL;
    content = json_read(registration->reader, delivery->body, delivery->len);
    if (!json_object_object_get_ex(content, "id", &value) || !json_object_is_type(value, json_type_string) ||
        !is_component_id(json_object_get_string(value), (size_t)json_object_get_string_len(value))) {
        fault_set(fault, "it has no id of %d hexadecimal digits", COMPONENT_ID_LEN);
        goto out;
    }
    /* The MOV names every component that it registers, so a notification with another name, or without one, is not for
     * us.
     * */
    struct json_object *name = NULL;
    if (!json_object_object_get_ex(content, "name", &name) || !json_object_is_type(name, json_type_string)) {
        fault_set(fault, "it has no name");
        goto out;
    }
    size_t len = (size_t)json_object_get_string_len(name);
    if (len != strlen(name_of(entry)) || memcmp(json_object_get_string(name), name_of(entry), len) != 0) {
        fault_set(fault, "it is for %s", json_object_get_string(name));
        goto out;
    }
    id = memory_text(json_object_get_string(value));
out:
    json_object_put(content);
    return id;
}

static struct entry *entry_of(const struct registration *registration, const struct component *component)
{
    for (size_t i = 0; i < registration->count; i++)
        if (registration->entries[i]->component == component)
            return registration->entries[i];
    return NULL;
}

static struct entry *entry_of_sender(struct registration *registration, const struct sender *sender)
{
    for (size_t i = 0; i < registration->count; i++)
        if (&registration->entries[i]->sender == sender)
            return registration->entries[i];
    return NULL;
}

/* Acknowledges an answer when the ledger contains its id; until then only the broker has the id. A host that stops does
 * not wait for the disk, because it is about to unregister the id. */
static void settle_kept(struct registration *registration)
{
    if (registration->taken.head != NULL &&
        (registration->reach.leaving || health_is_kept(registration->health, registration->taken_kept)))
        consumer_settle(registration->consumer, &registration->taken);
}

static void settle(struct registration *registration, struct delivery *delivery, enum settlement settlement)
{
    delivery->settlement = settlement;
    registration->taken_kept = keep_legacy(registration);
    list_put(&registration->taken, &delivery->node);
    settle_kept(registration);
}

static void take_answer(struct registration *registration, struct entry *entry, const struct delivery *delivery,
                        char *id)
{
    entry->id = id;
    free(entry->notification);
    entry->notification = memory_format("%.*s", (int)delivery->len, delivery->body);
    entry->reported = 0;
    queries_cancel(registration->queries, &entry->look);
    services_set_id(entry->component->services, id);
    log_info(registration->log, name_of(entry), "registered as %s", id);
}

void registration_notified(struct registration *registration, struct component *component, struct delivery *delivery)
{
    struct entry *entry = entry_of(registration, component);
    struct fault fault;
    int64_t now = clock_ms();
    if (delivery_is_stale(delivery)) { /* it comes again */
        delivery_drop(delivery);
        return;
    }
    if (entry == NULL) { /* the component has gone */
        struct list one = {0};
        delivery->settlement = SETTLE_PUT_BACK;
        list_put(&one, &delivery->node);
        consumer_settle(registration->consumer, &one);
        return;
    }
    char *id = read_id(registration, entry, delivery, &fault);
    if (id == NULL) {
        log_error(registration->log, name_of(entry), "dropped a notification on %s: %s: %.*s", delivery->from->topic,
                  fault.text, delivery->len > 200 ? 200 : (int)delivery->len, delivery->body);
        settle(registration, delivery, SETTLE_REJECT);
        return;
    }
    if (entry->id != NULL &&
        strcmp(entry->id, id) == 0) { /* redelivered: the acknowledgement was lost with a connection */
        free(id);
    } else if (enrolment_notified(&entry->enrolment, !delivery->leftover && !delivery->redelivered,
                                  registration->reach.leaving || entry->leaving, now)) {
        take_answer(registration, entry, delivery, id);
    } else {
        /* An earlier run left it, or its receiver has ended, or it answers a repeated request. If its owner is alive
         * after all, the owner gets no answer and registers again. */
        log_info(registration->log, name_of(entry), "dropped a stale notification of %s; unregistering it", id);
        owe(registration, id);
    }
    react(registration, entry,
          now); /* stops consuming before the acknowledgement: the next notification belongs to another replica */
    settle(registration, delivery, SETTLE_ACKNOWLEDGE);
}

/* ---- events ---- */

static void react_all(struct registration *registration)
{
    int64_t now = clock_ms();
    for (size_t i = 0; i < registration->count; i++)
        react(registration, registration->entries[i], now);
}

void registration_blocked(struct registration *registration, bool blocked)
{
    registration->reach.blocked = blocked;
    for (size_t i = 0; blocked && i < registration->count; i++)
        enrolment_blocked(&registration->entries[i]->enrolment);
    react_all(registration);
}

void registration_connected(struct registration *registration, bool receiving, bool publishing)
{
    registration->reach.receiving = receiving;
    registration->reach.publishing = publishing;
    registration->reach.blocked = registration->reach.blocked && publishing;
    if (receiving)
        return;
    registration->reach.mov = registration->watched = false; /* until the next news of it */
    for (size_t i = 0; i < registration->count; i++) {
        queries_cancel(registration->queries, &registration->entries[i]->check); /* the answer would be out of date */
        enrolment_disconnected(&registration->entries[i]->enrolment);
    }
    react_all(registration);
}

void registration_mov(struct registration *registration, unsigned consumers)
{
    bool went = registration->reach.mov && consumers == 0;
    registration->reach.mov = consumers > 0;
    if (consumers > 0) {
        log_debug(registration->log, "host", "the MOV is available");
        registration->missing = false;
        return;
    }
    if (!registration->missing)
        log_warning(registration->log, "host",
                    "MOV not found: queue %s has no consumer; waiting for it. Check that the MOV runs and uses this "
                    "broker and virtual host",
                    REGISTER_TOPIC);
    registration->missing = true;
    /* Only a MOV that disappeared on this connection has forgotten us. After our own reconnect it may return to the
     * broker later than we do, and still knows us. */
    for (size_t i = 0; went && i < registration->count; i++)
        if (registration->entries[i]->enrolment.state == ENROLMENT_REGISTERED)
            give_up_id(registration, registration->entries[i]);
    react_all(registration);
}

void registration_subscribed(struct registration *registration, struct component *component, bool up)
{
    struct entry *entry = entry_of(registration, component);
    if (entry == NULL) /* the component has gone */
        return;
    enrolment_subscribed(&entry->enrolment, up);
    react(registration, entry, clock_ms());
}

void registration_confirmed(struct registration *registration, struct publication *publication)
{
    struct entry *entry = entry_of_sender(registration, publication->sender);
    if (entry != NULL)
        entry->in_flight--;
    if (entry == NULL) {
        debt_paid(registration, publication);
    } else if (publication->outcome != OUTCOME_CONFIRMED) {
        enrolment_refused(&entry->enrolment, clock_ms());
        if (report(entry, CAUSE_NO_QUEUE) && entry->id == NULL)
            log_warning(registration->log, name_of(entry),
                        "cannot register: there is no queue %s. Check that the MOV runs, and uses this broker and "
                        "virtual host",
                        REGISTER_TOPIC);
        react(registration, entry, clock_ms());
    }
    free(publication);
}

static void entry_free(struct registration *registration, struct entry *entry)
{
    if (registration->queries != NULL) {
        queries_cancel(registration->queries, &entry->check);
        queries_cancel(registration->queries, &entry->look);
    }
    free(entry->id);
    free(entry->notification);
    free(entry);
}

/* A removed component goes when no publication, no delivery and no expected answer refers to it. */
static bool may_go(const struct registration *registration, const struct entry *entry, int64_t now)
{
    return entry->leaving && entry->in_flight == 0 && registration->taken.head == NULL &&
           enrolment_may_end(&entry->enrolment, now);
}

static void let_go(struct registration *registration, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < registration->count; i++) {
        struct entry *entry = registration->entries[i];
        if (!may_go(registration, entry, now)) {
            registration->entries[kept++] = entry;
            continue;
        }
        if (entry->enrolment.wanted)
            consumer_want(registration->consumer, entry->component->answers, false);
        for (unsigned n = 0; n < entry->enrolment.outstanding; n++)
            legacy_add_pending(&registration->abandoned, name_of(entry));
        entry_free(registration, entry);
    }
    bool gone = kept < registration->count;
    registration->count = kept;
    if (gone)
        keep_legacy(registration);
}

int64_t registration_tend(struct registration *registration, int64_t now)
{
    int64_t next = now + 1000;
    bool reachable = registration->reach.publishing && (registration->reach.mov || registration->reach.leaving);
    settle_kept(registration);
    for (size_t i = 0; reachable && i < registration->debt_count; i++)
        if (!registration->debts[i].sent)
            send_unregister(registration, &registration->debts[i]);
    for (size_t i = 0; i < registration->count; i++) {
        react(registration, registration->entries[i], now);
        int64_t due = enrolment_due(&registration->entries[i]->enrolment, now);
        next = due < next ? due : next;
    }
    let_go(registration, now);
    return next;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name_of(*(struct entry *const *)a), name_of(*(struct entry *const *)b));
}

char *registration_text(const struct registration *registration)
{
    struct entry *sorted[registration->count + 1];
    size_t count = 0;
    for (size_t i = 0; i < registration->count; i++) {
        struct entry *entry = registration->entries[i];
        if (entry->leaving)
            continue;
        if (entry->enrolment.state != ENROLMENT_REGISTERED || entry->enrolment.doubtful)
            return NULL;
        sorted[count++] = entry;
    }
    if (count == 0)
        return NULL;
    if (count == 1)
        return memory_text(sorted[0]->notification);
    qsort(sorted, count, sizeof(struct entry *), by_name);
    struct text text = {0};
    for (size_t i = 0; i < count; i++)
        text_printf(&text, "%s%s", i == 0 ? "[" : ",", sorted[i]->notification);
    text_puts(&text, "]");
    return text.at;
}

static const char *why_not_registered(const struct registration *registration, const struct entry *entry)
{
    const struct {
        enum cause cause;
        const char *why;
    } causes[] = {
        {CAUSE_TAKEN, "another instance took the MOV's answer to the registration"},
        {CAUSE_REFUSED_AGAIN, "the MOV does not answer the registration; APPLY_TOPOLOGY may refuse the component"},
        {CAUSE_REFUSED, "the MOV does not answer the registration, and may have refused it"},
        {CAUSE_SILENT, "the MOV answers neither the registration nor a query"},
        {CAUSE_NO_QUEUE, "there is no queue " REGISTER_TOPIC "; check that the MOV runs"},
    };
    if (!registration->reach.mov)
        return registration->missing ? "MOV not found: queue " REGISTER_TOPIC " has no consumer"
                                     : "looking for the MOV";
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if ((entry->reported & causes[i].cause) != 0)
            return causes[i].why;
    return entry->enrolment.state == ENROLMENT_ASKED ? "waiting for the MOV to answer the registration"
                                                     : "about to register at the MOV";
}

struct registration_look registration_look(const struct registration *registration, const struct component *component)
{
    const struct entry *entry = entry_of(registration, component);
    if (entry == NULL)
        return (struct registration_look){.why = "the component is not to be registered"};
    struct registration_look look = {.id = entry->id};
    if (entry->enrolment.state != ENROLMENT_REGISTERED)
        look.why = why_not_registered(registration, entry);
    else if (entry->enrolment.doubtful)
        look.why = "the MOV has not confirmed yet that it still knows the id";
    look.registered = look.why == NULL;
    return look;
}

bool registration_knows_mov(const struct registration *registration, bool *there)
{
    *there = registration->reach.mov;
    return registration->reach.receiving && (registration->reach.mov || registration->missing);
}

void registration_leave(struct registration *registration)
{
    registration->reach.leaving = true;
    for (size_t i = 0; i < registration->count; i++)
        if (registration->entries[i]->enrolment.state == ENROLMENT_REGISTERED)
            give_up_id(registration, registration->entries[i]);
    react_all(registration);
}

bool registration_left(const struct registration *registration)
{
    int64_t now = clock_ms();
    bool left = registration->debt_count == 0;
    for (size_t i = 0; left && i < registration->count; i++)
        left = enrolment_may_end(&registration->entries[i]->enrolment, now);
    return left;
}

/* The number of registrations of that component that earlier runs left without an answer. */
static unsigned pending_of(const struct legacy *legacy, const char *name)
{
    unsigned count = 0;
    for (size_t i = 0; i < legacy->pending_count; i++)
        count += strcmp(legacy->pending[i], name) == 0;
    return count;
}

/* Takes over what a removed component of that name left behind. */
static unsigned take_abandoned(struct registration *registration, const char *name)
{
    struct legacy *abandoned = &registration->abandoned;
    unsigned taken = pending_of(abandoned, name);
    size_t kept = 0;
    for (size_t i = 0; i < abandoned->pending_count; i++) {
        if (strcmp(abandoned->pending[i], name) == 0)
            free(abandoned->pending[i]);
        else
            abandoned->pending[kept++] = abandoned->pending[i];
    }
    abandoned->pending_count = kept;
    return taken;
}

static void put(struct registration *registration, struct component *component, unsigned outstanding)
{
    struct entry *entry = memory_new(sizeof *entry);
    entry->component = component;
    entry->sender = registration->sender;
    entry->registration = registration;
    entry->outstanding = outstanding;
    enrolment_init(&entry->enrolment, outstanding, clock_ms());
    registration->entries = memory_resize(registration->entries, (registration->count + 1) * sizeof(struct entry *));
    registration->entries[registration->count++] = entry;
}

void registration_add(struct registration *registration, struct component *component)
{
    put(registration, component, take_abandoned(registration, component->plugin->name));
    react(registration, registration->entries[registration->count - 1], clock_ms());
}

void registration_remove(struct registration *registration, struct component *component)
{
    struct entry *entry = entry_of(registration, component);
    entry->leaving = true;
    queries_cancel(registration->queries, &entry->look);
    if (entry->enrolment.state == ENROLMENT_REGISTERED)
        give_up_id(registration, entry);
    react(registration, entry, clock_ms());
}

bool registration_has(const struct registration *registration, const struct component *component)
{
    return entry_of(registration, component) != NULL;
}

void registration_replace(struct registration *registration, const struct component *old, struct component *other)
{
    struct entry *entry = entry_of(registration, old);
    entry->component = other;
    services_set_id(old->services, NULL);
    if (entry->id != NULL)
        services_set_id(other->services, entry->id);
    if (entry->enrolment.wanted) {
        consumer_want(registration->consumer, old->answers, false);
        consumer_want(registration->consumer, other->answers, true);
        enrolment_subscribed(&entry->enrolment, atomic_load(&other->answers->up));
    }
    react(registration, entry, clock_ms());
}

struct registration *registration_new(struct component *const *components, size_t count, struct publisher *publisher,
                                      struct health *health, struct log *log, struct sender sender)
{
    struct registration *registration = memory_new(sizeof *registration);
    registration->publisher = publisher;
    registration->health = health;
    registration->log = log;
    registration->sender = sender;
    registration->reader = json_reader_new();
    registration->reach.clear = true;
    struct legacy left = health_left_behind(health);
    for (size_t i = 0; i < count; i++) {
        const char *name = components[i]->plugin->name;
        put(registration, components[i], pending_of(&left, name));
        if (pending_of(&left, name) > 0)
            log_info(log, name, "an earlier run ended before the MOV answered its registration");
    }
    for (size_t i = 0; i < left.id_count; i++) {
        log_info(log, "host", "an earlier run left %s registered; unregistering it", left.ids[i]);
        owe(registration, memory_text(left.ids[i]));
    }
    legacy_free(&left);
    return registration;
}

void registration_use(struct registration *registration, struct consumer *consumer, struct queries *queries)
{
    registration->consumer = consumer;
    registration->queries = queries;
}

void registration_free(struct registration *registration)
{
    if (registration == NULL)
        return;
    for (size_t i = 0; i < registration->count; i++)
        entry_free(registration, registration->entries[i]);
    legacy_free(&registration->abandoned);
    for (size_t i = 0; i < registration->debt_count; i++)
        free(registration->debts[i].id);
    deliveries_drop(&registration->taken);
    free(registration->debts);
    free(registration->entries);
    json_tokener_free(registration->reader);
    free(registration);
}
