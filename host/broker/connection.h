/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * connection: one AMQP connection to the broker, which can be opened repeatedly. Consumer and publisher have one each.
 * A connection belongs to the thread that opened it; other threads call only the functions marked [any thread]. */
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

/* The address of the broker and the login. All pointers must outlive the connection. */
struct broker {
    const struct endpoint *endpoints; /* tried in turn, starting at a random one */
    size_t endpoint_count;
    bool tls;
    const char *tls_ca, *tls_certificate, *tls_key; /* certificate and key may be NULL */
    const char *username, *password, *virtual_host;
    const char *password_file; /* read before each login, so that the password can change; NULL: use password */
    int heartbeat;             /* seconds */
    int login_seconds;         /* for a login, after the connect */
    int max_retries;           /* attempts to make the first connection … */
    int retry_sleep;           /* … and the seconds between them */
    int reconnect_ms;          /* the most time to detect that the broker is back */
};

struct broker broker_of(const struct settings *settings); /* its pointers belong to the settings */

struct connection;

struct connection *connection_new(const struct broker *broker, const char *purpose);
void connection_free(struct connection *connection); /* drops it if it is open */

enum opened {
    OPENED,
    OPEN_FAILED, /* another attempt may succeed */
    OPEN_REFUSED /* the broker refuses the login (credentials, virtual host), or its certificate is not valid */
};
enum opened connection_open(struct connection *connection, struct fault *fault) __attribute__((warn_unused_result));

/* [any thread] Ends the current attempt to open, or the next one. An open connection stays open. */
void connection_give_up(struct connection *connection);

/* The pauses between attempts to reconnect. The longest is half of reconnect_ms; the other half is for the login and
 * the first declares. */
struct backoff connection_backoff(const struct broker *broker);

/* The pause before the next attempt, after a connection was lost; 0 if it lasted for some time. The pauses grow for a
 * broker that closes each connection soon after the login. */
uint32_t connection_pause(const struct connection *connection, struct backoff *backoff);

/* The connected node, or that of the last attempt: HOST:PORT. */
const char *connection_peer(const struct connection *connection);
#define CONNECTION_VERSION_SIZE 32

/* The version of the connected broker; "" if it gives none. */
void connection_version(const struct connection *connection, char *version, size_t size);
bool connection_is_open(const struct connection *connection);
int connection_channel_max(const struct connection *connection); /* as agreed with the broker; the connection is open */

/* connection_close() sends connection.close and waits for the answer, for a bounded time. connection_drop() only closes
 * the socket. After a fault of reading or writing both only close the socket, because the rest of the stream cannot be
 * parsed. */
void connection_close(struct connection *connection);
void connection_drop(struct connection *connection);

/* [any thread] Makes a call that is blocked in the connection return with an error. */
void connection_break(struct connection *connection);

/* Returns when to call again, or -1 when the broker has been silent for nearly two heartbeats and the connection is
 * dead. The library notices this only when it is called, which is too late. */
int64_t connection_tend(struct connection *connection, int64_t now, struct fault *fault)
    __attribute__((warn_unused_result));

/* [any thread] True if TCP retransmits and has had no acknowledgement for silent_ms. A peer that does not read (an
 * alarm) still acknowledges. */
bool connection_peer_is_gone(struct connection *connection, unsigned silent_ms);

int connection_fd(const struct connection *connection);

enum frame {
    FRAME_NONE, /* no frame has arrived */
    FRAME_GOT,
    FRAME_LOST /* the connection is lost: see fault; call connection_drop() */
};

/* Returns the next frame without waiting. Also serves heartbeats, so call it at least every second. The frame's data is
 * valid until connection_release(). */
enum frame connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* True if the next frame is available without reading the socket. */
bool connection_has_frames(struct connection *connection);
void connection_release(struct connection *connection);

/* For a frame that breaks the protocol: sets the fault, and makes connection_close() only drop the socket. Returns
 * false. */
bool connection_violated(struct connection *connection, struct fault *fault, const char *how);

/* Sends a method without waiting for the answer, which arrives as a frame. */
bool connection_send(struct connection *connection, amqp_channel_t channel, amqp_method_number_t id, void *method,
                     struct fault *fault) __attribute__((warn_unused_result));

/* Appends a publication to the output, which leaves with connection_flush() at the latest. The message and its bytes
 * may be freed on return. */
bool connection_publish(struct connection *connection, amqp_channel_t channel, const struct wire_message *message,
                        struct fault *fault) __attribute__((warn_unused_result));

/* The most bytes of properties that a publication may have on this connection. */
size_t connection_properties_max(const struct connection *connection);
bool connection_flush(struct connection *connection, struct fault *fault) __attribute__((warn_unused_result));

/* Reads a channel.close and answers it; code may be NULL. */
bool connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code, struct fault *why)
    __attribute__((warn_unused_result));

#endif
