/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * handling: one message in a handler. The plugin's calls do not identify it, so a thread-local variable does. */
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "plugin/parts.h"

#define SCRATCH_KEPT 65536 /* bytes of a buffer that the next handling reuses */

_Thread_local struct handling *handling_current;

const char *verdict_name(int value, struct verdict_name *name)
{
    static const struct {
        int error;
        const char *name;
    } errors[] = {
        {VALAWAI_E_ARGUMENT, "VALAWAI_E_ARGUMENT"},
        {VALAWAI_E_BODY, "VALAWAI_E_BODY"},
        {VALAWAI_E_TOPIC, "VALAWAI_E_TOPIC"},
        {VALAWAI_E_STATE, "VALAWAI_E_STATE"},
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == value)
            return errors[i].name;
    snprintf(name->text, sizeof name->text, "%d, which is not a verdict", value);
    return name->text;
}

void services_begin(struct handling *handling)
{
    handling_current = handling;
}

void services_end(void)
{
    handling_current = NULL;
}

bool services_read(struct handling *handling, struct fault *fault)
{
    const struct delivery *delivery = handling->delivery;
    if (handling->services->validate == VALIDATE_OFF)
        return json_is_object(delivery->body, delivery->len, fault);
    handling->json = json_parse(json_thread_reader(), delivery->body, delivery->len, fault);
    return handling->json != NULL;
}

struct json_object *services_json(struct handling *handling)
{
    if (handling->json == NULL)
        handling->json = json_parse(json_thread_reader(), handling->delivery->body, handling->delivery->len, NULL);
    return handling->json;
}

void handling_set_reason(struct handling *handling, const char *format, va_list arguments)
{
    struct text text = {0};
    text_vprintf(&text, format, arguments);
    free(handling->reason);
    handling->reason = text.at;
}

void handling_explain(struct handling *handling, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    handling_set_reason(handling, format, arguments);
    va_end(arguments);
}

/* A text of any length in one allocation with its node. */
struct kept {
    struct node node;
    char text[];
};

const char *handling_keep(struct handling *handling, struct text *text)
{
    struct kept *kept = memory_take(sizeof *kept + text->len + 1);
    memcpy(kept->text, text->len > 0 ? text->at : "", text->len);
    kept->text[text->len] = '\0';
    text_free(text);
    handling_lock(handling);
    list_put(&handling->kept, &kept->node);
    handling_unlock(handling);
    return kept->text;
}

static void scratch_clear(struct text *text)
{
    if (text->room > SCRATCH_KEPT)
        text_free(text);
    else
        text_clear(text);
}

void handling_clear(struct handling *handling)
{
    list_free(&handling->publications);
    json_object_put(handling->json);
    list_free(&handling->kept);
    free(handling->reason);
    scratch_clear(&handling->record);
    scratch_clear(&handling->quoted);
    *handling =
        (struct handling){.notice.kind = NOTICE_ANSWERED, .record = handling->record, .quoted = handling->quoted};
}

void handling_free(struct handling *handling)
{
    if (handling == NULL)
        return;
    handling_clear(handling);
    text_free(&handling->record);
    text_free(&handling->quoted);
    free(handling);
}
