/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * thread: every thread has enough stack for the deepest check, with every `ulimit -s`. The program starts itself again
 * with a small limit, because the C library reads the limit at the start. */
#include "base/thread.h"

#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "schema/schema.h"

#define SMALL_STACK (256 << 10)

/* Each level of the value passes through five schemas, so the value ends just before or after the bound of the check.
 */
static const char text_of_schema[] =
    "{allOf: [{anyOf: [{oneOf: [{type: object, properties: {a: {$ref: '#'}}, additionalProperties: {$ref: '#'}}]}]}]}";

struct deep {
    const struct schema *schema;
    size_t stack;
    char reasons[2][200];
};

static struct json_object *nested(struct text *text, int levels)
{
    struct json_tokener *reader = json_reader_new();
    text_clear(text);
    for (int i = 0; i < levels; i++)
        text_puts(text, "{\"a\":");
    text_puts(text, "3");
    for (int i = 0; i < levels; i++)
        text_puts(text, "}");
    struct json_object *value = json_read(reader, text->at, text->len);
    json_tokener_free(reader);
    assert_non_null(value);
    return value;
}

static void *check_deep(void *argument)
{
    struct deep *deep = argument;
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, &deep->stack);
    pthread_attr_destroy(&attributes);
    struct text text = {0};
    for (int i = 0; i < 2; i++) {
        struct json_object *value = nested(&text, i == 0 ? 590 : JSON_DEPTH_MAX);
        (void)!schema_check(deep->schema, value, deep->reasons[i], sizeof deep->reasons[i]);
        json_object_put(value);
    }
    text_free(&text);
    return NULL;
}

static void deepest_check(void **state)
{
    UNUSED(state);
    struct rlimit limit;
    struct fault fault = {""};
    struct deep deep = {0};
    assert_int_equal(getrlimit(RLIMIT_STACK, &limit), 0);
    assert_int_equal(limit.rlim_cur, SMALL_STACK);
    struct document *document = document_read(text_of_schema, strlen(text_of_schema), &fault);
    struct schemas *schemas = schemas_compile(document, "", 0, &deep.schema, &fault);
    assert_string_equal(fault.text, "");
    pthread_join(thread_start(check_deep, &deep), NULL);
    assert_uint_in_range(deep.stack, 8 << 20, SIZE_MAX);
    assert_non_null(strstr(deep.reasons[0], "3 is not an object"));
    assert_non_null(strstr(deep.reasons[1], "nested too deep"));
    schemas_free(schemas);
    document_free(document);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deepest_check),
    };
    struct rlimit limit;
    (void)argc;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != SMALL_STACK) {
        limit.rlim_cur = SMALL_STACK;
        if (setrlimit(RLIMIT_STACK, &limit) != 0 || execv(argv[0], argv) != 0) {
            perror(argv[0]);
            return 1;
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
