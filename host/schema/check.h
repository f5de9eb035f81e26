/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A check of a value against a compiled schema: check.c walks the schema, rules.c has the rules of numbers, texts,
 * arrays and objects, tell.c makes the reason of a fault. */
#ifndef SCHEMA_CHECK_H
#define SCHEMA_CHECK_H

#include "schema/parts.h"

/* A step into a value: a member's name, or an item's index. */
struct step {
    const struct step *up;
    const char *name;
    size_t index;
    unsigned depth;
};

struct check {
    char *reason;
    size_t size;
    size_t budget;
    unsigned depth;
    unsigned reached; /* depth in the value of the deepest unreported fault */
    bool quiet;       /* faults are not reported, as within anyOf */
    bool stopped;     /* the check has ended with a reason, and nothing matches */
    struct pattern_room patterns;
};

/* --- tell.c --- */

/* Reports a fault, unless the check is quiet. Returns false. */
bool fail(struct check *check, const struct step *step, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, with the value before the text: "1.4 is over the maximum 1". */
bool fail_value(struct check *check, const struct step *step, const struct value *value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for the name of a property. */
bool fail_name(struct check *check, const struct step *step, const char *name, const char *said);

void write_reason(struct check *check, const char *text, size_t length);

/* Ends the check: nothing matches from here on. Returns false. */
bool stop_check(struct check *check, const struct step *step, const char *why);

/* True if the fault is reported. Otherwise only its depth is kept. */
static inline bool is_told(struct check *check, const struct step *step)
{
    unsigned depth = step == NULL ? 0 : step->depth;
    if (check->quiet && depth > check->reached)
        check->reached = depth;
    return !check->quiet && !check->stopped;
}

/* True if the budget is not used up. Otherwise ends the check. */
static inline bool goes_on(struct check *check, const struct step *step)
{
    return check->budget > 0 || stop_check(check, step, "the check takes too long");
}

static inline bool spend(struct check *check, const struct step *step, size_t cost)
{
    check->budget = check->budget > cost ? check->budget - cost : 0;
    return goes_on(check, step);
}

static inline struct step step_to(const struct step *up, const char *name, size_t index)
{
    return (struct step){.up = up, .name = name, .index = index, .depth = up == NULL ? 1 : up->depth + 1};
}

/* --- check.c --- */

bool check_value(struct check *check, const struct schema *schema, const struct value *value, const struct step *step);
bool check_json(struct check *check, const struct schema *schema, struct json_object *json, const struct step *step);

/* True if the value matches. A fault is not reported. */
bool is_right(struct check *check, const struct schema *schema, const struct value *value, const struct step *step);

/* True for the schema `false`. */
bool is_nothing(const struct schema *schema);

/* --- rules.c --- */

bool check_type(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_const(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_enum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_multiple_of(struct check *check, const struct rule *rule, const struct value *value,
                       const struct step *step);
bool check_maximum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_exclusive_maximum(struct check *check, const struct rule *rule, const struct value *value,
                             const struct step *step);
bool check_minimum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_exclusive_minimum(struct check *check, const struct rule *rule, const struct value *value,
                             const struct step *step);
bool check_max_length(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_min_length(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_pattern(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_format(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_max_items(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_min_items(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_unique_items(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step);
bool check_items(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_tuple(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_contains(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_max_properties(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step);
bool check_min_properties(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step);
bool check_required(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_members(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
bool check_property_names(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step);
bool check_dependencies(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step);

#endif
