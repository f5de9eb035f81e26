/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_frames: what the host and a worker say to each other, as docs/worker-protocol.md defines it. A frame is a line
 * of words; where its last words are lengths, that many bytes follow, each part with a line feed. Reading and writing
 * need no descriptor. What is read is not trusted: each number and each length is checked against a bound. */
#ifndef PLUGIN_WORKER_FRAMES_H
#define PLUGIN_WORKER_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

#define WORKER_PROTOCOL 1
#define FRAME_LINE_MAX 8192 /* bytes of a line */
#define FRAME_REASON_MAX 4000

enum frame_kind {
    /* both ways */
    FRAME_HELLO,
    /* to the worker */
    FRAME_START,
    FRAME_MSG,
    FRAME_ID,
    FRAME_PAGE,
    FRAME_NOPAGE,
    FRAME_ROOM,
    FRAME_DUE,
    FRAME_CLOSE,
    /* from it */
    FRAME_PLUGIN,
    FRAME_TOPIC,
    FRAME_READY,
    FRAME_CANNOT,
    FRAME_STARTED,
    FRAME_PUB,
    FRAME_DONE,
    FRAME_RETRY,
    FRAME_WRONG,
    FRAME_FAILED,
    FRAME_AGAIN,
    FRAME_LOG,
    FRAME_NOTE,
    FRAME_QUERY,
    FRAME_TIMER,
    FRAME_CANCEL,
    FRAME_DRAINED,
    FRAME_STOPPED,
    FRAME_KINDS
};

enum frame_direction { FRAMES_TO_WORKER = 1, FRAMES_FROM_WORKER = 2 };

/* Bytes that a frame carries. */
struct frame_part {
    bool given;
    bool same;      /* "=": the body of the message that the frame is about */
    const char *at; /* len bytes and a '\0' */
    size_t len;
};

/* Valid until the next call for its reader. */
struct frame {
    enum frame_kind kind;
    uint64_t numbers[3];  /* in the order of the line */
    const char *words[2]; /* the same */
    const char *rest;     /* the end of a line that ends with a text; "" if there is none */
    struct frame_part parts[2];
    const char *line; /* for frame_quote() */
    size_t line_len;
};

struct frame_reader {
    enum frame_direction direction;
    size_t part_max; /* bytes of a part */
    struct text in;
    size_t at;   /* where the next frame begins */
    size_t need; /* bytes from there on that it has, once its line is known */
};

void frame_reader_free(struct frame_reader *reader);

/* Where to read the next bytes to, and then how many there were. */
char *frame_reader_room(struct frame_reader *reader, size_t *room);
void frame_reader_got(struct frame_reader *reader, size_t len);

enum frame_next {
    FRAME_NONE, /* not all of it is there */
    FRAME_HERE,
    FRAME_BAD, /* not a frame of this direction; the fault quotes the line */
};
enum frame_next frame_next(struct frame_reader *reader, struct frame *frame, struct fault *fault)
    __attribute__((warn_unused_result));

/* Appends the line of the frame to the fault. */
void frame_quote(const struct frame *frame, struct fault *fault);

/* ---- writing: the kind, the words of its line in their order, the end of the line, the parts ---- */

void frame_begin(struct text *out, enum frame_kind kind);
void frame_number(struct text *out, uint64_t number);
/* "-" for NULL and for "". A byte that would end a word becomes '_'. */
void frame_word(struct text *out, const char *word);
void frame_same(struct text *out); /* "=" in the place of a length */
void frame_end(struct text *out);
/* The same with a text at the end of the line, cut to FRAME_REASON_MAX, its control characters escaped. */
void frame_end_with(struct text *out, const char *rest);
void frame_part(struct text *out, const char *bytes, size_t len);

#endif
