/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_parts: shared by worker.c, worker_greeting.c, worker_process.c, worker_renewal.c and worker_serving.c only.
 * All of it belongs to the executor's thread, except worker_open() and what is marked otherwise. */
#ifndef PLUGIN_WORKER_PARTS_H
#define PLUGIN_WORKER_PARTS_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/backoff.h"
#include "plugin/executor_parts.h"
#include "plugin/parts.h"
#include "plugin/worker.h"
#include "plugin/worker_frames.h"
#include "plugin/worker_hands.h"

#define WORKER_TERM_MS 1000           /* from SIGTERM to SIGKILL */
#define WORKER_TICK_MS 1000           /* between two looks at what its handlers do */
#define WORKER_OUT_MAX (1 << 18)      /* bytes on their way to the worker, but for one message and for answers … */
#define WORKER_ANSWERS_MAX (64 << 20) /* … which the worker has to read */

enum process_state {
    GREETING,  /* it loads the plugin */
    READY,     /* its descriptor is known */
    BEGINNING, /* the plugin's start runs */
    UP,
    CLOSING, /* it begins no more messages */
    STOPPED, /* the plugin's stop has returned */
};

/* What a worker says of its plugin. */
struct about {
    char *version, *document;
    struct valawai_topic *topics; /* the last one is empty */
    size_t topic_count;
    uint64_t window;
    bool greeted, thread_safe, wants_json;
};

/* What the worker asks the MOV. */
struct question {
    unsigned life;
    uint64_t number;
};

struct ticking {
    struct node node;
    struct process *process;
    uint64_t number, timer;
    bool once;
};

/* One process of a worker, with the messages that it has. */
struct process {
    struct worker *worker;
    struct process *next_ended;
    unsigned life; /* its number among the processes of the worker */
    enum process_state state;
    int64_t due; /* GREETING: for its descriptor; CLOSING: for its end */

    struct offspring offspring;
    int socket;
    struct worker_page *page; /* NULL: a command has none */
    struct stat file;         /* the plugin's, when the process was made */
    struct frame_reader reader;
    struct text out;
    size_t out_at; /* the first byte that has not left */
    struct about about;
    struct fault why; /* the host ends it; "": it does not */
    int64_t kill_at;  /* 0: no kill is due. After the kill: when the host gives up its stream */
    bool killed;

    struct hands hands;
    bool alone;              /* it has a suspect, and gets nothing else */
    bool handled;            /* a message since it was started */
    int64_t tick_at;         /* for the next look at its handlers */
    int64_t judged_us;       /* when the last verdict came */
    uint64_t open_warned_of; /* the number of a message */

    struct list timers;
    size_t timer_count;
    size_t loose;             /* publications outside of a handler, while they wait for room … */
    atomic_size_t loose_sent; /* … and those of them that have left */
    size_t loose_told;        /* the process knows of these */
};

/* A process of another file of the plugin, for the worker. */
struct successor {
    struct process *process;
    struct options *options;
    struct limits limits;
    char *version, *path;
};

struct worker {
    struct zygote *zygote;
    char *path;
    struct limits limits;
    struct plugin *plugin;
    struct worker_use use;
    struct executor_link link;
    struct services *services; /* once its start is called */
    struct about about;        /* of the first process; the plugin's descriptor refers to it */
    bool is_command, required;

    struct process *now;   /* gets the messages; NULL: down */
    struct process *next;  /* takes over once it is up; NULL: there is none */
    struct process *last;  /* has handed over, and runs its stop; NULL: there is none */
    struct process *ended; /* publications refer to them */
    unsigned lives;        /* how many processes there were */

    atomic_bool up;
    atomic_bool started; /* its start has returned, so the executor's queue wakes it */
    bool was_up;
    bool over; /* no other process follows */
    bool has_sender;
    atomic_bool ends_sender;
    int start_answer; /* the last one of the plugin's start */
    int64_t due;      /* down: for the next process */
    struct backoff backoff;
    atomic_int_fast64_t busy_since; /* the handler that has run longest at the last look; 0: none did */

    struct options *options; /* of a successor; NULL: those of the plugin */
    struct list pending;     /* handlings that no process has yet */
    char id[64];             /* of the component; "": none */

    struct queue loose; /* publications outside of a handler, which may have to wait for room */
    pthread_t sender;   /* sends them; made with the first one */

    _Atomic(struct successor *) offered; /* not taken yet */
    struct successor *successor;         /* its process is `next` */
    atomic_int_fast64_t close_until;     /* 0: not closing */
    atomic_int pid;                      /* 0: there is none */
    int wake;                            /* for a thread that waits in start or stop */
};

static inline bool worker_is_closing(const struct worker *worker)
{
    return atomic_load(&worker->close_until) != 0;
}

/* --- worker.c: its processes --- */

void worker_set_current(struct worker *worker, struct process *process);
/* The current process can handle messages. */
void worker_went_up(struct worker *worker);
/* Returns the messages of the process to the executor, and those that wait for it, so that they keep their order. */
void process_return_all(struct process *process, bool blames, const char *why);
/* It begins no more messages. */
void process_close(struct process *process, int64_t until, int64_t now);

/* --- worker_renewal.c: another file of the plugin --- */

/* Takes an offered process. When it is up, the current one finishes the messages that it has begun. */
void worker_tend_successor(struct worker *worker, int64_t now);
/* A process that closes has no message in hand that it has begun. */
void worker_drained(struct process *process);
/* why: the successor has failed; NULL: it has taken over, or is no longer needed. */
void worker_end_renewal(struct worker *worker, const char *why);
void successor_free(struct successor *successor); /* without its process */
/* [any thread] Frees one that no worker has taken. May be NULL. */
void successor_discard(struct successor *successor);

/* --- worker_greeting.c: what it says of its plugin --- */

void about_clear(struct about *about);
/* True if one process can take the place of the other. */
bool about_is_same(const struct about *one, const struct about *other) __attribute__((warn_unused_result));
/* A frame before READY. False: it breaks the protocol. */
bool process_take_greeting(struct process *process, const struct frame *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* --- worker_serving.c: messages and what its plugin asks for --- */

/* A handler of the plugin: the message waits for its turn. */
int worker_handle(void *self, const struct valawai_message *message);
/* Sends messages while the process takes more. */
void worker_pump(struct worker *worker);
/* Returns messages that no process has received to the executor; lane NULL: of all topics. */
void worker_return_pending(struct worker *worker, const struct lane *lane);
/* The executor acts on the verdict when it looks at its notices. */
void worker_return(struct handling *handling, int verdict);
void worker_end_sender(struct worker *worker);
void process_send_start(struct process *process);
void process_send_id(struct process *process);
void process_send_number(struct process *process, enum frame_kind kind, uint64_t number);
/* Tells it of the publications that were sent. */
void process_send_room(struct process *process);
void process_cancel_timers(struct process *process);
/* A frame after READY. False: it breaks the protocol. */
bool process_take_running(struct process *process, const struct frame *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* --- worker_process.c: the process and its socket --- */

/* NULL with the reason: there can be none. */
struct process *process_new(struct worker *worker, struct fault *fault);
/* [any thread] Kills a process that has not served the worker yet, and frees all but its memory. */
void process_release(struct process *process);
/* Kills it. The worker frees it when its publications have left. */
void process_end(struct process *process);
/* Writes what the socket takes. */
void process_transmit(struct process *process);
/* Reads what is there. False: it has ended. */
bool process_receive(struct process *process) __attribute__((warn_unused_result));
/* The host ends it, for the first reason that there is. */
void process_condemn(struct process *process, int signal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Why it has ended. */
void process_explain_end(struct process *process, struct fault *why);

#endif
