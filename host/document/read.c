/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Builds the tree from libyaml's events. A node enters the tree as soon as it is complete. The counts between the
 * beginning and the end of an anchored node are the cost of each of its aliases. */
#include "document/document.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/memory.h"
#include "base/ptrmap.h"
#include "base/text.h"
#include "document/parts.h"

struct cost {
    size_t nodes;
    size_t bytes;
};

struct anchor {
    char *name;
    struct json_object *node;
    struct cost cost;
    unsigned height; /* nested collections, including the node */
    bool open;       /* its node is incomplete */
};

struct reader {
    yaml_parser_t parser;
    struct joins joins;
    struct document *document;
    struct fault *fault;
    struct cost cost;
    struct anchor anchors[DOCUMENT_ANCHORS_MAX];
    size_t anchored;
    unsigned deepest; /* depth in the innermost open anchor, with aliases expanded */
};

/* --- places --- */

static size_t joins_before(const struct joins *joins, size_t index)
{
    size_t low = 0;
    for (size_t high = joins->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (joins->at[middle] <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The column in the original text before a rewrite, from 1. */
static size_t column_of(const struct reader *reader, const yaml_mark_t *mark)
{
    size_t joins = joins_before(&reader->joins, mark->index) - joins_before(&reader->joins, mark->index - mark->column);
    return mark->column + 1 + 2 * joins;
}

static uint64_t pack_place(const struct reader *reader, const yaml_mark_t *mark)
{
    return (uint64_t)(mark->line + 1) << 32 | (uint32_t)column_of(reader, mark);
}

/* --- reading --- */

static bool refuse(struct reader *reader, const yaml_mark_t *mark, const char *what)
{
    return fault_set(reader->fault, "line %zu, column %zu: %s", mark->line + 1, column_of(reader, mark), what);
}

/* Refuses with a name of the text, quoted for one line, between `before` and `after`. */
static bool refuse_name(struct reader *reader, const yaml_mark_t *mark, const char *before, const char *name,
                        const char *after)
{
    struct text what = {0};
    size_t length = strlen(name);
    text_puts(&what, before);
    size_t shown = text_cut(name, length, 60);
    text_put_line(&what, name, shown);
    text_puts(&what, shown < length ? "…" : "");
    text_puts(&what, after);
    refuse(reader, mark, what.at);
    text_free(&what);
    return false;
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem == NULL ? "no memory" : parser->problem;
    if (parser->context == NULL || parser->context_mark.line == parser->problem_mark.line)
        return refuse(reader, &parser->problem_mark, problem);
    return fault_set(reader->fault, "line %zu, column %zu: %s (%s, from line %zu)", parser->problem_mark.line + 1,
                     column_of(reader, &parser->problem_mark), problem, parser->context, parser->context_mark.line + 1);
}

static bool spend(struct reader *reader, const yaml_mark_t *mark, struct cost cost)
{
    reader->cost.nodes += cost.nodes;
    reader->cost.bytes += cost.bytes;
    if (reader->cost.nodes > DOCUMENT_NODES_MAX)
        return refuse(reader, mark, "the document has too many nodes, with its aliases expanded");
    if (reader->cost.bytes > DOCUMENT_BYTES_MAX)
        return refuse(reader, mark, "the document is too large, with its aliases expanded");
    return true;
}

/* The latest anchor of a name, because YAML allows a name to be used again; NULL if there is none. */
static struct anchor *find_anchor(struct reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->anchored; i++) {
        if (strcmp(reader->anchors[i].name, name) == 0)
            return &reader->anchors[i];
    }
    return NULL;
}

/* Notes an anchor of the node that begins here. `index` receives the number to close it. */
static bool open_anchor(struct reader *reader, const yaml_mark_t *mark, const char *name, size_t *index)
{
    struct anchor *anchor = find_anchor(reader, name);
    if (anchor != NULL && anchor->open)
        return refuse_name(reader, mark, "the anchor ", name, " is within itself");
    if (anchor == NULL) {
        if (reader->anchored == DOCUMENT_ANCHORS_MAX)
            return refuse(reader, mark, "too many anchors");
        anchor = &reader->anchors[reader->anchored++];
        anchor->name = memory_text(name);
    }
    json_object_put(anchor->node);
    anchor->node = NULL;
    anchor->open = true;
    anchor->cost = reader->cost;
    *index = (size_t)(anchor - reader->anchors);
    return true;
}

static void close_anchor(struct reader *reader, size_t index, struct json_object *node, unsigned height)
{
    struct anchor *anchor = &reader->anchors[index];
    anchor->open = false;
    anchor->node = json_object_get(node);
    anchor->height = height;
    anchor->cost.nodes = reader->cost.nodes - anchor->cost.nodes;
    anchor->cost.bytes = reader->cost.bytes - anchor->cost.bytes;
}

static void reach(struct reader *reader, unsigned depth)
{
    reader->deepest = depth > reader->deepest ? depth : reader->deepest;
}

static bool read_alias(struct reader *reader, const yaml_event_t *event, unsigned depth, struct json_object **node)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct anchor *anchor = find_anchor(reader, name);
    if (anchor == NULL)
        return refuse_name(reader, &event->start_mark, "no anchor ", name, " before this alias");
    if (anchor->open)
        return refuse_name(reader, &event->start_mark, "the anchor ", name, " contains itself");
    if (!spend(reader, &event->start_mark, anchor->cost))
        return false;
    if (depth + anchor->height > DOCUMENT_DEPTH_MAX)
        return refuse(reader, &event->start_mark, "nested too deep, with its aliases expanded");
    reach(reader, depth + anchor->height);
    *node = json_object_get(anchor->node);
    return true;
}

static bool read_tag(struct reader *reader, const yaml_event_t *event, enum scalar_tag *kind)
{
    static const struct {
        const char *tag;
        enum scalar_tag kind;
    } tags[] = {
        {"!", SCALAR_STRING},
        {"tag:yaml.org,2002:str", SCALAR_STRING},
        {"tag:yaml.org,2002:timestamp", SCALAR_STRING},
        {"tag:yaml.org,2002:binary", SCALAR_STRING},
        {"tag:yaml.org,2002:null", SCALAR_NULL},
        {"tag:yaml.org,2002:bool", SCALAR_BOOLEAN},
        {"tag:yaml.org,2002:int", SCALAR_INTEGER},
        {"tag:yaml.org,2002:float", SCALAR_FLOAT},
    };
    const char *tag = (const char *)event->data.scalar.tag;
    if (tag == NULL) {
        *kind = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? SCALAR_UNTAGGED : SCALAR_STRING;
        return true;
    }
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (strcmp(tag, tags[i].tag) == 0) {
            *kind = tags[i].kind;
            return true;
        }
    }
    return refuse_name(reader, &event->start_mark, "the tag ", tag, " is not known");
}

static bool read_scalar(struct reader *reader, const yaml_event_t *event, struct json_object **node)
{
    const char *text = (const char *)event->data.scalar.value;
    enum scalar_tag kind = SCALAR_UNTAGGED;
    if (!read_tag(reader, event, &kind))
        return false;
    if (!document_scalar(text, event->data.scalar.length, kind, node))
        return refuse_name(reader, &event->start_mark, "", text, " is not what its tag says");
    return true;
}

static bool read_node(struct reader *reader, const yaml_event_t *event, unsigned depth, struct json_object **node);

static void note_origin(struct reader *reader, struct json_object *node, struct origin origin)
{
    struct document *document = reader->document;
    if (node == NULL || ptrmap_get(&document->origins_of, node, NULL))
        return;
    if (document->origin_count == document->origin_room) {
        document->origin_room = document->origin_room == 0 ? 64 : document->origin_room * 2;
        document->origins = memory_resize(document->origins, document->origin_room * sizeof *document->origins);
    }
    ptrmap_put(&document->origins_of, node, document->origin_count);
    document->origins[document->origin_count++] = origin;
}

static void add_item(struct json_object *array, struct json_object *item)
{
    if (json_object_array_add(array, item) != 0)
        memory_got(NULL);
}

static bool read_sequence(struct reader *reader, unsigned depth, struct json_object *array)
{
    bool done = false;
    bool ok = true;
    while (ok && !done) {
        yaml_event_t event = {0};
        struct json_object *item = NULL;
        if (!next_event(reader, &event))
            return false;
        done = event.type == YAML_SEQUENCE_END_EVENT;
        ok = done || read_node(reader, &event, depth, &item);
        if (ok && !done) {
            note_origin(reader, item, (struct origin){.parent = array, .index = json_object_array_length(array)});
            add_item(array, item);
        }
        yaml_event_delete(&event);
    }
    return ok;
}

/* The text of a key: that of a scalar of any type, or of an alias of a string. NULL: refused. */
static const char *read_key(struct reader *reader, const yaml_event_t *event)
{
    const char *key = NULL;
    size_t length = 0;
    if (event->type == YAML_SCALAR_EVENT) {
        key = (const char *)event->data.scalar.value;
        length = event->data.scalar.length;
        if (event->data.scalar.anchor != NULL) {
            refuse(reader, &event->start_mark, "an anchor at a key is not supported");
            return NULL;
        }
    } else if (event->type == YAML_ALIAS_EVENT) {
        struct anchor *anchor = find_anchor(reader, (const char *)event->data.alias.anchor);
        if (anchor != NULL && json_object_is_type(anchor->node, json_type_string)) {
            key = json_object_get_string(anchor->node);
            length = (size_t)json_object_get_string_len(anchor->node);
        }
    }
    if (key == NULL)
        refuse(reader, &event->start_mark, "a key must be a scalar");
    else if (strlen(key) != length)
        refuse(reader, &event->start_mark, "a key with a NUL character in it");
    else if (spend(reader, &event->start_mark, (struct cost){.bytes = length}))
        return key;
    return NULL;
}

/* The place of a key, with a flag if the key would not be text as a value. */
static uint64_t place_of_key(const struct reader *reader, const yaml_event_t *event)
{
    struct json_object *value = NULL;
    bool is_text = event->type != YAML_SCALAR_EVENT || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                   event->data.scalar.tag != NULL;
    if (!is_text &&
        document_scalar((const char *)event->data.scalar.value, event->data.scalar.length, SCALAR_UNTAGGED, &value))
        is_text = json_object_is_type(value, json_type_string);
    json_object_put(value);
    return pack_place(reader, &event->start_mark) | (is_text ? 0 : KEY_IS_NO_TEXT);
}

static bool is_merge_key(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           strcmp((const char *)event->data.scalar.value, "<<") == 0;
}

static void add_member(struct reader *reader, struct json_object *object, const char *key, struct json_object *value,
                       uint64_t place)
{
    if (json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW) != 0)
        memory_got(NULL);
    const void *address = document_key_address(object, key);
    ptrmap_put(&reader->document->places, address, place);
    note_origin(reader, value, (struct origin){.parent = object, .key = address});
}

/* Adds the members of `from` that the object does not have itself. */
static void merge_object(struct reader *reader, struct json_object *object, struct json_object *from)
{
    json_object_object_foreach(from, key, value)
    {
        if (json_object_object_get_ex(object, key, NULL))
            continue;
        uint64_t place = 0;
        ptrmap_get(&reader->document->places, document_key_address(from, key), &place);
        add_member(reader, object, key, json_object_get(value), place);
    }
}

static bool merge(struct reader *reader, const yaml_mark_t *mark, struct json_object *object, struct json_object *from)
{
    if (json_object_is_type(from, json_type_object)) {
        merge_object(reader, object, from);
        return true;
    }
    bool ok = json_object_is_type(from, json_type_array);
    for (size_t i = 0; ok && i < json_object_array_length(from); i++) {
        struct json_object *item = json_object_array_get_idx(from, i);
        ok = json_object_is_type(item, json_type_object);
        if (ok)
            merge_object(reader, object, item);
    }
    return ok || refuse(reader, mark, "<< expects a mapping or a list of mappings");
}

static bool refuse_duplicate(struct reader *reader, const yaml_mark_t *mark, struct json_object *object,
                             const char *key)
{
    struct place first = document_place_of_key(reader->document, object, key);
    char after[64] = " is there already";
    if (first.line > 0)
        snprintf(after, sizeof after, " is there already, in line %u", first.line);
    return refuse_name(reader, mark, "the key ", key, after);
}

/* The mappings to merge wait until all own keys of the object are read. */
struct merging {
    bool wanted;
    yaml_mark_t mark;
    struct json_object *from;
};

static bool read_member(struct reader *reader, const yaml_event_t *key_event, unsigned depth,
                        struct json_object *object, struct merging *merging)
{
    yaml_event_t event = {0};
    struct json_object *value = NULL;
    bool is_merge = is_merge_key(key_event);
    const char *key = read_key(reader, key_event);
    if (key == NULL)
        return false;
    if (is_merge ? merging->wanted : json_object_object_get_ex(object, key, NULL))
        return refuse_duplicate(reader, &key_event->start_mark, object, key);
    if (!next_event(reader, &event))
        return false;
    bool ok = read_node(reader, &event, depth, &value);
    yaml_event_delete(&event);
    if (ok && is_merge)
        *merging = (struct merging){.wanted = true, .mark = key_event->start_mark, .from = value};
    else if (ok)
        add_member(reader, object, key, value, place_of_key(reader, key_event));
    return ok;
}

static bool read_mapping(struct reader *reader, unsigned depth, struct json_object *object)
{
    struct merging merging = {0};
    bool done = false;
    bool ok = true;
    while (ok && !done) {
        yaml_event_t event = {0};
        ok = next_event(reader, &event);
        done = ok && event.type == YAML_MAPPING_END_EVENT;
        ok = ok && (done || read_member(reader, &event, depth, object, &merging));
        yaml_event_delete(&event);
    }
    if (ok && merging.wanted)
        ok = merge(reader, &merging.mark, object, merging.from);
    if (merging.wanted)
        add_item(reader->document->merged, merging.from);
    if (ok && merging.wanted)
        note_origin(reader, merging.from, (struct origin){.parent = object});
    return ok;
}

static bool read_collection(struct reader *reader, const yaml_event_t *event, unsigned depth, struct json_object **node)
{
    bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
    const char *tag = (const char *)(is_mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    const char *wanted = is_mapping ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq";
    if (tag != NULL && strcmp(tag, "!") != 0 && strcmp(tag, wanted) != 0)
        return refuse_name(reader, &event->start_mark, "the tag ", tag, " is not known");
    if (depth == DOCUMENT_DEPTH_MAX)
        return refuse(reader, &event->start_mark, "nested too deep");
    reach(reader, depth + 1);
    *node = memory_got(is_mapping ? json_object_new_object() : json_object_new_array());
    return is_mapping ? read_mapping(reader, depth + 1, *node) : read_sequence(reader, depth + 1, *node);
}

/* The event's anchor, if it can have one. */
static const char *anchor_of(const yaml_event_t *event)
{
    const yaml_char_t *name = event->type == YAML_SCALAR_EVENT           ? event->data.scalar.anchor
                              : event->type == YAML_MAPPING_START_EVENT  ? event->data.mapping_start.anchor
                              : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.anchor
                                                                         : NULL;
    return (const char *)name;
}

/* Reads the node that begins with this event. When it returns false, *node is NULL. */
static bool read_node(struct reader *reader, const yaml_event_t *event, unsigned depth, struct json_object **node)
{
    size_t index = 0;
    unsigned deepest = reader->deepest;
    const char *anchor = anchor_of(event);
    if (event->type == YAML_ALIAS_EVENT)
        return read_alias(reader, event, depth, node);
    if (anchor != NULL && !open_anchor(reader, &event->start_mark, anchor, &index))
        return false;
    if (anchor != NULL)
        reader->deepest = depth;
    bool is_scalar = event->type == YAML_SCALAR_EVENT;
    struct cost cost = {.nodes = 1, .bytes = is_scalar ? event->data.scalar.length : 0};
    bool ok = spend(reader, &event->start_mark, cost) &&
              (is_scalar ? read_scalar(reader, event, node) : read_collection(reader, event, depth, node));
    if (!ok) {
        json_object_put(*node);
        *node = NULL;
        return false;
    }
    if (*node != NULL)
        ptrmap_put(&reader->document->places, *node, pack_place(reader, &event->start_mark));
    if (anchor != NULL) {
        close_anchor(reader, index, *node, reader->deepest - depth);
        reach(reader, deepest);
    }
    return true;
}

/* Takes the next event, which must have this type. */
static bool expect(struct reader *reader, yaml_event_type_t type, const char *otherwise)
{
    yaml_event_t event = {0};
    if (!next_event(reader, &event))
        return false;
    bool ok = event.type == type || refuse(reader, &event.start_mark, otherwise);
    yaml_event_delete(&event);
    return ok;
}

/* A null has no node, so the address of the document represents it. */
static bool read_root(struct reader *reader, const yaml_event_t *event)
{
    struct document *document = reader->document;
    if (!read_node(reader, event, 0, &document->root))
        return false;
    if (document->root == NULL)
        ptrmap_put(&document->places, document, pack_place(reader, &event->start_mark));
    return true;
}

static bool read_stream(struct reader *reader)
{
    yaml_event_t event = {0};
    bool ok = expect(reader, YAML_STREAM_START_EVENT, "not a stream") &&
              expect(reader, YAML_DOCUMENT_START_EVENT, "the document is empty") && next_event(reader, &event) &&
              read_root(reader, &event) && expect(reader, YAML_DOCUMENT_END_EVENT, "more text after the document") &&
              expect(reader, YAML_STREAM_END_EVENT, "a second document begins here; only one is read");
    yaml_event_delete(&event);
    return ok;
}

static struct document *read_prepared(const char *text, size_t length, struct joins joins, struct fault *fault)
{
    struct document *document = memory_new(sizeof *document);
    struct reader *reader = memory_new(sizeof *reader);
    document->merged = memory_got(json_object_new_array());
    reader->document = document;
    reader->joins = joins;
    reader->fault = fault;
    if (!yaml_parser_initialize(&reader->parser))
        memory_got(NULL);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, length);
    bool ok = read_stream(reader);
    for (size_t i = 0; i < reader->anchored; i++) {
        free(reader->anchors[i].name);
        json_object_put(reader->anchors[i].node);
    }
    yaml_parser_delete(&reader->parser);
    free(reader);
    if (!ok) {
        document_free(document);
        document = NULL;
    }
    return document;
}

struct document *document_read(const char *text, size_t length, struct fault *fault)
{
    struct fault refused = {""};
    struct joins joins = {0};
    struct document *document = NULL;
    size_t size = 0;
    char *rewritten = NULL;
    char *copy = document_text_prepare(text, length, &size, fault);
    if (copy == NULL)
        return NULL;
    document = read_prepared(copy, size, joins, &refused);
    if (document == NULL) {
        rewritten = document_text_rewrite(copy, size, &size, &joins);
        if (rewritten != NULL)
            document = read_prepared(rewritten, size, joins, fault);
        else
            fault_set(fault, "%s", refused.text);
    }
    free(rewritten);
    free(copy);
    free(joins.at);
    return document;
}
