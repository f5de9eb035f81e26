/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * replies: what each path of the HTTP interface answers. Pure functions of a view; http.c alone knows libmicrohttpd.
 * Private to this room. */
#ifndef HTTP_REPLIES_H
#define HTTP_REPLIES_H

#include "base/text.h"
#include "http/view.h"

enum reply_type { REPLY_TEXT, REPLY_JSON, REPLY_PROMETHEUS, REPLY_OPENMETRICS, REPLY_HTML };

struct reply {
    unsigned status; /* of HTTP */
    enum reply_type type;
    const char *policy; /* Content-Security-Policy; NULL: it needs none */
    struct text body;
};

/* Makes the reply of a path; 404 if there is no such path. The reply starts zeroed. accept: the request's header; NULL:
 * it has none. */
void reply_make(struct reply *reply, const char *path, const char *accept, const struct view *view);

/* http/page.html, and what it may load and run: nothing but what is in it. Made by cmake/embed_page.cmake. */
extern const char page_html[];
extern const char page_policy[];

/* The replies one by one. */
void reply_livez(struct reply *reply, const struct view *view);
void reply_readyz(struct reply *reply, const struct view *view);
void reply_health(struct reply *reply, const struct view *view);
void reply_health_live(struct reply *reply, const struct view *view);
void reply_health_ready(struct reply *reply, const struct view *view);
void reply_health_started(struct reply *reply, const struct view *view);
void reply_status(struct reply *reply, const struct view *view);
void reply_metrics(struct reply *reply, const char *accept, const struct view *view);

#endif
