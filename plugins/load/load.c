/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * load: publishes the load of the machine on a timer. An example of a component that acts without a message, and of
 * parameters. They start as options, which asyncapi.yaml declares, and messages change them; one function sets them in
 * both cases. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <valawai/plugin.h>

extern const char valawai_asyncapi[];

struct load {
    const struct valawai_host *host;
    uint64_t timer;
    uint32_t every_ms; /* the parameters, as asyncapi.yaml describes them */
    double at_least;
};

static void publish_reading(void *self, void *context)
{
    struct load *load = self;
    double average = 0;
    char body[128];
    (void)context;
    if (getloadavg(&average, 1) != 1) {
        VALAWAI_ERROR_LOG(load->host, "cannot read the load of the system");
        return;
    }
    if (average < load->at_least) {
        VALAWAI_DEBUG_LOG(load->host, "the load %.2f is under at_least", average);
        return;
    }
    int len = snprintf(body, sizeof body, "{\"load\":%.2f,\"timestamp\":%lld}", average, (long long)time(NULL));
    load->host->publish(load->host, "valawai/c0/load/data/reading", body, (size_t)len); /* a failure has its record */
}

static void set_parameters(struct load *load, uint32_t every_ms, double at_least)
{
    load->every_ms = every_ms;
    load->at_least = at_least;
    if (load->timer != 0)
        load->host->cancel(load->host, load->timer);
    load->timer = load->host->timer(load->host, every_ms, every_ms, publish_reading, NULL);
    VALAWAI_INFO_LOG(load->host, "every_ms is %u, at_least %g", every_ms, at_least);
}

/* Takes the members that the object has. The host has checked them against the schema, so every value is valid. */
static void take_parameters(struct load *load, struct json_object *json)
{
    struct json_object *value = NULL;
    uint32_t every_ms = load->every_ms;
    double at_least = load->at_least;
    if (json_object_object_get_ex(json, "every_ms", &value))
        every_ms = (uint32_t)json_object_get_int64(value);
    if (json_object_object_get_ex(json, "at_least", &value))
        at_least = json_object_get_double(value);
    set_parameters(load, every_ms, at_least);
}

static int change_parameters(void *self, const struct valawai_message *message)
{
    struct load *load = self;
    take_parameters(load, load->host->json(load->host, message));
    return VALAWAI_DONE;
}

static int start(const struct valawai_host *host, void **self)
{
    struct load *load = calloc(1, sizeof *load);
    if (load == NULL)
        return -1;
    load->host = host;
    take_parameters(load, host->options(host)); /* each has a default */
    *self = load;
    return 0;
}

static const struct valawai_topic topics[] = {
    VALAWAI_TOPIC("valawai/c0/load/control/change_parameters", change_parameters),
    VALAWAI_TOPICS_END,
};

const struct valawai_plugin valawai_plugin_entry = {
    VALAWAI_PLUGIN_HEAD,
    .version = VALAWAI_PLUGIN_VERSION,
    .asyncapi = valawai_asyncapi,
    .topics = topics,
    .start = start,
    .stop = free, /* the host ends the timer */
};
