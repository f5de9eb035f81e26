/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * settings: the source of each setting. A fault names file and line, or the variable. Every test runs in an empty
 * directory with none of the variables set. */
#include "support.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings.h"

/* The names of the wire contract and of plugins.conf, with their meaning. They repeat those of the host, so that a
 * change of the contract breaks this test. */
enum kind { TEXT, PATH, NUMBER, LEVEL, BOOLEAN };

static const struct known {
    const char *section, *key, *variable;
    enum kind kind;
    size_t at;
    const char *text; /* default of TEXT and PATH … */
    long number;      /* … and of the others */
    long min, max;
} known[] = {
#define AT(member) offsetof(struct settings, member)
    {NULL, "plugin_directory", NULL, PATH, AT(plugin_directory), "plugins", 0, 0, 0},
    {"broker", "host", "RABBITMQ_HOST", TEXT, AT(broker.host), "mov-mq", 0, 0, 0},
    {"broker", "port", "RABBITMQ_PORT", NUMBER, AT(broker.port), NULL, 5672, 1, 65535},
    {"broker", "username", "RABBITMQ_USERNAME", TEXT, AT(broker.username), "mov", 0, 0, 0},
    {"broker", "password", "RABBITMQ_PASSWORD", TEXT, AT(broker.password), "password", 0, 0, 0},
    {"broker", "tls", "RABBITMQ_TLS", BOOLEAN, AT(broker.tls), NULL, false, 0, 0},
    {"broker", "tls_ca", "RABBITMQ_TLS_CA", PATH, AT(broker.tls_ca), "/etc/ssl/certs/ca-certificates.crt", 0, 0, 0},
    {"broker", "tls_certificate", "RABBITMQ_TLS_CERTIFICATE", PATH, AT(broker.tls_certificate), NULL, 0, 0, 0},
    {"broker", "tls_key", "RABBITMQ_TLS_KEY", PATH, AT(broker.tls_key), NULL, 0, 0, 0},
    {"broker", "virtual_host", NULL, TEXT, AT(broker.virtual_host), "/", 0, 0, 0},
    {"broker", "max_retries", "RABBITMQ_MAX_RETRIES", NUMBER, AT(broker.max_retries), NULL, 100, 1, 1000000},
    {"broker", "retry_sleep", "RABBITMQ_RETRY_SLEEP", NUMBER, AT(broker.retry_sleep), NULL, 3, 0, 3600},
    {"broker", "heartbeat", NULL, NUMBER, AT(broker.heartbeat), NULL, 10, 1, 600},
    {"broker", "prefetch", NULL, NUMBER, AT(broker.prefetch), NULL, 200, 1, 65535},
    {"broker", "delivery_limit", NULL, NUMBER, AT(broker.delivery_limit), NULL, 20, 0, 1000000},
    {"broker", "reconnect_max", NULL, NUMBER, AT(broker.reconnect_max), NULL, 1, 1, 3600},
    {"log", "directory", "LOG_DIR", PATH, AT(log_directory), "logs", 0, 0, 0},
    {"log", "console_level", "LOG_CONSOLE_LEVEL", LEVEL, AT(log.console_level), NULL, LOG_INFO, 0, 0},
    {"log", "file_level", "LOG_FILE_LEVEL", LEVEL, AT(log.file_level), NULL, LOG_DEBUG, 0, 0},
    {"log", "file_max_bytes", "LOG_FILE_MAX_BYTES", NUMBER, AT(log.max_bytes), NULL, 1000000, 0, LONG_MAX},
    {"log", "file_backup_count", "LOG_FILE_BACKUP_COUNT", NUMBER, AT(log.backup_count), NULL, 5, 0, 1000},
    {"log", "file_name", "LOG_FILE_NAME", TEXT, AT(log_file_name), "log_messages.txt", 0, 0, 0},
    {"health", "file_name", "COMPONET_ID_FILE_NAME", TEXT, AT(health_file_name), "component_id.json", 0, 0, 0},
    {"host", "grace_seconds", NULL, NUMBER, AT(host.grace_seconds), NULL, 5, 0, 3600},
    {"host", "message_max_bytes", NULL, NUMBER, AT(host.message_max_bytes), NULL, 16777216, 1024, 134217728},
    {"host", "outbox_max_bytes", NULL, NUMBER, AT(host.outbox_max_bytes), NULL, 67108864, 1024, LONG_MAX},
    {"host", "attempts", NULL, NUMBER, AT(host.attempts), NULL, 10, 1, 1000000},
    {"host", "slow_seconds", NULL, NUMBER, AT(host.slow_seconds), NULL, 60, 1, 86400},
    {"host", "cpu_max", NULL, NUMBER, AT(host.limits.cpu_max), NULL, 0, 1, 100000},
    {"host", "files_max", NULL, NUMBER, AT(host.limits.files_max), NULL, 0, 16, 1048576},
    {"host", "processes_max", NULL, NUMBER, AT(host.limits.processes_max), NULL, 0, 1, 1000000},
#undef AT
};

static char *directory, *home;

static int enter(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i].variable != NULL)
            unsetenv(known[i].variable);
    unsetenv("RABBITMQ_PASSWORD_FILE");
    home = getcwd(NULL, 0);
    directory = directory_new();
    return chdir(directory);
}

static int leave(void **state)
{
    UNUSED(state);
    int answer = chdir(home);
    free(home);
    directory_remove(directory);
    return answer;
}

/* Reads t.conf with this valid text (NULL: no file). */
static struct settings *read_text(const char *text)
{
    struct settings *settings = NULL;
    struct fault fault = {""};
    if (text != NULL)
        file_puts("t.conf", text);
    if (!settings_read(text == NULL ? NULL : "t.conf", &settings, &fault))
        fail_msg("refused %s: %s", text == NULL ? "no file" : text, fault.text);
    return settings;
}

/* Prints each deviation and goes on, so that one run shows all rows of a table that fail. */
static bool is_refused(const char *text, const char *reason)
{
    struct settings *settings = NULL;
    struct fault fault = {""};
    if (text != NULL)
        file_puts("t.conf", text);
    if (settings_read(text == NULL ? NULL : "t.conf", &settings, &fault)) {
        settings_free(settings);
        print_error("took %s; expected %s\n", text == NULL ? "no file" : text, reason);
        return false;
    }
    if (strstr(fault.text, reason) != NULL && strchr(fault.text, '\n') == NULL)
        return true;
    print_error("of %s\nit says     %s\nand not     %s\n", text == NULL ? "no file" : text, fault.text, reason);
    return false;
}

static void expect_refused(const char *text, const char *reason)
{
    if (!is_refused(text, reason))
        fail();
}

static void expect_setting(const struct settings *settings, const struct known *setting, const char *text, long number)
{
    const void *at = (const char *)settings + setting->at;
    if (setting->kind == TEXT || setting->kind == PATH) {
        const char *found = *(char *const *)at;
        if ((found == NULL) != (text == NULL) || (text != NULL && strcmp(found, text) != 0))
            fail_msg("%s is %s and not %s", setting->key, found == NULL ? "(NULL)" : found,
                     text == NULL ? "(NULL)" : text);
        return;
    }
    long found = setting->kind == BOOLEAN ? (long)*(const bool *)at : *(const long *)at;
    if (found != number)
        fail_msg("%s is %ld and not %ld", setting->key, found, number);
}

static void in_file(char *text, size_t size, const struct known *setting, const char *value)
{
    if (setting->section == NULL)
        snprintf(text, size, "%s = %s\n", setting->key, value);
    else
        snprintf(text, size, "%s { %s = %s }\n", setting->section, setting->key, value);
}

static void defaults(void **state)
{
    UNUSED(state);
    struct settings *settings = read_text(NULL);
    for (size_t i = 0; i < COUNT(known); i++)
        expect_setting(settings, &known[i], known[i].text, known[i].number);
    assert_null(settings->broker.password_file);
    assert_int_equal(settings->section_count, 0);
    settings_free(settings);
    settings_free(NULL);
}

static void an_empty_file_changes_nothing(void **state)
{
    UNUSED(state);
    static const char *const texts[] = {"", "\n\n", "# only a comment", "broker { }\nlog { }\nhealth { }\nhost { }\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct settings *settings = read_text(texts[i]);
        for (size_t k = 0; k < COUNT(known); k++)
            expect_setting(settings, &known[k], known[k].text, known[k].number);
        settings_free(settings);
    }
}

static void every_setting_from_the_file(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(known); i++) {
        static const char *const values[] = {
            [TEXT] = "\"some text\"", [PATH] = "/some/path", [NUMBER] = "1234", [LEVEL] = "ERROR", [BOOLEAN] = "yes"};
        static const char *const texts[] = {[TEXT] = "some text", [PATH] = "/some/path", [NUMBER] = NULL};
        bool small = known[i].kind == NUMBER && known[i].max < 1234;
        char text[200];
        in_file(text, sizeof text, &known[i], small ? "77" : values[known[i].kind]);
        struct settings *settings = read_text(text);
        for (size_t k = 0; k < COUNT(known); k++) { /* only this one changes, except that TLS has its own port */
            if (known[i].kind == BOOLEAN && strcmp(known[k].key, "port") == 0)
                expect_setting(settings, &known[k], NULL, 5671);
            else if (k != i)
                expect_setting(settings, &known[k], known[k].text, known[k].number);
            else if (known[i].kind == LEVEL || known[i].kind == BOOLEAN)
                expect_setting(settings, &known[k], NULL, known[i].kind == LEVEL ? LOG_ERROR : true);
            else
                expect_setting(settings, &known[k], known[i].kind == NUMBER ? NULL : texts[known[i].kind],
                               small ? 77 : 1234);
        }
        settings_free(settings);
    }
}

static void the_environment_overrides_the_file(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(known); i++) {
        if (known[i].variable == NULL)
            continue;
        static const char *const filed[] = {
            [TEXT] = "filed", [PATH] = "/filed", [NUMBER] = "11", [LEVEL] = "ERROR", [BOOLEAN] = "off"};
        static const char *const given[] = {
            [TEXT] = "given", [PATH] = "given/path", [NUMBER] = "22", [LEVEL] = "WARNING", [BOOLEAN] = "on"};
        char text[200];
        in_file(text, sizeof text, &known[i], filed[known[i].kind]);
        setenv(known[i].variable, given[known[i].kind], 1);
        struct settings *settings = read_text(text);
        expect_setting(settings, &known[i], given[known[i].kind],
                       known[i].kind == LEVEL     ? LOG_WARNING
                       : known[i].kind == BOOLEAN ? true
                                                  : 22);
        settings_free(settings);
        unsetenv(known[i].variable);
    }
}

/* An unset environment variable would silently become an empty value. */
static void an_unset_variable_in_the_file(void **state)
{
    UNUSED(state);
    static const char *const refused[] = {
        "\nbroker { username = ${VALAWAI_UNSET} }",
        "\nbroker { username = \"a${VALAWAI_UNSET}b\" }",
        "\nplugin x { token = ${VALAWAI_UNSET} }",
    };
    unsetenv("VALAWAI_UNSET");
    for (size_t i = 0; i < COUNT(refused); i++)
        expect_refused(refused[i], ":2: ${VALAWAI_UNSET}: the environment variable VALAWAI_UNSET is not set");
    static const char *const accepted[] = {
        "broker { username = '${VALAWAI_UNSET}' }", /* taken as it stands */
        "# ${VALAWAI_UNSET}\n/* ${VALAWAI_UNSET} */",
        "broker { username = \"\\${VALAWAI_UNSET}\" }",
        "broker { username = ${VALAWAI_UNSET:-guest} }",
    };
    for (size_t i = 0; i < COUNT(accepted); i++)
        settings_free(read_text(accepted[i]));
    setenv("VALAWAI_UNSET", "", 1); /* empty, and set */
    settings_free(read_text(refused[1]));
    unsetenv("VALAWAI_UNSET");
}

/* docker-compose.yml takes the value of some variables from another one: a message names the one that the user wrote.
 */
static void a_fault_names_the_variable_that_the_user_wrote(void **state)
{
    UNUSED(state);
    static const struct {
        const char *variable, *value, *compose, *compose_value, *reason;
    } cases[] = {
        {"LOG_CONSOLE_LEVEL", "loud", "LOG_LEVEL", "loud", "LOG_LEVEL: \"loud\" is not a level"},
        {"LOG_CONSOLE_LEVEL", "loud", "LOG_LEVEL", "INFO", "LOG_CONSOLE_LEVEL: \"loud\" is not a level"},
        {"LOG_CONSOLE_LEVEL", "loud", "LOG_LEVEL", "", "LOG_CONSOLE_LEVEL: \"loud\" is not a level"},
        {"LOG_CONSOLE_LEVEL", "loud", "LOG_LEVEL", NULL, "LOG_CONSOLE_LEVEL: \"loud\" is not a level"},
        {"LOG_FILE_LEVEL", "loud", "LOG_LEVEL", "loud", "LOG_FILE_LEVEL: \"loud\" is not a level"},
        {"RABBITMQ_PORT", "x", "MQ_PORT", "x", "MQ_PORT: \"x\" is not a whole number"},
        {"RABBITMQ_HOST", "a:x", "MQ_HOST", "a:x", "MQ_HOST: the port in \"a:x\" is not a whole number"},
        {"RABBITMQ_HOST", "a,", "MQ_HOST", "b", "RABBITMQ_HOST: \"a,\" lacks a host name"},
    };
    size_t as_expected = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        setenv(cases[i].variable, cases[i].value, 1);
        if (cases[i].compose_value != NULL)
            setenv(cases[i].compose, cases[i].compose_value, 1);
        as_expected += is_refused(NULL, cases[i].reason);
        unsetenv(cases[i].variable);
        unsetenv(cases[i].compose);
    }
    assert_int_equal(as_expected, COUNT(cases));
    expect_refused("broker { host = \"a,\" }", "broker.host: \"a,\" lacks a host name");
    expect_refused("health { file_name = .. }", "health.file_name: \"..\" is not a file name");

    setenv("LOG_LEVEL", "ERROR", 1); /* is compose's own: the host does not read a value from it */
    struct settings *settings = read_text(NULL);
    assert_int_equal(settings->log.console_level, LOG_INFO);
    settings_free(settings);
    unsetenv("LOG_LEVEL");
}

static void an_empty_variable_counts_as_not_set(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i].variable != NULL)
            setenv(known[i].variable, "", 1);
    setenv("RABBITMQ_PASSWORD_FILE", "", 1);
    struct settings *settings = read_text("broker { port = 99 }\n");
    assert_int_equal(settings->broker.port, 99);
    assert_string_equal(settings->broker.host, "mov-mq");
    assert_null(settings->broker.password_file);
    settings_free(settings);
}

static void bounds_of_numbers(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(known); i++) {
        if (known[i].kind != NUMBER)
            continue;
        const long good[] = {known[i].min, known[i].max};
        const long bad[] = {known[i].min - 1, known[i].max == LONG_MAX ? -1 : known[i].max + 1};
        char text[200], value[32], reason[120];
        for (size_t v = 0; v < COUNT(good); v++) {
            snprintf(value, sizeof value, "%ld", good[v]);
            in_file(text, sizeof text, &known[i], value);
            struct settings *settings = read_text(text);
            expect_setting(settings, &known[i], NULL, good[v]);
            settings_free(settings);
            snprintf(value, sizeof value, "%ld", bad[v]);
            in_file(text, sizeof text, &known[i], value);
            snprintf(reason, sizeof reason, "t.conf:1: %s: \"%ld\" is not a whole number", known[i].key, bad[v]);
            expect_refused(text, reason);
        }
    }
}

static void sizes(void **state)
{
    UNUSED(state);
    static const struct {
        const char *value;
        long bytes;
    } good[] = {{"16777216", 16777216},
                {"16384K", 16777216},
                {"16M", 16777216},
                {"2G", 2147483648},
                {"9223372036854775807", LONG_MAX},
                {"8589934591G", 8589934591L << 30}};
    static const char *const bad[] = {"16777215",
                                      "15M",
                                      "0",
                                      "-16M",
                                      "M",
                                      "16m",
                                      "16MB",
                                      "16 M",
                                      "1.5G",
                                      "16MM",
                                      "+16M",
                                      "8589934592G",
                                      "99999999999999999999M",
                                      "0x10M"};
    char text[200], reason[200];
    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(text, sizeof text, "host { memory_max = %s }\nplugin x { memory_max = '%s' }\n", good[i].value,
                 good[i].value);
        struct settings *settings = read_text(text);
        assert_int_equal(settings->host.limits.memory_max, good[i].bytes);
        assert_int_equal(settings->sections[0].limits.memory_max, good[i].bytes);
        settings_free(settings);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(text, sizeof text, "host { memory_max = '%s' }", bad[i]);
        snprintf(reason, sizeof reason, "t.conf:1: memory_max: \"%s\" is not a size of at least 16M", bad[i]);
        expect_refused(text, reason);
    }
}

static void texts_that_are_no_numbers(void **state)
{
    UNUSED(state);
    static const char *const values[] = {
        "x", "5x", "5 ", " 5", "+5", "0x10", "1e3", "5.0", "--5", "99999999999999999999", "five", "1,000", "\xd9\xa3"};
    for (size_t i = 0; i < COUNT(values); i++) {
        char text[100], reason[100];
        snprintf(text, sizeof text, "broker {\n  port = \"%s\"\n}\n", values[i]);
        snprintf(reason, sizeof reason, "t.conf:2: port: \"%s\" is not a whole number from 1 to 65535", values[i]);
        expect_refused(text, reason);

        setenv("RABBITMQ_PORT", values[i], 1);
        snprintf(reason, sizeof reason, "RABBITMQ_PORT: \"%s\" is not a whole number from 1 to 65535", values[i]);
        expect_refused(NULL, reason);
        unsetenv("RABBITMQ_PORT");
    }
}

static void levels(void **state)
{
    UNUSED(state);
    expect_refused("log {\n\nfile_level = LOUD }\n", "t.conf:3: file_level: \"LOUD\" is not a level; use DEBUG, INFO");
    expect_refused("log { console_level = inform }\n", "t.conf:1: console_level: \"inform\" is not a level");
    setenv("LOG_FILE_LEVEL", "loud", 1);
    expect_refused(NULL, "LOG_FILE_LEVEL: \"loud\" is not a level");
    setenv("LOG_FILE_LEVEL", "FATAL", 1);
    setenv("LOG_CONSOLE_LEVEL", "warn", 1);
    struct settings *settings = read_text(NULL);
    assert_int_equal(settings->log.file_level, LOG_CRITICAL);
    assert_int_equal(settings->log.console_level, LOG_WARNING);
    settings_free(settings);
}

/* RABBITMQ_HOST as a list of the broker's nodes. */
static void endpoints(void **state)
{
    UNUSED(state);
    static const struct {
        const char *hosts, *expected;
    } good[] = {
        {"mov-mq", "mov-mq 5672"},
        {"a:77", "a 77"},
        {"a,b,c", "a 5672|b 5672|c 5672"},
        {"a:1,b,c:65535", "a 1|b 5672|c 65535"},
        {" a:1 , b ", "a 1|b 5672"},
        {"127.0.0.1:5673", "127.0.0.1 5673"},
        {"::1", "::1 5672"},
        {"fe80::1,x:2", "fe80::1 5672|x 2"},
        {"[::1]:5673", "::1 5673"},
        {"[::1]", "::1 5672"},
        {"[fe80::1]:9,[::2]", "fe80::1 9|::2 5672"},
    };
    static const struct {
        const char *hosts, *reason;
    } bad[] = {
        {"a:", "not a whole number from 1 to 65535"},
        {"a:0", "not a whole number from 1 to 65535"},
        {"a:65536", "not a whole number from 1 to 65535"},
        {"a:-1", "not a whole number from 1 to 65535"},
        {"a:x", "not a whole number from 1 to 65535"},
        {"a:5672x", "not a whole number from 1 to 65535"},
        {"a:99999999999999999999", "not a whole number from 1 to 65535"},
        {"a,b:x,c", "not a whole number from 1 to 65535"},
        {"[::1]:x", "not a whole number from 1 to 65535"},
        {",", "lacks a host name"},
        {"a,", "lacks a host name"},
        {",a", "lacks a host name"},
        {"a,,b", "lacks a host name"},
        {":5672", "lacks a host name"},
        {" ", "lacks a host name"},
        {"[]:5672", "lacks a host name"},
        {"[]", "lacks a host name"},
    };
    size_t as_expected = 0;
    for (size_t i = 0; i < COUNT(good); i++) {
        char found[256] = "";
        size_t len = 0;
        setenv("RABBITMQ_HOST", good[i].hosts, 1);
        struct settings *settings = read_text(NULL);
        for (size_t e = 0; e < settings->broker.endpoint_count; e++)
            len += (size_t)snprintf(found + len, sizeof found - len, "%s%s %d", e == 0 ? "" : "|",
                                    settings->broker.endpoints[e].host, settings->broker.endpoints[e].port);
        assert_string_equal(found, good[i].expected);
        settings_free(settings);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        setenv("RABBITMQ_HOST", bad[i].hosts, 1);
        as_expected += is_refused(NULL, bad[i].reason);
    }
    assert_int_equal(as_expected, COUNT(bad));
}

/* RABBITMQ_PORT is the port of every node that names none, with TLS and without. */
static void ports(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        int port;
    } cases[] = {
        {"broker { host = h }", 5672},
        {"broker { host = h tls = true }", 5671},
        {"broker { host = h tls = true port = 5672 }", 5672},
        {"broker { host = \"h:9\" tls = true port = 7 }", 9},
        {"broker { host = h port = 7 }", 7},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct settings *settings = read_text(cases[i].text);
        assert_int_equal(settings->broker.endpoint_count, 1);
        assert_string_equal(settings->broker.endpoints[0].host, "h");
        assert_int_equal(settings->broker.endpoints[0].port, cases[i].port);
        settings_free(settings);
    }
}

static void what_is_wrong_is_named_by_line(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text, *reason;
    } cases[] = {
        /* unknown keys and sections */
        {"prot = 1\n", "t.conf:1: no such option 'prot'"},
        {"\n\nbrok { }\n", "t.conf:3: no such option 'brok'"},
        {"broker {\n  prot = 1\n}\n", "t.conf:2: no such option 'prot'"},
        {"broker {\n  host = a\n  file_name = b\n}\n", "t.conf:3: no such option 'file_name'"},
        {"port = 1\n", "t.conf:1: no such option 'port'"},
        {"include(\"other.conf\")\n", "t.conf:1: no such option 'include'"},
        /* not the right kind */
        {"broker = 5\n", "t.conf:1: missing opening brace for section 'broker'"},
        {"broker {\n port = {1,2}\n}\n", "t.conf:2: unexpected token"},
        {"broker {\n port = \n}\n", "t.conf:3: unexpected token"},
        {"broker {\n port 5\n}\n", "t.conf:2: missing equal sign after option 'port'"},
        {"broker {\n port += 5\n}\n", "t.conf:2: attempt to append"},
        {"broker name { }\n", "t.conf:1: missing opening brace for section 'broker'"},
        {"broker {\n host = a=b\n}\n", "t.conf:2: unexpected token '='"},
        {"}\n", "t.conf:1: unexpected closing brace"},
        {"broker { }\n}\n", "t.conf:2: unexpected closing brace"},
        /* plugins */
        {"plugin { }\n", "t.conf:1: missing title for section 'plugin'"},
        {"plugin a { }\nplugin a { }\n", "t.conf:2: found duplicate title 'a'"},
        {"plugin a {\n enabled = maybe\n}\n", "t.conf:2: enabled: \"maybe\" is neither true nor false"},
        {"plugin a {\n enabled = \"\"\n}\n", "t.conf:2: enabled: \"\" is neither true nor false"},
        {"broker {\n tls = perhaps\n}\n", "t.conf:2: tls: \"perhaps\" is neither true nor false"},
        {"plugin a {\n threads = 0\n}\n", "t.conf:2: threads: \"0\" is not a whole number from 1 to 64"},
        {"plugin a {\n threads = 65\n}\n", "t.conf:2: threads: \"65\" is not a whole number from 1 to 64"},
        {"plugin a {\n validate = loud\n}\n", "t.conf:2: validate: \"loud\" is not strict, warn or off"},
        {"plugin a {\n key = {1,2}\n}\n", "t.conf:2: unexpected token"},
        {"plugin a {\n key\n}\n", "t.conf:3: missing equal sign after option 'key'"},
        {"plugin a {\n inner { x = 1 }\n}\n", "t.conf:2: missing equal sign after option 'inner'"},
        {"plugin a {\n path = \"\"\n}\n", "t.conf:2: path: is empty"},
        /* values */
        {"broker {\n host = \"\"\n}\n", "t.conf:2: host: is empty"},
        {"log { file_name = '' }\n", "t.conf:1: file_name: is empty"},
        {"plugin_directory = \"\"\n", "t.conf:1: plugin_directory: is empty"},
        /* a text over several lines counts them all */
        {"broker {\n host = \"a\\\nb\"\n port = q\n}\n", "t.conf:4: port: \"q\""},
        {"broker {\n host = 'a\nb'\n port = q\n}\n", "t.conf:4: port: \"q\""},
        /* … and a fault in it is reported on the line where it begins, as one line */
        {"broker {\n port = \"1\n\n2\"\n}\n", "t.conf:2: port: \"1\\n\\n2\" is not a whole number"},
        {"broker {\n port = '1\n2'\n}\n", "t.conf:2: port: \"1\\n2\" is not a whole number"},
        {"broker {\n port = \"1\\n2\"\n}\n", "t.conf:2: port: \"1\\n2\" is not a whole number"},
        {"plugin a {\n enabled = \"a\nb\"\n}\n", "t.conf:2: enabled: \"a\\nb\" is neither"},
        {"plugin a {\n threads = \"4\n4\"\n}\n", "t.conf:2: threads: \"4\\n4\" is not a whole number from 1 to 64"},
        {"plugin a {\n validate = 'warn\n\n'\n}\n", "t.conf:2: validate: \"warn\\n\\n\" is not strict, warn or off"},
        {"\"a\nb\" = 2\n", "t.conf:1: no such option 'a\\nb'"},
        {"broker {\n port = \"\033[2J\"\n}\n", "t.conf:2: port: \"\\x1b[2J\" is not"},
        /* a name that the parser uses itself */
        {"end_of_file = 1\n", "t.conf:1: no such option 'end_of_file'"},
    };
    size_t refused = 0;
    for (size_t i = 0; i < COUNT(cases); i++)
        refused += is_refused(cases[i].text, cases[i].reason);
    assert_int_equal(refused, COUNT(cases));
}

/* Lines are counted past comments as an editor counts them. */
static void comments_keep_the_lines(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"# one\nbroker { port = q }\n", "t.conf:2: port: \"q\""},
        {"// one\n# two\n\nbroker {\n # four\n port = q }\n", "t.conf:6: port: \"q\""},
        {"/* one */\nbroker { port = q }\n", "t.conf:2: port: \"q\""},
        {"/* one\n * two\n */\nbroker { port = q }\n", "t.conf:4: port: \"q\""},
        {"# one\nprot = 1\n", "t.conf:2: no such option 'prot'"},
        {"broker { } # one\nprot = 1\n", "t.conf:2: no such option 'prot'"},
        {"# it's\n/* \"open */\nprot = 1\n", "t.conf:3: no such option 'prot'"},
        {"broker { host = 'a#b' }\nprot = 1\n", "t.conf:2: no such option 'prot'"},
        {"broker { host = \"a\\\"#b\" }\nprot = 1\n", "t.conf:2: no such option 'prot'"},
        {"broker { host = 'a\\'b' } # '\nprot = 1\n", "t.conf:2: no such option 'prot'"},
    };
    size_t refused = 0;
    for (size_t i = 0; i < COUNT(cases); i++)
        refused += is_refused(cases[i].text, cases[i].reason);
    assert_int_equal(refused, COUNT(cases));
}

static void comment_signs_in_quotes_are_text(void **state)
{
    UNUSED(state);
    struct settings *settings =
        read_text("broker { host = \"a # b\" username = 'c /* d' password = \"e // f\\\" # g\" port = 9 }\n");
    assert_string_equal(settings->broker.host, "a # b");
    assert_string_equal(settings->broker.username, "c /* d");
    assert_string_equal(settings->broker.password, "e // f\" # g");
    assert_int_equal(settings->broker.port, 9);
    settings_free(settings);
}

/* The message names the line where it begins: where it should end is unknown. */
static void what_is_not_closed(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"broker {\n port = 1\n", "t.conf:1: the section that begins here has no closing }"},
        {"\nbroker {\n", "t.conf:2: the section that begins here"},
        {"log {\n # }\n", "t.conf:1: the section that begins here"},
        {"log {\n directory = \"}\"\n", "t.conf:1: the section that begins here"},
        {"plugin a {\n", "t.conf:1: the section that begins here"},
        {"plugin a {\n key = value", "t.conf:1: the section that begins here"},
        {"broker { }\nplugin a { key = \"v\"\n", "t.conf:2: the section that begins here"},
        {"broker {\n port = 1\n/* }\n", "t.conf:3: the comment that begins here has no end"},
        {"# fine\n/* open\nbroker { }\n", "t.conf:2: the comment that begins here"},
        {"plugin a { }\n/*", "t.conf:2: the comment that begins here"},
        {"plugin a { }\n/*/", "t.conf:2: the comment that begins here"},
        {"end_of_file = 1\n/* open\n", "t.conf:"},
        {"broker {\n host = \"abc\n}\n", "t.conf:2: "},
        {"broker {\n host = 'abc\n}\n", "t.conf:2: "},
        {"broker {\n host = \"abc\\\"\n}\n", "t.conf:2: "},
        {"broker {\n host = \"abc\\", "t.conf:2: "},
    };
    size_t refused = 0;
    for (size_t i = 0; i < COUNT(cases); i++)
        refused += is_refused(cases[i].text, cases[i].reason);
    assert_int_equal(refused, COUNT(cases));
}

static void files_that_cannot_be_read(void **state)
{
    UNUSED(state);
    struct settings *settings = NULL;
    struct fault fault = {""};
    assert_false(settings_read("absent.conf", &settings, &fault));
    assert_string_equal(fault.text, "absent.conf: No such file or directory");
    assert_int_equal(mkdir("here", 0755), 0);
    assert_false(settings_read("here", &settings, &fault));
    assert_string_equal(fault.text, "here: is a directory");
    assert_false(settings_read("", &settings, &fault));
    file_write("nul.conf", "broker { }\0\n", 12);
    assert_false(settings_read("nul.conf", &settings, &fault));
    expect_in(fault.text, "nul.conf: holds NUL bytes");

    size_t len = (1u << 20) + 1;
    char *large = malloc(len);
    memset(large, '\n', len);
    file_write("large.conf", large, len);
    assert_false(settings_read("large.conf", &settings, &fault));
    expect_in(fault.text, "large.conf: is larger than");
    free(large);
    assert_null(settings);
}

/* Random text (repeatable) is refused or accepted and never crashes, and a refusal names the file. */
static void random_files(void **state)
{
    UNUSED(state);
    static const char *const words[] = {
        "broker", "plugin", "{",  "}",       "=",    "port", "5", "\"", "'",  "\n",   " ",    "#",   "/*",   "*/",
        "a",      "${",     "\\", "enabled", "true", ",",    "(", ")",  "+=", "\xff", "\x01", "log", "path", "x"};
    uint32_t chance = 7;
    stderr_catch(); /* the lexer of libconfuse may print by itself */
    for (int round = 0; round < 1500; round++) {
        char text[512] = "";
        size_t len = 0;
        for (int word = 0; word < round % 40; word++) {
            chance = chance * 1664525u + 1013904223u;
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", words[(chance >> 8) % COUNT(words)],
                                    chance >> 30 == 0 ? " " : "");
        }
        struct settings *settings = NULL;
        struct fault fault = {""};
        file_puts("t.conf", text);
        if (settings_read("t.conf", &settings, &fault)) {
            settings_free(settings);
        } else if (strncmp(fault.text, "t.conf:", 7) != 0) {
            free(stderr_caught());
            fail_msg("of %s it says %s", text, fault.text);
        }
    }
    char *console = stderr_caught();
    expect_match(console, "");
    free(console);
}

static void plugin_sections(void **state)
{
    UNUSED(state);
    struct settings *settings = read_text("plugin first {\n"
                                          "  path = sub/x.so\n"
                                          "  greeting = \"two words\"\n"
                                          "  number = 5\n"
                                          "  none = \"\"\n"
                                          "  key-with.signs_1 = yes\n"
                                          "}\n"
                                          "plugin \"the second\" { enabled = no }\n"
                                          "plugin third { path = /abs/y.so enabled = on }\n"
                                          "plugin fourth { }\n");
    assert_int_equal(settings->section_count, 4);
    const struct plugin_section *at = settings->sections;
    assert_string_equal(at[0].name, "first");
    assert_string_equal(at[0].path, "sub/x.so");
    assert_true(at[0].enabled);
    assert_int_equal(at[0].option_count, 4);
    static const char *const options[][2] = {
        {"greeting", "two words"}, {"number", "5"}, {"none", ""}, {"key-with.signs_1", "yes"}};
    for (size_t i = 0; i < COUNT(options); i++) {
        assert_string_equal(at[0].options[i].key, options[i][0]);
        assert_string_equal(at[0].options[i].value, options[i][1]);
    }
    assert_string_equal(at[1].name, "the second");
    assert_string_equal(at[1].path, "plugins/the second.so");
    assert_false(at[1].enabled);
    assert_string_equal(at[2].path, "/abs/y.so");
    assert_true(at[2].enabled);
    assert_int_equal(at[2].option_count, 0);
    assert_true(at[3].enabled);
    assert_string_equal(at[3].path, "plugins/fourth.so");
    settings_free(settings);
}

static void words_for_enabled(void **state)
{
    UNUSED(state);
    static const struct {
        const char *word;
        bool enabled;
    } words[] = {{"true", true}, {"yes", true}, {"on", true}, {"false", false}, {"no", false}, {"off", false}};
    for (size_t i = 0; i < COUNT(words); i++) {
        char text[64];
        snprintf(text, sizeof text, "plugin a { enabled = %s }\n", words[i].word);
        struct settings *settings = read_text(text);
        assert_true(settings->sections[0].enabled == words[i].enabled);
        settings_free(settings);
    }
}

static void duplicates(void **state)
{
    UNUSED(state);
    /* the last value counts, and two sections of one name are one section */
    struct settings *settings = read_text("broker { port = 1 port = 2 }\nbroker { host = h }\nbroker { port = 3 }\n"
                                          "plugin a { key = 1 key = 2 path = x path = y }\n");
    assert_int_equal(settings->broker.port, 3);
    assert_string_equal(settings->broker.host, "h");
    assert_int_equal(settings->sections[0].option_count, 1);
    assert_string_equal(settings->sections[0].options[0].value, "2");
    assert_string_equal(settings->sections[0].path, "y");
    settings_free(settings);
    /* a wrong value is wrong even if a good one follows */
    expect_refused("broker { port = x }\nbroker { port = 5 }\n", "t.conf:1: port");
}

/* Paths in the file start at its directory, paths in the environment at the working directory. */
static void relative_paths(void **state)
{
    UNUSED(state);
    assert_int_equal(mkdir("etc", 0755), 0);
    file_puts("etc/p.conf", "plugin_directory = lib\nlog { directory = var }\nbroker { password_file = secret }\n"
                            "plugin a { path = ../a.so }\nplugin b { }\nplugin c { path = /c.so }\n");
    file_puts("etc/secret", "from the file\n");
    char *absolute = NULL;
    assert_true(asprintf(&absolute, "%s/etc/p.conf", directory) > 0);
    const char *const names[] = {"etc/p.conf", "./etc/p.conf", absolute};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct settings *settings = NULL;
        struct fault fault = {""};
        char expected[PATH_MAX];
        int before = (int)(strrchr(names[i], '/') - names[i]);
        if (!settings_read(names[i], &settings, &fault))
            fail_msg("%s", fault.text);
#define EXPECT(value, tail)                                                                                            \
    do {                                                                                                               \
        snprintf(expected, sizeof expected, "%.*s/" tail, before, names[i]);                                           \
        assert_string_equal(value, expected);                                                                          \
    } while (0)
        EXPECT(settings->plugin_directory, "lib");
        EXPECT(settings->log_directory, "var");
        EXPECT(settings->sections[0].path, "../a.so");
        EXPECT(settings->sections[1].path, "lib/b.so");
        assert_string_equal(settings->sections[2].path, "/c.so");
        assert_string_equal(settings->broker.password, "from the file");
        assert_string_equal(settings->health_file_name, "component_id.json");
        settings_free(settings);
    }
    free(absolute);
    setenv("LOG_DIR", "elsewhere", 1);
    struct settings *settings = NULL;
    assert_true(settings_read("etc/p.conf", &settings, NULL));
    assert_string_equal(settings->log_directory, "elsewhere");
    assert_ptr_equal(settings->log.directory, settings->log_directory);
    assert_ptr_equal(settings->log.file_name, settings->log_file_name);
    settings_free(settings);
}

static void the_file_of_the_directory(void **state)
{
    UNUSED(state);
    struct settings *settings = NULL;
    struct fault fault = {""};
    file_puts("plugins.conf", "broker { port = 4 }\n");
    file_puts("other.conf", "broker { host = other }\n");
    assert_true(settings_read(NULL, &settings, &fault));
    assert_int_equal(settings->broker.port, 4);
    settings_free(settings);
    assert_true(settings_read("other.conf", &settings, &fault)); /* then only that one */
    assert_int_equal(settings->broker.port, 5672);
    settings_free(settings);
    file_puts("plugins.conf", "nonsense\n");
    assert_false(settings_read(NULL, &settings, &fault));
    expect_in(fault.text, "plugins.conf:");
}

static void password_files(void **state)
{
    UNUSED(state);
    static const struct {
        const char *content, *password;
    } good[] = {
        {"secret", "secret"},
        {"secret\n", "secret"},
        {"secret\r\n", "secret"},
        {"secret\nsecond line\n", "secret"},
        {" spaces stay \n", " spaces stay "},
        {"\xc3\xa9\"'#${x}\n", "\xc3\xa9\"'#${x}"},
    };
    setenv("RABBITMQ_PASSWORD_FILE", "pw", 1);
    for (size_t i = 0; i < COUNT(good); i++) {
        file_puts("pw", good[i].content);
        struct settings *settings = read_text(NULL);
        assert_string_equal(settings->broker.password, good[i].password);
        settings_free(settings);
    }
    static const struct {
        const char *content;
        size_t len;
        const char *reason;
    } bad[] = {
        {"", 0, "password file: pw: the first line is empty"},
        {"\nsecret\n", 8, "password file: pw: the first line is empty"},
        {"\r\n", 2, "password file: pw: the first line is empty"},
        {"sec\0ret", 7, "password file: pw: holds NUL bytes"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        file_write("pw", bad[i].content, bad[i].len);
        expect_refused(NULL, bad[i].reason);
    }
    char large[5000];
    memset(large, 'x', sizeof large);
    file_write("pw", large, sizeof large);
    expect_refused(NULL, "password file: pw: is larger than 4096 bytes");
    unlink("pw");
    expect_refused(NULL, "password file: pw: No such file or directory");
    setenv("RABBITMQ_PASSWORD_FILE", directory, 1);
    expect_refused(NULL, "is a directory");
}

/* The environment overrides the file. In the same source, a password file overrides the password. */
static void which_password(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text, *variable, *variable_file, *password;
    } cases[] = {
        {"", NULL, NULL, "password"},
        {"broker { password = a }", NULL, NULL, "a"},
        {"broker { password_file = f1 }", NULL, NULL, "one"},
        {"broker { password = a password_file = f1 }", NULL, NULL, "one"},
        {"broker { password_file = f1 }", "b", NULL, "b"},
        {"broker { password = a }", NULL, "f2", "two"},
        {"broker { password_file = f1 }", NULL, "f2", "two"},
        {"", "b", "f2", "two"},
        {"broker { password_file = absent }", "b", NULL, "b"},
    };
    file_puts("f1", "one\n");
    file_puts("f2", "two\n");
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsetenv("RABBITMQ_PASSWORD");
        unsetenv("RABBITMQ_PASSWORD_FILE");
        if (cases[i].variable != NULL)
            setenv("RABBITMQ_PASSWORD", cases[i].variable, 1);
        if (cases[i].variable_file != NULL)
            setenv("RABBITMQ_PASSWORD_FILE", cases[i].variable_file, 1);
        struct settings *settings = read_text(cases[i].text);
        assert_string_equal(settings->broker.password, cases[i].password);
        settings_free(settings);
    }
}

static void a_fault_never_shows_the_password(void **state)
{
    UNUSED(state);
    struct settings *settings = NULL;
    struct fault fault = {""};
    setenv("RABBITMQ_PASSWORD", "hunter2", 1);
    setenv("RABBITMQ_PORT", "x", 1);
    assert_false(settings_read(NULL, &settings, &fault));
    expect_not_in(fault.text, "hunter2");
}

static void the_section_of_a_plugin(void **state)
{
    UNUSED(state);
    file_puts("real.so", "x");
    assert_int_equal(symlink("real.so", "link.so"), 0);
    struct settings *settings = read_text("plugin named { }\nplugin other { path = real.so }\nplugin so { }\n");
    const struct plugin_section *at = settings->sections;
    assert_ptr_equal(settings_section(settings, "anywhere/named.so"), &at[0]);
    assert_ptr_equal(settings_section(settings, "named.so"), &at[0]);
    assert_ptr_equal(settings_section(settings, "named"), &at[0]);
    assert_ptr_equal(settings_section(settings, "real.so"), &at[1]);
    assert_ptr_equal(settings_section(settings, "./link.so"), &at[1]);
    assert_null(settings_section(settings, "name.so"));
    assert_null(settings_section(settings, "named.so.so"));
    assert_null(settings_section(settings, ".so"));
    assert_null(settings_section(settings, "real"));
    settings_free(settings);
}

static void help_names_everything(void **state)
{
    UNUSED(state);
    char *help = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&help, &len);
    settings_help(out);
    fclose(out);
    for (size_t i = 0; i < COUNT(known); i++) {
        expect_in(help, known[i].key);
        if (known[i].variable != NULL)
            expect_in(help, known[i].variable);
    }
    expect_in(help, "RABBITMQ_PASSWORD_FILE");
    expect_in(help, "plugin.threads");
    free(help);
}

/* ---- two readings, for a reload ---- */

static void list_name(void *context, const char *name)
{
    char *list = context;
    strcat(strcat(list, name), " ");
}

static void names_of_settings_that_differ(void **state)
{
    UNUSED(state);
    char list[256] = "";
    struct settings *one = read_text("broker { prefetch = 7 }\nlog { directory = \"there\" }\n");
    struct settings *same = read_text("log { directory = \"there\" }\nbroker { prefetch = 7 }\nplugin a { }\n");
    struct settings *other = read_text("host { isolation = thread }\nhttp { listen = \"127.0.0.1:1\" }\n"
                                       "log { directory = \"here\" console_level = ERROR }\nbroker { tls = true }\n");
    settings_compare(one, same, list_name, list);
    assert_string_equal(list, "");
    settings_compare(one, other, list_name, list);
    const char *const names[] = {"broker.prefetch ",   "broker.tls ",  "broker.port ",   "log.directory ",
                                 "log.console_level ", "http.listen ", "host.isolation "};
    size_t len = 0;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strstr(list, names[i]) == NULL)
            fail_msg("%s is missing in: %s", names[i], list);
        len += strlen(names[i]);
    }
    assert_int_equal(strlen(list), len);
    settings_free(one);
    settings_free(same);
    settings_free(other);
}

static void a_copy_of_a_section_outlives_the_settings(void **state)
{
    UNUSED(state);
    static const char *const others[] = {
        "plugin a { threads = 2 word = \"x\" }",
        "plugin a { threads = 3 word = \"y\" }",
        "plugin a { threads = 3 word = \"x\" more = \"x\" }",
        "plugin a { threads = 3 wort = \"x\" }",
        "plugin a { threads = 3 word = \"x\" path = \"b.so\" }",
        "plugin a { threads = 3 word = \"x\" enabled = false }",
        "plugin a { threads = 3 word = \"x\" validate = off }",
    };
    const char *text = "plugin a { threads = 3 word = \"x\" }";
    struct settings *settings = read_text(text);
    struct plugin_section *copy = plugin_section_copy(settings_section(settings, "a.so"));
    settings_free(settings);
    assert_string_equal(copy->name, "a");
    assert_string_equal(copy->options[0].value, "x");
    settings = read_text(text);
    assert_true(plugin_sections_are_equal(copy, settings_section(settings, "a.so")));
    assert_false(plugin_sections_are_equal(copy, NULL));
    settings_free(settings);
    for (size_t i = 0; i < COUNT(others); i++) {
        settings = read_text(others[i]);
        if (plugin_sections_are_equal(copy, settings_section(settings, "a.so")))
            fail_msg("equal to %s", others[i]);
        settings_free(settings);
    }
    plugin_section_free(copy);
    assert_null(plugin_section_copy(NULL));
    assert_true(plugin_sections_are_equal(NULL, NULL));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults),
        TEST(an_empty_file_changes_nothing),
        TEST(every_setting_from_the_file),
        TEST(the_environment_overrides_the_file),
        TEST(an_unset_variable_in_the_file),
        TEST(a_fault_names_the_variable_that_the_user_wrote),
        TEST(an_empty_variable_counts_as_not_set),
        TEST(bounds_of_numbers),
        TEST(sizes),
        TEST(texts_that_are_no_numbers),
        TEST(levels),
        TEST(endpoints),
        TEST(ports),
        TEST(what_is_wrong_is_named_by_line),
        TEST(comments_keep_the_lines),
        TEST(comment_signs_in_quotes_are_text),
        TEST(what_is_not_closed),
        TEST(files_that_cannot_be_read),
        TEST(random_files),
        TEST(plugin_sections),
        TEST(words_for_enabled),
        TEST(duplicates),
        TEST(relative_paths),
        TEST(the_file_of_the_directory),
        TEST(password_files),
        TEST(which_password),
        TEST(a_fault_never_shows_the_password),
        TEST(the_section_of_a_plugin),
        TEST(names_of_settings_that_differ),
        TEST(a_copy_of_a_section_outlives_the_settings),
        TEST(help_names_everything),
    };
    unsetenv("VALAWAI_ISOLATION"); /* of the whole test run */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
