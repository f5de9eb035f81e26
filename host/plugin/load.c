/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/load.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valawai/plugin.h>

#include "base/backoff.h"
#include "base/memory.h"

/* ---- the file ---- */

static bool elf_header(int fd, ElfW(Ehdr) * header)
{
    return pread(fd, header, sizeof *header, 0) == sizeof *header && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
}

/* dlopen reports "No such file" for another machine's objects and dies of SIGBUS with truncated ones, so check before.
 */
static bool check_elf(int fd, off_t size, struct fault *fault)
{
    ElfW(Ehdr) header = {0}, ours = {0};
    if (!elf_header(fd, &header))
        return fault_set(fault, "not a shared object (no ELF header)");
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool known = self >= 0 && elf_header(self, &ours);
    if (self >= 0)
        close(self);
    if (known && (header.e_ident[EI_CLASS] != ours.e_ident[EI_CLASS] ||
                  header.e_ident[EI_DATA] != ours.e_ident[EI_DATA] || header.e_machine != ours.e_machine))
        return fault_set(fault, "built for another machine (ELF machine %u, this host is %u)", header.e_machine,
                         ours.e_machine);
    if (header.e_type != ET_DYN)
        return fault_set(fault, "not a shared object (ELF type %u)", header.e_type);
    if (header.e_shoff > (size_t)size || (size_t)header.e_shnum * header.e_shentsize > (size_t)size - header.e_shoff)
        return fault_set(fault, "truncated"); /* the table of sections is at the end */
    for (unsigned i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t at = (off_t)header.e_phoff + (off_t)i * header.e_phentsize;
        if (pread(fd, &segment, sizeof segment, at) != sizeof segment || segment.p_filesz > (size_t)size ||
            segment.p_offset > (size_t)size - segment.p_filesz)
            return fault_set(fault, "truncated");
    }
    return true;
}

/* A user who can write to a directory on the path could replace the file, except in a sticky directory. */
static bool check_directories(const char *path, struct fault *fault)
{
    bool good = true;
    char *directory = memory_text(path);
    for (char *slash; good && (slash = strrchr(directory, '/')) != NULL;) {
        struct stat status;
        *slash = '\0';
        const char *name = directory[0] == '\0' ? "/" : directory;
        if (stat(name, &status) != 0)
            good = fault_set(fault, "%s: %s", name, strerror(errno));
        else if (status.st_uid != 0 && status.st_uid != geteuid())
            good = fault_set(fault, "lies in %s, which belongs to user %u; chown it", name, (unsigned)status.st_uid);
        else if ((status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
            good = fault_set(fault, "lies in %s, which others can write; chmod o-w it", name);
    }
    free(directory);
    return good;
}

static bool check_file(int fd, const char *path, struct fault *fault)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fault_set(fault, "%s", strerror(errno));
    if (S_ISDIR(status.st_mode))
        return fault_set(fault, "is a directory, not a plugin");
    if (!S_ISREG(status.st_mode))
        return fault_set(fault, "is not a regular file");
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return fault_set(fault, "belongs to user %u; expected root or user %u: chown it", (unsigned)status.st_uid,
                         (unsigned)geteuid());
    if (status.st_mode & S_IWOTH)
        return fault_set(fault, "others can write it; chmod o-w it");
    if (status.st_mode & S_IWGRP)
        return fault_set(fault, "its group can write it; chmod g-w it");
    return check_directories(path, fault);
}

/* True if the dynamic linker searches the file's directory for libraries. */
static bool looks_beside(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size <= 0)
        return false;
    size_t size = (size_t)status.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    bool found = memmem(bytes, size, "$ORIGIN", 7) != NULL || memmem(bytes, size, "${ORIGIN}", 9) != NULL;
    munmap(bytes, size);
    return found;
}

static bool makes_copies;

void load_make_copies(void)
{
    makes_copies = true;
}

static bool copy_bytes(int to, int from)
{
    off_t at = 0;
    ssize_t copied;
    while ((copied = sendfile(to, from, &at, 1 << 30)) > 0)
        ;
    return copied == 0;
}

/* A copy in memory that cannot change. -1: this system allows none. */
static int copy_of(int fd)
{
#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* since Linux 6.3 */
#endif
    int copy = memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL)
        copy = memfd_create("plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return -1;
    if (copy_bytes(copy, fd) && fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
        return copy;
    close(copy);
    return -1;
}

bool load_check(const char *path, int *fd, struct fault *fault)
{
    struct stat status;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fault_set(fault, "%s", strerror(errno));
    bool good = check_file(*fd, path, fault);
    int copy = good && makes_copies && !looks_beside(*fd) ? copy_of(*fd) : -1;
    if (copy >= 0) {
        close(*fd);
        *fd = copy;
    }
    if (good && fstat(*fd, &status) != 0)
        good = fault_set(fault, "%s", strerror(errno));
    if (good && check_elf(*fd, status.st_size, fault))
        return true;
    close(*fd);
    *fd = -1;
    return false;
}

/* ---- dlopen ---- */

static bool is_same_file(int fd, const char *path)
{
    struct stat one, other;
    return fstat(fd, &one) == 0 && stat(path, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static void *open_named(const char *name, struct fault *fault)
{
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle != NULL)
        return handle;
    const char *reason = dlerror();
    size_t len = strlen(name);
    fault_set(fault, "%s", strncmp(reason, name, len) == 0 && reason[len] == ':' ? reason + len + 2 : reason);
    return NULL;
}

/* Debuggers and dladdr() show the name of a library. Both names stay allocated, because the code is never unmapped. */
static void rename_library(struct link_map *map, const char *path)
{
    static struct former {
        struct former *next;
        char *name;
    } * former; /* keeps the old name reachable for leak checkers */
    struct former *one = memory_new(sizeof *one);
    *one = (struct former){.next = former, .name = map->l_name};
    former = one;
    map->l_name = memory_text(path);
}

/* Loads the checked file, even if the path refers to another file now. A plugin with libraries in its directory is
 * loaded by its path, because the linker finds them by it. */
static void *open_checked(int fd, const char *path, struct fault *fault)
{
    char checked[48];
    struct link_map *map = NULL;
    /* The linker identifies a library by its name. So this descriptor stays open, and no other plugin gets its number.
     */
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    snprintf(checked, sizeof checked, "/proc/%d/fd/%d", (int)getpid(), kept); /* a debugger opens it, too; … */
    if (access(checked, F_OK) != 0) /* … with the /proc of another PID namespace it cannot */
        snprintf(checked, sizeof checked, "/proc/self/fd/%d", kept);
    if (kept < 0 || access(checked, F_OK) != 0 || looks_beside(fd)) {
        if (kept >= 0)
            close(kept);
        if (is_same_file(fd, path))
            return open_named(path, fault);
        fault_set(fault, "was replaced while it was checked");
        return NULL;
    }
    void *handle = open_named(checked, fault);
    if (handle == NULL)
        close(kept);
    else if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && strcmp(map->l_name, checked) == 0)
        rename_library(map, path);
    return handle;
}

/* ---- a child process loads the file first ---- */

enum { CHILD_LOADED = 0, CHILD_REFUSED = 3 };

/* Reads what the host will read, to find invalid pointers here. */
static size_t read_entry(const struct valawai_plugin *entry)
{
    size_t bytes = 0;
    if (entry == NULL || entry->magic != VALAWAI_PLUGIN_MAGIC || entry->abi_major != VALAWAI_ABI_MAJOR ||
        entry->size < offsetof(struct valawai_plugin, topics) + sizeof entry->topics)
        return 0; /* refused with the reason when the host loads it */
    bytes += entry->version != NULL ? strlen(entry->version) : 0;
    bytes += entry->asyncapi != NULL ? strlen(entry->asyncapi) : 0;
    for (const struct valawai_topic *topic = entry->topics; topic != NULL && topic->name != NULL; topic++)
        bytes += strlen(topic->name);
    return bytes;
}

static _Noreturn void run_child(int fd, const char *path, pid_t parent)
{
    struct fault fault;
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(CHILD_REFUSED);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC); /* a constructor prints when the host loads the file */
    for (int standard = 0; standard < 3 && nothing >= 0; standard++)
        dup2(nothing, standard);
    void *handle = open_checked(fd, path, &fault);
    if (handle == NULL)
        _exit(CHILD_REFUSED);
    _exit(read_entry(dlsym(handle, VALAWAI_PLUGIN_SYMBOL)) == SIZE_MAX ? CHILD_REFUSED : CHILD_LOADED);
}

/* True if the child has ended. */
static bool await_end(pid_t child, int64_t until_ms)
{
    siginfo_t info = {0};
    int fd = pidfd_open(child, 0);
    bool ended = false;
    for (int64_t now; !ended && (now = clock_ms()) < until_ms;) {
        /* Linux before 5.3 and valgrind have no process descriptors; then the host checks every 5 ms. */
        struct pollfd end = {.fd = fd, .events = POLLIN};
        poll(&end, 1, fd < 0 ? 5 : (int)(until_ms - now));
        ended = waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
    }
    if (fd >= 0)
        close(fd);
    return ended;
}

/* False: the child has not ended in time. */
static bool await(pid_t child, int wait_ms, int *status)
{
    bool in_time = await_end(child, clock_ms() + wait_ms);
    if (!in_time)
        kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0 && errno == EINTR)
        continue;
    return in_time;
}

bool load_try(int fd, const char *path, int wait_ms, struct fault *fault)
{
    int status = 0;
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        return fault_set(fault, "cannot try it in a child process: %s", strerror(errno));
    if (child == 0)
        run_child(fd, path, parent);
    if (!await(child, wait_ms, &status))
        return fault_set(fault, "does not finish loading within %d s", (wait_ms + 999) / 1000);
    if (WIFSIGNALED(status))
        return fault_set(fault, "crashes while loading (SIG%s)", sigabbrev_np(WTERMSIG(status)));
    if (WEXITSTATUS(status) != CHILD_LOADED && WEXITSTATUS(status) != CHILD_REFUSED)
        return fault_set(fault, "ends the process while loading (exit status %d)", WEXITSTATUS(status));
    return true; /* if the child refused it, the load reports the reason */
}

void *load_open(int fd, const char *path, struct fault *fault)
{
    return load_try(fd, path, LOAD_WAIT_MS, fault) ? open_checked(fd, path, fault) : NULL;
}

void *load_open_untried(int fd, const char *path, struct fault *fault)
{
    return open_checked(fd, path, fault);
}
