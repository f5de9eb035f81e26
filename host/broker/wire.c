/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/wire.h"

#define TYPE_METHOD 1
#define TYPE_HEADER 2
#define TYPE_BODY 3
#define FRAME_END '\xce'

#define CLASS_BASIC 60
#define METHOD_PUBLISH 40
#define MANDATORY 1
#define HAS_CONTENT_TYPE (1 << 15)
#define HAS_DELIVERY_MODE (1 << 12)
#define TRANSIENT 1
#define PERSISTENT 2

static const char content_type[] = "application/json";
#define CONTENT_TYPE_LEN (sizeof content_type - 1)
#define COMMON_PROPERTIES_LEN (2 + 1 + CONTENT_TYPE_LEN + 1) /* flags, length and text of the type, delivery mode */

static char *put_16(char *at, unsigned value)
{
    *at++ = (char)(value >> 8);
    *at++ = (char)value;
    return at;
}

static char *put_32(char *at, uint32_t value)
{
    return put_16(put_16(at, value >> 16), value & 0xffff);
}

static char *put_short_text(char *at, const char *bytes, size_t len)
{
    *at++ = (char)len;
    memcpy(at, bytes, len);
    return at + len;
}

static char *put_head(char *at, char type, uint16_t channel, size_t len)
{
    *at++ = type;
    return put_32(put_16(at, channel), (uint32_t)len);
}

static char *put_common_properties(char *at, bool persistent)
{
    at = put_16(at, HAS_CONTENT_TYPE | HAS_DELIVERY_MODE);
    at = put_short_text(at, content_type, CONTENT_TYPE_LEN);
    *at++ = persistent ? PERSISTENT : TRANSIENT;
    return at;
}

void wire_publish(struct text *out, uint16_t channel, const struct wire_message *message)
{
    const struct properties *properties = &message->properties;
    size_t topic_len = strnlen(message->topic, 255);
    size_t method = 2 + 2 + 2 + 1 + 1 + topic_len + 1;
    size_t header = WIRE_HEADER_COST + (properties->len > 0 ? properties->len : COMMON_PROPERTIES_LEN);
    text_reserve(out, method + header + 2 * (size_t)WIRE_FRAME_COST);
    char *at = out->at + out->len;

    at = put_head(at, TYPE_METHOD, channel, method);
    at = put_16(put_16(at, CLASS_BASIC), METHOD_PUBLISH);
    at = put_16(at, 0); /* reserved */
    *at++ = 0;          /* the default exchange has no name */
    at = put_short_text(at, message->topic, topic_len);
    *at++ = message->mandatory ? MANDATORY : 0;
    *at++ = FRAME_END;

    uint64_t len = message->len;
    at = put_head(at, TYPE_HEADER, channel, header);
    at = put_16(put_16(at, CLASS_BASIC), 0);
    at = put_32(put_32(at, (uint32_t)(len >> 32)), (uint32_t)len);
    if (properties->len > 0) {
        memcpy(at, properties->at, properties->len);
        at += properties->len;
    } else {
        at = put_common_properties(at, message->persistent);
    }
    *at++ = FRAME_END;
    out->len = (size_t)(at - out->at);
}

void wire_body(struct text *out, uint16_t channel, const char *part, size_t len)
{
    text_reserve(out, len + WIRE_FRAME_COST);
    char *at = put_head(out->at + out->len, TYPE_BODY, channel, len);
    memcpy(at, part, len);
    at[len] = FRAME_END;
    out->len += len + WIRE_FRAME_COST;
}
