/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * notification: the input is a story for the registration of two components, one event a line. The first character says
 * what happens, the rest of the line is the body:
 *
 *     a A    a notification for the first, the second component
 *     l L    the same, a leftover
 *     r R    the same, redelivered
 *     s S    the same, from an AMQP channel that is gone
 *     o O    the same, larger than the host reads
 *     p      an answer to a query
 *     c f    the oldest publication is confirmed, finds no queue
 *     d      the connection is lost and comes back
 *     m      the MOV goes and comes back
 *     t T    a second, ten seconds go by
 *     k      the host is killed, and started again
 *     q      the host begins to stop
 *
 * Whatever comes, an id that is not one of the MOV's is never taken, kept, or told to anybody; every delivery is
 * settled once; an id that was acknowledged is found again by the next run until it is unregistered; and the end is
 * reached. */
#include "fuzz.h"

#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "mov/registration.h"

#define DELIVERIES_MAX 256

static int64_t now;
static struct registration *registration;
static struct health *health;
static struct log *logs;
static char *health_path, *ledger_path;
static struct list sent; /* publications without an outcome */
static bool leaving;

static struct plugin plugins[] = {
    {.name = "c1_a",
     .type = "C1",
     .registered = "valawai/c1/a/control/registered",
     .file = "a.so",
     .for_mov = "a: 1\n",
     .entry = {.version = "1.2.3", .asyncapi = "a: 1\n"}},
    {.name = "c1_b",
     .type = "C1",
     .registered = "valawai/c1/b/control/registered",
     .file = "b.so",
     .for_mov = "b: 1\n",
     .entry = {.version = "4.5.6", .asyncapi = "b: 1\n"}},
};
static struct subscription answers[2], page, connections;
static struct queries *queries;
static struct component components[2];

/* The outcomes of deliveries, by their tag. */
static struct {
    bool stale;
    unsigned settled;
    enum settlement settlement;
} fates[DELIVERIES_MAX];
static size_t delivery_count;

/* Acknowledged and not unregistered: only the host knows that the MOV has such a component. */
static char known[DELIVERIES_MAX][COMPONENT_ID_LEN + 1];
static size_t known_count;

/* ---- the stand-ins ---- */

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_ms(void)
{
    return now;
}

/* Nothing here survives a power cut. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

void __wrap_consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted);
void __wrap_consumer_want(struct consumer *consumer, struct subscription *subscription, bool wanted)
{
    (void)consumer;
    subscription->wanted = wanted;
}

void __wrap_consumer_sweep(struct consumer *consumer, struct subscription *subscription);
void __wrap_consumer_sweep(struct consumer *consumer, struct subscription *subscription)
{
    (void)consumer;
    subscription->wanted = true;
}

void __wrap_consumer_settle(struct consumer *consumer, struct list *deliveries);
void __wrap_consumer_settle(struct consumer *consumer, struct list *deliveries)
{
    (void)consumer;
    for (struct node *node; (node = list_take(deliveries)) != NULL; free(node)) {
        const struct delivery *delivery = (struct delivery *)node;
        EXPECT(fates[delivery->tag].settled++ == 0, "delivery %d is settled twice", (int)delivery->tag);
        fates[delivery->tag].settlement = delivery->settlement;
    }
}

static bool is_id(const char *text)
{
    return text != NULL && is_component_id(text, strlen(text));
}

/* Ids of queries are known to the inputs. */
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
    (void)flags;
    memset(bytes, 0, len);
    return (ssize_t)len;
}

void __wrap_publisher_send_urgent(struct publisher *publisher, struct publication *publication);
void __wrap_publisher_send_urgent(struct publisher *publisher, struct publication *publication)
{
    (void)publisher;
    struct json_object *body = fuzz_object(publication->body, publication->len);
    bool query = strcmp(publication->topic, "valawai/component/query") == 0;
    EXPECT((publication->sender == NULL) == query && !publication->waits && publication->persistent == !query,
           "sent in another way");
    if (strcmp(publication->topic, UNREGISTER_TOPIC) == 0) {
        EXPECT(is_id(fuzz_member(body, "component_id")), "unregister %s", publication->body);
    } else if (query) {
        const char *id = fuzz_member(body, "id");
        EXPECT(id != NULL && strncmp(id, "0000000000000000-", 17) == 0, "query %s", publication->body);
    } else {
        EXPECT(strcmp(publication->topic, REGISTER_TOPIC) == 0, "something for %s", publication->topic);
    }
    json_object_put(body);
    list_put(&sent, &publication->node);
}

/* ---- what happens ---- */

/* Carries out the commands to the consumer. */
static void obey(void)
{
    for (int i = 0; i < 2; i++) {
        bool wanted = answers[i].wanted;
        if (atomic_exchange(&answers[i].up, wanted) != wanted)
            registration_subscribed(registration, &components[i], wanted);
    }
    atomic_store(&page.up, page.wanted);
}

static void on_confirmed(void *context, struct list *publications)
{
    (void)context;
    for (struct node *node; (node = list_take(publications)) != NULL;)
        registration_confirmed(registration, (struct publication *)node);
}

static void begin(void)
{
    struct component *const all[] = {&components[0], &components[1]};
    health = health_new(fuzz_directory(), "id.json", logs);
    registration = registration_new(all, 2, NULL, health, logs, (struct sender){.confirmed = on_confirmed});
    queries = queries_new(NULL, 0, (struct sender){0});
    queries_use(queries, NULL, (struct subscription *[]){&page, &connections});
    queries_connected(queries, true);
    registration_use(registration, NULL, queries);
    for (int i = 0; i < 2; i++) {
        services_set_id(components[i].services, NULL);
        answers[i].wanted = false;
        atomic_store(&answers[i].up, false);
    }
    page.wanted = false;
    atomic_store(&page.up, false);
    leaving = false;
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
}

static void end(void)
{
    list_free(&sent);
    registration_free(registration);
    queries_free(queries);
    health_free(health);
}

/* The broker takes back unsettled messages; their owner may settle or free them. */
static void take_back(void)
{
    for (size_t i = 0; i < delivery_count; i++)
        fates[i].stale = true;
}

static bool is_known(const char *id)
{
    for (size_t i = 0; i < known_count; i++)
        if (strcmp(known[i], id) == 0)
            return true;
    return false;
}

/* A kill: the next run must find every acknowledged id. */
static void killed(void)
{
    size_t found = 0;
    end();
    take_back();
    char *files[2] = {fuzz_read(health_path), fuzz_read(ledger_path)};
    struct health *next = health_new(fuzz_directory(), "id.json", logs);
    struct legacy left = health_left_behind(next);
    for (size_t i = 0; i < left.id_count; i++)
        EXPECT(is_id(left.ids[i]), "left behind: %s", left.ids[i]);
    for (size_t k = 0; k < known_count; k++) {
        for (found = 0; found < left.id_count && strcmp(left.ids[found], known[k]) != 0;)
            found++;
        EXPECT(found < left.id_count, "%s is lost; health file %s, ledger %s", known[k], files[0], files[1]);
    }
    legacy_free(&left);
    free(files[0]);
    free(files[1]);
    health_free(next);
    begin();
}

static struct delivery *deliver(struct subscription *from, const char *body, size_t len, bool stale)
{
    struct delivery *delivery = delivery_new(len);
    memcpy(delivery->body, body, len);
    delivery->from = from;
    delivery->epoch = (uint32_t)atomic_load(&from->epoch) - stale;
    delivery->tag = delivery_count++;
    fates[delivery->tag].stale = stale;
    fates[delivery->tag].settled = 0;
    return delivery;
}

static void notify(int which, char how, const char *body, size_t len)
{
    struct delivery *delivery = deliver(&answers[which], body, how == 'o' ? 0 : len, how == 's');
    uint64_t tag = delivery->tag;
    delivery->leftover = how == 'l';
    delivery->redelivered = how == 'r';
    delivery->refused = how == 'o' ? UINT64_C(1) << 30 : 0;
    registration_notified(registration, &components[which], delivery);
    if (fates[tag].settled == 0) {
        EXPECT(fates[tag].stale, "a notification is not settled");
        return;
    }
    EXPECT(fates[tag].settlement != SETTLE_PUT_BACK, "a notification comes again and again");
    if (fates[tag].settlement != SETTLE_ACKNOWLEDGE)
        return;
    struct json_object *content = fuzz_object(body, len);
    const char *id = fuzz_member(content, "id");
    EXPECT(how != 'o' && is_id(id), "acknowledged: %.*s", (int)len, body);
    if (!is_known(id))
        snprintf(known[known_count++], sizeof *known, "%s", id);
    json_object_put(content);
}

/* The oldest publication has this outcome. */
static void settle(enum outcome outcome)
{
    struct list one = {0};
    struct publication *publication = (struct publication *)list_take(&sent);
    if (publication == NULL)
        return;
    publication->outcome = outcome;
    for (size_t i = 0; i < known_count && strcmp(publication->topic, UNREGISTER_TOPIC) == 0; i++)
        if (strstr(publication->body, known[i]) != NULL)
            memmove(known[i], known[--known_count], sizeof *known);
    list_put(&one, &publication->node);
    publications_report(&one);
}

static void connection_lost(void)
{
    take_back();
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add(&answers[i].epoch, 1);
        atomic_store(&answers[i].up, false);
        registration_subscribed(registration, &components[i], false);
    }
    atomic_fetch_add(&page.epoch, 1);
    atomic_store(&page.up, false);
    registration_connected(registration, false, true);
    registration_tend(registration, now);
    queries_tend(queries, now);
    registration_connected(registration, true, true);
    registration_mov(registration, 1);
}

static void happen(char what, const char *body, size_t len)
{
    switch (what) {
    case 'a':
    case 'l':
    case 'r':
    case 's':
    case 'o':
        notify(0, what, body, len);
        break;
    case 'A':
    case 'L':
    case 'R':
    case 'S':
    case 'O':
        notify(1, (char)(what - 'A' + 'a'), body, len);
        break;
    case 'p':
        queries_paged(queries, deliver(&page, body, len, false));
        break;
    case 'c':
        settle(OUTCOME_CONFIRMED);
        break;
    case 'f':
        settle(OUTCOME_UNROUTABLE);
        break;
    case 'd':
        connection_lost();
        break;
    case 'm':
        registration_mov(registration, 0);
        registration_tend(registration, now);
        queries_tend(queries, now);
        registration_mov(registration, 1);
        break;
    case 't':
        now += 1000;
        break;
    case 'T':
        now += 10000;
        break;
    case 'k':
        killed();
        break;
    case 'q':
        registration_leave(registration);
        leaving = true;
        break;
    }
}

/* ---- invariants ---- */

/* The number of ids in the ledger. */
static size_t expect_ledger(void)
{
    char *text = fuzz_read(ledger_path);
    size_t count = 0;
    if (text == NULL)
        return 0;
    EXPECT(json_is_value(text, strlen(text), NULL), "the ledger is %s", text);
    /* The former health file, or ids and components without an answer. */
    struct json_object *ids = json_tokener_parse(text);
    bool alone = json_object_is_type(ids, json_type_object);
    EXPECT(alone || json_object_is_type(ids, json_type_array), "the ledger is %s", text);
    for (size_t i = 0; i < (alone ? 1 : json_object_array_length(ids)); i++) {
        struct json_object *id = alone ? ids : json_object_array_get_idx(ids, i), *pending = NULL;
        if (json_object_object_get_ex(id, "pending", &pending)) {
            EXPECT(strncmp(json_object_get_string(pending), "c1_", 3) == 0, "the ledger is %s", text);
            continue;
        }
        count++;
        if (json_object_is_type(id, json_type_object))
            id = json_object_object_get(id, "id");
        EXPECT(json_object_is_type(id, json_type_string) && is_id(json_object_get_string(id)), "the ledger is %s",
               text);
    }
    json_object_put(ids);
    free(text);
    return count;
}

static void expect_sane(void)
{
    int64_t next = registration_tend(registration, now), asked = queries_tend(queries, now);
    next = next < asked ? next : asked;
    EXPECT(next > now && next <= now + 1000, "to be called again in %lld ms", (long long)(next - now));
    obey();
    char *text = registration_text(registration);
    EXPECT(text == NULL || !leaving, "registered, and about to leave");
    EXPECT(text == NULL || json_is_value(text, strlen(text), NULL), "the health file is %s", text);
    health_show(health, text);
    for (int i = 0; i < 2; i++) {
        const char *id = components[i].services->id;
        EXPECT(id[0] == '\0' || is_id(id), "records go out under %s", id);
        EXPECT(text == NULL || id[0] != '\0', "registered without an id");
    }
    free(text);
    expect_ledger();
}

static void expect_end(void)
{
    happen('q', "", 0);
    for (int i = 0; i < 25; i++) { /* the wait for an answer is 20 s */
        now += 1000;
        expect_sane();
        while (sent.head != NULL)
            settle(OUTCOME_CONFIRMED);
    }
    EXPECT(registration_left(registration), "it does not end");
    EXPECT(known_count == 0, "%s is not unregistered", known[0]);
    EXPECT(expect_ledger() == 0 && access(health_path, F_OK) != 0, "an id is left");
    for (size_t i = 0; i < delivery_count; i++)
        EXPECT(fates[i].settled == 1 || fates[i].stale, "delivery %zu is not settled", i);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    logs = fuzz_log();
    health_path = memory_format("%s/id.json", fuzz_directory());
    ledger_path = memory_format("%s.ids", health_path);
    page = (struct subscription){.topic = "valawai/component/page", .kind = SUBSCRIBE_SHARED};
    for (int i = 0; i < 2; i++) {
        answers[i] =
            (struct subscription){.topic = plugins[i].registered, .kind = SUBSCRIBE_ANSWER, .owner = &components[i]};
        components[i] = (struct component){.plugin = &plugins[i],
                                           .services = services_new(&(struct services_options){
                                               .plugin = &plugins[i], .log = logs, .message_max_bytes = 1000}),
                                           .answers = &answers[i]};
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *story = fuzz_string(bytes, len);
    now = 1000000;
    delivery_count = known_count = 0;
    begin();
    expect_sane();
    for (size_t at = 0, events = 0; at < len && events < DELIVERIES_MAX; events++) {
        const char *line = story + at, *line_end = memchr(line, '\n', len - at);
        size_t line_len = line_end == NULL ? len - at : (size_t)(line_end - line);
        if (line_len > 0) {
            happen(line[0], line + 1, line_len - 1);
            expect_sane();
        }
        at += line_len + 1;
    }
    expect_end();
    end();
    free(story);
    return 0;
}
