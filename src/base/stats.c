#include "base/stats.h"

#include <stdlib.h>
#include <string.h>

enum { DRAWS = 1000 };

static const double inverse_phi = 0.6180339887498949;

uint64_t ph_dice_next(struct ph_dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *sorted, size_t n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static size_t last_ones(const double **values, size_t n)
{
    if (n <= PH_STATS_MOST)
        return n;
    *values += n - PH_STATS_MOST;
    return PH_STATS_MOST;
}

double ph_stats_median(const double *values, size_t n)
{
    double sorted[PH_STATS_MOST];
    n = last_ones(&values, n);
    if (n == 0)
        return 0;
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    return middle(sorted, n);
}

/* The interval that holds the middle 95 of 100 draws. */
static void enclose(double draws[DRAWS], struct ph_estimate *out)
{
    qsort(draws, DRAWS, sizeof *draws, by_size);
    out->low = draws[DRAWS / 40];
    out->high = draws[DRAWS - 1 - DRAWS / 40];
}

void ph_stats_estimate(const double *values, size_t n, struct ph_dice *dice,
                       struct ph_estimate *out)
{
    double draws[DRAWS], drawn[PH_STATS_MOST];
    n = last_ones(&values, n);
    out->median = out->low = out->high = ph_stats_median(values, n);
    if (n < 2)
        return;
    for (int i = 0; i < DRAWS; i++) {
        for (size_t k = 0; k < n; k++)
            drawn[k] = values[ph_dice_next(dice) % n];
        draws[i] = ph_stats_median(drawn, n);
    }
    enclose(draws, out);
}

void ph_stats_ratio(const double *a, const double *b, size_t n, struct ph_dice *dice,
                    struct ph_estimate *out)
{
    double ratios[PH_STATS_MOST];
    size_t all = n;
    n = last_ones(&a, all);
    last_ones(&b, all);
    for (size_t i = 0; i < n; i++)
        ratios[i] = a[i] > 0 ? b[i] / a[i] : 0;
    ph_stats_estimate(ratios, n, dice, out);
}

/* Golden section. */

static void place(struct ph_golden *g)
{
    double width = g->to - g->from;
    if (!g->known[0])
        g->x[0] = g->to - inverse_phi * width;
    if (!g->known[1])
        g->x[1] = g->from + inverse_phi * width;
}

void ph_golden_begin(struct ph_golden *g, double from, double to)
{
    *g = (struct ph_golden){.from = from, .to = to};
    place(g);
}

double ph_golden_next(const struct ph_golden *g)
{
    return g->x[g->known[0]];
}

void ph_golden_tell(struct ph_golden *g, double value)
{
    int which = g->known[0];
    g->f[which] = value;
    g->known[which] = true;
    if (!g->known[0] || !g->known[1])
        return;
    /* the hump is not beyond the lower of the two; the other one is where the new interval wants one */
    if (g->f[0] >= g->f[1]) {
        g->to = g->x[1];
        g->x[1] = g->x[0];
        g->f[1] = g->f[0];
        g->known[0] = false;
    } else {
        g->from = g->x[0];
        g->x[0] = g->x[1];
        g->f[0] = g->f[1];
        g->known[1] = false;
    }
    place(g);
}

double ph_golden_width(const struct ph_golden *g)
{
    return g->to - g->from;
}
