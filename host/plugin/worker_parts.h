/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_parts: what worker.c, worker_greeting.c, worker_process.c and worker_serving.c share, and no other includes.
 * All of it is the executor's thread's, but for worker_open() and what is marked otherwise. */
#ifndef PLUGIN_WORKER_PARTS_H
#define PLUGIN_WORKER_PARTS_H

#include <stdatomic.h>

#include "base/backoff.h"
#include "plugin/executor_parts.h"
#include "plugin/parts.h"
#include "plugin/worker.h"
#include "plugin/worker_frames.h"
#include "plugin/worker_hands.h"

#define WORKER_TERM_MS 1000      /* from SIGTERM to SIGKILL */
#define WORKER_TICK_MS 1000      /* between two looks at what its handlers do */
#define WORKER_OUT_MAX (1 << 18) /* bytes on their way to the worker, but for one message */

enum worker_state {
    DOWN,      /* there is no process; one is made when it is due */
    GREETING,  /* it loads the plugin */
    READY,     /* its descriptor is known */
    BEGINNING, /* the plugin's start runs */
    UP,
    CLOSING, /* it begins no more messages */
    OVER,    /* it has ended, and no other follows */
};

/* What a worker says of its plugin. */
struct about {
    char *version, *document;
    struct valawai_topic *topics; /* the last one is empty */
    size_t topic_count;
    uint64_t window;
    bool thread_safe, wants_json;
};

/* What the worker asks the MOV. */
struct question {
    unsigned life;
    uint64_t number;
};

struct ticking {
    struct node node;
    uint64_t number, timer;
};

struct worker {
    struct zygote *zygote;
    char *path;
    struct plugin *plugin;
    struct worker_use use;
    struct executor_link link;
    struct services *services; /* once its start is called */
    bool is_command, required;

    atomic_bool up;
    bool was_up;
    bool handled; /* a message since it was started */
    bool alone;   /* it has a suspect, and gets nothing else */
    bool has_sender;
    atomic_bool ends_sender;
    int start_answer; /* the last one of the plugin's start */
    enum worker_state state;
    int64_t due; /* DOWN: for the next process; GREETING: for its descriptor */
    struct backoff backoff;

    unsigned life; /* how many processes there were */
    struct offspring offspring;
    int socket;
    struct worker_page *page; /* NULL: a command has none */
    struct frame_reader reader;
    struct text out;
    size_t out_at;
    struct about about, now; /* of the first one, and of the one that introduces itself */
    struct fault why;        /* the host ends it; "": it does not */
    int64_t kill_at;         /* 0: it is not to be killed */
    int64_t tick_at;
    atomic_int_fast64_t busy_since; /* the handler that has run longest at the last look; 0: none did */
    int64_t judged_us;              /* when the last verdict came */
    uint64_t open_warned_of;        /* the number of a message */

    struct list pending; /* handlings that it does not have yet */
    struct hands hands;
    char id[64]; /* of the component; "": none */
    struct list timers;

    struct queue loose; /* publications outside of a handler, which may have to wait for room */
    pthread_t sender;   /* sends them; made with the first one */

    atomic_int_fast64_t close_until; /* 0: not closing */
    atomic_uint loose_sent;          /* since the worker was told */
    atomic_int pid;                  /* 0: there is none */
    int wake;                        /* for a thread that waits in start or stop */
};

/* --- worker_greeting.c: what it says of its plugin --- */

void about_clear(struct about *about);
/* A frame before READY. */
bool worker_take_greeting(struct worker *worker, const struct frame *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* --- worker_serving.c: messages and what its plugin asks for --- */

/* A handler of the plugin: the message waits for its turn. */
int worker_handle(void *self, const struct valawai_message *message);
/* Sends messages while it takes more. */
void worker_pump(struct worker *worker);
/* What it has not got yet is the executor's again; lane NULL: of all topics. */
void worker_return_pending(struct worker *worker, const struct lane *lane);
/* The executor acts on the verdict when it looks at its notices. */
void worker_return(struct handling *handling, int verdict);
void worker_send_start(struct worker *worker);
void worker_send_id(struct worker *worker);
void worker_send_number(struct worker *worker, enum frame_kind kind, uint64_t number);
/* Tells it of the publications that were sent. */
void worker_send_room(struct worker *worker);
void worker_end_sender(struct worker *worker);
void worker_cancel_timers(struct worker *worker, uint64_t number); /* 0: all of them */
/* A frame after START. */
bool worker_take_running(struct worker *worker, const struct frame *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* --- worker_process.c: the process and its socket --- */

bool worker_spawn(struct worker *worker, struct fault *fault) __attribute__((warn_unused_result));
/* Writes what the socket takes. */
void worker_transmit(struct worker *worker);
/* Reads what is there. False: the process has ended. */
bool worker_receive(struct worker *worker) __attribute__((warn_unused_result));
/* The host ends it, for the first reason that there is. */
void worker_condemn(struct worker *worker, int signal, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Why it has ended. */
void worker_explain_end(struct worker *worker, struct fault *why);
void worker_drop_process(struct worker *worker);

#endif
