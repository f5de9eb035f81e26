/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The words that `valawai-host new` replaces in the files of a component, and the code that it writes for an AsyncAPI
 * document: a handler and a test message for each channel that the component subscribes to. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/backoff.h"
#include "base/text.h"
#include "cli/component_files.h"
#include "contract/contract.h"

#define SUMMARY_MAX 400

static const char *const names[WORD_COUNT] = {
    [WORD_TYPE] = "@TYPE@",
    [WORD_DATE] = "@DATE@",
    [WORD_YEAR] = "@YEAR@",
    [WORD_VERSION] = "@VERSION@",
    [WORD_VERSION_ARGUMENT] = "@VERSION_ARGUMENT@",
    [WORD_DESCRIPTION] = "@DESCRIPTION@",
    [WORD_DOCUMENT] = "@DOCUMENT@",
    [WORD_MESSAGES] = "@MESSAGES@",
    [WORD_HANDLERS] = "@HANDLERS@",
    [WORD_TOPICS] = "@TOPICS@",
    [WORD_PUBLISHED] = "@PUBLISHED@",
};

const char *new_words_put(const struct new_words *words, const char *at, struct text *out)
{
    for (size_t i = 0; *at == '@' && i < WORD_COUNT; i++) {
        const struct text *word = &words->at[i];
        if (word->at != NULL && strncmp(at, names[i], strlen(names[i])) == 0) {
            text_put(out, word->at, word->len);
            return at + strlen(names[i]);
        }
    }
    return NULL;
}

void new_words_free(struct new_words *words)
{
    for (size_t i = 0; i < WORD_COUNT; i++)
        text_free(&words->at[i]);
    text_free(&words->missing);
}

void new_words_of_name(struct new_words *words, const char *name)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    struct tm today;
    time_t now = (time_t)clock_date_s();
    localtime_r(&now, &today);
    text_printf(&words->at[WORD_TYPE], "C%c", name[1]);
    text_printf(&words->at[WORD_DATE], "%s %d, %d", months[today.tm_mon], today.tm_mday, today.tm_year + 1900);
    text_printf(&words->at[WORD_YEAR], "%d", today.tm_year + 1900);
}

/* --- the version --- */

/* Completes the version to x.y.z, for a document with an unquoted 1 or 1.0. */
static void put_version(struct text *out, const char *version)
{
    const char *at = version;
    unsigned parts = 0;
    for (; parts < 3 && isdigit((unsigned char)*at); parts++) {
        at += strspn(at, "0123456789");
        at += *at == '.' ? 1 : 0;
    }
    bool numbers = parts > 0 && *at == '\0' && at[-1] != '.';
    text_puts(out, numbers ? version : "0.1.0");
    for (; numbers && parts < 3; parts++)
        text_puts(out, ".0");
}

/* True if valawai_add_plugin() finds the version in the document: it reads the first line that begins with blanks and
 * the word. */
static bool shows_version(const struct text *document, const char *version)
{
    for (const char *line = document->at; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        const char *at = line + strspn(line, " \t");
        if (at == line || strncmp(at + (*at == '"'), "version", 7) != 0)
            continue;
        at += *at == '"' ? 8 : 7;
        at += *at == '"' ? 1 : 0;
        if (*at++ == ':') {
            at += strcspn(at, "0123456789\n");
            size_t length = strlen(version);
            return strncmp(at, version, length) == 0 && at[length] != '.' && !isdigit((unsigned char)at[length]);
        }
    }
    return false;
}

/* --- the description --- */

/* Appends the description on one line, with single blanks. */
static void put_description(struct text *out, const struct contract *contract)
{
    const char *at = contract_description(contract);
    if (at == NULL || at[strspn(at, " \t\r\n")] == '\0')
        at = contract_title(contract);
    bool blank = false;
    for (at = at == NULL ? "A component." : at; *at != '\0'; at++) {
        bool is_blank = isspace((unsigned char)*at);
        if (is_blank && !blank && out->len > 0)
            text_puts(out, " ");
        else if (!is_blank)
            text_put(out, at, 1);
        blank = is_blank;
    }
}

/* --- the channels --- */

/* Appends a comment line with the shape of the topic's messages. */
static void put_comment(struct text *out, const char *before, const struct contract_topic *topic,
                        enum contract_direction direction)
{
    char summary[SUMMARY_MAX];
    topic_summary(topic, direction, summary, sizeof summary);
    text_printf(out, "%s%s", before, topic_name(topic));
    text_puts(out, summary[0] == '\0' ? "" : ": ");
    for (const char *at = summary; *at != '\0'; at++) {
        text_put(out, at, 1);
        if ((at[0] == '*' && at[1] == '/') || (at[0] == '/' && at[1] == '*')) /* would end or begin a comment */
            text_puts(out, " ");
    }
}

/* The function for a topic, such as on_new_order for valawai/c1/x/data/new-order. If another function has the name, the
 * topic's number is appended. */
static char *function_name(const struct contract_topic *topic, const struct text *handlers, size_t number)
{
    const char *operation = topic_name(topic);
    for (int i = 0; i < 4 && strchr(operation, '/') != NULL; i++)
        operation = strchr(operation, '/') + 1;
    struct text name = {0}, definition = {0};
    text_puts(&name, "on_");
    for (; *operation != '\0'; operation++)
        text_put(&name, isalnum((unsigned char)*operation) ? operation : "_", 1);
    text_printf(&definition, "int %s(", name.at);
    if (handlers->at != NULL && strstr(handlers->at, definition.at) != NULL)
        text_printf(&name, "_%zu", number);
    text_free(&definition);
    return name.at;
}

static void put_handler(struct new_words *words, const struct contract_topic *topic, size_t number)
{
    struct text *handlers = &words->at[WORD_HANDLERS], body = {0};
    char *function = function_name(topic, handlers, number);
    put_comment(handlers, "/* ", topic, CONTRACT_SUBSCRIBE);
    text_printf(handlers,
                " */\n"
                "static int %s(void *self, const struct valawai_message *message)\n"
                "{\n"
                "    const struct valawai_host *host = self;\n"
                "    VALAWAI_INFO_LOG(host, \"received a message of %%zu bytes\", message->len);\n"
                "    return VALAWAI_DONE;\n"
                "}\n"
                "\n",
                function);
    text_printf(&words->at[WORD_TOPICS], "    VALAWAI_TOPIC(\"%s\", %s),\n", topic_name(topic), function);
    if (topic_example(topic, CONTRACT_SUBSCRIBE, &body))
        text_printf(&words->at[WORD_MESSAGES], "{\"topic\":\"%s\",\"body\":%s}\n", topic_name(topic), body.at);
    else
        text_printf(&words->missing, "    %s\n", topic_name(topic));
    text_free(&body);
    free(function);
}

void new_words_of_document(struct new_words *words, const struct contract *contract, const struct text *document)
{
    static const enum new_word may_be_empty[] = {WORD_VERSION_ARGUMENT, WORD_MESSAGES, WORD_HANDLERS, WORD_TOPICS,
                                                 WORD_PUBLISHED};
    struct text *version = &words->at[WORD_VERSION], *published = &words->at[WORD_PUBLISHED];
    for (size_t i = 0; i < sizeof may_be_empty / sizeof may_be_empty[0]; i++)
        text_puts(&words->at[may_be_empty[i]], "");
    put_version(version, contract_version(contract));
    if (!shows_version(document, version->at))
        text_printf(&words->at[WORD_VERSION_ARGUMENT], " VERSION %s", version->at);
    put_description(&words->at[WORD_DESCRIPTION], contract);
    text_put(&words->at[WORD_DOCUMENT], document->at, document->len);
    for (size_t i = 0; i < contract_topics(contract); i++) {
        const struct contract_topic *topic = contract_topic(contract, i);
        const char *registered = contract_registered(contract);
        if (topic_has(topic, CONTRACT_SUBSCRIBE) && (registered == NULL || strcmp(topic_name(topic), registered) != 0))
            put_handler(words, topic, i + 1);
        if (topic_has(topic, CONTRACT_PUBLISH)) {
            text_puts(published, published->len == 0 ? " *\n * What it may publish:\n" : "");
            put_comment(published, " *   ", topic, CONTRACT_PUBLISH);
            text_puts(published, "\n");
        }
    }
}
