/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/confirms.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- the window ---- */

static struct publication **slot(const struct confirms *confirms, uint64_t index)
{
    return &confirms->slots[index & (confirms->room - 1)];
}

static void grow(struct confirms *confirms)
{
    struct confirms old = *confirms;
    confirms->room = old.room == 0 ? 1024 : old.room * 2;
    confirms->slots = memory_new(confirms->room * sizeof *confirms->slots);
    for (uint64_t index = old.first; index < old.next; index++)
        *slot(confirms, index) = *slot(&old, index);
    free(old.slots);
}

void confirms_put(struct confirms *confirms, struct publication *publication)
{
    if (confirms->next - confirms->first == confirms->room)
        grow(confirms);
    publication->returned = false;
    *slot(confirms, confirms->next++) = publication;
    confirms->count++;
    confirms->bytes += publication->len;
}

static struct publication *take(struct confirms *confirms, uint64_t index)
{
    struct publication *publication = *slot(confirms, index);
    if (publication != NULL) {
        *slot(confirms, index) = NULL;
        confirms->count--;
        confirms->bytes -= publication->len;
    }
    return publication;
}

void confirms_take(struct confirms *confirms, uint64_t sequence, bool multiple, bool positive, struct list *taken)
{
    /* 0 with multiple: all publications. */
    uint64_t end = sequence == 0 && multiple ? confirms->next : sequence;
    uint64_t begin = multiple || end == 0 ? confirms->first : end - 1;
    if (end > confirms->next || begin < confirms->first) /* never sent, or confirmed already */
        return;
    for (uint64_t index = begin; index < end; index++) {
        struct publication *publication = take(confirms, index);
        if (publication == NULL)
            continue;
        publication->outcome = publication->returned ? OUTCOME_UNROUTABLE
                               : positive            ? OUTCOME_CONFIRMED
                                                     : OUTCOME_NOT_KEPT;
        list_put(taken, &publication->node);
    }
    while (confirms->first < confirms->next && *slot(confirms, confirms->first) == NULL)
        confirms->first++;
}

int64_t confirms_oldest(const struct confirms *confirms)
{
    int64_t oldest = INT64_MAX;
    for (uint64_t i = confirms->first; i < confirms->next; i++) {
        const struct publication *publication = confirms->slots[i & (confirms->room - 1)];
        if (publication != NULL && publication->taken_at < oldest)
            oldest = publication->taken_at;
    }
    return oldest;
}

struct publication *confirms_take_only(struct confirms *confirms)
{
    if (confirms->count != 1)
        return NULL;
    struct publication *only = NULL;
    for (; only == NULL; confirms->first++)
        only = take(confirms, confirms->first);
    return only;
}

static void return_end(struct confirms *confirms)
{
    free(confirms->returned.body);
    confirms->returned.body = NULL;
    confirms->returned.state = RETURN_NONE;
}

struct list confirms_reset(struct confirms *confirms)
{
    struct list all = {0};
    for (uint64_t index = confirms->first; index < confirms->next; index++) {
        struct publication *publication = take(confirms, index);
        if (publication != NULL)
            list_put(&all, &publication->node);
    }
    confirms->first = confirms->next = confirms->returned.from = 0;
    return_end(confirms);
    return all;
}

void confirms_free(struct confirms *confirms)
{
    return_end(confirms);
    free(confirms->slots);
    *confirms = (struct confirms){0};
}

/* ---- the returned message ---- */

static bool may_be(const struct confirms *confirms, uint64_t index, uint64_t size)
{
    const struct publication *publication = *slot(confirms, index);
    return publication != NULL && !publication->returned && publication->len == size &&
           strcmp(publication->topic, confirms->returned.topic) == 0 &&
           (confirms->returned.state != RETURN_BODY ||
            memcmp(publication->body, confirms->returned.body, publication->len) == 0);
}

/* The index of the returned publication, by the parts that have arrived; next: none matches. Two identical publications
 * may be mistaken for each other, which is harmless: one of them is published again. */
static uint64_t find(const struct confirms *confirms, uint64_t size)
{
    uint64_t from = confirms->returned.from;
    if (from < confirms->first || from > confirms->next)
        from = confirms->first;
    for (uint64_t index = from; index < confirms->next; index++)
        if (may_be(confirms, index, size))
            return index;
    for (uint64_t index = confirms->first; index < from; index++)
        if (may_be(confirms, index, size))
            return index;
    return confirms->next;
}

static void return_complete(struct confirms *confirms)
{
    uint64_t index = find(confirms, confirms->returned.size);
    if (index != confirms->next) {
        (*slot(confirms, index))->returned = true;
        confirms->returned.from = index + 1;
    }
    return_end(confirms);
}

bool confirms_return(struct confirms *confirms, const char *topic, size_t len, struct fault *fault)
{
    if (confirms->returned.state != RETURN_NONE)
        return fault_set(fault, "the broker returns a message in the middle of another");
    if (len >= sizeof confirms->returned.topic)
        return fault_set(fault, "the broker returns a message with a topic of %zu bytes", len);
    memcpy(confirms->returned.topic, topic, len);
    confirms->returned.topic[len] = '\0';
    confirms->returned.state = RETURN_ANNOUNCED;
    return true;
}

bool confirms_return_header(struct confirms *confirms, uint64_t size, struct fault *fault)
{
    if (confirms->returned.state != RETURN_ANNOUNCED)
        return fault_set(fault, "the broker sends a content header out of turn");
    bool known = find(confirms, size) != confirms->next;
    confirms->returned.left = size;
    confirms->returned.state = known ? RETURN_BODY : RETURN_SKIPPED;
    if (known) { /* so the size is that of a publication in memory */
        confirms->returned.size = (size_t)size;
        confirms->returned.body = memory_take((size_t)size + 1);
    }
    if (size > 0)
        return true;
    if (known)
        return_complete(confirms);
    else
        return_end(confirms);
    return true;
}

bool confirms_return_body(struct confirms *confirms, const char *part, size_t len, struct fault *fault)
{
    bool known = confirms->returned.state == RETURN_BODY;
    if (!known && confirms->returned.state != RETURN_SKIPPED)
        return fault_set(fault, "the broker sends a body out of turn");
    if (len > confirms->returned.left)
        return fault_set(fault, "the broker sends a body that is longer than its header says");
    if (known && len > 0)
        memcpy(confirms->returned.body + (confirms->returned.size - confirms->returned.left), part, len);
    confirms->returned.left -= len;
    if (confirms->returned.left > 0)
        return true;
    if (known)
        return_complete(confirms);
    else
        return_end(confirms);
    return true;
}
