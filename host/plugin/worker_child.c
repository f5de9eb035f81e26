/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two threads meet here: the first one reads frames, the executor's calls the plugin. The first one also sends what the
 * other has written and does not send, because a handler takes long. */
#include "plugin/worker_child.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/thread.h"
#include "plugin/blame.h"
#include "plugin/worker_child_parts.h"

#define START_MAX (1 << 20) /* bytes of the settings */
#define MESSAGE_MOST (1 << 30)
#define THREADS_MOST 1000
#define BACKSTOP_MS 5 /* the longest that a frame waits while handlers are fast; … */
#define IDLE_MS 1000  /* … and while one of them takes long */

_Noreturn void child_end_now(void)
{
    kill(0, SIGKILL);
    _exit(1);
}

/* ---- what comes ---- */

static void on_reply(struct child *child, uint64_t number, const char *page, size_t len)
{
    struct plugin_query *query = NULL;
    pthread_mutex_lock(&child->lock);
    for (struct query_number **place = &child->queries; *place != NULL; place = &(*place)->next) {
        struct query_number *numbered = *place;
        if (numbered->number != number)
            continue;
        query = numbered->query;
        *place = numbered->next;
        free(numbered);
        break;
    }
    pthread_mutex_unlock(&child->lock);
    if (query != NULL)
        services_reply(query, page, len);
}

static void on_room(struct child *child, uint64_t count)
{
    pthread_mutex_lock(&child->lock);
    child->free_sent -= count < child->free_sent ? (size_t)count : child->free_sent;
    pthread_cond_broadcast(&child->room);
    pthread_mutex_unlock(&child->lock);
}

static void on_message(struct child *child, const struct frame *frame, struct list *deliveries)
{
    const struct valawai_topic *topics = child->plugin->entry.topics;
    size_t topic = 0;
    while (topic < child->plugin->topic_count && strcmp(topics[topic].name, frame->words[0]) != 0)
        topic++;
    if (topic == child->plugin->topic_count)
        child_end_now(); /* not a topic that it named */
    struct delivery *delivery =
        delivery_with(NULL, frame->parts[0].len, (struct properties){frame->parts[1].at, frame->parts[1].len});
    memcpy(delivery->body, frame->parts[0].at, frame->parts[0].len);
    delivery->from = &child->subscriptions[topic];
    delivery->tag = frame->numbers[0];
    delivery->attempt = (uint32_t)frame->numbers[1] - 1;
    delivery->redelivered = frame->words[1] != NULL && strcmp(frame->words[1], "redelivered") == 0;
    list_put(deliveries, &delivery->node);
    atomic_fetch_add(&child->in_hand, 1);
}

static void on_close(struct child *child, uint64_t ms)
{
    child->closing = true;
    child->close_until = clock_ms() + (ms < INT32_MAX ? (int64_t)ms : INT32_MAX);
    executor_close(child->executor, child->close_until);
}

/* A host that breaks its own protocol is of another version; there is no one to tell. */
static void take_frame(struct child *child, const struct frame *frame, struct list *deliveries)
{
    switch (frame->kind) {
    case FRAME_MSG:
        on_message(child, frame, deliveries);
        break;
    case FRAME_ID:
        services_set_id(child->services, strcmp(frame->words[0], "-") == 0 ? NULL : frame->words[0]);
        break;
    case FRAME_PAGE:
        on_reply(child, frame->numbers[0], frame->parts[0].at, frame->parts[0].len);
        break;
    case FRAME_NOPAGE:
        on_reply(child, frame->numbers[0], NULL, 0);
        break;
    case FRAME_ROOM:
        on_room(child, frame->numbers[0]);
        break;
    case FRAME_CLOSE:
        on_close(child, frame->numbers[0]);
        break;
    default:
        child_end_now();
    }
}

static void read_some(struct child *child)
{
    size_t room;
    char *to = frame_reader_room(&child->reader, &room);
    ssize_t len = recv(child->socket, to, room, MSG_DONTWAIT);
    if (len == 0 || (len < 0 && errno != EINTR && errno != EAGAIN))
        child_end_now();
    if (len > 0)
        frame_reader_got(&child->reader, (size_t)len);
}

static void take_frames(struct child *child)
{
    struct frame frame;
    struct fault fault;
    struct list deliveries = {0};
    enum frame_next next;
    while ((next = frame_next(&child->reader, &frame, &fault)) == FRAME_HERE)
        take_frame(child, &frame, &deliveries);
    if (next == FRAME_BAD)
        child_end_now();
    if (deliveries.head != NULL)
        executor_put(child->executor, &deliveries);
}

/* The next frame, which has to be of this kind. */
static void await_frame(struct child *child, enum frame_kind kind, struct frame *frame)
{
    struct fault fault;
    struct pollfd in = {.fd = child->socket, .events = POLLIN};
    enum frame_next next;
    while ((next = frame_next(&child->reader, frame, &fault)) == FRAME_NONE) {
        poll(&in, 1, -1);
        read_some(child);
    }
    if (next == FRAME_BAD || frame->kind != kind)
        child_end_now();
}

/* ---- the beginning ---- */

static void greet(struct child *child)
{
    struct frame frame;
    await_frame(child, FRAME_HELLO, &frame);
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_HELLO);
    frame_number(out, WORKER_PROTOCOL);
    frame_word(out, "amqp");
    frame_end(out);
    child_end(child, true);
}

static void introduce(struct child *child)
{
    const struct plugin *plugin = child->plugin;
    size_t len = strlen(plugin->entry.asyncapi);
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_PLUGIN);
    frame_word(out, plugin->entry.version);
    frame_number(out, WORKER_PLACES);
    frame_word(out, (plugin->entry.flags & VALAWAI_THREAD_SAFE) != 0 ? "thread-safe" : NULL);
    frame_number(out, len);
    frame_end(out);
    frame_part(out, plugin->entry.asyncapi, len);
    for (const struct valawai_topic *topic = plugin->entry.topics; topic != NULL && topic->name != NULL; topic++) {
        if (topic->handle == NULL)
            continue; /* the host finds that it is missing */
        frame_begin(out, FRAME_TOPIC);
        frame_word(out, topic->name);
        frame_end(out);
    }
    frame_begin(out, FRAME_READY);
    frame_end(out);
    child_end(child, false);
}

/* The host knows which file it is. */
static _Noreturn void give_up(struct child *child, const char *path, const struct fault *fault)
{
    size_t len = strlen(path);
    bool named = strncmp(fault->text, path, len) == 0 && strncmp(fault->text + len, ": ", 2) == 0;
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_CANNOT);
    frame_end_with(out, named ? fault->text + len + 2 : fault->text);
    child_end(child, false);
    blame_end();
    _exit(0);
}

static uint32_t number_of(struct json_object *settings, const char *key, uint32_t most)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(settings, key, &value);
    int64_t number = json_object_get_int64(value);
    if (number < 0 || number > most)
        child_end_now();
    return (uint32_t)number;
}

static const char *text_of(struct json_object *settings, const char *key)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(settings, key, &value);
    return value == NULL ? "" : json_object_get_string(value);
}

static void make_parts(struct child *child, struct json_object *settings)
{
    struct plugin *plugin = child->plugin;
    struct json_object *options = NULL;
    long level = LOG_DEBUG;
    (void)!log_level_read(text_of(settings, "level"), &level);
    struct log_options log = {
        .console_level = level, .file_level = LOG_CRITICAL, .forward = child_on_note, .forward_context = child};
    child->log = log_open(&log);
    child->section.validate = strcmp(text_of(settings, "validate"), "strict") == 0 ? VALIDATE_STRICT : VALIDATE_OFF;
    plugin->section = &child->section;
    if (json_object_object_get_ex(settings, "options", &options) && options != NULL)
        plugin->options = options_of(json_object_get(options));
    child->mov = contract_of_mov();
    child->transport = (struct transport){.send = child_on_send, .flush = child_on_flush, .context = child};
    size_t message_max = number_of(settings, "message_max_bytes", MESSAGE_MOST);
    child->reader.part_max = message_max > START_MAX ? message_max : START_MAX;
    struct services_options services = {
        .plugin = plugin,
        .mov = child->mov,
        .log = child->log,
        .transport = &child->transport,
        .message_max_bytes = message_max,
        .ask = child_on_asked,
        .record = child_on_record,
        .passes_properties_on = true,
        .context = child,
    };
    child->services = services_new(&services);
    child->subscriptions = memory_new((plugin->topic_count + 1) * sizeof *child->subscriptions);
    for (size_t i = 0; i < plugin->topic_count; i++) {
        child->subscriptions[i].topic = plugin->entry.topics[i].name;
        child->subscriptions[i].owner = (void *)(uintptr_t)&plugin->entry.topics[i];
    }
    struct executor_options executor = {
        .plugin = plugin,
        .services = child->services,
        .log = child->log,
        .attempts = number_of(settings, "attempts", UINT32_MAX),
        .trusts_messages = true,
        .slow_ms = INT64_MAX, /* the host watches */
        .threads = number_of(settings, "threads", THREADS_MOST),
        .events = &child_events,
        .context = child,
    };
    child->executor = executor_new(&executor);
}

static void start(struct child *child)
{
    struct frame frame;
    await_frame(child, FRAME_START, &frame);
    struct json_object *settings = json_parse(json_thread_reader(), frame.parts[0].at, frame.parts[0].len, NULL);
    if (settings == NULL)
        child_end_now();
    make_parts(child, settings);
    json_object_put(settings);
    blame_install();
    child->threads = thread_count();
    executor_start(child->executor);
}

/* ---- the thread that reads ---- */

/* How long the buffer may wait for the executor's thread to send it. */
static int patience(struct child *child, int last)
{
    pthread_mutex_lock(&child->lock);
    bool any = child->out.len > 0;
    pthread_mutex_unlock(&child->lock);
    if (any)
        return BACKSTOP_MS;
    if (atomic_load(&child->in_hand) == 0)
        return child->closing ? BACKSTOP_MS : -1;
    return last < 0 ? BACKSTOP_MS : last * 2 < IDLE_MS ? last * 2 : IDLE_MS;
}

/* Refuses publications that wait for room from now on, because they delay the plugin's stop. */
static void end_waits(struct child *child)
{
    pthread_mutex_lock(&child->lock);
    child->stopped = true;
    pthread_cond_broadcast(&child->room);
    pthread_mutex_unlock(&child->lock);
}

static void serve(struct child *child)
{
    struct pollfd in = {.fd = child->socket, .events = POLLIN};
    int wait = -1;
    take_frames(child); /* that came with START */
    while (!atomic_load(&child->start_failed)) {
        wait = patience(child, wait);
        if (child->closing && clock_ms() >= child->close_until)
            end_waits(child);
        if (child->closing && executor_join(child->executor, clock_ms() + BACKSTOP_MS))
            return;
        int ready = poll(&in, 1, child->closing ? 0 : wait);
        if (ready > 0) {
            wait = -1;
            read_some(child);
            take_frames(child);
        }
        child_send_if_late(child);
    }
}

static _Noreturn void leave(struct child *child)
{
    if (!atomic_load(&child->start_failed) && !thread_wait_down_to(child->threads))
        log_warning(child->log, child->plugin->name, "%s", PLUGIN_LEFT_THREADS);
    end_waits(child);
    struct text *out = child_begin(child);
    frame_begin(out, FRAME_STOPPED);
    frame_end(out);
    child_end(child, false);
    blame_end();
    exit(0);
}

/* Everything that it uses stays to the end of the process: threads of the plugin may use it. */
_Noreturn void worker_child_run(int socket, int page, const char *path)
{
    struct child *child = memory_new(sizeof *child);
    struct fault fault = {""};
    const char *slash = strrchr(path, '/');
    prctl(PR_SET_NAME, slash == NULL ? path : slash + 1);
    child->socket = socket;
    child->reader = (struct frame_reader){.direction = FRAMES_TO_WORKER, .part_max = START_MAX};
    pthread_mutex_init(&child->lock, NULL);
    pthread_mutex_init(&child->write_lock, NULL);
    pthread_cond_init(&child->room, NULL);
    child->page = mmap(NULL, sizeof *child->page, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    if (child->page == MAP_FAILED)
        child_end_now();
    close(page);
    blame_write_to(child->page->words, sizeof child->page->words);
    blame_at_end(child_send_last, child);
    blame_thread();
    greet(child);
    if (!plugin_inspect_untried(path, &child->plugin, &fault))
        give_up(child, path, &fault);
    for (const struct valawai_topic *topic = child->plugin->entry.topics; topic != NULL && topic->name != NULL; topic++)
        child->plugin->topic_count++;
    child->plugin->name = contract_name(child->plugin->contract);
    introduce(child);
    start(child);
    serve(child);
    leave(child);
}
