/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/replies.h"

#include <string.h>

static void reply_index(struct reply *reply, const struct view *view);

static const struct path {
    const char *path, *about;
    void (*reply)(struct reply *reply, const struct view *view);
    void (*reply_as)(struct reply *reply, const char *accept,
                     const struct view *view); /* instead, by the Accept header */
} paths[] = {
    {"/", "this list", .reply = reply_index},
    {"/livez", "200 while the control thread is alive", .reply = reply_livez},
    {"/readyz", "200 while every component is ready; otherwise 503 with the reasons", .reply = reply_readyz},
    {"/status", "everything, as JSON", .reply = reply_status},
    {"/metrics", "counters for Prometheus, also as OpenMetrics", .reply_as = reply_metrics},
    {"/q/health", "the next two together, as MicroProfile Health", .reply = reply_health},
    {"/q/health/live", "is the host alive", .reply = reply_health_live},
    {"/q/health/ready", "is every component ready", .reply = reply_health_ready},
    {"/q/health/started", "has every plugin started", .reply = reply_health_started},
};

static void reply_index(struct reply *reply, const struct view *view)
{
    reply->status = 200;
    text_printf(&reply->body, "valawai-host %s\n\n", view->version);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        text_printf(&reply->body, "%-20s %s\n", paths[i].path, paths[i].about);
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
    text_puts(&reply->body, "there is no such path; / lists them\n");
}
