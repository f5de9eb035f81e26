/* SPDX-License-Identifier: MIT
 *
 * Calls the handler of the plugin that the command line names, with a host of its own: for what messages cannot show,
 * such as a publication that is refused. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <valawai/plugin.h>

#define RECEIVED "{\"text\":\"Hello\"}"
#define PUBLISHED "{\"bytes\":16}"

static const struct valawai_plugin *plugin;
static struct json_object *parsed; /* the message in hand */
static struct {
    int answer, count;
    char topic[256], body[1024];
} publication;

/* ---- the host ---- */

static void on_log(const struct valawai_host *host, int level, const char *file, int line, const char *payload,
                   const char *format, ...)
{
    (void)host, (void)level, (void)file, (void)line, (void)payload, (void)format;
}

static const char *on_option(const struct valawai_host *host, const char *key)
{
    (void)host, (void)key;
    return NULL; /* as without a section in plugins.conf */
}

static int on_publish(const struct valawai_host *host, const char *topic, const char *body, size_t len)
{
    (void)host;
    publication.count++;
    snprintf(publication.topic, sizeof publication.topic, "%s", topic);
    snprintf(publication.body, sizeof publication.body, "%.*s", (int)len, body);
    return publication.answer;
}

static struct json_object *on_json(const struct valawai_host *host, const struct valawai_message *message)
{
    (void)host, (void)message;
    return parsed;
}

static int on_explain(const struct valawai_host *host, int verdict, const char *format, ...)
{
    (void)host, (void)format;
    return verdict;
}

/* If the component calls other functions of the host, add them here. */
static const struct valawai_host host = {
    .size = sizeof host,
    .log = on_log,
    .option = on_option,
    .publish = on_publish,
    .json = on_json,
    .explain = on_explain,
};

/* ---- the tests ---- */

/* The verdict on a message. answer: what publish() says. */
static int receive(const char *body, int answer)
{
    const struct valawai_topic *topic = &plugin->topics[0];
    struct valawai_message message = {
        .size = sizeof message, .topic = topic->name, .body = body, .len = strlen(body), .attempt = 1};
    void *self = NULL;
    memset(&publication, 0, sizeof publication);
    publication.answer = answer;
    parsed = json_tokener_parse(body);
    assert_int_equal(plugin->start(&host, &self), 0);
    int verdict = topic->handle(self, &message);
    if (plugin->stop != NULL)
        plugin->stop(self);
    json_object_put(parsed);
    return verdict;
}

static void publishes_what_it_should(void **state)
{
    (void)state;
    assert_int_equal(receive(RECEIVED, VALAWAI_OK), VALAWAI_DONE);
    assert_int_equal(publication.count, 1);
    assert_string_equal(publication.topic, "valawai/c1/my_component/data/publish_message");
    assert_string_equal(publication.body, PUBLISHED);
}

static void fails_when_it_cannot_publish(void **state)
{
    (void)state;
    assert_int_equal(receive(RECEIVED, VALAWAI_E_BODY), VALAWAI_FAILED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishes_what_it_should),
        cmocka_unit_test(fails_when_it_cannot_publish),
    };
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    plugin = library != NULL ? dlsym(library, VALAWAI_PLUGIN_SYMBOL) : NULL;
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: handler_test PLUGIN.so");
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
