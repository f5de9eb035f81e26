/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checks values against compiled schemas, rule by rule. Contains the rules that combine schemas. */
#include <json-c/json.h>
#include <string.h>

#include "schema/check.h"

/* The most nested schemas and values. */
#define CHECK_DEPTH_MAX 3000

bool check_json(struct check *check, const struct schema *schema, struct json_object *json, const struct step *step)
{
    struct value value = value_of(json);
    return check_value(check, schema, &value, step);
}

/* True if the value matches. A fault is not reported. */
bool is_right(struct check *check, const struct schema *schema, const struct value *value, const struct step *step)
{
    bool quiet = check->quiet;
    check->quiet = true;
    bool right = check_value(check, schema, value, step);
    check->quiet = quiet && !check->stopped;
    return right && !check->stopped;
}

static bool check_broken(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    (void)rule;
    (void)value;
    return fail(check, step, "the schema of this value has an error");
}

static bool check_nothing(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    (void)rule;
    return fail_value(check, step, value, "is not allowed; no value is");
}

static bool check_ref(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    return check_value(check, rule->with.schema, value, step);
}

bool is_nothing(const struct schema *schema)
{
    return schema->count == 1 && schema->rules[0].kind == RULE_NOTHING;
}

static bool check_all_of(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    for (size_t i = 0; i < rule->with.schemas.count; i++) {
        if (!check_value(check, rule->with.schemas.at[i], value, step))
            return false;
    }
    return true;
}

/* Reports the alternative with the deepest fault in the value, which is probably the intended one. */
static bool fail_alternatives(struct check *check, const struct schema_list *list, size_t closest,
                              const struct value *value, const struct step *step, const char *keyword)
{
    struct text text = {0};
    if (!is_told(check, step) || check_value(check, list->at[closest], value, step))
        return false;
    if (list->count == 1 || check->size == 0 || check->stopped)
        return false;
    text_printf(&text, "%s (in the closest of %zu alternatives of %s)", check->reason, list->count, keyword);
    write_reason(check, text.at, text.len);
    text_free(&text);
    return false;
}

/* Counts the alternatives that match, and stops at `enough`. */
static size_t count_right(struct check *check, const struct schema_list *list, size_t enough, const struct value *value,
                          const struct step *step, size_t *closest, size_t right_ones[2])
{
    unsigned outer = check->reached;
    unsigned deepest = 0;
    size_t right = 0;
    for (size_t i = 0; i < list->count && right < enough && !check->stopped; i++) {
        check->reached = 0;
        if (is_right(check, list->at[i], value, step)) {
            right_ones[right++] = i;
        } else if (check->reached > deepest) {
            deepest = check->reached;
            *closest = i;
        }
    }
    check->reached = outer > deepest ? outer : deepest;
    return right;
}

static bool check_any_of(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    size_t closest = 0;
    size_t right[2] = {0};
    if (count_right(check, &rule->with.schemas, 1, value, step, &closest, right) == 1)
        return true;
    return fail_alternatives(check, &rule->with.schemas, closest, value, step, "anyOf");
}

static bool check_one_of(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    size_t closest = 0;
    size_t right[2] = {0};
    switch (count_right(check, &rule->with.schemas, 2, value, step, &closest, right)) {
    case 0:
        return fail_alternatives(check, &rule->with.schemas, closest, value, step, "oneOf");
    case 1:
        return true;
    default:
        return fail_value(check, step, value, "matches alternatives %zu and %zu of oneOf; must match exactly one",
                          right[0] + 1, right[1] + 1);
    }
}

static bool check_not(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    unsigned reached = check->reached;
    bool right = is_right(check, rule->with.schema, value, step);
    check->reached = reached;
    if (check->stopped)
        return false;
    return !right || fail_value(check, step, value, "matches the schema under not");
}

static bool check_if(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const struct condition *condition = &rule->with.condition;
    unsigned reached = check->reached;
    bool right = is_right(check, condition->when, value, step);
    const struct schema *next = right ? condition->then : condition->otherwise;
    check->reached = reached;
    if (check->stopped)
        return false;
    return next == NULL || check_value(check, next, value, step);
}

/* The types of values to which each kind of rule applies, and the function that checks it. */
static const struct {
    unsigned types;
    bool (*check)(struct check *check, const struct rule *rule, const struct value *value, const struct step *step);
} checks[] = {
    [RULE_BROKEN] = {TYPE_ANY, check_broken},
    [RULE_NOTHING] = {TYPE_ANY, check_nothing},
    [RULE_REF] = {TYPE_ANY, check_ref},
    [RULE_TYPE] = {TYPE_ANY, check_type},
    [RULE_CONST] = {TYPE_ANY, check_const},
    [RULE_ENUM] = {TYPE_ANY, check_enum},
    [RULE_MULTIPLE_OF] = {TYPE_NUMBER, check_multiple_of},
    [RULE_MAXIMUM] = {TYPE_NUMBER, check_maximum},
    [RULE_EXCLUSIVE_MAXIMUM] = {TYPE_NUMBER, check_exclusive_maximum},
    [RULE_MINIMUM] = {TYPE_NUMBER, check_minimum},
    [RULE_EXCLUSIVE_MINIMUM] = {TYPE_NUMBER, check_exclusive_minimum},
    [RULE_MAX_LENGTH] = {TYPE_STRING, check_max_length},
    [RULE_MIN_LENGTH] = {TYPE_STRING, check_min_length},
    [RULE_PATTERN] = {TYPE_STRING, check_pattern},
    [RULE_FORMAT] = {TYPE_STRING, check_format},
    [RULE_MAX_ITEMS] = {TYPE_ARRAY, check_max_items},
    [RULE_MIN_ITEMS] = {TYPE_ARRAY, check_min_items},
    [RULE_UNIQUE_ITEMS] = {TYPE_ARRAY, check_unique_items},
    [RULE_ITEMS] = {TYPE_ARRAY, check_items},
    [RULE_TUPLE] = {TYPE_ARRAY, check_tuple},
    [RULE_CONTAINS] = {TYPE_ARRAY, check_contains},
    [RULE_MAX_PROPERTIES] = {TYPE_OBJECT, check_max_properties},
    [RULE_MIN_PROPERTIES] = {TYPE_OBJECT, check_min_properties},
    [RULE_REQUIRED] = {TYPE_OBJECT, check_required},
    [RULE_MEMBERS] = {TYPE_OBJECT, check_members},
    [RULE_PROPERTY_NAMES] = {TYPE_OBJECT, check_property_names},
    [RULE_DEPENDENCIES] = {TYPE_OBJECT, check_dependencies},
    [RULE_ALL_OF] = {TYPE_ANY, check_all_of},
    [RULE_ANY_OF] = {TYPE_ANY, check_any_of},
    [RULE_ONE_OF] = {TYPE_ANY, check_one_of},
    [RULE_NOT] = {TYPE_ANY, check_not},
    [RULE_IF] = {TYPE_ANY, check_if},
};

bool check_value(struct check *check, const struct schema *schema, const struct value *value, const struct step *step)
{
    bool right = true;
    if (check->depth == CHECK_DEPTH_MAX)
        return stop_check(check, step, "the value or its schema is nested too deep");
    if (!spend(check, step, 1))
        return false;
    check->depth++;
    for (size_t i = 0; i < schema->count && right; i++) {
        const struct rule *rule = &schema->rules[i];
        if ((checks[rule->kind].types & value->types) != 0)
            right = checks[rule->kind].check(check, rule, value, step);
    }
    check->depth--;
    return right;
}

bool schema_check_within(const struct schema *schema, struct json_object *json, char *reason, size_t size,
                         size_t *budget)
{
    struct check check;
    struct value value = value_of(json);
    check.reason = reason;
    check.size = size;
    check.budget = *budget;
    check.depth = 0;
    check.reached = 0;
    check.quiet = false;
    check.stopped = false;
    check.patterns.in_use = false; /* its room stays uninitialised, so a check without patterns costs nothing */
    if (size > 0)
        reason[0] = '\0';
    bool right = check_value(&check, schema, &value, NULL);
    pattern_room_clear(&check.patterns);
    *budget = check.budget;
    return right && !check.stopped;
}

bool schema_check(const struct schema *schema, struct json_object *json, char *reason, size_t size)
{
    size_t budget = CHECK_BUDGET;
    return schema_check_within(schema, json, reason, size, &budget);
}
