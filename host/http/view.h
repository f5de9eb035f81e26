/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * view: what the HTTP interface shows of the host at one moment. Plain values and copies: it is made for one reply, and
 * no lock is held while a reply is written. */
#ifndef HTTP_VIEW_H
#define HTTP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/count.h"

#define VIEW_VERSION_MAX 32
#define VIEW_TEXT_MAX 256    /* bytes of a reason or of an error, with the '\0' */
#define VIEW_RATE_POINTS 60  /* of a rate's history: 15 minutes */
#define VIEW_RATE_SECONDS 15 /* that each point covers */

/* Why a message was rejected. */
enum view_reason {
    VIEW_INVALID,
    VIEW_WRONG,
    VIEW_FAILED,
    VIEW_ATTEMPTS,
    VIEW_DELIVERY_LIMIT,
    VIEW_PUBLICATION,
    VIEW_CRASHED,
    VIEW_REASONS
};

/* Their names: "invalid" and so on. */
extern const char *const view_reasons[VIEW_REASONS];

struct view_topic {
    const char *name; /* borrowed from the host, like all texts of the view that are pointers */
    bool subscribe, publish;
    bool consuming; /* of one that the component subscribes to */
    uint64_t received, acknowledged, kept, rejected, returned, retried, in_hand;
    uint64_t dead[VIEW_REASONS];
    uint64_t published, confirmed, refused, withdrawn;
    struct histogram_sums settling, handling;
};

/* A record of level ERROR. */
struct view_error {
    int64_t time; /* seconds since 1970; 0: there was none */
    char text[VIEW_TEXT_MAX];
};

struct view_component {
    const char *name, *type, *version, *file;
    const char *isolation;
    bool started, registered, healthy;
    char reason[VIEW_TEXT_MAX]; /* why it is not healthy; "" if it is */
    char id[32];                /* that the MOV gave it; "" without */
    int64_t since;              /* seconds since 1970: when `healthy` became what it is */
    bool over_limit;            /* a handler has been busy with one message for longer than host.slow_seconds */

    struct view_topic *topics;
    size_t topic_count;
    uint64_t tickets, outbox_bytes;
    uint64_t worker_bytes; /* memory of its own process; 0: it has none */

    double rate;                    /* settled messages per second, now */
    double rates[VIEW_RATE_POINTS]; /* the same, the oldest first; the last point is the newest that is full */
    size_t rate_count;              /* of them, from the end, that were measured */
    double p50, p99;                /* seconds that a call of the handler took, in those 15 minutes; < 0: none did */
    struct view_error last_error;
};

enum view_mov { VIEW_MOV_UNKNOWN, VIEW_MOV_MISSING, VIEW_MOV_PRESENT };

struct view {
    const char *version, *abi; /* of the host, and of the plugins that it speaks to */
    long pid;
    int64_t started; /* seconds since 1970 */
    int64_t uptime_ms;
    bool stopping;
    bool alive; /* the control thread is */
    bool healthy;

    const char *broker;                    /* its address, as the settings have it */
    char broker_version[VIEW_VERSION_MAX]; /* of the last connection; "": unknown */
    bool receiving, publishing;
    uint64_t reconnects;
    enum view_mov mov;
    bool mov_present;             /* the same */
    struct view_error last_error; /* of the host itself */

    uint64_t outbox_bytes;                  /* of all components and of the host */
    double outbox_oldest;                   /* seconds that the oldest of them has waited */
    uint64_t console_dropped, file_dropped; /* records of the log */

    struct view_component *components;
    size_t component_count;
};

/* Frees what the view holds, and not itself. */
void view_free(struct view *view);

#endif
