/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/tags.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void tags_clear(struct tags *tags)
{
    tags->first = tags->end = tags->marked = 0;
}

void tags_free(struct tags *tags)
{
    free(tags->at);
    *tags = (struct tags){0};
}

size_t tags_count(const struct tags *tags)
{
    return tags->end - tags->first;
}

size_t tags_open(const struct tags *tags)
{
    return tags_count(tags) - tags->marked;
}

int64_t tags_oldest(const struct tags *tags)
{
    return tags_count(tags) == 0 ? INT64_MAX : tags->at[tags->first].since;
}

static void make_room(struct tags *tags)
{
    if (tags->end < tags->room)
        return;
    if (tags->first > 0) {
        memmove(tags->at, tags->at + tags->first, tags_count(tags) * sizeof *tags->at);
        tags->end -= tags->first;
        tags->first = 0;
        return;
    }
    tags->room = tags->room == 0 ? 16 : 2 * tags->room;
    tags->at = memory_resize(tags->at, tags->room * sizeof *tags->at);
}

bool tags_put(struct tags *tags, uint64_t number, int64_t now)
{
    if (number == 0 || (tags_count(tags) > 0 && number <= tags->at[tags->end - 1].number))
        return false;
    make_room(tags);
    tags->at[tags->end++] = (struct tag){.number = number, .since = now, .state = TAG_OPEN};
    return true;
}

static struct tag *find(const struct tags *tags, uint64_t number)
{
    size_t low = tags->first, high = tags->end;
    if (low == high || number < tags->at[low].number)
        return NULL;
    /* Tags are mostly consecutive, so try that position first. */
    uint64_t distance = number - tags->at[low].number;
    if (distance < high - low && tags->at[low + (size_t)distance].number == number)
        return &tags->at[low + (size_t)distance];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tags->at[middle].number == number)
            return &tags->at[middle];
        if (tags->at[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool tags_mark(struct tags *tags, uint64_t number, enum tag_state state)
{
    struct tag *tag = find(tags, number);
    if (tag == NULL || tag->state != TAG_OPEN)
        return false;
    tag->state = state;
    tags->marked++;
    return true;
}

/* Takes the settled run at the beginning. Returns its last tag to acknowledge, or 0. */
static uint64_t take_run(struct tags *tags)
{
    uint64_t last = 0;
    for (; tags->marked > 0 && tags->at[tags->first].state != TAG_OPEN; tags->marked--) {
        const struct tag *tag = &tags->at[tags->first++];
        if (tag->state == TAG_TO_ACKNOWLEDGE)
            last = tag->number;
    }
    return last;
}

bool tags_acknowledge(struct tags *tags, bool (*send)(void *context, uint64_t number, bool multiple), void *context)
{
    uint64_t run = take_run(tags);
    if (run != 0 && !send(context, run, true))
        return false;
    if (tags->marked == 0)
        return true;
    size_t kept = tags->first;
    for (size_t i = tags->first; i < tags->end; i++) {
        struct tag tag = tags->at[i];
        if (tag.state == TAG_OPEN)
            tags->at[kept++] = tag;
        else if (tag.state == TAG_TO_ACKNOWLEDGE && !send(context, tag.number, false))
            return false;
    }
    tags->end = kept;
    tags->marked = 0;
    return true;
}
