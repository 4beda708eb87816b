#include "unit.h"

#include "plan/pattern.h"

static struct ph_arena arena;
static struct ph_err err;

static bool matches(const char *pattern, const char *name)
{
    struct ph_pattern p;
    assert_true(ph_pattern_parse(&p, &arena, pattern, &err));
    return ph_pattern_matches(&p.name, name);
}

static const char *refusal(const char *pattern)
{
    struct ph_pattern p;
    assert_false(ph_pattern_parse(&p, &arena, pattern, &err));
    assert_int_equal(err.code, PH_WRONG);
    assert_true(*err.hint);
    return err.text;
}

TEST(letters_outside_quotes_fold_to_lower_case)
{
    assert_true(matches("Orders", "orders"));
    assert_false(matches("Orders", "Orders"));
    assert_true(matches("\"Orders\"", "Orders"));
    assert_true(matches("a\"B\"C", "aBc"));
}

TEST(a_dot_separates_schema_and_name_unless_quoted)
{
    struct ph_pattern p;
    assert_true(ph_pattern_parse(&p, &arena, "Shop.\"a.b\"", &err));
    assert_string_equal(p.schema.text, "shop");
    assert_string_equal(p.name.text, "a.b");
    assert_true(ph_pattern_parse(&p, &arena, "orders", &err));
    assert_null(p.schema.text);
}

TEST(a_doubled_quote_is_one_quote)
{
    assert_true(matches("\"we\"\"ird; drop table x\"", "we\"ird; drop table x"));
}

TEST(stars_and_question_marks_match_runs_and_single_characters)
{
    assert_true(matches("or*s", "orders"));
    assert_true(matches("*", ""));
    assert_true(matches("a*b*c", "aXbXbXc"));
    assert_false(matches("a*b*c", "aXbXbX"));
    assert_true(matches("order?", "orders"));
    assert_false(matches("order?", "order"));
    assert_true(matches("caf?", "caf\xc3\xa9"));
    assert_false(matches("caf??", "caf\xc3\xa9"));
    assert_true(matches("*?", "\xc3\xa9"));
}

TEST(quoted_stars_are_themselves)
{
    assert_true(matches("\"a*\"", "a*"));
    assert_false(matches("\"a*\"", "ab"));
    assert_true(matches("\"a*\"*", "a*b"));
}

TEST(what_is_special_elsewhere_is_a_character_here)
{
    assert_true(matches("a[1]|b$", "a[1]|b$"));
    assert_true(matches("%s_\\n", "%s_\\n"));
}

TEST(malformed_names_are_refused_with_a_hint)
{
    assert_contains(refusal("a.b.c"), "more parts");
    assert_contains(refusal("\"a"), "unmatched");
    assert_contains(refusal(""), "empty");
    assert_contains(refusal("a."), "empty");
    assert_contains(refusal(".a"), "empty");
    assert_contains(refusal("\"\""), "empty");
}

TEST(names_that_the_server_would_cut_are_refused)
{
    char name[66];
    memset(name, 'x', sizeof name);
    name[63] = '\0';
    assert_true(matches(name, name));
    name[63] = 'x';
    name[64] = '\0';
    assert_contains(refusal(name), "longer than");
}

TEST(a_schema_is_one_part)
{
    struct ph_pattern p;
    assert_true(ph_pattern_parse_schema(&p, &arena, "sh?p*", &err));
    assert_true(ph_pattern_matches(&p.name, "shop_2"));
    assert_false(ph_pattern_parse_schema(&p, &arena, "a.b", &err));
}

int main(void)
{
    int failed = RUN(cmocka_unit_test(letters_outside_quotes_fold_to_lower_case),
                     cmocka_unit_test(a_dot_separates_schema_and_name_unless_quoted),
                     cmocka_unit_test(a_doubled_quote_is_one_quote),
                     cmocka_unit_test(stars_and_question_marks_match_runs_and_single_characters),
                     cmocka_unit_test(quoted_stars_are_themselves),
                     cmocka_unit_test(what_is_special_elsewhere_is_a_character_here),
                     cmocka_unit_test(malformed_names_are_refused_with_a_hint),
                     cmocka_unit_test(names_that_the_server_would_cut_are_refused),
                     cmocka_unit_test(a_schema_is_one_part));
    ph_arena_fini(&arena);
    return failed;
}
