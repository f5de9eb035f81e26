/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * enrolment: where the registration of one component stands. Events and a clock go in, and what is to be done next
 * comes out; it knows neither broker nor file nor thread. registration does what it says.
 *
 *     OUT ──► LISTENING ──► ASKED ──► REGISTERED
 *      ▲          │           │           │        no MOV, no connection, no queue, or the id is not known any more
 *      └──────────┴───────────┴───────────┘
 *
 * The answers of the MOV name no asker, so the component listens before it asks. It listens on while an answer may
 * come: the MOV makes a component of every request, and one without an owner gets each message once more. */
#ifndef MOV_ENROLMENT_H
#define MOV_ENROLMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"

#define ENROLMENT_WAIT_MS 20000 /* for the answer to the first request; each further one has twice the time */

enum enrolment_state {
    ENROLMENT_OUT,        /* until retry_at, and until it can be registered */
    ENROLMENT_LISTENING,  /* about to listen for the answer */
    ENROLMENT_ASKED,      /* the request is on its way, or with the MOV */
    ENROLMENT_REGISTERED, /* under an id, which may be in doubt */
};

struct enrolment {
    enum enrolment_state state;
    bool wanted;      /* it wants to listen */
    bool up;          /* it listens */
    int64_t retry_at; /* OUT */
    int64_t deadline; /* LISTENING: to be listening by then; ASKED: to be answered, or it asks again */
    struct backoff backoff;

    int64_t requested_at;
    unsigned requests;    /* since the last answer */
    unsigned outstanding; /* those, and of earlier runs, to which an answer may come */
    int64_t outstanding_until;
    bool puzzled; /* no answer for some time: why is already being looked for */

    bool doubtful;       /* the MOV may not know the id any more */
    bool checking;       /* the MOV is being asked */
    bool held_up;        /* an alarm held publications back meanwhile, so silence says nothing */
    bool mute;           /* it answers no queries, and nothing follows from that any more */
    unsigned checks;     /* since the registration, or the reconnect */
    unsigned unanswered; /* in a row */
    int64_t check_at, sweep_at;
};

/* What can be reached now. */
struct enrolment_reach {
    bool receiving, publishing; /* the two connections */
    bool blocked;               /* an alarm of the broker holds publications back */
    bool mov;                   /* the MOV listens for registrations */
    bool leaving;               /* the host ends: nothing begins any more */
    bool clear;                 /* no id is owed an unregister */
};

enum enrolment_step {
    STEP_NONE, /* nothing before the next event, or enrolment_due() */
    STEP_LISTEN,
    STEP_END_LISTENING,
    STEP_REQUEST, /* send the registration */
    STEP_PUZZLE,  /* find out why there is no answer, and say so */
    STEP_CHECK,   /* ask whether the MOV knows the id; enrolment_checked() */
    STEP_SWEEP,   /* look for notifications that were left */
};

enum enrolment_check {
    CHECK_KNOWN,
    CHECK_FORGOTTEN,
    CHECK_UNANSWERED,
};

/* What follows from a check. */
enum enrolment_verdict {
    VERDICT_KEEP,
    VERDICT_FORGOTTEN, /* the id is to be given up: the MOV does not know it */
    VERDICT_UNKNOWN,   /* the id is to be given up: the MOV does not say whether it knows it */
};

void enrolment_init(struct enrolment *enrolment, unsigned outstanding, int64_t now);

/* The next thing to do, in order; to be asked again until there is none. What it says counts as done. */
enum enrolment_step enrolment_next(struct enrolment *enrolment, const struct enrolment_reach *reach, int64_t now);

/* When enrolment_next() has to be asked again although nothing happens. */
int64_t enrolment_due(const struct enrolment *enrolment, int64_t now);

/* What happened. */
void enrolment_subscribed(struct enrolment *enrolment, bool up);
bool enrolment_notified(struct enrolment *enrolment, bool fresh, bool leaving,
                        int64_t now);                             /* true: it is the answer */
void enrolment_refused(struct enrolment *enrolment, int64_t now); /* there is no queue to ask on */
void enrolment_disconnected(struct enrolment *enrolment);         /* the receiving connection is gone */
void enrolment_blocked(struct enrolment *enrolment);              /* an alarm begins */
enum enrolment_verdict enrolment_checked(struct enrolment *enrolment, enum enrolment_check check, int64_t now);
void enrolment_forget(struct enrolment *enrolment); /* the id is given up */

/* How long the MOV has for the answer to the check that is to be made. */
int64_t enrolment_patience(const struct enrolment *enrolment);

/* True if no answer is worth waiting for before the host ends. */
bool enrolment_may_end(const struct enrolment *enrolment, int64_t now);

#endif
