/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * enrolment: the state of one component's registration. It takes events and a clock and returns the next step, which
 * registration carries out. It knows no broker, file or thread.
 *
 *     OUT ──► LISTENING ──► ASKED ──► REGISTERED
 *      ▲          │           │           │        no MOV, no connection, no queue, or the MOV has forgotten the id
 *      └──────────┴───────────┴───────────┘
 *
 * The MOV's answers do not name the requester, so the component consumes the queue before it sends the request. It goes
 * on while an answer may come, because the MOV makes a component of every request, and one without a host receives a
 * copy of each message. */
#ifndef MOV_ENROLMENT_H
#define MOV_ENROLMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"

#define ENROLMENT_WAIT_MS 20000 /* for the answer to the first request; the time doubles with each further one */

enum enrolment_state {
    ENROLMENT_OUT,        /* until retry_at, and until a registration is possible */
    ENROLMENT_LISTENING,  /* the subscription to the answers is on its way */
    ENROLMENT_ASKED,      /* the request is sent, and the answer pending */
    ENROLMENT_REGISTERED, /* under an id, which may be in doubt */
};

struct enrolment {
    enum enrolment_state state;
    bool wanted;      /* the queue of answers should be consumed */
    bool up;          /* the queue of answers is consumed */
    int64_t retry_at; /* OUT */
    int64_t deadline; /* LISTENING: for the subscription; ASKED: for the answer, before the next request */
    struct backoff backoff;

    int64_t requested_at;
    unsigned requests;    /* since the last answer */
    unsigned outstanding; /* requests, including those of earlier runs, that the MOV may still answer */
    int64_t outstanding_until;
    bool puzzled; /* no answer for some time: the host looks for the reason already */

    bool doubtful;       /* the MOV may have forgotten the id */
    bool checking;       /* a query about the id is pending */
    bool held_up;        /* an alarm delayed publications meanwhile, so silence proves nothing */
    bool mute;           /* the MOV answers no queries, and this has no further consequences */
    unsigned checks;     /* since the registration, or the reconnect */
    unsigned unanswered; /* in a row */
    int64_t check_at, sweep_at;
};

/* What the host can reach now. */
struct enrolment_reach {
    bool receiving, publishing; /* the two connections */
    bool blocked;               /* an alarm of the broker delays publications */
    bool mov;                   /* the MOV consumes registrations */
    bool leaving;               /* the host stops: nothing new begins */
    bool clear;                 /* no id remains to be unregistered */
};

enum enrolment_step {
    STEP_NONE, /* nothing until the next event, or enrolment_due() */
    STEP_LISTEN,
    STEP_END_LISTENING,
    STEP_REQUEST, /* send the registration */
    STEP_PUZZLE,  /* find out why there is no answer, and log it */
    STEP_CHECK,   /* ask the MOV whether it knows the id; enrolment_checked() follows */
    STEP_SWEEP,   /* look for notifications that remained in the queue */
};

enum enrolment_check {
    CHECK_KNOWN,
    CHECK_FORGOTTEN,
    CHECK_UNANSWERED,
};

/* The result of a check. */
enum enrolment_verdict {
    VERDICT_KEEP,
    VERDICT_FORGOTTEN, /* give up the id: the MOV does not know it */
    VERDICT_UNKNOWN,   /* give up the id: the MOV does not answer whether it knows it */
};

void enrolment_init(struct enrolment *enrolment, unsigned outstanding, int64_t now);

/* The next step. Call it until it returns STEP_NONE. A returned step counts as done. */
enum enrolment_step enrolment_next(struct enrolment *enrolment, const struct enrolment_reach *reach, int64_t now);

/* When to call enrolment_next() again if no event comes. */
int64_t enrolment_due(const struct enrolment *enrolment, int64_t now);

/* Events. */
void enrolment_subscribed(struct enrolment *enrolment, bool up);
bool enrolment_notified(struct enrolment *enrolment, bool fresh, bool leaving,
                        int64_t now);                             /* true: it answers the request */
void enrolment_refused(struct enrolment *enrolment, int64_t now); /* there is no queue for requests */
void enrolment_disconnected(struct enrolment *enrolment);         /* the receiving connection is lost */
void enrolment_blocked(struct enrolment *enrolment);              /* an alarm begins */
enum enrolment_verdict enrolment_checked(struct enrolment *enrolment, enum enrolment_check check, int64_t now);
void enrolment_forget(struct enrolment *enrolment); /* the id is given up */

/* The time that the MOV has to answer the next check. */
int64_t enrolment_patience(const struct enrolment *enrolment);

/* True if the host may end without waiting for an answer. */
bool enrolment_may_end(const struct enrolment *enrolment, int64_t now);

#endif
