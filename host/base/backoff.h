/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * backoff: the delay before the next attempt. It doubles from a first delay up to a last one, and each delay is
 * shortened at random by up to half, so that hosts that lost the same broker do not all reconnect at once. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t first_ms, last_ms;
    uint32_t next_ms; /* 0: begin with the first delay */
};

uint32_t backoff_next(struct backoff *backoff); /* milliseconds */
void backoff_reset(struct backoff *backoff);

/* Milliseconds of the monotonic clock, the unit of every deadline in the host. */
int64_t clock_ms(void);

/* The same in microseconds, for measurements. */
int64_t clock_us(void);

/* Seconds since 1970, for dates that people and other programs read. This clock may jump, so no wait uses it. */
int64_t clock_date_s(void);

/* The same in nanoseconds. */
int64_t clock_date_ns(void);

#endif
