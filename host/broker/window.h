/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * window: the number of messages of a topic that the broker may deliver ahead (the prefetch). A crash of the host or a
 * lost connection returns all messages in hand, and a quorum queue drops a message that was returned too often. So
 * after a start, a lost connection or a lost channel the window is one message. It doubles whenever as many messages as
 * it holds are settled. A message that was never delivered before opens the window completely, because returned
 * messages precede the others. After a crash of the broker its whole backlog is marked as redelivered; then the window
 * opens by doubling. */
#ifndef BROKER_WINDOW_H
#define BROKER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
    uint16_t size, limit;
    uint32_t settled; /* since the last change of size */
};

void window_start(struct window *window, uint16_t limit);

/* Both return true if the window has grown and the broker needs the new size. */
bool window_settled(struct window *window, uint32_t count) __attribute__((warn_unused_result));
bool window_fresh(struct window *window) __attribute__((warn_unused_result)); /* a message that is not redelivered */

#endif
