/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the room `contract` share, and nobody else includes. */
#ifndef CONTRACT_PARTS_H
#define CONTRACT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ptrmap.h"
#include "contract/contract.h"
#include "schema/schema.h"

/* What a topic has in one direction. */
struct contract_side {
    bool declared;
    struct json_object *payload; /* of the first message; NULL if it could not be found */
    size_t messages;
    const struct schema *schema; /* NULL: could not be made */
};

struct contract_topic {
    const char *name;
    const struct contract *contract;
    struct place place;
    struct contract_side sides[2]; /* by direction */
};

struct contract {
    bool of_component;         /* and so to be read by the MOV */
    struct document *document; /* NULL if it could not be read */
    struct schemas *schemas;
    char *name;
    char type[4]; /* "" if unknown */
    const char *version;
    const char *title;
    const char *registered;
    struct json_object *options;         /* the properties of x-options; NULL: there is none */
    const struct schema *options_schema; /* of all options together */
    struct contract_topic *topics;
    size_t topic_count;
    struct finding *findings;
    size_t finding_count;
    size_t errors;
    bool cut;                      /* there were more findings than are kept */
    size_t patience;               /* how many types and values may still be looked at for an object among them */
    struct ptrmap seen_items;      /* of channels: whether they have a misspelt operation */
    struct ptrmap seen_for_mov;    /* the schemas that were looked at already as the MOV would … */
    struct ptrmap circles_for_mov; /* … also for circles */
};

/* Reads a document; of_component: it has to be what a component of VALAWAI has, not just any AsyncAPI document. */
struct contract *contract_build(const char *text, size_t length, bool of_component);

/* Adds a finding; an error where there is one already adds nothing. */
void contract_note(struct contract *contract, enum finding_kind kind, struct place place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same at a key of an object, with the JSON pointer of the two before it. key may be NULL. */
void contract_note_at(struct contract *contract, enum finding_kind kind, struct json_object *object, const char *key,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

struct json_object *object_member(struct json_object *object, const char *key); /* NULL: not there, or no object */
const char *string_member(struct json_object *object, const char *key);         /* NULL: not there, or no string */

/* What an object means after all its $refs are followed; NULL if they lead nowhere, or in a circle. How many there were
 * goes to `hops`, which may be NULL. */
struct json_object *contract_follow(const struct contract *contract, struct json_object *object, unsigned *hops);

/* --- options.c --- */

/* Reads x-options. */
void contract_read_options(struct contract *contract);

/* --- contract_topics.c --- */

/* Makes the topics of the channels, and finds what is wrong with them. */
void contract_read_topics(struct contract *contract);

/* Finds out which component it is, from the names of its channels, and whether they are all its own. */
void contract_check_names(struct contract *contract);

/* Finds whether the MOV would send the component its id. */
void contract_check_registered(struct contract *contract);

/* --- contract_refs.c --- */

/* Finds every $ref that leads to nothing, wherever it is. */
void contract_check_refs(struct contract *contract);

/* Finds the schemas under `components` that cannot be read, whether they are used or not. */
void contract_check_schemas(struct contract *contract);

/* --- contract_mov.c --- */

/* Finds what the MOV would make of a payload: it reads schemas in its own way. */
void contract_check_payload_for_mov(struct contract *contract, struct json_object *payload);

/* The properties of a payload, if the MOV takes it for an object. */
struct json_object *contract_properties_for_mov(const struct contract *contract, struct json_object *payload);

#endif
