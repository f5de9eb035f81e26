/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * window: how many messages of a topic the broker may hand out ahead (the prefetch). A message that kills the host, or
 * a connection that is cut, returns all that is in hand, and a quorum queue drops a message that was returned too
 * often. So after a start, a lost connection or a lost channel the window is one message. It doubles each time as many
 * messages as it holds are settled. A message that was never handed out before ends the care: what was returned lies in
 * front of the others. After a crash the broker marks all of its backlog as redelivered, and the doubling ends the care
 * then. */
#ifndef BROKER_WINDOW_H
#define BROKER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
    uint16_t size, limit;
    uint32_t settled; /* since the window has this size */
};

void window_start(struct window *window, uint16_t limit);

/* Both return true if the window has grown: the broker has to be told. */
bool window_settled(struct window *window, uint32_t count) __attribute__((warn_unused_result));
bool window_fresh(struct window *window) __attribute__((warn_unused_result)); /* a message that is not redelivered */

#endif
