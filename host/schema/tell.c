/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Composes the reason of a fault: its place in the value, and the fault. The place is a chain of steps on the stack,
 * which is followed only here. */
#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "schema/check.h"

static void put_path(struct text *text, const struct step *step)
{
    if (step == NULL)
        return;
    put_path(text, step->up);
    if (step->name == NULL) {
        text_printf(text, "/%zu", step->index);
        return;
    }
    text_puts(text, "/");
    for (const char *at = step->name; *at != '\0';) {
        size_t plain = strcspn(at, "~/");
        text_put_line(text, at, plain);
        at += plain;
        if (*at != '\0')
            text_puts(text, *at++ == '~' ? "~0" : "~1");
    }
}

/* The last start of a character up to `at`. */
static size_t boundary(const char *text, size_t at)
{
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

void write_reason(struct check *check, const char *text, size_t length)
{
    if (check->size == 0)
        return;
    if (length >= check->size)
        length = boundary(text, check->size - 1);
    memcpy(check->reason, text, length);
    check->reason[length] = '\0';
}

/* Removes the middle of a path that leaves no room for the fault. */
static void shorten_path(struct text *path, size_t room)
{
    if (path->len <= room || room < 16)
        return;
    struct text tail = {0};
    text_puts(&tail, path->at + boundary(path->at, path->len - room / 2));
    path->len = boundary(path->at, room / 2);
    text_puts(path, "…");
    text_put(path, tail.at, tail.len);
    text_free(&tail);
}

/* Composes the reason of path and fault, and frees the fault's text. Returns false. */
static bool tell(struct check *check, const struct step *step, struct text *what)
{
    struct text text = {0};
    put_path(&text, step);
    shorten_path(&text, check->size / 2);
    if (text.len > 0)
        text_puts(&text, ": ");
    text_puts(&text, what->at);
    write_reason(check, text.at, text.len);
    text_free(&text);
    text_free(what);
    return false;
}

bool fail(struct check *check, const struct step *step, const char *format, ...)
{
    struct text what = {0};
    va_list arguments;
    if (!is_told(check, step))
        return false;
    va_start(arguments, format);
    text_vprintf(&what, format, arguments);
    va_end(arguments);
    return tell(check, step, &what);
}

bool fail_value(struct check *check, const struct step *step, const struct value *value, const char *format, ...)
{
    struct text what = {0};
    va_list arguments;
    if (!is_told(check, step))
        return false;
    value_show(&what, value);
    text_puts(&what, " ");
    va_start(arguments, format);
    text_vprintf(&what, format, arguments);
    va_end(arguments);
    return tell(check, step, &what);
}

bool fail_name(struct check *check, const struct step *step, const char *name, const char *said)
{
    struct text what = {0};
    if (!is_told(check, step))
        return false;
    text_puts(&what, "the property ");
    name_show(&what, name, strlen(name));
    text_printf(&what, " %s", said);
    return tell(check, step, &what);
}

/* Ends the check: nothing matches from now on. */
bool stop_check(struct check *check, const struct step *step, const char *why)
{
    check->quiet = false;
    if (!check->stopped)
        fail(check, step, "%s", why);
    check->stopped = true;
    check->budget = 0;
    return false;
}
