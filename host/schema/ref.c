/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds the target of a `$ref` within the document. Nearly always it is a JSON pointer. But a schema may have an
 * identifier (`$id`), which is the base of the references below it. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/ptrmap.h"
#include "schema/parts.h"

#define URI_MAX 1024

struct identifier {
    char *uri; /* absolute if the document allows it; without an empty fragment */
    struct json_object *node;
};

struct identifiers {
    struct identifier *at; /* at[0] is the document itself */
    size_t count;
    struct json_object *refused; /* the first object with a refused $id, and the reason */
    const char *why;
    struct ptrmap bases; /* from an object with a $ref that is not relative to at[0] to the identifier of its base */
    struct ptrmap known; /* from an object with a $ref to the address of the target, or 0 */
};

/* --- URI references (RFC 3986, section 5) --- */

/* The end of the scheme ("http:" gives 5), or 0. */
static size_t scheme_length(const char *uri)
{
    size_t length = strcspn(uri, ":/?#");
    return length > 0 && uri[length] == ':' ? length + 1 : 0;
}

/* The end of scheme and authority. */
static size_t authority_end(const char *uri)
{
    size_t at = scheme_length(uri);
    if (strncmp(uri + at, "//", 2) == 0)
        at += 2 + strcspn(uri + at + 2, "/?#");
    return at;
}

/* Removes "." and ".." from the path, in place. */
static void remove_dots(char *path)
{
    size_t end = strcspn(path, "?#");
    struct text clean = {0};
    text_puts(&clean, "");
    for (size_t at = 0; at < end;) {
        size_t segment = 1 + strcspn(path + at + 1, "/?#");
        bool last = at + segment >= end;
        bool one = segment == 2 && path[at] == '/' && path[at + 1] == '.';
        bool two = segment == 3 && strncmp(path + at, "/..", 3) == 0;
        while (two && clean.len > 0 && clean.at[--clean.len] != '/')
            ;
        if (!one && !two)
            text_put(&clean, path + at, segment);
        else if (last)
            text_put(&clean, "/", 1);
        at += segment;
    }
    text_puts(&clean, path + end);
    memcpy(path, clean.at, clean.len + 1); /* never longer than it was */
    text_free(&clean);
}

/* Resolves the reference against the base; NULL if the result is too long. The caller frees it. */
static char *resolve_uri(const char *base, const char *ref)
{
    struct text uri = {0};
    size_t path = 0;
    text_puts(&uri, "");
    if (scheme_length(ref) > 0) {
        path = authority_end(ref);
        text_puts(&uri, ref);
    } else if (strncmp(ref, "//", 2) == 0) {
        text_put(&uri, base, scheme_length(base));
        path = uri.len + 2 + strcspn(ref + 2, "/?#");
        text_puts(&uri, ref);
    } else {
        path = authority_end(base);
        size_t base_path = path + strcspn(base + path, "?#");
        size_t kept = base_path; /* "?query" and "#fragment" keep all of the path */
        if (*ref == '/')
            kept = path;
        else if (*ref == '#')
            kept = strcspn(base, "#");
        else if (*ref != '?' && *ref != '\0')
            while (kept > path && base[kept - 1] != '/')
                kept--;
        text_put(&uri, base, kept);
        if (kept == path && path > 0 && *ref != '/' && *ref != '#' && *ref != '?' && *ref != '\0')
            text_puts(&uri, "/");
        text_puts(&uri, ref);
    }
    if (uri.len > 0 && uri.at[uri.len - 1] == '#')
        uri.at[--uri.len] = '\0';
    if (uri.len > URI_MAX) {
        text_free(&uri);
        return NULL;
    }
    if (uri.at[path] == '/')
        remove_dots(uri.at + path);
    return uri.at;
}

/* --- collecting identifiers --- */

static const char *string_member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(object, key, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static size_t refuse_identifier(struct identifiers *identifiers, struct json_object *node, const char *why, size_t base)
{
    if (identifiers->refused == NULL) {
        identifiers->refused = node;
        identifiers->why = why;
    }
    return base;
}

/* The index of the new identifier; that of the base if the identifier is refused, or only names a place. */
static size_t add_identifier(struct identifiers *identifiers, struct json_object *node, const char *id, size_t base)
{
    char *uri = resolve_uri(identifiers->at[base].uri, id);
    if (uri == NULL)
        return refuse_identifier(identifiers, node, "the $id is too long", base);
    for (size_t i = 1; i < identifiers->count; i++) {
        if (identifiers->at[i].node == node && strcmp(identifiers->at[i].uri, uri) == 0) { /* an alias */
            free(uri);
            return *id == '#' ? base : i;
        }
    }
    if (identifiers->count == IDENTIFIERS_MAX + 1) {
        free(uri);
        return refuse_identifier(identifiers, node, "too many $id", base);
    }
    identifiers->at = memory_resize(identifiers->at, (identifiers->count + 1) * sizeof *identifiers->at);
    identifiers->at[identifiers->count] = (struct identifier){.uri = uri, .node = node};
    identifiers->count++;
    return *id == '#' ? base : identifiers->count - 1;
}

static bool holds_values(const char *key)
{
    static const char *const keys[] = {"const", "default", "enum", "example", "examples"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

static bool holds_names(const char *key)
{
    static const char *const keys[] = {"definitions", "dependencies", "patternProperties", "properties", "schemas"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

/* Searches the tree for $id. `names`: the keys of this object are names, not keywords. */
static void collect(struct identifiers *identifiers, struct json_object *node, size_t base, bool names)
{
    if (json_object_is_type(node, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(node); i++)
            collect(identifiers, json_object_array_get_idx(node, i), base, false);
    }
    if (!json_object_is_type(node, json_type_object))
        return;
    const char *id = names ? NULL : string_member(node, "$id");
    bool is_ref = !names && string_member(node, "$ref") != NULL;
    if (id != NULL && !is_ref)
        base = add_identifier(identifiers, node, id, base);
    if (is_ref && base != 0)
        ptrmap_put(&identifiers->bases, node, base);
    json_object_object_foreach(node, key, value)
    {
        if (names || !holds_values(key))
            collect(identifiers, value, base, !names && holds_names(key));
    }
}

struct identifiers *identifiers_new(struct json_object *root)
{
    struct identifiers *identifiers = memory_new(sizeof *identifiers);
    identifiers->at = memory_new(sizeof *identifiers->at);
    identifiers->at[0] = (struct identifier){.uri = memory_text(""), .node = root};
    identifiers->count = 1;
    collect(identifiers, root, 0, false);
    return identifiers;
}

struct json_object *identifiers_refused(const struct identifiers *identifiers, const char **why)
{
    *why = identifiers->why;
    return identifiers->refused;
}

void identifiers_free(struct identifiers *identifiers)
{
    if (identifiers == NULL)
        return;
    for (size_t i = 0; i < identifiers->count; i++)
        free(identifiers->at[i].uri);
    free(identifiers->at);
    ptrmap_clear(&identifiers->bases);
    ptrmap_clear(&identifiers->known);
    free(identifiers);
}

/* --- resolving --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes the percent escapes of a fragment, in place. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text != '\0'; text++) {
        int high = *text == '%' ? hex_digit(text[1]) : -1;
        int low = high >= 0 ? hex_digit(text[2]) : -1;
        if (low >= 0 && (high > 0 || low > 0)) {
            *to++ = (char)(high << 4 | low);
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

static const struct identifier *find_identifier(const struct identifiers *identifiers, const char *uri)
{
    for (size_t i = 0; i < identifiers->count; i++) {
        if (strcmp(identifiers->at[i].uri, uri) == 0)
            return &identifiers->at[i];
    }
    return NULL;
}

static bool refuse(struct fault *fault, const char *ref, const char *why)
{
    struct text shown = {0};
    name_show(&shown, ref, strlen(ref));
    fault_set(fault, "%s %s", shown.at, why);
    text_free(&shown);
    return false;
}

/* A name (`#item`, given by an $id) or, in a document that has any identifiers, a whole URI. */
static bool resolve_identifier(const struct identifiers *identifiers, size_t base, const char *ref,
                               struct json_object **target, struct fault *fault)
{
    char *uri = resolve_uri(identifiers->at[base].uri, ref);
    char *fragment = NULL;
    const struct identifier *found = uri == NULL ? NULL : find_identifier(identifiers, uri);
    bool ok = found != NULL;
    if (ok) {
        *target = found->node;
    } else if (uri != NULL && (fragment = strchr(uri, '#')) != NULL) {
        *fragment++ = '\0';
        found = find_identifier(identifiers, uri);
        unescape(fragment);
        ok = found != NULL && *fragment == '/' && document_at(found->node, fragment, target);
    }
    free(uri);
    if (ok)
        return true;
    return refuse(fault, ref, found != NULL || *ref == '#' ? "leads to nothing" : "leads out of the document");
}

static bool resolve(const struct identifiers *identifiers, const struct json_object *at, const char *ref,
                    struct json_object **target, struct fault *fault)
{
    uint64_t base = 0;
    ptrmap_get(&identifiers->bases, at, &base);
    bool is_pointer = ref[0] == '#' && (ref[1] == '/' || ref[1] == '\0');
    if (!is_pointer)
        return resolve_identifier(identifiers, (size_t)base, ref, target, fault);
    char *pointer = memory_text(ref + 1);
    unescape(pointer);
    bool ok = document_at(identifiers->at[base].node, pointer, target);
    free(pointer);
    return ok || refuse(fault, ref, "leads to nothing");
}

bool identifiers_resolve(const struct identifiers *identifiers, const struct json_object *at, const char *ref,
                         struct json_object **target, struct fault *fault)
{
    uint64_t known = 0;
    if (!ptrmap_get(&identifiers->known, at, &known) || (known == 0 && fault != NULL))
        return resolve(identifiers, at, ref, target, fault);
    if (known != 0)
        *target = (struct json_object *)(uintptr_t)known;
    return known != 0;
}

bool identifiers_learn(struct identifiers *identifiers, const struct json_object *at, const char *ref,
                       struct json_object **target, struct fault *fault)
{
    bool ok = resolve(identifiers, at, ref, target, fault);
    if (!ok || *target != NULL) /* a null has no address */
        ptrmap_put(&identifiers->known, at, ok ? (uint64_t)(uintptr_t)*target : 0);
    return ok;
}
