/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/records.h"

#define MOST 4096          /* records that may wait … */
#define MOST_BYTES 8388608 /* … and their bytes */
#define KEPT_BYTES 262144  /* of memory that is kept between two batches */

void records_init(struct records *records)
{
    *records = (struct records){0};
    pthread_mutex_init(&records->lock, NULL);
}

void records_destroy(struct records *records)
{
    text_free(&records->waiting);
    text_free(&records->taken);
    pthread_mutex_destroy(&records->lock);
}

bool records_put(struct records *records, const char *body, size_t len)
{
    pthread_mutex_lock(&records->lock);
    bool fits = records->count < MOST && len <= MOST_BYTES && records->waiting.len + len <= MOST_BYTES;
    if (fits) {
        text_put(&records->waiting, (const char *)&len, sizeof len);
        text_put(&records->waiting, body, len);
        records->count++;
    } else {
        records->dropped++;
    }
    pthread_mutex_unlock(&records->lock);
    return fits;
}

bool records_wait(struct records *records)
{
    pthread_mutex_lock(&records->lock);
    bool some = records->count > 0;
    pthread_mutex_unlock(&records->lock);
    return some;
}

bool records_take(struct records *records, size_t *dropped)
{
    if (records->taken.room > KEPT_BYTES)
        text_free(&records->taken);
    struct text empty = records->taken;
    text_clear(&empty);
    pthread_mutex_lock(&records->lock);
    bool some = records->count > 0;
    *dropped = records->dropped;
    records->taken = records->waiting;
    records->waiting = empty;
    records->count = records->dropped = 0;
    pthread_mutex_unlock(&records->lock);
    records->at = 0;
    return some;
}

const char *records_next(struct records *records, size_t *len)
{
    if (records->at == records->taken.len)
        return NULL;
    memcpy(len, records->taken.at + records->at, sizeof *len);
    const char *body = records->taken.at + records->at + sizeof *len;
    records->at += sizeof *len + *len;
    return body;
}
