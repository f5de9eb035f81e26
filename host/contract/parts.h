/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Shared by the files of the room `contract` only. Each file below uses the files above it. */
#ifndef CONTRACT_PARTS_H
#define CONTRACT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ptrmap.h"
#include "base/text.h"
#include "contract/contract.h"
#include "contract/findings.h"
#include "schema/schema.h"

/* One direction of a topic. */
struct contract_side {
    bool declared;
    struct json_object *payload; /* of the first message; NULL if it could not be read */
    size_t messages;
    const struct schema *schema; /* NULL if it could not be compiled */
};

struct contract_topic {
    const char *name;
    const struct contract *contract;
    struct place place;
    struct contract_side sides[2]; /* by direction */
};

struct contract {
    bool of_component; /* the MOV reads it */
    struct findings findings;
    struct document *document; /* NULL if it could not be read */
    struct schemas *schemas;
    char *name;
    char type[4]; /* "" if unknown */
    const char *version;
    const char *title;
    const char *description;
    const char *registered;
    struct json_object *options;         /* the properties of x-options; NULL: there is none */
    const struct schema *options_schema; /* of all options together */
    struct contract_topic *topics;
    size_t topic_count;
    size_t patience;          /* types and values that the search for an object may still read */
    struct ptrmap seen_items; /* channels, and whether they have a misspelt operation */
    struct ptrmap mov_reads;  /* the schemas that the MOV reads: enum mov_reading */
    struct ptrmap circles;    /* the schemas that were searched for circles */
    char *for_mov;            /* the document as the MOV receives it; NULL if there are errors */
};

/* Reads a document. of_component: VALAWAI's rules for a component apply, in addition to those of AsyncAPI. */
struct contract *contract_build(const char *text, size_t length, bool of_component);

/* --- tree.c --- */

struct json_object *object_member(struct json_object *object, const char *key); /* NULL: absent, or no object */
const char *string_member(struct json_object *object, const char *key);         /* NULL: absent, or no string */
struct json_object *array_member(struct json_object *object, const char *key);  /* NULL: absent, or no array */

/* Follows all $refs of an object; NULL if they lead nowhere, or in a circle. Stores the number of references in `hops`,
 * which may be NULL. */
struct json_object *contract_follow(const struct contract *contract, struct json_object *object, unsigned *hops);

/* --- mov.c: how the MOV reads a schema --- */

/* MOV_CUT: the MOV would never finish reading this schema. */
enum mov_reading { MOV_READS, MOV_CUT };

/* The type of a schema as the MOV can read it. A list of one type and null is that type. */
struct mov_type {
    const char *one; /* NULL: no type, or several */
    bool nullable;
    struct json_object *several; /* the list; NULL: none, or one */
};
struct mov_type mov_type_of(struct json_object *schema);

/* The MOV's target of a reference: it splits the reference at each slash, and supports no escapes. */
struct json_object *mov_target(const struct contract *contract, const char *ref);

/* Collects the schemas that the MOV reads for a payload in contract->mov_reads. */
void mov_read_payload(struct contract *contract, struct json_object *payload);

/* The properties of a payload, if the MOV reads it as an object. */
struct json_object *mov_properties(const struct contract *contract, struct json_object *payload);

/* --- messages.c --- */

/* Reads the message of an operation, which is at `key` of its channel, into a side of a topic. */
void contract_read_side(struct contract *contract, struct contract_topic *topic, struct json_object *item,
                        enum contract_direction direction);

/* --- topics.c --- */

/* Makes the topics of the channels. */
void contract_read_topics(struct contract *contract);

/* --- names.c --- */

/* Finds the component's name in the names of its channels, and the channels that are not its own. */
void contract_check_names(struct contract *contract);

/* Checks that the MOV will send the component its id. */
void contract_check_registered(struct contract *contract);

/* --- options.c --- */

/* Reads x-options. */
void contract_read_options(struct contract *contract);

/* --- refs.c --- */

/* Finds each $ref that leads to nothing, in the whole document. */
void contract_check_refs(struct contract *contract);

/* Finds the schemas under `components` that cannot be compiled, used or not. */
void contract_check_schemas(struct contract *contract);

/* --- connections.c --- */

/* Warns of connections that the MOV would make and should not, and of notifications that it never sends. */
void contract_check_connections(struct contract *contract);

/* --- sample.c --- */

/* Replaces the text by one that the regular expression probably matches. repeat: the number of repetitions of an
 * unbounded part. False: it has no sample. */
bool pattern_sample(const char *pattern, unsigned repeat, struct text *out);

/* --- lint.c --- */

/* Warns of valid parts that are probably mistakes. */
void contract_lint(struct contract *contract);

/* --- for_mov.c --- */

/* Writes contract->for_mov. */
void contract_write_for_mov(struct contract *contract);

#endif
