/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/connection.h"

#define QUORUM_LIMIT 20   /* of RabbitMQ 4.0 and later */
#define NO_TYPE "no-type" /* a queue type that no broker has */

static amqp_table_entry_t argument(const char *key, const char *value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(value)}}};
}

/* The type from `inequivalent arg 'x-queue-type' …: received 'no-type' but current is 'quorum'`. A classic queue of
 * RabbitMQ 3 has no such argument: `current is none`. */
static void read_type(const char *words, char *type, size_t size)
{
    static const char current[] = "but current is ";
    const char *at = strstr(words, "'x-queue-type'") == NULL ? NULL : strstr(words, current);
    if (at == NULL)
        return;
    at += sizeof current - 1;
    if (at[0] == '\'')
        snprintf(type, size, "%.*s", (int)strcspn(at + 1, "'"), at + 1);
    else if (strncmp(at, "none", 4) == 0)
        snprintf(type, size, "classic");
}

/* Declares the queue as a host does. It exists already, so the broker only compares. */
static bool compare(struct dialogue *dialogue, const char *queue, struct queue_facts *facts, struct fault *fault)
{
    amqp_queue_declare_t same = {.queue = amqp_cstring_bytes(queue), .durable = 1};
    int refusal = 0;
    if (!dialogue_try(dialogue, AMQP_QUEUE_DECLARE_METHOD, &same, &refusal, fault))
        return false;
    facts->fits = refusal == 0 || refusal == AMQP_ACCESS_REFUSED;
    if (!facts->fits)
        facts->mismatch = *fault;
    return true;
}

/* Finds permission and type with one request: no queue can have that type. */
static bool probe_configure(struct dialogue *dialogue, const char *queue, struct queue_facts *facts,
                            struct fault *fault)
{
    amqp_table_entry_t type = argument("x-queue-type", NO_TYPE);
    amqp_queue_declare_t typed = {.queue = amqp_cstring_bytes(queue), .durable = 1, .arguments = {1, &type}};
    int refusal = 0;
    if (!dialogue_try(dialogue, AMQP_QUEUE_DECLARE_METHOD, &typed, &refusal, fault))
        return false;
    facts->may_configure = refusal != AMQP_ACCESS_REFUSED;
    if (facts->may_configure)
        read_type(fault->text, facts->type, sizeof facts->type);
    return true;
}

/* A priority must be a number, so no consumer is created. */
static bool probe_read(struct dialogue *dialogue, const char *queue, struct queue_facts *facts, struct fault *fault)
{
    amqp_table_entry_t priority = argument("x-priority", "none");
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(queue), .arguments = {1, &priority}};
    int refusal = 0;
    if (!dialogue_try(dialogue, AMQP_BASIC_CONSUME_METHOD, &consume, &refusal, fault))
        return false;
    facts->may_read = refusal != AMQP_ACCESS_REFUSED;
    return true;
}

bool probe_queue(struct dialogue *dialogue, const char *queue, struct queue_facts *facts, struct fault *fault)
{
    amqp_queue_declare_t passive = {.queue = amqp_cstring_bytes(queue), .passive = 1};
    int refusal = 0;
    *facts = (struct queue_facts){.fits = true};
    if (!dialogue_try(dialogue, AMQP_QUEUE_DECLARE_METHOD, &passive, &refusal, fault))
        return false;
    if (refusal == 0) {
        facts->presence = QUEUE_THERE;
        facts->messages = dialogue_messages(dialogue);
        facts->consumers = dialogue_consumers(dialogue);
        if (!compare(dialogue, queue, facts, fault))
            return false;
    } else if (refusal != AMQP_NOT_FOUND) { /* since RabbitMQ 4.3 this, too, needs a permission */
        facts->presence = QUEUE_HIDDEN;
    }
    return probe_configure(dialogue, queue, facts, fault) && probe_read(dialogue, queue, facts, fault);
}

unsigned probe_delivery_limit(const char *version, const char *type)
{
    return strcmp(type, "quorum") == 0 && strtol(version, NULL, 10) >= 4 ? QUORUM_LIMIT : 0;
}
