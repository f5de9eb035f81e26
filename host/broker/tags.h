/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tags: the unsettled delivery tags of one AMQP channel, in order. Settlements arrive in any order. A run of settled
 * tags is acknowledged with one method; tags beyond a gap are acknowledged one by one, so a slow message delays neither
 * the others nor the prefetch. No socket, no clock. */
#ifndef BROKER_TAGS_H
#define BROKER_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tag_state {
    TAG_OPEN,
    TAG_TO_ACKNOWLEDGE,
    TAG_SETTLED, /* rejected or returned */
};

/* All zero at first. */
struct tags {
    struct tag {
        uint64_t number;
        int64_t since; /* when the broker delivered it */
        enum tag_state state;
    } * at;
    size_t first, end, room;
    size_t marked; /* tags that are not TAG_OPEN */
};

void tags_clear(struct tags *tags); /* keeps the memory */
void tags_free(struct tags *tags);

/* False: the number is not higher than the last one, which violates AMQP. */
bool tags_put(struct tags *tags, uint64_t number, int64_t now) __attribute__((warn_unused_result));

/* False: the tag is unknown, or marked already. */
bool tags_mark(struct tags *tags, uint64_t number, enum tag_state state);

size_t tags_count(const struct tags *tags);
size_t tags_open(const struct tags *tags);    /* the number of TAG_OPEN */
int64_t tags_oldest(const struct tags *tags); /* when the first was delivered; INT64_MAX: there is none */

/* Calls send for each due acknowledgement and forgets the settled tags. multiple: this tag and all before it. False as
 * soon as send returns false; then the channel is lost, and tags_clear() follows. */
bool tags_acknowledge(struct tags *tags, bool (*send)(void *context, uint64_t number, bool multiple), void *context)
    __attribute__((warn_unused_result));

#endif
