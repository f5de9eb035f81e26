/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * valawai-host new: writes the repository of a component, which builds and passes its own tests. The files are those of
 * templates/component with another name and today's date. With --from, files of templates/document replace those of the
 * same name. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/component_files.h"
#include "cli/verbs.h"
#include "contract/contract.h"

#define TEMPLATE "c1_my_component"
#define NAME_MAX_BYTES 200 /* a topic has at most 255 bytes, and contains the name */

/* c[012]_\w+, as the MOV requires. */
static bool is_component(const char *name)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return name[0] == 'c' && name[1] >= '0' && name[1] <= '2' && name[2] == '_' && name[3] != '\0' &&
           name[3 + strspn(name + 3, word)] == '\0';
}

/* Replaces the template's name by the component's: c1_my_component, c1/my_component, and without the type. */
static void put_renamed(struct text *out, const char *text, const char *name, const struct new_words *words)
{
    const char *bare = &TEMPLATE[3], *after = NULL;
    for (const char *at = text; *at != '\0';) {
        if (strncmp(at, "c1", 2) == 0 && (at[2] == '_' || at[2] == '/') && strncmp(at + 3, bare, strlen(bare)) == 0) {
            text_printf(out, "%.2s%c%s", name, at[2], name + 3);
            at += strlen(TEMPLATE);
        } else if (strncmp(at, bare, strlen(bare)) == 0) {
            text_puts(out, name + 3);
            at += strlen(bare);
        } else if ((after = new_words_put(words, at, out)) != NULL) {
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

static bool write_one(const char *directory, const char *name, const struct new_file *file,
                      const struct new_words *words, struct fault *fault)
{
    struct text path = {0}, text = {0};
    bool written = true;
    text_printf(&path, "%s/", directory);
    put_renamed(&path, file->path, name, words);
    put_renamed(&text, file->text, name, words);
    char *slash = strrchr(path.at, '/');
    *slash = '\0';
    if (mkdir(path.at, 0777) != 0 && errno != EEXIST)
        written = fault_set(fault, "%s: %s", path.at, strerror(errno));
    *slash = '/';
    written = written && write_file(path.at, &text, fault);
    text_free(&path);
    text_free(&text);
    return written;
}

/* The file with the path. A file that is not valid C before the replacement ends with .in. */
static const struct new_file *find_file(const struct new_file *files, const char *path)
{
    size_t length = strlen(path);
    for (; files->path != NULL; files++) {
        const char *end = strncmp(files->path, path, length) == 0 ? files->path + length : "?";
        if (end[0] == '\0' || strcmp(end, ".in") == 0)
            return files;
    }
    return NULL;
}

static bool write_project(const char *directory, const char *name, const struct new_words *words, bool has_document,
                          struct fault *fault)
{
    bool written = true;
    for (const struct new_file *file = component_files; written && file->path != NULL; file++) {
        const struct new_file *other = has_document ? find_file(document_files, file->path) : NULL;
        struct new_file one = {.path = file->path, .text = other == NULL ? file->text : other->text};
        if (!has_document ||
            strcmp(file->path, "test/handler_test.c") != 0) /* this test depends on the template's behaviour */
            written = write_one(directory, name, &one, words, fault);
    }
    return written;
}

/* Reads the document of --from. Its component must have the given name. */
static bool read_document(const char *path, const char *name, struct new_words *words, struct fault *fault)
{
    struct text text = {0};
    struct contract *contract = NULL;
    bool ok = file_read_text(path, DOCUMENT_TEXT_MAX, &text, fault);
    if (!ok)
        goto out;
    contract = contract_read(text.at, text.len);
    if (contract_errors(contract) > 0)
        ok = fault_set(fault, "%s: the document has errors; `valawai-host check %s` shows them", path, path);
    else if (strcmp(contract_name(contract), name) != 0)
        ok = fault_set(fault, "%s: the document belongs to %s, not to %s", path, contract_name(contract), name);
    else
        new_words_of_document(words, contract, &text);
out:
    contract_free(contract);
    text_free(&text);
    return ok;
}

int verb_new(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"from", required_argument, NULL, LONG_ONLY}, {0}};
    const char *directory = NULL, *document = NULL;
    struct new_words words = {0};
    int status = STATUS_FAILED;
    struct fault fault = {""};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":d:", options, NULL)) != -1;) {
        if (option == 'd')
            directory = optarg;
        else if (option == LONG_ONLY)
            document = optarg;
        else
            return usage_option("new", option, options, argv);
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

    new_words_of_name(&words, name);
    if (document != NULL && !read_document(document, name, &words, &fault))
        goto out;
    if (directory == NULL)
        directory = name;
    if (mkdir(directory, 0777) != 0) { /* an existing directory is left as it is */
        fault_set(&fault, "new: cannot make the directory %s: %s", directory, strerror(errno));
        goto out;
    }
    if (!write_project(directory, name, &words, document != NULL, &fault))
        goto out;
    printf("%s is in %s, and README.md there has the next steps. First, in that directory:\n"
           "\n"
           "    cmake -B build && cmake --build build && ctest --test-dir build\n",
           name, directory);
    if (words.missing.len > 0)
        printf("\nFound no message that matches the schema of these topics; add one to test/in.jsonl:\n%s",
               words.missing.at);
    status = finish(true);
out:
    if (fault.text[0] != '\0')
        log_last_words(NULL, fault.text);
    new_words_free(&words);
    return status;
}
