/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * More than 600 lines because sending, confirmations and the loss of a connection change one state together. */
#include "broker/publisher.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "broker/confirms.h"
#include "broker/declares.h"
#include "broker/link.h"
#include "broker/outbox.h"
#include "broker/records.h"
#include "broker/room.h"
#include "message/counts.h"

#define DATA_CHANNEL 1   /* publications, with confirms */
#define RECORD_CHANNEL 3 /* records for the MOV, without confirms; channel 2 belongs to declares.h */
#define IDLE_MS 1000
#define DEAD_LETTER_MS 10000    /* how long a dead letter that the broker cannot keep is tried again */
#define LOOK_EVERY 32           /* publications between two reads of the socket … */
#define LOOK_EVERY_BYTES 262144 /* … or bytes, so that an alarm is read before the socket is full */
#define OLDEST_MS 500           /* between two searches for the oldest publication */
#define REFUSED_MS 200          /* until a queue that refused a publication is tried again */

enum state {
    OFFLINE,    /* no connection */
    PREPARING,  /* the queues are being declared */
    PUBLISHING, /* sends all publications */
    PROBING,    /* sends one at a time, to find the one for which the broker closed the channel */
    BLOCKED,    /* the broker has raised an alarm */
};

/* A topic that was added. */
struct addition {
    struct node node;
    char topic[];
};

struct publisher {
    struct publisher_options options;
    char name[256]; /* of the connection */
    struct connection *connection;
    struct link link;
    pthread_t thread;
    atomic_bool stopping;
    atomic_bool added;                 /* topics have been added */
    atomic_int_fast64_t sending_since; /* clock_ms() when a send began; 0: not in one */
    atomic_int_fast64_t oldest;        /* when the oldest publication entered; INT64_MAX: there is none */

    struct queue inbox; /* from publisher_send(); its descriptor wakes the thread for every purpose */
    struct queue additions;
    struct records records;
    struct room room;

    /* The thread's own: */
    enum state state;
    struct outbox outbox;
    struct confirms confirms;
    struct list confirmed; /* outcomes to report */
    size_t suspects;       /* publications that PROBING still sends one at a time */
    int64_t looked_at;     /* the last search for the oldest publication */
    struct declares declares;
};

/* ---- outcomes ---- */

static void report(struct publisher *publisher)
{
    if (publisher->confirmed.head == NULL)
        return;
    size_t count = room_leave(&publisher->room, &publisher->confirmed);
    publications_report(&publisher->confirmed);
    room_left(&publisher->room, count); /* after the report, as publisher_drain() promises */
}

static void note_refusal(struct publisher *publisher, struct publication *publication, bool refused)
{
    switch (outlets_note_refusal(&publisher->declares.outlets, publication, refused)) {
    case REFUSAL_SAME:
        break;
    case REFUSAL_BEGINS:
        log_warning(
            publisher->options.log, "host",
            "%s: its queue refuses publications (it is full, or its node is down); they wait and are tried again",
            publication->topic);
        break;
    case REFUSAL_ENDS:
        log_info(publisher->options.log, "host", "%s: its queue accepts publications again", publication->topic);
        break;
    }
}

static void finish(struct publisher *publisher, struct publication *publication, enum outcome outcome)
{
    counts_outcome(publication, outcome);
    outbox_landed(&publisher->outbox, publication);
    note_refusal(publisher, publication, false);
    publication->outcome = outcome;
    list_put(&publisher->confirmed, &publication->node);
}

/* ---- confirmations ---- */

static void on_unroutable(struct publisher *publisher, struct publication *publication)
{
    if (publication->most > 0) { /* its queue was deleted */
        struct list again = {0};
        boxes_forget(&publisher->declares.boxes, publication->topic);
        list_put(&again, &publication->node);
        outbox_put_back(&publisher->outbox, &again);
        return;
    }
    if (!publication->waits) {
        finish(publisher, publication, OUTCOME_UNROUTABLE);
        return;
    }
    /* The wait ends early when the queue is declared. The host does not declare the MOV's queues. */
    bool is_ours = outlets_want(&publisher->declares.outlets, publication->topic);
    outbox_park(&publisher->outbox, publication, clock_ms() + (is_ours ? 30000 : 1000));
}

/* The queue is full, or cannot keep the publication, which is sent again. A dead letter delays its original, so it is
 * given up after a time. */
static void on_not_kept(struct publisher *publisher, struct publication *publication)
{
    int64_t now = clock_ms();
    if (publication->most > 0 && publication->give_up_at == 0)
        publication->give_up_at = now + DEAD_LETTER_MS;
    if (publication->most > 0 && now >= publication->give_up_at) {
        finish(publisher, publication, OUTCOME_NOT_KEPT);
        return;
    }
    note_refusal(publisher, publication, true);
    outbox_park(&publisher->outbox, publication, now + REFUSED_MS);
}

static void confirm(struct publisher *publisher, uint64_t sequence, bool multiple, bool positive)
{
    struct list taken = {0};
    confirms_take(&publisher->confirms, sequence, multiple, positive, &taken);
    for (struct node *node; (node = list_take(&taken)) != NULL;) {
        struct publication *publication = (struct publication *)node;
        if (publisher->suspects > 0)
            publisher->suspects--;
        if (publication->most > 0)
            boxes_land(&publisher->declares.boxes, publication->topic);
        if (publication->outcome == OUTCOME_UNROUTABLE)
            on_unroutable(publisher, publication);
        else if (publication->outcome == OUTCOME_CONFIRMED)
            finish(publisher, publication, OUTCOME_CONFIRMED);
        else
            on_not_kept(publisher, publication);
    }
    if (publisher->state == PROBING && publisher->suspects == 0)
        publisher->state = PUBLISHING;
}

/* ---- frames of the broker ---- */

static bool on_channel_close(struct publisher *publisher, const amqp_frame_t *frame, struct fault *fault)
{
    struct fault why;
    int code = 0;
    if (!connection_channel_closed(publisher->connection, frame, &code, &why))
        return fault_set(fault, "send failed");
    if (frame->channel == DECLARE_CHANNEL) {
        declares_refused(&publisher->declares, why.text);
        return true;
    }
    if (frame->channel == RECORD_CHANNEL) { /* not caused by a publication */
        amqp_channel_open_t open = {0};
        log_debug(publisher->options.log, "host", "the broker refuses a record for the MOV: %s", why.text);
        return connection_send(publisher->connection, RECORD_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open, fault);
    }
    if (code == AMQP_PRECONDITION_FAILED && publisher->confirms.count > 0) {
        struct publication *only = confirms_take_only(&publisher->confirms);
        if (only != NULL) {
            log_error(publisher->options.log, "host", "%s: the broker refuses a publication of %zu bytes: %s",
                      only->topic, only->len, why.text);
            publisher->suspects -= publisher->suspects > 0;
            finish(publisher, only, OUTCOME_REFUSED);
        } else {
            publisher->suspects = publisher->confirms.count;
        }
    }
    return fault_set(fault, "the broker closed the AMQP channel: %s", why.text);
}

static enum state working_state(const struct publisher *publisher)
{
    return publisher->suspects > 0 ? PROBING : PUBLISHING;
}

/* The only valid content here is a returned publication, on its channel. */
static bool on_content(struct publisher *publisher, const amqp_frame_t *frame, struct fault *fault)
{
    if (frame->channel != DATA_CHANNEL)
        return fault_set(fault, "the broker sends a message on AMQP channel %d", frame->channel);
    if (frame->frame_type == AMQP_FRAME_HEADER)
        return confirms_return_header(&publisher->confirms, frame->payload.properties.body_size, fault);
    amqp_bytes_t part = frame->payload.body_fragment;
    return confirms_return_body(&publisher->confirms, part.bytes, part.len, fault);
}

static bool on_frame(struct publisher *publisher, const amqp_frame_t *frame, struct fault *fault)
{
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return on_content(publisher, frame, fault);

    switch (frame->payload.method.id) {
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = frame->payload.method.decoded;
        confirm(publisher, ack->delivery_tag, ack->multiple, true);
        return true;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = frame->payload.method.decoded;
        confirm(publisher, nack->delivery_tag, nack->multiple, false);
        return true;
    }
    case AMQP_BASIC_RETURN_METHOD: {
        const amqp_basic_return_t *back = frame->payload.method.decoded;
        return confirms_return(&publisher->confirms, back->routing_key.bytes, back->routing_key.len, fault);
    }
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        declares_answered(&publisher->declares,
                          ((amqp_queue_declare_ok_t *)frame->payload.method.decoded)->message_count);
        return true;
    case AMQP_CONNECTION_BLOCKED_METHOD: {
        const amqp_connection_blocked_t *blocked = frame->payload.method.decoded;
        if (publisher->state == PREPARING) /* an alarm blocks only connections that have published */
            return true;
        publisher->state = BLOCKED;
        log_warning(publisher->options.log, "host",
                    "the broker raised an alarm (%.*s): publications wait until it is over", (int)blocked->reason.len,
                    (char *)blocked->reason.bytes);
        publisher->options.events->blocked(publisher->options.context, true);
        return true;
    }
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        if (publisher->state != BLOCKED)
            return true;
        publisher->state = working_state(publisher);
        log_info(publisher->options.log, "host", "the broker's alarm is over");
        publisher->options.events->blocked(publisher->options.context, false);
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD:
        return on_channel_close(publisher, frame, fault);
    default:
        return true;
    }
}

static bool read_frames(struct publisher *publisher, struct fault *fault)
{
    unsigned kept = 0;
    bool alive = true;
    do {
        amqp_frame_t frame;
        enum frame got = connection_frame(publisher->connection, &frame, fault);
        if (got == FRAME_NONE)
            break;
        alive = got == FRAME_GOT && on_frame(publisher, &frame, fault);
        if (++kept % 64 == 0)
            connection_release(publisher->connection);
    } while (alive && connection_has_frames(publisher->connection));
    connection_release(publisher->connection);
    report(publisher);
    return alive;
}

/* ---- sending ---- */

static bool send_one(struct publisher *publisher, const struct publication *publication, struct fault *fault)
{
    const struct wire_message message = {
        .topic = publication->topic,
        .body = publication->body,
        .len = publication->len,
        .properties = publication->properties,
        .persistent = publication->persistent,
        .mandatory = true,
    };
    return connection_publish(publisher->connection, DATA_CHANNEL, &message, fault);
}

static bool may_send(const struct publisher *publisher)
{
    return publisher->state == PUBLISHING || (publisher->state == PROBING && publisher->confirms.count == 0);
}

/* False: the letter waits for an answer about its queue, or has an outcome. */
static bool fits_box(struct publisher *publisher, struct publication *letter)
{
    switch (boxes_put(&publisher->declares.boxes, letter, clock_ms())) {
    case BOXES_SEND:
        return true;
    case BOXES_WAIT:
        outbox_landed(&publisher->outbox, letter);
        break;
    case BOXES_FULL:
        finish(publisher, letter, OUTCOME_FULL);
        break;
    case BOXES_UNDECLARABLE:
        finish(publisher, letter, OUTCOME_UNDECLARED);
        break;
    }
    return false;
}

/* Sends all that may leave, and reads the socket in between. Stops early when the broker raises an alarm. */
static bool send_waiting(struct publisher *publisher, struct fault *fault)
{
    size_t sent = 0, bytes = 0;
    while (may_send(publisher)) {
        struct publication *publication = outbox_take(&publisher->outbox);
        if (publication == NULL) {
            if (publisher->state == PROBING) { /* the others have an outcome already */
                publisher->suspects = 0;
                publisher->state = PUBLISHING;
            }
            return true;
        }
        if (publication->cause != NULL && delivery_is_stale(publication->cause)) {
            counts_withdrawn(publication);
            finish(publisher, publication, OUTCOME_CONFIRMED); /* without effect, because the cause is redelivered */
            continue;
        }
        if (publication->properties.len > connection_properties_max(publisher->connection)) {
            log_error(publisher->options.log, "host",
                      "%s: a publication has %zu bytes of properties; this broker's frames hold %zu",
                      publication->topic, publication->properties.len,
                      connection_properties_max(publisher->connection));
            finish(publisher, publication, OUTCOME_REFUSED);
            continue;
        }
        if (publication->most > 0 && !fits_box(publisher, publication))
            continue;
        confirms_put(&publisher->confirms,
                     publication); /* before the send, so that a failed send leaves it unconfirmed */
        if (!send_one(publisher, publication, fault))
            return false;
        bytes += publication->len;
        if ((++sent % LOOK_EVERY == 0 || bytes >= LOOK_EVERY_BYTES)) {
            bytes = 0;
            if (!connection_flush(publisher->connection, fault) || !read_frames(publisher, fault))
                return false;
        }
    }
    return true;
}

static bool send_records(struct publisher *publisher, struct fault *fault)
{
    size_t dropped = 0, len;
    bool some = records_take(&publisher->records, &dropped), alive = true;
    if (dropped > 0)
        log_debug(publisher->options.log, "host", "%zu records for the MOV were dropped: the broker did not keep up",
                  dropped);
    for (const char *body; alive && (body = records_next(&publisher->records, &len)) != NULL;) {
        const struct wire_message record = {.topic = RECORD_TOPIC, .body = body, .len = len};
        alive = connection_publish(publisher->connection, RECORD_CHANNEL, &record, fault);
    }
    if (some)
        room_look(&publisher->room); /* publisher_drain() waits for them */
    return alive;
}

static void take_additions(struct publisher *publisher)
{
    struct list additions = queue_take(&publisher->additions);
    for (struct node *node; (node = list_take(&additions)) != NULL; free(node))
        outlets_add(&publisher->declares.outlets, ((const struct addition *)node)->topic);
}

static void take_inbox(struct publisher *publisher)
{
    if (atomic_load_explicit(&publisher->added, memory_order_relaxed) && atomic_exchange(&publisher->added, false))
        take_additions(publisher);
    struct list fresh = queue_take(&publisher->inbox);
    int64_t now = fresh.head == NULL && publisher->outbox.parked.head == NULL ? 0 : clock_ms();
    counts_published(&fresh, now);
    outbox_put(&publisher->outbox, &fresh);
    if (publisher->outbox.parked.head != NULL)
        outbox_unpark(&publisher->outbox, now);
}

/* For monitoring. Runs seldom, because it reads all unconfirmed publications. */
static void look_for_oldest(struct publisher *publisher, int64_t now)
{
    if (now - publisher->looked_at < OLDEST_MS)
        return;
    publisher->looked_at = now;
    int64_t waiting = outbox_oldest(&publisher->outbox), sent = confirms_oldest(&publisher->confirms);
    atomic_store_explicit(&publisher->oldest, waiting < sent ? waiting : sent, memory_order_relaxed);
}

static bool send_all(struct publisher *publisher, struct fault *fault)
{
    if (!may_send(publisher))
        return true;
    atomic_store(&publisher->sending_since, clock_ms());
    bool sent = send_waiting(publisher, fault);
    sent = sent && declares_next(&publisher->declares, fault); /* for publications that wait since now */
    if (sent && publisher->state == PUBLISHING)
        sent = send_records(publisher, fault);
    sent = sent && connection_flush(publisher->connection, fault);
    atomic_store(&publisher->sending_since, 0);
    report(publisher);
    return sent;
}

/* ---- the thread ---- */

/* False: only the inbox woke it, and there is nothing to read. */
static bool sleep_until(struct publisher *publisher, int64_t deadline)
{
    if (!queue_sleep(&publisher->inbox))
        return true;
    bool open = connection_is_open(publisher->connection);
    struct pollfd fds[] = {
        {.fd = publisher->inbox.fd, .events = POLLIN},
        {.fd = open ? connection_fd(publisher->connection) : -1, .events = POLLIN},
    };
    int64_t delay = deadline - clock_ms();
    int ready = poll(fds, 2, delay < 0 ? 0 : (int)delay);
    queue_slept(&publisher->inbox);
    return ready <= 0 || fds[1].revents != 0;
}

static int64_t next_deadline(const struct publisher *publisher, int64_t now, int64_t tend_at)
{
    int64_t next = now + IDLE_MS < tend_at ? now + IDLE_MS : tend_at;
    int64_t parked = outbox_due(&publisher->outbox), declare = outlets_due(&publisher->declares.outlets);
    next = parked < next ? parked : next;
    next = declare < next ? declare : next;
    return next < now ? now : next;
}

/* Unconfirmed publications are sent again before all others, in their order. */
static void unconfirmed_return(struct publisher *publisher)
{
    struct list again = confirms_reset(&publisher->confirms);
    declares_lose(&publisher->declares);
    outbox_put_back(&publisher->outbox, &again);
}

static void connection_lost(struct publisher *publisher, const char *why)
{
    log_warning(publisher->options.log, "host", "lost the publishing connection to %s: %s",
                connection_peer(publisher->connection), why);
    connection_drop(publisher->connection);
    atomic_store(&publisher->sending_since, 0);
    unconfirmed_return(publisher);
    publisher->state = OFFLINE;
    publisher->options.events->connected(publisher->options.context, false);
}

static bool channels_open(struct publisher *publisher, struct fault *fault)
{
    amqp_channel_open_t open = {0};
    amqp_confirm_select_t select = {0};
    publisher->state = PREPARING;
    outlets_want_all(&publisher->declares.outlets);
    return connection_send(publisher->connection, DATA_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open, fault) &&
           connection_send(publisher->connection, DATA_CHANNEL, AMQP_CONFIRM_SELECT_METHOD, &select, fault) &&
           connection_send(publisher->connection, RECORD_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open, fault);
}

/* Starts publishing when the broker has answered every declare. */
static void look_prepared(struct publisher *publisher)
{
    if (publisher->state != PREPARING || !outlets_prepared(&publisher->declares.outlets))
        return;
    publisher->state = working_state(publisher);
    publisher->options.events->connected(publisher->options.context, true);
}

static void serve(void *context)
{
    struct publisher *publisher = context;
    struct fault fault = {"?"};
    bool alive = channels_open(publisher, &fault), look = true;
    while (alive) {
        if (atomic_load(&publisher->stopping)) {
            connection_close(publisher->connection);
            return;
        }
        alive = declares_next(&publisher->declares, &fault);
        take_inbox(publisher);
        alive = alive && send_all(publisher, &fault) && (!look || read_frames(publisher, &fault)) &&
                declares_next(&publisher->declares, &fault);
        if (!alive)
            break;
        look = true;
        look_prepared(publisher);
        bool more = may_send(publisher) && (outbox_has(&publisher->outbox) || records_wait(&publisher->records));
        int64_t now = clock_ms();
        look_for_oldest(publisher, now);
        int64_t tend_at = connection_tend(publisher->connection, now, &fault);
        alive = tend_at >= 0;
        if (alive && !more)
            look = sleep_until(publisher, next_deadline(publisher, now, tend_at));
    }
    connection_lost(publisher, fault.text);
    report(publisher);
}

/* Without a connection. */
static void rest(void *context, int64_t until_ms)
{
    struct publisher *publisher = context;
    while (!atomic_load(&publisher->stopping) && clock_ms() < until_ms) {
        int64_t now = clock_ms();
        sleep_until(publisher, now + IDLE_MS < until_ms ? now + IDLE_MS : until_ms);
        take_inbox(publisher);
        look_for_oldest(publisher, now);
    }
}

static const struct link_events link_events = {.thread = "vh-publisher", .serve = serve, .rest = rest};

static void *publisher_run(void *argument)
{
    struct publisher *publisher = argument;
    link_run(&publisher->link);
    return NULL;
}

struct publisher *publisher_new(const struct publisher_options *options)
{
    struct publisher *publisher = memory_new(sizeof *publisher);
    publisher->options = *options;
    snprintf(publisher->name, sizeof publisher->name, "valawai-host %s publishes", options->components);
    publisher->connection = connection_new(&publisher->options.broker, publisher->name);
    publisher->link = (struct link){
        .connection = publisher->connection,
        .broker = &publisher->options.broker,
        .log = options->log,
        .name = "publishing connection",
        .stopping = &publisher->stopping,
        .events = &link_events,
        .context = publisher,
    };
    queue_init(&publisher->inbox, true);
    queue_init(&publisher->additions, false);
    atomic_store(&publisher->oldest, INT64_MAX);
    records_init(&publisher->records);
    room_init(&publisher->room, &publisher->outbox.own, 0);
    publisher_share(publisher, options->shares);
    publisher->declares =
        (struct declares){.connection = publisher->connection, .log = options->log, .outbox = &publisher->outbox};
    outlets_init(&publisher->declares.outlets, options->topics, options->topic_count);
    return publisher;
}

void publisher_start(struct publisher *publisher)
{
    publisher->thread = thread_start(publisher_run, publisher);
}

bool publisher_send(struct publisher *publisher, struct list *publications)
{
    /* A dead letter needs no room: the prefetch bounds their number, and the publisher's own thread sends some. */
    if (((struct publication *)publications->head)->most > 0)
        room_force(&publisher->room, publications);
    else if (!room_enter(&publisher->room, publications))
        return false;
    queue_join(&publisher->inbox, publications);
    return true;
}

void publisher_send_urgent(struct publisher *publisher, struct publication *publication)
{
    struct list one = {0};
    list_put(&one, &publication->node);
    room_force(&publisher->room, &one);
    queue_join(&publisher->inbox, &one);
}

void publisher_send_record(struct publisher *publisher, const char *body, size_t len, bool at_once)
{
    if (records_put(&publisher->records, body, len) && at_once)
        queue_wake(&publisher->inbox);
}

void publisher_flush_records(struct publisher *publisher)
{
    if (records_wait(&publisher->records))
        queue_wake(&publisher->inbox);
}

void publisher_add_topics(struct publisher *publisher, const char *const *topics, size_t count)
{
    struct list additions = {0};
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(topics[i]) + 1;
        struct addition *addition = memory_new(sizeof *addition + size);
        memcpy(addition->topic, topics[i], size);
        list_put(&additions, &addition->node);
    }
    queue_join(&publisher->additions, &additions);
    atomic_store(&publisher->added, true);
    queue_wake(&publisher->inbox);
}

void publisher_share(struct publisher *publisher, size_t shares)
{
    room_divide(&publisher->room, publisher->options.outbox_max_bytes / (shares > 0 ? shares : 1));
}

bool publisher_is_done_with(struct publisher *publisher, const struct account *account)
{
    return room_is_done_with(&publisher->room, account);
}

void publisher_tend(struct publisher *publisher, bool alive)
{
    int64_t since = atomic_load(&publisher->sending_since);
    int64_t patience = (int64_t)publisher->options.broker.heartbeat * 2000;
    if (since != 0 && clock_ms() - since > patience &&
        (!alive || connection_peer_is_gone(publisher->connection, (unsigned)patience)))
        connection_break(publisher->connection);
}

int64_t publisher_oldest(const struct publisher *publisher)
{
    return atomic_load_explicit(&publisher->oldest, memory_order_relaxed);
}

uint64_t publisher_own_bytes(const struct publisher *publisher)
{
    return count_get(&publisher->outbox.own.bytes);
}

void publisher_close(struct publisher *publisher)
{
    room_close(&publisher->room);
}

bool publisher_drain(struct publisher *publisher, int64_t until_ms)
{
    return room_drain(&publisher->room, &publisher->records, until_ms);
}

bool publisher_stop(struct publisher *publisher, int64_t until_ms)
{
    atomic_store(&publisher->stopping, true);
    connection_give_up(publisher->connection);
    if (atomic_load(&publisher->sending_since) != 0)
        connection_break(publisher->connection); /* unsent data no longer matters */
    queue_wake(&publisher->inbox);
    return thread_join(publisher->thread, until_ms);
}

void publisher_free(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    struct list inbox = queue_take(&publisher->inbox);
    unconfirmed_return(publisher);
    struct list outbox = outbox_empty(&publisher->outbox);
    publications_drop(&inbox);
    publications_drop(&outbox);
    publications_drop(&publisher->confirmed);
    records_destroy(&publisher->records);
    declares_free(&publisher->declares);
    confirms_free(&publisher->confirms);
    connection_free(publisher->connection);
    queue_destroy(&publisher->inbox);
    queue_destroy(&publisher->additions);
    room_destroy(&publisher->room);
    free(publisher);
}
