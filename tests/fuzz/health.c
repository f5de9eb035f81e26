/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * health: the input is what an earlier run left behind, once as the health file and once as the ledger. Only ids come
 * out of it, each once, and whoever is killed right afterwards leaves the same ids behind. */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "mov/health.h"

static struct log *logs;
static char *paths[2]; /* health file and ledger */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    logs = fuzz_log();
    paths[0] = memory_format("%s/id.json", fuzz_directory());
    paths[1] = memory_format("%s.ids", paths[0]);
    return 0;
}

static char **run(size_t *count)
{
    struct health *health = health_new(fuzz_directory(), "id.json", logs);
    char **ids = health_left_behind(health, count);
    for (size_t i = 0; i < *count; i++) {
        EXPECT(is_component_id(ids[i], strlen(ids[i])), "the id %s", ids[i]);
        for (size_t j = 0; j < i; j++)
            EXPECT(strcmp(ids[i], ids[j]) != 0, "%s twice", ids[i]);
    }
    EXPECT(access(paths[0], F_OK) != 0, "the health file is still there");
    EXPECT((access(paths[1], F_OK) == 0) == (*count > 0), "%zu ids, and the ledger says otherwise", *count);
    health_free(health);
    return ids;
}

static void free_ids(char **ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(ids[i]);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < 2; i++) {
        size_t count = 0, count_again = 0;
        fuzz_write(paths[i], bytes, len);
        char **ids = run(&count), **again = run(&count_again);
        EXPECT(count == count_again, "%zu ids, and %zu the next time", count, count_again);
        for (size_t id = 0; id < count; id++)
            EXPECT(strcmp(ids[id], again[id]) == 0, "%s, and %s the next time", ids[id], again[id]);
        free_ids(ids, count);
        free_ids(again, count_again);
        unlink(paths[1]);
    }
    return 0;
}
