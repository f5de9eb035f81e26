/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wire: what AMQP 0-9-1 wants to see on the wire of a publication. rabbitmq-c sends a message's frames one by one,
 * three system calls each, and has no way to join them; here they are written into memory, so that many messages leave
 * with one call. Only this: everything else is said by rabbitmq-c. */
#ifndef BROKER_WIRE_H
#define BROKER_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* A basic.publish to the default exchange, of a JSON body of len bytes, without its body. topic: at most 255 bytes. */
void wire_publish(struct text *out, uint16_t channel, const char *topic, bool persistent, bool mandatory, uint64_t len);

/* The body, or a part of it: frame_max - 8 bytes at most. */
void wire_body(struct text *out, uint16_t channel, const char *part, size_t len);

#define WIRE_FRAME_COST 8 /* bytes that a frame adds to a part */

#endif
