/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/limits.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB (1024ULL * 1024)

struct limits limits_of(const struct settings *settings, const struct plugin_section *section)
{
    const struct limits none = {0}, *own = section == NULL ? &none : &section->limits, *all = &settings->host.limits;
    return (struct limits){
        .memory_max = own->memory_max > 0 ? own->memory_max : all->memory_max,
        .cpu_max = own->cpu_max > 0 ? own->cpu_max : all->cpu_max,
        .files_max = own->files_max > 0 ? own->files_max : all->files_max,
        .processes_max = own->processes_max > 0 ? own->processes_max : all->processes_max,
    };
}

int limits_pause(const struct limits *limits)
{
    if (limits->processes_max > 0)
        return LIMITS_FORKS_MS;
    return limits->memory_max > 0 || limits->cpu_max > 0 || limits->files_max > 0 ? LIMITS_LOOK_MS : 0;
}

/* ---- what the kernel holds ---- */

/* The beginning of a file of /proc, of a process unless pid is 0. Returns its length; 0: it cannot be read. */
static size_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    if (pid == 0)
        snprintf(path, sizeof path, "/proc/%s", name);
    else
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, room - 1);
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

static void lower(__rlimit_resource_t resource, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) == 0 && (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > most))
        (void)!setrlimit(resource, &(struct rlimit){.rlim_cur = most, .rlim_max = most});
}

/* RLIMIT_DATA counts what is set aside for data, used or not, such as 8 MiB for the stack of each thread; RLIMIT_AS
 * also counts libraries and address space that only is reserved. So what a process has in memory is measured, and the
 * rlimit, far above, bounds what it can get between two looks, and in swap. */
static rlim_t data_max(long memory_max)
{
    char statm[128];
    unsigned long pages = 0;
    (void)read_proc(getpid(), "statm", statm, sizeof statm);
    if (sscanf(statm, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
        pages = 0;
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + 4 * (rlim_t)memory_max + 256 * MIB;
}

void limits_hold(const struct limits *limits)
{
    if (limits->files_max > 0)
        lower(RLIMIT_NOFILE, (rlim_t)limits->files_max);
    if (limits->memory_max > 0)
        lower(RLIMIT_DATA, data_max(limits->memory_max));
}

/* ---- what is measured ---- */

static unsigned count_files(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    for (const struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        count += isdigit((unsigned char)entry->d_name[0]) != 0;
    if (directory != NULL)
        closedir(directory);
    return count;
}

/* A process that has ended meanwhile adds nothing. What its own children have used is its parent's when it is waited
 * for. */
static void add_process(pid_t pid, struct usage *usage)
{
    char stat[1024];
    unsigned long used[4] = {0};
    long pages = 0;
    if (read_proc(pid, "stat", stat, sizeof stat) == 0)
        return;
    usage->processes++;
    const char *rest = strrchr(stat, ')'); /* a name may hold anything */
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu %*d %*d %*d %*d %*u %*u %ld",
               &used[0], &used[1], &used[2], &used[3], &pages) != 5)
        return;
    uint64_t bytes = (uint64_t)(pages > 0 ? pages : 0) * (uint64_t)sysconf(_SC_PAGESIZE);
    usage->bytes = bytes > usage->bytes ? bytes : usage->bytes;
    usage->cpu_ms += (uint64_t)(used[0] + used[1] + used[2] + used[3]) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    if (usage->counts_files && pid == usage->group)
        usage->files = count_files(pid);
}

static void measure_all(struct usage *usages, size_t count)
{
    DIR *processes = opendir("/proc");
    for (const struct dirent *entry; processes != NULL && (entry = readdir(processes)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), group = getpgid(pid);
        for (size_t i = 0; group > 0 && i < count; i++)
            if (usages[i].group == group)
                add_process(pid, &usages[i]);
    }
    if (processes != NULL)
        closedir(processes);
}

/* The newest process or thread, as the kernel numbers them; 0: unknown. */
static long newest(void)
{
    char text[128];
    long last = 0;
    (void)read_proc(0, "loadavg", text, sizeof text);
    return sscanf(text, "%*s %*s %*s %*s %ld", &last) == 1 ? last : 0;
}

void usage_measure(struct usage_look *look, struct usage *usages, size_t count)
{
    long last = newest();
    bool all = look->had_more || last == 0 || last != look->last_pid;
    *look = (struct usage_look){.last_pid = last, .room = LONG_MAX};
    if (all)
        measure_all(usages, count);
    for (size_t i = 0; i < count; i++) {
        if (!all)
            add_process(usages[i].group, &usages[i]);
        look->had_more = look->had_more || usages[i].processes > 1;
        long room = usages[i].processes_max > 0 ? usages[i].processes_max - (long)usages[i].processes : LONG_MAX;
        look->room = room < look->room ? room : look->room;
    }
}

/* Their numbers grow, and begin again at some point. */
bool usage_may_have_grown(const struct usage_look *look)
{
    long last = look->room == LONG_MAX ? look->last_pid : newest();
    return last < look->last_pid || last - look->last_pid > look->room || last == 0;
}

/* ---- what is decided ---- */

bool limits_exceeded(struct allowance *allowance, const struct usage *usage, int64_t now_ms, struct fault *which)
{
    const struct limits *limits = &allowance->limits;
    if (limits->memory_max > 0 && usage->bytes > (uint64_t)limits->memory_max) {
        fault_set(which, "it has %.1f MiB in memory, and memory_max is %.1f MiB; if it needs more, raise memory_max",
                  (double)usage->bytes / MIB, (double)limits->memory_max / MIB);
        return true;
    }
    if (limits->processes_max > 0 && usage->processes > (unsigned long)limits->processes_max) {
        fault_set(which, "it consists of %u processes, and processes_max is %ld; if it needs more, raise processes_max",
                  usage->processes, limits->processes_max);
        return true;
    }
    if (limits->files_max > 0 && usage->files >= (unsigned long)limits->files_max) {
        fault_set(which, "it has %u open descriptors, and files_max is %ld; if it needs more, raise files_max",
                  usage->files, limits->files_max);
        return true;
    }
    /* The kernel forgets the time of a process whose parent has left the group. */
    uint64_t used = usage->cpu_ms > allowance->cpu_ms_before ? usage->cpu_ms - allowance->cpu_ms_before : 0;
    if (limits->cpu_max > 0 && used > (uint64_t)limits->cpu_max * LIMITS_CPU_MS / 100) {
        fault_set(
            which,
            "it has used %.1f s of CPU time within %d s, and cpu_max is %ld %% of one core; if it needs more, raise "
            "cpu_max",
            (double)used / 1000, LIMITS_CPU_MS / 1000, limits->cpu_max);
        return true;
    }
    if (now_ms - allowance->since_ms >= LIMITS_CPU_MS) {
        allowance->since_ms = now_ms;
        allowance->cpu_ms_before = usage->cpu_ms;
    }
    return false;
}
