/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Builds a contract: reads the document and its head, and calls the other files for the channels, the names, the
 * references, and the MOV's interpretation. */
#include "contract/contract.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "contract/parts.h"

#define ASYNCAPI_VERSION "2.6.0"

/* The most types and values, in lists, that the search for an object reads in all payloads. */
#define PATIENCE 5000000

static void note_schema_fault(void *context, struct place place, const char *text)
{
    struct contract *contract = context;
    findings_add(&contract->findings, FINDING_ERROR, place, "%s", text);
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
        findings_add_at(&contract->findings, FINDING_ERROR, root, NULL,
                        "no asyncapi: this is not an AsyncAPI document");
    else if (version != NULL && strncmp(version, "2.", 2) == 0 && is_version(version) &&
             strcmp(version, ASYNCAPI_VERSION) !=
                 0) /* the parts that the host reads have the same meaning in every 2.x */
        findings_add_at(&contract->findings, FINDING_WARNING, root, "asyncapi", "%s is read as %s", version,
                        ASYNCAPI_VERSION);
    else if (version == NULL || strcmp(version, ASYNCAPI_VERSION) != 0)
        findings_add_at(&contract->findings, FINDING_ERROR, root, "asyncapi",
                        "%s is not the version that is read here, %s", version == NULL ? "this" : version,
                        ASYNCAPI_VERSION);
}

static void read_version(struct contract *contract, struct json_object *info)
{
    struct json_object *version = NULL;
    if (!json_object_object_get_ex(info, "version", &version)) {
        findings_add_at(&contract->findings, FINDING_ERROR, info, NULL, "no version");
    } else if (json_object_is_type(version, json_type_string)) {
        contract->version = json_object_get_string(version);
        if (!is_version(contract->version))
            findings_add_at(&contract->findings, FINDING_ERROR, info, "version", "%s is not of the form x.y.z",
                            contract->version);
    } else if (json_object_is_type(version, json_type_int) || json_object_is_type(version, json_type_double)) {
        /* An unquoted 1.0: the MOV reads no version from it, and needs none, because the registration has the plugin's
         * version. */
        contract->version = json_object_get_string(version);
    } else {
        findings_add_at(&contract->findings, FINDING_ERROR, info, "version", "is not of the form x.y.z");
    }
}

static void read_info(struct contract *contract, struct json_object *root)
{
    struct json_object *info = object_member(root, "info");
    if (info == NULL) {
        findings_add_at(&contract->findings, FINDING_ERROR, root, "info", "no title and no version");
        return;
    }
    read_version(contract, info);
    contract->title = string_member(info, "title");
    contract->description = string_member(info, "description");
    if (contract->title == NULL)
        findings_add_at(&contract->findings, FINDING_WARNING, info, NULL, "no title");
    if (contract->description == NULL || contract->description[0] == '\0')
        findings_add_at(&contract->findings, FINDING_WARNING, info, NULL, "no description");
}

/* --- reading --- */

/* The reader puts the place before its reason; a finding has a separate place. */
static void note_unreadable(struct contract *contract, const struct fault *fault)
{
    struct place place = {0};
    int used = 0;
    if (sscanf(fault->text, "line %u, column %u: %n", &place.line, &place.column, &used) != 2)
        used = 0;
    findings_add(&contract->findings, FINDING_ERROR, place, "%s", fault->text + used);
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
    contract->findings.document = contract->document;
    struct json_object *root = document_root(contract->document);
    contract->schemas = schemas_new(contract->document, SCHEMA_ASSERT_FORMAT, note_schema_fault, contract);
    if (!json_object_is_type(root, json_type_object)) {
        findings_add(&contract->findings, FINDING_ERROR, document_place(contract->document, root),
                     "this is not an AsyncAPI document");
        return contract;
    }
    check_asyncapi(contract, root);
    if (!json_object_object_get_ex(root, "asyncapi", NULL) && !json_object_object_get_ex(root, "channels", NULL))
        return contract; /* no AsyncAPI document at all */
    read_info(contract, root);
    contract_check_refs(contract);
    contract_read_topics(contract);
    contract_read_options(contract);
    contract_check_schemas(contract);
    if (of_component) {
        contract_check_names(contract);
        contract_check_registered(contract);
    }
    if (of_component && contract->findings.errors == 0) {
        contract_check_connections(contract);
        contract_write_for_mov(contract);
    }
    contract_lint(contract);
    findings_sort(&contract->findings);
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
    findings_clear(&contract->findings);
    free(contract->for_mov);
    free(contract->topics);
    free(contract->name);
    ptrmap_clear(&contract->mov_reads);
    ptrmap_clear(&contract->circles);
    ptrmap_clear(&contract->seen_items);
    schemas_free(contract->schemas);
    document_free(contract->document);
    free(contract);
}

/* --- the result --- */

size_t contract_errors(const struct contract *contract)
{
    return contract->findings.errors;
}

size_t contract_findings(const struct contract *contract)
{
    return contract->findings.count;
}

const struct finding *contract_finding(const struct contract *contract, size_t index)
{
    return &contract->findings.at[index];
}

bool contract_findings_are_cut(const struct contract *contract)
{
    return contract->findings.cut;
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

const char *contract_description(const struct contract *contract)
{
    return contract->description;
}

const char *contract_for_mov(const struct contract *contract)
{
    return contract->for_mov;
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
