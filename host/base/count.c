/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/count.h"

#include <stddef.h>

/* From the time of an echo to that of a slow handler. */
const uint64_t histogram_bounds[HISTOGRAM_ROOM] = {
    10,     25,      50,      100,      250,      500,       1000,
    2500,   5000,    10000,   25000,    50000,    100000,    250000,
    500000, 1000000, 2500000, 10000000, 60000000, 600000000, [HISTOGRAM_BOUNDS... HISTOGRAM_ROOM - 1] = UINT64_MAX};

/* The bucket is the number of bounds that the time exceeds, found in five steps: every message counts twice. */
void histogram_add(struct histogram *histogram, int64_t us)
{
    uint64_t took = us > 0 ? (uint64_t)us : 0;
    size_t bucket = 0;
#pragma GCC unroll 5
    for (size_t step = (HISTOGRAM_ROOM + 1) / 2; step > 0; step /= 2)
        bucket += took > histogram_bounds[bucket + step - 1] ? step : 0;
    count_add(&histogram->buckets[bucket], 1);
    count_add(&histogram->sum, took);
}

struct histogram_sums histogram_read(const struct histogram *histogram)
{
    struct histogram_sums sums = {.sum = count_get(&histogram->sum)};
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        sums.buckets[i] = count_get(&histogram->buckets[i]);
    return sums;
}

void histogram_sum(struct histogram_sums *to, const struct histogram_sums *now, const struct histogram_sums *before)
{
    to->sum += now->sum - (before != NULL ? before->sum : 0);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        to->buckets[i] += now->buckets[i] - (before != NULL ? before->buckets[i] : 0);
}

uint64_t histogram_count(const struct histogram_sums *sums)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        count += sums->buckets[i];
    return count;
}

double histogram_quantile(const struct histogram_sums *sums, double share)
{
    double rank = share * (double)histogram_count(sums), below = 0;
    if (rank <= 0)
        return -1;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        double in = (double)sums->buckets[i];
        double from = i > 0 ? (double)histogram_bounds[i - 1] : 0, to = (double)histogram_bounds[i];
        if (in > 0 && below + in >= rank)
            return (from + (to - from) * (rank - below) / in) / 1e6;
        below += in;
    }
    return (double)histogram_bounds[HISTOGRAM_BOUNDS - 1] / 1e6; /* or more */
}
