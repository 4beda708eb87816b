/* One setting: many values a few times, the better half again, the neighbours of the best, and the duel. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "haul/tune_run.h"

/* A duel that has not this many pairs decides nothing, and one that has the most is over. */
enum { PAIRS_LEAST = 6, PAIRS_MIDDLE = 10, PAIRS_MOST = 16 };

static const double worth = 1.03; /* what is less is not worth another setting */

bool ph_tune_is_better(const struct ph_estimate *gain, int pairs)
{
    return pairs >= PAIRS_LEAST && gain->low > 1 && gain->median >= worth;
}

/* Points. */

int ph_tune_point(struct ph_tune *t, struct ph_tune_setting *s, double value, const char *label)
{
    for (int i = 0; i < s->n_points; i++)
        if (s->points[i].value == value)
            return i;
    if (s->n_points == PH_TUNE_POINTS)
        return -1;
    s->points[s->n_points] =
        (struct ph_tune_point){.value = value, .label = ph_arena_strdup(t->arena, label)};
    return s->n_points++;
}

void ph_tune_add_speed(struct ph_tune *t, struct ph_tune_point *p, double speed)
{
    if (speed <= 0 || p->n == PH_STATS_MOST)
        return;
    p->speeds[p->n++] = speed;
    ph_stats_estimate(p->speeds, (size_t)p->n, &t->dice, &p->speed);
}

/* Whether a failure is this value's, so that others may go on. */
static bool is_its_own(const struct ph_err *err)
{
    return err->code == PH_WRONG || err->code == PH_FAILED;
}

static bool try_point(struct ph_tune *t, struct ph_tune_setting *s, int point, ph_tune_apply *apply,
                      struct ph_err *err)
{
    struct ph_tune_config config = t->config;
    double speed = 0;
    apply(&config, s->points[point].value);
    if (!ph_tune_trial(t, &config, &speed, err)) {
        if (point == s->start || !is_its_own(err))
            return false;
        s->points[point].failed = ph_arena_strdup(t->arena, err->text);
        return true;
    }
    ph_tune_add_speed(t, &s->points[point], speed);
    return true;
}

/* The best of those that were not dropped. */
static int best_of(const struct ph_tune_setting *s)
{
    int best = -1;
    for (int i = 0; i < s->n_points; i++) {
        const struct ph_tune_point *p = &s->points[i];
        if (!p->failed && !p->dropped && p->n > 0 &&
            (best < 0 || p->speed.median > s->points[best].speed.median))
            best = i;
    }
    return best;
}

/* Halving. */

/* How far apart two values are. Words are as far as they are named. */
static double distance(const struct ph_tune_setting *s, int a, int b)
{
    return s->number ? fabs(log(s->points[a].value / s->points[b].value)) : abs(a - b);
}

/* The one in force first, then its neighbours: time may be over soon. */
static void order_by_distance(const struct ph_tune_setting *s, int order[PH_TUNE_POINTS])
{
    for (int i = 0; i < s->n_points; i++) {
        int at = i;
        for (; at > 0 && distance(s, order[at - 1], s->start) > distance(s, i, s->start); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* Drops the slower half, and what does not work. The others stay in their order. */
static int drop_half(struct ph_tune_setting *s, int *alive, int n)
{
    int left = 0, keep = n > 2 ? (n + 1) / 2 : n;
    for (int i = 0; i < n; i++) {
        struct ph_tune_point *p = &s->points[alive[i]];
        int faster = 0;
        for (int k = 0; k < n; k++)
            faster += s->points[alive[k]].speed.median > p->speed.median;
        p->dropped = faster >= keep;
    }
    for (int i = 0; i < n; i++) {
        const struct ph_tune_point *p = &s->points[alive[i]];
        if (!p->dropped && !p->failed && p->n > 0)
            alive[left++] = alive[i];
    }
    return left;
}

/* Passes go to and fro (A B C C B A), so that what drifts does so for all. */
static bool halve(struct ph_tune *t, struct ph_tune_setting *s, ph_tune_apply *apply, double until,
                  struct ph_err *err)
{
    int alive[PH_TUNE_POINTS], n = s->n_points;
    order_by_distance(s, alive);
    for (int pass = 0; n > 0; pass++) {
        for (int i = 0; i < n; i++) {
            int point = alive[pass % 2 ? n - 1 - i : i];
            if (!ph_tune_has_time(t, until))
                return true;
            if (!try_point(t, s, point, apply, err))
                return false;
        }
        if (pass % 2)
            ph_tune_move_on(t);
        if (n <= 2 && pass > 0)
            return true;
        n = drop_half(s, alive, n);
    }
    return true;
}

/* Golden section. */

/* The nearest values below and above that were measured. */
static bool neighbours(const struct ph_tune_setting *s, int of, double *below, double *above)
{
    double value = s->points[of].value;
    *below = *above = value;
    for (int i = 0; i < s->n_points; i++) {
        const struct ph_tune_point *p = &s->points[i];
        if (p->n == 0 || p->failed)
            continue;
        if (p->value < value && (*below == value || p->value > *below))
            *below = p->value;
        if (p->value > value && (*above == value || p->value < *above))
            *above = p->value;
    }
    return *below < *above;
}

/* Numbers are of a scale on which twice is twice as far everywhere; jobs are whole, sizes are whole MiB. */
static double rounded(double log_value)
{
    const double mib = 1 << 20;
    double value = exp(log_value);
    return value < mib / 2 ? round(value) : round(value / mib) * mib;
}

/* Each value twice: one trial alone would send the search the wrong way too often. */
static bool refine(struct ph_tune *t, struct ph_tune_setting *s, ph_tune_apply *apply,
                   const char *(*label)(struct ph_tune *, double), double until, struct ph_err *err)
{
    enum { TIMES = 2, STEPS = 6 };
    struct ph_golden g;
    double below, above;
    int best = best_of(s);
    if (best < 0 || !neighbours(s, best, &below, &above))
        return true;
    ph_golden_begin(&g, log(below), log(above));
    for (int step = 0; step < STEPS && rounded(g.from) + 1 < rounded(g.to); step++) {
        double value = rounded(ph_golden_next(&g));
        int point = ph_tune_point(t, s, value, label(t, value));
        if (point < 0)
            return true;
        while (s->points[point].n < TIMES && !s->points[point].failed) {
            if (!ph_tune_has_time(t, until))
                return true;
            if (!try_point(t, s, point, apply, err))
                return false;
        }
        ph_golden_tell(&g, s->points[point].failed ? 0 : s->points[point].speed.median);
    }
    return true;
}

/* The duel. */

/* Whoever looks at each pair gives chance many chances: with 95 of 100 worlds in agreement, one of ten equal settings would win.
 * With three looks it is one of twenty. What has not been faster until a look is given up. */
bool ph_tune_is_settled(const struct ph_tune_duel *d)
{
    bool look = d->pairs == PAIRS_LEAST || d->pairs == PAIRS_MIDDLE || d->pairs == PAIRS_MOST;
    return d->pairs == PAIRS_MOST || (look && (ph_tune_is_better(&d->gain, d->pairs) ||
                                               d->gain.high < worth || d->gain.median < 1));
}

bool ph_tune_duel(struct ph_tune *t, const struct ph_tune_config *a, const struct ph_tune_config *b,
                  double until, struct ph_tune_duel *d, struct ph_err *err)
{
    for (int round = d->pairs; !ph_tune_is_settled(d) && round < 2 * PAIRS_MOST; round++) {
        double first = 0, second = 0;
        bool swap = round % 2;
        if (!ph_tune_has_time(t, until - t->trial_s))
            break;
        ph_tune_move_on(t);
        if (!ph_tune_trial(t, swap ? b : a, &first, err) ||
            !ph_tune_trial(t, swap ? a : b, &second, err))
            return false;
        if (first <= 0 || second <= 0)
            continue; /* held back: this pair says nothing */
        d->a[d->pairs] = swap ? second : first;
        d->b[d->pairs++] = swap ? first : second;
        ph_stats_ratio(d->a, d->b, (size_t)d->pairs, &t->dice, &d->gain);
    }
    return true;
}

static void judge(struct ph_tune *t, struct ph_tune_setting *s)
{
    const struct ph_tune_point *p = &s->points[s->challenger];
    double more = (s->gain.median - 1) * 100, low = (s->gain.low - 1) * 100,
           high = (s->gain.high - 1) * 100;
    s->best = ph_tune_is_better(&s->gain, s->pairs) ? s->challenger : s->start;
    if (s->best != s->start)
        s->why = ph_arena_printf(t->arena, "%s is %.0f %% faster (%.0f to %.0f)", p->label, more,
                                 low, high);
    else if (s->pairs < PAIRS_LEAST)
        s->why = ph_arena_printf(t->arena, "no time was left to prove that %s is faster", p->label);
    else
        s->why = ph_arena_printf(t->arena, "%s makes %+.1f %% (%+.0f to %+.0f): %s", p->label, more,
                                 low, high, more >= 3 ? "not proven" : "not worth it");
}

bool ph_tune_challenge(struct ph_tune *t, struct ph_tune_setting *s, double until,
                       struct ph_err *err)
{
    struct ph_tune_bout *bout = &t->bouts[s - t->result->settings];
    struct ph_tune_config now = t->config, then = t->config;
    int known = bout->duel.pairs;
    bout->apply(&now, s->points[s->start].value);
    bout->apply(&then, s->points[s->challenger].value);
    bool ok = ph_tune_duel(t, &now, &then, until, &bout->duel, err);
    for (int i = known; i < bout->duel.pairs; i++) {
        ph_tune_add_speed(t, &s->points[s->start], bout->duel.a[i]);
        ph_tune_add_speed(t, &s->points[s->challenger], bout->duel.b[i]);
    }
    s->gain = bout->duel.gain;
    s->pairs = bout->duel.pairs;
    judge(t, s);
    if (s->best != s->start)
        bout->apply(&t->config, s->points[s->best].value);
    return ok;
}

bool ph_tune_is_open(const struct ph_tune *t, const struct ph_tune_setting *s)
{
    return s->challenger >= 0 && s->best == s->start &&
           !ph_tune_is_settled(&t->bouts[s - t->result->settings].duel);
}

static int count_tried(const struct ph_tune_setting *s)
{
    int n = 0;
    for (int i = 0; i < s->n_points; i++)
        n += s->points[i].n > 0;
    return n;
}

/* Half of the time goes to the search, and what is left to the duel. */
bool ph_tune_search(struct ph_tune *t, struct ph_tune_setting *s, ph_tune_apply *apply,
                    const char *(*label)(struct ph_tune *t, double value), double until,
                    struct ph_err *err)
{
    double begun = ph_clock_s(), half = begun + 0.5 * (until - begun);
    t->bouts[s - t->result->settings] = (struct ph_tune_bout){.apply = apply};
    s->best = s->start;
    s->challenger = -1;
    s->why = "no time was left to try it";
    if (!ph_tune_has_time(t, half))
        return true;
    if (!halve(t, s, apply, s->number ? begun + 0.4 * (until - begun) : half, err) ||
        (s->number && !refine(t, s, apply, label, half, err)))
        return false;
    int best = best_of(s);
    if (best >= 0 && best != s->start) {
        s->challenger = best;
        return ph_tune_challenge(t, s, until, err);
    }
    s->why = count_tried(s) > 1 ? ph_arena_printf(t->arena, "the best of %d values that were tried",
                                                  count_tried(s))
                                : "no time was left to try another value";
    return true;
}
