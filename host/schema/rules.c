/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The rules of numbers, texts, arrays and objects. Without a fault nothing is allocated, except for uniqueItems of long
 * arrays. */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "schema/check.h"

/* Up to this length, the items of an array are compared without allocation. */
#define SMALL_ARRAY 64

static void put_types(struct text *text, unsigned types)
{
    static const char *const names[] = {"null",     "a boolean", "an integer", "a number",
                                        "a string", "an array",  "an object"};
    const char *before = "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((types & 1U << i) == 0)
            continue;
        text_printf(text, "%s%s", before, names[i]);
        before = " or ";
    }
}

bool check_type(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    struct text types = {0};
    if ((value->types & rule->with.types) != 0)
        return true;
    if (!is_told(check, step))
        return false;
    put_types(&types, rule->with.types);
    fail_value(check, step, value, "is not %s", types.at);
    text_free(&types);
    return false;
}

bool check_const(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    struct value wanted = value_of(rule->with.json);
    struct text text = {0};
    if (value_equal(value, &wanted, &check->budget))
        return true;
    if (!goes_on(check, step) || !is_told(check, step))
        return false;
    value_show(&text, &wanted);
    fail_value(check, step, value, "is not %s", text.at);
    text_free(&text);
    return false;
}

static bool is_among(struct check *check, const struct value_list *list, const struct value *value)
{
    uint64_t hash = value_hash(value, &check->budget);
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->at[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < list->count && list->at[low].hash == hash && check->budget > 0; low++) {
        struct value wanted = value_of(list->at[low].json);
        if (value_equal(value, &wanted, &check->budget))
            return true;
    }
    return false;
}

bool check_enum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const struct value_list *list = &rule->with.values;
    struct text text = {0};
    if (is_among(check, list, value))
        return goes_on(check, step);
    if (!goes_on(check, step) || !is_told(check, step))
        return false;
    for (size_t i = 0; i < list->count && i < 8; i++) {
        struct value wanted = value_of(json_object_array_get_idx(list->json, i));
        text_puts(&text, i == 0 ? "" : ", ");
        value_show(&text, &wanted);
    }
    fail_value(check, step, value, "is none of %s%s", list->count == 0 ? "an empty enum" : text.at,
               list->count > 8 ? ", …" : "");
    text_free(&text);
    return false;
}

static bool fail_bound(struct check *check, const struct step *step, const struct value *value, const char *what,
                       const struct bound *bound)
{
    struct value limit = value_of(bound->json);
    struct text text = {0};
    if (!is_told(check, step))
        return false;
    value_show(&text, &limit);
    fail_value(check, step, value, "%s %s", what, text.at);
    text_free(&text);
    return false;
}

/* The cost of converting a fraction and a whole number to decimal. */
#define COST_OF_FRACTION 20
#define COST_OF_WHOLE 2

bool check_multiple_of(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const struct bound *bound = &rule->with.bound;
    if (!spend(check, step, value->number.exact ? COST_OF_WHOLE : COST_OF_FRACTION))
        return false;
    if (isfinite(value->number.real)) {
        struct decimal number = decimal_of(&value->number);
        int zeros = number.exponent - bound->decimal.exponent; /* zeros to append before the division */
        if (zeros > 0 && !spend(check, step, (size_t)zeros))
            return false;
        if (decimal_is_multiple(number, bound->decimal))
            return true;
    }
    return fail_bound(check, step, value, "is not a multiple of", bound);
}

static bool is_under(const struct value *value, const struct bound *bound)
{
    return number_compare(&value->number, &bound->limit) == -1;
}

static bool is_over(const struct value *value, const struct bound *bound)
{
    return number_compare(&value->number, &bound->limit) == 1;
}

static bool is_at(const struct value *value, const struct bound *bound)
{
    return number_compare(&value->number, &bound->limit) == 0;
}

bool check_maximum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    return is_under(value, &rule->with.bound) || is_at(value, &rule->with.bound) ||
           fail_bound(check, step, value, "is over the maximum", &rule->with.bound);
}

bool check_exclusive_maximum(struct check *check, const struct rule *rule, const struct value *value,
                             const struct step *step)
{
    return is_under(value, &rule->with.bound) || fail_bound(check, step, value, "is not under", &rule->with.bound);
}

bool check_minimum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    return is_over(value, &rule->with.bound) || is_at(value, &rule->with.bound) ||
           fail_bound(check, step, value, "is under the minimum", &rule->with.bound);
}

bool check_exclusive_minimum(struct check *check, const struct rule *rule, const struct value *value,
                             const struct step *step)
{
    return is_over(value, &rule->with.bound) || fail_bound(check, step, value, "is not over", &rule->with.bound);
}

/* The number of characters; continuation bytes do not count. */
static size_t count_characters(const struct value *value)
{
    size_t count = 0;
    for (size_t i = 0; i < value->length; i++)
        count += ((unsigned char)value->text[i] & 0xc0) != 0x80;
    return count;
}

bool check_max_length(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    if (value->length <= rule->with.limit) /* there are at most as many characters as bytes */
        return true;
    if (!spend(check, step, cost_of(value->length)))
        return false;
    size_t count = count_characters(value);
    return count <= rule->with.limit ||
           fail_value(check, step, value, "has %zu characters, over the maximum %zu", count, rule->with.limit);
}

bool check_min_length(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    if (value->length / 4 >= rule->with.limit) /* no character has more than 4 bytes */
        return true;
    if (!spend(check, step, cost_of(value->length)))
        return false;
    size_t count = count_characters(value);
    return count >= rule->with.limit ||
           fail_value(check, step, value, "has %zu characters, under the minimum %zu", count, rule->with.limit);
}

/* True if the pattern is found in the text. A match that takes too long ends the check. */
static bool matches(struct check *check, const struct pattern *pattern, const struct value *value,
                    const struct step *step)
{
    enum pattern_answer answer = pattern_match(pattern, value->text, value->length, &check->patterns, &check->budget);
    if (answer == PATTERN_TOO_DEAR) {
        struct text text = {0};
        text_puts(&text, "matching it with ");
        name_show(&text, pattern_source(pattern), strlen(pattern_source(pattern)));
        text_puts(&text, " takes too long");
        stop_check(check, step, text.at);
        text_free(&text);
        return false;
    }
    return goes_on(check, step) && answer == PATTERN_YES;
}

bool check_pattern(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const char *source = pattern_source(rule->with.pattern);
    struct text text = {0};
    if (matches(check, rule->with.pattern, value, step))
        return true;
    if (!is_told(check, step))
        return false;
    name_show(&text, source, strlen(source));
    fail_value(check, step, value, "does not match %s", text.at);
    text_free(&text);
    return false;
}

bool check_format(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const struct format *format = rule->with.format;
    return spend(check, step, value->length / 8) && (format->check(value->text, value->length) ||
                                                     fail_value(check, step, value, "is not a valid %s", format->name));
}

bool check_max_items(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    size_t count = json_object_array_length(value->json);
    return count <= rule->with.limit ||
           fail(check, step, "%zu items are over the maximum %zu", count, rule->with.limit);
}

bool check_min_items(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    size_t count = json_object_array_length(value->json);
    return count >= rule->with.limit ||
           fail(check, step, "%zu items are under the minimum %zu", count, rule->with.limit);
}

/* Compares two items with equal hashes. */
static bool is_pair(struct check *check, struct json_object *array, size_t a, size_t b)
{
    struct value left = value_of(json_object_array_get_idx(array, a));
    struct value right = value_of(json_object_array_get_idx(array, b));
    return value_equal(&left, &right, &check->budget);
}

/* Searches for two equal items among `count`, with a table of at least twice as many slots, a power of two. A slot has
 * the index of an item, plus 1. */
static bool find_pair(struct check *check, struct json_object *array, size_t count, const uint64_t *hashes,
                      uint32_t *slots, size_t room, size_t *first, size_t *second)
{
    for (size_t i = 0; i < count && check->budget > 0; i++) {
        size_t slot = hashes[i] & (room - 1);
        for (; slots[slot] != 0 && check->budget > 0; slot = (slot + 1) & (room - 1)) {
            size_t other = slots[slot] - 1;
            check->budget--;
            if (hashes[other] == hashes[i] && is_pair(check, array, other, i)) {
                *first = other;
                *second = i;
                return true;
            }
        }
        slots[slot] = (uint32_t)i + 1;
    }
    return false;
}

static void hash_items(struct check *check, struct json_object *array, size_t count, uint64_t *hashes)
{
    for (size_t i = 0; i < count && check->budget > 0; i++) {
        struct value item = value_of(json_object_array_get_idx(array, i));
        hashes[i] = value_hash(&item, &check->budget);
        hashes[i] ^= hashes[i] >> 29; /* the table uses the low bits */
    }
}

bool check_unique_items(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step)
{
    uint64_t few_hashes[SMALL_ARRAY];
    uint32_t few_slots[SMALL_ARRAY * 2] = {0};
    uint64_t *hashes = few_hashes;
    uint32_t *slots = few_slots;
    size_t room = (size_t)SMALL_ARRAY * 2;
    size_t count = json_object_array_length(value->json);
    size_t first = 0;
    size_t second = 0;
    (void)rule;
    if (count > UINT32_MAX / 4 || check->budget < count)
        return stop_check(check, step, "uniqueItems: too many items to compare");
    if (count > SMALL_ARRAY) {
        while (room < count * 2)
            room *= 2;
        hashes = memory_take(count * sizeof *hashes);
        slots = memory_new(room * sizeof *slots);
    }
    hash_items(check, value->json, count, hashes);
    bool pair = find_pair(check, value->json, count, hashes, slots, room, &first, &second);
    if (count > SMALL_ARRAY) {
        free(hashes);
        free(slots);
    }
    if (!goes_on(check, step))
        return false;
    return !pair || fail(check, step, "the items %zu and %zu are equal", first, second);
}

/* Checks the items from an index on against one schema. */
static bool check_items_from(struct check *check, const struct schema *schema, struct json_object *array, size_t from,
                             const struct step *step)
{
    for (size_t i = from; i < json_object_array_length(array); i++) {
        struct step to = step_to(step, NULL, i);
        if (!check_json(check, schema, json_object_array_get_idx(array, i), &to))
            return false;
    }
    return true;
}

bool check_items(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    return check_items_from(check, rule->with.schema, value->json, 0, step);
}

bool check_tuple(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const struct schema_list *list = &rule->with.schemas;
    size_t count = json_object_array_length(value->json);
    for (size_t i = 0; i < count && i < list->count; i++) {
        struct step to = step_to(step, NULL, i);
        if (!check_json(check, list->at[i], json_object_array_get_idx(value->json, i), &to))
            return false;
    }
    return list->rest == NULL || check_items_from(check, list->rest, value->json, list->count, step);
}

bool check_contains(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    size_t count = json_object_array_length(value->json);
    for (size_t i = 0; i < count; i++) {
        struct step to = step_to(step, NULL, i);
        struct value item = value_of(json_object_array_get_idx(value->json, i));
        if (is_right(check, rule->with.schema, &item, &to))
            return true;
    }
    return fail(check, step, "none of the %zu items matches the schema under contains", count);
}

bool check_max_properties(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    size_t count = (size_t)json_object_object_length(value->json);
    return count <= rule->with.limit ||
           fail(check, step, "%zu properties are over the maximum %zu", count, rule->with.limit);
}

bool check_min_properties(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    size_t count = (size_t)json_object_object_length(value->json);
    return count >= rule->with.limit ||
           fail(check, step, "%zu properties are under the minimum %zu", count, rule->with.limit);
}

bool check_required(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    const struct name_list *names = &rule->with.names;
    if (!spend(check, step, names->cost))
        return false;
    for (size_t i = 0; i < names->count; i++) {
        if (!json_object_object_get_ex(value->json, names->at[i], NULL))
            return fail_name(check, step, names->at[i], "is missing");
    }
    return true;
}

static const struct schema *find_member(const struct members *members, const char *name, size_t *length)
{
    uint64_t hash = name_hash(name, length);
    for (size_t i = hash & members->mask; members->slots[i].name != NULL; i = (i + 1) & members->mask) {
        if (members->slots[i].hash == hash && strcmp(members->slots[i].name, name) == 0)
            return members->slots[i].schema;
    }
    return NULL;
}

static bool check_member(struct check *check, const struct members *members, const char *name, struct json_object *json,
                         const struct step *step)
{
    struct step to = step_to(step, name, 0);
    struct value value = value_of(json);
    struct value text = members->pattern_count > 0 ? value_of_name(name) : (struct value){0};
    size_t length = 0;
    const struct schema *schema = find_member(members, name, &length);
    bool known = schema != NULL;
    if (!spend(check, step, cost_of(length)))
        return false;
    if (known && !check_value(check, schema, &value, &to))
        return false;
    for (size_t i = 0; i < members->pattern_count; i++) {
        if (!matches(check, members->patterns[i].pattern, &text, step)) {
            if (check->stopped)
                return false;
            continue;
        }
        known = true;
        if (!check_value(check, members->patterns[i].schema, &value, &to))
            return false;
    }
    if (known || members->rest == NULL)
        return true;
    if (is_nothing(members->rest))
        return fail_name(check, step, name, "is not allowed here");
    return check_value(check, members->rest, &value, &to);
}

bool check_members(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    json_object_object_foreach(value->json, name, json)
    {
        if (!check_member(check, rule->with.members, name, json, step))
            return false;
    }
    return true;
}

bool check_property_names(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    json_object_object_foreach(value->json, name, json)
    {
        struct value text = value_of_name(name);
        (void)json;
        if (!spend(check, step, cost_of(text.length)))
            return false;
        if (is_right(check, rule->with.schema, &text, step))
            continue;
        if (!is_told(check, step))
            return false;
        check_value(check, rule->with.schema, &text, step);
        struct text prefixed = {0};
        text_printf(&prefixed, "%s (in the name of a property)", check->size > 0 ? check->reason : "");
        write_reason(check, prefixed.at, prefixed.len);
        text_free(&prefixed);
        return false;
    }
    return true;
}

static bool check_dependency(struct check *check, const struct dependency *dependency, const struct value *value,
                             const struct step *step)
{
    struct text said = {0};
    if (dependency->schema != NULL)
        return check_value(check, dependency->schema, value, step);
    if (!spend(check, step, dependency->names.cost))
        return false;
    for (size_t i = 0; i < dependency->names.count; i++) {
        const char *name = dependency->names.at[i];
        if (json_object_object_get_ex(value->json, name, NULL))
            continue;
        if (!is_told(check, step))
            return false;
        text_puts(&said, "is missing; it is required together with ");
        name_show(&said, dependency->name, strlen(dependency->name));
        fail_name(check, step, name, said.at);
        text_free(&said);
        return false;
    }
    return true;
}

bool check_dependencies(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step)
{
    const struct dependency_list *list = &rule->with.dependencies;
    if (!spend(check, step, list->cost))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (json_object_object_get_ex(value->json, list->at[i].name, NULL) &&
            !check_dependency(check, &list->at[i], value, step))
            return false;
    }
    return true;
}
