/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The queues of the MOV, as a contract. Their document is mov_queues.yaml, which the build embeds. */
#include <pthread.h>
#include <string.h>

#include "contract/parts.h"

extern const char mov_queues_yaml[];

static const struct contract *queues;

static void read_queues(void)
{
    queues = contract_build(mov_queues_yaml, strlen(mov_queues_yaml), false);
}

const struct contract *contract_of_mov(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_queues);
    return queues;
}
