/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * asyncapi: the input is an AsyncAPI document. A good document names the component; otherwise every finding is one
 * line. Every topic can check messages. */
#include "fuzz.h"

#include <json-c/json.h>
#include <string.h>

#include "contract/contract.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void ask(const struct contract_topic *topic, enum contract_direction direction)
{
    static const char *const messages[] = {"{}", "{\"content\":\"Hello\"}", "{\"items\":[{\"weight\":1.4},null,[1,1]]}",
                                           "[1,2,3]", "{\"a\":{\"a\":{\"a\":{\"a\":\"2026-01-01T00:00:00Z\"}}}}"};
    char text[100];
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        struct json_object *message = json_tokener_parse(messages[i]);
        bool right = topic_check(topic, direction, message, text, sizeof text);
        EXPECT(right == (text[0] == '\0'), "%s: %s", right ? "right" : "wrong", text);
        json_object_put(message);
    }
    topic_summary(topic, direction, text, sizeof text);
    EXPECT(strpbrk(text, "\n\r") == NULL, "a summary of several lines: %s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    double began = fuzz_seconds();
    struct contract *contract = contract_read((const char *)bytes, len);
    EXPECT(fuzz_seconds() - began < 10, "%f s", fuzz_seconds() - began);
    for (size_t i = 0; i < contract_findings(contract); i++)
        EXPECT(strchr(contract_finding(contract, i)->text, '\n') == NULL, "a finding of several lines");
    if (contract_errors(contract) == 0) {
        const char *name = contract_name(contract), *type = contract_type(contract);
        EXPECT(contract_find(contract, contract_registered(contract)) != NULL, "registered is no channel");
        EXPECT(type[0] == 'C' && type[2] == '\0', "type %s", type);
        EXPECT(name[0] == 'c' && name[1] == type[1] && name[2] == '_' && name[3] != '\0', "name %s", name);
        for (size_t i = 0; i < contract_topics(contract); i++)
            EXPECT(strlen(topic_name(contract_topic(contract, i))) <= 255, "a topic that is too long");
    }
    for (size_t i = 0; i < contract_topics(contract) && i < 20; i++) {
        const struct contract_topic *topic = contract_topic(contract, i);
        EXPECT(contract_find(contract, topic_name(topic)) == topic, "not found by its name: %s", topic_name(topic));
        ask(topic, CONTRACT_SUBSCRIBE);
        ask(topic, CONTRACT_PUBLISH);
    }
    contract_free(contract);
    return 0;
}
