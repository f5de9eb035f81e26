/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mov/registration.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

#define ANSWER_MS 10000     /* the MOV's time to answer, at first */
#define SWEEP_FIRST_MS 5000 /* after an answer: until we look for notifications that nobody took … */
#define QUERY_MS 3000       /* the MOV's time to answer a query … */
#define QUERIES 2           /* … and how often it is asked before we register anew */
#define SWEEP_MS 60000      /* … and again */

enum state {
    OUT,        /* until retry_at */
    LISTENING,  /* for the answer, before we ask: leftovers come first */
    ASKED,      /* until deadline */
    REGISTERED, /* under id */
};

enum kind { KIND_REGISTER, KIND_UNREGISTER };

struct enrolment {
    struct component *component;
    enum state state;
    int64_t retry_at, deadline, sweep_at;
    unsigned asked; /* without an answer */
    struct backoff backoff;
    char *id;
    char *notification; /* as the MOV sent it */

    /* After a reconnect: did the MOV forget us meanwhile? */
    bool doubtful;
    unsigned asked_whether; /* so many times since */
    bool asking;
    struct query query;
};

/* An id that the MOV is still to be told to forget. */
struct debt {
    char *id;
    bool sent;
};

struct registration {
    struct enrolment *enrolments;
    size_t count;
    struct consumer *consumer;
    struct queries *queries;
    struct publisher *publisher;
    struct health *health;
    struct log *log;
    struct json_tokener *reader;

    bool receiving, publishing;
    bool mov; /* somebody consumes the register queue */
    bool leaving;
    struct debt *debts;
    size_t debt_count;
};

static const char *name_of(const struct enrolment *enrolment)
{
    return enrolment->component->plugin->name;
}

/* ---- ids ---- */

static void keep_ids(struct registration *registration)
{
    char **ids = memory_new((registration->debt_count + registration->count + 1) * sizeof *ids);
    size_t count = 0;
    for (size_t i = 0; i < registration->debt_count; i++)
        ids[count++] = registration->debts[i].id;
    for (size_t i = 0; i < registration->count; i++)
        if (registration->enrolments[i].id != NULL)
            ids[count++] = registration->enrolments[i].id;
    health_keep_ids(registration->health, ids, count);
    free(ids);
}

/* Takes the id over. */
static void owe(struct registration *registration, char *id)
{
    registration->debts =
        memory_resize(registration->debts, (registration->debt_count + 1) * sizeof *registration->debts);
    registration->debts[registration->debt_count++] = (struct debt){.id = id};
    keep_ids(registration);
}

static void send_unregister(struct registration *registration, struct debt *debt)
{
    struct text body = {0};
    text_puts(&body, "{\"component_id\":");
    text_put_json(&body, debt->id, strlen(debt->id));
    text_puts(&body, "}");
    struct publication *publication = publication_new(UNREGISTER_TOPIC, body.at, body.len);
    publication->persistent = true;
    publication->report = true;
    publication->kind = KIND_UNREGISTER;
    debt->sent = true;
    publisher_send_urgent(registration->publisher, publication);
    text_free(&body);
}

/* The queue took it; or there is no such queue, and then no MOV that knew the id. */
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
    keep_ids(registration);
}

/* ---- one component ---- */

static void end_doubt(struct registration *registration, struct enrolment *enrolment)
{
    enrolment->doubtful = enrolment->asking = false;
    enrolment->asked_whether = 0;
    queries_cancel(registration->queries, &enrolment->query);
}

static void forget_registration(struct registration *registration, struct enrolment *enrolment)
{
    services_set_id(enrolment->component->services, NULL);
    end_doubt(registration, enrolment);
    free(enrolment->notification);
    enrolment->notification = NULL;
    char *id = enrolment->id;
    enrolment->id = NULL;
    enrolment->state = OUT;
    enrolment->retry_at = 0;
    if (id != NULL)
        owe(registration, id);
}

static void step_out(struct registration *registration, struct enrolment *enrolment, int64_t delay)
{
    enrolment->state = OUT;
    enrolment->retry_at = clock_ms() + delay;
    consumer_want(registration->consumer, enrolment->component->answers, false);
}

static void send_register(struct registration *registration, struct enrolment *enrolment)
{
    const struct plugin *plugin = enrolment->component->plugin;
    struct text body = {0};
    text_printf(&body, "{\"type\":\"%s\",\"name\":\"%s\",\"version\":\"%s\",\"asyncapi_yaml\":", plugin->type,
                plugin->name, plugin->entry.version);
    text_put_json(&body, plugin->for_mov, strlen(plugin->for_mov));
    text_puts(&body, "}");
    struct publication *publication = publication_new(REGISTER_TOPIC, body.at, body.len);
    publication->persistent = true;
    publication->report = true;
    publication->kind = KIND_REGISTER;
    publication->owner = enrolment;
    text_free(&body);

    enrolment->state = ASKED;
    enrolment->asked++;
    enrolment->deadline = clock_ms() + ANSWER_MS;
    log_debug(registration->log, name_of(enrolment), "registering at the MOV");
    publisher_send_urgent(registration->publisher, publication);
}

static void no_answer(struct registration *registration, struct enrolment *enrolment)
{
    uint32_t delay = backoff_next(&enrolment->backoff);
    log_warning(
        registration->log, name_of(enrolment),
        "the MOV has not answered the registration (attempt %u); it may have refused it, see its log; again in %u s",
        enrolment->asked, (delay + 999) / 1000);
    step_out(registration, enrolment, delay);
}

/* True if the page lists our id. */
static bool lists_id(struct json_object *page, const char *id)
{
    struct json_object *components = NULL, *value = NULL;
    if (!json_object_object_get_ex(page, "components", &components) ||
        !json_object_is_type(components, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(components); i++)
        if (json_object_object_get_ex(json_object_array_get_idx(components, i), "id", &value) &&
            json_object_is_type(value, json_type_string) && strcmp(json_object_get_string(value), id) == 0)
            return true;
    return false;
}

static void on_page(void *context, struct query *query, const char *body, size_t len, struct json_object *page);

/* Does the MOV know us? Asked some times, then we register anew. */
static void ask_whether(struct registration *registration, struct enrolment *enrolment)
{
    char members[512];
    if (enrolment->asked_whether++ == QUERIES) {
        log_warning(registration->log, name_of(enrolment),
                    "the MOV does not say whether it still knows %s; registering anew", enrolment->id);
        forget_registration(registration, enrolment);
        return;
    }
    snprintf(members, sizeof members,
             "{\"pattern\":\"%s\",\"type\":\"%s\",\"order\":\"-since\",\"offset\":0,\"limit\":1000}",
             name_of(enrolment), enrolment->component->plugin->type);
    enrolment->asking = true;
    enrolment->query = (struct query){
        .about = QUERY_COMPONENTS, .patience_ms = QUERY_MS, .answered = on_page, .context = registration};
    queries_ask(registration->queries, &enrolment->query, members);
}

static void on_page(void *context, struct query *query, const char *body, size_t len, struct json_object *page)
{
    struct registration *registration = context;
    struct enrolment *enrolment = (struct enrolment *)((char *)query - offsetof(struct enrolment, query));
    (void)body, (void)len;
    enrolment->asking = false;
    if (page == NULL) { /* no answer */
        ask_whether(registration, enrolment);
    } else if (lists_id(page, enrolment->id)) {
        end_doubt(registration, enrolment);
        log_info(registration->log, name_of(enrolment), "still registered as %s", enrolment->id);
    } else {
        log_warning(registration->log, name_of(enrolment), "the MOV has forgotten %s; registering anew", enrolment->id);
        forget_registration(registration, enrolment);
    }
}

static void enrolment_tend(struct registration *registration, struct enrolment *enrolment, int64_t now)
{
    bool possible = registration->receiving && registration->publishing && registration->mov && !registration->leaving;
    struct subscription *answers = enrolment->component->answers;
    switch (enrolment->state) {
    case OUT:
        if (possible && registration->debt_count == 0 && now >= enrolment->retry_at) {
            enrolment->state = LISTENING;
            enrolment->deadline = now + ANSWER_MS;
            consumer_want(registration->consumer, answers, true);
            if (atomic_load(&answers->up))
                send_register(registration, enrolment);
        }
        break;
    case LISTENING: /* registration_subscribed() goes on */
        if (now >= enrolment->deadline)
            step_out(registration, enrolment, 1000);
        break;
    case ASKED:
        if (now >= enrolment->deadline)
            no_answer(registration, enrolment);
        break;
    case REGISTERED:
        if (possible && enrolment->doubtful && !enrolment->asking)
            ask_whether(registration, enrolment);
        if (now >= enrolment->sweep_at && possible && enrolment->state == REGISTERED) {
            enrolment->sweep_at = now + SWEEP_MS;
            consumer_sweep(registration->consumer, answers);
        }
        break;
    }
}

/* The id of a notification for this component, or NULL with the reason. */
static char *read_id(struct registration *registration, const struct enrolment *enrolment,
                     const struct delivery *delivery, struct fault *fault)
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
    /* The MOV says the name of every component that it registers: what has another one, or none, is not its answer to
     * us. */
    struct json_object *name = NULL;
    if (!json_object_object_get_ex(content, "name", &name) || !json_object_is_type(name, json_type_string)) {
        fault_set(fault, "it has no name");
        goto out;
    }
    size_t len = (size_t)json_object_get_string_len(name);
    if (len != strlen(name_of(enrolment)) || memcmp(json_object_get_string(name), name_of(enrolment), len) != 0) {
        fault_set(fault, "it is for %s", json_object_get_string(name));
        goto out;
    }
    id = memory_text(json_object_get_string(value));
out:
    json_object_put(content);
    return id;
}

static struct enrolment *enrolment_of(struct registration *registration, const struct component *component)
{
    for (size_t i = 0; i < registration->count; i++)
        if (registration->enrolments[i].component == component)
            return &registration->enrolments[i];
    return NULL;
}

static void settle(struct registration *registration, struct delivery *delivery, enum settlement settlement)
{
    struct list one = {0};
    delivery->settlement = settlement;
    list_put(&one, &delivery->node);
    consumer_settle(registration->consumer, &one);
}

static void take_answer(struct registration *registration, struct enrolment *enrolment, struct delivery *delivery,
                        char *id)
{
    enrolment->id = id;
    free(enrolment->notification);
    enrolment->notification = memory_format("%.*s", (int)delivery->len, delivery->body);
    enrolment->state = REGISTERED;
    enrolment->asked = 0;
    enrolment->sweep_at = clock_ms() + SWEEP_FIRST_MS;
    backoff_reset(&enrolment->backoff);
    services_set_id(enrolment->component->services, id);
    keep_ids(registration); /* before the acknowledgement: from here on nobody else knows the id */
    consumer_want(registration->consumer, enrolment->component->answers, false); /* the next one is another's */
    settle(registration, delivery, SETTLE_ACKNOWLEDGE);
    log_info(registration->log, name_of(enrolment), "registered as %s", id);
}

void registration_notified(struct registration *registration, struct component *component, struct delivery *delivery)
{
    struct enrolment *enrolment = enrolment_of(registration, component);
    struct fault fault;
    char *id = read_id(registration, enrolment, delivery, &fault);
    if (id == NULL) {
        log_error(registration->log, name_of(enrolment), "dropped a notification on %s: %s: %.*s",
                  delivery->from->topic, fault.text, delivery->len > 200 ? 200 : (int)delivery->len, delivery->body);
        settle(registration, delivery, SETTLE_REJECT);
        return;
    }
    if (enrolment->state == ASKED && !registration->leaving && !delivery->leftover && !delivery->redelivered &&
        !delivery_is_stale(delivery)) {
        take_answer(registration, enrolment, delivery, id);
        return;
    }
    if (delivery_is_stale(delivery)) { /* it comes again */
        free(id);
        free(delivery);
        return;
    }
    /* Nobody waited for it: it lay there, or whoever had it is gone. If its owner is alive after all, the owner finds
     * itself without an answer and asks again. */
    bool ours = enrolment->id != NULL && strcmp(enrolment->id, id) == 0;
    if (ours) {
        free(id);
    } else {
        log_info(registration->log, name_of(enrolment), "dropped a stale notification of %s; unregistering it", id);
        owe(registration, id);
    }
    settle(registration, delivery, SETTLE_ACKNOWLEDGE);
}

/* ---- what happened ---- */

void registration_connected(struct registration *registration, bool receiving, bool publishing)
{
    registration->receiving = receiving;
    registration->publishing = publishing;
    if (receiving)
        return;
    registration->mov = false; /* until we hear of it again */
    for (size_t i = 0; i < registration->count; i++) {
        struct enrolment *enrolment = &registration->enrolments[i];
        if (enrolment->state == LISTENING || enrolment->state == ASKED)
            step_out(registration, enrolment, 0);
        end_doubt(registration, enrolment); /* an answer to an earlier one would say nothing of now */
        enrolment->doubtful = enrolment->state == REGISTERED;
    }
}

void registration_mov(struct registration *registration, unsigned consumers)
{
    if (consumers > 0 && !registration->mov)
        log_debug(registration->log, "host", "the MOV is there");
    registration->mov = consumers > 0;
    if (consumers > 0)
        return;
    log_warning(registration->log, "host", "no MOV: nobody consumes %s; waiting for it", REGISTER_TOPIC);
    for (size_t i = 0; i < registration->count; i++) {
        struct enrolment *enrolment = &registration->enrolments[i];
        if (enrolment->state == REGISTERED)
            forget_registration(registration, enrolment); /* as the MOV does */
        else if (enrolment->state != OUT)
            step_out(registration, enrolment, 0);
    }
}

void registration_subscribed(struct registration *registration, struct component *component, bool up)
{
    struct enrolment *enrolment = enrolment_of(registration, component);
    if (up && enrolment->state == LISTENING)
        send_register(registration, enrolment);
    else if (!up && (enrolment->state == ASKED || enrolment->state == LISTENING))
        step_out(registration, enrolment, 1000);
}

void registration_settled(struct registration *registration, struct publication *publication)
{
    if (publication->kind == KIND_UNREGISTER) {
        debt_paid(registration, publication);
    } else if (publication->kind == KIND_REGISTER && publication->outcome != OUTCOME_CONFIRMED) {
        struct enrolment *enrolment = publication->owner;
        if (enrolment->state == ASKED) {
            log_warning(registration->log, name_of(enrolment),
                        "cannot register: there is no queue %s; is the MOV running?", REGISTER_TOPIC);
            step_out(registration, enrolment, backoff_next(&enrolment->backoff));
        }
    }
    free(publication);
}

int64_t registration_tend(struct registration *registration, int64_t now)
{
    int64_t next = now + 1000;
    bool reachable = registration->publishing && (registration->mov || registration->leaving);
    for (size_t i = 0; reachable && i < registration->debt_count; i++)
        if (!registration->debts[i].sent)
            send_unregister(registration, &registration->debts[i]);
    for (size_t i = 0; i < registration->count; i++) {
        struct enrolment *enrolment = &registration->enrolments[i];
        if (enrolment->component->starting)
            continue;
        enrolment_tend(registration, enrolment, now);
        int64_t due = enrolment->state == OUT ? enrolment->retry_at : enrolment->deadline;
        if (due > now && due < next)
            next = due;
    }
    return next;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name_of(*(struct enrolment *const *)a), name_of(*(struct enrolment *const *)b));
}

char *registration_text(const struct registration *registration)
{
    struct enrolment *sorted[registration->count];
    for (size_t i = 0; i < registration->count; i++) {
        sorted[i] = &registration->enrolments[i];
        if (sorted[i]->state != REGISTERED || sorted[i]->doubtful)
            return NULL;
    }
    if (registration->count == 1)
        return memory_text(sorted[0]->notification);
    qsort(sorted, registration->count, sizeof(struct enrolment *), by_name);
    struct text text = {0};
    for (size_t i = 0; i < registration->count; i++)
        text_printf(&text, "%s%s", i == 0 ? "[" : ",", sorted[i]->notification);
    text_puts(&text, "]");
    return text.at;
}

void registration_leave(struct registration *registration)
{
    registration->leaving = true;
    for (size_t i = 0; i < registration->count; i++)
        if (registration->enrolments[i].state == REGISTERED)
            forget_registration(registration, &registration->enrolments[i]);
}

bool registration_left(const struct registration *registration)
{
    return registration->debt_count == 0;
}

struct registration *registration_new(struct component *const *components, size_t count, struct publisher *publisher,
                                      struct health *health, struct log *log)
{
    struct registration *registration = memory_new(sizeof *registration);
    registration->publisher = publisher;
    registration->health = health;
    registration->log = log;
    registration->reader = json_reader_new();
    registration->enrolments = memory_new((count + 1) * sizeof *registration->enrolments);
    registration->count = count;
    for (size_t i = 0; i < count; i++) {
        struct enrolment *enrolment = &registration->enrolments[i];
        enrolment->component = components[i];
        enrolment->backoff = (struct backoff){.first_ms = 2000, .last_ms = 60000};
    }
    size_t left = 0;
    char **ids = health_left_behind(health, &left);
    for (size_t i = 0; i < left; i++) {
        log_info(log, "host", "an earlier run left %s registered; unregistering it", ids[i]);
        owe(registration, ids[i]);
    }
    free(ids);
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
    for (size_t i = 0; i < registration->count; i++) {
        if (registration->queries != NULL)
            end_doubt(registration, &registration->enrolments[i]);
        free(registration->enrolments[i].id);
        free(registration->enrolments[i].notification);
    }
    for (size_t i = 0; i < registration->debt_count; i++)
        free(registration->debts[i].id);
    free(registration->debts);
    free(registration->enrolments);
    json_tokener_free(registration->reader);
    free(registration);
}
