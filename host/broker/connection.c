/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/connection.h"

#if __has_include(<rabbitmq-c/tcp_socket.h>)
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp_tcp_socket.h>
#endif

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "broker/reach.h"
#include "broker/tls.h"
#include "broker/wire.h"

#define FRAME_MAX 131072  /* with smaller frames the last one of a body can be delayed by 200 ms */
#define FLUSH_BYTES 65536 /* bytes gathered before a write; more gain nothing */
#define CONNECT_SECONDS 5
#define RECONNECT_MS 1500 /* for a known peer: a new attempt reaches it sooner than TCP's retransmissions */
#define PATIENCE_MS                                                                                                    \
    1800 /* for each second of the heartbeat; the broker sends two in a heartbeat, so more than three are missing */
#define CLOSE_SECONDS 1 /* so that a dead peer does not delay the end */
#define HELD_MS 200     /* a connection that lasted this long was useful */

struct connection {
    const struct broker *broker;
    const char *purpose; /* shown in the broker's list of connections */
    amqp_connection_state_t state;
    size_t next; /* endpoint of the next attempt */
    char peer[300];
    bool has_been_open;
    bool broken; /* the stream cannot be parsed: the socket is dropped without connection.close */
    int64_t opened_at, tend_at;
    struct text out;            /* frames that wait for a flush */
    struct tls_peer tls_peer;   /* with TLS */
    struct lookup *lookup;      /* of the broker's name, when the resolver takes longer than an attempt */
    char *password;             /* as last read from the password file */
    int wake;                   /* an eventfd: readable when attempts to open end */
    pthread_mutex_t break_lock; /* for fd and opening, so that no reused descriptor is shut down */
    int fd;
    bool opening;
};

struct broker broker_of(const struct settings *settings)
{
    return (struct broker){
        .endpoints = settings->broker.endpoints,
        .endpoint_count = settings->broker.endpoint_count,
        .tls = settings->broker.tls,
        .tls_ca = settings->broker.tls_ca,
        .tls_certificate = settings->broker.tls_certificate,
        .tls_key = settings->broker.tls_key,
        .username = settings->broker.username,
        .password = settings->broker.password,
        .password_file = settings->broker.password_file,
        .virtual_host = settings->broker.virtual_host,
        .heartbeat = (int)settings->broker.heartbeat,
        .login_seconds = (int)settings->broker.login_seconds,
        .max_retries = (int)settings->broker.max_retries,
        .retry_sleep = (int)settings->broker.retry_sleep,
        .reconnect_ms = (int)settings->broker.reconnect_max * 1000,
    };
}

struct connection *connection_new(const struct broker *broker, const char *purpose)
{
    struct connection *connection = memory_new(sizeof *connection);
    connection->broker = broker;
    connection->purpose = purpose;
    connection->fd = -1;
    connection->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* -1: a stop waits for the deadline */
    pthread_mutex_init(&connection->break_lock, NULL);
    unsigned chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) == sizeof chance)
        connection->next = chance % broker->endpoint_count; /* so that hosts spread over the nodes */
    return connection;
}

void connection_free(struct connection *connection)
{
    if (connection == NULL)
        return;
    connection_drop(connection);
    lookup_abandon(connection->lookup);
    free(connection->password);
    if (connection->wake >= 0)
        close(connection->wake);
    pthread_mutex_destroy(&connection->break_lock);
    text_free(&connection->out);
    free(connection);
}

bool connection_is_open(const struct connection *connection)
{
    return connection->state != NULL;
}

int connection_fd(const struct connection *connection)
{
    return connection->fd;
}

static void set_fd(struct connection *connection, int fd)
{
    pthread_mutex_lock(&connection->break_lock);
    connection->fd = fd;
    pthread_mutex_unlock(&connection->break_lock);
}

void connection_break(struct connection *connection)
{
    pthread_mutex_lock(&connection->break_lock);
    if (connection->fd >= 0)
        shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_unlock(&connection->break_lock);
}

void connection_give_up(struct connection *connection)
{
    if (connection->wake >= 0)
        eventfd_write(connection->wake, 1);
    pthread_mutex_lock(&connection->break_lock);
    if (connection->opening && connection->fd >= 0)
        shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_unlock(&connection->break_lock);
}

static void set_opening(struct connection *connection, bool opening)
{
    pthread_mutex_lock(&connection->break_lock);
    connection->opening = opening;
    pthread_mutex_unlock(&connection->break_lock);
}

static bool tcp_state(struct connection *connection, struct tcp_info *info)
{
    socklen_t size = sizeof *info;
    bool known = false;
    pthread_mutex_lock(&connection->break_lock);
    if (connection->fd >= 0)
        known = getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
    pthread_mutex_unlock(&connection->break_lock);
    return known;
}

int64_t connection_tend(struct connection *connection, int64_t now, struct fault *fault)
{
    int64_t patience = (int64_t)connection->broker->heartbeat * PATIENCE_MS;
    struct tcp_info info = {0};
    if (now < connection->tend_at)
        return connection->tend_at;
    if (tcp_state(connection, &info) && info.tcpi_last_data_recv >= patience) {
        fault_set(fault, "the broker has been silent for %.1f s (heartbeat %d s)", info.tcpi_last_data_recv / 1000.0,
                  connection->broker->heartbeat);
        return -1;
    }
    connection->tend_at = now + patience - info.tcpi_last_data_recv;
    return connection->tend_at;
}

bool connection_peer_is_gone(struct connection *connection, unsigned silent_ms)
{
    struct tcp_info info = {0};
    return tcp_state(connection, &info) && info.tcpi_retransmits > 0 && info.tcpi_last_ack_recv >= silent_ms;
}

static bool lost(struct connection *connection, struct fault *fault, const char *doing, int status)
{
    connection->broken = true;
    return fault_set(fault, "%s: %s", doing, amqp_error_string2(status));
}

bool connection_violated(struct connection *connection, struct fault *fault, const char *how)
{
    connection->broken = true;
    return fault_set(fault, "protocol error: %s", how);
}

static const char *close_text(const amqp_connection_close_t *close, char *text, size_t size)
{
    snprintf(text, size, "%d %.*s", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
    return text;
}

/* If the file cannot be read, returns the last password, which may still be valid. */
static const char *current_password(struct connection *connection)
{
    const struct broker *broker = connection->broker;
    char *password = broker->password_file == NULL ? NULL : settings_password(broker->password_file, NULL);
    if (password != NULL) {
        free(connection->password);
        connection->password = password;
    }
    return connection->password != NULL ? connection->password : broker->password;
}

static enum opened log_in(struct connection *connection, struct fault *fault)
{
    const struct broker *broker = connection->broker;
    static const char *const wanted[] = {"consumer_cancel_notify", "connection.blocked", "authentication_failure_close",
                                         "publisher_confirms", "basic.nack"};
    amqp_table_entry_t capabilities[sizeof wanted / sizeof *wanted];
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        capabilities[i] = (amqp_table_entry_t){
            .key = amqp_cstring_bytes(wanted[i]),
            .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}},
        };
    amqp_table_entry_t properties[] = {
        {.key = amqp_cstring_bytes("product"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes("valawai-host")}}},
        {.key = amqp_cstring_bytes("version"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(HOST_VERSION)}}},
        {.key = amqp_cstring_bytes("connection_name"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(connection->purpose)}}},
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value = {.table = {.num_entries = sizeof wanted / sizeof *wanted, .entries = capabilities}}}},
    };
    amqp_table_t table = {.num_entries = sizeof properties / sizeof *properties, .entries = properties};
    connection->broken = false;
    amqp_rpc_reply_t reply =
        amqp_login_with_properties(connection->state, broker->virtual_host, 0, FRAME_MAX, broker->heartbeat, &table,
                                   AMQP_SASL_METHOD_PLAIN, broker->username, current_password(connection));
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return OPENED;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
            const amqp_connection_close_t *close = reply.reply.decoded;
            char text[256];
            bool ours = close->reply_code == AMQP_ACCESS_REFUSED || close->reply_code == AMQP_NOT_ALLOWED;
            fault_set(fault, "the broker answers \"%s\"%s", close_text(close, text, sizeof text),
                      ours ? "; check the user name, the password and the virtual host" : "");
            return ours ? OPEN_REFUSED : OPEN_FAILED;
        }
        fault_set(fault, "log in: unexpected answer 0x%08x", reply.reply.id);
        return OPEN_FAILED;
    default:
        lost(connection, fault, "log in", reply.library_error);
        return OPEN_FAILED;
    }
}

/* A certificate without TLS is a mistake, because the connection would be in plain text. */
static bool is_tls_meant(const struct broker *broker, struct fault *fault)
{
    if (broker->tls_key != NULL && broker->tls_certificate == NULL)
        return fault_set(fault, "RABBITMQ_TLS_KEY is set, but there is no certificate: set RABBITMQ_TLS_CERTIFICATE");
    if (broker->tls_certificate != NULL && !broker->tls)
        return fault_set(fault, "RABBITMQ_TLS_CERTIFICATE is set, but TLS is not on: set RABBITMQ_TLS=true");
    return true;
}

/* NULL: the settings cannot be used. */
static amqp_socket_t *make_socket(struct connection *connection, const char *name, struct fault *fault)
{
    if (!is_tls_meant(connection->broker, fault))
        return NULL;
    if (connection->broker->tls)
        return tls_socket(connection->state, connection->broker, name, &connection->tls_peer, fault);
    return memory_got(amqp_tcp_socket_new(connection->state));
}

/* Opens the socket itself, so that it can try addresses in parallel and a stop does not wait. */
static bool connect_plain(struct connection *connection, amqp_socket_t *socket, const struct target *target,
                          struct fault *fault)
{
    const int on = 1;
    int fd = reach(target, &connection->lookup, fault);
    if (fd < 0)
        return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    amqp_tcp_socket_set_sockfd(socket, fd); /* the library owns the descriptor from now on */
    return true;
}

/* For TLS the library accepts no socket, so it connects a second time, to the address that has just answered. */
static enum opened connect_tls(struct connection *connection, amqp_socket_t *socket, const struct target *target,
                               int64_t deadline_ms, struct fault *fault)
{
    char address[REACH_ADDRESS_SIZE];
    if (!reach_address(target, &connection->lookup, address, fault))
        return OPEN_FAILED;
    return tls_open(socket, &connection->tls_peer, address, target->port, deadline_ms, fault);
}

static enum opened open_endpoint(struct connection *connection, const struct endpoint *endpoint, struct fault *fault)
{
    const struct broker *broker = connection->broker;
    enum opened opened = OPEN_FAILED;
    int64_t now = clock_ms(), latest = now + (int64_t)CONNECT_SECONDS * 1000;
    const struct target target = {.host = endpoint->host,
                                  .port = endpoint->port,
                                  .deadline_ms = connection->has_been_open ? now + RECONNECT_MS : latest,
                                  .wake = connection->wake};
    struct timeval patience = {.tv_sec = broker->login_seconds}, goodbye = {.tv_sec = CLOSE_SECONDS};

    snprintf(connection->peer, sizeof connection->peer, "%.256s:%d", endpoint->host, endpoint->port);
    connection->state = memory_got(amqp_new_connection());
    amqp_set_handshake_timeout(connection->state, &patience);
    amqp_socket_t *socket = make_socket(connection, endpoint->host, fault);
    if (socket == NULL)
        opened = OPEN_REFUSED;
    else if (broker->tls)
        opened = connect_tls(connection, socket, &target, latest, fault);
    else if (connect_plain(connection, socket, &target, fault))
        opened = OPENED;
    if (opened != OPENED)
        goto out;
    set_fd(connection, amqp_get_sockfd(connection->state));
    opened = log_in(connection, fault);
    amqp_set_rpc_timeout(connection->state, &goodbye); /* the only remaining RPC is connection.close */
    connection->has_been_open = connection->has_been_open || opened == OPENED;
    connection->opened_at = clock_ms();
    connection->tend_at = 0;
out:
    if (opened != OPENED) {
        connection_drop(connection);
        fault_prefix(fault, "broker %s%s as user %s, virtual host %s", connection->peer, broker->tls ? " with TLS" : "",
                     broker->username, broker->virtual_host);
    }
    return opened;
}

enum opened connection_open(struct connection *connection, struct fault *fault)
{
    enum opened opened = OPEN_FAILED;
    set_opening(connection, true);
    for (size_t i = 0; i < connection->broker->endpoint_count && opened == OPEN_FAILED; i++) {
        opened = open_endpoint(connection, &connection->broker->endpoints[connection->next], fault);
        connection->next = (connection->next + 1) % connection->broker->endpoint_count;
    }
    set_opening(connection, false);
    return opened;
}

struct backoff connection_backoff(const struct broker *broker)
{
    return (struct backoff){.first_ms = 100, .last_ms = (uint32_t)broker->reconnect_ms / 2};
}

uint32_t connection_pause(const struct connection *connection, struct backoff *backoff)
{
    if (clock_ms() - connection->opened_at < HELD_MS)
        return backoff_next(backoff);
    backoff_reset(backoff);
    return 0;
}

const char *connection_peer(const struct connection *connection)
{
    return connection->peer;
}

void connection_version(const struct connection *connection, char *version, size_t size)
{
    const amqp_table_t *properties = amqp_get_server_properties(connection->state);
    version[0] = '\0';
    for (int i = 0; properties != NULL && i < properties->num_entries; i++) {
        const amqp_table_entry_t *entry = &properties->entries[i];
        amqp_bytes_t value = entry->value.value.bytes;
        if (entry->value.kind == AMQP_FIELD_KIND_UTF8 && entry->key.len == strlen("version") &&
            memcmp(entry->key.bytes, "version", entry->key.len) == 0)
            snprintf(version, size, "%.*s", value.len < size ? (int)value.len : (int)size, (char *)value.bytes);
    }
}

int connection_channel_max(const struct connection *connection)
{
    int most = amqp_get_channel_max(connection->state);
    return most > 0 ? most : UINT16_MAX;
}

void connection_drop(struct connection *connection)
{
    set_fd(connection, -1);
    text_clear(&connection->out);
    if (connection->state != NULL)
        amqp_destroy_connection(connection->state);
    connection->state = NULL;
}

void connection_close(struct connection *connection)
{
    if (connection->state != NULL && !connection->broken)
        amqp_connection_close(connection->state, AMQP_REPLY_SUCCESS);
    connection_drop(connection);
}

enum frame connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *fault)
{
    struct timeval now = {0};
    for (;;) {
        int status = amqp_simple_wait_frame_noblock(connection->state, frame, &now);
        if (status == AMQP_STATUS_TIMEOUT)
            return FRAME_NONE;
        if (status != AMQP_STATUS_OK) {
            lost(connection, fault, "read", status);
            return FRAME_LOST;
        }
        if (frame->frame_type == AMQP_FRAME_HEARTBEAT)
            continue;
        /* The library decodes the properties of each class into a different structure. */
        if (frame->frame_type == AMQP_FRAME_HEADER && frame->payload.properties.class_id != AMQP_BASIC_CLASS) {
            connection_violated(connection, fault, "a content header of another class than basic");
            return FRAME_LOST;
        }
        if (frame->frame_type != AMQP_FRAME_METHOD || frame->payload.method.id != AMQP_CONNECTION_CLOSE_METHOD)
            return FRAME_GOT;
        char text[256];
        fault_set(fault, "the broker closed the connection: %s",
                  close_text(frame->payload.method.decoded, text, sizeof text));
        amqp_connection_close_ok_t ok = {0};
        amqp_send_method(connection->state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
        return FRAME_LOST;
    }
}

bool connection_has_frames(struct connection *connection)
{
    /* TLS may have buffered what poll() does not see */
    return connection->broker->tls || amqp_frames_enqueued(connection->state) || amqp_data_in_buffer(connection->state);
}

void connection_release(struct connection *connection)
{
    amqp_maybe_release_buffers(connection->state);
}

bool connection_send(struct connection *connection, amqp_channel_t channel, amqp_method_number_t id, void *method,
                     struct fault *fault)
{
    if (connection->out.len > 0 && !connection_flush(connection, fault))
        return false;
    int status = amqp_send_method(connection->state, channel, id, method);
    return status == AMQP_STATUS_OK || lost(connection, fault, "send", status);
}

/* Waits for a broker that does not read; connection_break() ends the wait. */
bool connection_flush(struct connection *connection, struct fault *fault)
{
    size_t sent = 0;
    while (sent < connection->out.len) {
        ssize_t now = send(connection->fd, connection->out.at + sent, connection->out.len - sent, MSG_NOSIGNAL);
        struct pollfd room = {.fd = connection->fd, .events = POLLOUT};
        if (now >= 0)
            sent += (size_t)now;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            poll(&room, 1, -1);
        else if (errno != EINTR)
            return fault_set(fault, "publish: %s", strerror(errno));
    }
    text_clear(&connection->out);
    return true;
}

size_t connection_properties_max(const struct connection *connection)
{
    return (size_t)amqp_get_frame_max(connection->state) - WIRE_FRAME_COST - WIRE_HEADER_COST;
}

static bool publish_by_library(struct connection *connection, amqp_channel_t channel,
                               const struct wire_message *message, struct fault *fault)
{
    amqp_basic_properties_t common = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = message->persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT,
    };
    amqp_basic_properties_t *properties = &common;
    amqp_pool_t pool;
    init_amqp_pool(&pool, 4096);
    int status = AMQP_STATUS_OK;
    if (message->properties.len > 0) {
        void *decoded = NULL;
        status = amqp_decode_properties(
            AMQP_BASIC_CLASS, &pool,
            (amqp_bytes_t){.len = message->properties.len, .bytes = (void *)(uintptr_t)message->properties.at},
            &decoded);
        properties = decoded;
    }
    if (status == AMQP_STATUS_OK)
        status = amqp_basic_publish(connection->state, channel, amqp_empty_bytes, amqp_cstring_bytes(message->topic),
                                    message->mandatory, 0, properties,
                                    (amqp_bytes_t){.len = message->len, .bytes = (void *)(uintptr_t)message->body});
    empty_amqp_pool(&pool);
    return status == AMQP_STATUS_OK || lost(connection, fault, "publish", status);
}

/* Without TLS the library buffers nothing, so these bytes never split one of its frames. Only the library can write to
 * a TLS session. */
bool connection_publish(struct connection *connection, amqp_channel_t channel, const struct wire_message *message,
                        struct fault *fault)
{
    const char *at = message->body;
    size_t most = (size_t)amqp_get_frame_max(connection->state) - WIRE_FRAME_COST;
    if (message->properties.len > connection_properties_max(connection))
        return fault_set(fault, "%s: %zu bytes of properties exceed a frame of this broker", message->topic,
                         message->properties.len);
    if (connection->broker->tls)
        return publish_by_library(connection, channel, message, fault);
    wire_publish(&connection->out, channel, message);
    for (size_t left = message->len, part; left > 0; left -= part, at += part) {
        part = left < most ? left : most;
        wire_body(&connection->out, channel, at, part);
        if (connection->out.len >= FLUSH_BYTES && !connection_flush(connection, fault))
            return false;
    }
    return true;
}

bool connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code, struct fault *why)
{
    const amqp_channel_close_t *close = frame->payload.method.decoded;
    if (code != NULL)
        *code = close->reply_code;
    fault_set(why, "%d %.*s", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
    amqp_channel_close_ok_t ok = {0};
    return connection_send(connection, frame->channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok, NULL);
}
