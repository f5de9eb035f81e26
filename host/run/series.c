/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/series.h"

static double a_second(struct series_look from, struct series_look to)
{
    return to.at > from.at ? (double)(to.total - from.total) * 1000 / (double)(to.at - from.at) : 0;
}

bool series_take(struct series *series, int64_t now, uint64_t total)
{
    struct series_look look = {now, total};
    if (series->looks == 0)
        series->begin = look;
    series->recent[series->looks++ % SERIES_RECENT] = look;
    if (now - series->begin.at < (int64_t)VIEW_RATE_SECONDS * 1000)
        return false;
    series->points[series->next] = a_second(series->begin, look);
    series->next = (series->next + 1) % VIEW_RATE_POINTS;
    series->count += series->count < VIEW_RATE_POINTS;
    series->begin = look;
    return true;
}

double series_now(const struct series *series)
{
    size_t kept = series->looks < SERIES_RECENT ? series->looks : SERIES_RECENT;
    if (kept == 0)
        return 0;
    return a_second(series->recent[(series->looks - kept) % SERIES_RECENT],
                    series->recent[(series->looks - 1) % SERIES_RECENT]);
}

size_t series_points(const struct series *series, double points[VIEW_RATE_POINTS])
{
    for (size_t i = 0; i < VIEW_RATE_POINTS; i++)
        points[i] = i + series->count < VIEW_RATE_POINTS ? 0 : series->points[(series->next + i) % VIEW_RATE_POINTS];
    return series->count;
}
