/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * publisher: the publishing connection, with its thread and its outbox. A publication is reported when the broker has
 * confirmed it. A publication that a lost connection left unconfirmed is sent again, unless its cause is stale: then
 * the broker redelivers the cause, and its handling makes the publication again.
 *
 * The events are called on the publisher's thread and must not block. */
#ifndef BROKER_PUBLISHER_H
#define BROKER_PUBLISHER_H

#include "base/log.h"
#include "broker/connection.h"
#include "message/message.h"

struct publisher_events {
    void (*connected)(void *context, bool up);
    void (*blocked)(void *context,
                    bool blocked); /* an alarm of the broker begins or ends; it also ends with the connection */
};

struct publisher_options {
    struct broker broker;
    struct log *log;
    const char *components; /* for the connection's name */
    size_t outbox_max_bytes;
    size_t shares;             /* of the outbox: one for each plugin */
    const char *const *topics; /* that components publish on, and that need queues */
    size_t topic_count;
    const struct publisher_events *events;
    void *context;
};

struct publisher;

struct publisher *publisher_new(const struct publisher_options *options);
void publisher_start(struct publisher *publisher);

/* [any thread] Publishes the list, publications of one account, and empties it. Waits while that account has more than
 * its share in the outbox. False, with the list unchanged, if the publisher is closing. */
bool publisher_send(struct publisher *publisher, struct list *publications) __attribute__((warn_unused_result));

/* [any thread] The same without a wait, beyond the bound of the outbox. */
void publisher_send_urgent(struct publisher *publisher, struct publication *publication);

/* [any thread] Sends a record to the MOV. Best effort: the record is dropped when the broker does not keep up. Unless
 * at_once, it leaves with the next publication, by publisher_flush_records(), or within a second. */
void publisher_send_record(struct publisher *publisher, const char *body, size_t len, bool at_once);
void publisher_flush_records(struct publisher *publisher);

/* [any thread] Declares further topics that components publish on. Copies them; those that it has already are ignored,
 * and none is ever removed. */
void publisher_add_topics(struct publisher *publisher, const char *const *topics, size_t count);

/* [any thread] Divides the outbox among so many plugins from now on. */
void publisher_share(struct publisher *publisher, size_t shares);

/* [any thread] True if every publication of the account has an outcome, so the publisher uses neither the account nor
 * the counters of those publications. Records refer to neither. A delivery that caused one is counted by its sender. */
bool publisher_is_done_with(struct publisher *publisher, const struct account *account);

/* [any thread] Breaks a connection that is stuck in a send and seems dead: its peer does not answer, or alive is false
 * because the other connection gets no answer either. Call it about once a second. */
void publisher_tend(struct publisher *publisher, bool alive);

/* [any thread] When the oldest publication without an outcome entered, as of half a second ago; INT64_MAX: there is
 * none. The second function returns the bytes of the host's own publications in the outbox. Neither takes a lock. */
int64_t publisher_oldest(const struct publisher *publisher);
uint64_t publisher_own_bytes(const struct publisher *publisher);

/* [any thread] From now on publisher_send() refuses publications. */
void publisher_close(struct publisher *publisher);

/* [any thread] Waits until all publications are confirmed. */
bool publisher_drain(struct publisher *publisher, int64_t until_ms) __attribute__((warn_unused_result));

/* [any thread] Ends the thread. Unconfirmed publications are not reported. */
bool publisher_stop(struct publisher *publisher, int64_t until_ms) __attribute__((warn_unused_result));
void publisher_free(struct publisher *publisher);

#endif
