/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host new: writes the repository of a component, which builds and passes its own tests. The files are those of
 * templates/component with another name, and today's date. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/component_files.h"
#include "cli/verbs.h"

#define TEMPLATE "c1_my_component"
#define NAME_MAX_BYTES 200 /* a topic has at most 255, and the name is not all of it */

/* c[012]_\w+, as the MOV wants it. */
static bool is_component(const char *name)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return name[0] == 'c' && name[1] >= '0' && name[1] <= '2' && name[2] == '_' && name[3] != '\0' &&
           name[3 + strspn(name + 3, word)] == '\0';
}

/* Writes what a word between two @ stands for; returns what follows it, or NULL if there is no such word here. */
static const char *put_word(struct text *out, const char *at, const char *name)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    struct tm today;
    time_t now = (time_t)clock_date_s();
    localtime_r(&now, &today);
    if (strncmp(at, "@TYPE@", 6) == 0) {
        text_printf(out, "C%c", name[1]);
    } else if (strncmp(at, "@DATE@", 6) == 0) {
        text_printf(out, "%s %d, %d", months[today.tm_mon], today.tm_mday, today.tm_year + 1900);
    } else if (strncmp(at, "@YEAR@", 6) == 0) {
        text_printf(out, "%d", today.tm_year + 1900);
    } else {
        return NULL;
    }
    return at + 6;
}

/* The template's name becomes the component's: c1_my_component, c1/my_component, and without the type. */
static void put_renamed(struct text *out, const char *text, const char *name)
{
    const char *bare = &TEMPLATE[3], *after = NULL;
    for (const char *at = text; *at != '\0';) {
        if (strncmp(at, "c1", 2) == 0 && (at[2] == '_' || at[2] == '/') && strncmp(at + 3, bare, strlen(bare)) == 0) {
            text_printf(out, "%.2s%c%s", name, at[2], name + 3);
            at += strlen(TEMPLATE);
        } else if (strncmp(at, bare, strlen(bare)) == 0) {
            text_puts(out, name + 3);
            at += strlen(bare);
        } else if ((after = put_word(out, at, name)) != NULL) {
            at = after;
        } else {
            text_put(out, at++, 1);
        }
    }
}

static bool write_file(const char *path, const struct text *text, struct fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool written = fd >= 0 && write(fd, text->at, text->len) == (ssize_t)text->len;
    if (fd >= 0 && close(fd) != 0)
        written = false;
    return written || fault_set(fault, "%s: %s", path, strerror(errno));
}

static bool write_project(const char *directory, const char *name, struct fault *fault)
{
    bool written = true;
    for (const struct new_file *file = new_files; written && file->path != NULL; file++) {
        struct text path = {0}, text = {0};
        text_printf(&path, "%s/", directory);
        put_renamed(&path, file->path, name);
        put_renamed(&text, file->text, name);
        char *slash = strrchr(path.at, '/');
        *slash = '\0';
        if (mkdir(path.at, 0777) != 0 && errno != EEXIST)
            written = fault_set(fault, "%s: %s", path.at, strerror(errno));
        *slash = '/';
        written = written && write_file(path.at, &text, fault);
        text_free(&path);
        text_free(&text);
    }
    return written;
}

int verb_new(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'}, {0}};
    const char *directory = NULL;
    struct fault fault = {""};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":d:", options, NULL)) != -1;) {
        if (option != 'd')
            return usage_option("new", option, options, argv);
        directory = optarg;
    }
    if (argc - optind != 1)
        return usage("new: expects the name of one component, such as", TEMPLATE);
    const char *name = argv[optind];
    if (!is_component(name)) {
        fault_set(
            &fault,
            "new: \"%.100s\" is not the name of a component, c[012]_\\w+: a type, an underscore, then letters, digits "
            "and underscores, such as c1_my_component",
            name);
        log_last_words(NULL, fault.text);
        return STATUS_USAGE;
    }
    if (strlen(name) > NAME_MAX_BYTES)
        return usage("new: the name is too long: its topics would be longer than 255 bytes", NULL);

    if (directory == NULL)
        directory = name;
    if (mkdir(directory, 0777) != 0) /* an existing directory is left as it is */
        fault_set(&fault, "new: cannot make the directory %s: %s", directory, strerror(errno));
    else if (write_project(directory, name, &fault)) {
        printf("%s is in %s, and README.md there has the next steps. First, in that directory:\n"
               "\n"
               "    cmake -B build && cmake --build build && ctest --test-dir build\n",
               name, directory);
        return finish(true);
    }
    log_last_words(NULL, fault.text);
    return STATUS_FAILED;
}
