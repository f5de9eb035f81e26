/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Shared by the C programs of the benchmark: one connection by the RABBITMQ_ variables of the environment, and the end
 * of the program after a failure. */
#ifndef BENCH_AMQP_H
#define BENCH_AMQP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

#define FRAME_MAX 131072

static inline void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static inline void must_rpc(amqp_connection_state_t connection, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    fprintf(stderr, "%s: %s\n", what,
            reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION ? "the broker refuses"
                                                               : amqp_error_string2(reply.library_error));
    exit(1);
}

static inline const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL ? otherwise : value;
}

static inline amqp_connection_state_t connect_broker(void)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    int port = atoi(setting("RABBITMQ_PORT", "5672"));
    must(amqp_socket_open(socket, setting("RABBITMQ_HOST", "127.0.0.1"), port) == AMQP_STATUS_OK, "connect");
    amqp_rpc_reply_t reply = amqp_login(connection, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN,
                                        setting("RABBITMQ_USERNAME", "mov"), setting("RABBITMQ_PASSWORD", "password"));
    must(reply.reply_type == AMQP_RESPONSE_NORMAL, "log in");
    return connection;
}

static inline void open_channel(amqp_connection_state_t connection, amqp_channel_t channel)
{
    amqp_channel_open(connection, channel);
    must_rpc(connection, "channel.open");
}

static inline void publish(amqp_connection_state_t connection, amqp_channel_t channel, amqp_bytes_t topic,
                           amqp_bytes_t body, bool persistent, bool mandatory)
{
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = {.len = 16, .bytes = "application/json"},
        .delivery_mode = persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT,
    };
    must(amqp_basic_publish(connection, channel, amqp_empty_bytes, topic, mandatory, 0, &properties, body) ==
             AMQP_STATUS_OK,
         "basic.publish");
}

#endif
