/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * schema: the input is a schema, a line `----`, and up to three messages, one a line. The schema is compiled or
 * refused, in bounded time. A check ends in bounded time, fails with a reason or succeeds without one, and a second
 * check has the same result. */
#include "fuzz.h"

#include <json-c/json.h>
#include <string.h>

#include "schema/schema.h"

/* For one call. A check that uses up the smaller budget of the fuzz targets takes some 20 ms with sanitizers. */
#define SECONDS_MAX 3

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static bool check(const struct schema *schema, struct json_object *value, char *reason, size_t size)
{
    double began = fuzz_seconds();
    bool right = schema_check(schema, value, reason, size);
    EXPECT(fuzz_seconds() - began < SECONDS_MAX, "%f s", fuzz_seconds() - began);
    EXPECT(right == (reason[0] == '\0'), "%s: %s", right ? "right" : "wrong", reason);
    EXPECT(strlen(reason) < size, "%zu", strlen(reason));
    EXPECT(strpbrk(reason, "\n\r") == NULL, "a reason of several lines: %s", reason);
    return right;
}

static void check_line(const struct schema *schema, const char *line, size_t len)
{
    char reason[120] = "x";
    char again[16] = "x";
    struct json_tokener *reader = json_tokener_new_ex(1000);
    struct json_object *value = json_tokener_parse_ex(reader, line, (int)len);
    if (json_tokener_get_error(reader) == json_tokener_continue) { /* a number needs a byte after it */
        json_object_put(value);
        value = json_tokener_parse_ex(reader, " ", 1);
    }
    if (json_tokener_get_error(reader) == json_tokener_success) {
        bool right = check(schema, value, reason, sizeof reason);
        EXPECT(check(schema, value, again, sizeof again) == right, "%s, then %s", reason, again);
    }
    json_object_put(value);
    json_tokener_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char border[] = "\n----\n";
    struct fault fault = {""};
    const struct schema *schema = NULL;
    const char *end = (const char *)bytes + len;
    const char *line = memmem(bytes, len, border, sizeof border - 1);
    size_t size = line == NULL ? len : (size_t)(line - (const char *)bytes);
    struct document *document = document_read((const char *)bytes, size, &fault);
    if (document == NULL)
        return 0;
    double began = fuzz_seconds();
    struct schemas *schemas = schemas_compile(document, "", SCHEMA_ASSERT_FORMAT, &schema, &fault);
    EXPECT(fuzz_seconds() - began < SECONDS_MAX, "%f s", fuzz_seconds() - began);
    if (schemas == NULL)
        fuzz_expect_fault(fault.text, (const char *[]){"line ", NULL});
    else
        EXPECT(fault.text[0] == '\0', "compiled, and a fault: %s", fault.text);
    if (schemas != NULL && line != NULL) {
        line += sizeof border - 1;
        for (int i = 0; i < 3 && line < end; i++) {
            const char *next = memchr(line, '\n', (size_t)(end - line));
            next = next == NULL ? end : next;
            check_line(schema, line, (size_t)(next - line));
            line = next + 1;
        }
    }
    schemas_free(schemas);
    document_free(document);
    return 0;
}
