/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * asyncapi: the input is an AsyncAPI document. Either it is good, and then says who the component is, or every finding
 * is one line. */
#include "fuzz.h"

#include <string.h>

#include "contract.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct contract *contract = contract_read((const char *)bytes, len);
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
    contract_free(contract);
    return 0;
}
