/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plugin: valid plugins are loaded, and every invalid one is refused with its reason and without a crash. */
#include "support.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/load.h"
#include "plugin/plugin.h"

static char *directory;

static int enter(void **state)
{
    UNUSED(state);
    directory = directory_new();
    return 0;
}

static int leave(void **state)
{
    UNUSED(state);
    directory_remove(directory);
    return 0;
}

static const char *in_directory(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static const char *test_plugin(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, TEST_PLUGINS "/%s.so", name);
    return path;
}

static const char *unit_plugin(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, UNIT_PLUGINS "/%s.so", name);
    return path;
}

/* A file with the first len bytes of the echo plugin. */
static const char *copy_of_echo(const char *name, size_t len)
{
    size_t all;
    char *bytes = file_read(ECHO_PLUGIN, &all);
    const char *path = in_directory(name);
    assert_non_null(bytes);
    file_write(path, bytes, len < all ? len : all);
    free(bytes);
    return path;
}

/* The same with some bytes changed. */
static const char *patched_echo(const char *name, size_t at, const void *bytes, size_t len)
{
    const char *path = copy_of_echo(name, SIZE_MAX);
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void expect_refused(const char *path, const char *reason)
{
    struct plugin *plugin = NULL;
    struct fault fault = {""};
    if (plugin_open(path, &plugin, &fault)) {
        plugin_free(plugin);
        fail_msg("took %s; it should say %s", path, reason);
    }
    assert_null(plugin);
    if (strncmp(fault.text, path, strlen(path)) != 0 || strstr(fault.text, reason) == NULL ||
        strchr(fault.text, '\n') != NULL)
        fail_msg("of %s it says \"%s\" and not \"%s\"", path, fault.text, reason);
}

static struct plugin *expect_opened(const char *path)
{
    struct plugin *plugin = NULL;
    struct fault fault = {""};
    if (!plugin_open(path, &plugin, &fault))
        fail_msg("%s", fault.text);
    return plugin;
}

/* ---- valid plugins ---- */

static void the_echo_plugin(void **state)
{
    UNUSED(state);
    struct plugin *plugin = expect_opened(ECHO_PLUGIN);
    assert_string_equal(plugin->file, "echo.so");
    assert_int_equal(plugin->path[0], '/');
    assert_int_equal(plugin->topic_count, 1);
    assert_string_equal(plugin->entry.topics[0].name, "valawai/c1/echo/data/received_message");
    assert_string_equal(plugin->name, "c1_echo");
    assert_string_equal(plugin->entry.version, "1.0.0");
    assert_null(plugin->section);
    plugin_free(plugin);
    plugin_free(NULL);
}

static void a_relative_path(void **state)
{
    UNUSED(state);
    char *home = getcwd(NULL, 0);
    copy_of_echo("e.so", SIZE_MAX);
    assert_int_equal(chdir(directory), 0);
    struct plugin *plugin = expect_opened("e.so"); /* dlopen alone would look in the library path */
    assert_string_equal(plugin->file, "e.so");
    plugin_free(plugin);
    assert_int_equal(chdir(home), 0);
    free(home);
}

static void a_longer_descriptor(void **state)
{
    UNUSED(state);
    struct plugin *plugin = expect_opened(test_plugin("long_descriptor"));
    assert_non_null(plugin->entry.start);
    assert_true(plugin->entry.size > sizeof plugin->entry);
    plugin_free(plugin);
}

static void a_shorter_descriptor(void **state)
{
    UNUSED(state);
    struct plugin *plugin = expect_opened(unit_plugin("older_descriptor"));
    assert_int_equal(plugin->topic_count, 1);
    assert_true(plugin->entry.start == NULL); /* it has none, whatever lies behind it in memory */
    assert_true(plugin->entry.stop == NULL);
    plugin_free(plugin);
}

static void opening_runs_nothing(void **state)
{
    UNUSED(state);
    plugin_free(expect_opened(test_plugin("start_fails")));
}

/* ---- invalid plugins ---- */

static void files_that_are_none(void **state)
{
    UNUSED(state);
    expect_refused(in_directory("absent.so"), "No such file or directory");
    expect_refused("absent.so", "No such file or directory");
    expect_refused("", "No such file or directory");
    expect_refused(directory, "is a directory");
    expect_refused("/dev/null", "is not a regular file");
    assert_int_equal(mkfifo(in_directory("fifo.so"), 0644), 0);
    expect_refused(in_directory("fifo.so"), "is not a regular file"); /* without waiting for a writer */
    assert_int_equal(symlink("nowhere", in_directory("link.so")), 0);
    expect_refused(in_directory("link.so"), "No such file or directory");
    assert_int_equal(symlink("loop.so", in_directory("loop.so")), 0);
    expect_refused(in_directory("loop.so"), strerror(ELOOP));
}

static void files_that_are_not_elf(void **state)
{
    UNUSED(state);
    file_puts(in_directory("empty.so"), "");
    expect_refused(in_directory("empty.so"), "not a shared object (no ELF header)");
    file_puts(in_directory("text.so"), "#!/bin/sh\necho a script\n");
    expect_refused(in_directory("text.so"), "not a shared object (no ELF header)");
    char zeros[4096] = "";
    file_write(in_directory("zeros.so"), zeros, sizeof zeros);
    expect_refused(in_directory("zeros.so"), "not a shared object (no ELF header)");
    file_puts(in_directory("short.so"), "\177ELF");
    expect_refused(in_directory("short.so"), "not a shared object (no ELF header)");
}

static void another_machine(void **state)
{
    UNUSED(state);
    ElfW(Half) machine = EM_S390;
    expect_refused(patched_echo("machine.so", offsetof(ElfW(Ehdr), e_machine), &machine, sizeof machine),
                   "built for another machine (ELF machine 22, this host is ");
    unsigned char class = sizeof(void *) == 8 ? ELFCLASS32 : ELFCLASS64;
    expect_refused(patched_echo("class.so", EI_CLASS, &class, 1), "built for another machine");
    unsigned char order = ELFDATA2MSB;
    expect_refused(patched_echo("order.so", EI_DATA, &order, 1), "built for another machine");
}

static void elf_files_of_another_kind(void **state)
{
    UNUSED(state);
    ElfW(Half) type = ET_REL;
    expect_refused(patched_echo("object.so", offsetof(ElfW(Ehdr), e_type), &type, sizeof type),
                   "not a shared object (ELF type 1)");
    type = ET_EXEC;
    expect_refused(patched_echo("program.so", offsetof(ElfW(Ehdr), e_type), &type, sizeof type),
                   "not a shared object (ELF type 2)");
    char self[512];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(len > 0);
    self[len] = '\0';
    expect_refused(self, ""); /* a program that is position-independent: dlopen's words */
}

static void headers_that_point_anywhere(void **state)
{
    UNUSED(state);
    ElfW(Off) offset = (ElfW(Off))1 << 40;
    expect_refused(patched_echo("far.so", offsetof(ElfW(Ehdr), e_phoff), &offset, sizeof offset), "truncated");
    offset = (ElfW(Off)) - 1;
    expect_refused(patched_echo("negative.so", offsetof(ElfW(Ehdr), e_phoff), &offset, sizeof offset), "truncated");
    ElfW(Half) count = 0;
    expect_refused(patched_echo("none.so", offsetof(ElfW(Ehdr), e_phnum), &count, sizeof count), "");
    count = 0xffff;
    expect_refused(patched_echo("many.so", offsetof(ElfW(Ehdr), e_phnum), &count, sizeof count), "");
    ElfW(Half) size = 1;
    expect_refused(patched_echo("small.so", offsetof(ElfW(Ehdr), e_phentsize), &size, sizeof size), "");
}

/* Opens the plugin in a child, so that a crash does not end the test. */
enum { CHILD_OPENED, CHILD_REFUSED };

static int open_in_child(const char *path)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct plugin *plugin = NULL;
        struct fault fault = {""};
        alarm(60);
        _exit(plugin_open(path, &plugin, &fault) ? CHILD_OPENED : CHILD_REFUSED);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect_no_crash(size_t len, size_t needed)
{
    int answer = open_in_child(copy_of_echo("cut.so", len));
    if (answer != CHILD_REFUSED && (answer != CHILD_OPENED || len < needed))
        fail_msg("the first %zu bytes of the echo plugin: %s %d", len, answer < 0 ? "signal" : "exit", answer);
}

static void truncated_files(void **state)
{
    UNUSED(state);
    size_t all, needed = 0;
    char *bytes = file_read(ECHO_PLUGIN, &all);
    const ElfW(Ehdr) *header = (const void *)bytes;
    const ElfW(Phdr) *segments = (const void *)(bytes + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_offset + segments[i].p_filesz > needed)
            needed = segments[i].p_offset + segments[i].p_filesz;
    assert_uint_in_range(needed, 1, all);

    for (size_t len = 0; len <= 4096; len += 64)
        expect_no_crash(len, needed);
    expect_no_crash(sizeof *header - 1, needed);
    expect_no_crash(sizeof *header + 1, needed);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        size_t end = segments[i].p_offset + segments[i].p_filesz;
        expect_no_crash(segments[i].p_offset, needed);
        expect_no_crash(end == 0 ? 0 : end - 1, needed);
        expect_no_crash(end, needed);
        expect_no_crash(end + 1, needed);
    }
    for (size_t len = 4096; len < all; len += 4096)
        expect_no_crash(len, needed);
    expect_no_crash(header->e_shoff, needed);
    expect_no_crash(all - 1, needed);
    assert_int_equal(open_in_child(copy_of_echo("whole.so", all)), CHILD_OPENED);
    free(bytes);
}

static void who_may_write_it(void **state)
{
    UNUSED(state);
    const char *path = copy_of_echo("open.so", SIZE_MAX);
    assert_int_equal(chmod(path, 0666), 0);
    expect_refused(path, "others can write it; chmod o-w it");
    assert_int_equal(chmod(path, 0602), 0);
    expect_refused(path, "others can write it; chmod o-w it");
    assert_int_equal(chmod(path, 0664), 0);
    expect_refused(path, "its group can write it; chmod g-w it");
    assert_int_equal(chmod(path, 0644), 0);
    plugin_free(expect_opened(path));
}

/* Users who can write to a directory may replace its files, or the directory itself. */
static void a_directory_that_others_can_write(void **state)
{
    UNUSED(state);
    char path[600];
    snprintf(path, sizeof path, "%s/outer", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/outer/inner", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    copy_of_echo("outer/inner/e.so", SIZE_MAX);
    snprintf(path, sizeof path, "%s/outer/inner/e.so", directory);
    plugin_free(expect_opened(path));
    static const char *const open[] = {"outer", "outer/inner"};
    for (size_t i = 0; i < COUNT(open); i++) {
        assert_int_equal(chmod(in_directory(open[i]), 0777), 0);
        expect_refused(path, "which others can write; chmod o-w it");
        expect_refused(path, open[i]);
        assert_int_equal(chmod(in_directory(open[i]), 01777), 0); /* sticky, as /tmp is */
        plugin_free(expect_opened(path));
        assert_int_equal(chmod(in_directory(open[i]), 0755), 0);
    }
}

/* Between check and load, the path changes to another file. */
static void a_file_that_is_swapped(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    int fd = -1;
    Dl_info info;
    char path[512];
    snprintf(path, sizeof path, "%s", copy_of_echo("swap.so", SIZE_MAX));
    assert_true(load_check(path, &fd, &fault));
    file_puts(in_directory("bad.so"), "not a plugin");
    assert_int_equal(rename(in_directory("bad.so"), path), 0);
    void *handle = load_open(fd, path, &fault);
    if (handle == NULL) {
        fail_msg("%s", fault.text);
        return;
    }
    close(fd);
    const struct valawai_plugin *entry = dlsym(handle, VALAWAI_PLUGIN_SYMBOL);
    assert_non_null(entry);
    assert_int_equal(entry->magic, VALAWAI_PLUGIN_MAGIC); /* the checked file runs */
    assert_int_not_equal(dladdr(entry, &info), 0);
    assert_string_equal(info.dli_fname, path); /* and debuggers see its name */
    dlclose(handle);
}

static void constructors_that_end_badly(void **state)
{
    UNUSED(state);
    struct fault fault = {""};
    int fd = -1;
    expect_refused(unit_plugin("constructor_exits"), "ends the process while loading (exit status 5)");
    assert_true(load_check(unit_plugin("constructor_hangs"), &fd, &fault));
    assert_false(load_try(fd, unit_plugin("constructor_hangs"), 50, &fault));
    assert_string_equal(fault.text, "does not finish loading within 1 s");
    close(fd);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which make an exit of it */
    expect_refused(unit_plugin("constructor_crashes"), "crashes while loading (SIGSEGV)");
#endif
}

/* A plugin with any wrong bits is loaded or refused, and this process continues. */
static void damaged_files(void **state)
{
    UNUSED(state);
    size_t all, refused = 0;
    uint32_t chance = 2026;
    char *bytes = file_read(ECHO_PLUGIN, &all);
    assert_non_null(bytes);
    for (int round = 0; round < 150; round++) {
        char name[32];
        chance = chance * 1664525u + 1013904223u;
        size_t at = chance % (round % 2 == 0 ? 4096 : all); /* half of them where the tables are */
        snprintf(name, sizeof name, "damaged%d.so", round);
        char was = bytes[at];
        bytes[at] = (char)((unsigned char)was ^ 1u << (chance >> 29));
        file_write(in_directory(name), bytes, all);
        bytes[at] = was;
        struct fault fault = {""};
        int fd = -1;
        bool good = load_check(in_directory(name), &fd, &fault);
        refused += !good || !load_try(fd, in_directory(name), 10000, &fault);
        if (good)
            close(fd);
    }
    assert_true(refused > 0);
    free(bytes);
}

static void who_owns_it(void **state)
{
    UNUSED(state);
    const char *path = copy_of_echo("theirs.so", SIZE_MAX);
    if (geteuid() != 0 || chown(path, 12345, (gid_t)-1) != 0) {
        print_message("skipped: only root can give a file to another user\n");
        skip();
    }
    expect_refused(path, "belongs to user 12345");
    /* The owner of a link to the file does not matter. */
    assert_int_equal(symlink("theirs.so", in_directory("ours.so")), 0);
    expect_refused(in_directory("ours.so"), "belongs to user 12345");
}

static void descriptors_that_are_wrong(void **state)
{
    UNUSED(state);
    expect_refused(test_plugin("no_symbol"), "exports no valawai_plugin_entry");
    expect_refused(test_plugin("wrong_magic"), "has the magic number 49574c57, not 49574c56");
    expect_refused(test_plugin("wrong_major"), "ABI major 77, this host speaks 1");
    expect_refused(unit_plugin("needs_minor"), "needs ABI 1.7, this host speaks 1.0");
    expect_refused(test_plugin("short_descriptor"), "its descriptor has 32 bytes, expected at least 40");
    expect_refused(unit_plugin("version_short"), "version \"1.0\" is not x.y.z");
    expect_refused(unit_plugin("version_words"), "version \"1.0.0-rc1\" is not x.y.z");
    expect_refused(unit_plugin("version_missing"), "version \"\" is not x.y.z");
    expect_refused(unit_plugin("other_json"), "defines json_object_get");
}

static void documents_that_are_wrong(void **state)
{
    UNUSED(state);
    expect_refused(test_plugin("asyncapi_missing"), "contains no AsyncAPI document");
    expect_refused(test_plugin("asyncapi_empty"), "contains no AsyncAPI document");
    expect_refused(test_plugin("asyncapi_not_yaml"), "AsyncAPI document, line 2, column 9: ");
    expect_refused(
        test_plugin("asyncapi_unregistered"),
        "AsyncAPI document, line 6, column 1: /channels: there is no channel valawai/c[012]/<name>/control/registered");
}

static void topics_that_are_wrong(void **state)
{
    UNUSED(state);
    expect_refused(unit_plugin("no_handler"), "topic valawai/c1/faulty/data/received_message has no handler");
    expect_refused(unit_plugin("unknown_topic"),
                   "topic valawai/c1/faulty/data/unheard_of is not a `subscribe` channel");
    expect_refused(unit_plugin("published_topic"),
                   "topic valawai/c1/faulty/data/publish_message is not a `subscribe` channel");
    expect_refused(unit_plugin("registered_topic"),
                   "topic valawai/c1/faulty/control/registered is handled by the host");
    expect_refused(unit_plugin("topic_twice"),
                   "topic valawai/c1/faulty/data/received_message occurs twice in its table");
}

/* ---- several ---- */

static void expect_set_refused(const struct settings *settings, const char *const *paths, size_t count,
                               const char *reason)
{
    struct plugins plugins = {0};
    struct fault fault = {""};
    if (plugins_open(settings, (char *const *)paths, count, &plugins, &fault)) {
        plugins_free(&plugins);
        fail_msg("took them; it should say %s", reason);
    }
    expect_in(fault.text, reason);
    assert_int_equal(plugins.count, 0);
    assert_null(plugins.at);
}

static void two_that_do_not_go_together(void **state)
{
    UNUSED(state);
    struct settings settings = {.plugin_directory = directory};
    const char *const twice[] = {ECHO_PLUGIN, ECHO_PLUGIN};
    expect_set_refused(&settings, twice, 2, "echo.so: is named twice");
    char link[512];
    snprintf(link, sizeof link, "%s", in_directory("link.so"));
    assert_int_equal(symlink(ECHO_PLUGIN, link), 0);
    const char *const linked[] = {ECHO_PLUGIN, link};
    expect_set_refused(&settings, linked, 2, "link.so: is named twice");
    const char *const copied[] = {ECHO_PLUGIN, copy_of_echo("copy.so", SIZE_MAX)};
    expect_set_refused(&settings, copied, 2, "copy.so: is component c1_echo, which ");
    const char *const twins[] = {ECHO_PLUGIN, TEST_PLUGINS "/twin.so"};
    expect_set_refused(&settings, twins, 2, "twin.so: is component c1_echo, which ");
    const char *const topic[] = {ECHO_PLUGIN, TEST_PLUGINS "/same_topic.so"};
    expect_set_refused(&settings, topic, 2, "valawai/c1/echo/data/received_message is a channel of another component");
    const char *const third[] = {ECHO_PLUGIN, TEST_PLUGINS "/other.so", "absent.so"};
    expect_set_refused(&settings, third, 3, "absent.so: No such file");
}

static void some_that_do(void **state)
{
    UNUSED(state);
    struct settings settings = {.plugin_directory = directory};
    struct plugins plugins = {0};
    struct fault fault = {""};
    const char *const paths[] = {TEST_PLUGINS "/other.so", ECHO_PLUGIN, TEST_PLUGINS "/long_descriptor.so"};
    if (!plugins_open(&settings, (char *const *)paths, 3, &plugins, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(plugins.count, 3);
    assert_string_equal(plugins.at[0]->name, "c1_other"); /* in the order in which they are named */
    assert_string_equal(plugins.at[1]->name, "c1_echo");
    plugins_free(&plugins);
    assert_int_equal(plugins.count, 0);
    plugins_free(&plugins);
}

static void every_so_of_the_directory(void **state)
{
    UNUSED(state);
    struct settings settings = {.plugin_directory = directory};
    struct plugins plugins = {0};
    struct fault fault = {""};
    expect_set_refused(&settings, NULL, 0, "no plugin (*.so) to load");
    file_puts(in_directory("README"), "not a plugin");
    file_puts(in_directory(".hidden.so"), "not a plugin");
    file_puts(in_directory("so"), "not a plugin");
    expect_set_refused(&settings, NULL, 0, "no plugin (*.so) to load");
    copy_of_echo("b.so", SIZE_MAX);
    char link[512];
    snprintf(link, sizeof link, "%s", in_directory("a.so"));
    assert_int_equal(symlink(TEST_PLUGINS "/other.so", link), 0);
    if (!plugins_open(&settings, NULL, 0, &plugins, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(plugins.count, 2);
    assert_string_equal(plugins.at[0]->name, "c1_other"); /* by name of the file */
    plugins_free(&plugins);

    file_puts(in_directory("c.so"), "broken");
    expect_set_refused(&settings, NULL, 0, "c.so: not a shared object");
    settings.plugin_directory = "absent";
    expect_set_refused(&settings, NULL, 0, "plugin directory absent: No such file or directory");
}

static void those_of_the_file(void **state)
{
    UNUSED(state);
    struct plugins plugins = {0};
    struct fault fault = {""};
    copy_of_echo("echo.so", SIZE_MAX);
    char path[512];
    snprintf(path, sizeof path, "%s", in_directory("echo.so"));
    struct plugin_section sections[] = {
        {.name = "echo", .path = path, .enabled = true},
        {.name = "absent", .path = "absent.so", .enabled = false},
    };
    struct settings settings = {.plugin_directory = directory, .sections = sections, .section_count = 2};
    if (!plugins_open(&settings, NULL, 0, &plugins, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(plugins.count, 1);
    assert_true(plugin_sections_are_equal(plugins.at[0]->section, &sections[0]));
    plugins_free(&plugins);

    sections[1].enabled = true;
    expect_set_refused(&settings, NULL, 0, "absent.so: No such file");

    /* With paths on the command line only those, and their section is found all the same. */
    const char *const paths[] = {TEST_PLUGINS "/other.so", path};
    if (!plugins_open(&settings, (char *const *)paths, 2, &plugins, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(plugins.count, 2);
    assert_null(plugins.at[0]->section);
    assert_true(plugin_sections_are_equal(plugins.at[1]->section, &sections[0]));
    plugins_free(&plugins);

    /* A section that only disables leaves the directory to be searched, without that one. */
    sections[0].enabled = sections[1].enabled = false;
    expect_set_refused(&settings, NULL, 0, "no plugin (*.so) to load");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_echo_plugin),
        TEST(a_relative_path),
        TEST(a_longer_descriptor),
        TEST(a_shorter_descriptor),
        TEST(opening_runs_nothing),
        TEST(files_that_are_none),
        TEST(files_that_are_not_elf),
        TEST(another_machine),
        TEST(elf_files_of_another_kind),
        TEST(headers_that_point_anywhere),
        TEST(truncated_files),
        TEST(who_may_write_it),
        TEST(a_directory_that_others_can_write),
        TEST(a_file_that_is_swapped),
        TEST(constructors_that_end_badly),
        TEST(damaged_files),
        TEST(who_owns_it),
        TEST(descriptors_that_are_wrong),
        TEST(documents_that_are_wrong),
        TEST(topics_that_are_wrong),
        TEST(two_that_do_not_go_together),
        TEST(some_that_do),
        TEST(every_so_of_the_directory),
        TEST(those_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
