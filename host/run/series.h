/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * series: how fast a number grows, now and in each quarter of a minute of the last fifteen minutes. It is given the
 * number about once a second, with the time, and knows no clock. */
#ifndef RUN_SERIES_H
#define RUN_SERIES_H

#include "http/view.h"

#define SERIES_RECENT 6 /* the last looks: what "now" is */

/* Starts zeroed. */
struct series {
    struct series_look {
        int64_t at;
        uint64_t total;
    } recent[SERIES_RECENT], begin; /* begin: of the point that is being measured */
    size_t looks;
    double points[VIEW_RATE_POINTS]; /* a ring */
    size_t count, next;
};

/* True if a point is full with this look. */
bool series_take(struct series *series, int64_t now, uint64_t total);

/* A second, over the last looks. */
double series_now(const struct series *series);

/* The points a second, the oldest first and the newest at the end of all. Returns how many there are. */
size_t series_points(const struct series *series, double points[VIEW_RATE_POINTS]);

#endif
