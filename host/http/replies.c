/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/replies.h"

#include <string.h>

static void reply_page(struct reply *reply, const struct view *view);

static const struct path {
    const char *path, *about;
    void (*reply)(struct reply *reply, const struct view *view);
    void (*reply_as)(struct reply *reply, const char *accept,
                     const struct view *view); /* instead, by the Accept header */
} paths[] = {
    {"/", "the page", .reply = reply_page},
    {"/livez", "200 while the control thread is alive", .reply = reply_livez},
    {"/readyz", "200 while every component is ready; otherwise 503 with the reasons", .reply = reply_readyz},
    {"/status", "everything, as JSON", .reply = reply_status},
    {"/metrics", "counters for Prometheus, also as OpenMetrics", .reply_as = reply_metrics},
    {"/q/health", "the next two together, as MicroProfile Health", .reply = reply_health},
    {"/q/health/live", "is the host alive", .reply = reply_health_live},
    {"/q/health/ready", "is every component ready", .reply = reply_health_ready},
    {"/q/health/started", "has every plugin started", .reply = reply_health_started},
};

/* The page reads /status by itself, so it is the same for every view. */
static void reply_page(struct reply *reply, const struct view *view)
{
    (void)view;
    reply->status = 200;
    reply->type = REPLY_HTML;
    reply->policy = page_policy;
    text_puts(&reply->body, page_html);
}

static void put_paths(struct text *out)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        text_printf(out, "%-20s %s\n", paths[i].path, paths[i].about);
}

void reply_make(struct reply *reply, const char *path, const char *accept, const struct view *view)
{
    reply->type = REPLY_TEXT;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(path, paths[i].path) != 0)
            continue;
        if (paths[i].reply_as != NULL)
            paths[i].reply_as(reply, accept, view);
        else
            paths[i].reply(reply, view);
        return;
    }
    reply->status = 404;
    text_puts(&reply->body, "there is no such path. These are:\n\n");
    put_paths(&reply->body);
}
