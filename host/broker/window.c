/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/window.h"

void window_start(struct window *window, uint16_t limit)
{
    *window = (struct window){.size = 1, .limit = limit};
}

bool window_settled(struct window *window, uint32_t count)
{
    if (window->size >= window->limit)
        return false;
    window->settled += count;
    if (window->settled < window->size)
        return false;
    uint32_t twice = 2 * (uint32_t)window->size;
    window->size = twice < window->limit ? (uint16_t)twice : window->limit;
    window->settled = 0;
    return true;
}

bool window_fresh(struct window *window)
{
    bool grows = window->size < window->limit;
    window->size = window->limit;
    return grows;
}
