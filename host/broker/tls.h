/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tls: a TLS session with the broker. rabbitmq-c makes the connection itself, checks the name that it connects to, and
 * announces it to the broker. The host has it connect to an address, the one of the name's addresses that answers. So
 * here OpenSSL verifies the name of the settings instead, and announces that. No other file uses OpenSSL. */
#ifndef BROKER_TLS_H
#define BROKER_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/connection.h"

/* The expected peer. OpenSSL keeps a pointer to it, so it must not move, and it must outlive the socket. */
struct tls_peer {
    const char *name; /* as in the settings: a host name or an address; must outlive the socket, too */
    bool is_address;
    long verdict; /* of OpenSSL on the certificate */
};

/* A socket that accepts only a broker with a valid certificate for the name; it belongs to the connection. NULL: the
 * settings cannot be used, see fault. */
amqp_socket_t *tls_socket(amqp_connection_state_t state, const struct broker *broker, const char *name,
                          struct tls_peer *peer, struct fault *fault);

/* Connects to the numeric address, and verifies the peer. */
enum opened tls_open(amqp_socket_t *socket, const struct tls_peer *peer, const char *address, int port,
                     int64_t deadline_ms, struct fault *fault) __attribute__((warn_unused_result));

#endif
