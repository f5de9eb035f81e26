/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * count: counters with one writing thread and any number of readers. Counting is a plain load and a plain store: no
 * lock, no locked instruction, no fence. A reader may see a slightly old number, but never half of one. */
#ifndef BASE_COUNT_H
#define BASE_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

typedef atomic_uint_fast64_t count_cell; /* starts zeroed */

/* [its one writer] */
static inline void count_add(count_cell *cell, uint64_t more)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + more, memory_order_relaxed);
}

/* [its one writer] */
static inline void count_take(count_cell *cell, uint64_t less)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) - less, memory_order_relaxed);
}

static inline uint64_t count_get(const count_cell *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* A distribution of durations. */
#define HISTOGRAM_BOUNDS 20
#define HISTOGRAM_ROOM 31 /* for a search in five steps: all that follow the bounds are UINT64_MAX */
extern const uint64_t histogram_bounds[HISTOGRAM_ROOM]; /* microseconds, ascending; one more bucket has no bound */

struct histogram {
    count_cell buckets[HISTOGRAM_BOUNDS + 1];
    count_cell sum; /* microseconds */
};

/* A reader's copy of a histogram. */
struct histogram_sums {
    uint64_t buckets[HISTOGRAM_BOUNDS + 1];
    uint64_t sum;
};

void histogram_add(struct histogram *histogram, int64_t us); /* [its one writer] less than 0 counts as 0 */
struct histogram_sums histogram_read(const struct histogram *histogram);

/* Adds the difference between `now` and `before` (NULL: all of `now`) to `to`. */
void histogram_sum(struct histogram_sums *to, const struct histogram_sums *now, const struct histogram_sums *before);
uint64_t histogram_count(const struct histogram_sums *sums);

/* The time in seconds that a share of the durations, such as 0.99, did not exceed, interpolated within its bucket. Less
 * than 0: there are no durations. */
double histogram_quantile(const struct histogram_sums *sums, double share);

#endif
