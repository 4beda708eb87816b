#include "unit.h"

#include <stdlib.h>

#include "haul/judge.h"

TEST(a_hard_guard_holds_at_once_and_lets_go_after_a_while_well_below)
{
    struct ph_judge_hard j = {.below_since_s = -1};
    assert_false(ph_judge_hard(&j, 10, 10, 0));
    assert_true(ph_judge_hard(&j, 10.1, 10, 1));
    assert_true(ph_judge_hard(&j, 9, 10, 2)); /* below, not well below */
    assert_true(ph_judge_hard(&j, 7, 10, 3)); /* from here on */
    assert_true(ph_judge_hard(&j, 9, 10, 4)); /* again */
    assert_true(ph_judge_hard(&j, 7, 10, 5));
    assert_true(ph_judge_hard(&j, 7, 10, 6.4));
    assert_false(ph_judge_hard(&j, 7, 10, 6.5));
    assert_false(ph_judge_hard(&j, 9.9, 10, 7));
}

TEST(a_value_around_its_limit_pauses_once)
{
    struct ph_judge_hard j = {.below_since_s = -1};
    int changes = 0;
    bool held = false;
    for (int i = 0; i < 100; i++) {
        bool now = ph_judge_hard(&j, i % 2 ? 10.5 : 9.5, 10, i * 0.5);
        changes += now != held;
        held = now;
    }
    assert_int_equal(changes, 1);
}

TEST(a_share_is_halved_at_once_and_grows_by_a_tenth_a_second)
{
    struct ph_judge_soft j = {.share = 1};
    assert_true(ph_judge_soft(&j, true, 10) == 0.5);
    assert_true(ph_judge_soft(&j, true, 10.5) == 0.5); /* not oftener than once a second */
    assert_true(ph_judge_soft(&j, true, 11) == 0.25);
    for (int i = 0; i < 20; i++)
        ph_judge_soft(&j, true, 12 + i);
    assert_true(j.share > 0.01 && j.share < 0.03); /* never nothing */
    for (int i = 0; i < 10; i++)
        ph_judge_soft(&j, false, 40 + i);
    assert_true(j.share == 1);
}

TEST(a_standby_is_as_far_behind_as_the_wal_is_old_that_it_lacks)
{
    struct ph_judge_lag *j = calloc(1, sizeof *j);
    ph_judge_lag_note(j, 1000, 1);
    ph_judge_lag_note(j, 2000, 2);
    ph_judge_lag_note(j, 2000, 3); /* nothing was written */
    ph_judge_lag_note(j, 3000, 4);
    assert_true(ph_judge_lag(j, 3000, 10) == 0);
    assert_true(ph_judge_lag(j, 4000, 10) == 0);
    assert_true(ph_judge_lag(j, 2999, 10) == 6);
    assert_true(ph_judge_lag(j, 1999, 10) == 8);
    assert_true(ph_judge_lag(j, 0, 10) == 9);
    for (unsigned i = 0; i < 2 * PH_LAG_SAMPLES; i++)
        ph_judge_lag_note(j, 4000 + i, 10 + i);
    assert_true(ph_judge_lag(j, 0, 10 + 2 * PH_LAG_SAMPLES) == PH_LAG_SAMPLES);
    free(j);
}

TEST(a_canary_knows_its_baseline_and_forgives_one_slow_answer)
{
    struct ph_judge_canary j = {0};
    for (int i = 0; i < PH_CANARY_BASE; i++) {
        assert_true(j.base_s <= 0);
        ph_judge_canary_note(&j, 0.010 + i * 0.0001);
    }
    assert_true(j.base_s > 0.0137 && j.base_s < 0.0139);
    for (int i = 0; i < PH_CANARY_WINDOW; i++)
        ph_judge_canary_note(&j, i == 7 ? 5 : 0.011);
    assert_true(ph_judge_canary_p99(&j) == 0.011);
    ph_judge_canary_note(&j, 5);
    ph_judge_canary_note(&j, 5);
    assert_true(ph_judge_canary_p99(&j) == 5);
}

TEST(a_baseline_of_microseconds_is_taken_for_a_millisecond)
{
    struct ph_judge_canary j = {0};
    for (int i = 0; i < PH_CANARY_BASE; i++)
        ph_judge_canary_note(&j, 0.00001);
    assert_true(j.base_s == 0.001);
}

/* So many answers, one every pace. Returns the share in the end. */
static double answers(struct ph_judge_canary *j, int n, double seconds, double *now_s)
{
    for (int i = 0; i < n; i++, *now_s += 0.05)
        ph_judge_canary(j, seconds, 0.010, 0.05, *now_s);
    return j->share;
}

static struct ph_judge_canary with_baseline(void)
{
    struct ph_judge_canary j = {0};
    for (int i = 0; i < PH_CANARY_BASE; i++)
        ph_judge_canary_note(&j, 0.005);
    return j;
}

TEST(a_canary_lets_little_begin_and_more_while_all_is_well)
{
    struct ph_judge_canary j = with_baseline();
    double now = 0;
    assert_true(j.share == 0.02);
    assert_true(answers(&j, 19, 0.005, &now) == 0.02);
    assert_true(answers(&j, 1, 0.005, &now) == 0.04);
    assert_true(answers(&j, 20, 0.005, &now) == 0.08);
    assert_true(answers(&j, 20 * 10, 0.005, &now) == 1);
}

TEST(two_slow_answers_halve_the_share_and_it_comes_back_to_well_below)
{
    struct ph_judge_canary j = with_baseline();
    double now = 100;
    answers(&j, 20 * 5, 0.005, &now);
    assert_true(j.share > 0.639 && j.share < 0.641);
    answers(&j, 1, 0.011, &now);
    assert_true(answers(&j, 10, 0.005, &now) > 0.6); /* one may be chance */
    assert_true(answers(&j, 1, 0.011, &now) < 0.33);
    assert_true(answers(&j, 20, 0.005, &now) < 0.39); /* 0.6 times what was too much */
    double was = j.share;
    assert_true(answers(&j, 20, 0.005, &now) < was * 1.06 && j.share > was);
}

TEST(one_slow_answer_delays_the_next_step_and_no_more)
{
    struct ph_judge_canary j = with_baseline();
    double now = 0;
    answers(&j, 1, 0.011, &now);
    assert_true(answers(&j, 58, 0.005, &now) == 0.02);
    assert_true(answers(&j, 1, 0.005, &now) == 0.04);
}

TEST(one_very_slow_answer_is_enough)
{
    struct ph_judge_canary j = with_baseline();
    double now = 100;
    answers(&j, 40, 0.005, &now);
    assert_true(answers(&j, 1, 0.2, &now) == 0.04);
    answers(&j, 20, 0.005, &now);
    assert_true(answers(&j, 1, 0.021, &now) <
                0.025); /* and so is one that took twice as long as it may */
}

TEST(what_answers_take_while_hardly_anything_is_done_is_the_new_baseline)
{
    struct ph_judge_canary j = with_baseline();
    for (int i = 0; i < 200; i++) { /* others have begun to work */
        ph_judge_canary_note(&j, 0.012);
        ph_judge_canary(&j, 0.012, 2 * j.base_s, 0.05, 100 + i * 0.05);
    }
    assert_true(j.base_s == 0.012);
    assert_true(j.share > 0.05);
    for (int i = 0; i < 100; i++) { /* what it causes itself is none */
        ph_judge_canary_note(&j, 0.006);
        ph_judge_canary(&j, 0.006, 2 * j.base_s, 0.05, 110 + i * 0.05);
    }
    assert_true(j.base_s == 0.012);
}

TEST(one_trouble_is_remembered_by_where_it_began_and_leaves_something)
{
    struct ph_judge_canary j = with_baseline();
    double now = 100;
    answers(&j, 20 * 5, 0.005, &now);
    double ceiling = j.share;
    assert_true(answers(&j, 10, 0.5, &now) == PH_CANARY_LEAST);
    assert_true(j.ceiling == ceiling);
    assert_true(answers(&j, 20 * 7, 0.005, &now) > ceiling * 0.59); /* it is back soon */
    assert_true(j.share < ceiling * 0.65);
}

TEST(what_fills_is_full_when_the_last_half_minute_says_so)
{
    struct ph_judge_fill j = {0};
    for (int i = 0; i < 6; i++) /* nothing is known of less than three seconds */
        assert_true(ph_judge_fill(&j, 1000 - i * 50, i * 0.5) == PH_FILL_NEVER);
    double s = ph_judge_fill(&j, 700, 3); /* 100 a second */
    assert_true(s > 6.99 && s < 7.01);
    for (int i = 7; i < 67; i++) /* it stands still */
        s = ph_judge_fill(&j, 700, i * 0.5);
    assert_true(s > 100 && s < PH_FILL_NEVER); /* 150 within the window */
    for (int i = 67; i < 80; i++)
        s = ph_judge_fill(&j, 700, i * 0.5);
    assert_true(s == PH_FILL_NEVER);
    assert_true(ph_judge_fill(&j, 900, 40) == PH_FILL_NEVER); /* somebody has made room */
    assert_true(ph_judge_fill(&j, 0, 40.5) == 0);
}

TEST(what_a_counter_grew_by_counts_for_as_long_as_its_window)
{
    struct ph_judge_window *j = calloc(1, sizeof *j);
    assert_int_equal(ph_judge_window(j, 100, 10, 0), 0); /* before we looked */
    assert_int_equal(ph_judge_window(j, 101, 10, 1), 1);
    assert_int_equal(ph_judge_window(j, 103, 10, 5), 3);
    assert_int_equal(ph_judge_window(j, 103, 10, 10.5), 3);
    assert_int_equal(ph_judge_window(j, 103, 10, 11), 2);
    assert_int_equal(ph_judge_window(j, 2, 10, 12), 4); /* it was reset */
    assert_int_equal(ph_judge_window(j, 2, 10, 22), 0);
    assert_int_equal(ph_judge_window(j, 1u << 30, 10, 23), PH_WINDOW_MOST);
    free(j);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(what_fills_is_full_when_the_last_half_minute_says_so),
        cmocka_unit_test(a_canary_lets_little_begin_and_more_while_all_is_well),
        cmocka_unit_test(two_slow_answers_halve_the_share_and_it_comes_back_to_well_below),
        cmocka_unit_test(one_slow_answer_delays_the_next_step_and_no_more),
        cmocka_unit_test(one_very_slow_answer_is_enough),
        cmocka_unit_test(what_answers_take_while_hardly_anything_is_done_is_the_new_baseline),
        cmocka_unit_test(one_trouble_is_remembered_by_where_it_began_and_leaves_something),
        cmocka_unit_test(a_hard_guard_holds_at_once_and_lets_go_after_a_while_well_below),
        cmocka_unit_test(a_value_around_its_limit_pauses_once),
        cmocka_unit_test(a_share_is_halved_at_once_and_grows_by_a_tenth_a_second),
        cmocka_unit_test(a_standby_is_as_far_behind_as_the_wal_is_old_that_it_lacks),
        cmocka_unit_test(what_a_counter_grew_by_counts_for_as_long_as_its_window),
        cmocka_unit_test(a_canary_knows_its_baseline_and_forgives_one_slow_answer),
        cmocka_unit_test(a_baseline_of_microseconds_is_taken_for_a_millisecond));
}
