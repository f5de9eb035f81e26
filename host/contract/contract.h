/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * contract: the declarations of a component's AsyncAPI document: its name and version, its topics, and the schemas of
 * their messages. Reading the document collects all faults and warnings in a list, so that they are reported at once.
 * An error is a fault that the MOV would refuse or silently ignore, or a rule that the host cannot enforce. */
#ifndef CONTRACT_CONTRACT_H
#define CONTRACT_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "document/document.h"

struct contract; /* constant after contract_read(), so any thread may use it */
struct contract_topic;
struct json_object;
struct text;

/* As in the document, from the component's point of view: it subscribes to what it receives. */
enum contract_direction { CONTRACT_SUBSCRIBE, CONTRACT_PUBLISH };

/* A hint is a warning for the author: check prints it, but a running host does not log it. */
enum finding_kind { FINDING_ERROR, FINDING_WARNING, FINDING_HINT };

struct finding {
    enum finding_kind kind;
    struct place place; /* 0, 0: of the whole document */
    const char *text;   /* one line */
};

/* Reads a document, YAML or JSON. Never NULL; a correct document has no errors among its findings. */
struct contract *contract_read(const char *text, size_t length);

/* The built-in contract for publications to the queues of the MOV (register, log/add …), which are its topics. There is
 * one for the whole process; it is not freed. */
const struct contract *contract_of_mov(void);

void contract_free(struct contract *contract);

/* --- findings, in the order of the text --- */

size_t contract_errors(const struct contract *contract);
size_t contract_findings(const struct contract *contract);
const struct finding *contract_finding(const struct contract *contract, size_t index);
bool contract_findings_are_cut(const struct contract *contract); /* there were more than are kept */

/* --- the component; the contract owns every string; NULL: not in the document --- */

const char *contract_name(const struct contract *contract);    /* "c1_echo" */
const char *contract_type(const struct contract *contract);    /* "C1" */
const char *contract_version(const struct contract *contract); /* "1.0.0" */
const char *contract_title(const struct contract *contract);
const char *contract_description(const struct contract *contract);
const char *contract_registered(const struct contract *contract); /* the topic of the MOV's notification */

/* --- the options of the plugin, as x-options declares them --- */

/* A JSON object with a schema for each option; NULL: the document declares none. Do not change it. */
struct json_object *contract_options(const struct contract *contract);
/* The schema of an option, after its $refs; NULL: there is none. */
struct json_object *contract_option(const struct contract *contract, const char *key);
/* True if the values of all options match their schemas; the reason is that of schema_check(). Only with
 * contract_options(). */
bool contract_check_options(const struct contract *contract, struct json_object *values, char *reason, size_t size)
    __attribute__((warn_unused_result));

/* The document for the MOV: JSON with the same meaning that the MOV can read. NULL if there are errors. */
const char *contract_for_mov(const struct contract *contract);

/* --- topics --- */

size_t contract_topics(const struct contract *contract);
const struct contract_topic *contract_topic(const struct contract *contract, size_t index);
const struct contract_topic *contract_find(const struct contract *contract, const char *name); /* NULL: not declared */

const char *topic_name(const struct contract_topic *topic);
size_t topic_index(const struct contract_topic *topic); /* the index for contract_topic() */
bool topic_has(const struct contract_topic *topic, enum contract_direction direction);

/* Appends the shape of a message on one line: `{content*: string, tags: [string]}`, required properties with a star. */
void topic_summary(const struct contract_topic *topic, enum contract_direction direction, char *summary, size_t size);

/* True if a message matches the topic's schema, for a direction that the topic has; the reason is that of
 * schema_check(). Allocates nothing for a valid message. [any thread] */
bool topic_check(const struct contract_topic *topic, enum contract_direction direction, struct json_object *message,
                 char *reason, size_t size) __attribute__((warn_unused_result));

/* Appends a body that matches the topic's schema for a direction, made from the schema. False: none was found. */
bool topic_example(const struct contract_topic *topic, enum contract_direction direction, struct text *body)
    __attribute__((warn_unused_result));

/* True if the MOV can parse a valid JSON body: its parser limits the length of numbers and names. [any thread] */
bool contract_body_for_mov(const char *body, size_t len, struct fault *fault) __attribute__((warn_unused_result));

/* True if a message that was received on one topic is valid on the other, because both have the same schema. */
bool topic_passes_on(const struct contract_topic *from, const struct contract_topic *to);

#endif
