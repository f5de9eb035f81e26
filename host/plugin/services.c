/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/services.h"

#include <json-c/json.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

#define PAYLOAD_SHOWN 1024  /* bytes of a payload in console and file */
#define PAYLOAD_MAX 1048576 /* of a payload for the MOV: larger ones are cut to … */
#define PAYLOAD_CUT 65536   /* … so much, and a note: records are there to be read */
#define SCRATCH_KEPT 65536  /* bytes, from one handling to the next */
#define TOPIC_MAX 255       /* AMQP's short string */

/* The handling that this thread is in: the plugin's calls carry no other sign of it. */
static _Thread_local struct handling *current;

static const struct {
    enum log_level level;
    const char *name; /* at the MOV */
} levels[] = {
    [VALAWAI_DEBUG] = {LOG_DEBUG, "DEBUG"},
    [VALAWAI_INFO] = {LOG_INFO, "INFO"},
    [VALAWAI_WARN] = {LOG_WARNING, "WARN"},
    [VALAWAI_ERROR] = {LOG_ERROR, "ERROR"},
};

const char *verdict_name(int value, struct verdict_name *name)
{
    static const struct {
        int error;
        const char *name;
    } errors[] = {
        {VALAWAI_E_ARGUMENT, "VALAWAI_E_ARGUMENT"},
        {VALAWAI_E_BODY, "VALAWAI_E_BODY"},
        {VALAWAI_E_TOPIC, "VALAWAI_E_TOPIC"},
        {VALAWAI_E_STATE, "VALAWAI_E_STATE"},
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == value)
            return errors[i].name;
    snprintf(name->text, sizeof name->text, "%d, which is not a verdict", value);
    return name->text;
}

/* A question without an answer. */
struct asked {
    uint64_t number;
    void (*answer)(void *self, const char *page, size_t len, void *context);
    void *context;
    struct asked *next;
};

static struct services *services_of(const struct valawai_host *host)
{
    return host->impl;
}

/* True in a handler of the plugin, on its thread. */
static bool handles(const struct services *services)
{
    return current != NULL && current->services == services;
}

/* The MOV wants a JSON text, as a string. What is none, or too much, becomes one: a JSON string. */
static void put_payload(struct text *body, const char *payload)
{
    size_t len = strlen(payload);
    if (len <= PAYLOAD_MAX && json_is_value(payload, len, NULL)) {
        text_put_json(body, payload, len);
        return;
    }
    struct text beginning = {0}, quoted = {0};
    text_put(&beginning, payload, len <= PAYLOAD_MAX ? len : text_cut(payload, len, PAYLOAD_CUT));
    if (len > PAYLOAD_MAX)
        text_printf(&beginning, "… (%zu bytes)", len);
    text_put_json(&quoted, beginning.at, beginning.len);
    text_put_json(body, quoted.at, quoted.len);
    text_free(&beginning);
    text_free(&quoted);
}

/* The body that is handled was checked before its handler was called, and goes with most of its records. */
static void put_body(struct text *body, struct handling *handling)
{
    if (handling->quoted.len == 0)
        text_put_json(&handling->quoted, handling->delivery->body, handling->delivery->len);
    text_put(body, handling->quoted.at, handling->quoted.len);
}

static void put_record(struct services *services, struct text *body, int level, const char *payload, const char *text)
{
    text_puts(body, "{\"level\":\"");
    text_puts(body, levels[level].name);
    text_puts(body, "\",\"message\":");
    text_put_json(body, text, strlen(text));
    if (payload != NULL) {
        text_puts(body, ",\"payload\":");
        if (handles(services) && payload == current->delivery->body && current->delivery->len <= PAYLOAD_MAX)
            put_body(body, current);
        else
            put_payload(body, payload);
    }
    pthread_mutex_lock(&services->lock);
    text_put(body, services->id_member.at, services->id_member.len);
    pthread_mutex_unlock(&services->lock);
    text_put(body, "}", 1);
}

static void record_to_mov(struct services *services, int level, const char *payload, const char *text)
{
    const struct transport *transport = services->options.transport;
    struct text once = {0}, *body = handles(services) ? &current->record : &once;
    text_clear(body);
    put_record(services, body, level, payload, text);
    transport->record(transport->context, body->at, body->len, !handles(services));
    text_free(&once);
}

void services_flush(struct services *services)
{
    const struct transport *transport = services->options.transport;
    if (transport->flush != NULL)
        transport->flush(transport->context);
}

void services_record(struct services *services, int level, const char *file, int line, const char *payload,
                     const char *text)
{
    if (level < VALAWAI_DEBUG || level > VALAWAI_ERROR)
        level = VALAWAI_ERROR;
    const char *name = services->options.plugin->name;
    enum log_level local = levels[level].level;
    size_t len = payload == NULL ? 0 : strlen(payload);
    if (len <= PAYLOAD_SHOWN)
        log_put(services->options.log, local, name, file, line, text, payload, len);
    else if (log_wants(services->options.log, local))
        log_write(services->options.log, local, name, file, line, "%s: %.*s… (%zu bytes)", text,
                  (int)text_cut(payload, len, PAYLOAD_SHOWN), payload, len);
    if (services->options.transport->record != NULL)
        record_to_mov(services, level, payload, text);
}

/* What is left of a rule that the plugin broke: a record, or in a build for debugging the end. */
static void misuse(struct services *services, const char *rule)
{
    char text[512];
    snprintf(text, sizeof text, "the plugin misuses the host: %s", rule);
    services_record(services, VALAWAI_ERROR, services->options.plugin->file, 0, NULL, text);
#ifdef HOST_ABORT_ON_MISUSE
    fprintf(stderr, "valawai-host: %s: %s\n", services->options.plugin->file, text);
    abort();
#endif
}

/* Whether anybody is to see it; what nobody sees is not even put together. */
static bool is_wanted(const struct services *services, int level)
{
    if (level < VALAWAI_DEBUG || level > VALAWAI_ERROR)
        level = VALAWAI_ERROR;
    return services->options.transport->record != NULL || log_wants(services->options.log, levels[level].level);
}

static void serve_log(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                      const char *format, ...)
{
    struct services *services = services_of(host);
    struct text text = {0};
    va_list arguments;
    if (format == NULL) {
        misuse(services, "log() without a text");
        return;
    }
    if (!is_wanted(services, level))
        return;
    if (strchr(format, '%') == NULL) { /* most say the same every time */
        services_record(services, level, file, line, payload, format);
        return;
    }
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    services_record(services, level, file, line, payload, text.at);
    text_free(&text);
}

static void serve_log_text(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                           const char *text)
{
    struct services *services = services_of(host);
    if (text == NULL)
        misuse(services, "log_text() without a text");
    else if (is_wanted(services, level))
        services_record(services, level, file, line, payload, text);
}

static const char *serve_option(const struct valawai_host *host, const char *key)
{
    return options_text(services_of(host)->options.plugin->options, key);
}

static struct json_object *serve_options(const struct valawai_host *host)
{
    return options_json(services_of(host)->options.plugin->options);
}

/* A publication that is not made is the plugin's to know and the reader of the log's, too. */
static int refuse(struct services *services, int error, const char *topic, const char *why)
{
    char text[768];
    snprintf(text, sizeof text, "cannot publish on %s: %s", topic == NULL ? "(NULL)" : topic, why);
    services_record(services, VALAWAI_ERROR, services->options.plugin->file, 0, NULL, text);
    return error;
}

bool services_read(struct handling *handling, struct fault *fault)
{
    const struct delivery *delivery = handling->delivery;
    if (handling->services->validate == VALIDATE_OFF)
        return json_is_object(delivery->body, delivery->len, fault);
    handling->json = json_parse(json_thread_reader(), delivery->body, delivery->len, fault);
    return handling->json != NULL;
}

struct json_object *services_json(struct handling *handling)
{
    if (handling->json == NULL)
        handling->json = json_parse(json_thread_reader(), handling->delivery->body, handling->delivery->len, NULL);
    return handling->json;
}

/* A handler that passes on what it got: that has been checked, and parsed if need be. */
static bool is_handled(const struct services *services, const char *body, size_t len)
{
    return handles(services) && body == current->delivery->body && len == current->delivery->len;
}

static struct json_object *publication_json(struct services *services, const char *body, size_t len,
                                            struct fault *fault)
{
    if (is_handled(services, body, len))
        return json_object_get(services_json(current));
    return json_parse(json_thread_reader(), body, len, fault);
}

static bool fits(struct services *services, const struct contract_topic *topic, struct json_object *json,
                 struct fault *fault)
{
    char reason[384];
    if (topic_check(topic, CONTRACT_PUBLISH, json, reason, sizeof reason))
        return true;
    if (services->validate != VALIDATE_WARN)
        return fault_set(fault, "not as the AsyncAPI document declares it: %s", reason);
    log_warning(services->options.log, services->options.plugin->name,
                "publishes on %s what its AsyncAPI document does not declare: %s", topic_name(topic), reason);
    return true;
}

/* A JSON object, and one that the AsyncAPI document declares for the topic. */
static bool may_publish(struct services *services, const struct contract_topic *topic, const char *body, size_t len,
                        struct fault *fault)
{
    if (services->validate == VALIDATE_OFF)
        return is_handled(services, body, len) || json_is_object(body, len, fault);
    if (is_handled(services, body, len) && current->fits != NULL && topic_passes_on(current->fits, topic))
        return true;
    struct json_object *json = publication_json(services, body, len, fault);
    bool good = json != NULL && fits(services, topic, json, fault);
    json_object_put(json);
    return good;
}

/* The publication, or NULL with the error. */
static struct publication *make_publication(struct services *services, const char *topic, const char *body, size_t len,
                                            bool allowed, int *error)
{
    struct fault fault;
    *error = VALAWAI_OK;
    if (topic == NULL || body == NULL || topic[0] == '\0')
        *error = refuse(services, VALAWAI_E_ARGUMENT, topic, "topic and body are wanted");
    else if (strlen(topic) > TOPIC_MAX)
        *error = refuse(services, VALAWAI_E_ARGUMENT, "(too long)", "a topic has at most 255 bytes");
    if (*error != VALAWAI_OK)
        return NULL;
    const struct contract_topic *declared = contract_find(services->options.plugin->contract, topic);
    if (declared == NULL || !topic_has(declared, CONTRACT_PUBLISH))
        declared = contract_find(services->options.mov, topic);
    if (declared == NULL)
        *error = refuse(services, VALAWAI_E_TOPIC, topic, "not a `publish` channel of the AsyncAPI document");
    else if (!allowed)
        *error = refuse(services, VALAWAI_E_STATE, topic, "only between start and stop");
    else if (len > services->options.message_max_bytes)
        *error = refuse(services, VALAWAI_E_BODY, topic, "the body is larger than message_max_bytes");
    else if (!may_publish(services, declared, body, len, &fault))
        *error = refuse(services, VALAWAI_E_BODY, topic, fault.text);
    if (*error != VALAWAI_OK)
        return NULL;
    struct publication *publication = publication_new(topic, body, len);
    publication->persistent = true;
    publication->waits = true;
    publication->account = &services->account;
    return publication;
}

/* What a handling holds is its thread's alone until a ticket of it may be on another one. */
static void lock_shared(struct handling *handling)
{
    if (handling->shared)
        pthread_mutex_lock(&handling->services->lock);
}

static void unlock_shared(struct handling *handling)
{
    if (handling->shared)
        pthread_mutex_unlock(&handling->services->lock);
}

static int serve_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len)
{
    struct services *services = services_of(host);
    int error;
    struct publication *publication =
        make_publication(services, topic, body, len, atomic_load(&services->running), &error);
    if (publication == NULL)
        return error;
    if (handles(services)) {
        lock_shared(current);
        list_put(&current->publications, &publication->node);
        unlock_shared(current);
        return VALAWAI_OK;
    }
    struct list one = {0};
    list_put(&one, &publication->node);
    if (services->options.transport->send(services->options.transport->context, &one))
        return VALAWAI_OK;
    list_free(&one);
    return refuse(services, VALAWAI_E_STATE, topic, "the host is stopping");
}

static bool in_handler(const struct services *services, const struct valawai_message *message)
{
    return handles(services) && message != NULL && message->body == current->delivery->body;
}

static struct json_object *serve_json(const struct valawai_host *host, const struct valawai_message *message)
{
    struct services *services = services_of(host);
    if (in_handler(services, message))
        return services_json(current);
    misuse(services, "json() is for the message in hand, on the thread of its handler");
    return NULL;
}

static void set_reason(struct handling *handling, const char *format, va_list arguments)
{
    struct text text = {0};
    text_vprintf(&text, format, arguments);
    free(handling->reason);
    handling->reason = text.at;
}

void handling_explain(struct handling *handling, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_reason(handling, format, arguments);
    va_end(arguments);
}

static int serve_explain(const struct valawai_host *host, int verdict, const char *format, ...)
{
    struct services *services = services_of(host);
    if (!handles(services)) {
        misuse(services, "explain() is for handlers, on their thread");
        return verdict;
    }
    va_list arguments;
    va_start(arguments, format);
    lock_shared(current);
    set_reason(current, format, arguments);
    unlock_shared(current);
    va_end(arguments);
    return verdict;
}

/* Takes the question of this number out, or with 0 any. */
static bool take_asked(struct services *services, uint64_t number, struct asked *taken)
{
    pthread_mutex_lock(&services->lock);
    struct asked **place = &services->asked;
    while (*place != NULL && number != 0 && (*place)->number != number)
        place = &(*place)->next;
    struct asked *asked = *place;
    if (asked != NULL) {
        *taken = *asked;
        *place = asked->next;
    }
    pthread_mutex_unlock(&services->lock);
    free(asked);
    return asked != NULL;
}

/* ---- notices ---- */

static void give_notice(struct services *services, struct notice *notice)
{
    queue_put(&services->notices, &notice->node);
    atomic_store(&services->noticed, true);
    if (services->waking != NULL)
        queue_wake(services->waking);
}

void services_answered(struct handling *handling)
{
    give_notice(handling->services, &handling->notice);
}

void services_notify(struct services *services, struct notice *notice, void *self)
{
    const struct valawai_plugin *entry = &services->options.plugin->entry;
    if (notice->kind == NOTICE_ID) {
        struct id_notice *changed = (struct id_notice *)notice;
        if (changed->id != NULL && entry->registered != NULL)
            entry->registered(self, changed->id);
        else if (changed->id == NULL && entry->unregistered != NULL)
            entry->unregistered(self);
        free(changed->id);
    } else {
        struct page_notice *page = (struct page_notice *)notice;
        struct asked asked;
        if (take_asked(services, page->number, &asked))
            asked.answer(self, page->page, page->len, asked.context);
        free(page->page);
    }
    free(notice);
}

/* ---- answers that come later ---- */

/* A ticket is its place in the table and how often that was given out, so an old one is never taken for a new one. */
#define TICKET(place, use) ((uint64_t)(use) << 32 | ((uint64_t)(place) + 1))

/* The caller holds the lock. NULL: it is answered, was never given, or it is too late. */
static struct ticket *find_ticket(struct services *services, uint64_t number)
{
    size_t place = (size_t)(number & UINT32_MAX) - 1;
    if (place >= services->ticket_count || atomic_load(&services->ended))
        return NULL;
    struct ticket *ticket = &services->tickets[place];
    return ticket->handling != NULL && ticket->use == number >> 32 ? ticket : NULL;
}

/* The caller holds the lock. */
static uint64_t new_ticket(struct services *services, struct handling *handling)
{
    size_t place = services->first_free;
    while (place < services->ticket_count && services->tickets[place].handling != NULL)
        place++;
    if (place == services->ticket_count) {
        size_t count = 2 * services->ticket_count + 8;
        services->tickets = memory_resize(services->tickets, count * sizeof *services->tickets);
        memset(&services->tickets[place], 0, (count - place) * sizeof *services->tickets);
        services->ticket_count = count;
    }
    services->first_free = place + 1;
    services->tickets[place].handling = handling;
    handling->ticket = TICKET(place, ++services->tickets[place].use);
    handling->since = clock_ms();
    return handling->ticket;
}

/* The caller holds the lock. */
static void end_ticket(struct services *services, struct ticket *ticket)
{
    size_t place = (size_t)(ticket - services->tickets);
    ticket->handling->ticket = 0;
    ticket->handling = NULL;
    if (place < services->first_free)
        services->first_free = place;
}

static uint64_t serve_later(const struct valawai_host *host, const struct valawai_message *message)
{
    struct services *services = services_of(host);
    if (!in_handler(services, message)) {
        misuse(services, "later() is for the message in hand, on the thread of its handler");
        return 0;
    }
    uint64_t number = 0;
    pthread_mutex_lock(&services->lock);
    current->shared = true;
    if (current->ticket != 0)
        number = current->ticket;
    else if (!current->answered)
        number = new_ticket(services, current);
    pthread_mutex_unlock(&services->lock);
    if (number == 0)
        misuse(services, "later() for a message that is already answered");
    return number;
}

static int no_ticket(struct services *services, const char *function)
{
    char rule[160];
    if (atomic_load(&services->ended))
        return VALAWAI_E_STATE;
    snprintf(rule, sizeof rule, "%s() with a ticket that later() did not return, or that is already answered",
             function);
    misuse(services, rule);
    return VALAWAI_E_STATE;
}

static int serve_publish_for(const struct valawai_host *host, uint64_t number, const char *topic, const char *body,
                             size_t len)
{
    struct services *services = services_of(host);
    int error;
    struct publication *publication =
        make_publication(services, topic, body, len, !atomic_load(&services->ended), &error);
    if (publication == NULL)
        return error;
    pthread_mutex_lock(&services->lock);
    struct ticket *ticket = find_ticket(services, number);
    if (ticket != NULL)
        list_put(&ticket->handling->publications, &publication->node);
    pthread_mutex_unlock(&services->lock);
    if (ticket != NULL)
        return VALAWAI_OK;
    free(publication);
    return no_ticket(services, "publish_for");
}

static int serve_answer(const struct valawai_host *host, uint64_t number, int verdict, const char *reason)
{
    struct services *services = services_of(host);
    pthread_mutex_lock(&services->lock);
    struct ticket *ticket = find_ticket(services, number);
    struct handling *handling = ticket == NULL ? NULL : ticket->handling;
    struct verdict_name name;
    if (handling != NULL) {
        if (reason != NULL)
            handling_explain(handling, "%s", reason);
        if (!is_verdict(verdict)) {
            handling_explain(handling, "the ticket was answered with %s", verdict_name(verdict, &name));
            verdict = VALAWAI_FAILED;
        }
        end_ticket(services, ticket);
        handling->verdict = verdict;
        handling->answered = true;
        if (handling->returned) /* under the lock: after services_end_tickets() there is none any more */
            services_answered(handling);
    }
    pthread_mutex_unlock(&services->lock);
    return handling == NULL ? no_ticket(services, "answer") : VALAWAI_OK;
}

bool services_leave(struct handling *handling)
{
    struct services *services = handling->services;
    pthread_mutex_lock(&services->lock);
    bool waits = handling->ticket != 0, answered = handling->answered;
    handling->returned = waits;
    pthread_mutex_unlock(&services->lock);
    if (!waits && !answered) {
        misuse(services, "a handler returned VALAWAI_LATER without a ticket of later()");
        handling_explain(handling, "the handler returned VALAWAI_LATER without a ticket of later()");
        handling->verdict = VALAWAI_FAILED;
    }
    return waits;
}

void services_revoke(struct handling *handling)
{
    struct services *services = handling->services;
    pthread_mutex_lock(&services->lock);
    struct ticket *ticket = find_ticket(services, handling->ticket);
    if (ticket != NULL)
        end_ticket(services, ticket);
    bool answered = handling->answered;
    pthread_mutex_unlock(&services->lock);
    if (answered)
        misuse(services, "a handler answered a ticket and returned a verdict other than VALAWAI_LATER");
}

void services_end_running(struct services *services)
{
    pthread_mutex_lock(&services->lock);
    atomic_store(&services->running, false);
    pthread_mutex_unlock(&services->lock);
}

void services_end_tickets(struct services *services)
{
    pthread_mutex_lock(&services->lock);
    atomic_store(&services->ended, true);
    pthread_mutex_unlock(&services->lock);
}

size_t services_open(struct services *services, int64_t *since, const char **topic)
{
    size_t open = 0;
    pthread_mutex_lock(&services->lock);
    for (size_t i = 0; i < services->ticket_count; i++) {
        const struct handling *handling = services->tickets[i].handling;
        if (handling == NULL)
            continue;
        if (open++ == 0 || handling->since < *since) {
            *since = handling->since;
            *topic = handling->delivery->from->topic;
        }
    }
    pthread_mutex_unlock(&services->lock);
    return open;
}

/* ---- timers ---- */

static uint64_t serve_timer(const struct valawai_host *host, uint32_t first_ms, uint32_t every_ms,
                            void (*due)(void *self, void *context), void *context)
{
    struct services *services = services_of(host);
    if (due == NULL) {
        misuse(services, "timer() without a function to call");
        return 0;
    }
    struct timer timer = {.at = clock_ms() + first_ms, .every_ms = every_ms, .due = due, .context = context};
    uint64_t id = timers_add(&services->timers, timer);
    atomic_store(&services->noticed, true);
    if (services->waking != NULL)
        queue_wake(services->waking);
    return id;
}

static int serve_cancel(const struct valawai_host *host, uint64_t timer)
{
    return timers_cancel(&services_of(host)->timers, timer) ? VALAWAI_OK : VALAWAI_E_ARGUMENT;
}

/* ---- questions to the MOV ---- */

static int refuse_query(struct services *services, int error, const char *why)
{
    char text[640];
    snprintf(text, sizeof text, "cannot ask the MOV: %s", why);
    services_record(services, VALAWAI_ERROR, services->options.plugin->file, 0, NULL, text);
    return error;
}

static bool query_is_good(struct services *services, int what, const char *query, struct fault *fault)
{
    const char *topic = what == VALAWAI_COMPONENTS ? "valawai/component/query" : "valawai/topology/query";
    char reason[384];
    struct json_object *json = json_parse(json_thread_reader(), query, strlen(query), fault);
    if (json == NULL)
        return false;
    bool good = topic_check(contract_find(services->options.mov, topic), CONTRACT_PUBLISH, json, reason, sizeof reason);
    if (good && json_object_object_get_ex(json, "id", NULL)) {
        snprintf(reason, sizeof reason, "the id is the host's to give");
        good = false;
    }
    json_object_put(json);
    return good || fault_set(fault, "%s", reason);
}

static int serve_query(const struct valawai_host *host, int what, const char *query,
                       void (*answer)(void *self, const char *page, size_t len, void *context), void *context)
{
    struct services *services = services_of(host);
    struct fault fault;
    if (query == NULL)
        query = "{\"offset\":0,\"limit\":100}";
    if (answer == NULL) {
        misuse(services, "query() without a function to answer");
        return VALAWAI_E_ARGUMENT;
    }
    if (what != VALAWAI_COMPONENTS && what != VALAWAI_CONNECTIONS)
        return refuse_query(services, VALAWAI_E_ARGUMENT, "neither for components nor for connections");
    if (!query_is_good(services, what, query, &fault))
        return refuse_query(services, VALAWAI_E_BODY, fault.text);
    struct question *question = memory_new(sizeof *question);
    question->services = services;
    question->what = what;
    question->query = memory_text(query);
    pthread_mutex_lock(&services->lock);
    if (!atomic_load(&services->running)) { /* nobody would answer it */
        pthread_mutex_unlock(&services->lock);
        free(question->query);
        free(question);
        return refuse_query(services, VALAWAI_E_STATE, "only between start and stop");
    }
    question->number = ++services->last_question;
    struct asked *asked = memory_new(sizeof *asked);
    *asked = (struct asked){.number = question->number, .answer = answer, .context = context, .next = services->asked};
    services->asked = asked;
    pthread_mutex_unlock(&services->lock);
    services->options.ask(services->options.context, question);
    return VALAWAI_OK;
}

void services_answer(struct question *question, const char *page, size_t len)
{
    struct page_notice *notice = memory_new(sizeof *notice);
    notice->notice.kind = NOTICE_PAGE;
    notice->number = question->number;
    if (page != NULL) {
        notice->page = memory_new(len + 1);
        memcpy(notice->page, page, len);
        notice->len = len;
    }
    give_notice(question->services, &notice->notice);
    free(question->query);
    free(question);
}

void services_end_questions(struct services *services, void *self)
{
    struct asked asked;
    while (take_asked(services, 0, &asked))
        asked.answer(self, NULL, 0, asked.context);
}

/* ---- too late ---- */

static void gone_log(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                     const char *format, ...)
{
    (void)host, (void)level, (void)file, (void)line, (void)payload, (void)format;
}

static void gone_log_text(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                          const char *text)
{
    (void)host, (void)level, (void)file, (void)line, (void)payload, (void)text;
}

static const char *gone_option(const struct valawai_host *host, const char *key)
{
    (void)host, (void)key;
    return NULL;
}

static struct json_object *gone_options(const struct valawai_host *host)
{
    (void)host;
    return NULL;
}

static int gone_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len)
{
    (void)host, (void)topic, (void)body, (void)len;
    return VALAWAI_E_STATE;
}

static struct json_object *gone_json(const struct valawai_host *host, const struct valawai_message *message)
{
    (void)host, (void)message;
    return NULL;
}

static int gone_explain(const struct valawai_host *host, int verdict, const char *format, ...)
{
    (void)host, (void)format;
    return verdict;
}

static uint64_t gone_later(const struct valawai_host *host, const struct valawai_message *message)
{
    (void)host, (void)message;
    return 0;
}

static int gone_publish_for(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                            size_t len)
{
    (void)host, (void)ticket, (void)topic, (void)body, (void)len;
    return VALAWAI_E_STATE;
}

static int gone_answer(const struct valawai_host *host, uint64_t ticket, int verdict, const char *reason)
{
    (void)host, (void)ticket, (void)verdict, (void)reason;
    return VALAWAI_E_STATE;
}

static uint64_t gone_timer(const struct valawai_host *host, uint32_t first_ms, uint32_t every_ms,
                           void (*due)(void *self, void *context), void *context)
{
    (void)host, (void)first_ms, (void)every_ms, (void)due, (void)context;
    return 0;
}

static int gone_cancel(const struct valawai_host *host, uint64_t timer)
{
    (void)host, (void)timer;
    return VALAWAI_E_STATE;
}

static int gone_query(const struct valawai_host *host, int what, const char *query,
                      void (*answer)(void *self, const char *page, size_t len, void *context), void *context)
{
    (void)host, (void)what, (void)query, (void)answer, (void)context;
    return VALAWAI_E_STATE;
}

static const struct valawai_host gone = {
    .size = sizeof(struct valawai_host),
    .abi_minor = VALAWAI_ABI_MINOR,
    .log = gone_log,
    .option = gone_option,
    .options = gone_options,
    .publish = gone_publish,
    .json = gone_json,
    .explain = gone_explain,
    .later = gone_later,
    .publish_for = gone_publish_for,
    .answer = gone_answer,
    .timer = gone_timer,
    .cancel = gone_cancel,
    .query = gone_query,
    .log_text = gone_log_text,
};

static struct services *all_gone; /* to be found by whoever looks for lost memory */

/* ---- */

struct services *services_new(const struct services_options *options)
{
    struct services *services = memory_new(sizeof *services);
    const struct plugin_section *section = options->plugin->section;
    services->table = (struct valawai_host){
        .size = sizeof(struct valawai_host),
        .abi_minor = VALAWAI_ABI_MINOR,
        .impl = services,
        .log = serve_log,
        .option = serve_option,
        .options = serve_options,
        .publish = serve_publish,
        .json = serve_json,
        .explain = serve_explain,
        .later = serve_later,
        .publish_for = serve_publish_for,
        .answer = serve_answer,
        .timer = serve_timer,
        .cancel = serve_cancel,
        .query = serve_query,
        .log_text = serve_log_text,
    };
    services->options = *options;
    services->validate = section == NULL ? VALIDATE_STRICT : section->validate;
    pthread_mutex_init(&services->lock, NULL);
    timers_init(&services->timers);
    queue_init(&services->notices, false);
    return services;
}

void services_free(struct services *services)
{
    struct asked asked;
    if (services == NULL)
        return;
    struct list notices = queue_take(&services->notices);
    for (struct node *node; (node = list_take(&notices)) != NULL; free(node)) {
        struct notice *notice = (struct notice *)node;
        if (notice->kind == NOTICE_ID)
            free(((struct id_notice *)notice)->id);
        else if (notice->kind == NOTICE_PAGE)
            free(((struct page_notice *)notice)->page);
    }
    while (take_asked(services, 0, &asked))
        continue;
    queue_destroy(&services->notices);
    timers_destroy(&services->timers);
    free(services->tickets);
    text_free(&services->id_member);
    pthread_mutex_destroy(&services->lock);
    if (!services->given) {
        free(services);
        return;
    }
    services->table = gone;
    services->next_gone = all_gone;
    all_gone = services;
}

void services_set_id(struct services *services, const char *id)
{
    pthread_mutex_lock(&services->lock);
    bool changed = strcmp(services->id, id == NULL ? "" : id) != 0;
    snprintf(services->id, sizeof services->id, "%s", id == NULL ? "" : id);
    text_clear(&services->id_member);
    if (services->id[0] != '\0') {
        text_puts(&services->id_member, ",\"component_id\":");
        text_put_json(&services->id_member, services->id, strlen(services->id));
    }
    pthread_mutex_unlock(&services->lock);
    if (!changed)
        return;
    struct id_notice *notice = memory_new(sizeof *notice);
    notice->notice.kind = NOTICE_ID;
    notice->id = memory_text(id);
    give_notice(services, &notice->notice);
}

void services_begin(struct handling *handling)
{
    current = handling;
}

void services_end(void)
{
    current = NULL;
}

static void scratch_clear(struct text *text)
{
    if (text->room > SCRATCH_KEPT)
        text_free(text);
    else
        text_clear(text);
}

void handling_clear(struct handling *handling)
{
    list_free(&handling->publications);
    json_object_put(handling->json);
    free(handling->reason);
    scratch_clear(&handling->record);
    scratch_clear(&handling->quoted);
    *handling =
        (struct handling){.notice.kind = NOTICE_ANSWERED, .record = handling->record, .quoted = handling->quoted};
}

void handling_free(struct handling *handling)
{
    if (handling == NULL)
        return;
    handling_clear(handling);
    text_free(&handling->record);
    text_free(&handling->quoted);
    free(handling);
}
