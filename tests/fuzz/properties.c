/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * properties: the input is a list of properties as it would come from the broker. A sound list passes through a draft
 * unchanged, converts to JSON, and has the same values for rabbitmq-c. A trace and a header are added to it. */
#include "fuzz.h"

#include <string.h>

#include "base/json.h"
#include "broker/connection.h"
#include "message/message.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void expect_same(const amqp_bytes_t *bytes, bool is_there, struct properties list, enum property property)
{
    struct field value;
    bool found = properties_get(list, property, &value);
    EXPECT(found == is_there, "%s: %d", property_name(property), found);
    EXPECT(!found || (value.kind == FIELD_TEXT && value.len == bytes->len &&
                      (value.len == 0 || memcmp(value.text, bytes->bytes, value.len) == 0)),
           "%s differs", property_name(property));
}

/* rabbitmq-c looks into nested tables, and does not see where one ends before its last entry does. So a list that is
 * sound may be refused, or its headers read in another way. */
static bool is_nested(struct properties list)
{
    struct header header;
    for (size_t at = 0; properties_next_header(list, &at, &header);)
        if (header.value.mark == 'F' || header.value.mark == 'A')
            return true;
    return false;
}

static void compare(struct properties list)
{
    amqp_pool_t pool;
    void *decoded = NULL;
    init_amqp_pool(&pool, 4096);
    const amqp_bytes_t bytes = {.len = list.len, .bytes = (void *)(uintptr_t)list.at};
    if (!is_nested(list) && amqp_decode_properties(AMQP_BASIC_CLASS, &pool, bytes, &decoded) == AMQP_STATUS_OK) {
        const amqp_basic_properties_t *read = decoded;
        expect_same(&read->content_type, read->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG, list, PROPERTY_CONTENT_TYPE);
        expect_same(&read->correlation_id, read->_flags & AMQP_BASIC_CORRELATION_ID_FLAG, list,
                    PROPERTY_CORRELATION_ID);
        expect_same(&read->message_id, read->_flags & AMQP_BASIC_MESSAGE_ID_FLAG, list, PROPERTY_MESSAGE_ID);
        expect_same(&read->cluster_id, read->_flags & AMQP_BASIC_CLUSTER_ID_FLAG, list, PROPERTY_CLUSTER_ID);
        struct header header;
        int count = 0;
        for (size_t at = 0; properties_next_header(list, &at, &header); count++)
            EXPECT(count < read->headers.num_entries && header.name_len == read->headers.entries[count].key.len,
                   "header %d differs", count);
        EXPECT(!(read->_flags & AMQP_BASIC_HEADERS_FLAG) || count == read->headers.num_entries, "%d headers", count);
    }
    empty_amqp_pool(&pool);
}

static void rewrite(struct properties list)
{
    struct draft draft;
    struct text out = {0};
    const struct field one = {.kind = FIELD_NUMBER, .number = 1};
    struct field value;
    draft_begin(&draft, list);
    bool put = draft_put(&draft, &out, NULL);
    EXPECT(put && out.len == list.len && memcmp(out.at, list.at, list.len) == 0, "a draft is another list");
    EXPECT(draft_set_header(&draft, "fuzz", &one, NULL), "no header can be set");
    draft_drop(&draft, PROPERTY_EXPIRATION);
    draft_persist(&draft);
    text_clear(&out);
    EXPECT(draft_put(&draft, &out, NULL), "the list cannot be written");
    struct properties changed = {out.at, out.len};
    EXPECT(properties_are_sound(changed), "a changed list is not sound");
    EXPECT(properties_header(changed, "fuzz", &value) && value.number == 1, "the header is lost");
    EXPECT(!properties_get(changed, PROPERTY_EXPIRATION, &value), "dropped, and there");
    draft_free(&draft);
    text_free(&out);

    struct publication *traced = publication_trace(publication_new("t", "{}", 2), list);
    bool has_trace = properties_header(list, "traceparent", &value) && value.kind == FIELD_TEXT;
    EXPECT((traced->properties.len > 0) == has_trace, "trace: %d", has_trace);
    EXPECT(properties_are_sound(traced->properties), "a traced list is not sound");
    free(traced);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *exact = malloc(len == 0 ? 1 : len); /* nothing behind it */
    memcpy(exact, bytes, len);
    const struct properties list = {exact, len};
    struct text shown = {0};
    struct fault fault = {""};
    properties_put_json(list, &shown);
    EXPECT(json_is_object(shown.at, shown.len, &fault), "%s: %s", fault.text, shown.at);
    (void)properties_are_plain(list);
    if (len > 0 && properties_are_sound(list)) {
        compare(list);
        rewrite(list);
    }
    text_free(&shown);
    free(exact);
    return 0;
}
