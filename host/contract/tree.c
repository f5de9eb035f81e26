/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds members of a document's tree, and what its references mean. */
#include <json-c/json.h>

#include "contract/parts.h"

#define HOPS_MAX 32

static struct json_object *member(struct json_object *object, const char *key, enum json_type type)
{
    struct json_object *found = NULL;
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    json_object_object_get_ex(object, key, &found);
    return json_object_is_type(found, type) ? found : NULL;
}

struct json_object *object_member(struct json_object *object, const char *key)
{
    return member(object, key, json_type_object);
}

struct json_object *array_member(struct json_object *object, const char *key)
{
    return member(object, key, json_type_array);
}

const char *string_member(struct json_object *object, const char *key)
{
    struct json_object *found = member(object, key, json_type_string);
    return found == NULL ? NULL : json_object_get_string(found);
}

struct json_object *contract_follow(const struct contract *contract, struct json_object *object, unsigned *hops)
{
    unsigned count = 0;
    while (string_member(object, "$ref") != NULL) {
        if (count == HOPS_MAX || !schemas_follow(contract->schemas, object, &object, NULL))
            return NULL;
        count++;
    }
    if (hops != NULL)
        *hops = count;
    return json_object_is_type(object, json_type_object) ? object : NULL;
}
