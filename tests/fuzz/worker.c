/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker: the input is a hostile host: it decides which frames a worker of the host's own gets, and when. The zygote
 * forks the worker, which loads and runs a plugin. Whatever comes, the worker ends by itself: in good order when it is
 * asked to, at once when its host breaks the protocol. It speaks the protocol, and gives each message at most one
 * verdict. */
#include "fuzz.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/memory.h"
#include "plugin/worker_frames.h"
#include "plugin/worker_page.h"
#include "plugin/zygote.h"

#define TOPIC "valawai/c1/fuzz/data/received_message"
#define END_MS 20000
#define STEPS 100 /* each sends one message at most */

static struct zygote *zygote;

/* ---- the coverage of the workers ---- */

static uintptr_t counters, counters_end;

void __real___sanitizer_cov_8bit_counters_init(char *first, char *end);
void __wrap___sanitizer_cov_8bit_counters_init(char *first, char *end);
void __wrap___sanitizer_cov_8bit_counters_init(char *first, char *end)
{
    counters = (uintptr_t)first;
    counters_end = (uintptr_t)end;
    __real___sanitizer_cov_8bit_counters_init(first, end);
}

/* libFuzzer looks at its own process. So the pages that hold nothing but counters are shared with the workers. */
static void share_counters(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (counters + page - 1) / page * page, to = counters_end / page * page;
    EXPECT(from < to, "no counters");
    char *kept = memory_take(to - from);
    memcpy(kept, (void *)from, to - from);
    void *shared = mmap((void *)from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    EXPECT(shared == (void *)from, "the counters cannot be shared");
    memcpy(shared, kept, to - from);
    free(kept);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct fault fault;
    (void)argc, (void)argv;
    share_counters();
    zygote = zygote_start(&fault);
    EXPECT(zygote != NULL, "%s", fault.text);
    return 0;
}

/* ---- one worker ---- */

struct session {
    const uint8_t *at; /* the input that is left */
    size_t left;
    struct offspring offspring;
    int socket;
    struct text out; /* towards the worker */
    struct frame_reader in;
    bool open;     /* the worker's side of the socket */
    bool breaks;   /* a frame that breaks the protocol was sent */
    bool in_doubt; /* arbitrary bytes were sent */
    bool closes;   /* CLOSE was sent */
    bool hangs_up; /* the socket was closed before the end */
    bool stopped;  /* STOPPED has come */
    unsigned next; /* the number of the next message */
    unsigned char sent[STEPS + 1], judged[STEPS + 1];
};

static unsigned take(struct session *session)
{
    if (session->left == 0)
        return 0;
    session->left--;
    return *session->at++;
}

/* ---- frames of the worker ---- */

static void expect_verdict(struct session *session, const struct frame *frame)
{
    uint64_t number = frame->numbers[0];
    if (session->in_doubt)
        return;
    EXPECT(number <= STEPS && session->judged[number] < session->sent[number], "a verdict for the message %llu",
           (unsigned long long)number);
    session->judged[number]++;
}

static void expect_frame(struct session *session, const struct frame *frame)
{
    EXPECT(!session->stopped, "a frame of the kind %d after STOPPED", (int)frame->kind);
    switch (frame->kind) {
    case FRAME_DONE:
    case FRAME_RETRY:
    case FRAME_WRONG:
    case FRAME_FAILED:
        expect_verdict(session, frame);
        break;
    case FRAME_STOPPED:
        session->stopped = true;
        break;
    default:
        break;
    }
}

static void receive(struct session *session)
{
    struct frame frame;
    struct fault fault;
    enum frame_next next;
    size_t room;
    char *to = frame_reader_room(&session->in, &room);
    ssize_t len = recv(session->socket, to, room, MSG_DONTWAIT);
    if (len <= 0) {
        session->open = len < 0;
        return;
    }
    frame_reader_got(&session->in, (size_t)len);
    while ((next = frame_next(&session->in, &frame, &fault)) == FRAME_HERE)
        expect_frame(session, &frame);
    EXPECT(next != FRAME_BAD, "%s", fault.text);
}

/* ---- frames for the worker ---- */

/* Waits for the worker, at most until that time. The timer of libFuzzer interrupts waits. */
static short await(struct session *session, short events, int64_t until, const char *fault)
{
    struct pollfd fd = {.fd = session->socket, .events = events};
    while (poll(&fd, 1, 100) != 1)
        EXPECT(clock_ms() < until, "%s%s", fault, session->stopped ? ", after STOPPED" : "");
    EXPECT(clock_ms() < until, "%s: it says too much", fault);
    return fd.revents;
}

/* Sends the frames and reads meanwhile, as a host does. */
static void transmit(struct session *session)
{
    size_t at = 0;
    int64_t until = clock_ms() + END_MS;
    while (session->open && at < session->out.len) {
        short ready = await(session, POLLIN | POLLOUT, until, "the worker neither reads nor ends");
        ssize_t sent = send(session->socket, session->out.at + at, session->out.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        if ((ready & (POLLIN | POLLHUP)) != 0)
            receive(session);
    }
    text_clear(&session->out);
}

static void put_numbers(struct session *session, enum frame_kind kind, uint64_t number)
{
    frame_begin(&session->out, kind);
    frame_number(&session->out, number);
    frame_end(&session->out);
}

static void put_bytes(struct session *session, struct text *bytes, size_t most)
{
    for (size_t len = take(session) % (most + 1); len > 0 && session->left > 0; len--)
        text_put(bytes, (const char[]){(char)take(session)}, 1);
}

static void put_content(struct session *session, struct text *body)
{
    static const char letters[] = "pquxblahrwfTN.";
    text_puts(body, "{\"content\":\"");
    for (unsigned count = take(session) % 6; count > 0; count--)
        text_put(body, letters + take(session) % (sizeof letters - 1), 1);
    text_puts(body, "\"}");
}

static void put_message(struct session *session, uint64_t number)
{
    struct text *out = &session->out, body = {0}, properties = {0};
    unsigned way = take(session);
    if ((way & 15) == 0)
        put_bytes(session, &body, 60);
    else
        put_content(session, &body);
    if ((way & 16) != 0) /* delivery mode, headers with one text, or anything */
        text_put(&properties, "\x30\x00\x00\x00\x00\x08\x01\x61S\x00\x00\x00\x01z\x02", 15);
    if ((way & 32) != 0)
        put_bytes(session, &properties, 60);
    bool known = (way & 0xc0) != 0 || take(session) % 8 != 0;
    frame_begin(out, FRAME_MSG);
    frame_number(out, number);
    frame_word(out, known ? TOPIC : "another/topic");
    frame_number(out, take(session) % 4);
    frame_number(out, body.len);
    if (properties.len > 0 || (way & 64) != 0)
        frame_word(out, (way & 64) != 0 ? "redelivered" : NULL);
    if (properties.len > 0)
        frame_number(out, properties.len);
    frame_end(out);
    frame_part(out, body.at == NULL ? "" : body.at, body.len);
    if (properties.len > 0)
        frame_part(out, properties.at, properties.len);
    session->breaks = session->breaks || !known;
    session->in_doubt = session->in_doubt || number > STEPS;
    if (number <= STEPS)
        session->sent[number]++;
    text_free(&body);
    text_free(&properties);
}

static void put_id(struct session *session)
{
    struct text id = {0};
    put_bytes(session, &id, 200);
    frame_begin(&session->out, FRAME_ID);
    frame_word(&session->out, id.at);
    frame_end(&session->out);
    text_free(&id);
}

static void put_page(struct session *session)
{
    struct text page = {0};
    put_bytes(session, &page, 100);
    frame_begin(&session->out, FRAME_PAGE);
    frame_number(&session->out, take(session) % 8);
    frame_number(&session->out, page.len);
    frame_end(&session->out);
    frame_part(&session->out, page.at == NULL ? "" : page.at, page.len);
    text_free(&page);
}

static void put_out_of_place(struct session *session)
{
    static const char *const lines[] = {"DUE 1\n", "HELLO 1 x\n", "START 2\n{}\n",           "DONE 1\n", "ROOM x\n",
                                        "\n",      "CLOSE\n",     "MSG 1 t 1 99999999999\n", "GARBAGE\n"};
    text_puts(&session->out, lines[take(session) % (sizeof lines / sizeof *lines)]);
    session->breaks = true;
}

static void put_close(struct session *session)
{
    put_numbers(session, FRAME_CLOSE, take(session));
    session->closes = true;
}

/* False: the host hangs up. */
static bool put_step(struct session *session)
{
    switch (take(session) % 20) {
    case 0:
        put_message(session, take(session) % 2 == 0 ? take(session) % (STEPS + 1) : UINT64_MAX);
        break;
    case 1:
        put_id(session);
        break;
    case 2:
        put_page(session);
        break;
    case 3:
        put_numbers(session, FRAME_NOPAGE, take(session) % 8);
        break;
    case 4:
        put_numbers(session, FRAME_ROOM, take(session) % 4 == 0 ? UINT64_MAX : take(session));
        break;
    case 5:
        if (take(session) % 4 == 0)
            put_out_of_place(session);
        break;
    case 6:
        session->in_doubt = true;
        put_bytes(session, &session->out, 60);
        break;
    case 7:
    case 8:
        transmit(session);
        poll(&(struct pollfd){.fd = session->socket, .events = POLLIN}, 1, (int)(take(session) % 8));
        break;
    case 9:
        if (take(session) % 4 == 0)
            put_close(session);
        break;
    case 10:
        return take(session) % 8 != 0;
    default:
        put_message(session, session->next++);
        break;
    }
    return true;
}

/* Most settings are good, because others end the worker. */
static void put_start(struct session *session)
{
    struct text *out = &session->out, settings = {0};
    unsigned way = take(session);
    frame_begin(out, FRAME_HELLO);
    frame_number(out, WORKER_PROTOCOL);
    frame_word(out, "fuzz");
    frame_end(out);
    if (way % 16 == 15) {
        session->in_doubt = true;
        put_bytes(session, &settings, 100);
    } else {
        text_printf(&settings,
                    "{\"options\":%s,\"validate\":\"%s\",\"attempts\":%u,\"threads\":%u,\"message_max_bytes\":65536,"
                    "\"level\":\"DEBUG\"}",
                    way % 16 == 14 ? "{\"fails\":7}" : "null", (way & 16) != 0 ? "strict" : "off", 1 + (way >> 5 & 1),
                    (way & 64) != 0 ? 3u : 1u);
    }
    frame_begin(out, FRAME_START);
    frame_number(out, settings.len);
    frame_end(out);
    frame_part(out, settings.at == NULL ? "" : settings.at, settings.len);
    text_free(&settings);
}

/* ---- */

static void fork_worker(struct session *session)
{
    struct fault fault = {""};
    int ends[2], page = memfd_create("fuzz", MFD_CLOEXEC);
    EXPECT(page >= 0 && ftruncate(page, sizeof(struct worker_page)) == 0 &&
               socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0,
           "no descriptors");
    struct seed seed = {.path = WORKER_PLUGIN, .socket = ends[1], .page = page};
    EXPECT(zygote_fork(zygote, &seed, &session->offspring, &fault), "%s", fault.text);
    close(ends[1]);
    close(page);
    session->socket = ends[0];
}

static void expect_end(struct session *session)
{
    struct offspring_end end;
    int64_t until = clock_ms() + END_MS;
    while (!offspring_ended(&session->offspring, 100, &end))
        EXPECT(clock_ms() < until && session->offspring.end >= 0, "its socket is closed, and the worker does not end");
    bool in_order = WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0;
    bool at_once = WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGKILL;
    EXPECT(in_order || at_once, "the worker ends with the status %x", (unsigned)end.status);
    EXPECT(in_order || session->breaks || session->in_doubt || session->hangs_up,
           "it ends at once, although all is well");
    EXPECT(at_once || session->stopped || session->hangs_up, "it ends without STOPPED");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct session session = {.at = bytes, .left = len, .open = true, .next = 1};
    session.in = (struct frame_reader){.direction = FRAMES_FROM_WORKER, .part_max = 8 << 20};
    fork_worker(&session);
    put_start(&session);
    bool goes_on = true;
    for (int steps = 0; goes_on && steps < STEPS && session.left > 0; steps++)
        goes_on = put_step(&session);
    if (goes_on && !session.closes)
        put_numbers(&session, FRAME_CLOSE, 20);
    transmit(&session);
    session.hangs_up = !goes_on || session.in_doubt; /* of the latter, CLOSE may have become a part of a frame */
    if (session.hangs_up)
        shutdown(session.socket, SHUT_RDWR);
    int64_t until = clock_ms() + END_MS;
    while (session.open) {
        await(&session, POLLIN, until, "the worker does not end");
        receive(&session);
    }
    expect_end(&session);
    close(session.socket);
    frame_reader_free(&session.in);
    text_free(&session.out);
    return 0;
}
