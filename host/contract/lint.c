/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Warns of valid parts of a document that are probably mistakes. */
#include <json-c/json.h>

#include "contract/parts.h"

static void warn(void *context, struct place place, const char *text)
{
    struct contract *contract = context;
    findings_add(&contract->findings, FINDING_HINT, place, "%s", text);
}

void contract_lint(struct contract *contract)
{
    schemas_lint(contract->schemas, warn, contract);
}
