/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: whether the host is alive and ready, as lines of text and in the format of MicroProfile Health, which the
 * components that are made with Quarkus answer with. */
#include "http/replies.h"

/* ---- lines ---- */

/* For a program that only asks whether the process does anything. */
void reply_livez(struct reply *reply, const struct view *view)
{
    reply->status = view->alive ? 200 : 503;
    text_puts(&reply->body, view->alive ? "ok\n" : "the control thread does not answer\n");
}

void reply_readyz(struct reply *reply, const struct view *view)
{
    reply->status = view->healthy ? 200 : 503;
    if (view->healthy)
        text_puts(&reply->body, "ok\n");
    for (size_t i = 0; i < view->component_count; i++)
        if (!view->components[i].healthy)
            text_printf(&reply->body, "%s: %s\n", view->components[i].name, view->components[i].reason);
    if (reply->body.len == 0)
        text_puts(&reply->body, "no connection to the broker\n");
}

/* ---- MicroProfile Health ---- */

struct checks {
    struct text *out;
    bool up; /* all of them so far */
    size_t count;
};

static void begin(struct checks *checks, struct reply *reply)
{
    *checks = (struct checks){.out = &reply->body, .up = true};
    reply->type = REPLY_JSON;
}

/* reason: why it is not up. */
static void put_check(struct checks *checks, const char *name, bool up, const char *reason)
{
    struct text *out = checks->out;
    checks->up = checks->up && up;
    text_puts(out, checks->count++ == 0 ? "" : ",");
    text_puts(out, "{\"name\":");
    text_put_json(out, name, strlen(name));
    text_printf(out, ",\"status\":\"%s\"", up ? "UP" : "DOWN");
    if (!up) {
        text_puts(out, ",\"data\":{\"reason\":");
        text_put_json(out, reason, strlen(reason));
        text_puts(out, "}");
    }
    text_puts(out, "}");
}

/* The status stands before the checks that make it. */
static void end(const struct checks *checks, struct reply *reply)
{
    struct text body = {0};
    text_printf(&body, "{\"status\":\"%s\",\"checks\":[", checks->up ? "UP" : "DOWN");
    text_put(&body, checks->out->at != NULL ? checks->out->at : "", checks->out->len);
    text_puts(&body, "]}\n");
    reply->status = checks->up ? 200 : 503;
    text_free(&reply->body);
    reply->body = body;
}

static void put_live(struct checks *checks, const struct view *view)
{
    put_check(checks, "valawai-host", view->alive, "the control thread does not answer");
}

static void put_ready(struct checks *checks, const struct view *view)
{
    for (size_t i = 0; i < view->component_count; i++)
        put_check(checks, view->components[i].name, view->components[i].healthy, view->components[i].reason);
    if (view->component_count == 0)
        put_check(checks, "broker", view->healthy, "no connection to the broker");
}

static void put_started(struct checks *checks, const struct view *view)
{
    for (size_t i = 0; i < view->component_count; i++)
        put_check(checks, view->components[i].name, view->components[i].started, "the plugin's start has not returned");
}

void reply_health_live(struct reply *reply, const struct view *view)
{
    struct checks checks;
    begin(&checks, reply);
    put_live(&checks, view);
    end(&checks, reply);
}

void reply_health_ready(struct reply *reply, const struct view *view)
{
    struct checks checks;
    begin(&checks, reply);
    put_ready(&checks, view);
    end(&checks, reply);
}

void reply_health_started(struct reply *reply, const struct view *view)
{
    struct checks checks;
    begin(&checks, reply);
    put_started(&checks, view);
    end(&checks, reply);
}

/* A component that is ready has started, so there is one check of each. */
void reply_health(struct reply *reply, const struct view *view)
{
    struct checks checks;
    begin(&checks, reply);
    put_live(&checks, view);
    put_ready(&checks, view);
    end(&checks, reply);
}
