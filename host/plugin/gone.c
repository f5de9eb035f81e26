/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gone: the table of a plugin after its host has ended. Threads that the plugin left behind and destructors of its
 * static objects may still call it; every call reports that it is too late. */
#include "plugin/parts.h"

static void gone_log(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                     const char *format, ...)
{
    (void)host, (void)level, (void)file, (void)line, (void)payload, (void)format;
}

static void gone_log_text(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                          const char *text)
{
    (void)host, (void)level, (void)file, (void)line, (void)payload, (void)text;
}

static const char *gone_option(const struct valawai_host *host, const char *key)
{
    (void)host, (void)key;
    return NULL;
}

static struct json_object *gone_options(const struct valawai_host *host)
{
    (void)host;
    return NULL;
}

static int gone_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len)
{
    (void)host, (void)topic, (void)body, (void)len;
    return VALAWAI_E_STATE;
}

static struct json_object *gone_json(const struct valawai_host *host, const struct valawai_message *message)
{
    (void)host, (void)message;
    return NULL;
}

static int gone_explain(const struct valawai_host *host, int verdict, const char *format, ...)
{
    (void)host, (void)format;
    return verdict;
}

static uint64_t gone_later(const struct valawai_host *host, const struct valawai_message *message)
{
    (void)host, (void)message;
    return 0;
}

static int gone_publish_for(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                            size_t len)
{
    (void)host, (void)ticket, (void)topic, (void)body, (void)len;
    return VALAWAI_E_STATE;
}

static int gone_answer(const struct valawai_host *host, uint64_t ticket, int verdict, const char *reason)
{
    (void)host, (void)ticket, (void)verdict, (void)reason;
    return VALAWAI_E_STATE;
}

static uint64_t gone_timer(const struct valawai_host *host, uint32_t first_ms, uint32_t every_ms,
                           void (*due)(void *self, void *context), void *context)
{
    (void)host, (void)first_ms, (void)every_ms, (void)due, (void)context;
    return 0;
}

static int gone_cancel(const struct valawai_host *host, uint64_t timer)
{
    (void)host, (void)timer;
    return VALAWAI_E_STATE;
}

static int gone_query(const struct valawai_host *host, int what, const char *query,
                      void (*answer)(void *self, const char *page, size_t len, void *context), void *context)
{
    (void)host, (void)what, (void)query, (void)answer, (void)context;
    return VALAWAI_E_STATE;
}

static const char *gone_text(const struct valawai_host *host, const struct valawai_message *message, const char *name)
{
    (void)host, (void)message, (void)name;
    return NULL;
}

static const char *gone_properties(const struct valawai_host *host, const struct valawai_message *message)
{
    (void)host, (void)message;
    return NULL;
}

static int gone_publish_with(const struct valawai_host *host, uint64_t ticket, const char *topic, const char *body,
                             size_t len, const char *properties)
{
    (void)host, (void)ticket, (void)topic, (void)body, (void)len, (void)properties;
    return VALAWAI_E_STATE;
}

const struct valawai_host services_gone = {
    .size = sizeof(struct valawai_host),
    .abi_minor = VALAWAI_ABI_MINOR,
    .log = gone_log,
    .option = gone_option,
    .options = gone_options,
    .publish = gone_publish,
    .json = gone_json,
    .explain = gone_explain,
    .later = gone_later,
    .publish_for = gone_publish_for,
    .answer = gone_answer,
    .timer = gone_timer,
    .cancel = gone_cancel,
    .query = gone_query,
    .log_text = gone_log_text,
    .property = gone_text,
    .header = gone_text,
    .properties = gone_properties,
    .publish_with = gone_publish_with,
};
