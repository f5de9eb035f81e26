/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nearest: the suggestions for unknown names. */
#include "support.h"

#include <string.h>

#include "base/nearest.h"

static const char *suggested(const char *word)
{
    static const char *const names[] = {"every_ms", "at_least", "url", "token", "tokens"};
    struct nearest nearest;
    nearest_begin(&nearest, word);
    for (size_t i = 0; i < COUNT(names); i++)
        nearest_offer(&nearest, names[i]);
    return nearest.name;
}

static void slips_are_recognised(void **state)
{
    UNUSED(state);
    assert_string_equal(suggested("evry_ms"), "every_ms");   /* dropped */
    assert_string_equal(suggested("everyy_ms"), "every_ms"); /* added */
    assert_string_equal(suggested("every-ms"), "every_ms");  /* replaced */
    assert_string_equal(suggested("eveyr_ms"), "every_ms");  /* swapped */
    assert_string_equal(suggested("EVERY_ms") == NULL ? "none" : "", "none");
    assert_string_equal(suggested("ulr"), "url");
    assert_string_equal(suggested("tokenss"), "tokens"); /* the nearer of two */
    assert_string_equal(suggested("token"), "token");
}

static void other_words_suggest_nothing(void **state)
{
    UNUSED(state);
    assert_null(suggested("colour"));
    assert_null(suggested(""));
    assert_null(suggested("x"));
    char longest[NEAREST_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[NEAREST_MAX + 1] = '\0';
    struct nearest nearest;
    nearest_begin(&nearest, longest);
    nearest_offer(&nearest, longest);
    assert_null(nearest.name);
    nearest_begin(&nearest, longest + 1);
    nearest_offer(&nearest, longest);
    assert_null(nearest.name);
    nearest_offer(&nearest, longest + 1);
    assert_ptr_equal(nearest.name, longest + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips_are_recognised),
        cmocka_unit_test(other_words_suggest_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
