/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Not a plugin, but a library for LD_PRELOAD. The name hangs.test is never resolved; two.test has the addresses
 * 127.0.0.2 and 127.0.0.1, in that order. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): for RTLD_NEXT */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **list);

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints,
                                                       struct addrinfo **list)
{
    resolver *real = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if ((hints->ai_flags & AI_NUMERICHOST) != 0 || name == NULL)
        return real(name, port, hints, list);
    while (strcmp(name, "hangs.test") == 0)
        pause();
    if (strcmp(name, "two.test") != 0)
        return real(name, port, hints, list);
    struct addrinfo *second = NULL;
    if (real("127.0.0.2", port, hints, list) != 0 || real("127.0.0.1", port, hints, &second) != 0)
        return EAI_FAIL;
    (*list)->ai_next = second;
    return 0;
}
