/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * contract: what a component's AsyncAPI document promises: who it is and on which topics it receives and publishes. The
 * only user of libyaml. */
#ifndef HOST_CONTRACT_H
#define HOST_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"

enum direction {
    DIRECTION_SUBSCRIBE = 1, /* the component receives */
    DIRECTION_PUBLISH = 2,   /* the component publishes */
};

struct contract_channel {
    char *topic;
    unsigned directions; /* enum direction, joined */
    int line;
};

struct contract {
    char *name;       /* c1_echo */
    char type[3];     /* C1 */
    char *registered; /* the topic on which the MOV answers a registration */
    struct contract_channel *channels;
    size_t channel_count;
};

bool contract_read(const char *document, struct contract **contract, struct fault *fault)
    __attribute__((warn_unused_result));
void contract_free(struct contract *contract);

const struct contract_channel *contract_channel(const struct contract *contract, const char *topic);

#endif
