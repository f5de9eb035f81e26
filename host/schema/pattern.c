/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Regular expressions, by PCRE2 configured to resemble ECMA-262. The only user of PCRE2. Some expressions take
 * unlimited time, so every match has a limit, and its cost is subtracted from the budget of the check. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "schema/parts.h"

/* Bounds on the patterns of one set of schemas. */
#define PATTERNS_MAX 2000
#define PATTERN_SOURCE_MAX 8192
#define PATTERNS_BYTES_MAX ((size_t)16 << 20)

/* Memory of the interpreter when the compiled code cannot finish on its small stack. Each checking thread may use this
 * much. More would help reasonable patterns on texts of megabytes, but running out of memory ends the process and the
 * message comes again, while a refusal settles it. */
#define MATCH_HEAP_KIB 16384U

/* The most characters that PCRE2 may read between two checks of the clock, and the time of all matches of one check, in
 * the time of the thread. Only a hostile expression comes near to it; usually the budget is used up before. */
#define CHARACTERS_PER_LOOK ((size_t)1 << 26)
#define CALLS_PER_LOOK_MAX ((size_t)1024)
#define MATCH_SECONDS 1

/* The cost of the shortest match, because not all of its work passes through the counted items. */
#define COST_OF_MATCH 3

struct pattern {
    const struct patterns *set;
    pcre2_code *code;
    char *source;
};

struct patterns {
    pcre2_compile_context *context;
    struct pattern **at;
    size_t count;
    size_t bytes;
};

struct patterns *patterns_new(void)
{
    struct patterns *patterns = memory_new(sizeof *patterns);
    patterns->context = memory_got(pcre2_compile_context_create(NULL));
    pcre2_set_max_pattern_length(patterns->context, PATTERN_SOURCE_MAX);
    pcre2_set_newline(patterns->context, PCRE2_NEWLINE_ANYCRLF);
    pcre2_set_compile_extra_options(patterns->context, PCRE2_EXTRA_ALT_BSUX);
    return patterns;
}

static void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern->source);
    free(pattern);
}

void patterns_free(struct patterns *patterns)
{
    if (patterns == NULL)
        return;
    for (size_t i = 0; i < patterns->count; i++)
        pattern_free(patterns->at[i]);
    free(patterns->at);
    pcre2_compile_context_free(patterns->context);
    free(patterns);
}

const char *pattern_source(const struct pattern *pattern)
{
    return pattern->source;
}

static size_t code_size(const pcre2_code *code)
{
    size_t size = 0;
    size_t jit_size = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
    pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &jit_size);
    return size + jit_size;
}

/* True if an escape for a class of characters begins here: \w, \p{…} */
static bool is_class_escape(const char *at, const char *end)
{
    return end - at >= 2 && at[0] == '\\' && at[1] != '\0' && strchr("dDsSwWpP", at[1]) != NULL;
}

/* Between brackets PCRE2 and ECMA-262 differ in two common constructs: in ECMA-262 a hyphen beside a class is literal
 * ([\w-.]), where PCRE2 sees an invalid range; and [: has no special meaning. And \v is one character, not all vertical
 * white space. */
static void put_as_pcre2(struct text *text, const char *source, size_t length)
{
    const char *const end = source + length;
    bool inside = false, after_class = false;
    const char *first = NULL; /* in the brackets */
    for (const char *at = source; at < end; at++) {
        bool last = at + 1 < end && at[1] == ']';
        bool hyphen = inside && *at == '-' && at != first && !last && (after_class || is_class_escape(at + 1, end));
        bool bracket = inside && *at == '[' && at + 1 < end && at[1] != '\0' && strchr(":.=", at[1]) != NULL;
        after_class = inside && is_class_escape(at, end);
        if (hyphen || bracket)
            text_puts(text, "\\");
        text_put(text, at, 1);
        if (*at == '\\' && at + 1 < end) {
            bool property = after_class && (at[1] == 'p' || at[1] == 'P') && at + 2 < end && at[2] == '{';
            at++;
            text_put(text, *at == 'v' ? "x0b" : at, *at == 'v' ? 3 : 1);
            while (property && at + 1 < end && *at != '}')
                text_put(text, ++at, 1);
        } else if (*at == '[' && !inside) {
            inside = true;
            first = at + 1 < end && at[1] == '^' ? at + 2 : at + 1;
        } else if (*at == ']') {
            inside = false;
        }
    }
}

/* True if the pattern uses an extension of PCRE2. Other readers refuse such a document or interpret it differently (for
 * some \Z is the letter). *what points to the extension, with its length. */
static bool has_foreign(const char *source, size_t length, const char **what, size_t *what_length)
{
    static const char *const groups[] = {"?:", "?=", "?!", "?<"};
    bool inside = false;
    for (size_t i = 0; i < length; i++) {
        const char *at = source + i;
        size_t rest = length - i;
        *what = at;
        *what_length = 2;
        if (*at == '\\' && rest > 1) {
            bool letter = (at[1] >= 'a' && at[1] <= 'z') || (at[1] >= 'A' && at[1] <= 'Z');
            if (letter && strchr("bBcdDfknpPrsStuvwWx", at[1]) == NULL)
                return true;
            i++;
        } else if (inside || *at == '[') {
            inside = *at != ']';
        } else if (*at == '(' && rest > 1 && at[1] == '*') {
            return true;
        } else if (*at == '(' && rest > 2 && at[1] == '?') {
            bool known = false;
            for (size_t j = 0; j < sizeof groups / sizeof groups[0]; j++)
                known |= strncmp(at + 1, groups[j], 2) == 0;
            *what_length = 3;
            if (!known)
                return true;
        }
    }
    return false;
}

static pcre2_code *compile(const struct patterns *patterns, const char *source, size_t length, struct fault *fault)
{
    const uint32_t options = PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
    int error = 0;
    size_t offset = 0;
    struct text text = {0};
    const char *foreign = NULL;
    size_t foreign_length = 0;
    if (has_foreign(source, length, &foreign, &foreign_length)) {
        text_put_line(&text, foreign, text_cut(foreign, foreign_length, foreign_length));
        fault_set(fault, "is not a regular expression of ECMA 262: %s, at character %zu", text.at,
                  (size_t)(foreign - source) + 1);
        text_free(&text);
        return NULL;
    }
    text_puts(&text, "");
    put_as_pcre2(&text, source, length);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text.at, text.len, options, &error, &offset, patterns->context);
    text_free(&text);
    if (code == NULL) {
        PCRE2_UCHAR message[160] = "";
        pcre2_get_error_message(error, message, sizeof message);
        fault_set(fault, "is not a regular expression: %s, at character %zu", (const char *)message, offset + 1);
    }
    return code;
}

const struct pattern *patterns_add(struct patterns *patterns, const char *source, size_t length, struct fault *fault)
{
    if (patterns->count == PATTERNS_MAX || patterns->bytes > PATTERNS_BYTES_MAX) {
        fault_set(fault, "is one regular expression too many");
        return NULL;
    }
    pcre2_code *code = compile(patterns, source, length, fault);
    if (code == NULL)
        return NULL;
    /* Without it (where no memory may be executable) matching is slower, with the same results. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);

    struct pattern *pattern = memory_new(sizeof *pattern);
    *pattern = (struct pattern){.set = patterns, .code = code};
    pattern->source = memory_new(length + 1);
    if (length > 0)
        memcpy(pattern->source, source, length);
    patterns->at = memory_resize(patterns->at, (patterns->count + 1) * sizeof(struct pattern *));
    patterns->at[patterns->count++] = pattern;
    patterns->bytes += code_size(code);
    return pattern;
}

/* PCRE2's allocator during a check; uses the room first. */
static void *room_take(size_t size, void *context)
{
    struct pattern_room *room = context;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t);
    if (size > sizeof room->room / sizeof room->room[0] - room->used)
        return malloc(size * sizeof(max_align_t));
    void *memory = &room->room[room->used];
    room->used += size;
    return memory;
}

static void room_give(void *memory, void *context)
{
    struct pattern_room *room = context;
    bool inside = (char *)memory >= (char *)room->room && (char *)memory < (char *)room->room + sizeof room->room;
    if (!inside)
        free(memory);
}

static struct timespec time_of_thread(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now;
}

static void room_open(struct pattern_room *room)
{
    room->in_use = true;
    room->used = 0;
    room->memory = memory_got(pcre2_general_context_create(room_take, room_give, room));
    room->limits = memory_got(pcre2_match_context_create(room->memory));
    room->matched = memory_got(pcre2_match_data_create(1, room->memory));
    pcre2_set_heap_limit(room->limits, MATCH_HEAP_KIB);
    room->end = time_of_thread();
    room->end.tv_sec += MATCH_SECONDS;
}

void pattern_room_clear(struct pattern_room *room)
{
    if (!room->in_use)
        return;
    pcre2_match_data_free(room->matched);
    pcre2_match_context_free(room->limits);
    pcre2_general_context_free(room->memory);
    room->in_use = false;
}

/* The limits of one match. */
struct meter {
    const struct pattern_room *room;
    size_t *budget;
    size_t calls_per_look;
    size_t calls;
};

static bool is_late(const struct pattern_room *room)
{
    struct timespec now = time_of_thread();
    return now.tv_sec > room->end.tv_sec || (now.tv_sec == room->end.tv_sec && now.tv_nsec > room->end.tv_nsec);
}

/* PCRE2 calls this before each item. */
static int on_item(pcre2_callout_block *block, void *context)
{
    struct meter *meter = context;
    (void)block;
    if (*meter->budget == 0)
        return PCRE2_ERROR_CALLOUT;
    --*meter->budget;
    if (++meter->calls < meter->calls_per_look)
        return 0;
    meter->calls = 0;
    return is_late(meter->room) ? PCRE2_ERROR_CALLOUT : 0;
}

enum pattern_answer pattern_match(const struct pattern *pattern, const char *text, size_t length,
                                  struct pattern_room *room, size_t *budget)
{
    struct meter meter = {.room = room, .budget = budget, .calls_per_look = CHARACTERS_PER_LOOK / (length + 1) + 1};
    if (!room->in_use)
        room_open(room);
    if (meter.calls_per_look > CALLS_PER_LOOK_MAX)
        meter.calls_per_look = CALLS_PER_LOOK_MAX;
    pcre2_set_callout(room->limits, on_item, &meter);
    size_t cost = cost_of(length) + COST_OF_MATCH;
    *budget -= cost < *budget ? cost : *budget;
    if (*budget == 0) /* the check ends here */
        return PATTERN_NO;
    int rc = pcre2_match(pattern->code, (PCRE2_SPTR)text, length, 0, 0, room->matched, room->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(pattern->code, (PCRE2_SPTR)text, length, 0, PCRE2_NO_JIT, room->matched, room->limits);
    if (rc >= 0)
        return PATTERN_YES;
    bool dear = rc == PCRE2_ERROR_CALLOUT || rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT ||
                rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_NOMEMORY || rc == PCRE2_ERROR_RECURSELOOP;
    return dear ? PATTERN_TOO_DEAR : PATTERN_NO; /* a text that is not UTF-8 matches nothing */
}
