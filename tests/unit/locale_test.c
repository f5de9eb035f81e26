/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Unit tests of `locale`: numbers in documents, schemas and messages are the same under a locale with a decimal comma,
 * which the test makes with localedef. */
#include "base/locale.h"

#include "support.h"

#include <json-c/json.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/thread.h"
#include "document/document.h"
#include "schema/schema.h"

static char *directory;

static int make_locale(void **state)
{
    char command[256];
    UNUSED(state);
    directory = directory_new();
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", directory);
    setenv("LOCPATH", directory, 1);
    bool made = system(command) == 0 && setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    unsetenv("LOCPATH"); /* glibc's newlocale() leaks the path otherwise */
    if (made)
        return 0;
    print_message("skipped: localedef cannot make the locale de_DE.UTF-8\n");
    return 0;
}

static int remove_locale(void **state)
{
    UNUSED(state);
    setlocale(LC_ALL, "C");
    directory_remove(directory);
    return 0;
}

/* Gives the calling thread the process's locale, like a thread of a plugin. */
static void need_comma(void)
{
    char text[8];
    snprintf(text, sizeof text, "%.2f", 0.25);
    if (strcmp(text, "0,25") != 0)
        skip();
}

static void real_numbers(void **state)
{
    UNUSED(state);
    char text[32], *end = NULL;
    need_comma();
    assert_true(real_read("0.25", &end) == 0.25);
    assert_string_equal(end, "");
    real_write(text, sizeof text, 'g', 17, 0.25);
    assert_string_equal(text, "0.25");
    real_write(text, sizeof text, 'e', 2, 0.25);
    assert_string_equal(text, "2.50e-01");
    need_comma(); /* the caller's locale is as it was */
}

static void a_bound_of_a_schema_and_a_number_in_a_message(void **state)
{
    UNUSED(state);
    static const char schema_text[] = "{minimum: 0.25, maximum: 0.75, multipleOf: 0.05}";
    static const struct {
        const char *number;
        bool valid;
    } cases[] = {{"0.25", true}, {"0.2", false}, {"0.75", true}, {"0.8", false}, {"2.5e-1", true}, {"0.26", false}};
    need_comma();
    struct fault fault = {""};
    const struct schema *schema = NULL;
    struct document *document = document_read(schema_text, strlen(schema_text), &fault);
    struct schemas *schemas = schemas_compile(document, "", 0, &schema, &fault);
    assert_string_equal(fault.text, "");
    struct json_tokener *reader = json_reader_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char reason[200];
        char body[32];
        int len = snprintf(body, sizeof body, "{\"n\": %s}", cases[i].number);
        struct json_object *message = json_parse(reader, body, (size_t)len, &fault), *number = NULL;
        assert_non_null(message);
        assert_true(json_object_object_get_ex(message, "n", &number));
        if (schema_check(schema, number, reason, sizeof reason) != cases[i].valid)
            fail_msg("%s is %s", cases[i].number, cases[i].valid ? "refused" : "accepted");
        assert_true(cases[i].valid || strchr(reason, ',') == NULL);
        json_object_put(message);
    }
    json_tokener_free(reader);
    schemas_free(schemas);
    document_free(document);
}

static void *read_quarter(void *argument)
{
    double *real = argument;
    char text[8];
    real[0] = strtod("0.25", NULL);
    snprintf(text, sizeof text, "%.2f", 0.25);
    real[1] = strcmp(text, "0.25") == 0;
    return NULL;
}

/* Conversions by a plugin or a library on such a thread. */
static void a_thread_of_the_host_has_the_c_locale(void **state)
{
    UNUSED(state);
    double real[2] = {0};
    need_comma();
    pthread_join(thread_start(read_quarter, real), NULL);
    assert_true(real[0] == 0.25);
    assert_true(real[1] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_numbers),
        cmocka_unit_test(a_bound_of_a_schema_and_a_number_in_a_message),
        cmocka_unit_test(a_thread_of_the_host_has_the_c_locale),
    };
    return cmocka_run_group_tests(tests, make_locale, remove_locale);
}
