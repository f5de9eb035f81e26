/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/tls.h"

#if __has_include(<rabbitmq-c/ssl_socket.h>)
#include <rabbitmq-c/ssl_socket.h>
#else
#include <amqp_ssl_socket.h>
#endif

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"

/* Runs in each handshake: after rabbitmq-c has announced the address that it connects to, and before OpenSSL sends the
 * announcement; and when OpenSSL has verified the certificate, because rabbitmq-c does not tell the reason of a
 * refusal. */
static void on_handshake(const SSL *session, int where, int value)
{
    (void)value;
    struct tls_peer *peer = SSL_CTX_get_app_data(SSL_get_SSL_CTX(session));
    const char *announced = peer->is_address ? NULL : peer->name; /* never an address (RFC 6066, section 3) */
    if ((where & SSL_CB_HANDSHAKE_START) != 0)
        (void)SSL_set_tlsext_host_name((SSL *)(uintptr_t)session, announced);
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0)
        peer->verdict = SSL_get_verify_result(session);
}

/* An empty name would turn off the check of OpenSSL. */
static bool expect(SSL_CTX *context, struct tls_peer *peer)
{
    X509_VERIFY_PARAM *parameters = SSL_CTX_get0_param(context);
    SSL_CTX_set_app_data(context, peer);
    SSL_CTX_set_info_callback(context, on_handshake);
    peer->is_address = X509_VERIFY_PARAM_set1_ip_asc(parameters, peer->name) == 1;
    if (peer->is_address)
        return true;
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return peer->name[0] != '\0' && X509_VERIFY_PARAM_set1_host(parameters, peer->name, 0) == 1;
}

static bool is_readable(const char *path, struct fault *fault)
{
    return access(path, R_OK) == 0 || fault_set(fault, "%s: %s", path, strerror(errno));
}

amqp_socket_t *tls_socket(amqp_connection_state_t state, const struct broker *broker, const char *name,
                          struct tls_peer *peer, struct fault *fault)
{
    const char *key = broker->tls_key == NULL ? broker->tls_certificate : broker->tls_key;
    if (!is_readable(broker->tls_ca, fault) ||
        (key != NULL && (!is_readable(broker->tls_certificate, fault) || !is_readable(key, fault))))
        return NULL;
    amqp_socket_t *socket = memory_got(amqp_ssl_socket_new(state));
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 0); /* the address that it connects to; the name: see expect() */
    amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST);
    *peer = (struct tls_peer){.name = name, .verdict = X509_V_OK};
    if (!expect(amqp_ssl_socket_get_context(socket), peer)) {
        fault_set(fault, "the name \"%s\" cannot be verified", name);
        return NULL;
    }
    if (amqp_ssl_socket_set_cacert(socket, broker->tls_ca) != AMQP_STATUS_OK) {
        fault_set(fault, "%s: contains no certificates that can be used (RABBITMQ_TLS_CA)", broker->tls_ca);
        return NULL;
    }
    if (key != NULL && amqp_ssl_socket_set_key(socket, broker->tls_certificate, key) != AMQP_STATUS_OK) {
        fault_set(fault, "cannot use the certificate %s with the key %s", broker->tls_certificate, key);
        return NULL;
    }
    return socket;
}

static enum opened refuse(const struct tls_peer *peer, struct fault *fault)
{
    if (peer->verdict == X509_V_ERR_HOSTNAME_MISMATCH || peer->verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
        fault_set(fault, "connect: the broker's certificate is not for %s; check RABBITMQ_HOST and the certificate",
                  peer->name);
    else
        fault_set(fault, "connect: the broker's certificate is not valid: %s; check it and RABBITMQ_TLS_CA",
                  peer->verdict == X509_V_OK ? "it has sent none" : X509_verify_cert_error_string(peer->verdict));
    return OPEN_REFUSED;
}

enum opened tls_open(amqp_socket_t *socket, const struct tls_peer *peer, const char *address, int port,
                     int64_t deadline_ms, struct fault *fault)
{
    int64_t left = deadline_ms - clock_ms();
    struct timeval patience = {.tv_sec = left > 0 ? left / 1000 : 0, .tv_usec = left > 0 ? left % 1000 * 1000 : 1};
    int status = amqp_socket_open_noblock(socket, address, port, &patience);
    if (status == AMQP_STATUS_OK)
        return OPENED;
    if (status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED)
        return refuse(peer, fault);
    if (status == AMQP_STATUS_SOCKET_ERROR)
        fault_set(fault, "no connection: is the broker running and listening there?");
    else
        fault_set(fault, "connect: %s", amqp_error_string2(status));
    return OPEN_FAILED;
}
