/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/worker_parts.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/memory.h"
#include "base/thread.h"

#define PART_MORE (4 << 20) /* that a part may be longer than a message: a record with its payload */
#define TIMERS_MAX 10000
#define NO_PLACE "a frame that has no place here"

/* ---- what is sent ---- */

void process_send_number(struct process *process, enum frame_kind kind, uint64_t number)
{
    frame_begin(&process->out, kind);
    frame_number(&process->out, number);
    frame_end(&process->out);
}

void process_send_id(struct process *process)
{
    if (process->state != UP)
        return;
    frame_begin(&process->out, FRAME_ID);
    frame_word(&process->out, process->worker->id);
    frame_end(&process->out);
}

static void send_message(struct process *process, const struct hand *hand)
{
    const struct delivery *delivery = hand->handling->delivery;
    struct text *out = &process->out, json = {0};
    struct properties properties = delivery->properties;
    if (properties.len > 0 && process->about.wants_json) {
        properties_put_json(properties, &json);
        properties = (struct properties){json.at, json.len};
    }
    bool redelivered = delivery->redelivered || delivery->crashes > 0;
    frame_begin(out, FRAME_MSG);
    frame_number(out, hand->number);
    frame_word(out, delivery->from->topic);
    frame_number(out, delivery->attempt);
    frame_number(out, delivery->len);
    if (redelivered || properties.len > 0)
        frame_word(out, redelivered ? "redelivered" : NULL);
    if (properties.len > 0)
        frame_number(out, properties.len);
    frame_end(out);
    frame_part(out, delivery->body, delivery->len);
    if (properties.len > 0)
        frame_part(out, properties.at, properties.len);
    text_free(&json);
}

static bool takes_more(const struct process *process)
{
    return process->state == UP && !process->alone && process->hands.count < process->about.window &&
           process->out.len - process->out_at < WORKER_OUT_MAX;
}

/* A suspect is sent alone, so that it is to blame if the process ends. */
void worker_pump(struct worker *worker)
{
    struct process *process = worker->now;
    struct node *node;
    while (process != NULL && takes_more(process) && (node = worker->pending.head) != NULL) {
        struct handling *handling = (struct handling *)node;
        bool suspect = handling->delivery->crashes > 0;
        if (suspect && process->hands.count > 0)
            return;
        struct hand *hand = hands_take(&process->hands, handling);
        if (hand == NULL)
            return;
        hand->sent_us = clock_us();
        list_take(&worker->pending);
        process->alone = suspect;
        if (process->page != NULL)
            atomic_store_explicit(&process->page->places[hand->number % WORKER_PLACES], PLACE_WAITS,
                                  memory_order_relaxed);
        send_message(process, hand);
    }
}

static const char *lowest_level(struct services *services)
{
    static const char *const levels[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
    int level = VALAWAI_DEBUG;
    while (level < VALAWAI_ERROR && !services_wants(services, level))
        level++;
    return levels[level];
}

void process_send_start(struct process *process)
{
    static const char *const validate[] = {
        [VALIDATE_STRICT] = "strict", [VALIDATE_WARN] = "warn", [VALIDATE_OFF] = "off"};
    const struct worker *worker = process->worker;
    const struct worker_use *use = &worker->use;
    const struct successor *successor = process == worker->next ? worker->successor : NULL;
    const struct options *own = worker->options != NULL ? worker->options : worker->plugin->options;
    struct json_object *start = memory_got(json_object_new_object());
    struct json_object *options = options_json(successor != NULL ? successor->options : own);
    json_object_object_add(start, "options", options == NULL ? NULL : json_object_get(options));
    json_object_object_add(start, "validate",
                           memory_got(json_object_new_string(validate[services_validate(worker->services)])));
    json_object_object_add(start, "attempts", memory_got(json_object_new_int64(use->attempts)));
    json_object_object_add(start, "threads", memory_got(json_object_new_int64(use->threads)));
    json_object_object_add(start, "message_max_bytes",
                           memory_got(json_object_new_int64((int64_t)use->message_max_bytes)));
    json_object_object_add(start, "level", memory_got(json_object_new_string(lowest_level(worker->services))));
    size_t len;
    const char *text = json_object_to_json_string_length(start, JSON_C_TO_STRING_PLAIN, &len);
    process_send_number(process, FRAME_START, len);
    frame_part(&process->out, text, len);
    json_object_put(start);
    process->reader.part_max = use->message_max_bytes + PART_MORE;
    process->state = BEGINNING;
}

/* ---- messages ---- */

void worker_return(struct handling *handling, int verdict)
{
    handling->held = false;
    handling->called = is_verdict(verdict);
    handling->verdict = verdict;
    services_concluded(handling);
}

int worker_handle(void *self, const struct valawai_message *message)
{
    struct worker *worker = self;
    (void)message;
    handling_current->held = true;
    list_put(&worker->pending, &handling_current->notice.node);
    return VALAWAI_LATER;
}

/* The worker's order is that of its frames: what it has not got yet of the topic waits behind the retried message. */
void worker_return_pending(struct worker *worker, const struct lane *lane)
{
    struct list others = {0};
    for (struct node *node; (node = list_take(&worker->pending)) != NULL;) {
        struct handling *handling = (struct handling *)node;
        if (lane == NULL || handling->lane == lane)
            worker_return(handling, RETURNED_UNTRIED);
        else
            list_put(&others, node);
    }
    worker->pending = others;
}

static void on_verdict(struct process *process, struct hand *hand, int verdict, const char *reason)
{
    struct handling *handling = hand->handling;
    if (reason[0] != '\0')
        handling_explain(handling, "%s", reason);
    if (verdict == VALAWAI_DONE && hand->refused) {
        verdict = VALAWAI_FAILED;
        handling_explain(handling, "the host refuses what its worker publishes for it");
    }
    /* A handler begins when its message has arrived and the one before it has ended. */
    int64_t now = clock_us();
    handling->took_us = now - (hand->sent_us > process->judged_us ? hand->sent_us : process->judged_us);
    process->judged_us = now;
    if (atomic_load_explicit(&process->worker->busy_since, memory_order_relaxed) != 0)
        process->tick_at = 0; /* it may have been this one */
    const struct lane *lane = handling->lane;
    hands_free(&process->hands, hand);
    if (process->hands.count == 0) /* no look follows */
        services_set_open(process->worker->services, 0);
    process->alone = false;
    process->handled = true;
    worker_return(handling, verdict);
    if (verdict == VALAWAI_RETRY)
        worker_return_pending(process->worker, lane);
}

/* ---- publications outside of a handler: they wait for room, and nothing else waits for them ---- */

struct loose {
    struct node node;
    struct publication *publication;
    struct process *process;
};

static void *run_sender(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&worker->ends_sender)) {
        struct list waiting = queue_wait(&worker->loose, INT64_MAX);
        for (struct node *node; (node = list_take(&waiting)) != NULL; free(node)) {
            struct loose *loose = (struct loose *)node;
            (void)!publish_made(worker->services, loose->publication);
            atomic_fetch_add(&loose->process->loose_sent, 1);
            queue_wake(worker->services->waking);
            eventfd_write(worker->wake, 1);
        }
    }
    return NULL;
}

static void send_loose(struct process *process, struct publication *publication)
{
    struct worker *worker = process->worker;
    struct loose *loose = memory_new(sizeof *loose);
    *loose = (struct loose){.publication = publication, .process = process};
    if (!worker->has_sender) {
        worker->has_sender = true;
        worker->sender = thread_start(run_sender, worker);
    }
    process->loose++;
    queue_put(&worker->loose, &loose->node);
}

void worker_end_sender(struct worker *worker)
{
    if (!worker->has_sender)
        return;
    atomic_store(&worker->ends_sender, true);
    queue_wake(&worker->loose);
    pthread_join(worker->sender, NULL);
    worker->has_sender = false;
    struct list left = queue_take(&worker->loose);
    for (struct node *node; (node = list_take(&left)) != NULL; free(node))
        free(((struct loose *)node)->publication);
}

void process_send_room(struct process *process)
{
    size_t sent = atomic_load(&process->loose_sent);
    if (sent == process->loose_told)
        return;
    process_send_number(process, FRAME_ROOM, sent - process->loose_told);
    process->loose_told = sent;
}

/* ---- frames of a plugin that runs ---- */

static void on_pub(struct process *process, struct hand *hand, const struct frame *frame)
{
    const struct frame_part *part = &frame->parts[0];
    struct handling *handling = hand == NULL ? NULL : hand->handling;
    struct services *services = process->worker->services;
    const char *body = part->same ? handling->delivery->body : part->at;
    size_t len = part->same ? handling->delivery->len : part->len;
    int error;
    services_begin(handling); /* uses again what is known of the message's body */
    struct publication *publication =
        publication_make_with(services, frame->words[0], body, len, frame->parts[1].at, true, &error);
    services_end();
    if (handling == NULL) {
        if (publication != NULL)
            send_loose(process, publication);
        else
            process_send_number(process, FRAME_ROOM, 1);
    } else if (publication != NULL) {
        list_put(&handling->publications, &publication->node);
    } else {
        hand->refused = true;
    }
}

static bool on_log(struct process *process, const struct hand *hand, const struct frame *frame, struct fault *fault)
{
    static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    const struct frame_part *payload = &frame->parts[1];
    struct handling *handling = hand == NULL ? NULL : hand->handling;
    int level = 0;
    while (level < 4 && strcmp(levels[level], frame->words[0]) != 0)
        level++;
    if (level == 4)
        return fault_set(fault, "%s is not a level of LOG", frame->words[0]);
    services_begin(handling);
    services_record(process->worker->services, level, frame->words[1], (int)(frame->numbers[1] & INT32_MAX),
                    payload->same ? handling->delivery->body : payload->at, frame->parts[0].at);
    services_end();
    return true;
}

static bool on_note(struct process *process, const struct frame *frame, struct fault *fault)
{
    long level;
    if (!log_level_read(frame->words[0], &level))
        return fault_set(fault, "%s is not a level of NOTE", frame->words[0]);
    const struct worker *worker = process->worker;
    log_put(worker->use.log, (enum log_level)level, worker->plugin->name, worker->plugin->file, 0, frame->rest, NULL,
            0);
    return true;
}

/* The process that asked. NULL: it has ended. */
static struct process *process_of(const struct worker *worker, unsigned life)
{
    struct process *const all[] = {worker->now, worker->next, worker->last};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != NULL && all[i]->life == life)
            return all[i];
    return NULL;
}

static void on_page(void *self, const char *page, size_t len, void *context)
{
    struct question *question = context;
    struct process *process = process_of(self, question->life);
    if (process != NULL) {
        frame_begin(&process->out, page == NULL ? FRAME_NOPAGE : FRAME_PAGE);
        frame_number(&process->out, question->number);
        if (page != NULL)
            frame_number(&process->out, len);
        frame_end(&process->out);
        if (page != NULL)
            frame_part(&process->out, page, len);
    }
    free(question);
}

static bool on_query(struct process *process, const struct frame *frame, struct fault *fault)
{
    int what = VALAWAI_COMPONENTS;
    if (strcmp(frame->words[0], "connections") == 0)
        what = VALAWAI_CONNECTIONS;
    else if (strcmp(frame->words[0], "components") != 0)
        return fault_set(fault, "%s is not what QUERY asks for", frame->words[0]);
    struct question *question = memory_new(sizeof *question);
    *question = (struct question){.life = process->life, .number = frame->numbers[0]};
    if (serve_query(&process->worker->services->table, what, frame->parts[0].at, on_page, question) != VALAWAI_OK)
        on_page(process->worker, NULL, 0, question);
    return true;
}

static void end_timer(struct ticking *ticking)
{
    (void)timers_cancel(services_timers(ticking->process->worker->services), ticking->timer);
    free(ticking);
}

void process_cancel_timers(struct process *process)
{
    for (struct node *node; (node = list_take(&process->timers)) != NULL;)
        end_timer((struct ticking *)node);
    process->timer_count = 0;
}

static void cancel_timer(struct process *process, uint64_t number)
{
    struct list others = {0};
    for (struct node *node; (node = list_take(&process->timers)) != NULL;) {
        struct ticking *ticking = (struct ticking *)node;
        if (ticking->number != number) {
            list_put(&others, node);
            continue;
        }
        end_timer(ticking);
        process->timer_count--;
    }
    process->timers = others;
}

static void on_due(void *self, void *context)
{
    const struct ticking *ticking = context;
    struct process *process = ticking->process;
    (void)self;
    process_send_number(process, FRAME_DUE, ticking->number);
    if (ticking->once)
        cancel_timer(process, ticking->number);
}

static uint32_t as_milliseconds(uint64_t number)
{
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static bool on_timer(struct process *process, const struct frame *frame, struct fault *fault)
{
    const struct valawai_host *table = &process->worker->services->table;
    cancel_timer(process, frame->numbers[0]);
    if (process->timer_count == TIMERS_MAX)
        return fault_set(fault, "more than %d timers", TIMERS_MAX);
    struct ticking *ticking = memory_new(sizeof *ticking);
    ticking->process = process;
    ticking->number = frame->numbers[0];
    ticking->timer =
        table->timer(table, as_milliseconds(frame->numbers[1]), as_milliseconds(frame->numbers[2]), on_due, ticking);
    ticking->once = frame->numbers[2] == 0;
    list_put(&process->timers, &ticking->node);
    process->timer_count++;
    return true;
}

static void on_started(struct process *process, const char *answer)
{
    struct worker *worker = process->worker;
    int number = atoi(answer);
    if (process == worker->now)
        worker->start_answer = number;
    if (number != 0 || answer[0] != '0') {
        process_condemn(process, SIGKILL, "the plugin's start failed: it returned %s", answer);
        return;
    }
    process->state = UP;
    process->tick_at = clock_ms() + WORKER_TICK_MS;
    if (worker->id[0] != '\0')
        process_send_id(process);
    if (process == worker->now)
        worker_went_up(worker);
}

/* Frames that are about a message, which has to be the worker's; LOG and PUB may be about none, by the number 0. */
static bool take_message_frame(struct process *process, const struct frame *frame, struct fault *fault)
{
    struct hand *hand = hands_find(&process->hands, frame->numbers[0]);
    bool may_have_none = frame->numbers[0] == 0 && (frame->kind == FRAME_PUB || frame->kind == FRAME_LOG) &&
                         !frame->parts[0].same && !frame->parts[1].same;
    if (hand == NULL && !may_have_none)
        return fault_set(fault, "it does not have the message %llu", (unsigned long long)frame->numbers[0]);
    switch (frame->kind) {
    case FRAME_PUB:
        on_pub(process, hand, frame);
        return true;
    case FRAME_LOG:
        return on_log(process, hand, frame, fault);
    case FRAME_AGAIN:
        if (frame->numbers[1] == 0)
            return fault_set(fault, "an attempt is at least 1");
        hand->handling->delivery->attempt = frame->numbers[1] < INT32_MAX ? (uint32_t)frame->numbers[1] : INT32_MAX;
        hand->called_since = 0;
        count_add(&hand->handling->lane->counts->retried, 1);
        return true;
    case FRAME_DONE:
        on_verdict(process, hand, VALAWAI_DONE, "");
        return true;
    case FRAME_RETRY:
        on_verdict(process, hand, VALAWAI_RETRY, frame->rest);
        return true;
    case FRAME_WRONG:
        on_verdict(process, hand, VALAWAI_WRONG, frame->rest);
        return true;
    default:
        on_verdict(process, hand, VALAWAI_FAILED, frame->rest);
        return true;
    }
}

bool process_take_running(struct process *process, const struct frame *frame, struct fault *fault)
{
    if (process->state == READY) /* what serves a plugin may not be there yet */
        return fault_set(fault, NO_PLACE);
    switch (frame->kind) {
    case FRAME_PUB:
    case FRAME_LOG:
    case FRAME_DONE:
    case FRAME_RETRY:
    case FRAME_WRONG:
    case FRAME_FAILED:
    case FRAME_AGAIN:
        return take_message_frame(process, frame, fault);
    case FRAME_NOTE:
        return on_note(process, frame, fault);
    case FRAME_QUERY:
        return on_query(process, frame, fault);
    case FRAME_TIMER:
        return on_timer(process, frame, fault);
    case FRAME_CANCEL:
        cancel_timer(process, frame->numbers[0]);
        return true;
    case FRAME_STARTED:
        if (process->state != BEGINNING)
            break;
        on_started(process, frame->words[0]);
        return true;
    case FRAME_DRAINED:
        if (process->state != CLOSING)
            break;
        worker_drained(process);
        return true;
    case FRAME_STOPPED:
        if (process->state != CLOSING)
            break;
        process->state = STOPPED;
        return true;
    default:
        break;
    }
    return fault_set(fault, NO_PLACE);
}
