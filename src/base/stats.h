/* Statistics of few and noisy measurements: medians, how sure one may be of them, and the search for the best of a number.
 *
 * Nothing is assumed about how measurements are distributed: intervals are bootstrapped, that is, what was measured is
 * drawn from again and again. The dice are seeded, so that the same measurements give the same answer.
 */
#ifndef PH_BASE_STATS_H
#define PH_BASE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Dice (splitmix64); any seed will do. */
struct ph_dice {
    uint64_t state;
};
uint64_t ph_dice_next(struct ph_dice *dice);

/* An estimate, and where the truth lies in 95 of 100 cases. */
struct ph_estimate {
    double median, low, high;
};

/* The middle one; between the two middle ones where n is even. 0 when n is 0. */
double ph_stats_median(const double *values, size_t n);

/* The median of what was measured. With less than 2 values low and high are the median itself. At most PH_STATS_MOST values
 * are looked at, the last ones. */
enum { PH_STATS_MOST = 64 };
void ph_stats_estimate(const double *values, size_t n, struct ph_dice *dice,
                       struct ph_estimate *out);

/* How many times b is a: the median of the ratios of pairs. A pair was measured one after the other, under the same
 * circumstances; what changes from pair to pair does not count then. */
void ph_stats_ratio(const double *a, const double *b, size_t n, struct ph_dice *dice,
                    struct ph_estimate *out);

/* Golden section search of the largest value of a function with a single hump, one evaluation at a time:
 *
 *     ph_golden_begin(&g, from, to);
 *     while (ph_golden_width(&g) > enough)
 *         ph_golden_tell(&g, f(ph_golden_next(&g)));
 *
 * Each evaluation but the first shortens the interval to 0.618 of it. */
struct ph_golden {
    double from, to;
    double x[2], f[2]; /* the two places within, left and right */
    bool known[2];
};
void ph_golden_begin(struct ph_golden *g, double from, double to);
double ph_golden_next(const struct ph_golden *g);
void ph_golden_tell(struct ph_golden *g, double value);
double ph_golden_width(const struct ph_golden *g);

#endif
