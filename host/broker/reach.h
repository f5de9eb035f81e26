/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * reach: from the name of a broker to a connected socket, within a deadline. A separate thread resolves the name, and
 * is abandoned when the resolver hangs. The addresses are tried in parallel, each a moment after the one before (RFC
 * 8305), so a silent address costs a moment and not the deadline. */
#ifndef BROKER_REACH_H
#define BROKER_REACH_H

#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define REACH_STAGGER_MS 250
#define REACH_ADDRESSES_MAX 16                              /* of a name; more are not tried */
#define REACH_ADDRESS_SIZE (INET6_ADDRSTRLEN + IF_NAMESIZE) /* of its text: a link-local one has the interface, too */

/* The resolution of a name. */
struct lookup;

/* The destination, and the end of the wait. */
struct target {
    const char *host;
    int port;
    int64_t deadline_ms;
    int wake; /* a descriptor: the wait ends when it is readable; -1: there is none */
};

/* Returns the connected socket, or -1. *lookup is NULL at first. An unfinished lookup is kept there, and the next call
 * for the same host and port waits for it again, so that a hanging resolver costs one thread. */
int reach(const struct target *target, struct lookup **lookup, struct fault *fault) __attribute__((warn_unused_result));

/* For a library that connects by itself: the numeric address that answers. Its connection is closed again. */
bool reach_address(const struct target *target, struct lookup **lookup, char address[REACH_ADDRESS_SIZE],
                   struct fault *fault) __attribute__((warn_unused_result));

/* The first half only: true if the name has an address. */
bool reach_name(const struct target *target, struct lookup **lookup, struct fault *fault)
    __attribute__((warn_unused_result));

/* The second half only: connects to the addresses of the list, alternating the two families. */
int reach_addresses(const struct addrinfo *list, const struct target *target, struct fault *fault)
    __attribute__((warn_unused_result));

/* Abandons a lookup; accepts NULL. Its thread ends by itself when the resolver answers. */
void lookup_abandon(struct lookup *lookup);

/* The number of threads of lookups, which may still run when the process ends. */
unsigned lookup_threads(void);

#endif
