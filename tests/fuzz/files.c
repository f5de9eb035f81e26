/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * files: the input is what an earlier run left behind, once as the health file and once as the ledger. Only ids come
 * out of it, each once, and a process that is killed right afterwards leaves the same ids behind. */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "mov/files.h"

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

static struct legacy run(void)
{
    struct files *files = files_new(fuzz_directory(), "id.json", logs);
    struct legacy left = files_left_behind(files);
    for (size_t i = 0; i < left.id_count; i++) {
        EXPECT(is_component_id(left.ids[i], strlen(left.ids[i])), "the id %s", left.ids[i]);
        for (size_t j = 0; j < i; j++)
            EXPECT(strcmp(left.ids[i], left.ids[j]) != 0, "%s twice", left.ids[i]);
    }
    EXPECT(access(paths[0], F_OK) != 0, "the health file is still there");
    EXPECT((access(paths[1], F_OK) == 0) == (left.id_count + left.pending_count > 0),
           "%zu ids, %zu pending, and the ledger says otherwise", left.id_count, left.pending_count);
    files_free(files);
    return left;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < 2; i++) {
        fuzz_write(paths[i], bytes, len);
        struct legacy left = run(), again = run();
        EXPECT(left.id_count == again.id_count && left.pending_count == again.pending_count,
               "%zu ids and %zu pending, and %zu and %zu the next time", left.id_count, left.pending_count,
               again.id_count, again.pending_count);
        for (size_t id = 0; id < left.id_count; id++)
            EXPECT(strcmp(left.ids[id], again.ids[id]) == 0, "%s, and %s the next time", left.ids[id], again.ids[id]);
        legacy_free(&left);
        legacy_free(&again);
        unlink(paths[1]);
    }
    return 0;
}
