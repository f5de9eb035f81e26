/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fuzz: shared by the targets. A target calls abort() when an expectation fails; then libFuzzer keeps the input. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct json_object;
struct log;

/* The two functions that libFuzzer calls; a target defines them. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* EXPECT(condition, "format", …): the text describes the unexpected result. */
#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: expected: %s\n  but: ", __FILE__, __LINE__, #condition);                           \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fputs("\n", stderr);                                                                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A copy that ends with '\0', for functions that take a string. */
char *fuzz_string(const uint8_t *bytes, size_t len);

/* The processor time of this thread, which does not depend on the load of the machine. */
double fuzz_seconds(void);

/* A log that formats every record and keeps none. */
struct log *fuzz_log(void);

/* A directory for this process, empty at first; emptied again and removed at a normal end. The text stays valid. */
const char *fuzz_directory(void);
void fuzz_write(const char *path, const void *bytes, size_t len);
char *fuzz_read(const char *path); /* NULL: there is none; the caller frees it */

/* Parses text, which must be one JSON object; the caller frees the result. */
struct json_object *fuzz_object(const char *text, size_t len);

/* A member that is a string, or NULL. */
const char *fuzz_member(struct json_object *object, const char *name);

/* Expects a fault with one of the prefixes (a list that ends with NULL), on one line of UTF-8, whatever it quotes. */
void fuzz_expect_fault(const char *text, const char *const *prefixes);

#endif
