#include "unit.h"

#include <math.h>

#include "base/stats.h"

enum { MANY = 40 };

/* Noise of so many percent around a value. */
static void fill(double *values, int n, double around, double noise, uint64_t seed)
{
    struct ph_dice dice = {seed};
    for (int i = 0; i < n; i++) {
        double unit = (double)(ph_dice_next(&dice) >> 11) / 9007199254740992.0;
        values[i] = around * (1 + noise * (2 * unit - 1));
    }
}

TEST(the_median_is_the_middle_whatever_the_order)
{
    assert_true(ph_stats_median((double[]){9, 1, 5}, 3) == 5);
    assert_true(ph_stats_median((double[]){8, 1, 5, 2}, 4) == 3.5);
    assert_true(ph_stats_median((double[]){7}, 1) == 7);
    assert_true(ph_stats_median(NULL, 0) == 0);
}

TEST(an_outlier_does_not_move_the_median)
{
    assert_true(ph_stats_median((double[]){10, 11, 12, 13, 4000}, 5) == 12);
}

TEST(the_same_seed_draws_the_same_interval)
{
    double values[9];
    struct ph_estimate one, other;
    fill(values, 9, 100, 0.1, 1);
    ph_stats_estimate(values, 9, &(struct ph_dice){42}, &one);
    ph_stats_estimate(values, 9, &(struct ph_dice){42}, &other);
    assert_memory_equal(&one, &other, sizeof one);
    assert_true(one.low < one.median && one.median < one.high);
}

TEST(one_value_is_its_own_interval)
{
    struct ph_estimate e;
    ph_stats_estimate((double[]){3}, 1, &(struct ph_dice){1}, &e);
    assert_true(e.low == 3 && e.median == 3 && e.high == 3);
}

TEST(the_interval_holds_the_truth_in_most_worlds)
{
    int held = 0;
    for (uint64_t world = 1; world <= 200; world++) {
        double values[15];
        struct ph_estimate e;
        fill(values, 15, 100, 0.2, world);
        ph_stats_estimate(values, 15, &(struct ph_dice){world}, &e);
        held += e.low <= 100 && 100 <= e.high;
    }
    assert_in_range(held, 170, 200);
}

TEST(more_measurements_make_it_narrower)
{
    double values[MANY];
    struct ph_estimate few, many;
    fill(values, MANY, 100, 0.1, 3);
    ph_stats_estimate(values, 5, &(struct ph_dice){1}, &few);
    ph_stats_estimate(values, MANY, &(struct ph_dice){1}, &many);
    assert_true(many.high - many.low < few.high - few.low);
}

TEST(a_true_gain_is_significant_and_none_is_not)
{
    double a[12], b[12], same[12];
    struct ph_estimate gain, none;
    fill(a, 12, 100, 0.03, 1);
    fill(b, 12, 110, 0.03, 2);
    fill(same, 12, 100, 0.03, 3);
    ph_stats_ratio(a, b, 12, &(struct ph_dice){1}, &gain);
    ph_stats_ratio(a, same, 12, &(struct ph_dice){1}, &none);
    assert_true(gain.low > 1.03 && fabs(gain.median - 1.1) < 0.05);
    assert_true(none.low < 1 && none.high > 1);
}

TEST(what_changes_from_pair_to_pair_does_not_blur_a_gain)
{
    double a[6], b[6];
    struct ph_estimate gain;
    for (int i = 0; i < 6; i++) {
        a[i] = 100 * (1 + i);
        b[i] = a[i] * 1.05;
    }
    ph_stats_ratio(a, b, 6, &(struct ph_dice){1}, &gain);
    assert_true(gain.low > 1.049 && gain.high < 1.051);
}

TEST(a_ratio_of_nothing_is_nothing)
{
    struct ph_estimate e;
    ph_stats_ratio((double[]){0, 0}, (double[]){5, 5}, 2, &(struct ph_dice){1}, &e);
    assert_true(e.median == 0 && e.low == 0 && e.high == 0);
}

TEST(of_too_many_values_the_last_ones_count)
{
    double values[3 * PH_STATS_MOST];
    fill(values, 2 * PH_STATS_MOST, 1, 0, 1);
    fill(values + 2 * PH_STATS_MOST, PH_STATS_MOST, 9, 0, 1);
    assert_true(ph_stats_median(values, 3 * PH_STATS_MOST) == 9);
}

static double hump(double x, double top)
{
    return 50 - (x - top) * (x - top);
}

TEST(the_golden_section_finds_the_top_of_a_hump)
{
    for (double top = 0.5; top < 10; top += 1.7) {
        struct ph_golden g;
        int evaluations = 0;
        ph_golden_begin(&g, 0, 10);
        for (; ph_golden_width(&g) > 0.1; evaluations++)
            ph_golden_tell(&g, hump(ph_golden_next(&g), top));
        assert_true(g.from <= top && top <= g.to);
        assert_in_range(evaluations, 10, 12); /* log(0.01) / log(0.618), and the first one */
    }
}

TEST(a_top_at_the_edge_is_approached)
{
    struct ph_golden g;
    ph_golden_begin(&g, 2, 6);
    while (ph_golden_width(&g) > 0.05)
        ph_golden_tell(&g, ph_golden_next(&g));
    assert_true(g.to == 6 && g.from > 5.9);
}

int main(void)
{
    return RUN(cmocka_unit_test(the_median_is_the_middle_whatever_the_order),
               cmocka_unit_test(an_outlier_does_not_move_the_median),
               cmocka_unit_test(the_same_seed_draws_the_same_interval),
               cmocka_unit_test(one_value_is_its_own_interval),
               cmocka_unit_test(the_interval_holds_the_truth_in_most_worlds),
               cmocka_unit_test(more_measurements_make_it_narrower),
               cmocka_unit_test(a_true_gain_is_significant_and_none_is_not),
               cmocka_unit_test(what_changes_from_pair_to_pair_does_not_blur_a_gain),
               cmocka_unit_test(a_ratio_of_nothing_is_nothing),
               cmocka_unit_test(of_too_many_values_the_last_ones_count),
               cmocka_unit_test(the_golden_section_finds_the_top_of_a_hump),
               cmocka_unit_test(a_top_at_the_edge_is_approached));
}
