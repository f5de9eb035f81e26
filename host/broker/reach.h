/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * reach: from the name of a broker to a connected socket, within a deadline. The name is resolved on a thread of its
 * own, which is abandoned when the resolver hangs. The addresses are tried in parallel, each a moment after the one
 * before (RFC 8305), so a silent address costs a moment and not the deadline. */
#ifndef BROKER_REACH_H
#define BROKER_REACH_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define REACH_STAGGER_MS 250
#define REACH_ADDRESSES_MAX 16 /* of a name; the others are not tried */

/* A name that is being resolved. */
struct lookup;

/* Where to, and what ends the wait. */
struct target {
    const char *host;
    int port;
    int64_t deadline_ms;
    int wake; /* a descriptor: the wait ends when it is readable; -1: there is none */
};

/* The connected socket, or -1. *lookup is NULL at first. A lookup that has not ended is kept there, and the next call
 * for the same host and port waits for it again, so that a resolver that hangs costs one thread. */
int reach(const struct target *target, struct lookup **lookup, struct fault *fault) __attribute__((warn_unused_result));

/* The first half alone, for a library that connects by itself: true if the name has an address. */
bool reach_name(const struct target *target, struct lookup **lookup, struct fault *fault)
    __attribute__((warn_unused_result));

/* The second half alone: the addresses as they are in the list, both families by turns. */
int reach_addresses(const struct addrinfo *list, const struct target *target, struct fault *fault)
    __attribute__((warn_unused_result));

/* Lets go of a lookup; NULL too. Its thread ends by itself, when the resolver answers. */
void lookup_abandon(struct lookup *lookup);

/* How many threads of lookups there are: the process may end beside them. */
unsigned lookup_threads(void);

#endif
