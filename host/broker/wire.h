/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wire: the frames of a publication in AMQP 0-9-1. rabbitmq-c sends the frames of a message one by one, with three
 * system calls for each message, and cannot join them. Here they are written into memory, so that many messages leave
 * with one call. rabbitmq-c sends everything else. */
#ifndef BROKER_WIRE_H
#define BROKER_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "message/properties.h"

#define WIRE_FRAME_COST 8   /* bytes that a frame adds to its content */
#define WIRE_HEADER_COST 12 /* bytes that a header frame adds to the properties, beside WIRE_FRAME_COST */

/* A publication to the default exchange. */
struct wire_message {
    const char *topic; /* at most 255 bytes */
    const char *body;  /* JSON */
    size_t len;
    struct properties properties; /* length 0: application/json, with the delivery mode of persistent */
    bool persistent, mandatory;
};

/* Writes basic.publish and the content header. The properties must fit into a frame. */
void wire_publish(struct text *out, uint16_t channel, const struct wire_message *message);

/* Writes the body, or a part of it: at most frame_max - WIRE_FRAME_COST bytes. */
void wire_body(struct text *out, uint16_t channel, const char *part, size_t len);

#endif
