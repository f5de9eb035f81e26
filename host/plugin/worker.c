/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * When a worker is made, watched, ended and made again. */
#include "plugin/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "plugin/worker_parts.h"

#define LATE_MS 200 /* that its stop may take when the time for answers is over */

/* The processes that there are. */
struct processes {
    struct process *at[EXECUTOR_LINK_POLLS];
    size_t count;
};

static struct processes processes_of(const struct worker *worker)
{
    struct processes all = {0};
    if (worker->now != NULL)
        all.at[all.count++] = worker->now;
    if (worker->next != NULL)
        all.at[all.count++] = worker->next;
    if (worker->last != NULL)
        all.at[all.count++] = worker->last;
    return all;
}

/* Frees those whose publications have all left. */
static void free_ended(struct worker *worker, bool all)
{
    for (struct process **place = &worker->ended; *place != NULL;) {
        struct process *process = *place;
        if (!all && atomic_load(&process->loose_sent) != process->loose) {
            place = &process->next_ended;
            continue;
        }
        *place = process->next_ended;
        free(process);
    }
}

void worker_set_current(struct worker *worker, struct process *process)
{
    worker->now = process;
    atomic_store(&worker->pid, process == NULL ? 0 : (int)process->offspring.pid);
    if (process == NULL)
        atomic_store(&worker->busy_since, 0);
}

/* ---- the messages of a process that ends ---- */

static unsigned place_of(const struct process *process, const struct hand *hand)
{
    return process->page == NULL ? PLACE_CALLED : atomic_load(&process->page->places[hand->number % WORKER_PLACES]);
}

static bool is_suspect(const struct process *process, const struct hand *hand)
{
    unsigned place = place_of(process, hand);
    return place == PLACE_CALLED || place == PLACE_OPEN;
}

/* Returns the messages of the process to the executor, and those that wait for it, so that they keep their order. */
void process_return_all(struct process *process, bool blames, const char *why)
{
    size_t at = 0;
    for (struct hand *hand; (hand = hands_next(&process->hands, &at)) != NULL;) {
        struct handling *handling = hand->handling;
        bool suspect = blames && is_suspect(process, hand);
        process->handled = process->handled || place_of(process, hand) == PLACE_JUDGED;
        if (suspect)
            handling_explain(handling, "%s", why);
        hands_free(&process->hands, hand);
        worker_return(handling, suspect ? RETURNED_CRASHED : RETURNED_UNTRIED);
    }
    worker_return_pending(process->worker, NULL);
    if (process->worker->services != NULL)
        services_set_open(process->worker->services, 0);
    process->alone = false;
}

/* ---- a crash, and the next process ---- */

/* At once if the process handled a message; after a growing delay otherwise. */
static uint32_t delay_of(struct worker *worker, const struct process *process)
{
    if (process == NULL || (!process->handled && worker->lives > 1))
        return backoff_next(&worker->backoff);
    backoff_reset(&worker->backoff);
    return 0;
}

/* process: the one that has ended; NULL: none could be made. */
static void go_down(struct worker *worker, const struct process *process, const struct fault *why)
{
    uint32_t delay = delay_of(worker, process);
    struct text text = {0};
    worker->due = clock_ms() + delay;
    if (atomic_exchange(&worker->up, false) && worker->use.changed != NULL)
        worker->use.changed(worker->use.context);
    if (worker->required && !worker->was_up && worker->start_answer != 0)
        return; /* the host's last words say it */
    text_printf(&text, "Cannot run %s, because its process ended: %s", worker->plugin->name + strlen("c1_"), why->text);
    if (!worker->required || worker->was_up)
        text_printf(&text, "; it starts again in %u ms", delay);
    services_record(worker->services, VALAWAI_ERROR, worker->plugin->file, 0, NULL, text.at);
    text_free(&text);
}

void worker_went_up(struct worker *worker)
{
    worker->was_up = true;
    atomic_store(&worker->up, true);
    if (worker->use.changed != NULL)
        worker->use.changed(worker->use.context);
}

static void on_end_of_current(struct process *process, const struct fault *why)
{
    struct worker *worker = process->worker;
    bool as_asked = process->why.text[0] == '\0' && (process->state == STOPPED || process->hands.count == 0);
    bool hands_over = process->state >= CLOSING && !worker_is_closing(worker);
    bool is_replaced = worker->next != NULL && worker->next->state == UP;
    process_return_all(process, !worker_is_closing(worker) && !hands_over, why->text);
    worker_set_current(worker, NULL);
    if (worker_is_closing(worker)) {
        if (!as_asked)
            log_warning(worker->use.log, worker->plugin->name, "%s, while the plugin was stopping", why->text);
    } else if (!is_replaced) {
        go_down(worker, process, why);
    } else if (!as_asked) {
        log_warning(worker->use.log, worker->plugin->name, "%s, while another file takes over", why->text);
    }
}

/* The socket has come to its end, and all that it held is read. */
static void on_end(struct process *process)
{
    struct worker *worker = process->worker;
    struct fault why;
    process_explain_end(process, &why);
    if (process == worker->now) {
        on_end_of_current(process, &why);
    } else if (process == worker->next) {
        worker->next = NULL;
        worker_end_renewal(worker, worker_is_closing(worker) ? NULL : why.text);
    } else {
        worker->last = NULL;
        if (process->why.text[0] != '\0' || process->state != STOPPED)
            log_warning(worker->use.log, worker->plugin->name, "%s, after another file has taken over", why.text);
    }
    process_end(process);
}

void process_close(struct process *process, int64_t until, int64_t now)
{
    process_send_number(process, FRAME_CLOSE, until > now ? (uint64_t)(until - now) : 0);
    process->state = CLOSING;
    process->due = until + LATE_MS;
}

/* ---- what is due ---- */

/* A handler that runs for long is named, and in the end its process is ended. */
static void watch_call(struct process *process, struct hand *hand, int64_t busy)
{
    const struct worker_use *use = &process->worker->use;
    const char *topic = hand->handling->delivery->from->topic;
    if (!hand->warned && busy >= use->slow_ms) {
        hand->warned = true;
        log_warning(use->log, process->worker->plugin->name, "%s: a handler has been busy with one message for %lld s",
                    topic, (long long)busy / 1000);
    }
    if (use->handler_ms > 0 && busy >= use->handler_ms)
        process_condemn(process, SIGTERM, "the handler of %s took longer than host.handler_seconds", topic);
}

static void watch_open(struct process *process, const struct hand *oldest, size_t open, int64_t now)
{
    const struct worker_use *use = &process->worker->use;
    if (oldest == NULL || oldest->number == process->open_warned_of || now - oldest->called_since < use->slow_ms)
        return;
    process->open_warned_of = oldest->number;
    log_warning(use->log, process->worker->plugin->name,
                "%s: a message has waited %lld s for the answer to its ticket; %zu tickets are open",
                oldest->handling->delivery->from->topic, (long long)(now - oldest->called_since) / 1000, open);
}

static void tick(struct process *process, int64_t now)
{
    const struct hand *oldest = NULL;
    int64_t since = 0;
    size_t at = 0, open = 0;
    process->tick_at = now + WORKER_TICK_MS;
    for (struct hand *hand; process->hands.count > 0 && (hand = hands_next(&process->hands, &at)) != NULL;) {
        unsigned place = place_of(process, hand);
        if (place != PLACE_CALLED && place != PLACE_OPEN)
            continue;
        if (hand->called_since == 0)
            hand->called_since = now;
        if (place == PLACE_CALLED) {
            since = since == 0 || hand->called_since < since ? hand->called_since : since;
            watch_call(process, hand, now - hand->called_since);
            continue;
        }
        open++;
        if (oldest == NULL || hand->called_since < oldest->called_since)
            oldest = hand;
    }
    atomic_store(&process->worker->busy_since, since);
    services_set_open(process->worker->services, open);
    watch_open(process, oldest, open, now);
}

/* Bytes that may wait for a process: more than any number of messages needs. */
static size_t answers_max(const struct worker *worker)
{
    return WORKER_ANSWERS_MAX + 2 * worker->use.message_max_bytes;
}

static void tend_process(struct process *process, int64_t now)
{
    const struct worker *worker = process->worker;
    if (process->state == READY && worker->services != NULL && !worker_is_closing(worker))
        process_send_start(process);
    if (process->state == GREETING && now >= process->due)
        process_condemn(process, SIGKILL, "%s", "it does not finish loading within 10 s");
    if (process == worker->now && process->state == UP && now >= process->tick_at)
        tick(process, now);
    if (process->state >= CLOSING && now >= process->due)
        process_condemn(process, SIGKILL, "%s", "it does not stop in time");
    size_t waits = process->out.len - process->out_at;
    if (waits > answers_max(worker))
        process_condemn(process, SIGKILL, "it does not read: %zu bytes wait for it", waits);
    if (process->kill_at != 0 && !process->killed && now >= process->kill_at) {
        offspring_signal(&process->offspring, SIGKILL);
        process->killed = true;
        process->kill_at = now + WORKER_TERM_MS;
    }
}

static void close_all(struct worker *worker, int64_t now)
{
    struct processes all = processes_of(worker);
    int64_t until = atomic_load(&worker->close_until);
    successor_discard(atomic_exchange(&worker->offered, NULL));
    worker_return_pending(worker, NULL);
    for (size_t i = 0; i < all.count; i++) {
        struct process *process = all.at[i];
        if (process->state == UP)
            process_close(process, until, now);
        else if (process->state < UP)
            process_condemn(process, SIGKILL, "%s", "it had not started");
        else if (process->due > until + LATE_MS)
            process->due = until + LATE_MS;
    }
    worker->over = all.count == 0;
}

static void tend(struct worker *worker, int64_t now)
{
    struct fault fault;
    free_ended(worker, false);
    if (worker_is_closing(worker))
        close_all(worker, now);
    else
        worker_tend_successor(worker, now);
    if (worker->now == NULL && worker->next == NULL && !worker_is_closing(worker) && now >= worker->due) {
        worker_set_current(worker, process_new(worker, &fault));
        if (worker->now == NULL)
            go_down(worker, NULL, &fault);
    }
    struct processes all = processes_of(worker);
    for (size_t i = 0; i < all.count; i++)
        tend_process(all.at[i], now);
}

static int64_t sooner(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

static int64_t due_of_process(const struct process *process)
{
    int64_t due = INT64_MAX;
    if (process->kill_at != 0)
        return process->kill_at;
    if (process->state == GREETING || process->state >= CLOSING)
        due = process->due;
    if (process == process->worker->now && process->state == UP && process->hands.count > 0)
        due = sooner(due, process->tick_at);
    return due;
}

static int64_t prepare(void *context, struct pollfd fds[EXECUTOR_LINK_POLLS])
{
    struct worker *worker = context;
    tend(worker, clock_ms());
    worker_pump(worker);
    struct processes all = processes_of(worker);
    int64_t due = worker->now == NULL && worker->next == NULL ? worker->due : INT64_MAX;
    for (size_t i = 0; i < EXECUTOR_LINK_POLLS; i++)
        fds[i] = (struct pollfd){.fd = -1};
    for (size_t i = 0; i < all.count; i++) {
        struct process *process = all.at[i];
        process_send_room(process);
        process_transmit(process);
        bool has_more = process->out_at < process->out.len;
        fds[i] = (struct pollfd){.fd = process->socket, .events = (short)(POLLIN | (has_more ? POLLOUT : 0))};
        due = sooner(due, due_of_process(process));
    }
    return due;
}

static void attend(void *context)
{
    struct processes all = processes_of(context);
    for (size_t i = 0; i < all.count; i++)
        if (!process_receive(all.at[i]))
            on_end(all.at[i]);
}

/* [any thread] */
static void close_worker(void *context, int64_t until_ms)
{
    struct worker *worker = context;
    atomic_store(&worker->close_until, until_ms > 0 ? until_ms : 1);
    eventfd_write(worker->wake, 1);
}

/* [any thread] */
static int64_t busy_since(void *context)
{
    return atomic_load(&((struct worker *)context)->busy_since);
}

/* Where the executor's thread does not wait itself: in the plugin's start and stop. */
static void turn(struct worker *worker)
{
    struct pollfd fds[1 + EXECUTOR_LINK_POLLS] = {{.fd = worker->wake, .events = POLLIN}};
    int64_t due = prepare(worker, fds + 1), left = due - clock_ms();
    if (worker->over)
        return;
    poll(fds, 1 + EXECUTOR_LINK_POLLS, left < 0 ? 0 : left < INT32_MAX ? (int)left : -1);
    eventfd_t count;
    if (fds[0].revents != 0)
        eventfd_read(worker->wake, &count);
    attend(worker);
}

/* ---- the descriptor ---- */

static int start(const struct valawai_host *host, void **self)
{
    struct services *services = services_of(host);
    struct worker *worker = services->options.plugin->worker;
    *self = worker;
    worker->services = services;
    while (!atomic_load(&worker->up) && !worker->over) {
        turn(worker);
        if (worker->required && worker->now == NULL)
            break;
    }
    if (atomic_load(&worker->up)) {
        atomic_store(&worker->started, true);
        return 0;
    }
    worker_end_sender(worker); /* no stop follows */
    return worker->start_answer != 0 ? worker->start_answer : -1;
}

static void stop(void *self)
{
    struct worker *worker = self;
    while (!worker->over)
        turn(worker);
    worker_end_sender(worker);
}

static void send_id(struct worker *worker)
{
    struct processes all = processes_of(worker);
    for (size_t i = 0; i < all.count; i++)
        process_send_id(all.at[i]);
}

static void registered(void *self, const char *id)
{
    struct worker *worker = self;
    snprintf(worker->id, sizeof worker->id, "%s", id);
    send_id(worker);
}

static void unregistered(void *self)
{
    struct worker *worker = self;
    worker->id[0] = '\0';
    send_id(worker);
}

/* ---- */

/* Waits for the descriptor. False: the process has ended. */
static bool greet(struct worker *worker, struct fault *fault)
{
    struct fault why;
    while (worker->now->state == GREETING) {
        struct pollfd fds[EXECUTOR_LINK_POLLS];
        int64_t left = prepare(worker, fds) - clock_ms();
        poll(fds, EXECUTOR_LINK_POLLS, left < 0 ? 0 : (int)left);
        if (process_receive(worker->now))
            continue;
        process_explain_end(worker->now, &why);
        process_end(worker->now);
        worker_set_current(worker, NULL);
        return fault_set(fault, "%s", why.text);
    }
    return true;
}

/* The plugin's descriptor is that of the first process. */
static struct plugin *describe(struct worker *worker)
{
    const struct about *about = &worker->about;
    worker->about = worker->now->about;
    worker->now->about = (struct about){.window = about->window, .wants_json = about->wants_json};
    struct plugin *plugin = memory_new(sizeof *plugin);
    plugin->path = memory_text(worker->path);
    const char *slash = strrchr(plugin->path, '/');
    plugin->file = slash == NULL || worker->is_command ? plugin->path : slash + 1;
    plugin->entry = (struct valawai_plugin){
        VALAWAI_PLUGIN_HEAD,
        .version = about->version,
        .asyncapi = about->document,
        .topics = about->topics,
        .start = start,
        .stop = stop,
        .registered = registered,
        .unregistered = unregistered,
        .flags = about->thread_safe ? VALAWAI_THREAD_SAFE : 0,
    };
    plugin->contract = contract_read(about->document, strlen(about->document));
    plugin->worker = worker;
    worker->plugin = plugin;
    return plugin;
}

bool worker_open(struct zygote *zygote, const char *path, bool is_command, const struct limits *limits,
                 struct plugin **plugin, struct fault *fault)
{
    struct worker *worker = memory_new(sizeof *worker);
    worker->zygote = zygote;
    worker->path = is_command ? memory_text(path) : realpath(path, NULL);
    worker->is_command = is_command;
    worker->limits = *limits;
    worker->backoff = (struct backoff){.first_ms = 100, .last_ms = 30000};
    worker->link = (struct executor_link){
        .prepare = prepare, .attend = attend, .close = close_worker, .busy_since = busy_since, .context = worker};
    queue_init(&worker->loose, false);
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool opened = true;
    if (worker->path == NULL)
        opened = fault_set(fault, "%s", strerror(errno));
    else if (worker->wake < 0)
        opened = fault_set(fault, "cannot open a descriptor: %s", strerror(errno));
    if (opened)
        worker_set_current(worker, process_new(worker, fault));
    opened = worker->now != NULL && greet(worker, fault);
    if (opened)
        *plugin = describe(worker);
    else
        worker_free(worker);
    return opened || fault_prefix(fault, "%s", path);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    struct processes all = processes_of(worker);
    for (size_t i = 0; i < all.count; i++)
        process_end(all.at[i]);
    successor_discard(atomic_exchange(&worker->offered, NULL));
    free_ended(worker, true);
    successor_free(worker->successor);
    options_free(worker->options);
    about_clear(&worker->about);
    queue_destroy(&worker->loose);
    if (worker->wake >= 0)
        close(worker->wake);
    free(worker->path);
    free(worker);
}

void worker_require(struct worker *worker)
{
    worker->required = true;
}

void worker_use(struct worker *worker, const struct worker_use *use)
{
    worker->use = *use;
}

const struct executor_link *worker_link(const struct worker *worker)
{
    return &worker->link;
}

bool worker_is_up(const struct worker *worker)
{
    return atomic_load(&worker->up);
}

uint64_t worker_bytes(const struct worker *worker)
{
    char path[64];
    unsigned long pages = 0;
    int pid = atomic_load(&worker->pid);
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = pid == 0 ? NULL : fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
