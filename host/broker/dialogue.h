/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dialogue: a short session with the broker on one thread, for the verbs: one connection, one AMQP channel, no second
 * attempt. An error ends it, with a message for the user. */
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
void dialogue_close(struct dialogue *dialogue); /* accepts NULL; unacknowledged messages return to their queue */

/* False if the topic has no queue. consumers, which may be NULL: the number of its consumers. */
bool dialogue_find(struct dialogue *dialogue, const char *topic, uint32_t *consumers, struct fault *fault)
    __attribute__((warn_unused_result));

/* Sends a request that the broker may refuse, and waits for the answer. refusal is 0, or the reply code with which the
 * broker closed the AMQP channel; then fault has the broker's text, and the channel is open again. False: the dialogue
 * is over.
 * */
bool dialogue_try(struct dialogue *dialogue, uint32_t method, void *arguments, int *refusal, struct fault *fault)
    __attribute__((warn_unused_result));

/* Of the last declared queue, including passive declares. */
uint32_t dialogue_messages(const struct dialogue *dialogue);
uint32_t dialogue_consumers(const struct dialogue *dialogue);

/* The version of the broker; "" if it gives none. */
const char *dialogue_version(const struct dialogue *dialogue);

/* may: the user may publish to queues. The test is an empty message to a queue that does not exist: the broker returns
 * or refuses it. An alarm of the broker is a fault. Afterwards the dialogue can only be closed. */
bool dialogue_may_publish(struct dialogue *dialogue, bool *may, struct fault *fault)
    __attribute__((warn_unused_result));

/* ---- sending ---- */

/* From here on the broker confirms publications. */
bool dialogue_confirm(struct dialogue *dialogue, struct fault *fault) __attribute__((warn_unused_result));

/* False while too many are unconfirmed, or the broker has an alarm. */
bool dialogue_has_room(const struct dialogue *dialogue);
bool dialogue_is_blocked(const struct dialogue *dialogue);
size_t dialogue_unconfirmed(const struct dialogue *dialogue);

/* The message is persistent and mandatory, and leaves with dialogue_wait() at the latest. If it comes back because the
 * topic has no queue, dialogue_next() reports a fault. */
bool dialogue_publish(struct dialogue *dialogue, const char *topic, const char *body, size_t len, struct fault *fault)
    __attribute__((warn_unused_result));

struct dialogue_message;

/* Publishes the body of a message with these properties, and waits for the confirmation. */
bool dialogue_move(struct dialogue *dialogue, const char *topic, const struct dialogue_message *message,
                   struct properties properties, struct fault *fault) __attribute__((warn_unused_result));

/* ---- receiving ---- */

/* Consumes a topic, like any other consumer. */
bool dialogue_consume(struct dialogue *dialogue, const char *topic, uint16_t prefetch, struct fault *fault)
    __attribute__((warn_unused_result));

/* Receives copies of the messages that are published on a topic, and takes none: RabbitMQ's firehose puts the copies
 * into a queue of the dialogue. Also false if tracing is off at the broker. */
bool dialogue_trace(struct dialogue *dialogue, const char *topic, struct fault *fault)
    __attribute__((warn_unused_result));

/* messages: the number of ready messages in a queue. found: the queue exists; if not, the dialogue can only be closed.
 */
bool dialogue_look(struct dialogue *dialogue, const char *topic, bool *found, uint32_t *messages, struct fault *fault)
    __attribute__((warn_unused_result));

/* Gets the oldest ready message of a queue: DIALOGUE_MESSAGE, or DIALOGUE_NOTHING if there is none. The message is held
 * until it is accepted or returned. A body larger than host.message_max_bytes is a fault if body_wanted, and is left
 * out otherwise. */
enum dialogue_event dialogue_get(struct dialogue *dialogue, const char *topic, bool body_wanted,
                                 struct dialogue_message *message, struct fault *fault)
    __attribute__((warn_unused_result));

/* Acknowledges this message only. */
bool dialogue_accept(struct dialogue *dialogue, uint64_t tag, struct fault *fault) __attribute__((warn_unused_result));

/* Returns this message and all held ones before it to their places in the queue. */
bool dialogue_return(struct dialogue *dialogue, uint64_t tag, struct fault *fault) __attribute__((warn_unused_result));

/* Acknowledges this message and all before it. */
bool dialogue_acknowledge(struct dialogue *dialogue, uint64_t tag, struct fault *fault)
    __attribute__((warn_unused_result));

/* ---- both ---- */

struct dialogue_message {
    const char *body; /* valid until the next call; ends with '\0' */
    size_t len;
    struct properties properties; /* valid as long; length 0: only what every message has */
    uint64_t tag;
    bool wanted; /* false: a copy from another topic, which is only acknowledged; or the body is left out */
};

enum dialogue_event { DIALOGUE_NOTHING, DIALOGUE_MESSAGE, DIALOGUE_FAILED };

/* Reads the frames that have arrived. Does not wait. */
enum dialogue_event dialogue_next(struct dialogue *dialogue, struct dialogue_message *message, struct fault *fault)
    __attribute__((warn_unused_result));

/* Waits until a frame arrives, another descriptor is ready, or a heartbeat is due. The dialogue fills in the first
 * descriptor. */
bool dialogue_wait(struct dialogue *dialogue, struct pollfd *fds, nfds_t count, struct fault *fault)
    __attribute__((warn_unused_result));

#endif
