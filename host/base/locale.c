/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/locale.h"

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t c_locale;

static void make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make);
    return c_locale;
}

void locale_hold(void)
{
    uselocale(get());
}

double real_read(const char *text, char **end)
{
    return strtod_l(text, end, get());
}

void real_write(char *text, size_t size, char form, int digits, double real)
{
    locale_t before = uselocale(get());
    snprintf(text, size, form == 'e' ? "%.*e" : "%.*g", digits, real);
    uselocale(before);
}
