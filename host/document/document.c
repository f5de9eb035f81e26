/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The queries on a document: its tree, the places of nodes and keys, and JSON pointers in both directions. */
#include "document/document.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ptrmap.h"
#include "base/text.h"
#include "document/parts.h"

struct json_object *document_root(const struct document *document)
{
    return document->root;
}

void document_free(struct document *document)
{
    if (document == NULL)
        return;
    json_object_put(document->root);
    json_object_put(document->merged);
    ptrmap_clear(&document->places);
    ptrmap_clear(&document->origins_of);
    free(document->origins);
    free(document);
}

/* --- places --- */

static struct place find_place(const struct document *document, const void *key)
{
    uint64_t packed = 0;
    ptrmap_get(&document->places, key, &packed);
    packed &= ~KEY_IS_NO_TEXT;
    return (struct place){.line = (unsigned)(packed >> 32), .column = (unsigned)packed};
}

const void *document_key_address(const struct json_object *object, const char *key)
{
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    struct lh_entry *entry = lh_table_lookup_entry(json_object_get_object(object), key);
    return entry == NULL ? NULL : lh_entry_k(entry);
}

struct place document_place(const struct document *document, const struct json_object *node)
{
    return find_place(document, node == NULL && document->root == NULL ? document : (const void *)node);
}

struct place document_place_of_key(const struct document *document, const struct json_object *object, const char *key)
{
    const void *address = key == NULL ? NULL : document_key_address(object, key);
    return find_place(document, address == NULL ? object : address);
}

bool document_key_is_text(const struct document *document, const struct json_object *object, const char *key)
{
    uint64_t packed = 0;
    ptrmap_get(&document->places, document_key_address(object, key), &packed);
    return (packed & KEY_IS_NO_TEXT) == 0;
}

/* --- pointers --- */

/* Reads one token of a pointer, unescaped, into a text, and returns the rest. */
static const char *next_token(const char *pointer, struct text *token)
{
    text_clear(token);
    text_puts(token, "");
    for (; *pointer != '\0' && *pointer != '/'; pointer++) {
        char c = *pointer;
        if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
            c = *++pointer == '0' ? '~' : '/';
        text_put(token, &c, 1);
    }
    return pointer;
}

static bool step_into_array(struct json_object *array, const char *token, struct json_object **node)
{
    size_t length = strlen(token);
    size_t index = 0;
    if (length == 0 || length > 9 || strspn(token, "0123456789") != length || (token[0] == '0' && length > 1))
        return false;
    index = (size_t)strtoul(token, NULL, 10);
    if (index >= json_object_array_length(array))
        return false;
    *node = json_object_array_get_idx(array, index);
    return true;
}

bool document_at(struct json_object *from, const char *pointer, struct json_object **node)
{
    struct text token = {0};
    bool ok = *pointer == '\0' || *pointer == '/';
    while (ok && *pointer == '/') {
        pointer = next_token(pointer + 1, &token);
        if (json_object_is_type(from, json_type_object))
            ok = json_object_object_get_ex(from, token.at, &from);
        else
            ok = json_object_is_type(from, json_type_array) && step_into_array(from, token.at, &from);
    }
    text_free(&token);
    if (ok)
        *node = from;
    return ok;
}

static void put_token(struct text *path, const char *token)
{
    text_puts(path, "/");
    for (; *token != '\0'; token++) {
        if (*token == '~' || *token == '/')
            text_puts(path, *token == '~' ? "~0" : "~1");
        else
            text_put(path, token, 1);
    }
}

static void put_path(struct text *path, const struct document *document, const struct json_object *node)
{
    uint64_t index = 0;
    if (!ptrmap_get(&document->origins_of, node, &index))
        return;
    const struct origin *origin = &document->origins[index];
    put_path(path, document, origin->parent);
    if (json_object_is_type(origin->parent, json_type_array))
        text_printf(path, "/%zu", origin->index);
    else if (origin->key != NULL)
        put_token(path, origin->key);
}

void document_pointer(const struct document *document, const struct json_object *node, const char *key, char *pointer,
                      size_t size)
{
    struct text path = {0};
    struct text line = {0};
    text_puts(&path, "");
    put_path(&path, document, node);
    if (key != NULL)
        put_token(&path, key);
    text_put_line(&line, path.at, path.len);
    snprintf(pointer, size, "%s", line.at);
    text_free(&path);
    text_free(&line);
}
