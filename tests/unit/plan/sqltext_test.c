#include "unit.h"

#include "base/buf.h"
#include "plan/sqltext.h"

static struct ph_arena arena;

/* All words, those that are calls with (). */
static const char *words(const char *sql)
{
    struct ph_sqltext text = {.p = sql};
    struct ph_buf buf = {0};
    while (ph_sqltext_next(&text, &arena))
        ph_buf_addf(&buf, "%s%s%s", buf.len ? " " : "", text.word, text.is_call ? "()" : "");
    const char *out = ph_arena_strdup(&arena, ph_buf_text(&buf));
    ph_buf_fini(&buf);
    return out;
}

TEST(words_and_calls_are_told_apart)
{
    assert_string_equal(words("a > RANDOM () * b.c"), "a random() b c");
    assert_string_equal(words("pg_catalog.lower(x)"), "pg_catalog lower() x");
}

TEST(strings_hide_what_is_in_them)
{
    assert_string_equal(words("'random() ''x'' ' || a"), "a");
    assert_string_equal(words("E'\\' random() ' || a"), "a");
    assert_string_equal(words("$$ random() $$ || $x$ f() $$ $x$ || a"), "a");
    assert_string_equal(words("$1 + a"), "a");
}

TEST(comments_hide_what_is_in_them)
{
    assert_string_equal(words("a -- random()\n + b"), "a b");
    assert_string_equal(words("a /* f() /* g() */ h() */ + lower /* x */ (b)"), "a lower() b");
    assert_string_equal(words("a /* open"), "a");
}

TEST(quoted_words_keep_their_case)
{
    assert_string_equal(words("\"We\"\"ird\" + \"F\"(x)"), "We\"ird F() x");
    assert_string_equal(words("\"open"), "open");
}

TEST(numbers_are_no_words)
{
    assert_string_equal(words("1e5 + 0x1f + a1"), "a1");
}

TEST(a_column_is_mentioned_only_as_a_word)
{
    assert_true(ph_sqltext_mentions("lower(Email)", "email", &arena));
    assert_false(ph_sqltext_mentions("lower(email_norm)", "email", &arena));
    assert_false(ph_sqltext_mentions("'email'", "email", &arena));
}

int main(void)
{
    int failed =
        RUN(cmocka_unit_test(words_and_calls_are_told_apart),
            cmocka_unit_test(strings_hide_what_is_in_them),
            cmocka_unit_test(comments_hide_what_is_in_them),
            cmocka_unit_test(quoted_words_keep_their_case), cmocka_unit_test(numbers_are_no_words),
            cmocka_unit_test(a_column_is_mentioned_only_as_a_word));
    ph_arena_fini(&arena);
    return failed;
}
