/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tags: the delivery tags of one AMQP channel that the broker waits for, in their order. Settlements arrive in any
 * order. What is settled in a row is acknowledged with one method; what lies beyond a gap is acknowledged tag by tag,
 * so a message that takes long holds back neither the others nor the prefetch. No socket, no clock. */
#ifndef BROKER_TAGS_H
#define BROKER_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tag_state {
    TAG_OPEN,
    TAG_TO_ACKNOWLEDGE,
    TAG_SETTLED, /* the broker has been told otherwise */
};

/* All zero at first. */
struct tags {
    struct tag {
        uint64_t number;
        int64_t since; /* when it was handed out */
        enum tag_state state;
    } * at;
    size_t first, end, room;
    size_t marked; /* that are not TAG_OPEN */
};

void tags_clear(struct tags *tags); /* keeps the memory */
void tags_free(struct tags *tags);

/* False: the number is not higher than the last one, so the broker does not count as AMQP says. */
bool tags_put(struct tags *tags, uint64_t number, int64_t now) __attribute__((warn_unused_result));

/* False: not among them, or marked before. */
bool tags_mark(struct tags *tags, uint64_t number, enum tag_state state);

size_t tags_count(const struct tags *tags);
size_t tags_open(const struct tags *tags);    /* of them, those that are TAG_OPEN */
int64_t tags_oldest(const struct tags *tags); /* when the first of them was handed out; INT64_MAX: there is none */

/* Calls send for each acknowledgement that is due and forgets what is settled. multiple: this tag and all before it.
 * False as soon as send says so; then the channel is lost, and tags_clear() comes next. */
bool tags_acknowledge(struct tags *tags, bool (*send)(void *context, uint64_t number, bool multiple), void *context)
    __attribute__((warn_unused_result));

#endif
