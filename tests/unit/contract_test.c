/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Unit tests of the room `contract`, and the corpus of AsyncAPI documents. A document under corpus/good has no finding.
 * One under corpus/bad has one fault, and its first line has the finding: kind, line, column, text. The MOV refuses a
 * document under corpus/for_mov; its first line has a part of the equivalent that the host sends. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "contract/contract.h"

#ifndef CORPUS_DIR
#define CORPUS_DIR "tests/corpus"
#endif

static char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *length = fread(text, 1, (1 << 20) - 1, file);
    text[*length] = '\0';
    fclose(file);
    return text;
}

static struct contract *load(const char *path)
{
    size_t length = 0;
    char *text = read_file(path, &length);
    struct contract *contract = contract_read(text, length);
    free(text);
    assert_non_null(contract);
    return contract;
}

static void print_findings(const char *path, const struct contract *contract)
{
    for (size_t i = 0; i < contract_findings(contract); i++) {
        const struct finding *finding = contract_finding(contract, i);
        print_message("%s:%u:%u: %s: %s\n", path, finding->place.line, finding->place.column,
                      finding->kind == FINDING_ERROR ? "error" : "warning", finding->text);
    }
}

/* The document for the MOV is readable, has the same topics, and needs no further change. */
static void assert_good_for_mov(const char *path, const struct contract *contract)
{
    const char *text = contract_for_mov(contract);
    assert_non_null(text);
    struct contract *again = contract_read(text, strlen(text));
    print_findings(path, again);
    assert_int_equal(contract_errors(again), 0);
    assert_string_equal(contract_for_mov(again), text);
    assert_string_equal(contract_name(again), contract_name(contract));
    assert_int_equal(contract_topics(again), contract_topics(contract));
    for (size_t i = 0; i < contract_topics(contract); i++) {
        const struct contract_topic *topic = contract_topic(contract, i);
        const struct contract_topic *other = contract_find(again, topic_name(topic));
        assert_non_null(other);
        assert_int_equal(topic_has(other, CONTRACT_SUBSCRIBE), topic_has(topic, CONTRACT_SUBSCRIBE));
        assert_int_equal(topic_has(other, CONTRACT_PUBLISH), topic_has(topic, CONTRACT_PUBLISH));
    }
    contract_free(again);
}

static void test_good_documents(void **state)
{
    glob_t files = {0};
    (void)state;
    assert_int_equal(glob(CORPUS_DIR "/good/*", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 14);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *name = strrchr(files.gl_pathv[i], '/') + 1;
        struct contract *contract = load(files.gl_pathv[i]);
        print_findings(files.gl_pathv[i], contract);
        assert_int_equal(contract_errors(contract), 0);
        assert_int_equal(contract_findings(contract), 0);
        /* the files have the names of their components */
        assert_int_equal(strncmp(contract_name(contract), name, strcspn(name, ".")), 0);
        assert_int_equal(contract_type(contract)[1], name[1]);
        assert_non_null(contract_version(contract));
        assert_non_null(contract_registered(contract));
        assert_good_for_mov(files.gl_pathv[i], contract);
        contract_free(contract);
    }
    globfree(&files);
}

static void test_documents_for_the_mov(void **state)
{
    glob_t files = {0};
    (void)state;
    assert_int_equal(glob(CORPUS_DIR "/for_mov/*", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 25);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        size_t length = 0;
        char *text = read_file(files.gl_pathv[i], &length);
        char wanted[256] = "";
        struct contract *contract = contract_read(text, length);
        assert_int_equal(sscanf(text, "# sends: %255[^\n]", wanted), 1);
        print_findings(files.gl_pathv[i], contract);
        assert_int_equal(contract_findings(contract), 0);
        if (strstr(contract_for_mov(contract), wanted) == NULL)
            fail_msg("%s: expected: %s; got: %s", files.gl_pathv[i], wanted, contract_for_mov(contract));
        assert_good_for_mov(files.gl_pathv[i], contract);
        contract_free(contract);
        free(text);
    }
    globfree(&files);
}

/* SnakeYAML counts characters, with each alias written out. */
static void test_too_long_for_the_mov(void **state)
{
    static const char format[] =
        "asyncapi: 2.6.0\ninfo: {title: T, version: 1.0.0, description: &d \"%*s\"}\n"
        "x-long: [*d, *d, *d]\nchannels:\n  valawai/c1/b/control/registered:\n"
        "    subscribe: {message: {payload: {type: object, properties: {id: {}, name: {}, "
        "description: {}, version: {}, api_version: {}, type: {}, since: {}, channels: {}}}}}\n";
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct text text = {0};
        text_printf(&text, format, (3 << 20) / 4 - (i == 0 ? 1000 : 0), "");
        struct contract *contract = contract_read(text.at, text.len);
        assert_int_equal(contract_errors(contract), i);
        assert_true((contract_for_mov(contract) == NULL) == (i == 1));
        if (i == 1)
            assert_non_null(strstr(contract_finding(contract, 0)->text, "at most 3145728 characters"));
        contract_free(contract);
        text_free(&text);
    }
}

static bool has_finding(const struct contract *contract, enum finding_kind kind, struct place place, const char *text)
{
    for (size_t i = 0; i < contract_findings(contract); i++) {
        const struct finding *finding = contract_finding(contract, i);
        if (finding->kind == kind && finding->place.line == place.line && finding->place.column == place.column &&
            strstr(finding->text, text) != NULL)
            return true;
    }
    return false;
}

static void print_if_more(const char *path, const struct contract *contract, bool error)
{
    if (contract_errors(contract) > 1 || (!error && contract_findings(contract) > 1))
        print_findings(path, contract);
}

static void check_bad_documents(const char *pattern, enum finding_kind warning)
{
    glob_t files = {0};
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        size_t length = 0;
        char *text = read_file(files.gl_pathv[i], &length);
        char kind[16] = "";
        char wanted[128] = "";
        struct place place = {0};
        struct contract *contract = contract_read(text, length);
        assert_int_equal(sscanf(text, "# expect: %15s %u %u %127[^\n]", kind, &place.line, &place.column, wanted), 4);
        bool error = strcmp(kind, "error") == 0;
        if (!has_finding(contract, error ? FINDING_ERROR : warning, place, wanted)) {
            print_findings(files.gl_pathv[i], contract);
            fail_msg("%s: expected: %s %u %u %s", files.gl_pathv[i], kind, place.line, place.column, wanted);
        }
        print_if_more(files.gl_pathv[i], contract, error);
        assert_int_equal(contract_errors(contract), error ? 1 : 0);
        if (!error)
            assert_int_equal(contract_findings(contract), 1);
        contract_free(contract);
        free(text);
    }
    globfree(&files);
}

static void test_bad_documents(void **state)
{
    (void)state;
    check_bad_documents(CORPUS_DIR "/bad/*", FINDING_WARNING);
    check_bad_documents(CORPUS_DIR "/lint/*", FINDING_HINT);
}

/* A document with a repeated line, in which @ is the number of the line and ^ that of the next. */
static struct contract *read_many(const char *begin, size_t count, const char *format)
{
    struct text text = {0};
    text_puts(&text, "asyncapi: 2.6.0\ninfo: {title: T, version: 1.0.0, description: D}\nchannels:\n"
                     "  valawai/c1/b/control/registered:\n"
                     "    subscribe: {message: {payload: {type: object, properties: {id: {type: string}, "
                     "name: {type: string}, description: {type: string}, version: {type: string}, api_version: "
                     "{type: string}, type: {type: string}, since: {type: integer}, channels: {type: array}}}}}\n");
    text_puts(&text, begin);
    for (size_t i = 0; i < count; i++) {
        for (const char *at = format; *at != '\0'; at++) {
            if (*at == '@' || *at == '^')
                text_printf(&text, "%zu", i + (*at == '^'));
            else
                text_put(&text, at, 1);
        }
    }
    struct contract *contract = contract_read(text.at, text.len);
    text_free(&text);
    return contract;
}

static void test_many_findings_are_cut(void **state)
{
    static const char bad[] = "  valawai/c1/b/data/x@: {publish: {message: {payload: {type: objct}}}}\n";
    (void)state;
    struct contract *contract = read_many("", 200, bad);
    assert_int_equal(contract_findings(contract), 200);
    assert_int_equal(contract_errors(contract), 200);
    assert_false(contract_findings_are_cut(contract));
    contract_free(contract);
    contract = read_many("", 201, bad);
    assert_int_equal(contract_findings(contract), 200);
    assert_true(contract_errors(contract) > 200);
    assert_true(contract_findings_are_cut(contract));
    contract_free(contract);
}

/* A row of arrays, each with references to the next and to the first. Reading them is fast. */
static void test_long_circles(void **state)
{
    struct timespec began, ended;
    (void)state;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    struct contract *contract = read_many(
        "  valawai/c1/b/data/x: {publish: {message: {payload: {type: object, properties: "
        "{a: {$ref: '#/components/schemas/s0'}}}}}}\n"
        "components:\n  schemas:\n    s10000: {type: string}\n",
        10000,
        "    s@: {type: array, items: [{$ref: '#/components/schemas/s^'}, {$ref: '#/components/schemas/s0'}]}\n");
    assert_int_equal(contract_findings(contract), 0);
    assert_non_null(contract_for_mov(contract));
    contract_free(contract);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    assert_true((double)(ended.tv_sec - began.tv_sec) < stretched(5));
}

/* This many channels, each with a choice of 60 times the same message. */
static void put_channels(struct text *text, int count, const char *message)
{
    for (int i = 0; i < count; i++) {
        text_printf(text, "  valawai/c1/b/data/x%d: {publish: {message: {oneOf: [", i);
        for (int j = 0; j < 60; j++)
            text_printf(text, "{$ref: '#/components/messages/%s'},", message);
        text_puts(text, "]}}}\n");
    }
}

/* Documents within the bounds that maximise the work for a message or a finding. */
static void test_hostile_documents(void **state)
{
    struct text long_name = {0};
    for (int i = 0; i < 50000; i++)
        text_puts(&long_name, "0123456789");
    const struct {
        const char *message;
        const char *components; /* with %s: the long name */
        size_t lines;
        const char *line;
    } cases[] = {
        {"m",
         "components:\n  messages: {m: {payload: {$ref: '#/components/schemas/s'}}}\n  schemas:\n    s:\n      enum:\n",
         100000, "      - 1\n"},
        {"m",
         "components:\n  messages: {m: {payload: {$ref: '#/components/schemas/s'}}}\n  schemas:\n    s:\n"
         "      allOf:\n",
         50000, "      - {}\n"},
        {"m",
         "components:\n  messages: {m: {payload: {$ref: '#/components/schemas/s'}}}\n  schemas:\n    s:\n"
         "      type: object\n      properties: {a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}}\n"
         "      required:\n",
         100000, "      - r@\n"},
        {"m59999", "components:\n  messages:\n", 60000, "    m@: {}\n"},
        {"m", "components:\n  messages:\n    m: {$ref: '#/components/messages/%s'}\n", 1, "    x: {}\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct timespec began, ended;
        struct text text = {0};
        char summary[200];
        put_channels(&text, 800, cases[i].message);
        text_printf(&text, cases[i].components, long_name.at);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
        struct contract *contract = read_many(text.at, cases[i].lines, cases[i].line);
        for (size_t j = 0; j < contract_topics(contract); j++)
            topic_summary(contract_topic(contract, j), CONTRACT_PUBLISH, summary, sizeof summary);
        assert_int_equal(contract_topics(contract), 801);
        contract_free(contract);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
        if ((double)(ended.tv_sec - began.tv_sec) >= stretched(5))
            fail_msg("case %zu: %ld s", i, (long)(ended.tv_sec - began.tv_sec));
        text_free(&text);
    }
    text_free(&long_name);
}

/* A star marks required properties; long texts are cut between characters. */
static void test_short_summaries(void **state)
{
    char summary[200];
    (void)state;
    struct contract *contract =
        read_many("  valawai/c1/b/data/x: {publish: {message: {payload: {type: object, required: [b], properties: "
                  "{a: {enum: ['0123456789012345678é', {c: [1]}, [2], null, 1.50, true]}, b: {type: string}}}}}}\n",
                  0, "");
    topic_summary(contract_find(contract, "valawai/c1/b/data/x"), CONTRACT_PUBLISH, summary, sizeof summary);
    assert_string_equal(summary, "{a: 0123456789012345678…|{…}|[…]|null|1.50|true, b*: string}");
    contract_free(contract);
}

static bool check(const struct contract *contract, const char *name, enum contract_direction direction,
                  const char *message, char *reason, size_t size)
{
    const struct contract_topic *topic = contract_find(contract, name);
    assert_non_null(topic);
    struct json_object *json = json_tokener_parse(message);
    bool right = topic_check(topic, direction, json, reason, size);
    json_object_put(json);
    return right;
}

static void test_topics(void **state)
{
    char reason[200];
    (void)state;
    struct contract *contract = load(CORPUS_DIR "/good/c1_basket.yaml");
    const char *items = "valawai/c1/basket/data/items";
    assert_int_equal(contract_topics(contract), 3);
    assert_null(contract_find(contract, "valawai/c1/basket/data/nothing"));
    assert_true(topic_has(contract_find(contract, items), CONTRACT_SUBSCRIBE));
    assert_false(topic_has(contract_find(contract, items), CONTRACT_PUBLISH));
    assert_true(check(contract, items, CONTRACT_SUBSCRIBE, "{\"items\":[{\"name\":\"a\",\"weight\":1.0}]}", reason,
                      sizeof reason));
    assert_string_equal(reason, "");
    assert_false(check(contract, items, CONTRACT_SUBSCRIBE,
                       "{\"items\":[{\"name\":\"a\",\"weight\":1},{\"name\":\"a\",\"weight\":1.4}]}", reason,
                       sizeof reason));
    assert_string_equal(reason, "/items/1/weight: 1.4 is over the maximum 1");
    assert_false(check(contract, items, CONTRACT_SUBSCRIBE, "{\"items\":[{\"name\":\"a\"}]}", reason, sizeof reason));
    assert_string_equal(reason, "/items/0: the property \"weight\" is missing");
    assert_false(check(contract, items, CONTRACT_PUBLISH, "{}", reason, sizeof reason));
    assert_string_equal(reason, "valawai/c1/basket/data/items: not declared in this direction");
    contract_free(contract);
}

static void test_summary(void **state)
{
    char summary[200];
    (void)state;
    struct contract *contract = load(CORPUS_DIR "/good/c1_mirror.yaml");
    topic_summary(contract_find(contract, "valawai/c1/mirror/data/mirrored_text"), CONTRACT_PUBLISH, summary,
                  sizeof summary);
    assert_string_equal(summary, "{content*: string, length*: integer}");
    assert_string_equal(contract_title(contract), "Mirror");
    assert_string_equal(contract_version(contract), "0.1.12");
    contract_free(contract);
}

/* Exactly one message of a choice must match, and a repeated message counts once. */
static void test_several_messages(void **state)
{
    static const char text[] = "asyncapi: 2.6.0\ninfo: {title: T, version: 1.0.0}\nchannels:\n  valawai/c1/m/data/in:\n"
                               "    subscribe:\n      message:\n        oneOf:\n"
                               "          - {payload: {$ref: '#/components/schemas/a'}}\n"
                               "          - {name: again, payload: {$ref: '#/components/schemas/a'}}\n"
                               "          - {payload: {type: object, required: [b]}}\n"
                               "components: {schemas: {a: {type: object, required: [a], properties: {a: {}}}}}\n";
    char reason[200];
    (void)state;
    struct contract *contract = contract_read(text, sizeof text - 1);
    const char *topic = "valawai/c1/m/data/in";
    assert_true(check(contract, topic, CONTRACT_SUBSCRIBE, "{\"b\":1}", reason, sizeof reason));
    assert_false(check(contract, topic, CONTRACT_SUBSCRIBE, "{}", reason, sizeof reason));
    assert_false(check(contract, topic, CONTRACT_SUBSCRIBE, "{\"a\":1,\"b\":2}", reason, sizeof reason));
    assert_non_null(strstr(reason, "of oneOf; must match exactly one"));
    contract_free(contract);
}

static void test_services(void **state)
{
    static const struct {
        const char *topic;
        const char *message;
        const char *reason; /* NULL: right */
    } cases[] = {
        {"valawai/component/register",
         "{\"type\":\"C1\",\"name\":\"c1_echo\",\"version\":\"1.0.0\",\"asyncapi_yaml\":\"x\"}", NULL},
        {"valawai/component/register",
         "{\"type\":\"C1\",\"name\":\"c1_echo\",\"version\":\"1\",\"asyncapi_yaml\":\"x\"}",
         "/version: \"1\" does not match"},
        {"valawai/component/unregister", "{\"component_id\":\"0123456789abcdef01234567\"}", NULL},
        {"valawai/component/unregister", "{\"component_id\":\"x\"}", "/component_id: \"x\" does not match"},
        {"valawai/component/query", "{\"id\":\"q\",\"pattern\":\"c1_echo\",\"limit\":1}", NULL},
        {"valawai/component/query", "{\"id\":\"q\",\"limit\":0}", "/limit: 0 is under the minimum 1"},
        {"valawai/log/add", "{\"level\":\"INFO\",\"message\":\"m\",\"payload\":null}", NULL},
        {"valawai/log/add", "{\"level\":\"FATAL\",\"message\":\"m\"}",
         "/level: \"FATAL\" is none of \"ERROR\", \"WARN\""},
        {"valawai/topology/create", "{\"source\":{},\"target\":{},\"enabled\":true}",
         "/source: the property \"component_id\" is missing"},
        {"valawai/topology/change", "{\"action\":\"REMOVE\",\"connection_id\":\"0123456789abcdef01234567\"}", NULL},
        {"valawai/topology/query", "{\"id\":\"q\"}", NULL},
        {"valawai/topology/create",
         "{\"source\":{\"component_id\":\"0123456789abcdef01234567\",\"channel_name\":\"a\"},"
         "\"target\":{\"component_id\":\"0123456789abcdef01234567\",\"channel_name\":\"b\"},"
         "\"converter_js_code\":5}",
         "/converter_js_code: 5 is not"},
        {"valawai/topology/notification/create",
         "{\"connection_id\":\"0123456789abcdef01234567\",\"enabled\":true,"
         "\"target\":{\"component_id\":\"0123456789abcdef01234567\",\"channel_name\":\"c\"}}",
         NULL},
        {"valawai/topology/notification/create", "{\"connection_id\":\"0123456789abcdef01234567\"}",
         "the property \"target\" is missing"},
        {"valawai/topology/notification/change",
         "{\"action\":\"ENABLE\",\"connection_id\":\"0123456789abcdef01234567\","
         "\"target\":{\"component_id\":\"0123456789abcdef01234567\",\"channel_name\":\"c\"}}",
         NULL},
    };
    char reason[200];
    (void)state;
    const struct contract *mov = contract_of_mov();
    print_findings("the MOV", mov);
    assert_int_equal(contract_errors(mov), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool right = check(mov, cases[i].topic, CONTRACT_PUBLISH, cases[i].message, reason, sizeof reason);
        assert_int_equal(right, cases[i].reason == NULL);
        if (!right)
            assert_true(cases[i].reason != NULL && strstr(reason, cases[i].reason) != NULL);
    }
}

/* {"n": 111…}, {"111…": 1} and {"n": "111…"}, with this many characters. */
static bool fits_mov(const char *begin, size_t count, const char *character, const char *end)
{
    struct text text = {0};
    struct fault fault = {""};
    text_puts(&text, begin);
    for (size_t i = 0; i < count; i++)
        text_puts(&text, character);
    text_puts(&text, end);
    bool fits = contract_body_for_mov(text.at, text.len, &fault);
    assert_true(fits == (fault.text[0] == '\0'));
    text_free(&text);
    return fits;
}

static void test_bodies_for_the_mov(void **state)
{
    (void)state;
    assert_true(fits_mov("{\"n\":", 1000, "1", "}"));
    assert_false(fits_mov("{\"n\":", 1001, "1", "}"));
    assert_false(fits_mov("{\"n\":-0.", 998, "1", "e5}"));
    assert_true(fits_mov("{\"n\":\"\\\\\\\"", 60000, "1", "\"}"));
    assert_true(fits_mov("{\"", 50000, "x", "\":1}"));
    assert_false(fits_mov("{\"", 50001, "x", "\" \n:1}"));
    assert_true(fits_mov("{\"", 50000, "\xc3\xa9", "\":1}"));
    assert_false(fits_mov("{\"", 50001, "\xc3\xa9", "\":1}"));
    assert_true(fits_mov("{\"n\":[", 60000, "1234567,", "1]}"));
    assert_true(fits_mov("{\"n\":\"", 60000, "x", ""));
}

/* A schema with a fault matches nothing, and the other schemas of the document work. */
static void test_broken_schema(void **state)
{
    static const char text[] = "asyncapi: 2.6.0\ninfo: {title: T, version: 1.0.0}\nchannels:\n"
                               "  valawai/c1/m/data/in: {subscribe: {message: {payload: {minLength: -1}}}}\n"
                               "  valawai/c1/m/data/out: {publish: {message: {payload: {type: object}}}}\n";
    char reason[200];
    (void)state;
    struct contract *contract = contract_read(text, sizeof text - 1);
    assert_true(contract_errors(contract) > 0);
    assert_false(check(contract, "valawai/c1/m/data/in", CONTRACT_SUBSCRIBE, "{}", reason, sizeof reason));
    assert_string_equal(reason, "the schema of this value has an error");
    assert_true(check(contract, "valawai/c1/m/data/out", CONTRACT_PUBLISH, "{}", reason, sizeof reason));
    contract_free(contract);
}

static void test_unreadable(void **state)
{
    (void)state;
    struct contract *contract = contract_read("", 0);
    assert_int_equal(contract_errors(contract), 1);
    assert_int_equal(contract_topics(contract), 0);
    assert_null(contract_name(contract));
    assert_null(contract_find(contract, "x"));
    contract_free(contract);
    contract_free(NULL);
}

/* --- messages made from a schema --- */

/* The contract of a component with one channel, which has this payload. */
static struct contract *contract_of_payload(const char *payload)
{
    struct text document = {0};
    text_printf(&document,
                "{\"asyncapi\":\"2.6.0\",\"info\":{\"title\":\"x\",\"version\":\"1.0.0\",\"description\":\"x\"},"
                "\"channels\":{\"valawai/c1/x/data/y\":{\"subscribe\":{\"message\":{\"payload\":%s}}}},"
                "\"components\":{\"schemas\":{"
                "\"list\":{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#/components/schemas/list\"}}},"
                "\"endless\":{\"type\":\"object\",\"required\":[\"next\"],"
                "\"properties\":{\"next\":{\"$ref\":\"#/components/schemas/endless\"}}}}}}",
                payload);
    struct contract *contract = contract_read(document.at, document.len);
    text_free(&document);
    return contract;
}

/* The example for a payload; the caller frees it. NULL: there is none. */
static char *example_of(const char *payload)
{
    struct contract *contract = contract_of_payload(payload);
    struct text body = {0};
    const struct contract_topic *topic = contract_find(contract, "valawai/c1/x/data/y");
    assert_non_null(topic);
    if (!topic_example(topic, CONTRACT_SUBSCRIBE, &body))
        text_free(&body);
    contract_free(contract);
    return body.at;
}

static void test_examples_of_payloads(void **state)
{
#define OBJECT(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"
#define MEMBER(schema) "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":" schema "}}"
    static const struct {
        const char *payload, *body;
    } cases[] = {
        {OBJECT("\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}"), "{\"a\":\"text\",\"b\":1}"},
        {MEMBER("{\"type\":\"string\",\"examples\":[5,\"first\"],\"default\":\"second\"}"), "{\"a\":\"first\"}"},
        {MEMBER("{\"type\":\"integer\",\"example\":\"x\",\"default\":7}"), "{\"a\":7}"},
        {MEMBER("{\"const\":null}"), "{\"a\":null}"},
        {MEMBER("{\"enum\":[\"RED\",\"BLUE\"]}"), "{\"a\":\"RED\"}"},
        {MEMBER("{\"type\":[\"null\",\"boolean\"]}"), "{\"a\":true}"},
        {MEMBER("{\"type\":\"integer\",\"minimum\":10,\"maximum\":20,\"multipleOf\":7}"), "{\"a\":14}"},
        {MEMBER("{\"type\":\"integer\",\"exclusiveMaximum\":-5}"), "{\"a\":-6}"},
        {MEMBER("{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}"), "{\"a\":0.5}"},
        {MEMBER("{\"type\":\"number\",\"minimum\":0.25,\"maximum\":0.3,\"multipleOf\":0.1}"), "{\"a\":0.3}"},
        {MEMBER("{\"type\":\"string\",\"minLength\":6}"), "{\"a\":\"textxx\"}"},
        {MEMBER("{\"type\":\"string\",\"maxLength\":2}"), "{\"a\":\"te\"}"},
        {MEMBER("{\"type\":\"string\",\"format\":\"ipv4\"}"), "{\"a\":\"192.0.2.1\"}"},
        {MEMBER("{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-\\\\d{3}(a|b)?$\"}"), "{\"a\":\"AA-111a\"}"},
        {MEMBER("{\"type\":\"string\",\"pattern\":\"^(?:ab|cd)+[^a-x]\\\\.$\"}"), "{\"a\":\"ab_.\"}"},
        {MEMBER("{\"type\":\"string\",\"pattern\":\"^[0-9]*$\",\"minLength\":4}"), "{\"a\":\"0000\"}"},
        {MEMBER("{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":3,\"uniqueItems\":true}"),
         "{\"a\":[1,2,3]}"},
        {MEMBER("{\"type\":\"array\",\"maxItems\":0}"), "{\"a\":[]}"},
        {MEMBER("{\"type\":\"array\",\"items\":[{\"type\":\"integer\"},{\"type\":\"boolean\"}]}"), "{\"a\":[1,false]}"},
        {MEMBER("{\"oneOf\":[false,{\"type\":\"integer\"}]}"), "{\"a\":1}"},
        {MEMBER("{\"anyOf\":[{\"type\":\"string\",\"maxLength\":1}],\"minLength\":1}"), "{\"a\":\"t\"}"},
        {"{\"type\":\"object\",\"allOf\":[" OBJECT("\"a\":{\"type\":\"integer\"}") "," OBJECT(
             "\"a\":{\"minimum\":5}") "]}",
         "{\"a\":5}"},
        {"{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":{\"type\":\"integer\"}}",
         "{\"member_1\":1}"},
        {"{\"type\":\"object\",\"maxProperties\":1,\"required\":[\"b\"],\"properties\":{\"a\":{\"type\":\"null\"},"
         "\"b\":{\"type\":\"null\"}}}",
         "{\"b\":null}"},
        {"{\"$ref\":\"#/components/schemas/list\"}", "{\"next\":{\"next\":{\"next\":{\"next\":{}}}}}"},
        {"{\"$ref\":\"#/components/schemas/endless\"}", NULL},
        {MEMBER("{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}"), NULL},
        {MEMBER("{\"type\":\"string\",\"pattern\":\"^(?=b)b$\"}"), NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *body = example_of(cases[i].payload);
        if (body == NULL || cases[i].body == NULL || strcmp(body, cases[i].body) != 0)
            print_message("%s: %s\n", cases[i].payload, body == NULL ? "none" : body);
        if (cases[i].body == NULL)
            assert_null(body);
        else
            assert_string_equal(body, cases[i].body);
        free(body);
    }
#undef OBJECT
#undef MEMBER
}

/* A schema with 8 to the power of 24 alternatives costs no more than others. */
static void test_example_ends(void **state)
{
    char choices[1024] = "";
    struct text payload = {0};
    (void)state;
    for (int i = 0; i < 8; i++)
        snprintf(choices + strlen(choices), sizeof choices - strlen(choices),
                 "%s{\"minProperties\":%d,\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#/channels/"
                 "valawai~1c1~1x~1data~1y/subscribe/message/payload\"}}}",
                 i == 0 ? "" : ",", i);
    text_printf(&payload, "{\"type\":\"object\",\"anyOf\":[%s]}", choices);
    clock_t begin = clock();
    char *body = example_of(payload.at);
    assert_null(body);
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
    free(body);
    text_free(&payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_documents),
        cmocka_unit_test(test_bad_documents),
        cmocka_unit_test(test_documents_for_the_mov),
        cmocka_unit_test(test_too_long_for_the_mov),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_several_messages),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_many_findings_are_cut),
        cmocka_unit_test(test_long_circles),
        cmocka_unit_test(test_hostile_documents),
        cmocka_unit_test(test_short_summaries),
        cmocka_unit_test(test_bodies_for_the_mov),
        cmocka_unit_test(test_examples_of_payloads),
        cmocka_unit_test(test_example_ends),
        cmocka_unit_test(test_broken_schema),
        cmocka_unit_test(test_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
