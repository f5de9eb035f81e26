/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "message/dead.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define TOPIC_MAX 255   /* AMQP's short string */
#define DETAIL_MAX 1024 /* bytes of an explanation */

const char *reason_name(enum reason reason)
{
    static const char *const names[] = {
        [REASON_NONE] = "none",
        [REASON_INVALID] = "invalid",
        [REASON_WRONG] = "wrong",
        [REASON_FAILED] = "failed",
        [REASON_ATTEMPTS] = "attempts",
        [REASON_DELIVERY_LIMIT] = "delivery-limit",
        [REASON_PUBLICATION] = "publication",
        [REASON_CRASHED] = "crashed",
    };
    return names[reason];
}

static bool is(const char *name, size_t len, const char *other)
{
    return len == strlen(other) && memcmp(name, other, len) == 0;
}

static bool is_of_the_host(const char *name, size_t len)
{
    size_t prefix = sizeof DEAD_PREFIX - 1;
    return len >= prefix && memcmp(name, DEAD_PREFIX, prefix) == 0;
}

/* The broker's counts, which apply to the message in the queue that it leaves. */
static bool is_count(const char *name, size_t len)
{
    return is(name, len, DEAD_RETURNS) || is(name, len, "x-acquired-count");
}

/* A header of an earlier death, or of the broker. */
static bool is_void(const char *name, size_t len)
{
    return is_of_the_host(name, len) || is_count(name, len) || is(name, len, "CC") || is(name, len, "BCC");
}

static bool is_of_a_letter(const char *name, size_t len)
{
    return is_of_the_host(name, len) || is_count(name, len);
}

/* Cuts a long text and leaves out bytes that are not UTF-8, which is better than no letter. */
static bool say(struct draft *draft, const char *name, const char *text, size_t len, struct fault *fault)
{
    struct text line = {0};
    text_put_line(&line, text, len < DETAIL_MAX ? len : text_cut(text, len, DETAIL_MAX));
    const struct field value = {.kind = FIELD_TEXT, .text = line.at == NULL ? "" : line.at, .len = line.len};
    bool said = draft_set_header(draft, name, &value, fault);
    text_free(&line);
    return said;
}

/* A property that the letter cannot have becomes a header. */
static bool move(struct draft *draft, struct properties from, enum property property, const char *name,
                 struct fault *fault)
{
    struct field value;
    draft_drop(draft, property);
    return !properties_get(from, property, &value) || say(draft, name, value.text, value.len, fault);
}

static bool describe(struct draft *draft, const struct delivery *delivery, const struct death *death,
                     struct fault *fault)
{
    const struct field time = {.kind = FIELD_TIME, .number = death->time};
    const struct field attempts = {.kind = FIELD_NUMBER, .number = delivery->attempt};
    const char *reason = reason_name(death->reason);
    draft_drop_headers(draft, is_void);
    draft_persist(draft);
    return move(draft, delivery->properties, PROPERTY_EXPIRATION, DEAD_EXPIRATION, fault) &&
           move(draft, delivery->properties, PROPERTY_USER_ID, DEAD_USER_ID, fault) &&
           say(draft, DEAD_REASON, reason, strlen(reason), fault) &&
           (death->detail == NULL || say(draft, DEAD_DETAIL, death->detail, strlen(death->detail), fault)) &&
           draft_set_header(draft, DEAD_TIME, &time, fault) &&
           say(draft, DEAD_COMPONENT, death->component, strlen(death->component), fault) &&
           draft_set_header(draft, DEAD_ATTEMPTS, &attempts, fault) &&
           say(draft, DEAD_HOST, death->host, strlen(death->host), fault);
}

struct publication *dead_letter(const struct delivery *delivery, const struct death *death, uint32_t most,
                                struct fault *fault)
{
    struct publication *letter = NULL;
    struct draft draft;
    struct text list = {0};
    char *topic = memory_format("%s" DEAD_SUFFIX, delivery->from->topic);
    draft_begin(&draft, delivery->properties);
    if (strlen(topic) > TOPIC_MAX) {
        fault_set(fault, "the name of its queue would be longer than %d bytes", TOPIC_MAX);
    } else if (describe(&draft, delivery, death, fault) && draft_put(&draft, &list, fault)) {
        letter = publication_with(topic, delivery->body, delivery->len, (struct properties){list.at, list.len});
        letter->persistent = true;
        letter->most = most;
    }
    draft_free(&draft);
    text_free(&list);
    free(topic);
    return letter;
}

static bool put_without(struct properties letter, bool (*is_dropped)(const char *name, size_t len), struct text *out,
                        struct fault *fault)
{
    struct draft draft;
    draft_begin(&draft, letter);
    draft_drop_headers(&draft, is_dropped);
    draft_drop_empty_headers(&draft);
    bool put = draft_put(&draft, out, fault);
    draft_free(&draft);
    return put;
}

bool dead_revive(struct properties letter, struct text *out, struct fault *fault)
{
    return put_without(letter, is_of_a_letter, out, fault);
}

bool dead_renew(struct properties letter, struct text *out, struct fault *fault)
{
    return put_without(letter, is_count, out, fault);
}
