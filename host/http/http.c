/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * http: the two threads, and what a client may cost. libmicrohttpd reads and writes; this file polls for it, so that
 * one thread serves both sockets, and drops a client that takes too long for one request, however busy it seems. */
#include "http/http.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "base/thread.h"
#include "http/door.h"
#include "http/microhttpd.h"
#include "http/replies.h"

#define CONNECTIONS_MAX 32     /* of one socket; further clients wait in the kernel */
#define CONNECTIONS_OF_ONE 16  /* of them, those of one address */
#define CONNECTION_MEMORY 8192 /* for a request: its line and its headers */
#define CONNECTION_SECONDS 5   /* without a byte */
#define REQUEST_MS 10000       /* for a request and its reply, also between two of them */
#define TICK_MS 1000           /* between two samples of the rates */
#define RETRY_MS 5000          /* until a port that is taken, or a socket that cannot be made, is tried again */
#define BEAT_MS 10000          /* a control thread that has not turned for so long is not alive */
#define KEPT_MS 100
#define REFUSED_MAX 64        /* connections in a second, while there is no libmicrohttpd */
#define DESCRIPTORS_OTHERS 48 /* for the rest of the host */

/* One of the two sockets, with its connections. It listens by itself until the first client connects, and from then on
 * libmicrohttpd serves it. */
struct face {
    struct http *http;
    int listener;              /* -1: it does not listen, or the daemon does */
    struct MHD_Daemon *daemon; /* NULL: no client yet */
    int epoll;                 /* the daemon's */
    bool pauses;               /* until the next tick: libmicrohttpd is not there */
    bool of_one_user;
    struct client *clients;
};

struct client {
    struct client *next, *prev;
    struct face *face;
    int fd;
    int64_t since; /* the request that is awaited, or under way */
};

/* The metrics, for those that ask at nearly the same time: many scrapes cost little more than one. */
struct kept {
    struct MHD_Response *response; /* NULL: none */
    char *accept;
    int64_t at;
};

struct http {
    struct http_options options;
    atomic_int_fast64_t beat;
    atomic_bool ending, stopping;
    int wake;
    unsigned connections; /* of each socket */

    pthread_t thread; /* owns: */
    struct microhttpd mhd;
    bool mhd_open, mhd_said;
    struct face unix_face, tcp_face;
    int64_t tcp_at; /* when to listen there; INT64_MAX: it listens already, or TCP is off */
    bool tcp_said;
    struct kept kept;

    pthread_t keeper; /* keeps the name of the Unix socket */
    atomic_int fresh; /* a socket that it hands over; -1: none */
    pthread_mutex_t lock;
    pthread_cond_t stop; /* by the monotonic clock */
};

/* ---- replies ---- */

static const char *const types[] = {
    [REPLY_TEXT] = "text/plain; charset=utf-8",
    [REPLY_JSON] = "application/json",
    [REPLY_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
    [REPLY_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    [REPLY_HTML] = "text/html; charset=utf-8",
};

static struct MHD_Response *make_response(const struct microhttpd *mhd, struct reply *reply, const char *allow)
{
    struct MHD_Response *response =
        memory_got(mhd->create_response_from_buffer(reply->body.len, reply->body.at, MHD_RESPMEM_MUST_FREE));
    mhd->add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, types[reply->type]);
    mhd->add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    mhd->add_response_header(response, "X-Content-Type-Options", "nosniff");
    mhd->add_response_header(response, "Referrer-Policy", "no-referrer");
    if (reply->policy != NULL)
        mhd->add_response_header(response, "Content-Security-Policy", reply->policy);
    if (allow != NULL)
        mhd->add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    return response;
}

static enum MHD_Result answer(const struct microhttpd *mhd, struct MHD_Connection *connection, struct reply *reply,
                              const char *allow)
{
    struct MHD_Response *response = make_response(mhd, reply, allow);
    enum MHD_Result result = mhd->queue_response(connection, reply->status, response);
    mhd->destroy_response(response);
    return result;
}

static void forget(const struct microhttpd *mhd, struct kept *kept)
{
    if (kept->response != NULL)
        mhd->destroy_response(kept->response); /* those that still send it have it as long as they need it */
    free(kept->accept);
    *kept = (struct kept){0};
}

/* True if the reply of a moment ago serves this request, too. */
static bool suits(const struct kept *kept, const char *accept, int64_t now)
{
    return kept->response != NULL && now - kept->at < KEPT_MS &&
           (accept == NULL || kept->accept == NULL ? accept == kept->accept : strcmp(accept, kept->accept) == 0);
}

static bool is_alive(const struct http *http)
{
    return atomic_load(&http->ending) || clock_ms() - atomic_load(&http->beat) < BEAT_MS;
}

static bool has_body(const struct microhttpd *mhd, struct MHD_Connection *connection)
{
    const char *length = mhd->lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return mhd->lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

#define RELOAD "/reload"

/* True for /reload, /reload/NAME and /reload/NUMBER. */
static bool is_reload(const char *url, const char **name)
{
    size_t len = strlen(RELOAD);
    *name = url + len + (url[len] == '/');
    return strncmp(url, RELOAD, len) == 0 && (url[len] == '\0' || url[len] == '/');
}

/* Only for the owner of the Unix socket: POST begins a reload, GET reports the outcome of a
 * request and of later ones; without a number, of all that are remembered. */
static bool answer_reload(const struct face *face, const char *url, const char *method, struct reply *reply)
{
    const struct http_options *options = &face->http->options;
    const char *name = NULL;
    if (face != &face->http->unix_face || !is_reload(url, &name))
        return false;
    reply->status = MHD_HTTP_OK;
    reply->type = REPLY_JSON;
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0) {
        reply->status = MHD_HTTP_ACCEPTED;
        text_printf(&reply->body, "{\"request\":%lu}\n", options->reload(options->reloading, name));
    } else {
        options->put_reload(options->reloading, strtoul(name, NULL, 10), &reply->body);
    }
    return true;
}

/* Called twice for a request. What is refused is answered at the first call, before its body is read, and the
 * connection ends with that. A connection that is answered at the second call goes on. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **request)
{
    struct http *http = ((const struct face *)context)->http;
    const struct microhttpd *mhd = &http->mhd;
    struct reply reply = {0};
    (void)version, (void)upload, (void)upload_size;
    const char *name;
    bool posts = strcmp(method, MHD_HTTP_METHOD_POST) == 0 && context == &http->unix_face && is_reload(url, &name);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0 && !posts) {
        reply.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        text_puts(&reply.body, "only GET and HEAD\n");
        return answer(mhd, connection, &reply, "GET, HEAD");
    }
    if (has_body(mhd, connection)) {
        reply.status = 413;
        text_puts(&reply.body, "no request has a body\n");
        return answer(mhd, connection, &reply, NULL);
    }
    if (*request == NULL) {
        *request = http;
        return MHD_YES;
    }
    if (answer_reload(context, url, method, &reply))
        return answer(mhd, connection, &reply, NULL);
    const char *accept = mhd->lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool keeps = strcmp(url, "/metrics") == 0;
    int64_t now = clock_ms();
    if (keeps && suits(&http->kept, accept, now))
        return mhd->queue_response(connection, MHD_HTTP_OK, http->kept.response);
    struct view view = {0};
    http->options.look(http->options.context, &view);
    view.alive = is_alive(http);
    reply_make(&reply, url, accept, &view);
    http->options.looked(http->options.context, &view);
    if (!keeps)
        return answer(mhd, connection, &reply, NULL);
    forget(mhd, &http->kept);
    http->kept = (struct kept){make_response(mhd, &reply, NULL), memory_text(accept), now};
    return mhd->queue_response(connection, MHD_HTTP_OK, http->kept.response);
}

/* No path has anything to unescape, and %00 would cut one short. */
static size_t as_it_came(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* ---- clients ---- */

static void client_come(struct face *face, struct MHD_Connection *connection, void **place)
{
    struct client *client = memory_new(sizeof *client);
    client->face = face;
    client->fd = face->http->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    client->since = clock_ms();
    client->next = face->clients;
    if (face->clients != NULL)
        face->clients->prev = client;
    face->clients = client;
    *place = client;
}

static void client_go(struct client *client)
{
    if (client->prev != NULL)
        client->prev->next = client->next;
    else
        client->face->clients = client->next;
    if (client->next != NULL)
        client->next->prev = client->prev;
    free(client);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **place,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        client_come(context, connection, place);
    else
        client_go(*place);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode how)
{
    const struct microhttpd *mhd = &((const struct face *)context)->http->mhd;
    struct client *client = mhd->get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    (void)request, (void)how;
    if (client != NULL)
        client->since = clock_ms();
}

/* One that sends or reads a byte now and then is not idle, and holds its place all the same. */
static void drop_late(const struct face *face, int64_t now)
{
    for (const struct client *client = face->clients; client != NULL; client = client->next)
        if (now - client->since > REQUEST_MS)
            shutdown(client->fd, SHUT_RDWR);
}

/* ---- the two sockets ---- */

static bool face_serve(struct face *face, struct fault *fault)
{
    struct http *http = face->http;
    const struct microhttpd *mhd = &http->mhd;
    unsigned most = http->connections;
    http->mhd_open = http->mhd_open || microhttpd_open(&http->mhd, fault);
    if (!http->mhd_open)
        return false;
    face->daemon = mhd->start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, face, MHD_OPTION_LISTEN_SOCKET, face->listener,
        MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        face->of_one_user ? 0 : (most < CONNECTIONS_OF_ONE ? most : CONNECTIONS_OF_ONE),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)CONNECTION_SECONDS, MHD_OPTION_NOTIFY_CONNECTION, on_connection, face, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, face, MHD_OPTION_UNESCAPE_CALLBACK, as_it_came, NULL, MHD_OPTION_END);
    if (face->daemon == NULL)
        return fault_set(fault, "libmicrohttpd cannot start");
    face->listener = -1; /* the daemon has it */
    face->epoll = mhd->get_daemon_info(face->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return true;
}

/* Closes the connections that wait, so that no client waits for a reply. */
static void face_refuse(struct face *face)
{
    int fd = -1;
    for (int i = 0; i < REFUSED_MAX && (fd = accept4(face->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; i++)
        close(fd);
    face->pauses = true;
}

/* The first client has connected. */
static void face_first(struct face *face)
{
    struct http *http = face->http;
    struct fault fault;
    if (face_serve(face, &fault))
        return;
    face_refuse(face);
    if (!http->mhd_said)
        log_error(http->options.log, "host", "no HTTP: %s. It is tried again when a client connects", fault.text);
    http->mhd_said = true;
}

static void face_close(struct face *face)
{
    if (face->daemon != NULL)
        face->http->mhd.stop_daemon(face->daemon); /* closes its listening socket, and every connection */
    else if (face->listener >= 0)
        close(face->listener);
    face->daemon = NULL;
    face->listener = -1;
}

/* What to poll for input; -1: nothing. */
static int face_fd(const struct face *face)
{
    if (face->daemon != NULL)
        return face->epoll;
    return face->pauses ? -1 : face->listener;
}

/* Once a second. */
static void face_tick(struct face *face, int64_t now)
{
    drop_late(face, now);
    face->pauses = false;
}

/* Milliseconds until the daemon has something to do though nothing comes. */
static int face_patience(const struct face *face, int most)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    if (face->daemon == NULL || face->http->mhd.get_timeout(face->daemon, &ms) != MHD_YES)
        return most;
    return ms < (MHD_UNSIGNED_LONG_LONG)most ? (int)ms : most;
}

/* After each poll(), also if nothing came: connections end by time. */
static void face_run(struct face *face, bool came)
{
    if (face->daemon == NULL && came)
        face_first(face);
    if (face->daemon != NULL)
        face->http->mhd.run(face->daemon);
}

static void tend_tcp(struct http *http, int64_t now)
{
    struct fault fault;
    if (now < http->tcp_at)
        return;
    int fd = door_listen(http->options.listen, &fault);
    http->tcp_at = fd < 0 ? now + RETRY_MS : INT64_MAX;
    if (fd >= 0) {
        http->tcp_face.listener = fd;
        log_info(http->options.log, "host", "HTTP on %s", http->options.listen_text);
    } else if (!http->tcp_said) {
        http->tcp_said = true;
        log_error(
            http->options.log, "host",
            "no HTTP on %s: %s; free the port, or change HTTP_LISTEN or http.listen. It is tried again every %d s",
            http->options.listen_text, fault.text, RETRY_MS / 1000);
    }
}

static void take_fresh(struct http *http)
{
    int fd = atomic_exchange(&http->fresh, -1);
    if (fd < 0)
        return;
    face_close(&http->unix_face);
    http->unix_face.listener = fd;
}

static void drain(int fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
}

static void *serve(void *argument)
{
    struct http *http = argument;
    struct face *faces[] = {&http->unix_face, &http->tcp_face};
    int64_t tick_at = 0;
    thread_name("vh-http");
    while (!atomic_load(&http->stopping)) {
        int64_t now = clock_ms();
        take_fresh(http);
        tend_tcp(http, now);
        if (now >= tick_at) {
            tick_at = now + TICK_MS;
            http->options.tick(http->options.context, now);
            face_tick(&http->unix_face, now);
            face_tick(&http->tcp_face, now);
        }
        struct pollfd fds[3] = {{.fd = http->wake, .events = POLLIN}};
        int patience = (int)(tick_at - now);
        for (int i = 0; i < 2; i++) {
            fds[i + 1] = (struct pollfd){.fd = face_fd(faces[i]), .events = POLLIN};
            patience = face_patience(faces[i], patience);
        }
        poll(fds, 3, patience);
        if (fds[0].revents != 0)
            drain(http->wake);
        for (int i = 0; i < 2; i++)
            face_run(faces[i], fds[i + 1].revents != 0);
    }
    face_close(&http->unix_face);
    face_close(&http->tcp_face);
    forget(&http->mhd, &http->kept);
    return NULL;
}

/* ---- the name of the Unix socket ---- */

static void wake(const struct http *http)
{
    const uint64_t one = 1;
    (void)!write(http->wake, &one, sizeof one);
}

/* False: the host stops. */
static bool keeper_sleep(struct http *http)
{
    int64_t at = clock_ms() + RETRY_MS;
    struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
    pthread_mutex_lock(&http->lock);
    while (!atomic_load(&http->stopping) && pthread_cond_timedwait(&http->stop, &http->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&http->lock);
    return !atomic_load(&http->stopping);
}

/* Keeps the socket in the directory: makes it again after a removal, and after the directory was full or read-only. It
 * has a thread of its own because a disk may hang. */
static void *keep(void *argument)
{
    struct http *http = argument;
    const char *directory = http->options.directory;
    struct stat made;
    bool open = false, said = false;
    thread_name("vh-socket");
    do {
        struct fault fault;
        if (open && door_is_there(directory, &made))
            continue;
        int fd = door_open(directory, &made, &fault);
        open = fd >= 0;
        if (open) {
            fd = atomic_exchange(&http->fresh, fd);
            if (fd >= 0)
                close(fd);
            wake(http);
        } else if (!said) {
            log_warning(http->options.log, "host",
                        "no control socket, so `valawai-host status` cannot ask this host: %s. It is tried again every "
                        "%d s",
                        fault.text, RETRY_MS / 1000);
        }
        said = !open;
    } while (keeper_sleep(http));
    if (open)
        door_remove(directory, &made);
    return NULL;
}

/* ---- beginning and end ---- */

/* Clients never take the descriptors that the host needs to connect again. */
static unsigned connections_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_OTHERS + 2 * CONNECTIONS_MAX)
        return CONNECTIONS_MAX;
    return limit.rlim_cur > DESCRIPTORS_OTHERS + 4 ? (unsigned)(limit.rlim_cur - DESCRIPTORS_OTHERS) / 2 : 2;
}

struct http *http_start(const struct http_options *options)
{
    struct http *http = memory_new(sizeof *http);
    pthread_condattr_t attributes;
    http->options = *options;
    http->unix_face = (struct face){.http = http, .listener = -1, .of_one_user = true};
    http->tcp_face = (struct face){.http = http, .listener = -1};
    http->connections = connections_max();
    http->tcp_at = options->listen == NULL ? INT64_MAX : 0;
    atomic_store(&http->beat, clock_ms());
    atomic_store(&http->fresh, -1);
    http->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&http->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&http->stop, &attributes);
    pthread_condattr_destroy(&attributes);
    http->thread = thread_start(serve, http);
    http->keeper = thread_start(keep, http);
    return http;
}

void http_beat(struct http *http, int64_t now)
{
    atomic_store_explicit(&http->beat, now, memory_order_relaxed);
}

void http_ending(struct http *http)
{
    atomic_store(&http->ending, true);
}

bool http_stop(struct http *http, int64_t until_ms)
{
    pthread_mutex_lock(&http->lock);
    atomic_store(&http->stopping, true);
    pthread_cond_signal(&http->stop);
    pthread_mutex_unlock(&http->lock);
    wake(http);
    bool served = thread_join(http->thread, until_ms);
    return thread_join(http->keeper, until_ms) && served;
}

void http_free(struct http *http)
{
    if (http == NULL)
        return;
    int fd = atomic_load(&http->fresh);
    if (fd >= 0)
        close(fd);
    if (http->wake >= 0)
        close(http->wake);
    pthread_cond_destroy(&http->stop);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
