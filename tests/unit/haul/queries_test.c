#include "unit.h"

#include "haul/queries.h"

TEST(without_a_tolerance_answers_are_equal_as_texts)
{
    const struct ph_query q = {.name = "q"};
    assert_true(ph_query_same(&q, "1.5", "1.5"));
    assert_false(ph_query_same(&q, "1.5", "1.50"));
    assert_false(ph_query_same(&q, NULL, ""));
    assert_true(ph_query_same(&q, NULL, NULL));
}

TEST(a_tolerance_is_absolute_or_of_the_sources_number)
{
    const struct ph_query absolute = {.tolerance = 2}, percent = {.tolerance = 10, .percent = true};
    assert_true(ph_query_same(&absolute, "100", "102"));
    assert_false(ph_query_same(&absolute, "100", "102.1"));
    assert_true(ph_query_same(&percent, "-100", "-110"));
    assert_false(ph_query_same(&percent, "100", "111"));
    assert_false(ph_query_same(&percent, "0", "0.001"));
    assert_true(ph_query_same(&percent, "0", "0.000"));
}

TEST(what_is_no_number_has_no_tolerance)
{
    const struct ph_query q = {.tolerance = 1000};
    assert_false(ph_query_same(&q, "a", "b"));
    assert_false(ph_query_same(&q, "1", "1x"));
    assert_false(ph_query_same(&q, "NaN", "5"));
    assert_false(ph_query_same(&q, "1", NULL));
}

int main(void)
{
    return RUN(cmocka_unit_test(without_a_tolerance_answers_are_equal_as_texts),
               cmocka_unit_test(a_tolerance_is_absolute_or_of_the_sources_number),
               cmocka_unit_test(what_is_no_number_has_no_tolerance));
}
