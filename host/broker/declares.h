/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * declares: the AMQP channel on which the publisher declares queues: those that components publish to (outlets), and
 * those of dead letters (boxes). A refusal closes this channel only. It sends one declare at a time; the answer
 * releases the publications that waited for it. */
#ifndef BROKER_DECLARES_H
#define BROKER_DECLARES_H

#include "base/log.h"
#include "broker/boxes.h"
#include "broker/connection.h"
#include "broker/outbox.h"
#include "broker/outlets.h"

#define DECLARE_CHANNEL 2

struct declares {
    struct connection *connection;
    struct log *log;
    struct outbox *outbox;
    struct outlets outlets;
    struct boxes boxes;
    bool is_open;
};

void declares_free(struct declares *declares);

/* Sends the next declare, if one is due and none is pending. */
bool declares_next(struct declares *declares, struct fault *fault) __attribute__((warn_unused_result));

/* queue.declare-ok, with the number of messages in the queue. */
void declares_answered(struct declares *declares, uint32_t messages);

/* The broker closed the channel. */
void declares_refused(struct declares *declares, const char *why);

/* The connection is lost. Publications that waited for an answer return to the outbox. */
void declares_lose(struct declares *declares);

#endif
