/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Writes the document as the MOV receives it. The MOV reads YAML with SnakeYAML and schemas with a reader of its own,
 * and refuses the whole component for a document that either of them cannot read (docs/contract.md lists the cases).
 * None of these documents is wrong, so the host does not refuse them: it sends an equivalent that the MOV can read.
 *
 * The text is JSON that is YAML 1.1 too. Every text is in quotation marks, which makes tabs, dates, `on` and `\/`
 * harmless; there are no aliases; characters that SnakeYAML refuses or folds are escaped. What the MOV cannot read in a
 * schema is written with keywords that it knows. Only a limit of SnakeYAML's is an error: depth and length. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "contract/parts.h"

#define DEPTH_MAX 50                       /* collections within one another */
#define LENGTH_MAX ((size_t)3 << 20)       /* characters, and all are counted */
#define BYTES_MAX (LENGTH_MAX * (size_t)4) /* no text of LENGTH_MAX characters is longer */
#define SIMPLE_KEY_MAX 1000                /* bytes of a key that may stand without a question mark */
#define MOVED "mov_"                       /* names of schemas that the document has no name for */

struct writer {
    struct contract *contract;
    struct text text;
    unsigned depth;
    bool first;                 /* the next member or item is the first of its collection */
    bool ended;                 /* the text is too deep or too long */
    struct ptrmap numbers;      /* of schemas that get a name under components/schemas */
    struct json_object **moved; /* the same, by number */
    size_t moved_count;
    size_t moved_room;
    size_t first_number;
};

static void write_value(struct writer *writer, struct json_object *value);

/* --- YAML --- */

/* True if SnakeYAML refuses the character, or reads it as the end of a line. */
static bool needs_escape(const unsigned char *at, size_t size)
{
    if (size == 1)
        return *at < 0x20 || *at == 0x7f || *at == '"' || *at == '\\';
    if (size == 2)
        return at[0] == 0xc2 && at[1] < 0xa0;
    if (size == 3 && at[0] == 0xe2)
        return at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
    return size == 3 && at[0] == 0xef && ((at[1] == 0xbb && at[2] == 0xbf) || (at[1] == 0xbf && at[2] >= 0xbe));
}

static unsigned code_point(const unsigned char *at, size_t size)
{
    if (size == 1)
        return at[0];
    if (size == 2)
        return (at[0] & 0x1fU) << 6 | (at[1] & 0x3fU);
    return (at[0] & 0x0fU) << 12 | (at[1] & 0x3fU) << 6 | (at[2] & 0x3fU);
}

static void write_string(struct writer *writer, const char *bytes, size_t length)
{
    const unsigned char *at = (const unsigned char *)bytes;
    struct text *text = &writer->text;
    text_puts(text, "\"");
    for (size_t i = 0; i < length;) {
        size_t size = utf8_length(at + i, length - i);
        if (size == 0) {
            text_puts(text, "\\ufffd");
            size = 1;
        } else if (!needs_escape(at + i, size)) {
            text_put(text, bytes + i, size);
        } else if (at[i] == '"' || at[i] == '\\') {
            text_put(text, "\\", 1);
            text_put(text, bytes + i, 1);
        } else {
            text_printf(text, "\\u%04x", code_point(at + i, size));
        }
        i += size;
    }
    text_puts(text, "\"");
}

static void write_double(struct writer *writer, struct json_object *value)
{
    double real = json_object_get_double(value);
    if (isnan(real))
        text_puts(&writer->text, ".nan");
    else if (isinf(real))
        text_puts(&writer->text, real > 0 ? ".inf" : "-.inf");
    else
        text_puts(&writer->text, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
}

/* Begins a collection that stands for a node of the document. */
static void begin(struct writer *writer, const char *bracket, struct json_object *node)
{
    if (writer->depth == DEPTH_MAX && !writer->ended) {
        writer->ended = true;
        findings_add_at(&writer->contract->findings, FINDING_ERROR, node, NULL,
                        "the MOV reads at most %d levels of nesting; move an inner schema to components/schemas and "
                        "refer to it",
                        DEPTH_MAX);
    }
    writer->ended |= writer->text.len > BYTES_MAX;
    writer->depth++;
    text_puts(&writer->text, bracket);
    writer->first = true;
}

static void end(struct writer *writer, const char *bracket)
{
    text_puts(&writer->text, bracket);
    writer->depth--;
    writer->first = false;
}

static void write_comma(struct writer *writer)
{
    text_puts(&writer->text, writer->first ? "" : ", ");
    writer->first = false;
}

static void write_key(struct writer *writer, const char *key)
{
    size_t length = strlen(key);
    write_comma(writer);
    if (length > SIMPLE_KEY_MAX)
        text_puts(&writer->text, "? ");
    write_string(writer, key, length);
    text_puts(&writer->text, ": ");
}

static void write_member(struct writer *writer, const char *key, struct json_object *value)
{
    write_key(writer, key);
    write_value(writer, value);
}

static void write_text_member(struct writer *writer, const char *key, const char *text)
{
    write_key(writer, key);
    write_string(writer, text, strlen(text));
}

/* --- schemas --- */

static void write_schema(struct writer *writer, struct json_object *schema);

/* Writes the members of an object except two. */
static void write_members(struct writer *writer, struct json_object *object, const char *but, const char *and)
{
    json_object_object_foreach(object, key, value)
    {
        if (writer->ended)
            return;
        if ((but == NULL || strcmp(key, but) != 0) && (and == NULL || strcmp(key, and) != 0))
            write_member(writer, key, value);
    }
}

/* The name under components/schemas that a schema gets in the text. */
static void write_moved(struct writer *writer, struct json_object *schema)
{
    char ref[64];
    uint64_t number = writer->first_number + writer->moved_count;
    if (!ptrmap_get(&writer->numbers, schema, &number)) {
        if (writer->moved_count == writer->moved_room) {
            writer->moved_room = writer->moved_room == 0 ? 16 : writer->moved_room * 2;
            writer->moved = memory_resize(writer->moved, writer->moved_room * sizeof(struct json_object *));
        }
        writer->moved[writer->moved_count++] = schema;
        ptrmap_put(&writer->numbers, schema, number);
    }
    begin(writer, "{", schema);
    snprintf(ref, sizeof ref, "#/components/schemas/" MOVED "%zu", (size_t)number);
    write_text_member(writer, "$ref", ref);
    end(writer, "}");
}

static void write_ref(struct writer *writer, struct json_object *schema, const char *ref)
{
    struct json_object *target = NULL;
    if (!schemas_follow(writer->contract->schemas, schema, &target, NULL) ||
        !json_object_is_type(target, json_type_object)) {
        write_schema(writer, target);
    } else if (mov_target(writer->contract, ref) == target) {
        begin(writer, "{", schema);
        write_text_member(writer, "$ref", ref);
        end(writer, "}");
    } else {
        write_moved(writer, target);
    }
}

/* The alternatives of a type that the MOV does not read as one. */
static void write_type(struct writer *writer, struct json_object *schema, struct json_object *properties,
                       const char *type)
{
    write_comma(writer);
    begin(writer, "{", schema);
    if (strcmp(type, "null") == 0) {
        write_key(writer, "enum");
        text_puts(&writer->text, "[null]");
    } else {
        write_text_member(writer, "type", type);
        if (strcmp(type, "object") == 0) {
            write_key(writer, "properties");
            if (properties != NULL)
                write_value(writer, properties);
            else
                text_puts(&writer->text, "{}");
        }
    }
    end(writer, "}");
}

/* The types of a schema as alternatives; NULL: all types. */
static void write_any_of(struct writer *writer, struct json_object *schema, struct json_object *properties,
                         struct json_object *types)
{
    static const char *const all[] = {"string", "number", "boolean", "array", "object", "null"};
    write_key(writer, "anyOf");
    begin(writer, "[", schema);
    for (size_t i = 0; types == NULL && i < sizeof all / sizeof all[0]; i++)
        write_type(writer, schema, properties, all[i]);
    for (size_t i = 0; types != NULL && i < json_object_array_length(types); i++)
        write_type(writer, schema, properties, json_object_get_string(json_object_array_get_idx(types, i)));
    end(writer, "]");
}

static bool has(struct json_object *object, const char *key)
{
    return json_object_object_get_ex(object, key, NULL);
}

static bool has_choice(struct json_object *schema)
{
    return has(schema, "oneOf") || has(schema, "anyOf") || has(schema, "allOf");
}

/* Writes a schema with one type. */
static void write_typed(struct writer *writer, struct json_object *schema, struct mov_type type)
{
    if (strcmp(type.one, "null") == 0) {
        write_members(writer, schema, "type", "enum");
        write_key(writer, "enum");
        text_puts(&writer->text, "[null]");
        return;
    }
    write_text_member(writer, "type", type.one);
    write_members(writer, schema, "type", type.nullable ? "nullable" : "type");
    if (type.nullable) {
        write_key(writer, "nullable");
        text_puts(&writer->text, "true");
    }
    if (strcmp(type.one, "object") == 0 && !has(schema, "properties")) {
        write_key(writer, "properties");
        text_puts(&writer->text, "{}");
    }
}

static void write_keywords(struct writer *writer, struct json_object *schema)
{
    struct json_object *constant = NULL;
    struct mov_type type = mov_type_of(schema);
    bool is_const = json_object_object_get_ex(schema, "const", &constant);
    if (is_const && constant != NULL && !json_object_is_type(constant, json_type_string)) {
        write_members(writer, schema, "const", "enum");
        write_key(writer, "enum");
        begin(writer, "[", schema);
        write_comma(writer);
        write_value(writer, constant);
        end(writer, "]");
    } else if (is_const || has(schema, "enum")) {
        write_members(writer, schema, NULL, NULL);
    } else if (type.one != NULL) {
        write_typed(writer, schema, type);
    } else if (has_choice(schema)) {
        write_members(writer, schema, type.several != NULL ? "type" : NULL, NULL);
    } else if (type.several != NULL || !has(schema, "properties")) {
        write_members(writer, schema, "type", NULL);
        write_any_of(writer, schema, object_member(schema, "properties"), type.several);
    } else {
        write_members(writer, schema, NULL, NULL);
    }
}

static void write_schema(struct writer *writer, struct json_object *schema)
{
    uint64_t reading = MOV_READS;
    const char *ref = string_member(schema, "$ref");
    ptrmap_get(&writer->contract->mov_reads, schema, &reading);
    if (ref != NULL && reading != MOV_CUT) {
        write_ref(writer, schema, ref);
        return;
    }
    begin(writer, "{", schema);
    if (json_object_is_type(schema, json_type_boolean) && !json_object_get_boolean(schema)) {
        write_key(writer, "enum");
        text_puts(&writer->text, "[]");
    } else if (reading == MOV_CUT || !json_object_is_type(schema, json_type_object)) {
        write_any_of(writer, schema, NULL, NULL);
    } else {
        write_keywords(writer, schema);
    }
    end(writer, "}");
}

static void write_value(struct writer *writer, struct json_object *value)
{
    struct text *text = &writer->text;
    if (writer->ended)
        return;
    if (value != NULL && ptrmap_get(&writer->contract->mov_reads, value, NULL)) {
        write_schema(writer, value);
        return;
    }
    switch (json_object_get_type(value)) {
    case json_type_object:
        begin(writer, "{", value);
        write_members(writer, value, NULL, NULL);
        end(writer, "}");
        break;
    case json_type_array:
        begin(writer, "[", value);
        for (size_t i = 0; i < json_object_array_length(value) && !writer->ended; i++) {
            write_comma(writer);
            write_value(writer, json_object_array_get_idx(value, i));
        }
        end(writer, "]");
        break;
    case json_type_string:
        write_string(writer, json_object_get_string(value), (size_t)json_object_get_string_len(value));
        break;
    case json_type_double:
        write_double(writer, value);
        break;
    default:
        text_puts(text, value == NULL ? "null" : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
    }
}

/* --- messages --- */

/* The payload of a message, as a reference: several channels may have the message. */
static void write_payload(struct writer *writer, struct json_object *message)
{
    struct json_object *payload = NULL;
    json_object_object_get_ex(message, "payload", &payload);
    if (has(payload, "$ref") || !json_object_is_type(payload, json_type_object))
        write_schema(writer, payload);
    else
        write_moved(writer, payload);
}

/* The MOV reads no choice of messages. A choice of payloads means the same. */
static void write_choice(struct writer *writer, struct json_object *messages)
{
    begin(writer, "{", messages);
    write_key(writer, "payload");
    begin(writer, "{", messages);
    write_key(writer, "oneOf");
    begin(writer, "[", messages);
    for (size_t i = 0; i < json_object_array_length(messages) && !writer->ended; i++) {
        write_comma(writer);
        write_payload(writer, contract_follow(writer->contract, json_object_array_get_idx(messages, i), NULL));
    }
    end(writer, "]");
    end(writer, "}");
    end(writer, "}");
}

/* The MOV follows one reference to a message. */
static void write_message(struct writer *writer, struct json_object *message)
{
    unsigned hops = 0;
    struct json_object *target = contract_follow(writer->contract, message, &hops);
    struct json_object *among = array_member(target, "oneOf");
    if (among != NULL && json_object_array_length(among) > 1) {
        write_choice(writer, among);
        return;
    }
    if (among != NULL) {
        message = json_object_array_get_idx(among, 0);
        target = contract_follow(writer->contract, message, &hops);
    }
    if (hops == 0 || (hops == 1 && mov_target(writer->contract, string_member(message, "$ref")) == target)) {
        write_value(writer, message);
        return;
    }
    begin(writer, "{", target);
    write_members(writer, target, "payload", "examples");
    write_key(writer, "payload");
    write_payload(writer, target);
    end(writer, "}");
}

static void write_operation(struct writer *writer, const char *key, struct json_object *operation)
{
    write_key(writer, key);
    begin(writer, "{", operation);
    write_members(writer, operation, "message", NULL);
    write_key(writer, "message");
    struct json_object *message = NULL;
    json_object_object_get_ex(operation, "message", &message);
    write_message(writer, message);
    end(writer, "}");
}

static void write_channels(struct writer *writer, struct json_object *channels)
{
    static const char *const operations[] = {"subscribe", "publish"};
    write_key(writer, "channels");
    begin(writer, "{", channels);
    json_object_object_foreach(channels, name, channel)
    {
        struct json_object *item = contract_follow(writer->contract, channel, NULL);
        write_key(writer, name);
        begin(writer, "{", item);
        write_members(writer, item, "subscribe", "publish");
        for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
            struct json_object *operation = object_member(item, operations[i]);
            if (operation != NULL && !writer->ended)
                write_operation(writer, operations[i], operation);
        }
        end(writer, "}");
    }
    end(writer, "}");
}

/* --- the document --- */

/* Writes the document's own schemas, and those that get a name here. The list grows during the write. */
static void write_schemas(struct writer *writer, struct json_object *schemas)
{
    write_key(writer, "schemas");
    begin(writer, "{", schemas);
    if (schemas != NULL)
        write_members(writer, schemas, NULL, NULL);
    for (size_t i = 0; i < writer->moved_count && !writer->ended; i++) {
        char name[32];
        snprintf(name, sizeof name, MOVED "%zu", writer->first_number + i);
        write_key(writer, name);
        write_schema(writer, writer->moved[i]);
    }
    end(writer, "}");
}

/* The number after those in the document's own names, so that no two schemas have the same name. */
static size_t first_number(struct json_object *schemas)
{
    size_t first = 0;
    if (schemas == NULL)
        return 0;
    json_object_object_foreach(schemas, name, schema)
    {
        (void)schema;
        const char *digits = name + strlen(MOVED);
        if (strncmp(name, MOVED, strlen(MOVED)) != 0 || strspn(digits, "0123456789") > 9)
            continue;
        size_t number = strtoul(digits, NULL, 10);
        first = number >= first ? number + 1 : first;
    }
    return first;
}

static void write_document(struct writer *writer, struct json_object *root)
{
    struct json_object *components = object_member(root, "components");
    struct json_object *schemas = object_member(components, "schemas");
    writer->first_number = first_number(schemas);
    begin(writer, "{", root);
    json_object_object_foreach(root, key, value)
    {
        if (strcmp(key, "channels") == 0)
            write_channels(writer, value);
        else if (strcmp(key, "components") != 0 && strcmp(key, "x-options") != 0)
            write_member(writer, key, value);
    }
    write_key(writer, "components");
    begin(writer, "{", components);
    if (components != NULL)
        write_members(writer, components, "schemas", NULL);
    write_schemas(writer, schemas);
    end(writer, "}");
    end(writer, "}");
}

static size_t count_characters(const struct text *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->len; i++)
        count += ((unsigned char)text->at[i] & 0xc0) != 0x80;
    return count;
}

void contract_write_for_mov(struct contract *contract)
{
    struct writer writer = {.contract = contract};
    write_document(&writer, document_root(contract->document));
    if (count_characters(&writer.text) > LENGTH_MAX || writer.text.len > BYTES_MAX)
        findings_add(&contract->findings, FINDING_ERROR, (struct place){0},
                     "the MOV reads a document of at most %zu characters, with each alias written out", LENGTH_MAX);
    if (contract->findings.errors == 0)
        contract->for_mov = writer.text.at;
    else
        text_free(&writer.text);
    ptrmap_clear(&writer.numbers);
    free(writer.moved);
}
