/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "broker/consumer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/thread.h"
#include "broker/channel.h"
#include "broker/link.h"
#include "broker/watch.h"

#define WATCH_CHANNEL 1   /* the channels of the subscriptions follow */
#define IDLE_MS 1000      /* the longest sleep, for the heartbeats */
#define RELEASE_FRAMES 64 /* frames read before their memory is released */
#define LEFT_MS 20        /* between two counts of the deliveries of a subscription that has ended */

/* A command of another thread for a subscription. */
struct command {
    struct node node;
    enum { COMMAND_WANT, COMMAND_ADD, COMMAND_REMOVE } kind;
    struct channel *channel;
    enum channel_want want;
    int64_t until_ms; /* of COMMAND_REMOVE */
};

struct consumer {
    struct consumer_options options;
    char name[256]; /* of the connection */
    struct link link;
    struct receiver receiver;
    struct watch watch;
    struct channel **channels; /* by number, from WATCH_CHANNEL + 1 on; NULL: the number is free */
    size_t channel_count;
    size_t leaving;          /* channels of subscriptions that end */
    struct channel *left;    /* those that have no number any more, whose deliveries are out */
    struct channel *touched; /* channels of the current batch of settlements */

    struct queue settlements; /* its descriptor wakes the thread for every purpose */
    struct queue commands;
    atomic_bool stopping;

    pthread_t thread;
};

static struct channel *channel_by_number(struct consumer *consumer, amqp_channel_t number)
{
    size_t index = (size_t)number - WATCH_CHANNEL - 1;
    return number > WATCH_CHANNEL && index < consumer->channel_count ? consumer->channels[index] : NULL;
}

/* ---- subscriptions that come and go ---- */

static void free_channel(struct channel *channel)
{
    if (channel == NULL)
        return;
    channel_destroy(channel);
    free(channel);
}

/* Gives the channel the lowest free number. */
static void seat(struct consumer *consumer, struct channel *channel)
{
    size_t index = 0;
    while (index < consumer->channel_count && consumer->channels[index] != NULL)
        index++;
    if (index == consumer->channel_count) {
        consumer->channels = memory_resize(consumer->channels, (index + 1) * sizeof(struct channel *));
        consumer->channel_count++;
    }
    consumer->channels[index] = channel;
    channel->number = WATCH_CHANNEL + 1 + index;
}

static void unseat(struct consumer *consumer, struct channel *channel)
{
    consumer->channels[channel->number - WATCH_CHANNEL - 1] = NULL;
    while (consumer->channel_count > 0 && consumer->channels[consumer->channel_count - 1] == NULL)
        consumer->channel_count--;
    channel->number = 0;
}

/* True if the connection allows the channel's number, or if there is a lower one. */
static bool has_room(struct consumer *consumer, struct channel *channel)
{
    size_t most = (size_t)connection_channel_max(consumer->receiver.connection);
    if (channel->number <= most)
        return true;
    unseat(consumer, channel);
    seat(consumer, channel);
    if (channel->number <= most || channel->reported || channel->want == WANT_NOTHING)
        return channel->number <= most;
    log_error(
        consumer->options.log, "host",
        "%s: is not consumed, because channel_max of the broker allows %zu AMQP channels in a connection, and each "
        "topic needs one; raise it and restart the host, or load fewer plugins in one host",
        channel->subscription->topic, most);
    channel->reported = true;
    return false;
}

/* Works without a connection, too. */
static void see_off(struct consumer *consumer, int64_t now)
{
    for (size_t i = 0; consumer->leaving > 0 && i < consumer->channel_count; i++) {
        struct channel *channel = consumer->channels[i];
        if (channel == NULL || !channel_has_left(channel, now))
            continue;
        unseat(consumer, channel);
        consumer->receiver.due = 0; /* a channel beyond channel_max may take the number */
        consumer->leaving--;
        channel->next = consumer->left;
        consumer->left = channel;
    }
    for (struct channel **place = &consumer->left, *channel; (channel = *place) != NULL;) {
        struct subscription *subscription = channel->subscription;
        if (channel_out(channel) > 0) {
            place = &channel->next;
            continue;
        }
        *place = channel->next;
        free_channel(channel);
        subscription->channel = NULL;
        consumer->options.events->removed(consumer->options.context, subscription);
    }
    if (consumer->left != NULL && consumer->receiver.due > now + LEFT_MS)
        consumer->receiver.due = now + LEFT_MS;
}

/* ---- commands of other threads ---- */

static void take_commands(struct consumer *consumer)
{
    struct list commands = queue_take(&consumer->commands);
    for (struct node *node; (node = list_take(&commands)) != NULL; free(node)) {
        const struct command *command = (const struct command *)node;
        struct channel *channel = command->channel;
        switch (command->kind) {
        case COMMAND_ADD:
            see_off(consumer, clock_ms()); /* the number may be free by now */
            seat(consumer, channel);
            break;
        case COMMAND_REMOVE:
            channel_leave(channel, command->until_ms);
            consumer->leaving++;
            break;
        case COMMAND_WANT:
            if (command->want != WANT_LEFTOVERS || channel->want == WANT_NOTHING)
                channel->want = command->want;
            break;
        }
        consumer->receiver.due = 0;
    }
}

/* There may be many channels, so this runs only when one of them is due. */
static bool tend_channels(struct consumer *consumer, int64_t now, struct fault *fault)
{
    if (now < consumer->receiver.due)
        return true;
    consumer->receiver.due = INT64_MAX;
    see_off(consumer, now);
    for (size_t i = 0; i < consumer->channel_count; i++) {
        struct channel *channel = consumer->channels[i];
        if (channel != NULL && has_room(consumer, channel) && !channel_tend(channel, now, fault))
            return false;
    }
    return true;
}

static void end_delivery(struct consumer *consumer, struct delivery *delivery)
{
    delivery->from->channel->out--;
    delivery_end(&consumer->receiver.spares, delivery);
}

static void end_deliveries(struct consumer *consumer, struct list *deliveries)
{
    for (struct node *node; (node = list_take(deliveries)) != NULL;)
        end_delivery(consumer, (struct delivery *)node);
}

/* Ends all deliveries of the list, even if the connection breaks in the middle: then all are stale. */
static bool settle(struct consumer *consumer, struct list *deliveries, struct fault *fault)
{
    bool sent = true;
    int64_t now = deliveries->head == NULL ? 0 : clock_us();
    for (struct node *node; (node = list_take(deliveries)) != NULL; end_delivery(consumer, (struct delivery *)node)) {
        const struct delivery *delivery = (const struct delivery *)node;
        if (!sent || delivery_is_stale(delivery))
            continue;
        struct channel *channel = delivery->from->channel;
        if (!channel->touched)
            channel->next_touched = consumer->touched, consumer->touched = channel;
        channel->touched = true;
        sent = channel_settle(channel, delivery, now, fault);
    }
    for (; sent && consumer->touched != NULL; consumer->touched = consumer->touched->next_touched)
        sent = channel_settled(consumer->touched, fault);
    return sent;
}

/* ---- what the broker sends ---- */

/* Adjacent deliveries of one subscription are passed on together. */
static void hand_over(struct consumer *consumer)
{
    struct subscription *subscription = NULL;
    struct list same = {0};
    for (struct node *node; (node = list_take(&consumer->receiver.batch)) != NULL;) {
        struct subscription *from = ((struct delivery *)node)->from;
        if (from != subscription && subscription != NULL)
            subscription->delivered(subscription, &same);
        subscription = from;
        list_put(&same, node);
    }
    if (subscription != NULL)
        subscription->delivered(subscription, &same);
}

static bool on_frame(struct consumer *consumer, const amqp_frame_t *frame, struct fault *fault)
{
    struct channel *channel = channel_by_number(consumer, frame->channel);
    bool changed = false;
    if (channel != NULL)
        return channel_frame(channel, frame, fault);
    if (frame->channel != WATCH_CHANNEL || frame->frame_type != AMQP_FRAME_METHOD)
        return true;
    if (!watch_method(&consumer->watch, consumer->receiver.connection, frame, &changed, fault))
        return false;
    if (changed)
        consumer->options.events->watched(consumer->options.context, (unsigned)consumer->watch.consumers);
    return true;
}

static bool read_frames(struct consumer *consumer, struct fault *fault)
{
    struct connection *connection = consumer->receiver.connection;
    unsigned kept = 0;
    do {
        amqp_frame_t frame;
        switch (connection_frame(connection, &frame, fault)) {
        case FRAME_NONE:
            goto out;
        case FRAME_LOST:
            return false;
        case FRAME_GOT:
            if (!on_frame(consumer, &frame, fault))
                return false;
        }
        if (++kept == RELEASE_FRAMES) {
            connection_release(connection);
            hand_over(consumer);
            kept = 0;
        }
    } while (connection_has_frames(connection));
out:
    connection_release(connection);
    hand_over(consumer);
    return true;
}

/* ---- the thread ---- */

/* When there is work again, if no frame arrives. */
static int64_t next_deadline(const struct consumer *consumer, int64_t now, int64_t tend_at)
{
    const int64_t dues[] = {tend_at, watch_due(&consumer->watch), consumer->receiver.due};
    int64_t next = now + IDLE_MS;
    for (size_t i = 0; i < sizeof dues / sizeof *dues; i++)
        next = dues[i] < next ? dues[i] : next;
    return next < now ? now : next;
}

/* False: only other threads woke it, and there is nothing to read. */
static bool sleep_until(struct consumer *consumer, int64_t deadline)
{
    struct connection *connection = consumer->receiver.connection;
    if (!queue_sleep(&consumer->settlements))
        return true;
    struct pollfd fds[] = {
        {.fd = consumer->settlements.fd, .events = POLLIN},
        {.fd = connection_is_open(connection) ? connection_fd(connection) : -1, .events = POLLIN},
    };
    int64_t delay = deadline - clock_ms();
    int ready = poll(fds, 2, delay < 0 ? 0 : (int)delay);
    queue_slept(&consumer->settlements);
    return ready <= 0 || fds[1].revents != 0;
}

static void connection_lost(struct consumer *consumer, const char *why)
{
    struct receiver *receiver = &consumer->receiver;
    log_warning(receiver->log, "host", "lost the receiving connection to %s: %s", connection_peer(receiver->connection),
                why);
    connection_drop(receiver->connection);
    end_deliveries(consumer, &receiver->batch);
    for (size_t i = 0; i < consumer->channel_count; i++)
        if (consumer->channels[i] != NULL)
            channel_lost(consumer->channels[i]);
    receiver->due = 0;
    receiver->consumer_tags = 0;
    consumer->touched = NULL;
    watch_lost(&consumer->watch);
    consumer->options.events->connected(consumer->options.context, NULL);
}

/* Returns unsettled messages before it closes the connection, because the close would count as a further return of
 * each. */
static void say_goodbye(struct consumer *consumer)
{
    bool sent = true;
    for (size_t i = 0; sent && i < consumer->channel_count; i++)
        sent = consumer->channels[i] == NULL || channel_return_all(consumer->channels[i], NULL);
    connection_close(consumer->receiver.connection);
}

/* One connection, from the first frame to the last. */
static void serve(void *context)
{
    struct consumer *consumer = context;
    struct connection *connection = consumer->receiver.connection;
    struct fault fault = {"?"};
    bool alive = true, look = true;
    while (alive) {
        bool stopping = atomic_load(&consumer->stopping);
        int64_t now = clock_ms();
        /* Settlements are taken before commands. A thread that ends a subscription and then settles its deliveries
         * relies on that order. */
        struct list settlements = queue_take(&consumer->settlements);
        take_commands(consumer);
        alive = tend_channels(consumer, now, &fault);
        alive = settle(consumer, &settlements, &fault) && alive;
        if (alive && stopping) {
            say_goodbye(consumer);
            return;
        }
        alive =
            alive && watch_tend(&consumer->watch, connection, now, &fault) && (!look || read_frames(consumer, &fault));
        now = clock_ms();
        int64_t tend_at = alive ? connection_tend(connection, now, &fault) : -1;
        alive = tend_at >= 0;
        if (alive)
            look = sleep_until(consumer, next_deadline(consumer, now, tend_at));
    }
    connection_lost(consumer, fault.text);
}

/* Without a connection. */
static void rest(void *context, int64_t until_ms)
{
    struct consumer *consumer = context;
    while (!atomic_load(&consumer->stopping) && clock_ms() < until_ms) {
        int64_t due = consumer->leaving > 0 || consumer->left != NULL ? clock_ms() + LEFT_MS : until_ms;
        sleep_until(consumer, due < until_ms ? due : until_ms);
        struct list stale = queue_take(&consumer->settlements);
        take_commands(consumer);
        end_deliveries(consumer, &stale);
        see_off(consumer, clock_ms());
    }
}

/* Each subscription needs an AMQP channel, and the watch needs one more. Later connections serve those that they can
 * (has_room()). */
static bool suits(void *context, struct fault *why)
{
    struct consumer *consumer = context;
    size_t needed = consumer->channel_count + WATCH_CHANNEL;
    int most = connection_channel_max(consumer->receiver.connection);
    return consumer->link.has_been_connected || needed <= (size_t)most ||
           fault_set(why,
                     "broker %s: %zu AMQP channels are needed (one for each topic, and a few more), and channel_max "
                     "allows %d in a connection; raise it, or load fewer plugins in one host",
                     connection_peer(consumer->receiver.connection), needed, most);
}

static void connected(void *context)
{
    struct consumer *consumer = context;
    char version[CONNECTION_VERSION_SIZE];
    log_info(consumer->options.log, "host", "connected to the broker at %s",
             connection_peer(consumer->receiver.connection));
    connection_version(consumer->receiver.connection, version, sizeof version);
    consumer->options.events->connected(consumer->options.context, version);
}

static void gave_up(void *context, const char *why)
{
    struct consumer *consumer = context;
    consumer->options.events->gave_up(consumer->options.context, why);
}

static const struct link_events link_events = {
    .thread = "vh-consumer",
    .suits = suits,
    .connected = connected,
    .serve = serve,
    .rest = rest,
    .gave_up = gave_up,
};

static void *consumer_run(void *argument)
{
    struct consumer *consumer = argument;
    link_run(&consumer->link);
    return NULL;
}

static struct channel *new_channel(struct consumer *consumer, struct subscription *subscription)
{
    struct channel *channel = memory_new(sizeof *channel);
    channel_init(channel, &consumer->receiver, subscription, 0);
    return channel;
}

struct consumer *consumer_new(const struct consumer_options *options, struct subscription *const *subscriptions,
                              size_t count)
{
    struct consumer *consumer = memory_new(sizeof *consumer);
    consumer->options = *options;
    snprintf(consumer->name, sizeof consumer->name, "valawai-host %s receives", options->components);
    consumer->receiver = (struct receiver){
        .connection = connection_new(&consumer->options.broker, consumer->name),
        .log = options->log,
        .prefetch = options->prefetch,
        .message_max_bytes = options->message_max_bytes,
        .delivery_limit = options->delivery_limit,
    };
    consumer->link = (struct link){
        .connection = consumer->receiver.connection,
        .broker = &consumer->options.broker,
        .log = options->log,
        .is_first_bounded = true,
        .stopping = &consumer->stopping,
        .events = &link_events,
        .context = consumer,
    };
    watch_init(&consumer->watch, options->watched_queue, WATCH_CHANNEL);
    queue_init(&consumer->settlements, true);
    queue_init(&consumer->commands, false);
    for (size_t i = 0; i < count; i++)
        seat(consumer, new_channel(consumer, subscriptions[i]));
    return consumer;
}

void consumer_start(struct consumer *consumer)
{
    consumer->thread = thread_start(consumer_run, consumer);
}

static void command(struct consumer *consumer, struct command what)
{
    struct command *command = memory_new(sizeof *command);
    *command = what;
    queue_put(&consumer->commands, &command->node);
    queue_wake(&consumer->settlements);
}

void consumer_add(struct consumer *consumer, struct subscription *subscription)
{
    command(consumer, (struct command){.kind = COMMAND_ADD, .channel = new_channel(consumer, subscription)});
}

void consumer_remove(struct consumer *consumer, struct subscription *subscription, int64_t until_ms)
{
    command(consumer, (struct command){.kind = COMMAND_REMOVE, .channel = subscription->channel, .until_ms = until_ms});
}

void consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted)
{
    command(consumer,
            (struct command){.channel = subscription->channel, .want = wanted ? WANT_MESSAGES : WANT_NOTHING});
}

void consumer_sweep(struct consumer *consumer, struct subscription *subscription)
{
    command(consumer, (struct command){.channel = subscription->channel, .want = WANT_LEFTOVERS});
}

void consumer_settle(struct consumer *consumer, struct list *deliveries)
{
    queue_join(&consumer->settlements, deliveries);
}

bool consumer_stop(struct consumer *consumer, int64_t until_ms)
{
    atomic_store(&consumer->stopping, true);
    connection_give_up(consumer->link.connection);
    queue_wake(&consumer->settlements);
    return thread_join(consumer->thread, until_ms);
}

void consumer_free(struct consumer *consumer)
{
    if (consumer == NULL)
        return;
    struct list commands = queue_take(&consumer->commands); /* the thread has not taken these */
    for (struct node *node; (node = list_take(&commands)) != NULL; free(node))
        if (((struct command *)node)->kind == COMMAND_ADD)
            free(((struct command *)node)->channel);
    for (size_t i = 0; i < consumer->channel_count; i++)
        free_channel(consumer->channels[i]);
    for (struct channel *channel = consumer->left, *next; channel != NULL; channel = next) {
        next = channel->next;
        free_channel(channel);
    }
    free(consumer->channels);
    list_free(&consumer->receiver.batch);
    list_free(&consumer->receiver.spares.list);
    connection_free(consumer->receiver.connection);
    queue_destroy(&consumer->commands);
    queue_destroy(&consumer->settlements);
    free(consumer);
}
