/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keeps the first 200 findings of a document, and counts the errors among all of them. */
#include "contract/findings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define FINDINGS_MAX 200

/* True if a finding has this text, after its pointer if it has one. */
static bool says(const struct finding *finding, const char *text)
{
    size_t all = strlen(finding->text), length = strlen(text);
    return all >= length && strcmp(finding->text + all - length, text) == 0 &&
           (all == length || finding->text[all - length - 1] == ' ');
}

static bool is_known(const struct findings *findings, enum finding_kind kind, struct place place, const char *text)
{
    for (size_t i = 0; i < findings->count && place.line > 0; i++) {
        const struct finding *finding = &findings->at[i];
        if (finding->kind == kind && finding->place.line == place.line && finding->place.column == place.column &&
            (kind == FINDING_ERROR || says(finding, text)))
            return true;
    }
    return false;
}

static void keep(struct findings *findings, enum finding_kind kind, struct place place, const char *text)
{
    if (kind == FINDING_ERROR)
        findings->errors++;
    if (findings->count >= FINDINGS_MAX) {
        findings->cut = true;
        return;
    }
    findings->at = memory_resize(findings->at, (findings->count + 1) * sizeof *findings->at);
    findings->at[findings->count++] = (struct finding){.kind = kind, .place = place, .text = memory_text(text)};
}

/* The object is NULL if the finding has no pointer. A pointer is expensive, so only kept findings get one: a document
 * can contain the same fault a hundred thousand times. */
static void add(struct findings *findings, enum finding_kind kind, struct place place, struct json_object *object,
                const char *key, const char *format, va_list arguments)
{
    char pointer[256] = "";
    struct text text = {0};
    struct text line = {0};
    text_vprintf(&text, format, arguments);
    text_put_line(&line, text.at, text.len);
    if (!is_known(findings, kind, place, line.at)) {
        if (object != NULL && findings->count < FINDINGS_MAX)
            document_pointer(findings->document, object, key, pointer, sizeof pointer);
        text_clear(&text);
        text_printf(&text, "%s%s%s", pointer, pointer[0] == '\0' ? "" : ": ", line.at);
        keep(findings, kind, place, text.at);
    }
    text_free(&line);
    text_free(&text);
}

void findings_add(struct findings *findings, enum finding_kind kind, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(findings, kind, place, NULL, NULL, format, arguments);
    va_end(arguments);
}

void findings_add_at(struct findings *findings, enum finding_kind kind, struct json_object *object, const char *key,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(findings, kind, document_place_of_key(findings->document, object, key), object, key, format, arguments);
    va_end(arguments);
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

void findings_sort(struct findings *findings)
{
    if (findings->count > 1)
        qsort(findings->at, findings->count, sizeof *findings->at, by_place);
}

void findings_clear(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        free((char *)findings->at[i].text);
    free(findings->at);
    *findings = (struct findings){0};
}
