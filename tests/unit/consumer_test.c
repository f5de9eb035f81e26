/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * consumer: subscriptions that come and go, on the consumer's own thread. The stand-ins for the connection play the
 * broker. The journal holds the consumer's methods, with their AMQP channel, and its events. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "broker/consumer.h"

#define FRAMES_MAX 256

struct answer {
    amqp_frame_t frame;
    union {
        amqp_basic_deliver_t deliver;
        amqp_basic_cancel_t cancel;
    } method;
};

static struct text journal;
static struct log *logs;
static char *directory;
static struct consumer *consumer;
static struct subscription topics[4];

static pthread_mutex_t lock;
static pthread_cond_t changed;
static struct answer answers[FRAMES_MAX]; /* of the broker, in order */
static size_t first, end;
static struct list delivered;
static int fd = -1;
static int channel_max;
static bool is_up, is_open,
    mute; /* the broker runs; the connection is open; the broker does not answer channel.close */

/* ---- the journal ---- */

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    text_puts(&journal, line);
    text_puts(&journal, "\n");
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static struct timespec deadline(void)
{
    int64_t until = clock_ms() + (int64_t)(stretched(10) * 1000);
    return (struct timespec){.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
}

/* Waits for the lines, which must be all that the journal has by then, and empties it. */
static void expect(const char *lines)
{
    struct timespec until = deadline();
    pthread_mutex_lock(&lock);
    while (journal.len < strlen(lines) && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    char *got = memory_text(journal.len > 0 ? journal.at : "");
    text_clear(&journal);
    pthread_mutex_unlock(&lock);
    assert_string_equal(got, lines);
    free(got);
}

/* ---- the broker ---- */

static void answer(amqp_channel_t channel, amqp_method_number_t id, const struct answer *content)
{
    pthread_mutex_lock(&lock);
    assert_true(end < FRAMES_MAX);
    struct answer *next = &answers[end++];
    if (content != NULL)
        *next = *content;
    if (id != 0) {
        next->frame.frame_type = AMQP_FRAME_METHOD;
        next->frame.payload.method.id = id;
        next->frame.payload.method.decoded = &next->method;
    }
    next->frame.channel = channel;
    pthread_mutex_unlock(&lock);
    eventfd_write(fd, 1);
}

/* Waits until the consumer has read all answers. */
static void await_all_read(void)
{
    struct timespec until = deadline();
    pthread_mutex_lock(&lock);
    while (first < end && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    assert_true(first == end);
    pthread_mutex_unlock(&lock);
}

static void deliver(amqp_channel_t channel, uint64_t tag)
{
    struct answer method = {.method.deliver = {.delivery_tag = tag, .redelivered = true}};
    struct answer header = {.frame = {.frame_type = AMQP_FRAME_HEADER}};
    static amqp_basic_properties_t properties;
    header.frame.payload.properties.class_id = AMQP_BASIC_CLASS;
    header.frame.payload.properties.decoded = &properties;
    answer(channel, AMQP_BASIC_DELIVER_METHOD, &method);
    answer(channel, 0, &header);
}

static struct delivery *taken(void)
{
    struct timespec until = deadline();
    pthread_mutex_lock(&lock);
    while (delivered.head == NULL && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    struct delivery *delivery = (struct delivery *)list_take(&delivered);
    pthread_mutex_unlock(&lock);
    assert_non_null(delivery);
    return delivery;
}

static void acknowledge(struct delivery *delivery)
{
    struct list one = {0};
    delivery->settlement = SETTLE_ACKNOWLEDGE;
    list_put(&one, &delivery->node);
    consumer_settle(consumer, &one);
}

static void set_broker(bool up, int most)
{
    pthread_mutex_lock(&lock);
    is_up = up;
    channel_max = most;
    pthread_mutex_unlock(&lock);
    eventfd_write(fd, 1);
}

static void set_mute(bool is_mute)
{
    pthread_mutex_lock(&lock);
    mute = is_mute;
    pthread_mutex_unlock(&lock);
}

struct connection *__wrap_connection_new(const struct broker *broker, const char *purpose);
struct connection *__wrap_connection_new(const struct broker *broker, const char *purpose)
{
    UNUSED(broker);
    UNUSED(purpose);
    return (struct connection *)&fd;
}

void __wrap_connection_free(struct connection *connection);
void __wrap_connection_free(struct connection *connection)
{
    UNUSED(connection);
}

void __wrap_connection_give_up(struct connection *connection);
void __wrap_connection_give_up(struct connection *connection)
{
    UNUSED(connection);
}

const char *__wrap_connection_peer(const struct connection *connection);
const char *__wrap_connection_peer(const struct connection *connection)
{
    UNUSED(connection);
    return "broker:5672";
}

void __wrap_connection_version(const struct connection *connection, char *version, size_t size);
void __wrap_connection_version(const struct connection *connection, char *version, size_t size)
{
    UNUSED(connection);
    snprintf(version, size, "1.2.3");
}

enum opened __wrap_connection_open(struct connection *connection, struct fault *fault);
enum opened __wrap_connection_open(struct connection *connection, struct fault *fault)
{
    UNUSED(connection);
    pthread_mutex_lock(&lock);
    first = end = 0;
    is_open = is_up;
    pthread_mutex_unlock(&lock);
    if (!is_open)
        fault_set(fault, "connection refused");
    return is_open ? OPENED : OPEN_FAILED;
}

bool __wrap_connection_is_open(const struct connection *connection);
bool __wrap_connection_is_open(const struct connection *connection)
{
    UNUSED(connection);
    return is_open;
}

void __wrap_connection_close(struct connection *connection);
void __wrap_connection_close(struct connection *connection)
{
    UNUSED(connection);
    is_open = false;
}

void __wrap_connection_drop(struct connection *connection);
void __wrap_connection_drop(struct connection *connection)
{
    UNUSED(connection);
    is_open = false;
}

uint32_t __wrap_connection_pause(const struct connection *connection, struct backoff *backoff);
uint32_t __wrap_connection_pause(const struct connection *connection, struct backoff *backoff)
{
    UNUSED(connection);
    backoff_reset(backoff);
    return 1;
}

int __wrap_connection_channel_max(const struct connection *connection);
int __wrap_connection_channel_max(const struct connection *connection)
{
    UNUSED(connection);
    pthread_mutex_lock(&lock);
    int most = channel_max;
    pthread_mutex_unlock(&lock);
    return most;
}

int64_t __wrap_connection_tend(struct connection *connection, int64_t now, struct fault *fault);
int64_t __wrap_connection_tend(struct connection *connection, int64_t now, struct fault *fault)
{
    UNUSED(connection);
    UNUSED(fault);
    return now + 1000;
}

int __wrap_connection_fd(const struct connection *connection);
int __wrap_connection_fd(const struct connection *connection)
{
    UNUSED(connection);
    return fd;
}

enum frame __wrap_connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *fault);
enum frame __wrap_connection_frame(struct connection *connection, amqp_frame_t *frame, struct fault *fault)
{
    eventfd_t pings;
    UNUSED(connection);
    (void)!eventfd_read(fd, &pings);
    pthread_mutex_lock(&lock);
    enum frame got = !is_up ? FRAME_LOST : first < end ? FRAME_GOT : FRAME_NONE;
    if (got == FRAME_GOT)
        *frame = answers[first++].frame;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (got == FRAME_LOST)
        fault_set(fault, "the connection is lost");
    return got;
}

bool __wrap_connection_has_frames(struct connection *connection);
bool __wrap_connection_has_frames(struct connection *connection)
{
    UNUSED(connection);
    pthread_mutex_lock(&lock);
    bool has = first < end;
    pthread_mutex_unlock(&lock);
    return has;
}

void __wrap_connection_release(struct connection *connection);
void __wrap_connection_release(struct connection *connection)
{
    UNUSED(connection);
}

bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why);
bool __wrap_connection_channel_closed(struct connection *connection, const amqp_frame_t *frame, int *code,
                                      struct fault *why)
{
    UNUSED(connection);
    *code = AMQP_NOT_FOUND;
    fault_set(why, "no queue");
    put("%d close-ok", frame->channel);
    return true;
}

bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *fault);
bool __wrap_connection_send(struct connection *connection, amqp_channel_t number, amqp_method_number_t id, void *method,
                            struct fault *fault)
{
    UNUSED(connection);
    UNUSED(fault);
    switch (id) {
    case AMQP_CHANNEL_OPEN_METHOD:
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_BASIC_QOS_METHOD:
        break;
    case AMQP_BASIC_CONSUME_METHOD: {
        const amqp_bytes_t queue = ((amqp_basic_consume_t *)method)->queue;
        put("%d consume %.*s", number, (int)queue.len, (char *)queue.bytes);
        answer(number, AMQP_BASIC_CONSUME_OK_METHOD, NULL);
        break;
    }
    case AMQP_BASIC_CANCEL_METHOD:
        put("%d cancel", number);
        break;
    case AMQP_BASIC_ACK_METHOD:
        put("%d ack %d", number, (int)((amqp_basic_ack_t *)method)->delivery_tag);
        break;
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method;
        assert_true(nack->requeue && nack->multiple && nack->delivery_tag == 0);
        put("%d return all", number);
        break;
    }
    case AMQP_CHANNEL_CLOSE_METHOD:
        put("%d close", number);
        pthread_mutex_lock(&lock);
        bool answers_it = !mute;
        pthread_mutex_unlock(&lock);
        if (answers_it)
            answer(number, AMQP_CHANNEL_CLOSE_OK_METHOD, NULL);
        break;
    default:
        fail_msg("method 0x%08x", id);
    }
    return true;
}

/* ---- the consumer's events ---- */

static void on_delivered(struct subscription *subscription, struct list *deliveries)
{
    UNUSED(subscription);
    pthread_mutex_lock(&lock);
    list_join(&delivered, deliveries);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_changed(struct subscription *subscription, bool up)
{
    put("%s %s", subscription->component, up ? "up" : "down");
}

static void on_connected(void *context, const char *version)
{
    UNUSED(context);
    put("%s", version != NULL ? "connected" : "lost");
}

static void on_removed(void *context, struct subscription *subscription)
{
    UNUSED(context);
    char name[8];
    snprintf(name, sizeof name, "%s", subscription->component);
    memset((void *)subscription, 0x5a, sizeof *subscription); /* the consumer no longer reads it */
    put("%s removed", name);
}

static const struct consumer_events events = {.connected = on_connected, .removed = on_removed};

static struct subscription *topic(int which, const char *name, const char *component)
{
    topics[which] = (struct subscription){
        .topic = name, .component = component, .wanted = true, .delivered = on_delivered, .changed = on_changed};
    return &topics[which];
}

static int enter(void **state)
{
    UNUSED(state);
    pthread_condattr_t attributes;
    pthread_mutex_init(&lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
    fd = eventfd(0, EFD_NONBLOCK);
    is_up = true;
    mute = false;
    channel_max = 100;
    directory = directory_new();
    logs = log_open(&(struct log_options){
        .directory = directory, .file_name = "log", .console_level = 100, .file_level = LOG_WARNING});
    struct subscription *const one[] = {topic(0, "a", "A")};
    const struct consumer_options options = {
        .broker = {.reconnect_ms = 100, .max_retries = 1},
        .log = logs,
        .components = "c",
        .prefetch = 10,
        .message_max_bytes = 100,
        .events = &events,
    };
    consumer = consumer_new(&options, one, 1);
    consumer_start(consumer);
    expect("connected\n2 consume a\nA up\n");
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    assert_true(consumer_stop(consumer, INT64_MAX));
    consumer_free(consumer);
    list_free(&delivered);
    text_free(&journal);
    log_close(logs);
    directory_remove(directory);
    close(fd);
    pthread_cond_destroy(&changed);
    pthread_mutex_destroy(&lock);
    return 0;
}

static char *log_text(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/log", directory);
    return file_read(path, NULL);
}

/* ---- the tests ---- */

static void an_added_subscription_is_consumed(void **state)
{
    UNUSED(state);
    consumer_add(consumer, topic(1, "b", "B"));
    expect("3 consume b\nB up\n");
    struct subscription *unwanted = topic(2, "c", "C");
    unwanted->wanted = false;
    consumer_add(consumer, unwanted);
    consumer_add(consumer, topic(3, "d", "D"));
    expect("5 consume d\nD up\n");
    consumer_want(consumer, unwanted, true);
    expect("4 consume c\nC up\n");
}

static void a_removed_one_settles_what_it_has_and_frees_its_number(void **state)
{
    UNUSED(state);
    deliver(2, 1);
    struct delivery *delivery = taken();
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A down\n2 cancel\n");
    acknowledge(delivery);
    expect("2 ack 1\n2 return all\n2 close\nA removed\n");
    consumer_add(consumer, topic(1, "b", "B"));
    expect("2 consume b\nB up\n");
}

static void what_is_left_at_the_deadline_is_returned(void **state)
{
    UNUSED(state);
    deliver(2, 1);
    deliver(2, 2);
    struct delivery *delivery = taken(), *other = taken();
    consumer_remove(consumer, &topics[0], clock_ms() + 20);
    expect("A down\n2 cancel\n2 return all\n2 close\n");
    await_all_read();
    consumer_add(consumer, topic(1, "b", "B")); /* the number is free before the deliveries have ended */
    expect("2 consume b\nB up\n");
    assert_true(delivery_is_stale(delivery) && delivery_is_stale(other));
    delivery_drop(delivery);
    acknowledge(other); /* only ends it */
    expect("A removed\n");
}

static void an_old_and_a_new_subscription_share_a_topic(void **state)
{
    UNUSED(state);
    deliver(2, 1);
    struct delivery *old = taken();
    consumer_add(consumer, topic(1, "a", "N"));
    expect("3 consume a\nN up\n");
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A down\n2 cancel\n");
    deliver(3, 1);
    struct delivery *new = taken();
    assert_ptr_equal(new->from, &topics[1]);
    acknowledge(new);
    expect("3 ack 1\n3 cancel\n3 consume a\n"); /* the window grows */
    acknowledge(old);
    expect("2 ack 1\n2 return all\n2 close\nA removed\n");
}

static void subscriptions_come_and_go_without_a_connection(void **state)
{
    UNUSED(state);
    deliver(2, 1);
    struct delivery *delivery = taken();
    set_broker(false, 100);
    expect("A down\nlost\n");
    consumer_add(consumer, topic(1, "b", "B"));
    consumer_add(consumer, topic(2, "c", "C"));
    consumer_remove(consumer, &topics[1], INT64_MAX);
    expect("B removed\n");
    consumer_remove(consumer, &topics[0], INT64_MAX);
    delivery_drop(delivery);
    expect("A removed\n");
    set_broker(true, 100);
    expect("connected\n4 consume c\nC up\n");
}

static void a_lost_connection_ends_a_removal(void **state)
{
    UNUSED(state);
    set_mute(true); /* channel.close-ok does not come */
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A down\n2 cancel\n2 return all\n2 close\n");
    set_broker(false, 100);
    expect("lost\nA removed\n");
}

static void a_topic_whose_queue_is_being_deleted_can_be_removed(void **state)
{
    UNUSED(state);
    struct answer cancel = {.method.cancel = {.consumer_tag = amqp_cstring_bytes("A 1 a"), .nowait = 1}};
    answer(2, AMQP_BASIC_CANCEL_METHOD, &cancel);
    expect("A down\n");
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("2 return all\n2 close\nA removed\n");
}

static void a_channel_that_the_broker_has_closed_can_be_removed(void **state)
{
    UNUSED(state);
    answer(2, AMQP_CHANNEL_CLOSE_METHOD, NULL);
    expect("2 close-ok\nA down\n");
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A removed\n");
    answer(2, AMQP_CHANNEL_CLOSE_METHOD, NULL); /* a second one, of a free number, is not answered */
    await_all_read();
    consumer_add(consumer, topic(1, "b", "B"));
    expect("2 consume b\nB up\n");
}

static void a_close_of_both_sides_ends_a_removal(void **state)
{
    UNUSED(state);
    set_mute(true);
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A down\n2 cancel\n2 return all\n2 close\n");
    answer(2, AMQP_CHANNEL_CLOSE_METHOD, NULL);
    expect("2 close-ok\nA removed\n");
}

static void beyond_channel_max_a_subscription_waits_for_a_number(void **state)
{
    UNUSED(state);
    set_broker(true, 2);
    consumer_add(consumer, topic(1, "b", "B"));
    consumer_add(consumer, topic(2, "c", "C"));
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A down\n2 cancel\n2 return all\n2 close\nA removed\n2 consume b\nB up\n");
    consumer_want(consumer, &topics[1], true); /* no second record */
    consumer_remove(consumer, &topics[2], INT64_MAX);
    expect("C removed\n");
    char *text = log_text();
    assert_int_equal(count_of(text, "b: is not consumed, because channel_max of the broker allows 2 AMQP channels"), 1);
    assert_int_equal(count_of(text, "c: is not consumed"), 1);
    free(text);
}

static void a_reconnect_serves_those_for_which_it_has_numbers(void **state)
{
    UNUSED(state);
    consumer_add(consumer, topic(1, "b", "B"));
    expect("3 consume b\nB up\n");
    set_broker(false, 100);
    expect("A down\nB down\nlost\n");
    set_broker(true, 2);
    expect("connected\n2 consume a\nA up\n");
    consumer_remove(consumer, &topics[0], INT64_MAX);
    expect("A down\n2 cancel\n2 return all\n2 close\nA removed\n2 consume b\nB up\n");
}

static void commands_that_come_too_late_are_ended_with_the_consumer(void **state)
{
    UNUSED(state);
    deliver(2, 1);
    struct delivery *delivery = taken();
    consumer_remove(consumer, &topics[0], clock_ms());
    expect("A down\n2 cancel\n2 return all\n2 close\n");
    assert_true(consumer_stop(consumer, INT64_MAX));
    consumer_add(consumer, topic(1, "b", "B"));
    consumer_remove(consumer, &topics[1], INT64_MAX);
    consumer_free(consumer);
    delivery_drop(delivery);
    expect("");
    const struct consumer_options options = {.log = logs, .components = "c", .events = &events};
    consumer = consumer_new(&options, NULL, 0); /* for leave() */
    consumer_start(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_added_subscription_is_consumed, enter, leave),
        cmocka_unit_test_setup_teardown(a_removed_one_settles_what_it_has_and_frees_its_number, enter, leave),
        cmocka_unit_test_setup_teardown(what_is_left_at_the_deadline_is_returned, enter, leave),
        cmocka_unit_test_setup_teardown(an_old_and_a_new_subscription_share_a_topic, enter, leave),
        cmocka_unit_test_setup_teardown(subscriptions_come_and_go_without_a_connection, enter, leave),
        cmocka_unit_test_setup_teardown(a_lost_connection_ends_a_removal, enter, leave),
        cmocka_unit_test_setup_teardown(a_topic_whose_queue_is_being_deleted_can_be_removed, enter, leave),
        cmocka_unit_test_setup_teardown(a_channel_that_the_broker_has_closed_can_be_removed, enter, leave),
        cmocka_unit_test_setup_teardown(a_close_of_both_sides_ends_a_removal, enter, leave),
        cmocka_unit_test_setup_teardown(beyond_channel_max_a_subscription_waits_for_a_number, enter, leave),
        cmocka_unit_test_setup_teardown(a_reconnect_serves_those_for_which_it_has_numbers, enter, leave),
        cmocka_unit_test_setup_teardown(commands_that_come_too_late_are_ended_with_the_consumer, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
