/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/replies.h"

#include <string.h>

/* For a program that only wants to know whether the process does anything. */
void reply_livez(struct reply *reply, const struct view *view)
{
    reply->status = view->alive ? 200 : 503;
    text_puts(&reply->body, view->alive ? "ok\n" : "the control thread does not answer\n");
}

/* The reasons, one a line. */
void reply_readyz(struct reply *reply, const struct view *view)
{
    reply->status = view->healthy ? 200 : 503;
    if (view->healthy)
        text_puts(&reply->body, "ok\n");
    else if (view->stopping)
        text_puts(&reply->body, "the host is stopping\n");
    for (size_t i = 0; i < view->component_count && !view->stopping; i++)
        if (!view->components[i].healthy)
            text_printf(&reply->body, "%s: %s\n", view->components[i].name, view->components[i].reason);
    if (reply->body.len == 0)
        text_puts(&reply->body, "no component is loaded\n");
}

static void reply_index(struct reply *reply, const struct view *view);

static const struct path {
    const char *path, *about;
    void (*reply)(struct reply *reply, const struct view *view);
} paths[] = {
    {"/", "this list", reply_index},
    {"/livez", "200 while the control thread is alive", reply_livez},
    {"/readyz", "200 while every component is registered and consuming; otherwise 503 and why", reply_readyz},
    {"/status", "everything, as JSON", reply_status},
};

static void reply_index(struct reply *reply, const struct view *view)
{
    reply->status = 200;
    text_printf(&reply->body, "valawai-host %s\n\n", view->version);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        text_printf(&reply->body, "%-20s %s\n", paths[i].path, paths[i].about);
}

bool reply_make(struct reply *reply, const char *path, const char *accept, const struct view *view)
{
    (void)accept;
    reply->type = REPLY_TEXT;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(path, paths[i].path) != 0)
            continue;
        paths[i].reply(reply, view);
        return true;
    }
    reply->status = 404;
    text_puts(&reply->body, "there is no such path; / lists them\n");
    return false;
}
