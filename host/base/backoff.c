/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/backoff.h"

#include <sys/random.h>
#include <time.h>

uint32_t backoff_next(struct backoff *backoff)
{
    if (backoff->next_ms == 0)
        backoff->next_ms = backoff->first_ms;
    uint32_t delay = backoff->next_ms;
    backoff->next_ms = delay > backoff->last_ms / 2 ? backoff->last_ms : delay * 2;

    uint32_t chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance)
        chance = (uint32_t)clock_ms() * 2654435761u; /* this only needs to spread the delays */
    return delay - (uint32_t)((uint64_t)chance * (delay / 2) >> 32);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->next_ms = 0;
}

int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_date_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_date_s(void)
{
    return clock_date_ns() / 1000000000;
}
