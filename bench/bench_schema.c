/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What checking the echo message costs, beside reading it. `bench_schema` prints nanoseconds a message, of processor
 * time and of the best of some rounds, since whatever else the machine does only adds to it; `bench_schema check N` and
 * `bench_schema parse N` do one of the two N times, for a count of instructions: what 2000 take more than 1000.
 *
 *     valgrind --tool=callgrind build/release/bench/bench_schema check 2000 */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schema/schema.h"

#define ROUNDS 20

static const char echo_schema[] = "type: object\n"
                                  "required: [content]\n"
                                  "properties:\n"
                                  "  content:\n"
                                  "    type: string\n"
                                  "    minLength: 1\n";
static const char echo_message[] = "{\"content\":\"Hello\"}";

static void parse(struct json_tokener *reader, long times)
{
    for (long i = 0; i < times; i++) {
        json_tokener_reset(reader);
        json_object_put(json_tokener_parse_ex(reader, echo_message, sizeof echo_message - 1));
    }
}

static bool check(const struct schema *schema, struct json_object *message, long times)
{
    char reason[256];
    bool right = true;
    for (long i = 0; i < times; i++)
        right &= schema_check(schema, message, reason, sizeof reason);
    return right;
}

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    struct fault fault = {0};
    const struct schema *schema = NULL;
    struct schemas *schemas = NULL;
    struct json_tokener *reader = json_tokener_new();
    struct json_object *message = json_tokener_parse(echo_message);
    struct document *document = document_read(echo_schema, sizeof echo_schema - 1, &fault);
    if (document != NULL)
        schemas = schemas_compile(document, "", SCHEMA_ASSERT_FORMAT, &schema, &fault);
    if (schemas == NULL) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    const long times = argc > 2 ? atol(argv[2]) : 100000;
    bool ok = check(schema, message, 1000);
    if (argc > 1 && strcmp(argv[1], "parse") == 0) {
        parse(reader, times);
    } else if (argc > 1) {
        ok &= check(schema, message, times);
    } else {
        double best_parse = HUGE_VAL, best_check = HUGE_VAL;
        for (int round = 0; round < ROUNDS; round++) {
            double begin = nanoseconds();
            parse(reader, times);
            double middle = nanoseconds();
            ok &= check(schema, message, times);
            double end = nanoseconds();
            best_parse = fmin(best_parse, (middle - begin) / (double)times);
            best_check = fmin(best_check, (end - middle) / (double)times);
        }
        printf("parse %.0f ns, check %.0f ns a message\n", best_parse, best_check);
    }
    json_object_put(message);
    json_tokener_free(reader);
    schemas_free(schemas);
    document_free(document);
    return ok ? 0 : 1;
}
