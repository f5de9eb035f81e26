/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * calls: the table of functions for a plugin. */
#include <stdarg.h>
#include <string.h>

#include "base/backoff.h"
#include "plugin/parts.h"

static void serve_log(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                      const char *format, ...)
{
    struct services *services = services_of(host);
    struct text text = {0};
    va_list arguments;
    if (format == NULL) {
        services_misuse(services, "log() without a text");
        return;
    }
    if (!services_wants(services, level))
        return;
    if (strchr(format, '%') == NULL) { /* most records have a constant text */
        services_record(services, level, file, line, payload, format);
        return;
    }
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    services_record(services, level, file, line, payload, text.at);
    text_free(&text);
}

static void serve_log_text(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                           const char *text)
{
    struct services *services = services_of(host);
    if (text == NULL)
        services_misuse(services, "log_text() without a text");
    else if (services_wants(services, level))
        services_record(services, level, file, line, payload, text);
}

static const char *serve_option(const struct valawai_host *host, const char *key)
{
    return options_text(services_of(host)->options.plugin->options, key);
}

static struct json_object *serve_options(const struct valawai_host *host)
{
    return options_json(services_of(host)->options.plugin->options);
}

static struct json_object *serve_json(const struct valawai_host *host, const struct valawai_message *message)
{
    struct services *services = services_of(host);
    if (handling_is_of(services, message))
        return services_json(handling_current);
    services_misuse(services, "json() is for the message in hand, on the thread of its handler");
    return NULL;
}

static int serve_explain(const struct valawai_host *host, int verdict, const char *format, ...)
{
    struct services *services = services_of(host);
    if (!handling_in(services)) {
        services_misuse(services, "explain() is for handlers, on their thread");
        return verdict;
    }
    va_list arguments;
    va_start(arguments, format);
    handling_lock(handling_current);
    handling_set_reason(handling_current, format, arguments);
    handling_unlock(handling_current);
    va_end(arguments);
    return verdict;
}

static uint64_t serve_timer(const struct valawai_host *host, uint32_t first_ms, uint32_t every_ms,
                            void (*due)(void *self, void *context), void *context)
{
    struct services *services = services_of(host);
    if (due == NULL) {
        services_misuse(services, "timer() without a function to call");
        return 0;
    }
    struct timer timer = {.at = clock_ms() + first_ms, .every_ms = every_ms, .due = due, .context = context};
    uint64_t id = timers_add(&services->timers, timer);
    atomic_store(&services->noticed, true);
    if (services->waking != NULL)
        queue_wake(services->waking);
    return id;
}

static int serve_cancel(const struct valawai_host *host, uint64_t timer)
{
    return timers_cancel(&services_of(host)->timers, timer) ? VALAWAI_OK : VALAWAI_E_ARGUMENT;
}

const struct valawai_host services_calls = {
    .size = sizeof(struct valawai_host),
    .abi_minor = VALAWAI_ABI_MINOR,
    .log = serve_log,
    .option = serve_option,
    .options = serve_options,
    .publish = serve_publish,
    .json = serve_json,
    .explain = serve_explain,
    .later = serve_later,
    .publish_for = serve_publish_for,
    .answer = serve_answer,
    .timer = serve_timer,
    .cancel = serve_cancel,
    .query = serve_query,
    .log_text = serve_log_text,
    .property = serve_property,
    .header = serve_header,
    .properties = serve_properties,
    .publish_with = serve_publish_with,
};
