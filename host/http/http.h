/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * http: tells people and programs by HTTP what the host does: on a Unix socket in the log directory and, if the
 * settings name an address, by TCP. No other thread waits for it: one thread serves all clients, and another
 * keeps the socket's name in the directory, because a disk may hang. A fault (the port is taken, the directory cannot
 * be written) is one record of the log, and http tries again. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/log.h"
#include "base/text.h"
#include "http/view.h"
#include "settings/settings.h"

struct http_options {
    const char *directory;         /* of the socket */
    const struct endpoint *listen; /* for TCP, as door_listen() takes it; NULL: no TCP */
    const char *listen_text;       /* the same, for messages */
    struct log *log;
    /* [http's thread] Fills what the host knows. Must not block. */
    void (*look)(void *context, struct view *view);
    /* [http's thread] Frees the view, which a reply has been made of. */
    void (*looked)(void *context, struct view *view);
    /* [http's thread] A second has passed. */
    void (*tick)(void *context, int64_t now);
    void *context;

    /* [http's thread] A client of the Unix socket asks for a reload of the plugin of that name, or of all (""). Returns
     * the number of the request. */
    unsigned long (*reload)(void *reloading, const char *name);
    /* [http's thread] Appends the outcome of this request and of later ones, as JSON. */
    void (*put_reload)(void *reloading, unsigned long request, struct text *out);
    void *reloading;
};

struct http;

struct http *http_start(const struct http_options *options);

/* [control thread] It lives. */
void http_beat(struct http *http, int64_t now);

/* From here on the control thread is busy with the end of the host, and that does not count as dead. */
void http_ending(struct http *http);

/* Ends both threads, closes all connections and removes the socket. False: that takes longer than until_ms, because a
 * disk hangs. */
bool http_stop(struct http *http, int64_t until_ms) __attribute__((warn_unused_result));
void http_free(struct http *http); /* after http_stop() said true */

#endif
