/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define TOPIC "valawai/c1/echo/control/registered"
#define HEAD "asyncapi: 2.6.0\n"
#define REGISTERED "  valawai/c1/echo/control/registered:\n    subscribe: {message: {}}\n"
#define GOOD HEAD "channels:\n" REGISTERED

static struct contract *expect_read(const char *document)
{
    struct contract *contract = NULL;
    struct fault fault = {""};
    if (!contract_read(document, &contract, &fault))
        fail_msg("refused %s: %s", document, fault.text);
    return contract;
}

/* Says what is not as expected, and goes on: a table wants to be seen as a whole. */
static bool is_refused(const char *document, const char *reason)
{
    struct contract *contract = NULL;
    struct fault fault = {""};
    if (contract_read(document, &contract, &fault)) {
        contract_free(contract);
        print_error("took %s; it should say %s\n", document, reason);
        return false;
    }
    assert_null(contract);
    if (strncmp(fault.text, "AsyncAPI document: ", 19) == 0 && strstr(fault.text, reason) != NULL &&
        strchr(fault.text, '\n') == NULL)
        return true;
    print_error("of %s it says \"%s\" and not \"%s\"\n", document, fault.text, reason);
    return false;
}

static void who_it_is(void **state)
{
    UNUSED(state);
    static const struct {
        const char *topic, *name, *type;
    } cases[] = {
        {"valawai/c0/a/control/registered", "c0_a", "C0"},
        {"valawai/c1/echo/control/registered", "c1_echo", "C1"},
        {"valawai/c2/Some_Name_2/control/registered", "c2_Some_Name_2", "C2"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char document[256];
        snprintf(document, sizeof document, HEAD "channels:\n  %s: {subscribe: {}}\n", cases[i].topic);
        struct contract *contract = expect_read(document);
        assert_string_equal(contract->name, cases[i].name);
        assert_string_equal(contract->type, cases[i].type);
        assert_string_equal(contract->registered, cases[i].topic);
        contract_free(contract);
    }
    contract_free(NULL);
}

static void directions(void **state)
{
    UNUSED(state);
    struct contract *contract = expect_read(GOOD "  valawai/c1/echo/data/in: {subscribe: {}}\n"
                                                 "  valawai/c1/echo/data/out: {publish: {}}\n"
                                                 "  valawai/c2/other/data/both: {subscribe: {}, publish: {}}\n"
                                                 "  valawai/c1/echo/data/none: {description: x}\n");
    static const struct {
        const char *topic;
        unsigned directions;
        int line;
    } cases[] = {
        {"valawai/c1/echo/control/registered", DIRECTION_SUBSCRIBE, 3},
        {"valawai/c1/echo/data/in", DIRECTION_SUBSCRIBE, 5},
        {"valawai/c1/echo/data/out", DIRECTION_PUBLISH, 6},
        {"valawai/c2/other/data/both", DIRECTION_SUBSCRIBE | DIRECTION_PUBLISH, 7},
        {"valawai/c1/echo/data/none", 0, 8},
    };
    assert_int_equal(contract->channel_count, COUNT(cases));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct contract_channel *channel = contract_channel(contract, cases[i].topic);
        assert_non_null(channel);
        assert_int_equal(channel->directions, cases[i].directions);
        assert_int_equal(channel->line, cases[i].line);
    }
    assert_null(contract_channel(contract, "valawai/c1/echo/data/unknown"));
    assert_null(contract_channel(contract, ""));
    contract_free(contract);
}

/* JSON is YAML, and so are anchors, quotes and flow style. */
static void other_notations(void **state)
{
    UNUSED(state);
    static const char *const documents[] = {
        "{\"asyncapi\":\"2.6.0\",\"channels\":{\"valawai/c1/echo/control/registered\":{\"subscribe\":{}}}}",
        "asyncapi: '2.6.0'\nchannels:\n  'valawai/c1/echo/control/registered':\n    subscribe: &x {}\n",
        "%YAML 1.1\n---\nasyncapi: \"2.6.0\"\nx: &c {subscribe: {}}\nchannels: {" TOPIC ": *c}\n...\n",
        "# comment\n\nasyncapi: 2.6.0 # this one\nchannels: {valawai/c1/echo/control/registered: {subscribe: null}}",
    };
    for (size_t i = 0; i < COUNT(documents); i++) {
        struct contract *contract = expect_read(documents[i]);
        assert_string_equal(contract->name, "c1_echo");
        contract_free(contract);
    }
}

static void what_is_refused(void **state)
{
    UNUSED(state);
    static const struct {
        const char *document, *reason;
    } cases[] = {
        {"", "not a mapping"},
        {"   \n", "not a mapping"},
        {"# only a comment\n", "not a mapping"},
        {"just a text", "not a mapping"},
        {"- a\n- b\n", "not a mapping"},
        {"42", "not a mapping"},
        {"a: [", "not YAML: line "},
        {"a: b: c", "not YAML: line 1"},
        {"asyncapi: 2.6.0\nchannels: }\n", "not YAML: line 2"},
        {"a:\n\tb: c\n", "not YAML: line 2"},
        {"a: \"\xff\"\n", "not YAML"},
        {"a: *nowhere\n", "not YAML"},
        {"a: \"\\q\"\n", "not YAML"},
        {"\x01", "not YAML"},
        {"channels:\n" REGISTERED, "no `asyncapi: 2.6.0`"},
        {"asyncapi: {}\nchannels:\n" REGISTERED, "no `asyncapi: 2.6.0`"},
        {"asyncapi: 2.5.0\nchannels:\n" REGISTERED, "line 1: asyncapi 2.5.0; the MOV reads 2.6.0"},
        {"info: x\nasyncapi: 3.0.0\nchannels:\n" REGISTERED, "line 2: asyncapi 3.0.0"},
        {HEAD, "no `channels`"},
        {HEAD "channels:\n", "no `channels`"},
        {HEAD "channels: []\n", "no `channels`"},
        {HEAD "channels: text\n", "no `channels`"},
        {HEAD "channels: {}\n", "no channel valawai/c[012]/<name>/control/registered"},
        {HEAD "channels:\n  valawai/c1/a/data/in: {subscribe: {}}\n",
         "no channel valawai/c[012]/<name>/control/registered"},
        {HEAD "channels:\n  valawai/c1/a/control/registered: {publish: {}}\n",
         "no channel valawai/c[012]/<name>/control/registered"},
        {GOOD "  valawai/c2/other/control/registered: {subscribe: {}}\n", "line 5: a second registered channel"},
        {GOOD "  some/other/name: {subscribe: {}}\n", "line 5: channel some/other/name is not named"},
        {GOOD "  valawai/c3/echo/data/in: {subscribe: {}}\n", "line 5: channel valawai/c3/echo/data/in is not named"},
        {GOOD "  valawai/c1/e-cho/data/in: {subscribe: {}}\n", "line 5: channel valawai/c1/e-cho/data/in is not named"},
        {GOOD "  valawai/c1//data/in: {subscribe: {}}\n", "line 5: channel valawai/c1//data/in is not named"},
        {GOOD "  valawai/c1/echo: {subscribe: {}}\n", "line 5: channel valawai/c1/echo is not named"},
        {GOOD "  valawai/c1/echo/: {subscribe: {}}\n", "line 5: channel valawai/c1/echo/ is not named"},
        {GOOD "  valawai/c1/echo/data/: {subscribe: {}}\n", "line 5: channel valawai/c1/echo/data/ is not named"},
        {GOOD "  valawai/c1/echo/other/in: {subscribe: {}}\n", "line 5: channel valawai/c1/echo/other/in is not named"},
        {GOOD "  valawai: {subscribe: {}}\n", "line 5: channel valawai is not named"},
        {GOOD "  '': {subscribe: {}}\n", "line 5: channel  is not named"},
        {GOOD "  \"valawai/c1/echo/data/in\\0x\": {subscribe: {}}\n", "line 5: channel valawai/c1/echo/data/in"},
        {GOOD "  [a]: {subscribe: {}}\n", "line 5: the name of a channel is not a text"},
    };
    size_t refused = 0;
    for (size_t i = 0; i < COUNT(cases); i++)
        refused += is_refused(cases[i].document, cases[i].reason);
    assert_int_equal(refused, COUNT(cases));
}

static void a_topic_has_255_bytes(void **state)
{
    UNUSED(state);
    char name[300], document[600];
    memset(name, 'a', sizeof name);
    name[255 - strlen("valawai/c1/echo/data/")] = '\0';
    snprintf(document, sizeof document, GOOD "  valawai/c1/echo/data/%s: {subscribe: {}}\n", name);
    contract_free(expect_read(document));
    snprintf(document, sizeof document, GOOD "  valawai/c1/echo/data/%sa: {subscribe: {}}\n", name);
    assert_true(is_refused(document, "line 5"));
}

/* A document may be deep; reading it takes no stack. */
static void deep_documents(void **state)
{
    UNUSED(state);
    size_t depth = 5000;
    char *document = malloc(strlen(GOOD) + depth * 2 + 16), *at = stpcpy(document, GOOD "x: ");
    memset(at, '[', depth);
    memset(at + depth, ']', depth);
    at[2 * depth] = '\0';
    struct contract *contract = NULL;
    struct fault fault = {""};
    if (contract_read(document, &contract, &fault))
        contract_free(contract);
    else
        expect_in(fault.text, "AsyncAPI document: ");
    free(document);
}

/* Every beginning of a good document is good or refused with a reason. */
static void every_beginning(void **state)
{
    UNUSED(state);
    static const char whole[] = GOOD "  valawai/c1/echo/data/in: {subscribe: {message: {payload: {type: object}}}}\n"
                                     "components: {schemas: {a: &a {type: string, enum: [\"x\", 'y']}, b: *a}}\n";
    for (size_t len = 0; len < sizeof whole; len++) {
        char document[sizeof whole];
        struct contract *contract = NULL;
        struct fault fault = {""};
        memcpy(document, whole, len);
        document[len] = '\0';
        if (contract_read(document, &contract, &fault))
            contract_free(contract);
        else
            assert_int_equal(strncmp(fault.text, "AsyncAPI document: ", 19), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_it_is),
        cmocka_unit_test(directions),
        cmocka_unit_test(other_notations),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_topic_has_255_bytes),
        cmocka_unit_test(deep_documents),
        cmocka_unit_test(every_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
