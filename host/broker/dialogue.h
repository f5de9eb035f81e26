/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dialogue: a short session with the broker on one thread, for the verbs that send and listen: one connection, one AMQP
 * channel, no second attempt. An error ends it, with a message for people. */
#ifndef BROKER_DIALOGUE_H
#define BROKER_DIALOGUE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "message/properties.h"
#include "settings/settings.h"

struct dialogue;

/* Logs in. The settings must outlive the dialogue. */
struct dialogue *dialogue_open(const struct settings *settings, const char *purpose, struct fault *fault)
    __attribute__((warn_unused_result));
void dialogue_close(struct dialogue *dialogue); /* NULL too; what was not acknowledged goes back to its queue */

/* False if there is no queue for the topic. consumers, which may be NULL: how many it has. */
bool dialogue_find(struct dialogue *dialogue, const char *topic, uint32_t *consumers, struct fault *fault)
    __attribute__((warn_unused_result));

/* Sends a request that the broker may refuse, and waits for the answer: refusal is 0, or the reply code with which the
 * broker closed the AMQP channel; fault then has its words, and the channel is open again. False: the dialogue is over.
 */
bool dialogue_try(struct dialogue *dialogue, uint32_t method, void *arguments, int *refusal, struct fault *fault)
    __attribute__((warn_unused_result));

/* What the queue has that was declared last, also passively. */
uint32_t dialogue_messages(const struct dialogue *dialogue);
uint32_t dialogue_consumers(const struct dialogue *dialogue);

/* The version that the broker says it is; "" if it says none. */
const char *dialogue_version(const struct dialogue *dialogue);

/* Whether the user may publish to queues: an empty message to a queue that does not exist comes back, or is refused. An
 * alarm of the broker is a fault. The dialogue can only be closed afterwards. */
bool dialogue_may_publish(struct dialogue *dialogue, bool *may, struct fault *fault)
    __attribute__((warn_unused_result));

/* ---- sending ---- */

/* From here on the broker confirms publications. */
bool dialogue_confirm(struct dialogue *dialogue, struct fault *fault) __attribute__((warn_unused_result));

/* False while too many are unconfirmed, or the broker has an alarm. */
bool dialogue_has_room(const struct dialogue *dialogue);
bool dialogue_is_blocked(const struct dialogue *dialogue);
size_t dialogue_unconfirmed(const struct dialogue *dialogue);

/* Persistent and mandatory; leaves with dialogue_wait() at the latest. One that comes back, because the topic has no
 * queue, is a fault of dialogue_next(). */
bool dialogue_publish(struct dialogue *dialogue, const char *topic, const char *body, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));

struct dialogue_message;

/* Publishes the body of a message with these properties, and waits for the confirmation. */
bool dialogue_move(struct dialogue *dialogue, const char *topic, const struct dialogue_message *message,
                   struct properties properties, struct fault *fault) __attribute__((warn_unused_result));

/* ---- receiving ---- */

/* Takes the messages of a topic, as any consumer of it. */
bool dialogue_consume(struct dialogue *dialogue, const char *topic, uint16_t prefetch, struct fault *fault)
    __attribute__((warn_unused_result));

/* Copies what is published on a topic and takes no message: RabbitMQ's firehose puts the copies into a queue of the
 * dialogue. False, too, if tracing is off at the broker. */
bool dialogue_trace(struct dialogue *dialogue, const char *topic, struct fault *fault)
    __attribute__((warn_unused_result));

/* How many messages are ready in a queue. found: there is such a queue; if not, the dialogue can only be closed. */
bool dialogue_look(struct dialogue *dialogue, const char *topic, bool *found, uint32_t *messages, struct fault *fault)
    __attribute__((warn_unused_result));

/* Waits for the oldest message that is ready in a queue: DIALOGUE_MESSAGE, or DIALOGUE_NOTHING if there is none. It is
 * held until it is accepted or returned. A body larger than host.message_max_bytes is a fault if body_wanted, and is
 * left out otherwise. */
enum dialogue_event dialogue_get(struct dialogue *dialogue, const char *topic, bool body_wanted,
                                 struct dialogue_message *message, struct fault *fault)
    __attribute__((warn_unused_result));

/* This message, and no other. */
bool dialogue_accept(struct dialogue *dialogue, uint64_t tag, struct fault *fault) __attribute__((warn_unused_result));

/* This message and all before it that are held, to their places in the queue. */
bool dialogue_return(struct dialogue *dialogue, uint64_t tag, struct fault *fault) __attribute__((warn_unused_result));

/* This message and all before it. */
bool dialogue_acknowledge(struct dialogue *dialogue, uint64_t tag, struct fault *fault)
    __attribute__((warn_unused_result));

/* ---- both ---- */

struct dialogue_message {
    const char *body; /* valid until the next call; ends with '\0' */
    size_t len;
    struct properties properties; /* as long; length 0: nothing beyond what every message has */
    uint64_t tag;
    bool wanted; /* false: a copy of a message on another topic, which is only acknowledged; or the body is left out */
};

enum dialogue_event { DIALOGUE_NOTHING, DIALOGUE_MESSAGE, DIALOGUE_FAILED };

/* Reads what the broker has sent. Does not wait. */
enum dialogue_event dialogue_next(struct dialogue *dialogue, struct dialogue_message *message, struct fault *fault)
    __attribute__((warn_unused_result));

/* Waits until the broker sends something, another descriptor is ready, or a heartbeat is due. The dialogue fills in the
 * first of the descriptors. */
bool dialogue_wait(struct dialogue *dialogue, struct pollfd *fds, nfds_t count, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
