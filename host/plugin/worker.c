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

/* ---- its end, and the next beginning ---- */

static unsigned place_of(const struct worker *worker, const struct hand *hand)
{
    return worker->page == NULL ? PLACE_CALLED : atomic_load(&worker->page->places[hand->number % WORKER_PLACES]);
}

static bool is_suspect(const struct worker *worker, const struct hand *hand)
{
    unsigned place = place_of(worker, hand);
    return place == PLACE_CALLED || place == PLACE_OPEN;
}

/* What the worker had, and what it was to get, is the executor's again. */
static void return_all(struct worker *worker, bool blames, const char *why)
{
    size_t at = 0;
    for (struct hand *hand; (hand = hands_next(&worker->hands, &at)) != NULL;) {
        struct handling *handling = hand->handling;
        bool suspect = blames && is_suspect(worker, hand);
        worker->handled = worker->handled || place_of(worker, hand) == PLACE_JUDGED;
        if (suspect)
            handling_explain(handling, "%s", why);
        hands_free(&worker->hands, hand);
        worker_return(handling, suspect ? RETURNED_CRASHED : RETURNED_UNTRIED);
    }
    worker_return_pending(worker, NULL);
    worker->alone = false;
}

/* At once after a message was handled; later and later if it does not come to that. */
static uint32_t delay_of(struct worker *worker)
{
    if (!worker->handled && worker->life > 1)
        return backoff_next(&worker->backoff);
    backoff_reset(&worker->backoff);
    return 0;
}

static void go_down(struct worker *worker, const struct fault *why)
{
    uint32_t delay = delay_of(worker);
    struct text text = {0};
    worker->state = DOWN;
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

/* The socket has come to its end, and all that it held is read. */
static void on_end(struct worker *worker)
{
    struct fault why;
    worker_explain_end(worker, &why);
    bool closing = atomic_load(&worker->close_until) != 0;
    bool as_asked = worker->state == OVER || (closing && worker->hands.count == 0 && worker->why.text[0] == '\0');
    return_all(worker, !closing, why.text);
    worker_cancel_timers(worker, 0);
    worker_drop_process(worker);
    if (closing) {
        worker->state = OVER;
        if (!as_asked)
            log_warning(worker->use.log, worker->plugin->name, "%s, while the host stops", why.text);
        return;
    }
    go_down(worker, &why);
}

/* ---- what is due ---- */

/* A handler that runs for long is named, and in the end its process is ended. */
static void watch_call(struct worker *worker, struct hand *hand, int64_t busy)
{
    const char *topic = hand->handling->delivery->from->topic;
    if (!hand->warned && busy >= worker->use.slow_ms) {
        hand->warned = true;
        log_warning(worker->use.log, worker->plugin->name, "%s: a handler has been busy with one message for %lld s",
                    topic, (long long)busy / 1000);
    }
    if (worker->use.handler_ms > 0 && busy >= worker->use.handler_ms)
        worker_condemn(worker, SIGTERM, "the handler of %s took longer than host.handler_seconds", topic);
}

static void watch_open(struct worker *worker, const struct hand *oldest, size_t open, int64_t now)
{
    if (oldest == NULL || oldest->number == worker->open_warned_of || now - oldest->called_since < worker->use.slow_ms)
        return;
    worker->open_warned_of = oldest->number;
    log_warning(worker->use.log, worker->plugin->name,
                "%s: a message has waited %lld s for the answer to its ticket; %zu tickets are open",
                oldest->handling->delivery->from->topic, (long long)(now - oldest->called_since) / 1000, open);
}

static void tick(struct worker *worker, int64_t now)
{
    const struct hand *oldest = NULL;
    int64_t since = 0;
    size_t at = 0, open = 0;
    worker->tick_at = now + WORKER_TICK_MS;
    for (struct hand *hand; worker->hands.count > 0 && (hand = hands_next(&worker->hands, &at)) != NULL;) {
        unsigned place = place_of(worker, hand);
        if (place != PLACE_CALLED && place != PLACE_OPEN)
            continue;
        if (hand->called_since == 0)
            hand->called_since = now;
        if (place == PLACE_CALLED) {
            since = since == 0 || hand->called_since < since ? hand->called_since : since;
            watch_call(worker, hand, now - hand->called_since);
            continue;
        }
        open++;
        if (oldest == NULL || hand->called_since < oldest->called_since)
            oldest = hand;
    }
    atomic_store(&worker->busy_since, since);
    watch_open(worker, oldest, open, now);
}

static void close_now(struct worker *worker, int64_t until, int64_t now)
{
    if (worker->state == UP) {
        worker_send_number(worker, FRAME_CLOSE, until > now ? (uint64_t)(until - now) : 0);
        worker->state = CLOSING;
        worker_return_pending(worker, NULL);
    } else if (worker->state == DOWN) {
        return_all(worker, false, "");
        worker->state = OVER;
    } else if (worker->state < UP) {
        worker_condemn(worker, SIGKILL, "%s", "the host stops");
    }
}

static void tend(struct worker *worker, int64_t now)
{
    struct fault fault;
    int64_t until = atomic_load(&worker->close_until);
    if (until != 0)
        close_now(worker, until, now);
    else if (worker->state == DOWN && now >= worker->due && !worker_spawn(worker, &fault))
        go_down(worker, &fault);
    if (worker->state == READY && worker->services != NULL)
        worker_send_start(worker);
    if (worker->state == GREETING && now >= worker->due)
        worker_condemn(worker, SIGKILL, "%s", "it does not finish loading within 10 s");
    if (worker->state == UP && now >= worker->tick_at)
        tick(worker, now);
    if (until != 0 && worker->socket >= 0 && now >= until + LATE_MS)
        worker_condemn(worker, SIGKILL, "%s", "it does not stop in time");
    if (worker->kill_at != 0 && now >= worker->kill_at) {
        offspring_signal(&worker->offspring, SIGKILL);
        worker->kill_at = now + WORKER_TERM_MS;
    }
}

static int64_t due_of(struct worker *worker)
{
    int64_t due = INT64_MAX, until = atomic_load(&worker->close_until);
    if (worker->state == DOWN || worker->state == GREETING)
        due = worker->due;
    if (worker->state == UP && worker->hands.count > 0 && worker->tick_at < due)
        due = worker->tick_at;
    if (until != 0 && worker->socket >= 0 && worker->kill_at == 0 && until + LATE_MS < due)
        due = until + LATE_MS;
    if (worker->kill_at != 0 && worker->kill_at < due)
        due = worker->kill_at;
    return due;
}

static int64_t prepare(void *context, struct pollfd *fd)
{
    struct worker *worker = context;
    tend(worker, clock_ms());
    worker_send_room(worker);
    worker_pump(worker);
    worker_transmit(worker);
    fd->fd = worker->socket;
    fd->events = (short)(POLLIN | (worker->out_at < worker->out.len ? POLLOUT : 0));
    return due_of(worker);
}

static void attend(void *context)
{
    struct worker *worker = context;
    if (worker->socket >= 0 && !worker_receive(worker))
        on_end(worker);
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
    struct pollfd fds[2] = {{.fd = worker->wake, .events = POLLIN}};
    int64_t due = prepare(worker, &fds[1]), left = due - clock_ms();
    if (worker->state == OVER && worker->socket < 0)
        return;
    poll(fds, 2, left < 0 ? 0 : left < INT32_MAX ? (int)left : -1);
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
    while (worker->state != UP && worker->state != OVER) {
        turn(worker);
        if (worker->required && worker->state == DOWN)
            break;
    }
    if (worker->state == UP)
        return 0;
    return worker->start_answer != 0 ? worker->start_answer : -1;
}

static void stop(void *self)
{
    struct worker *worker = self;
    while (worker->state != OVER || worker->socket >= 0)
        turn(worker);
    worker_end_sender(worker);
}

static void registered(void *self, const char *id)
{
    struct worker *worker = self;
    snprintf(worker->id, sizeof worker->id, "%s", id);
    worker_send_id(worker);
}

static void unregistered(void *self)
{
    struct worker *worker = self;
    worker->id[0] = '\0';
    worker_send_id(worker);
}

/* ---- */

/* False: the process has ended. */
static bool greet(struct worker *worker, struct fault *fault)
{
    struct fault why;
    if (worker_receive(worker))
        return true;
    worker_explain_end(worker, &why);
    worker_drop_process(worker);
    return fault_set(fault, "%s", why.text);
}

static struct plugin *describe(struct worker *worker)
{
    const struct about *about = &worker->about;
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

bool worker_open(struct zygote *zygote, const char *path, bool is_command, struct plugin **plugin, struct fault *fault)
{
    struct worker *worker = memory_new(sizeof *worker);
    worker->zygote = zygote;
    worker->path = is_command ? memory_text(path) : realpath(path, NULL);
    worker->is_command = is_command;
    worker->socket = worker->offspring.end = -1;
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
    else
        opened = worker_spawn(worker, fault);
    while (opened && worker->state == GREETING && worker->socket >= 0) {
        struct pollfd fd = {0};
        int64_t left = prepare(worker, &fd) - clock_ms();
        poll(&fd, 1, left < 0 ? 0 : (int)left);
        opened = greet(worker, fault);
    }
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
    offspring_signal(&worker->offspring, SIGKILL);
    worker_drop_process(worker);
    about_clear(&worker->about);
    list_free(&worker->timers);
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
