/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wire: compared with rabbitmq-c, which also reads and writes these frames. */
#include "broker/wire.h"

#include <stdlib.h>

#include "base/memory.h"
#include "broker/connection.h"
#include "support.h"

#define MOST 200000

static const unsigned char *bytes_of(const struct text *text)
{
    return (const unsigned char *)text->at;
}

static unsigned read_16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static size_t read_32(const unsigned char *at)
{
    return (size_t)read_16(at) << 16 | read_16(at + 2);
}

/* Checks the envelope of a frame, and returns the start of the next frame. */
static const unsigned char *frame(const unsigned char *at, unsigned type, unsigned channel, amqp_bytes_t *payload)
{
    assert_int_equal(at[0], type);
    assert_int_equal(read_16(at + 1), channel);
    payload->len = read_32(at + 3);
    payload->bytes = (void *)(uintptr_t)(at + 7);
    assert_int_equal(at[7 + payload->len], 0xce);
    return at + 8 + payload->len;
}

static void as_rabbitmq_c(const char *topic, bool persistent, bool mandatory, uint64_t len)
{
    struct text out = {0};
    const struct wire_message message = {.topic = topic, .len = len, .persistent = persistent, .mandatory = mandatory};
    wire_publish(&out, 513, &message);
    amqp_bytes_t method, header;
    const unsigned char *at = frame(bytes_of(&out), AMQP_FRAME_METHOD, 513, &method);
    at = frame(at, AMQP_FRAME_HEADER, 513, &header);
    assert_ptr_equal(at, bytes_of(&out) + out.len);

    char expected[1024];
    amqp_basic_publish_t publish = {.routing_key = amqp_cstring_bytes(topic), .mandatory = mandatory};
    int size = amqp_encode_method(AMQP_BASIC_PUBLISH_METHOD, &publish,
                                  (amqp_bytes_t){.bytes = expected, .len = sizeof expected});
    assert_true(size > 0);
    assert_int_equal(method.len, size + 4);
    assert_int_equal(read_32(method.bytes), AMQP_BASIC_PUBLISH_METHOD);
    assert_memory_equal((char *)method.bytes + 4, expected, size);

    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT,
    };
    size = amqp_encode_properties(AMQP_BASIC_CLASS, &properties,
                                  (amqp_bytes_t){.bytes = expected, .len = sizeof expected});
    assert_true(size > 0);
    const unsigned char *head = header.bytes;
    assert_int_equal(read_16(head), AMQP_BASIC_CLASS);
    assert_int_equal(read_16(head + 2), 0);
    assert_int_equal((uint64_t)read_32(head + 4) << 32 | read_32(head + 8), len);
    assert_int_equal(header.len, size + 12);
    assert_memory_equal(head + 12, expected, size);
    text_free(&out);
}

static void publications(void **state)
{
    UNUSED(state);
    char longest[256];
    memset(longest, 't', sizeof longest);
    longest[255] = '\0';
    as_rabbitmq_c("valawai/c1/echo/data/publish_message", true, true, 100);
    as_rabbitmq_c("valawai/log/add", false, false, 0);
    as_rabbitmq_c("", true, false, UINT64_C(0x123456789a));
    as_rabbitmq_c(longest, false, true, UINT32_MAX);
}

/* The property bytes of a message leave unchanged. */
static void properties(void **state)
{
    UNUSED(state);
    static const char list[] = {0x08, 0x00, 3, 'm', '-', '1'};
    const struct wire_message message = {
        .topic = "t", .len = 2, .properties = {list, sizeof list}, .persistent = true, .mandatory = true};
    struct text out = {0};
    wire_publish(&out, 1, &message);
    amqp_bytes_t method, header;
    const unsigned char *at = frame(bytes_of(&out), AMQP_FRAME_METHOD, 1, &method);
    at = frame(at, AMQP_FRAME_HEADER, 1, &header);
    assert_ptr_equal(at, bytes_of(&out) + out.len);
    assert_int_equal(header.len, WIRE_HEADER_COST + sizeof list);
    assert_int_equal(read_32((unsigned char *)header.bytes + 8), 2);
    assert_memory_equal((char *)header.bytes + WIRE_HEADER_COST, list, sizeof list);
    text_free(&out);
}

static void bodies(void **state)
{
    UNUSED(state);
    char *body = memory_take(MOST);
    for (size_t i = 0; i < MOST; i++)
        body[i] = (char)(i * 7);
    const size_t lens[] = {1, 2, 100, 127, 128, 65536, 131064, MOST};
    struct text out = {0};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        wire_body(&out, 1, body, lens[i]);
    const unsigned char *at = bytes_of(&out);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        amqp_bytes_t part;
        at = frame(at, AMQP_FRAME_BODY, 1, &part);
        assert_int_equal(part.len, lens[i]);
        assert_memory_equal(part.bytes, body, lens[i]);
    }
    assert_ptr_equal(at, bytes_of(&out) + out.len);
    text_free(&out);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(publications), cmocka_unit_test(properties),
                                       cmocka_unit_test(bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
