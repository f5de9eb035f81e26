/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The set of schemas during compilation: compile.c makes it, keywords.c adds the rules, lint.c reads it. */
#ifndef SCHEMA_SET_H
#define SCHEMA_SET_H

#include "base/ptrmap.h"
#include "schema/parts.h"

#define RULES_MAX 32

struct state {
    unsigned height; /* 0: not measured */
    bool entered;    /* being measured */
    bool refused;
};

struct schemas {
    const struct document *document;
    unsigned flags;
    schema_report *report;
    void *context;
    bool sound;
    bool crowded; /* SCHEMAS_MAX was reached, and reported */
    struct identifiers *identifiers;
    struct patterns *patterns;
    struct ptrmap known; /* from a node to its schema */
    struct schema **at;
    struct state *states; /* one for each schema */
    size_t count;
    size_t room;
    size_t filled; /* the schemas before this one have their rules */
    size_t reports;
    struct kept *kept;
    struct schema anything; /* the boolean schemas, for which json-c may have shared or no nodes */
    struct schema nothing;
    struct rule refusal;
};

/* Memory that lives as long as the set. */
struct kept {
    struct kept *next;
    max_align_t memory[];
};

/* One schema while its rules are made. */
struct build {
    struct schemas *schemas;
    struct json_object *node;
    struct rule rules[RULES_MAX];
    size_t count;
    bool broken;
};

/* Memory that lives as long as the set. */
void *schemas_keep(struct schemas *schemas, size_t count, size_t size);

/* Reports a fault at a key of an object, which may be NULL. */
void schemas_complain(struct schemas *schemas, struct json_object *node, const char *key, const char *what);

/* The schema of a node, which gets its rules later. */
const struct schema *schemas_of(struct schemas *schemas, struct json_object *node);

/* Adds the rules of one schema: of its $ref, or of its keywords. */
void compile_rules(struct build *build);

/* True if the name is a keyword of JSON Schema, AsyncAPI or OpenAPI. Otherwise *nearest is the nearest keyword, or
 * NULL.
 * */
bool keyword_is_known(const char *name, const char **nearest);

#endif
