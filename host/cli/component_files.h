/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * new: the files of templates/, which the build embeds in the program, and the words in them that `valawai-host new`
 * replaces. */
#ifndef CLI_COMPONENT_FILES_H
#define CLI_COMPONENT_FILES_H

#include "base/text.h"

struct contract;

struct new_file {
    const char *path;
    const char *text;
};

/* Each list ends with a path that is NULL. */
extern const struct new_file component_files[]; /* a complete component */
extern const struct new_file document_files[];  /* the files that differ for a component with its own document */

/* The words between two @ in the files. */
enum new_word {
    WORD_TYPE,
    WORD_DATE,
    WORD_YEAR,
    WORD_VERSION,
    WORD_VERSION_ARGUMENT,
    WORD_DESCRIPTION,
    WORD_DOCUMENT,
    WORD_MESSAGES,
    WORD_HANDLERS,
    WORD_TOPICS,
    WORD_PUBLISHED,
    WORD_COUNT
};

/* Starts zeroed. A word without a replacement stays in the files. */
struct new_words {
    struct text at[WORD_COUNT];
    struct text missing; /* the topics without a test message, one on each line */
};

void new_words_of_name(struct new_words *words, const char *name);
void new_words_of_document(struct new_words *words, const struct contract *contract, const struct text *document);
void new_words_free(struct new_words *words);

/* Appends the replacement of the word at `at`, and returns the text after the word; NULL: there is no word. */
const char *new_words_put(const struct new_words *words, const char *at, struct text *out);

#endif
