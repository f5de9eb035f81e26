/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checks values against compiled schemas. Where a check is within the value is a chain of steps on the stack, which is
 * followed back only to tell of a fault; nothing is allocated before there is one (but for uniqueItems of long arrays).
 */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "schema/parts.h"

/* What one check may cost, in steps of some ten nanoseconds, of a hundred at most; a message that needs more is not
 * checked to the end. What a rule costs is taken before its answer is known, because a no may be as dear as a yes, and
 * as frequent. The fuzz targets have less of it, or they would spend their time on dear messages. */
#ifndef CHECK_BUDGET
#define CHECK_BUDGET ((size_t)10000000)
#endif

/* How many schemas and values may lie one within the other. */
#define CHECK_DEPTH_MAX 3000

/* Up to here, the items of an array are told apart without allocating. */
#define SMALL_ARRAY 64

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
    unsigned reached; /* the depth in the value of the deepest fault, of those not told of */
    bool quiet;       /* a fault is only a no, as within anyOf */
    bool stopped;     /* the check cannot go on; the reason is there, and every answer is no */
    struct pattern_room patterns;
};

/* --- telling --- */

static void put_path(struct text *text, const struct step *step)
{
    if (step == NULL)
        return;
    put_path(text, step->up);
    if (step->name == NULL) {
        text_printf(text, "/%zu", step->index);
        return;
    }
    text_puts(text, "/");
    for (const char *at = step->name; *at != '\0';) {
        size_t plain = strcspn(at, "~/");
        text_put_line(text, at, plain);
        at += plain;
        if (*at != '\0')
            text_puts(text, *at++ == '~' ? "~0" : "~1");
    }
}

/* The greatest place up to `at` where a character begins. */
static size_t boundary(const char *text, size_t at)
{
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static void write_reason(struct check *check, const char *text, size_t length)
{
    if (check->size == 0)
        return;
    if (length >= check->size)
        length = boundary(text, check->size - 1);
    memcpy(check->reason, text, length);
    check->reason[length] = '\0';
}

/* Takes the middle out of a path that would leave no room for what is to be said. */
static void shorten_path(struct text *path, size_t room)
{
    if (path->len <= room || room < 16)
        return;
    struct text tail = {0};
    text_puts(&tail, path->at + boundary(path->at, path->len - room / 2));
    path->len = boundary(path->at, room / 2);
    text_puts(path, "…");
    text_put(path, tail.at, tail.len);
    text_free(&tail);
}

/* Makes the reason of the path and what was said of the value; takes what was said. Always false. */
static bool tell(struct check *check, const struct step *step, struct text *what)
{
    struct text text = {0};
    put_path(&text, step);
    shorten_path(&text, check->size / 2);
    if (text.len > 0)
        text_puts(&text, ": ");
    text_puts(&text, what->at);
    write_reason(check, text.at, text.len);
    text_free(&text);
    text_free(what);
    return false;
}

/* Whether the fault that was found is to be told of; if not, only how deep it lies is kept. */
static bool is_told(struct check *check, const struct step *step)
{
    unsigned depth = step == NULL ? 0 : step->depth;
    if (check->quiet && depth > check->reached)
        check->reached = depth;
    return !check->quiet && !check->stopped;
}

static bool fail(struct check *check, const struct step *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct check *check, const struct step *step, const char *format, ...)
{
    struct text what = {0};
    va_list arguments;
    if (!is_told(check, step))
        return false;
    va_start(arguments, format);
    text_vprintf(&what, format, arguments);
    va_end(arguments);
    return tell(check, step, &what);
}

/* "1.4 is over the maximum " and the like. */
static bool fail_value(struct check *check, const struct step *step, const struct value *value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool fail_value(struct check *check, const struct step *step, const struct value *value, const char *format, ...)
{
    struct text what = {0};
    va_list arguments;
    if (!is_told(check, step))
        return false;
    value_show(&what, value);
    text_puts(&what, " ");
    va_start(arguments, format);
    text_vprintf(&what, format, arguments);
    va_end(arguments);
    return tell(check, step, &what);
}

static bool fail_name(struct check *check, const struct step *step, const char *name, const char *said)
{
    struct text what = {0};
    if (!is_told(check, step))
        return false;
    text_puts(&what, "the property ");
    name_show(&what, name, strlen(name));
    text_printf(&what, " %s", said);
    return tell(check, step, &what);
}

/* Ends the check: whatever is asked from now on, the answer is no. */
static bool stop(struct check *check, const struct step *step, const char *why)
{
    check->quiet = false;
    if (!check->stopped)
        fail(check, step, "%s", why);
    check->stopped = true;
    check->budget = 0;
    return false;
}

/* Whether there is budget left after something that took from it. */
static bool goes_on(struct check *check, const struct step *step)
{
    return check->budget > 0 || stop(check, step, "the check takes too long");
}

static bool spend(struct check *check, const struct step *step, size_t cost)
{
    check->budget = check->budget > cost ? check->budget - cost : 0;
    return goes_on(check, step);
}

/* --- rules --- */

static bool check_value(struct check *check, const struct schema *schema, const struct value *value,
                        const struct step *step);

static bool check_json(struct check *check, const struct schema *schema, struct json_object *json,
                       const struct step *step)
{
    struct value value = value_of(json);
    return check_value(check, schema, &value, step);
}

/* Whether the value is right, with nothing said if it is not. */
static bool is_right(struct check *check, const struct schema *schema, const struct value *value,
                     const struct step *step)
{
    bool quiet = check->quiet;
    check->quiet = true;
    bool right = check_value(check, schema, value, step);
    check->quiet = quiet && !check->stopped;
    return right && !check->stopped;
}

static struct step step_to(const struct step *up, const char *name, size_t index)
{
    return (struct step){.up = up, .name = name, .index = index, .depth = up == NULL ? 1 : up->depth + 1};
}

static bool check_broken(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    (void)rule;
    (void)value;
    return fail(check, step, "the schema of this value could not be read");
}

static bool check_nothing(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    (void)rule;
    return fail_value(check, step, value, "is not allowed, nor is anything else");
}

static bool check_ref(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    return check_value(check, rule->with.schema, value, step);
}

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

static bool check_type(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
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

static bool check_const(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step)
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

static bool check_enum(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
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

/* What it costs to write a fraction in decimal, and a whole number. */
#define COST_OF_FRACTION 20
#define COST_OF_WHOLE 2

static bool check_multiple_of(struct check *check, const struct rule *rule, const struct value *value,
                              const struct step *step)
{
    const struct bound *bound = &rule->with.bound;
    if (!spend(check, step, value->number.exact ? COST_OF_WHOLE : COST_OF_FRACTION))
        return false;
    if (isfinite(value->number.real)) {
        struct decimal number = decimal_of(&value->number);
        int zeros = number.exponent - bound->decimal.exponent; /* that are written behind it, and divided */
        if (zeros > 0 && !spend(check, step, (size_t)zeros))
            return false;
        if (decimal_is_multiple(number, bound->decimal))
            return true;
    }
    return fail_bound(check, step, value, "is no multiple of", bound);
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

static bool check_maximum(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    return is_under(value, &rule->with.bound) || is_at(value, &rule->with.bound) ||
           fail_bound(check, step, value, "is over the maximum", &rule->with.bound);
}

static bool check_exclusive_maximum(struct check *check, const struct rule *rule, const struct value *value,
                                    const struct step *step)
{
    return is_under(value, &rule->with.bound) || fail_bound(check, step, value, "is not under", &rule->with.bound);
}

static bool check_minimum(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    return is_over(value, &rule->with.bound) || is_at(value, &rule->with.bound) ||
           fail_bound(check, step, value, "is under the minimum", &rule->with.bound);
}

static bool check_exclusive_minimum(struct check *check, const struct rule *rule, const struct value *value,
                                    const struct step *step)
{
    return is_over(value, &rule->with.bound) || fail_bound(check, step, value, "is not over", &rule->with.bound);
}

/* How many characters there are; the bytes that continue one do not count. */
static size_t count_characters(const struct value *value)
{
    size_t count = 0;
    for (size_t i = 0; i < value->length; i++)
        count += ((unsigned char)value->text[i] & 0xc0) != 0x80;
    return count;
}

static bool check_max_length(struct check *check, const struct rule *rule, const struct value *value,
                             const struct step *step)
{
    if (value->length <= rule->with.limit) /* there are no more characters than bytes */
        return true;
    if (!spend(check, step, cost_of(value->length)))
        return false;
    size_t count = count_characters(value);
    return count <= rule->with.limit ||
           fail_value(check, step, value, "has %zu characters, over the maximum %zu", count, rule->with.limit);
}

static bool check_min_length(struct check *check, const struct rule *rule, const struct value *value,
                             const struct step *step)
{
    if (value->length / 4 >= rule->with.limit) /* no character has more than 4 bytes */
        return true;
    if (!spend(check, step, cost_of(value->length)))
        return false;
    size_t count = count_characters(value);
    return count >= rule->with.limit ||
           fail_value(check, step, value, "has %zu characters, under the minimum %zu", count, rule->with.limit);
}

/* Whether the pattern is in the text; a match that takes too long ends the check. */
static bool matches(struct check *check, const struct pattern *pattern, const struct value *value,
                    const struct step *step)
{
    enum pattern_answer answer = pattern_match(pattern, value->text, value->length, &check->patterns, &check->budget);
    if (answer == PATTERN_TOO_DEAR) {
        struct text text = {0};
        text_puts(&text, "matching it with ");
        name_show(&text, pattern_source(pattern), strlen(pattern_source(pattern)));
        text_puts(&text, " takes too long");
        stop(check, step, text.at);
        text_free(&text);
        return false;
    }
    return goes_on(check, step) && answer == PATTERN_YES;
}

static bool check_pattern(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
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

static bool check_format(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    const struct format *format = rule->with.format;
    return spend(check, step, value->length / 8) &&
           (format->check(value->text, value->length) || fail_value(check, step, value, "is no %s", format->name));
}

static bool check_max_items(struct check *check, const struct rule *rule, const struct value *value,
                            const struct step *step)
{
    size_t count = json_object_array_length(value->json);
    return count <= rule->with.limit ||
           fail(check, step, "%zu items are over the maximum %zu", count, rule->with.limit);
}

static bool check_min_items(struct check *check, const struct rule *rule, const struct value *value,
                            const struct step *step)
{
    size_t count = json_object_array_length(value->json);
    return count >= rule->with.limit ||
           fail(check, step, "%zu items are under the minimum %zu", count, rule->with.limit);
}

/* Says whether two items are equal whose hashes are. */
static bool is_pair(struct check *check, struct json_object *array, size_t a, size_t b)
{
    struct value left = value_of(json_object_array_get_idx(array, a));
    struct value right = value_of(json_object_array_get_idx(array, b));
    return value_equal(&left, &right, &check->budget);
}

/* Looks for two equal items among `count`, with a table of twice that or more slots, a power of two. A slot has the
 * index of an item, plus 1. */
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
        hashes[i] ^= hashes[i] >> 29; /* the table looks at the low bits */
    }
}

static bool check_unique_items(struct check *check, const struct rule *rule, const struct value *value,
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
        return stop(check, step, "too many items to tell them apart");
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

/* The items from an index on against one schema. */
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

static bool check_items(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step)
{
    return check_items_from(check, rule->with.schema, value->json, 0, step);
}

static bool check_tuple(struct check *check, const struct rule *rule, const struct value *value,
                        const struct step *step)
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

static bool check_contains(struct check *check, const struct rule *rule, const struct value *value,
                           const struct step *step)
{
    size_t count = json_object_array_length(value->json);
    for (size_t i = 0; i < count; i++) {
        struct step to = step_to(step, NULL, i);
        struct value item = value_of(json_object_array_get_idx(value->json, i));
        if (is_right(check, rule->with.schema, &item, &to))
            return true;
    }
    return fail(check, step, "none of the %zu items is what has to be contained", count);
}

static bool check_max_properties(struct check *check, const struct rule *rule, const struct value *value,
                                 const struct step *step)
{
    size_t count = (size_t)json_object_object_length(value->json);
    return count <= rule->with.limit ||
           fail(check, step, "%zu properties are over the maximum %zu", count, rule->with.limit);
}

static bool check_min_properties(struct check *check, const struct rule *rule, const struct value *value,
                                 const struct step *step)
{
    size_t count = (size_t)json_object_object_length(value->json);
    return count >= rule->with.limit ||
           fail(check, step, "%zu properties are under the minimum %zu", count, rule->with.limit);
}

static bool check_required(struct check *check, const struct rule *rule, const struct value *value,
                           const struct step *step)
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

static bool is_nothing(const struct schema *schema)
{
    return schema->count == 1 && schema->rules[0].kind == RULE_NOTHING;
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

static bool check_members(struct check *check, const struct rule *rule, const struct value *value,
                          const struct step *step)
{
    json_object_object_foreach(value->json, name, json)
    {
        if (!check_member(check, rule->with.members, name, json, step))
            return false;
    }
    return true;
}

static bool check_property_names(struct check *check, const struct rule *rule, const struct value *value,
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
        text_printf(&prefixed, "%s (which is the name of a property)", check->size > 0 ? check->reason : "");
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
        text_puts(&said, "is missing, which has to be there with ");
        name_show(&said, dependency->name, strlen(dependency->name));
        fail_name(check, step, name, said.at);
        text_free(&said);
        return false;
    }
    return true;
}

static bool check_dependencies(struct check *check, const struct rule *rule, const struct value *value,
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

static bool check_all_of(struct check *check, const struct rule *rule, const struct value *value,
                         const struct step *step)
{
    for (size_t i = 0; i < rule->with.schemas.count; i++) {
        if (!check_value(check, rule->with.schemas.at[i], value, step))
            return false;
    }
    return true;
}

/* Tells of the alternative whose fault lay deepest in the value: that is the one which was meant, most likely. */
static bool fail_alternatives(struct check *check, const struct schema_list *list, size_t closest,
                              const struct value *value, const struct step *step, const char *keyword)
{
    struct text text = {0};
    if (!is_told(check, step) || check_value(check, list->at[closest], value, step))
        return false;
    if (list->count == 1 || check->size == 0 || check->stopped)
        return false;
    text_printf(&text, "%s (the closest of the %zu in %s)", check->reason, list->count, keyword);
    write_reason(check, text.at, text.len);
    text_free(&text);
    return false;
}

/* Asks the alternatives in turn until one is right (or two, if they are `wanted` one only); how many were. */
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
        return fail_value(check, step, value, "is right by both %zu and %zu in oneOf, where only one may be", right[0],
                          right[1]);
    }
}

static bool check_not(struct check *check, const struct rule *rule, const struct value *value, const struct step *step)
{
    unsigned reached = check->reached;
    bool right = is_right(check, rule->with.schema, value, step);
    check->reached = reached;
    if (check->stopped)
        return false;
    return !right || fail_value(check, step, value, "is what it must not be");
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

/* For what types of values each kind of rule says anything, and how it is checked. */
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

static bool check_value(struct check *check, const struct schema *schema, const struct value *value,
                        const struct step *step)
{
    bool right = true;
    if (check->depth == CHECK_DEPTH_MAX)
        return stop(check, step, "the value, or its schema, is nested too deep");
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

bool schema_check(const struct schema *schema, struct json_object *json, char *reason, size_t size)
{
    struct check check;
    struct value value = value_of(json);
    check.reason = reason;
    check.size = size;
    check.budget = CHECK_BUDGET;
    check.depth = 0;
    check.reached = 0;
    check.quiet = false;
    check.stopped = false;
    check.patterns.in_use = false; /* its room stays as it is, so that a check without patterns does not pay for it */
    if (size > 0)
        reason[0] = '\0';
    bool right = check_value(&check, schema, &value, NULL);
    pattern_room_clear(&check.patterns);
    return right && !check.stopped;
}
