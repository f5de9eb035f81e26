/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * options: the sources of a plugin's options, their types, and refused values. */
#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/options.h"

#define HEAD "asyncapi: 2.6.0\ninfo: {title: t, version: 1.0.0, description: d}\nchannels: {}\n"
#define DECLARED                                                                                                       \
    HEAD "x-options:\n"                                                                                                \
         "  type: object\n"                                                                                            \
         "  required: [every_ms]\n"                                                                                    \
         "  properties:\n"                                                                                             \
         "    every_ms: {type: integer, minimum: 100, default: 1000}\n"                                                \
         "    at_least: {type: number}\n"                                                                              \
         "    token: {type: string}\n"                                                                                 \
         "    token_file: {type: string}\n"                                                                            \
         "    fast: {type: boolean, default: false}\n"                                                                 \
         "    names: {type: array, items: {type: string}, default: [a, b]}\n"                                          \
         "    mode: {$ref: '#/components/schemas/mode'}\n"                                                             \
         "components: {schemas: {mode: {type: string, enum: [one, two], default: one}}}\n"

static const char *const variables[] = {
    "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS",        "VALAWAI_OPTION_MY_PLUGIN_TOKEN",
    "VALAWAI_OPTION_MY_PLUGIN_TOKEN_FILE",      "VALAWAI_OPTION_MY_PLUGIN_FAST",
    "VALAWAI_OPTION_MY_PLUGIN_NAMES",           "VALAWAI_OPTION_MY_PLUGIN_MODE",
    "VALAWAI_OPTION_MY_PLUGIN_TOKEN_FILE_FILE",
};

static char *directory;
static struct contract *contract;

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    contract = NULL;
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    contract_free(contract);
    directory_remove(directory);
    return 0;
}

static void declare(const char *document)
{
    contract_free(contract);
    contract = contract_read(document, strlen(document));
}

#define SECTION(...)                                                                                                   \
    (&(struct plugin_section){.name = "my-plugin",                                                                     \
                              .options = (struct plugin_option[]){__VA_ARGS__},                                        \
                              .option_count =                                                                          \
                                  sizeof((struct plugin_option[]){__VA_ARGS__}) / sizeof(struct plugin_option)})
#define OPTION(key, value)                                                                                             \
    {                                                                                                                  \
        (char *)(uintptr_t)(key), (char *)(uintptr_t)(value)                                                           \
    }

static struct options *read_options(const struct plugin_section *section)
{
    struct options *options = NULL;
    struct fault fault = {""};
    if (!options_read(contract, "my-plugin.so", section, &options, &fault))
        fail_msg("%s", fault.text);
    return options;
}

static void expect_refused(const struct plugin_section *section, const char *reason)
{
    struct options *options = NULL;
    struct fault fault = {""};
    if (options_read(contract, "my-plugin.so", section, &options, &fault)) {
        options_free(options);
        fail_msg("accepted; expected: %s", reason);
    }
    if (strcmp(fault.text, reason) != 0)
        fail_msg("the reason is\n  %s\nand not\n  %s", fault.text, reason);
}

static void expect_json(struct options *options, const char *expected)
{
    assert_string_equal(json_object_to_json_string_ext(options_json(options), JSON_C_TO_STRING_PLAIN), expected);
    options_free(options);
}

static void without_a_declaration_they_are_texts(void **state)
{
    UNUSED(state);
    declare(HEAD);
    expect_json(read_options(NULL), "{}");
    setenv("VALAWAI_OPTION_MY_PLUGIN_EVERY_MS", "5", 1); /* only declared options come from the environment */
    struct options *options = read_options(SECTION(OPTION("every_ms", "500"), OPTION("anything", "")));
    assert_string_equal(options_text(options, "every_ms"), "500");
    assert_string_equal(options_text(options, "anything"), "");
    assert_null(options_text(options, "other"));
    expect_json(options, "{\"every_ms\":\"500\",\"anything\":\"\"}");
    assert_null(options_text(NULL, "x"));
    options_free(NULL);
}

static void values_have_the_declared_types(void **state)
{
    UNUSED(state);
    declare(DECLARED);
    expect_json(read_options(NULL), "{\"every_ms\":1000,\"fast\":false,\"names\":[\"a\",\"b\"],\"mode\":\"one\"}");
    struct options *options =
        read_options(SECTION(OPTION("every_ms", "500"), OPTION("at_least", "0.25"), OPTION("token", "1234"),
                             OPTION("fast", "true"), OPTION("names", "[\"x\"]"), OPTION("mode", "two")));
    assert_string_equal(options_text(options, "every_ms"), "500");
    assert_string_equal(options_text(options, "at_least"), "0.25");
    assert_string_equal(options_text(options, "token"), "1234");
    assert_string_equal(options_text(options, "fast"), "true");
    assert_string_equal(options_text(options, "names"), "[\"x\"]");
    assert_string_equal(options_text(options, "mode"), "two");
    expect_json(options, "{\"every_ms\":500,\"at_least\":0.25,\"token\":\"1234\",\"fast\":true,\"names\":[\"x\"],"
                         "\"mode\":\"two\"}");
}

static void the_environment_overrides_the_file_and_the_file_the_default(void **state)
{
    UNUSED(state);
    char path[512];
    declare(DECLARED);
    setenv("VALAWAI_OPTION_MY_PLUGIN_EVERY_MS", "700", 1);
    setenv("VALAWAI_OPTION_MY_PLUGIN_MODE", "", 1); /* counts as not set */
    struct options *options = read_options(SECTION(OPTION("every_ms", "500"), OPTION("mode", "two")));
    assert_string_equal(options_text(options, "every_ms"), "700");
    assert_string_equal(options_text(options, "mode"), "two");
    options_free(options);

    snprintf(path, sizeof path, "%s/mode", directory);
    file_puts(path, "two\n");
    setenv("VALAWAI_OPTION_MY_PLUGIN_MODE_FILE", path, 1);
    options = read_options(SECTION(OPTION("mode", "one")));
    assert_string_equal(options_text(options, "mode"), "two");
    options_free(options);
    setenv("VALAWAI_OPTION_MY_PLUGIN_MODE", "one", 1);
    expect_refused(NULL,
                   "VALAWAI_OPTION_MY_PLUGIN_MODE and VALAWAI_OPTION_MY_PLUGIN_MODE_FILE are both set; set one of "
                   "them");
    unsetenv("VALAWAI_OPTION_MY_PLUGIN_MODE");

    file_puts(path, "a secret\n"); /* which no record may show */
    char reason[1024];
    snprintf(reason, sizeof reason,
             "VALAWAI_OPTION_MY_PLUGIN_MODE_FILE: the value in %s does not match the declaration of mode in x-options",
             path);
    expect_refused(NULL, reason);
    snprintf(path, sizeof path, "%s/absent", directory);
    setenv("VALAWAI_OPTION_MY_PLUGIN_MODE_FILE", path, 1);
    snprintf(reason, sizeof reason, "VALAWAI_OPTION_MY_PLUGIN_MODE_FILE: %s: No such file or directory", path);
    expect_refused(NULL, reason);
    unsetenv("VALAWAI_OPTION_MY_PLUGIN_MODE_FILE");
}

/* Here token_file is a separate option, and not the file of token. */
static void an_option_that_is_called_like_a_file(void **state)
{
    UNUSED(state);
    declare(DECLARED);
    setenv("VALAWAI_OPTION_MY_PLUGIN_TOKEN_FILE", "/absent", 1);
    struct options *options = read_options(NULL);
    assert_string_equal(options_text(options, "token_file"), "/absent");
    assert_null(options_text(options, "token"));
    options_free(options);
}

static void what_is_refused(void **state)
{
    UNUSED(state);
    declare(DECLARED);
    expect_refused(SECTION(OPTION("evry_ms", "500")),
                   "plugin my-plugin in plugins.conf: unknown option evry_ms; did you mean every_ms?");
    expect_refused(SECTION(OPTION("colour", "red")), "plugin my-plugin in plugins.conf: unknown option colour");
    expect_refused(SECTION(OPTION("every_ms", "50")),
                   "plugin my-plugin in plugins.conf: /every_ms: 50 is under the minimum 100");
    struct fault fault = {""};
    struct options *options = NULL;
    assert_false(options_read(contract, "my-plugin.so", SECTION(OPTION("every_ms", "soon")), &options, &fault));
    expect_in(fault.text, "plugin my-plugin in plugins.conf: /every_ms: ");
    setenv("VALAWAI_OPTION_MY_PLUGIN_EVERY_MS", "60", 1);
    expect_refused(SECTION(OPTION("every_ms", "500")),
                   "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS: /every_ms: 60 is under the minimum 100");
    unsetenv("VALAWAI_OPTION_MY_PLUGIN_EVERY_MS");
    declare(HEAD "x-options: {properties: {n: {type: integer, default: x}}}\n");
    assert_false(options_read(contract, "my-plugin.so", NULL, &options, &fault));
    expect_in(fault.text, "options of plugin my-plugin: default of /n: ");
    declare(HEAD "x-options: {required: [n], properties: {n: {type: integer}}}\n");
    assert_false(options_read(contract, "my-plugin.so", NULL, &options, &fault));
    expect_in(fault.text, "options of plugin my-plugin: ");
    expect_in(fault.text, "n");
}

static void an_option_cannot_have_the_name_of_a_setting_of_the_host(void **state)
{
    UNUSED(state);
    static const char *const names[] = {"path", "enabled", "validate", "threads", "prefetch", "attempts"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char text[512], reason[512];
        snprintf(text, sizeof text, HEAD "x-options: {type: object, properties: {fine: {}, %s: {type: integer}}}\n",
                 names[i]);
        snprintf(reason, sizeof reason,
                 "options of plugin my-plugin: x-options declares %s, which is a setting of the host; give the option "
                 "another name",
                 names[i]);
        declare(text);
        expect_refused(NULL, reason);
    }
}

static void variables_of_the_environment(void **state)
{
    UNUSED(state);
    declare(DECLARED);
    assert_true(options_claim(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS"));
    assert_true(options_claim(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS_FILE"));
    assert_false(options_claim(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_EVRY_MS"));
    assert_false(options_claim(contract, "other.so", "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS"));
    char *near = options_suggest(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_EVRY_MS");
    assert_string_equal(near, "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS");
    free(near);
    near = options_suggest(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_COLOUR");
    assert_string_equal(near, "");
    free(near);
    assert_null(options_suggest(contract, "my-plugin.so", "VALAWAI_OPTION_OTHER_COLOUR"));
    declare(HEAD);
    assert_false(options_claim(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS"));
    assert_null(options_suggest(contract, "my-plugin.so", "VALAWAI_OPTION_MY_PLUGIN_EVERY_MS"));
}

static void a_declaration_that_is_wrong(void **state)
{
    UNUSED(state);
    static const char *const documents[] = {
        HEAD "x-options: true\n",
        HEAD "x-options: {type: object}\n",
        HEAD "x-options: {$ref: '#/absent'}\n",
        HEAD "x-options: {properties: {n: {type: intger}}}\n",
    };
    for (size_t i = 0; i < COUNT(documents); i++) {
        bool found = false;
        declare(documents[i]);
        for (size_t f = 0; f < contract_findings(contract); f++)
            found = found || (contract_finding(contract, f)->kind == FINDING_ERROR &&
                              strstr(contract_finding(contract, f)->text, "/x-options") != NULL);
        if (!found)
            fail_msg("no error of %s", documents[i]);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_declaration_they_are_texts),
        TEST(values_have_the_declared_types),
        TEST(the_environment_overrides_the_file_and_the_file_the_default),
        TEST(an_option_that_is_called_like_a_file),
        TEST(what_is_refused),
        TEST(an_option_cannot_have_the_name_of_a_setting_of_the_host),
        TEST(variables_of_the_environment),
        TEST(a_declaration_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
