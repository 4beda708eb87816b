#include "unit.h"

#include "pg/sql.h"

static struct ph_buf buf;

#define sql(...) (ph_buf_clear(&buf), ph_sql_add(&buf, __VA_ARGS__), ph_buf_text(&buf))

TEST(identifiers_are_always_quoted_and_quotes_doubled)
{
    assert_string_equal(sql("%I", "a"), "\"a\"");
    assert_string_equal(sql("%I", "A b"), "\"A b\"");
    assert_string_equal(sql("%I", "a\"b"), "\"a\"\"b\"");
    assert_string_equal(sql("%I", "\"; drop table x; --"), "\"\"\"; drop table x; --\"");
    assert_string_equal(sql("%I", "a\\b"), "\"a\\b\"");
    assert_string_equal(sql("%I", "a\nb"), "\"a\nb\"");
    assert_string_equal(sql("%I", "été'"), "\"été'\"");
    assert_string_equal(sql("%I.%I", "s", "t"), "\"s\".\"t\"");
}

TEST(literals_double_quotes_and_say_so_when_they_escape)
{
    assert_string_equal(sql("%L", "a"), "'a'");
    assert_string_equal(sql("%L", ""), "''");
    assert_string_equal(sql("%L", "it's"), "'it''s'");
    assert_string_equal(sql("%L", "'; drop table x; --"), "'''; drop table x; --'");
    assert_string_equal(sql("%L", "a\nb"), "'a\nb'");
    assert_string_equal(sql("%L", "\"x\""), "'\"x\"'");
    assert_string_equal(sql("%L", "%s"), "'%s'");
}

TEST(a_backslash_means_itself_whatever_standard_conforming_strings_says)
{
    assert_string_equal(sql("%L", "a\\b"), " E'a\\\\b'");
    assert_string_equal(sql("%L", "\\'"), " E'\\\\'''");
    /* the blank keeps the E from becoming part of a word in front of it */
    assert_string_equal(sql("SELECT%L", "\\"), "SELECT E'\\\\'");
}

TEST(no_value_is_the_word_null)
{
    assert_string_equal(sql("%L", NULL), "NULL");
}

TEST(numbers_and_plain_texts_are_put_as_they_are)
{
    assert_string_equal(sql("%d %u %D %U", -1, 4294967295u, INT64_MIN, UINT64_MAX),
                        "-1 4294967295 -9223372036854775808 18446744073709551615");
    assert_string_equal(sql("a%sb%%c", "-x-"), "a-x-b%c");
    assert_string_equal(sql("plain"), "plain");
}

int main(void)
{
    int failed =
        RUN(cmocka_unit_test(identifiers_are_always_quoted_and_quotes_doubled),
            cmocka_unit_test(literals_double_quotes_and_say_so_when_they_escape),
            cmocka_unit_test(a_backslash_means_itself_whatever_standard_conforming_strings_says),
            cmocka_unit_test(no_value_is_the_word_null),
            cmocka_unit_test(numbers_and_plain_texts_are_put_as_they_are));
    ph_buf_fini(&buf);
    return failed;
}
