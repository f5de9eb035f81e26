/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/json.h"

#include <json-c/json.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/locale.h"
#include "base/memory.h"
#include "base/text.h"

/* The tree that json_parse() builds during the scan. */
struct tree {
    struct json_tokener *reader;
    struct json_object *in[JSON_DEPTH_MAX]; /* the open containers; the root is the first */
    struct json_object *root;
    const char *name; /* of the next member: one of these two */
    char short_name[64];
    struct text long_name;
    struct text plain;
};

struct scan {
    const unsigned char *begin, *at, *end;
    struct fault *fault;
    struct tree *tree;        /* NULL: only checked */
    const unsigned char *nul; /* the last \u0000 in a string, or the start of the text */
};

static bool refuse(struct scan *scan, const char *what)
{
    size_t line = 1;
    const unsigned char *from = scan->begin;
    for (const unsigned char *at = scan->begin; at < scan->at; at++) {
        if (*at == '\n') {
            line++;
            from = at + 1;
        }
    }
    return fault_set(scan->fault, "not JSON: %s at line %zu, byte %zu", what, line, (size_t)(scan->at - from) + 1);
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

static bool is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool scan_escape(struct scan *scan)
{
    if (scan->end - scan->at < 2)
        return refuse(scan, "the text ends inside a string");
    if (scan->at[1] == 'u') {
        for (int i = 2; i < 6; i++)
            if (scan->end - scan->at <= i || !is_hex(scan->at[i]))
                return refuse(scan, "\\u without four hex digits");
        if (memcmp(scan->at + 2, "0000", 4) == 0)
            scan->nul = scan->at;
        scan->at += 6;
        return true;
    }
    if (scan->at[1] == '\0' || strchr("\"\\/bfnrt", scan->at[1]) == NULL)
        return refuse(scan, "an unknown escape in a string");
    scan->at += 2;
    return true;
}

static bool scan_string(struct scan *scan)
{
    scan->at++; /* the quotation mark */
    while ((scan->at += text_plain(scan->at, (size_t)(scan->end - scan->at), TEXT_JSON)) < scan->end) {
        unsigned char c = *scan->at;
        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c == '\\') {
            if (!scan_escape(scan))
                return false;
        } else if (c < 0x20) {
            return refuse(scan, "a raw control character in a string");
        } else {
            size_t size = utf8_length(scan->at, (size_t)(scan->end - scan->at));
            if (size == 0)
                return refuse(scan, "bytes that are not UTF-8");
            scan->at += size;
        }
    }
    return refuse(scan, "the text ends inside a string");
}

static bool scan_digits(struct scan *scan)
{
    const unsigned char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at > from || refuse(scan, "a number without digits");
}

static bool scan_number(struct scan *scan)
{
    if (*scan->at == '-')
        scan->at++;
    if (scan->at < scan->end && *scan->at == '0') {
        scan->at++;
        if (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
            return refuse(scan, "a number with a leading zero");
    } else if (!scan_digits(scan)) {
        return false;
    }
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
            scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    return true;
}

static bool scan_word(struct scan *scan, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
        return refuse(scan, "an unknown word");
    scan->at += len;
    return true;
}

static bool scan_scalar(struct scan *scan)
{
    switch (*scan->at) {
    case '"':
        return scan_string(scan);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    case '-':
    case '0' ... '9':
        return scan_number(scan);
    default:
        return refuse(scan, utf8_length(scan->at, (size_t)(scan->end - scan->at)) == 0 ? "bytes that are not UTF-8"
                                                                                       : "an unexpected character");
    }
}

/* ---- the tree ---- */

/* Decodes the inside of a string into text. False: it contains \u escapes, which json-c decodes. */
static bool unescape(struct text *text, const char *at, size_t len)
{
    text_clear(text);
    text_put(text, "", 0); /* an empty string also needs a buffer */
    for (const char *end = at + len, *stop; at < end; at = stop + 2) {
        stop = memchr(at, '\\', (size_t)(end - at));
        text_put(text, at, (size_t)((stop == NULL ? end : stop) - at));
        if (stop == NULL)
            break;
        const char *which = strchr("\"\"\\\\//b\bf\fn\nr\rt\t", stop[1]);
        if (stop[1] == 'u' || which == NULL)
            return false;
        text_put(text, which + 1, 1);
    }
    return true;
}

/* from: the opening quotation mark; to: past the closing one. */
static struct json_object *string_of(struct tree *tree, const unsigned char *from, const unsigned char *to)
{
    const char *inside = (const char *)from + 1;
    size_t len = (size_t)(to - from) - 2;
    if (memchr(inside, '\\', len) == NULL)
        return json_object_new_string_len(inside, (int)len);
    if (unescape(&tree->plain, inside, len))
        return json_object_new_string_len(tree->plain.at, (int)tree->plain.len);
    return json_read(tree->reader, (const char *)from, (size_t)(to - from));
}

/* A whole number of 19 digits or more. json-c clamps a number beyond 64 bits, and a check would then compare a number
 * that was not sent. Here it becomes the nearest double, as in the reader of documents. */
static struct json_object *whole_number(const char *text, size_t len)
{
    bool negative = *text == '-', fits = true;
    uint64_t magnitude = 0;
    for (size_t i = negative; i < len && fits; i++)
        fits = !__builtin_mul_overflow(magnitude, UINT64_C(10), &magnitude) &&
               !__builtin_add_overflow(magnitude, (uint64_t)(text[i] - '0'), &magnitude);
    if (!fits || (negative && magnitude > (uint64_t)INT64_MAX + 1))
        return json_object_new_double_s(real_read(text, NULL), text);
    if (negative)
        return json_object_new_int64(magnitude == 0 ? 0 : -(int64_t)(magnitude - 1) - 1);
    return magnitude > INT64_MAX ? json_object_new_uint64(magnitude) : json_object_new_int64((int64_t)magnitude);
}

static struct json_object *number_of(struct tree *tree, const unsigned char *from, const unsigned char *to)
{
    int64_t number = 0;
    const unsigned char *at = from + (*from == '-');
    bool simple = to - at < 19 && !(*from == '-' && *at == '0');
    for (; simple && at < to; at++) {
        simple = *at >= '0' && *at <= '9';
        number = number * 10 + (*at - '0');
    }
    if (simple)
        return json_object_new_int64(*from == '-' ? -number : number);
    text_clear(&tree->plain);
    text_put(&tree->plain, (const char *)from, (size_t)(to - from));
    if (strpbrk(tree->plain.at, ".eE") == NULL)
        return whole_number(tree->plain.at, tree->plain.len);
    text_put(&tree->plain, " ", 1); /* json-c needs a byte after the number */
    return json_read(tree->reader, tree->plain.at, tree->plain.len);
}

static struct json_object *scalar_of(struct tree *tree, const unsigned char *from, const unsigned char *to)
{
    switch (*from) {
    case '"':
        return memory_got(string_of(tree, from, to));
    case 't':
    case 'f':
        return memory_got(json_object_new_boolean(*from == 't'));
    case 'n':
        return NULL; /* json-c's null */
    default:
        return memory_got(number_of(tree, from, to));
    }
}

/* Adds a value at its place in the tree. depth: the open containers around it. */
static void tree_put(struct tree *tree, size_t depth, struct json_object *value)
{
    if (depth == 0)
        tree->root = value;
    else if (json_object_is_type(tree->in[depth - 1], json_type_array))
        json_object_array_add(tree->in[depth - 1], value);
    else
        json_object_object_add(tree->in[depth - 1], tree->name, value);
}

static void tree_open(struct tree *tree, size_t depth, bool object)
{
    struct json_object *value = memory_got(object ? json_object_new_object() : json_object_new_array());
    tree_put(tree, depth, value);
    tree->in[depth] = value;
}

static void tree_name(struct tree *tree, const unsigned char *from, const unsigned char *to)
{
    const char *inside = (const char *)from + 1;
    size_t len = (size_t)(to - from) - 2;
    if (len < sizeof tree->short_name && memchr(inside, '\\', len) == NULL) {
        memcpy(tree->short_name, inside, len);
        tree->short_name[len] = '\0';
        tree->name = tree->short_name;
        return;
    }
    if (!unescape(&tree->long_name, inside, len)) {
        struct json_object *name = memory_got(json_read(tree->reader, inside - 1, len + 2));
        text_clear(&tree->long_name);
        text_puts(&tree->long_name, json_object_get_string(name));
        json_object_put(name);
    }
    tree->name = tree->long_name.at;
}

/* ---- the scan ---- */

/* "key": of an object. */
static bool scan_key(struct scan *scan)
{
    skip_space(scan);
    if (scan->at == scan->end)
        return refuse(scan, "the text ends inside an object");
    if (*scan->at != '"')
        return refuse(scan, "no quoted name");
    const unsigned char *from = scan->at;
    if (!scan_string(scan))
        return false;
    if (scan->nul > from) { /* json-c ends a name there, and would read another name */
        scan->at = from;
        return refuse(scan, "\\u0000 in a name");
    }
    if (scan->tree != NULL)
        tree_name(scan->tree, from, scan->at);
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != ':')
        return refuse(scan, "no ':' after a name");
    scan->at++;
    return true;
}

static bool is_empty_container(struct scan *scan, unsigned char close)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != close)
        return false;
    scan->at++;
    return true;
}

/* Scans the text with a stack of one bit for each level (object or array) instead of recursion. */
static bool scan_value(struct scan *scan)
{
    bool in_object[JSON_DEPTH_MAX];
    size_t depth = 0;

    if (scan->end - scan->begin > INT_MAX)
        return fault_set(scan->fault, "too large");
    skip_space(scan);
    if (scan->at == scan->end)
        return fault_set(scan->fault, "the body is empty; expects one JSON object");
    do {
        /* at the start of a value */
        skip_space(scan);
        if (scan->at == scan->end)
            return refuse(scan, "the text ends too early");
        const unsigned char *from = scan->at;
        if (*scan->at == '{' || *scan->at == '[') {
            if (depth == JSON_DEPTH_MAX)
                return fault_set(scan->fault, "nested deeper than %d levels", JSON_DEPTH_MAX);
            bool object = *scan->at++ == '{';
            if (scan->tree != NULL)
                tree_open(scan->tree, depth, object);
            if (!is_empty_container(scan, object ? '}' : ']')) {
                in_object[depth++] = object;
                if (object && !scan_key(scan))
                    return false;
                continue;
            }
        } else if (!scan_scalar(scan)) {
            return false;
        } else if (scan->tree != NULL) {
            tree_put(scan->tree, depth, scalar_of(scan->tree, from, scan->at));
        }
        /* after a value: close the containers that end here */
        for (skip_space(scan); depth > 0; skip_space(scan)) {
            if (scan->at == scan->end)
                return refuse(scan, in_object[depth - 1] ? "the text ends inside an object"
                                                         : "the text ends inside an array");
            if (*scan->at == ',')
                break;
            if (*scan->at != (in_object[depth - 1] ? '}' : ']'))
                return refuse(scan, "no ',' between two values");
            scan->at++;
            depth--;
        }
        if (depth > 0) {
            scan->at++; /* the comma */
            if (in_object[depth - 1] && !scan_key(scan))
                return false;
        }
    } while (depth > 0);
    if (scan->at != scan->end)
        return refuse(scan, *scan->at == '\0' ? "a NUL byte after the value" : "more text after the value");
    return true;
}

bool json_is_value(const char *text, size_t len, struct fault *fault)
{
    const unsigned char *bytes = (const unsigned char *)text;
    struct scan scan = {.begin = bytes, .at = bytes, .end = bytes + len, .nul = bytes, .fault = fault};
    return scan_value(&scan);
}

static bool begins_object(const char *text, struct fault *fault)
{
    return text[strspn(text, " \n\r\t")] == '{' || fault_set(fault, "JSON, but not an object");
}

bool json_is_object(const char *text, size_t len, struct fault *fault)
{
    return json_is_value(text, len, fault) && begins_object(text, fault);
}

struct json_object *json_parse(struct json_tokener *reader, const char *text, size_t len, struct fault *fault)
{
    const unsigned char *bytes = (const unsigned char *)text;
    struct tree tree; /* not zeroed: the depth bounds the valid part */
    tree.reader = reader;
    tree.root = NULL;
    tree.name = NULL;
    tree.long_name = tree.plain = (struct text){0};
    struct scan scan = {.begin = bytes, .at = bytes, .end = bytes + len, .nul = bytes, .fault = fault, .tree = &tree};
    if (!scan_value(&scan) || !begins_object(text, fault)) {
        json_object_put(tree.root);
        tree.root = NULL;
    }
    text_free(&tree.long_name);
    text_free(&tree.plain);
    return tree.root;
}

struct json_tokener *json_reader_new(void)
{
    return memory_got(json_tokener_new_ex(JSON_DEPTH_MAX + 1));
}

static pthread_key_t readers;

static void reader_end(void *reader)
{
    json_tokener_free(reader);
}

static void make_key(void)
{
    pthread_key_create(&readers, reader_end);
}

struct json_tokener *json_thread_reader(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local struct json_tokener *mine;
    if (mine == NULL) {
        mine = json_reader_new();
        pthread_once(&once, make_key);
        pthread_setspecific(readers, mine);
    }
    return mine;
}

struct json_object *json_read(struct json_tokener *reader, const char *text, size_t len)
{
    json_tokener_reset(reader);
    return json_tokener_parse_ex(reader, text, (int)len);
}
