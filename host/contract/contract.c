/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Puts a contract together: reads the document, looks at its head, and has the rest of the room look at the channels,
 * the names, the references and what the MOV makes of it all. */
#include "contract/contract.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "contract/parts.h"

#define ASYNCAPI_VERSION "2.6.0"
#define FINDINGS_MAX 200
#define HOPS_MAX 32

/* How many types and values, in lists, the payloads of all messages are searched for an object. */
#define PATIENCE 5000000

/* --- findings --- */

/* Whether a finding says this, behind its pointer if it has one. */
static bool says(const struct finding *finding, const char *text)
{
    size_t all = strlen(finding->text), length = strlen(text);
    return all >= length && strcmp(finding->text + all - length, text) == 0 &&
           (all == length || finding->text[all - length - 1] == ' ');
}

/* One fault is often met in several ways; the first to tell of it is enough. */
static bool is_known(const struct contract *contract, enum finding_kind kind, struct place place, const char *text)
{
    for (size_t i = 0; i < contract->finding_count && place.line > 0; i++) {
        const struct finding *finding = &contract->findings[i];
        if (finding->kind == kind && finding->place.line == place.line && finding->place.column == place.column &&
            (kind == FINDING_ERROR || says(finding, text)))
            return true;
    }
    return false;
}

static void add_finding(struct contract *contract, enum finding_kind kind, struct place place, const char *text)
{
    if (kind == FINDING_ERROR)
        contract->errors++;
    if (contract->finding_count >= FINDINGS_MAX) {
        contract->cut = true;
        return;
    }
    contract->findings = memory_resize(contract->findings, (contract->finding_count + 1) * sizeof *contract->findings);
    contract->findings[contract->finding_count++] =
        (struct finding){.kind = kind, .place = place, .text = memory_text(text)};
}

/* Notes what is said of a place, which is that of a key of an object; the object is NULL if there is no pointer to
 * tell. A pointer is dear, and hardly ever wanted: a document can have the same fault met a hundred thousand times. */
static void note(struct contract *contract, enum finding_kind kind, struct place place, struct json_object *object,
                 const char *key, const char *format, va_list arguments)
{
    char pointer[256] = "";
    struct text text = {0};
    struct text line = {0};
    text_vprintf(&text, format, arguments);
    text_put_line(&line, text.at, text.len);
    if (!is_known(contract, kind, place, line.at)) {
        if (object != NULL && contract->finding_count < FINDINGS_MAX) /* or else it is for nothing */
            document_pointer(contract->document, object, key, pointer, sizeof pointer);
        text_clear(&text);
        text_printf(&text, "%s%s%s", pointer, pointer[0] == '\0' ? "" : ": ", line.at);
        add_finding(contract, kind, place, text.at);
    }
    text_free(&line);
    text_free(&text);
}

void contract_note(struct contract *contract, enum finding_kind kind, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(contract, kind, place, NULL, NULL, format, arguments);
    va_end(arguments);
}

void contract_note_at(struct contract *contract, enum finding_kind kind, struct json_object *object, const char *key,
                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(contract, kind, document_place_of_key(contract->document, object, key), object, key, format, arguments);
    va_end(arguments);
}

static void note_schema_fault(void *context, struct place place, const char *text)
{
    contract_note(context, FINDING_ERROR, place, "%s", text);
}

static int by_place(const void *a, const void *b)
{
    const struct finding *left = a;
    const struct finding *right = b;
    if (left->place.line != right->place.line)
        return left->place.line < right->place.line ? -1 : 1;
    if (left->place.column != right->place.column)
        return left->place.column < right->place.column ? -1 : 1;
    return left->kind != right->kind ? (int)left->kind - (int)right->kind : strcmp(left->text, right->text);
}

/* --- the tree --- */

struct json_object *object_member(struct json_object *object, const char *key)
{
    struct json_object *member = NULL;
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    json_object_object_get_ex(object, key, &member);
    return json_object_is_type(member, json_type_object) ? member : NULL;
}

const char *string_member(struct json_object *object, const char *key)
{
    struct json_object *member = NULL;
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    json_object_object_get_ex(object, key, &member);
    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

struct json_object *contract_follow(const struct contract *contract, struct json_object *object, unsigned *hops)
{
    unsigned count = 0;
    while (string_member(object, "$ref") != NULL) {
        if (count == HOPS_MAX || !schemas_follow(contract->schemas, object, &object, NULL))
            return NULL;
        count++;
    }
    if (hops != NULL)
        *hops = count;
    return json_object_is_type(object, json_type_object) ? object : NULL;
}

/* --- the head of the document --- */

/* One or more digits, three times, with points between. */
static bool is_version(const char *text)
{
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0)
            return false;
        text += digits;
        if (*text++ != (i < 2 ? '.' : '\0'))
            return false;
    }
    return true;
}

static void check_asyncapi(struct contract *contract, struct json_object *root)
{
    const char *version = string_member(root, "asyncapi");
    if (!json_object_object_get_ex(root, "asyncapi", NULL))
        contract_note_at(contract, FINDING_ERROR, root, NULL, "no asyncapi: this is no AsyncAPI document");
    else if (version != NULL && strncmp(version, "2.", 2) == 0 && is_version(version) &&
             strcmp(version, ASYNCAPI_VERSION) != 0) /* all that we read means the same in all of 2 */
        contract_note_at(contract, FINDING_WARNING, root, "asyncapi", "%s is read as %s", version, ASYNCAPI_VERSION);
    else if (version == NULL || strcmp(version, ASYNCAPI_VERSION) != 0)
        contract_note_at(contract, FINDING_ERROR, root, "asyncapi", "%s is not the version that is read here, %s",
                         version == NULL ? "this" : version, ASYNCAPI_VERSION);
}

static void read_version(struct contract *contract, struct json_object *info)
{
    struct json_object *version = NULL;
    if (!json_object_object_get_ex(info, "version", &version)) {
        contract_note_at(contract, FINDING_ERROR, info, NULL, "no version");
    } else if (json_object_is_type(version, json_type_string)) {
        contract->version = json_object_get_string(version);
        if (!is_version(contract->version))
            contract_note_at(contract, FINDING_ERROR, info, "version", "%s is not of the form x.y.z",
                             contract->version);
    } else if (json_object_is_type(version, json_type_int) || json_object_is_type(version, json_type_double)) {
        /* 1.0 without quotation marks: the MOV takes no version from it, and does not need to, as the registration has
         * the plugin's. */
        contract->version = json_object_get_string(version);
    } else {
        contract_note_at(contract, FINDING_ERROR, info, "version", "is not of the form x.y.z");
    }
}

static void read_info(struct contract *contract, struct json_object *root)
{
    struct json_object *info = object_member(root, "info");
    if (info == NULL) {
        contract_note_at(contract, FINDING_ERROR, root, "info", "no title and no version");
        return;
    }
    read_version(contract, info);
    contract->title = string_member(info, "title");
    const char *description = string_member(info, "description");
    if (contract->title == NULL)
        contract_note_at(contract, FINDING_WARNING, info, NULL, "no title");
    if (description == NULL || description[0] == '\0')
        contract_note_at(contract, FINDING_WARNING, info, NULL, "no description");
}

/* --- reading --- */

/* The reader puts the place before its reason; a finding has it apart. */
static void note_unreadable(struct contract *contract, const struct fault *fault)
{
    struct place place = {0};
    int used = 0;
    if (sscanf(fault->text, "line %u, column %u: %n", &place.line, &place.column, &used) != 2)
        used = 0;
    contract_note(contract, FINDING_ERROR, place, "%s", fault->text + used);
}

struct contract *contract_build(const char *text, size_t length, bool of_component)
{
    struct fault fault = {0};
    struct contract *contract = memory_new(sizeof *contract);
    contract->of_component = of_component;
    contract->patience = PATIENCE;
    contract->document = document_read(text, length, &fault);
    if (contract->document == NULL) {
        note_unreadable(contract, &fault);
        return contract;
    }
    struct json_object *root = document_root(contract->document);
    contract->schemas = schemas_new(contract->document, SCHEMA_ASSERT_FORMAT, note_schema_fault, contract);
    if (!json_object_is_type(root, json_type_object)) {
        contract_note(contract, FINDING_ERROR, document_place(contract->document, root),
                      "this is no AsyncAPI document");
        return contract;
    }
    check_asyncapi(contract, root);
    if (!json_object_object_get_ex(root, "asyncapi", NULL) && !json_object_object_get_ex(root, "channels", NULL))
        return contract; /* something else altogether */
    read_info(contract, root);
    contract_check_refs(contract);
    contract_read_topics(contract);
    contract_read_options(contract);
    contract_check_schemas(contract);
    if (of_component) {
        contract_check_names(contract);
        contract_check_registered(contract);
    }
    if (contract->finding_count > 1)
        qsort(contract->findings, contract->finding_count, sizeof *contract->findings, by_place);
    return contract;
}

struct contract *contract_read(const char *text, size_t length)
{
    return contract_build(text, length, true);
}

void contract_free(struct contract *contract)
{
    if (contract == NULL)
        return;
    for (size_t i = 0; i < contract->finding_count; i++)
        free((char *)contract->findings[i].text);
    free(contract->findings);
    free(contract->topics);
    free(contract->name);
    ptrmap_clear(&contract->seen_for_mov);
    ptrmap_clear(&contract->circles_for_mov);
    ptrmap_clear(&contract->seen_items);
    schemas_free(contract->schemas);
    document_free(contract->document);
    free(contract);
}

/* --- what it says --- */

size_t contract_errors(const struct contract *contract)
{
    return contract->errors;
}

size_t contract_findings(const struct contract *contract)
{
    return contract->finding_count;
}

const struct finding *contract_finding(const struct contract *contract, size_t index)
{
    return &contract->findings[index];
}

bool contract_findings_are_cut(const struct contract *contract)
{
    return contract->cut;
}

const char *contract_name(const struct contract *contract)
{
    return contract->name;
}

const char *contract_type(const struct contract *contract)
{
    return contract->type[0] == '\0' ? NULL : contract->type;
}

const char *contract_version(const struct contract *contract)
{
    return contract->version;
}

const char *contract_title(const struct contract *contract)
{
    return contract->title;
}

const char *contract_registered(const struct contract *contract)
{
    return contract->registered;
}

size_t contract_topics(const struct contract *contract)
{
    return contract->topic_count;
}

const struct contract_topic *contract_topic(const struct contract *contract, size_t index)
{
    return &contract->topics[index];
}

const struct contract_topic *contract_find(const struct contract *contract, const char *name)
{
    for (size_t i = 0; i < contract->topic_count; i++) {
        if (strcmp(contract->topics[i].name, name) == 0)
            return &contract->topics[i];
    }
    return NULL;
}
