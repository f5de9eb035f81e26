/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * frames: the input is what one side of a worker's stream says: its first byte tells which, and how the bytes are cut.
 * However they are cut, the same frames are read, and each text and each part in them has its end. */
#include "fuzz.h"

#include <string.h>

#include "plugin/worker_frames.h"

#define PART_MAX 4096

static size_t read_all(enum frame_direction direction, const char *bytes, size_t len, size_t step, uint64_t *sum)
{
    struct frame_reader reader = {.direction = direction, .part_max = PART_MAX};
    struct frame frame;
    struct fault fault = {""};
    size_t count = 0;
    enum frame_next next = FRAME_NONE;
    *sum = 0;
    for (size_t at = 0; at < len && next != FRAME_BAD;) {
        size_t room, part = len - at < step ? len - at : step;
        char *to = frame_reader_room(&reader, &room);
        part = part < room ? part : room;
        EXPECT(part > 0, "no room");
        memcpy(to, bytes + at, part);
        frame_reader_got(&reader, part);
        at += part;
        while ((next = frame_next(&reader, &frame, &fault)) == FRAME_HERE) {
            count++;
            *sum = *sum * 31 + (uint64_t)frame.kind + frame.numbers[0] + strlen(frame.rest);
            for (int i = 0; i < 2; i++) {
                EXPECT(frame.words[i] == NULL || strpbrk(frame.words[i], " \n") == NULL, "a word that is none");
                EXPECT(!frame.parts[i].given || frame.parts[i].same || frame.parts[i].at[frame.parts[i].len] == '\0',
                       "a part without an end");
                *sum += frame.parts[i].len;
            }
        }
        EXPECT(next != FRAME_BAD || fault.text[0] != '\0', "a refusal without a reason");
    }
    frame_reader_free(&reader);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole, pieces;
    if (size < 1)
        return 0;
    enum frame_direction direction = (data[0] & 1) != 0 ? FRAMES_TO_WORKER : FRAMES_FROM_WORKER;
    size_t step = (size_t)(data[0] >> 1) + 1;
    const char *bytes = (const char *)data + 1;
    size_t count = read_all(direction, bytes, size - 1, size, &whole);
    EXPECT(read_all(direction, bytes, size - 1, step, &pieces) == count && whole == pieces,
           "the same bytes in pieces are other frames");
    return 0;
}
