/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * connection: one AMQP connection to the broker, opened as often as it takes. Consumer and publisher have one each, and
 * each connection belongs to the thread that opened it; only connection_break() may be called from another. The four
 * files connection.c, consumer.c, publisher.c and dialogue.c are the only users of rabbitmq-c. */
#ifndef BROKER_CONNECTION_H
#define BROKER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#else
#include <amqp.h>
#endif

#include "base/backoff.h"
#include "base/fault.h"
#include "broker/wire.h"
#include "settings/settings.h"

/* Where the broker is and who we are there. All pointers have to outlive the connection. */
struct broker {
    const struct endpoint *endpoints; /* tried in turn, from a random one on */
    size_t endpoint_count;
    bool tls;
    const char *tls_ca, *tls_certificate, *tls_key; /* the latter two may be NULL */
    const char *username, *password, *virtual_host;
    const char *password_file; /* read again before each login, so that the password can be changed; NULL: password */
    int heartbeat;             /* seconds */
    int login_seconds;         /* for a login, once there is a connection */
    int max_retries;           /* attempts to make the first connection … */
    int retry_sleep;           /* … and the seconds between them */
    int reconnect_ms;          /* most milliseconds that a broker is there again and not found */
};

struct broker broker_of(const struct settings *settings); /* its pointers are the settings' */

struct connection;

struct connection *connection_new(const struct broker *broker, const char *purpose);
void connection_free(struct connection *connection); /* closes it without a word if it is open */

enum opened {
    OPENED,
    OPEN_FAILED, /* perhaps another time */
    OPEN_REFUSED /* the broker does not want us (credentials, virtual host), or its certificate is not good */
};
enum opened connection_open(struct connection *connection, struct fault *fault) __attribute__((warn_unused_result));

/* [any thread] Ends an attempt to open that is under way, or the next one. A connection that is open stays so. */
void connection_give_up(struct connection *connection);

/* The pauses between attempts to open a connection that was there. The longest is half of reconnect_ms: the other half
 * is for logging in and for taking up the work. */
struct backoff connection_backoff(const struct broker *broker);

/* After a connection was lost: the pause before the next attempt. None if it held for some time; otherwise the broker
 * lets us in and throws us out again, and hammering at its door helps nobody. */
uint32_t connection_pause(const struct connection *connection, struct backoff *backoff);

/* The node that is connected, or was tried last: HOST:PORT. */
const char *connection_peer(const struct connection *connection);
bool connection_is_open(const struct connection *connection);
int connection_channel_max(const struct connection *connection); /* of an open one: what was agreed with the broker */

/* Says goodbye (bounded in time) or just lets go. Both leave it closed. After a fault of reading or writing there is no
 * goodbye: that would read on in what makes no sense any more. */
void connection_close(struct connection *connection);
void connection_drop(struct connection *connection);

/* [any thread] Makes whoever is blocked in the connection come back with an error. */
void connection_break(struct connection *connection);

/* When to call again, or -1: the broker has been silent for nearly two heartbeats, and is given up. The library notices
 * that only when it is called, and so too late. */
int64_t connection_tend(struct connection *connection, int64_t now, struct fault *fault)
    __attribute__((warn_unused_result));

/* [any thread] True if data is sent again and again and no acknowledgement of TCP has come for so long: nobody is
 * there. A peer that is there and does not read (an alarm) answers, and is not gone. */
bool connection_peer_is_gone(struct connection *connection, unsigned silent_ms);

int connection_fd(const struct connection *connection);

enum frame {
    FRAME_NONE, /* nothing more for now */
    FRAME_GOT,
    FRAME_LOST /* the connection is gone: see fault; connection_drop() comes next */
};

/* The next frame without waiting; serves heartbeats, so it wants to be called at least every second. What the frame
 * points to is valid until connection_release(). */
enum frame connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* True if frames are at hand without reading the socket. */
bool connection_has_frames(struct connection *connection);
void connection_release(struct connection *connection);

/* For a frame that breaks the protocol: sets the fault, and connection_close() says no goodbye. Returns false. */
bool connection_violated(struct connection *connection, struct fault *fault, const char *how);

/* Sends a method and does not wait for the answer: that comes as a frame. */
bool connection_send(struct connection *connection, amqp_channel_t channel, amqp_method_number_t id, void *method,
                     struct fault *fault) __attribute__((warn_unused_result));

/* Puts a publication behind what is to be sent. It leaves with connection_flush() at the latest; the message and its
 * bytes are not needed any more after the return. */
bool connection_publish(struct connection *connection, amqp_channel_t channel, const struct wire_message *message,
                        struct fault *fault) __attribute__((warn_unused_result));

/* The most bytes of properties that a publication may have on this connection. */
size_t connection_properties_max(const struct connection *connection);
bool connection_flush(struct connection *connection, struct fault *fault) __attribute__((warn_unused_result));

/* What a channel.close says; code may be NULL. Answers it, too. */
bool connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code, struct fault *why)
    __attribute__((warn_unused_result));

#endif
