/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fault: a message may quote any bytes. These functions turn it into one line. */
#include "base/fault.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

static void put_line(struct fault *fault, const struct text *text)
{
    struct text line = {0};
    text_put_line(&line, text->at, text->len);
    size_t len = text_cut(line.at, line.len, sizeof fault->text - 1);
    memcpy(fault->text, line.at, len);
    fault->text[len] = '\0';
    text_free(&line);
}

bool fault_set(struct fault *fault, const char *format, ...)
{
    if (fault == NULL)
        return false;
    struct text text = {0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    put_line(fault, &text);
    text_free(&text);
    return false;
}

bool fault_prefix(struct fault *fault, const char *format, ...)
{
    if (fault == NULL)
        return false;
    struct text text = {0};
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    text_printf(&text, ": %s", fault->text);
    put_line(fault, &text);
    text_free(&text);
    return false;
}
