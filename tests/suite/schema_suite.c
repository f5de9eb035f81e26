/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Runs the JSON Schema Test Suite (draft 7) against the room `schema`:
 *
 *     schema_suite DIRECTORY          the required part, DIRECTORY itself; what is left out is listed with its reason
 *     schema_suite --optional FILE…   files of the optional part, with formats asserted; failures are only listed
 *
 * Every schema goes through the reader of documents as well, as text. Ends with 1 if a required test fails. */
#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document/document.h"
#include "schema/schema.h"

struct score {
    unsigned passed;
    unsigned failed;
    unsigned left_out;
    unsigned groups_left_out;
    unsigned flags;
};

static struct json_object *member(struct json_object *object, const char *key)
{
    return json_object_object_get(object, key);
}

static const char *description(struct json_object *object)
{
    return json_object_get_string(member(object, "description"));
}

static void leave_out(struct score *score, const char *file, struct json_object *group, const char *reason)
{
    score->left_out += (unsigned)json_object_array_length(member(group, "tests"));
    score->groups_left_out++;
    printf("left out: %s: %s: %s\n", file, description(group), reason);
}

static void run_test(struct score *score, const char *file, struct json_object *group, struct json_object *test,
                     const struct schema *schema)
{
    char reason[256] = "";
    bool wanted = json_object_get_boolean(member(test, "valid"));
    bool right = schema_check(schema, member(test, "data"), reason, sizeof reason);
    if (right == wanted && right == (reason[0] == '\0')) {
        score->passed++;
        return;
    }
    score->failed++;
    printf("FAILED: %s: %s: %s: said %s %s\n", file, description(group), description(test), right ? "valid" : "invalid",
           reason);
}

static void run_group(struct score *score, const char *file, struct json_object *group)
{
    struct fault fault = {0};
    const struct schema *schema = NULL;
    struct schemas *schemas = NULL;
    struct json_object *tests = member(group, "tests");
    const char *text = json_object_to_json_string_ext(member(group, "schema"), JSON_C_TO_STRING_PLAIN);
    struct document *document = document_read(text, strlen(text), &fault);
    if (document != NULL)
        schemas = schemas_compile(document, "", score->flags, &schema, &fault);
    if (schemas == NULL && strstr(fault.text, "leads out of the document") != NULL) {
        leave_out(score, file, group, fault.text);
    } else if (schemas == NULL) {
        score->failed += (unsigned)json_object_array_length(tests);
        printf("FAILED: %s: %s: %s\n", file, description(group), fault.text);
    }
    for (size_t i = 0; schemas != NULL && i < json_object_array_length(tests); i++)
        run_test(score, file, group, json_object_array_get_idx(tests, i), schema);
    schemas_free(schemas);
    document_free(document);
}

static bool run_file(struct score *score, const char *path)
{
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    struct json_object *groups = json_object_from_file(path);
    if (!json_object_is_type(groups, json_type_array)) {
        fprintf(stderr, "%s: cannot be read\n", path);
        json_object_put(groups);
        return false;
    }
    for (size_t i = 0; i < json_object_array_length(groups); i++)
        run_group(score, name, json_object_array_get_idx(groups, i));
    json_object_put(groups);
    return true;
}

static int sum_up(const struct score *score, const char *part)
{
    printf("%s: %u passed, %u failed, %u left out (in %u groups)\n", part, score->passed, score->failed,
           score->left_out, score->groups_left_out);
    return score->failed == 0 && score->passed > 0 ? 0 : 1;
}

static int run_optional(int count, char **paths)
{
    struct score score = {.flags = SCHEMA_ASSERT_FORMAT};
    for (int i = 0; i < count; i++) {
        if (!run_file(&score, paths[i]))
            return 2;
    }
    sum_up(&score, "optional");
    return 0;
}

int main(int argc, char **argv)
{
    struct score score = {0};
    char pattern[4096];
    glob_t files = {0};
    if (argc >= 2 && strcmp(argv[1], "--optional") == 0)
        return run_optional(argc - 2, argv + 2);
    if (argc != 2) {
        fprintf(stderr, "usage: schema_suite DIRECTORY | --optional FILE...\n");
        return 2;
    }
    snprintf(pattern, sizeof pattern, "%s/*.json", argv[1]);
    bool ok = glob(pattern, 0, NULL, &files) == 0;
    for (size_t i = 0; ok && i < files.gl_pathc; i++)
        ok = run_file(&score, files.gl_pathv[i]);
    globfree(&files);
    return ok ? sum_up(&score, "required") : 2;
}
