/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * records: log records on their way to the MOV, in a bounded buffer. Best effort: a record that does not fit is counted
 * and dropped. Any thread puts records in; the publisher's thread takes all of them out. */
#ifndef BROKER_RECORDS_H
#define BROKER_RECORDS_H

#include <pthread.h>

#include "base/text.h"

#define RECORD_TOPIC "valawai/log/add"

struct records {
    pthread_mutex_t lock;
    struct text waiting; /* the bodies, each after its length, so that no allocation changes threads */
    size_t count, dropped;

    struct text taken; /* belongs to the taking thread */
    size_t at;
};

void records_init(struct records *records);
void records_destroy(struct records *records);

/* [any thread] False: there is no room. */
bool records_put(struct records *records, const char *body, size_t len);

/* [any thread] True if some wait. */
bool records_wait(struct records *records);

/* Takes all waiting records, for records_next(). dropped: the number that did not fit since the last call. */
bool records_take(struct records *records, size_t *dropped);

/* The next of the taken records, valid until the next records_take(); NULL: there are no more. */
const char *records_next(struct records *records, size_t *len);

#endif
