#include "unit.h"

#include "haul/tune_run.h"

enum { WORLDS = 400 };

/* Roughly normal: mean 0, deviation 1. */
static double noise(struct ph_dice *dice)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (double)(ph_dice_next(dice) >> 11) / 9007199254740992.0;
    return sum;
}

/* In so many of the worlds the challenger wins, if it is `gain` times as fast and a trial is wrong by `blur`. */
static int won(double gain, double blur)
{
    int n = 0;
    for (uint64_t world = 0; world < WORLDS; world++) {
        struct ph_dice dice = {world * 977};
        struct ph_tune_duel d = {0};
        while (!ph_tune_is_settled(&d)) {
            d.a[d.pairs] = 100 * (1 + blur * noise(&dice));
            d.b[d.pairs++] = 100 * gain * (1 + blur * noise(&dice));
            ph_stats_ratio(d.a, d.b, (size_t)d.pairs, &dice, &d.gain);
        }
        n += ph_tune_is_better(&d.gain, d.pairs);
    }
    return n;
}

TEST(of_equal_settings_hardly_any_duel_is_won)
{
    assert_in_range(won(1, 0.05), 0, WORLDS * 7 / 100);
    assert_in_range(won(1, 0.15), 0, WORLDS * 9 / 100);
}

TEST(what_is_faster_by_a_tenth_is_found)
{
    assert_in_range(won(1.1, 0.05), WORLDS * 95 / 100, WORLDS);
}

TEST(what_is_slower_is_never_taken)
{
    assert_in_range(won(0.9, 0.05), 0, 0);
}

TEST(what_is_hardly_faster_is_not_worth_it)
{
    assert_in_range(won(1.01, 0.005), 0, 0);
}

TEST(a_gain_of_few_pairs_is_none)
{
    struct ph_estimate gain = {1.5, 1.4, 1.6};
    assert_false(ph_tune_is_better(&gain, 2));
    assert_true(ph_tune_is_better(&gain, 12));
}

int main(void)
{
    return RUN(cmocka_unit_test(of_equal_settings_hardly_any_duel_is_won),
               cmocka_unit_test(what_is_faster_by_a_tenth_is_found),
               cmocka_unit_test(what_is_slower_is_never_taken),
               cmocka_unit_test(what_is_hardly_faster_is_not_worth_it),
               cmocka_unit_test(a_gain_of_few_pairs_is_none));
}
