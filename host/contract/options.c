/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * `x-options` of the document: a JSON schema of the plugin's options, with their defaults. A component without it
 * accepts any option. */
#include <json-c/json.h>

#include "contract/parts.h"

void contract_read_options(struct contract *contract)
{
    struct json_object *root = document_root(contract->document), *node = NULL;
    if (!json_object_object_get_ex(root, "x-options", &node))
        return;
    struct json_object *declared = contract_follow(contract, node, NULL);
    contract->options = object_member(declared, "properties");
    if (contract->options == NULL)
        findings_add_at(&contract->findings, FINDING_ERROR, root, "x-options",
                        "expects a schema with properties, one for each option of the plugin");
    else
        contract->options_schema = schemas_add(contract->schemas, node);
}

struct json_object *contract_options(const struct contract *contract)
{
    return contract->options;
}

struct json_object *contract_option(const struct contract *contract, const char *key)
{
    return contract_follow(contract, object_member(contract->options, key), NULL);
}

bool contract_check_options(const struct contract *contract, struct json_object *values, char *reason, size_t size)
{
    return schema_check(contract->options_schema, values, reason, size);
}
