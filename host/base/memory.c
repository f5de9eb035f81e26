/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

void *memory_got(void *memory)
{
    if (memory == NULL) {
        log_crash("out of memory; the host ends, and unacknowledged messages return to their queues");
        _exit(1); /* not abort(): a core dump is useless, and a signal handler has no memory to work with */
    }
    return memory;
}

void *memory_new(size_t size)
{
    return memory_got(calloc(1, size));
}

void *memory_take(size_t size)
{
    return memory_got(malloc(size));
}

void *memory_resize(void *old, size_t size)
{
    return memory_got(realloc(old, size));
}

char *memory_text(const char *text)
{
    return text == NULL ? NULL : memory_got(strdup(text));
}

char *memory_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return memory_got(text);
}
