/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/worker_frames.h"

#include <string.h>

#define READ_ROOM 65536
#define ROOM_KEPT (1 << 20) /* of an empty buffer */
#define NUMBER_MAX 999999999999999999u
#define QUOTED_MAX 200 /* bytes of a line that a fault shows */

/* The arguments of a kind, a letter each: n a number, w a word, l the length of a part, s the same or "=", r the rest
 * of the line. What follows ? may be left out. */
struct form {
    const char *word, *arguments;
    unsigned directions;
};

static const struct form forms[FRAME_KINDS] = {
    [FRAME_HELLO] = {"HELLO", "nw", FRAMES_TO_WORKER | FRAMES_FROM_WORKER},
    [FRAME_START] = {"START", "l", FRAMES_TO_WORKER},
    [FRAME_MSG] = {"MSG", "nwnl?wl", FRAMES_TO_WORKER},
    [FRAME_ID] = {"ID", "w", FRAMES_TO_WORKER},
    [FRAME_PAGE] = {"PAGE", "nl", FRAMES_TO_WORKER},
    [FRAME_NOPAGE] = {"NOPAGE", "n", FRAMES_TO_WORKER},
    [FRAME_ROOM] = {"ROOM", "n", FRAMES_TO_WORKER},
    [FRAME_DUE] = {"DUE", "n", FRAMES_TO_WORKER},
    [FRAME_CLOSE] = {"CLOSE", "n", FRAMES_TO_WORKER},
    [FRAME_PLUGIN] = {"PLUGIN", "wnwl", FRAMES_FROM_WORKER},
    [FRAME_TOPIC] = {"TOPIC", "w", FRAMES_FROM_WORKER},
    [FRAME_READY] = {"READY", "", FRAMES_FROM_WORKER},
    [FRAME_CANNOT] = {"CANNOT", "r", FRAMES_FROM_WORKER},
    [FRAME_STARTED] = {"STARTED", "w", FRAMES_FROM_WORKER},
    [FRAME_PUB] = {"PUB", "nws?l", FRAMES_FROM_WORKER},
    [FRAME_DONE] = {"DONE", "n", FRAMES_FROM_WORKER},
    [FRAME_RETRY] = {"RETRY", "nr", FRAMES_FROM_WORKER},
    [FRAME_WRONG] = {"WRONG", "nr", FRAMES_FROM_WORKER},
    [FRAME_FAILED] = {"FAILED", "nr", FRAMES_FROM_WORKER},
    [FRAME_AGAIN] = {"AGAIN", "nn", FRAMES_FROM_WORKER},
    [FRAME_LOG] = {"LOG", "nwnwl?s", FRAMES_FROM_WORKER},
    [FRAME_NOTE] = {"NOTE", "wr", FRAMES_FROM_WORKER},
    [FRAME_QUERY] = {"QUERY", "nwl", FRAMES_FROM_WORKER},
    [FRAME_TIMER] = {"TIMER", "nnn", FRAMES_FROM_WORKER},
    [FRAME_CANCEL] = {"CANCEL", "n", FRAMES_FROM_WORKER},
    [FRAME_DRAINED] = {"DRAINED", "", FRAMES_FROM_WORKER},
    [FRAME_STOPPED] = {"STOPPED", "", FRAMES_FROM_WORKER},
};

/* ---- reading ---- */

void frame_reader_free(struct frame_reader *reader)
{
    text_free(&reader->in);
    reader->at = reader->need = 0;
}

char *frame_reader_room(struct frame_reader *reader, size_t *room)
{
    struct text *in = &reader->in;
    if (reader->at > 0) { /* the bytes already read are no longer needed */
        in->len -= reader->at;
        memmove(in->at, in->at + reader->at, in->len);
        reader->at = 0;
    }
    if (in->len == 0 && in->room > ROOM_KEPT)
        text_free(in);
    size_t missing = reader->need > in->len ? reader->need - in->len : 0;
    text_reserve(in, missing > READ_ROOM ? missing : READ_ROOM);
    *room = in->room - in->len - 1;
    return in->at + in->len;
}

void frame_reader_got(struct frame_reader *reader, size_t len)
{
    reader->in.len += len;
}

static bool read_number(const char *at, size_t len, uint64_t *number)
{
    uint64_t read = 0;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        read = read * 10 + (uint64_t)(at[i] - '0');
    }
    *number = read;
    return len > 0 && len <= 18;
}

static bool is_word(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)at[i] <= ' ' || at[i] == 0x7f)
            return false;
    return len > 0;
}

static const struct form *find_form(const struct frame_reader *reader, const char *word, size_t len)
{
    for (size_t i = 0; i < FRAME_KINDS; i++)
        if ((forms[i].directions & reader->direction) != 0 && strlen(forms[i].word) == len &&
            memcmp(forms[i].word, word, len) == 0)
            return &forms[i];
    return NULL;
}

/* A line taken apart. The texts are not ended by '\0' yet. */
struct line {
    const char *ends[2]; /* of the words */
    size_t numbers, words, parts;
};

/* One argument of the line. NULL: a good one; otherwise what is wrong with it. */
static const char *read_argument(char letter, const char *at, size_t len, const struct frame_reader *reader,
                                 struct frame *frame, struct line *line)
{
    uint64_t number = 0;
    switch (letter) {
    case 'n':
        if (!read_number(at, len, &number))
            return "a number is expected";
        frame->numbers[line->numbers++] = number;
        return NULL;
    case 'w':
        if (!is_word(at, len))
            return "a word is expected";
        frame->words[line->words] = at;
        line->ends[line->words++] = at + len;
        return NULL;
    default:
        if (letter == 's' && len == 1 && *at == '=') {
            frame->parts[line->parts++] = (struct frame_part){.given = true, .same = true};
            return NULL;
        }
        if (!read_number(at, len, &number))
            return "a length is expected";
        if (number > reader->part_max)
            return "a part is too long";
        frame->parts[line->parts++] = (struct frame_part){.given = true, .len = (size_t)number};
        return NULL;
    }
}

/* Fills in the frame but for its parts' bytes. NULL if the line is good. */
static const char *read_line(const struct frame_reader *reader, const char *at, const char *end, struct frame *frame,
                             struct line *line)
{
    const char *space = memchr(at, ' ', (size_t)(end - at));
    const char *word_end = space == NULL ? end : space;
    const struct form *form = find_form(reader, at, (size_t)(word_end - at));
    if (form == NULL)
        return "no frame begins like this";
    *frame = (struct frame){.kind = (enum frame_kind)(form - forms), .rest = ""};
    *line = (struct line){0};
    bool optional = false;
    at = word_end;
    for (const char *letter = form->arguments; *letter != '\0'; letter++) {
        if (*letter == '?') {
            optional = true;
            continue;
        }
        if (at == end) {
            if (optional || *letter == 'r')
                return NULL;
            return "an argument is missing";
        }
        at++; /* the space */
        if (*letter == 'r') {
            frame->rest = at;
            return NULL;
        }
        space = memchr(at, ' ', (size_t)(end - at));
        word_end = space == NULL ? end : space;
        const char *wrong = read_argument(*letter, at, (size_t)(word_end - at), reader, frame, line);
        if (wrong != NULL)
            return wrong;
        at = word_end;
    }
    return at == end ? NULL : "an argument too many";
}

/* True if the parts are there as the line says, each followed by a line feed. */
static bool take_parts(char *at, struct frame *frame)
{
    for (size_t i = 0; i < 2; i++) {
        struct frame_part *part = &frame->parts[i];
        if (!part->given || part->same)
            continue;
        if (at[part->len] != '\n')
            return false;
        at[part->len] = '\0';
        part->at = at;
        at += part->len + 1;
    }
    return true;
}

static enum frame_next refuse(const char *line, size_t len, const char *wrong, struct fault *fault)
{
    struct text quoted = {0};
    size_t shown = text_cut(line, len, QUOTED_MAX);
    text_put_line(&quoted, line, shown);
    fault_set(fault, "%s: \"%s%s\"", wrong, quoted.at == NULL ? "" : quoted.at, shown < len ? "…" : "");
    text_free(&quoted);
    return FRAME_BAD;
}

/* Reading has ended each word by a zero byte, and no other zero byte is in the line. */
void frame_quote(const struct frame *frame, struct fault *fault)
{
    struct text line = {0};
    text_put(&line, frame->line, frame->line_len);
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '\0')
            line.at[i] = ' ';
    struct fault wrong = *fault;
    (void)refuse(line.at, line.len, wrong.text, fault);
    text_free(&line);
}

static bool has_zero(const char *at, size_t len)
{
    return memchr(at, '\0', len) != NULL;
}

enum frame_next frame_next(struct frame_reader *reader, struct frame *frame, struct fault *fault)
{
    size_t there = reader->in.len - reader->at;
    struct line line;
    if (there == 0 || there < reader->need)
        return FRAME_NONE;
    char *at = reader->in.at + reader->at;
    char *end = memchr(at, '\n', there < FRAME_LINE_MAX ? there : FRAME_LINE_MAX);
    if (end == NULL)
        return there < FRAME_LINE_MAX ? FRAME_NONE : refuse(at, there, "a line is too long", fault);
    const char *wrong =
        has_zero(at, (size_t)(end - at)) ? "a line has a zero byte" : read_line(reader, at, end, frame, &line);
    if (wrong != NULL)
        return refuse(at, (size_t)(end - at), wrong, fault);
    size_t need = (size_t)(end - at) + 1;
    for (size_t i = 0; i < 2; i++)
        if (frame->parts[i].given && !frame->parts[i].same)
            need += frame->parts[i].len + 1;
    if (there < need) {
        reader->need = need;
        return FRAME_NONE;
    }
    if (!take_parts(end + 1, frame))
        return refuse(at, (size_t)(end - at), "no line feed follows the bytes of", fault);
    frame->line = at;
    frame->line_len = (size_t)(end - at);
    *end = '\0';
    for (size_t i = 0; i < line.words; i++)
        at[line.ends[i] - at] = '\0';
    reader->at += need;
    reader->need = 0;
    return FRAME_HERE;
}

/* ---- writing ---- */

void frame_begin(struct text *out, enum frame_kind kind)
{
    text_puts(out, forms[kind].word);
}

void frame_number(struct text *out, uint64_t number)
{
    char digits[24], *at = digits + sizeof digits;
    if (number > NUMBER_MAX)
        number = NUMBER_MAX;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    *--at = ' ';
    text_put(out, at, (size_t)(digits + sizeof digits - at));
}

void frame_word(struct text *out, const char *word)
{
    size_t len = word == NULL ? 0 : strlen(word);
    text_put(out, " ", 1);
    if (len == 0) {
        text_put(out, "-", 1);
        return;
    }
    if (len > FRAME_LINE_MAX / 4)
        len = text_cut(word, len, FRAME_LINE_MAX / 4);
    size_t at = out->len;
    text_put(out, word, len);
    for (; at < out->len; at++)
        if (!is_word(out->at + at, 1))
            out->at[at] = '_';
}

void frame_same(struct text *out)
{
    text_put(out, " =", 2);
}

void frame_end(struct text *out)
{
    text_put(out, "\n", 1);
}

void frame_end_with(struct text *out, const char *rest)
{
    if (rest != NULL && rest[0] != '\0') {
        struct text line = {0};
        text_put_line(&line, rest, text_cut(rest, strlen(rest), FRAME_REASON_MAX));
        text_put(out, " ", 1);
        text_put(out, line.at, text_cut(line.at, line.len, FRAME_REASON_MAX));
        text_free(&line);
    }
    frame_end(out);
}

void frame_part(struct text *out, const char *bytes, size_t len)
{
    text_reserve(out, len + 1);
    text_put(out, bytes, len);
    text_put(out, "\n", 1);
}
