/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/limits.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define MIB (1024ULL * 1024)

static bool exceeds(struct allowance *allowance, struct usage usage, int64_t now_ms, const char *said)
{
    struct fault which = {""};
    bool exceeded = limits_exceeded(allowance, &usage, now_ms, &which);
    if (exceeded && (said == NULL || strstr(which.text, said) == NULL))
        fail_msg("%s", which.text);
    return exceeded;
}

static void each_limit_is_named(void **state)
{
    UNUSED(state);
    struct allowance memory = {.limits = {.memory_max = 100 * MIB}};
    assert_false(
        exceeds(&memory, (struct usage){.bytes = 100 * MIB, .cpu_ms = 1000000, .processes = 9, .files = 9}, 0, NULL));
    assert_true(exceeds(&memory, (struct usage){.bytes = 101 * MIB}, 0,
                        "it has 101.0 MiB in memory, and memory_max is 100.0 MiB"));
    struct allowance files = {.limits = {.files_max = 20}};
    assert_false(exceeds(&files, (struct usage){.files = 19}, 0, NULL));
    assert_true(exceeds(&files, (struct usage){.files = 20}, 0, "files_max is 20"));
    struct allowance processes = {.limits = {.processes_max = 2}};
    assert_false(exceeds(&processes, (struct usage){.processes = 2}, 0, NULL));
    assert_true(exceeds(&processes, (struct usage){.processes = 3}, 0, "processes_max is 2"));
}

static void no_limit_is_never_exceeded(void **state)
{
    UNUSED(state);
    struct allowance none = {0};
    assert_false(exceeds(
        &none, (struct usage){.bytes = UINT64_MAX, .cpu_ms = UINT64_MAX, .processes = 1 << 30, .files = 1 << 30},
        INT64_MAX, NULL));
    assert_int_equal(limits_pause(&none.limits), 0);
}

static void a_share_of_cpu_time_begins_anew_every_ten_seconds(void **state)
{
    UNUSED(state);
    struct allowance half = {.limits = {.cpu_max = 50}, .since_ms = 1000, .cpu_ms_before = 0};
    for (int64_t second = 0; second < 100; second++) /* it uses exactly its share */
        assert_false(exceeds(&half, (struct usage){.cpu_ms = (uint64_t)second * 500}, 1000 + second * 1000, NULL));
    struct allowance whole = {.limits = {.cpu_max = 50}, .since_ms = 0};
    assert_false(exceeds(&whole, (struct usage){.cpu_ms = 5000}, 5000, NULL));
    assert_true(
        exceeds(&whole, (struct usage){.cpu_ms = 5100}, 5100, "5.1 s of CPU time within 10 s, and cpu_max is 50 %"));
    /* Four cores at once. */
    struct allowance two = {.limits = {.cpu_max = 200}};
    assert_false(exceeds(&two, (struct usage){.cpu_ms = 19900}, 4900, NULL));
    assert_true(exceeds(&two, (struct usage){.cpu_ms = 20100}, 5000, "cpu_max is 200 %"));
}

static void time_of_lost_children_is_not_negative(void **state)
{
    UNUSED(state);
    struct allowance half = {.limits = {.cpu_max = 50}, .cpu_ms_before = 4000};
    assert_false(exceeds(&half, (struct usage){.cpu_ms = 100}, 100, NULL));
}

static void the_limits_of_a_section_override_those_of_the_host(void **state)
{
    UNUSED(state);
    struct settings settings = {.host.limits = {.memory_max = 1, .cpu_max = 2, .files_max = 3}};
    struct plugin_section section = {.limits = {.cpu_max = 20, .processes_max = 40}};
    struct limits limits = limits_of(&settings, &section);
    assert_int_equal(limits.memory_max, 1);
    assert_int_equal(limits.cpu_max, 20);
    assert_int_equal(limits.files_max, 3);
    assert_int_equal(limits.processes_max, 40);
    limits = limits_of(&settings, NULL);
    assert_int_equal(limits.cpu_max, 2);
    assert_int_equal(limits.processes_max, 0);
}

static struct usage measured(struct usage_look *look, pid_t group)
{
    struct usage usages[2] = {{.group = group, .counts_files = true}, {.group = 1 << 22 /* none */}};
    usage_measure(look, usages, 2);
    assert_int_equal(usages[1].processes, 0);
    return usages[0];
}

/* A group of two processes: the first one has much in memory, has used CPU time, and has descriptors. */
static void a_group_of_processes_is_measured(void **state)
{
    UNUSED(state);
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t first = fork();
    if (first == 0) {
        setpgid(0, 0);
        char *much = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pid_t second = fork();
        if (second == 0) {
            pause();
            _exit(0);
        }
        memset(much, 1, 64 * MIB);
        for (clock_t until = clock() + CLOCKS_PER_SEC / 10; clock() < until;)
            continue;
        (void)!write(ready[1], "x", 1);
        pause();
        _exit(0);
    }
    setpgid(first, first);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct usage_look look = {0};
    struct usage usage = measured(&look, first);
    assert_int_equal(usage.processes, 2);
    assert_in_range(usage.bytes, 60 * MIB, 4096 * MIB);
    assert_in_range(usage.cpu_ms, 50, 60000);
    assert_in_range(usage.files, 4, 1000);
    assert_true(look.had_more);
    kill(-first, SIGKILL);
    waitpid(first, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

/* Other processes of the machine are new, too: they make a look necessary, and no more. */
static void so_few_new_processes_that_no_group_can_have_too_many(void **state)
{
    UNUSED(state);
    struct usage_look look = {0};
    struct usage usage = {.group = getpgrp(), .processes_max = 1000000};
    usage_measure(&look, &usage, 1);
    assert_in_range(usage.processes, 1, 999999);
    assert_int_equal(look.room, 1000000 - usage.processes);
    assert_false(usage_may_have_grown(&look));
    look.room = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    assert_true(usage_may_have_grown(&look));
    look.room = 500000;
    assert_false(usage_may_have_grown(&look));
    look.last_pid += 1000000; /* the numbers have begun again */
    assert_true(usage_may_have_grown(&look));
}

static void a_new_process_is_found_at_the_next_look(void **state)
{
    UNUSED(state);
    int order[2], answer[2];
    char byte;
    assert_int_equal(pipe(order), 0);
    assert_int_equal(pipe(answer), 0);
    pid_t first = fork();
    if (first == 0) {
        setpgid(0, 0);
        if (read(order[0], &byte, 1) == 1 && fork() == 0)
            pause();
        (void)!write(answer[1], "x", 1);
        pause();
        _exit(0);
    }
    setpgid(first, first);
    struct usage_look look = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(measured(&look, first).processes, 1);
    assert_false(look.had_more);
    assert_false(usage_may_have_grown(&look)); /* without a limit */
    assert_int_equal(write(order[1], "x", 1), 1);
    assert_int_equal(read(answer[0], &byte, 1), 1);
    assert_int_equal(measured(&look, first).processes, 2);
    kill(-first, SIGKILL);
    waitpid(first, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(order[i]);
        close(answer[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_limit_is_named),
        cmocka_unit_test(no_limit_is_never_exceeded),
        cmocka_unit_test(a_share_of_cpu_time_begins_anew_every_ten_seconds),
        cmocka_unit_test(time_of_lost_children_is_not_negative),
        cmocka_unit_test(the_limits_of_a_section_override_those_of_the_host),
        cmocka_unit_test(a_group_of_processes_is_measured),
        cmocka_unit_test(so_few_new_processes_that_no_group_can_have_too_many),
        cmocka_unit_test(a_new_process_is_found_at_the_next_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
