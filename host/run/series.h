/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * series: the growth rate of a number, now and in each quarter of a minute of the last fifteen minutes. It receives the
 * number with the time about once a second, and reads no clock. */
#ifndef RUN_SERIES_H
#define RUN_SERIES_H

#include "http/view.h"

#define SERIES_RECENT 6 /* the latest samples, which define "now" */

/* Starts zeroed. */
struct series {
    struct series_look {
        int64_t at;
        uint64_t total;
    } recent[SERIES_RECENT], begin; /* begin: of the current point */
    size_t looks;
    double points[VIEW_RATE_POINTS]; /* a ring */
    size_t count, next;
};

/* True if this sample completes a point. */
bool series_take(struct series *series, int64_t now, uint64_t total);

/* The rate per second, over the latest samples. */
double series_now(const struct series *series);

/* The points, per second, aligned to the end of the array: the oldest first. Returns their number. */
size_t series_points(const struct series *series, double points[VIEW_RATE_POINTS]);

#endif
