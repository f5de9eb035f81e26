/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_frames: what is written is read again, however the bytes are cut; what is no frame is refused with its line.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/worker_frames.h"

static void put(struct frame_reader *reader, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t room;
        char *to = frame_reader_room(reader, &room);
        size_t part = len < room ? len : room;
        memcpy(to, bytes, part);
        frame_reader_got(reader, part);
        bytes += part;
        len -= part;
    }
}

static void refuse(const char *line, enum frame_direction direction, const char *why)
{
    struct frame_reader reader = {.direction = direction, .part_max = 100};
    struct frame frame;
    struct fault fault = {""};
    put(&reader, line, strlen(line));
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_BAD);
    expect_in(fault.text, why);
    frame_reader_free(&reader);
}

static void write_all(struct text *out)
{
    frame_begin(out, FRAME_MSG);
    frame_number(out, 17);
    frame_word(out, "valawai/c1/echo/data/received_message");
    frame_number(out, 1);
    frame_number(out, 7);
    frame_end(out);
    frame_part(out, "{\"a\":1}", 7);
    frame_begin(out, FRAME_MSG);
    frame_number(out, 18);
    frame_word(out, "t");
    frame_number(out, 2);
    frame_number(out, 2);
    frame_word(out, "redelivered");
    frame_number(out, 3);
    frame_end(out);
    frame_part(out, "{}", 2);
    frame_part(out, "\n\0\n", 3);
    frame_begin(out, FRAME_ID);
    frame_word(out, NULL);
    frame_end(out);
}

static void expect_all(struct frame_reader *reader, const char *bytes, size_t len, size_t step)
{
    struct frame frame;
    struct fault fault;
    size_t seen = 0;
    for (size_t at = 0; at < len; at += step) {
        put(reader, bytes + at, len - at < step ? len - at : step);
        enum frame_next next;
        while ((next = frame_next(reader, &frame, &fault)) == FRAME_HERE) {
            switch (seen++) {
            case 0:
                assert_int_equal(frame.kind, FRAME_MSG);
                assert_int_equal(frame.numbers[0], 17);
                assert_int_equal(frame.numbers[1], 1);
                assert_string_equal(frame.words[0], "valawai/c1/echo/data/received_message");
                assert_string_equal(frame.parts[0].at, "{\"a\":1}");
                assert_false(frame.parts[1].given);
                break;
            case 1:
                assert_string_equal(frame.words[1], "redelivered");
                assert_int_equal(frame.parts[1].len, 3);
                assert_memory_equal(frame.parts[1].at, "\n\0\n", 4);
                break;
            default:
                assert_int_equal(frame.kind, FRAME_ID);
                assert_string_equal(frame.words[0], "-");
            }
        }
        assert_int_equal(next, FRAME_NONE);
    }
    assert_int_equal(seen, 3);
}

static void what_is_written_is_read_however_it_is_cut(void **state)
{
    (void)state;
    struct text out = {0};
    write_all(&out);
    for (size_t step = 1; step <= out.len; step++) {
        struct frame_reader reader = {.direction = FRAMES_TO_WORKER, .part_max = 100};
        expect_all(&reader, out.at, out.len, step);
        frame_reader_free(&reader);
    }
    text_free(&out);
}

static void a_reason_is_the_rest_of_its_line(void **state)
{
    (void)state;
    struct frame_reader reader = {.direction = FRAMES_FROM_WORKER, .part_max = 100};
    struct frame frame;
    struct fault fault;
    struct text out = {0};
    frame_begin(&out, FRAME_RETRY);
    frame_number(&out, 3);
    frame_end_with(&out, "not yet,\nperhaps later");
    frame_begin(&out, FRAME_WRONG);
    frame_number(&out, 4);
    frame_end_with(&out, NULL);
    put(&reader, out.at, out.len);
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    assert_string_equal(frame.rest, "not yet,\\nperhaps later");
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    assert_string_equal(frame.rest, "");
    frame_reader_free(&reader);
    text_free(&out);
}

static void a_long_reason_is_cut_to_fit_a_line(void **state)
{
    (void)state;
    struct frame_reader reader = {.direction = FRAMES_FROM_WORKER, .part_max = 100};
    struct frame frame;
    struct fault fault;
    struct text out = {0};
    char *reason = malloc(3 * FRAME_LINE_MAX);
    memset(reason, '\n', 3 * FRAME_LINE_MAX - 1);
    reason[3 * FRAME_LINE_MAX - 1] = '\0';
    frame_begin(&out, FRAME_WRONG);
    frame_number(&out, 4);
    frame_end_with(&out, reason);
    put(&reader, out.at, out.len);
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    assert_int_equal(strlen(frame.rest), FRAME_REASON_MAX);
    free(reason);
    frame_reader_free(&reader);
    text_free(&out);
}

static void the_body_of_the_message_is_named_instead_of_sent(void **state)
{
    (void)state;
    struct frame_reader reader = {.direction = FRAMES_FROM_WORKER, .part_max = 100};
    struct frame frame;
    struct fault fault;
    const char *line = "PUB 5 a/topic = 2\n{}\nLOG 5 INFO 12 echo.c 5 =\nhello\n";
    put(&reader, line, strlen(line));
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    assert_true(frame.parts[0].same);
    assert_string_equal(frame.parts[1].at, "{}");
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    assert_string_equal(frame.parts[0].at, "hello");
    assert_true(frame.parts[1].same);
    frame_reader_free(&reader);
}

static void what_is_no_frame_is_refused_with_its_line(void **state)
{
    (void)state;
    refuse("GARBAGE 1\n", FRAMES_FROM_WORKER, "no frame begins like this: \"GARBAGE 1\"");
    refuse("MSG 1 t 1 0\n\n", FRAMES_FROM_WORKER, "no frame begins like this");
    refuse("DONE 1\n", FRAMES_TO_WORKER, "no frame begins like this");
    refuse("\n", FRAMES_FROM_WORKER, "no frame begins like this");
    refuse("DONE\n", FRAMES_FROM_WORKER, "an argument is missing");
    refuse("DONE \n", FRAMES_FROM_WORKER, "a number is expected");
    refuse("DONE x\n", FRAMES_FROM_WORKER, "a number is expected");
    refuse("DONE -1\n", FRAMES_FROM_WORKER, "a number is expected");
    refuse("DONE 1234567890123456789\n", FRAMES_FROM_WORKER, "a number is expected");
    refuse("DONE 1 2\n", FRAMES_FROM_WORKER, "an argument too many");
    refuse("DONE 1\r\n", FRAMES_FROM_WORKER, "a number is expected");
    refuse("PUB 1 t 101\n", FRAMES_FROM_WORKER, "a part is too long: \"PUB 1 t 101\"");
    refuse("PUB 1  1\nx\n", FRAMES_FROM_WORKER, "a word is expected");
    refuse("PUB 1 t 2\n{}x", FRAMES_FROM_WORKER, "no line feed follows the bytes of: \"PUB 1 t 2\"");
}

static void a_frame_that_is_wrong_in_its_place_is_quoted(void **state)
{
    (void)state;
    struct frame_reader reader = {.direction = FRAMES_FROM_WORKER, .part_max = 100};
    struct frame frame;
    struct fault fault = {""};
    const char *lines = "LOG 5 INFO 12 echo.c 5\nhello\nRETRY 3 a\x1b b\n";
    put(&reader, lines, strlen(lines));
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    fault_set(&fault, "too early");
    frame_quote(&frame, &fault);
    assert_string_equal(fault.text, "too early: \"LOG 5 INFO 12 echo.c 5\"");
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_HERE);
    fault_set(&fault, "too late");
    frame_quote(&frame, &fault);
    assert_string_equal(fault.text, "too late: \"RETRY 3 a\\x1b b\"");
    frame_reader_free(&reader);
}

static void a_line_without_an_end_is_refused(void **state)
{
    (void)state;
    struct frame_reader reader = {.direction = FRAMES_FROM_WORKER, .part_max = 100};
    struct frame frame;
    struct fault fault;
    char *line = malloc(FRAME_LINE_MAX);
    memset(line, 'A', FRAME_LINE_MAX);
    put(&reader, line, FRAME_LINE_MAX - 1);
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_NONE);
    put(&reader, line, 1);
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_BAD);
    expect_in(fault.text, "a line is too long");
    free(line);
    frame_reader_free(&reader);
}

static void a_zero_byte_is_refused_in_a_line(void **state)
{
    (void)state;
    struct frame_reader reader = {.direction = FRAMES_FROM_WORKER, .part_max = 100};
    struct frame frame;
    struct fault fault;
    put(&reader, "RETRY 1 a\0b\n", 12);
    assert_int_equal(frame_next(&reader, &frame, &fault), FRAME_BAD);
    expect_in(fault.text, "a line has a zero byte");
    frame_reader_free(&reader);
}

static void a_word_cannot_break_its_line(void **state)
{
    (void)state;
    struct text out = {0};
    frame_begin(&out, FRAME_TOPIC);
    frame_word(&out, "a b\nc\x7f");
    frame_end(&out);
    assert_string_equal(out.at, "TOPIC a_b_c_\n");
    text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_however_it_is_cut),
        cmocka_unit_test(a_reason_is_the_rest_of_its_line),
        cmocka_unit_test(a_long_reason_is_cut_to_fit_a_line),
        cmocka_unit_test(the_body_of_the_message_is_named_instead_of_sent),
        cmocka_unit_test(what_is_no_frame_is_refused_with_its_line),
        cmocka_unit_test(a_frame_that_is_wrong_in_its_place_is_quoted),
        cmocka_unit_test(a_line_without_an_end_is_refused),
        cmocka_unit_test(a_zero_byte_is_refused_in_a_line),
        cmocka_unit_test(a_word_cannot_break_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
