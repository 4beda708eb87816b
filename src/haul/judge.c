#include "haul/judge.h"

#include <stdlib.h>
#include <string.h>

static const double calm_s = 1.5; /* that a value has to be well below its limit */
static const double well_below = 0.8;
static const double least_share = 0.02, more_each_s = 0.1, pace_s = 1;
static const double least_base_s = 0.001; /* below it everything is noise */
static const double first_share = 0.02;
static const double well_below_ceiling = 0.6, same_trouble_s = 3;

bool ph_judge_hard(struct ph_judge_hard *j, double value, double limit, double now_s)
{
    if (value > limit) {
        *j = (struct ph_judge_hard){.holds = true, .below_since_s = -1};
    } else if (value > limit * well_below) {
        j->below_since_s = -1;
    } else if (j->below_since_s < 0) {
        j->below_since_s = now_s;
    } else if (now_s - j->below_since_s >= calm_s) {
        j->holds = false;
    }
    return j->holds;
}

double ph_judge_soft(struct ph_judge_soft *j, bool too_much, double now_s)
{
    if (now_s - j->changed_s < pace_s)
        return j->share;
    j->changed_s = now_s;
    j->share = too_much ? j->share / 2 : j->share + more_each_s;
    if (j->share < least_share)
        j->share = least_share;
    if (j->share > 1)
        j->share = 1;
    return j->share;
}

/* Samples in which nothing was written are not kept: the ring reaches back farther. */
void ph_judge_lag_note(struct ph_judge_lag *j, uint64_t lsn, double now_s)
{
    if (j->n > 0 && j->sample[(j->n - 1) % PH_LAG_SAMPLES].lsn >= lsn)
        return;
    j->sample[j->n % PH_LAG_SAMPLES].lsn = lsn;
    j->sample[j->n % PH_LAG_SAMPLES].at_s = now_s;
    j->n++;
}

double ph_judge_lag(const struct ph_judge_lag *j, uint64_t replayed, double now_s)
{
    unsigned kept = j->n < PH_LAG_SAMPLES ? j->n : PH_LAG_SAMPLES;
    for (unsigned i = j->n - kept; i != j->n; i++)
        if (j->sample[i % PH_LAG_SAMPLES].lsn > replayed)
            return now_s - j->sample[i % PH_LAG_SAMPLES].at_s;
    return 0;
}

double ph_judge_fill(struct ph_judge_fill *j, double room, double now_s)
{
    static const double least_s = 3; /* a checkpoint's or a segment's worth of growth is no trend */
    j->sample[j->n % PH_FILL_SAMPLES].at_s = now_s;
    j->sample[j->n % PH_FILL_SAMPLES].room = room;
    unsigned oldest = j->n < PH_FILL_SAMPLES ? 0 : j->n + 1;
    j->n++;
    double s = now_s - j->sample[oldest % PH_FILL_SAMPLES].at_s;
    double filled = j->sample[oldest % PH_FILL_SAMPLES].room - room;
    if (s < least_s || filled <= 0)
        return PH_FILL_NEVER;
    return room > 0 ? room * s / filled : 0;
}

unsigned ph_judge_window(struct ph_judge_window *j, uint64_t counter, double window_s, double now_s)
{
    uint64_t more = !j->known ? 0 : counter < j->counter ? counter : counter - j->counter;
    j->known = true;
    j->counter = counter;
    for (uint64_t i = 0; i < more && i < PH_WINDOW_MOST; i++)
        j->at_s[j->n++ % PH_WINDOW_MOST] = now_s;
    unsigned kept = j->n < PH_WINDOW_MOST ? j->n : PH_WINDOW_MOST, within = 0;
    for (unsigned i = j->n - kept; i != j->n; i++)
        within += now_s - j->at_s[i % PH_WINDOW_MOST] < window_s;
    return within;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ph_judge_canary_p99(const struct ph_judge_canary *j)
{
    double sorted[PH_CANARY_WINDOW];
    unsigned n = j->n < PH_CANARY_WINDOW ? j->n : PH_CANARY_WINDOW;
    if (n == 0)
        return 0;
    memcpy(sorted, j->last, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    /* of so few the 99th percentile is the second largest: one slow answer alone says nothing */
    return sorted[n > 1 ? n - 2 : 0];
}

void ph_judge_canary_note(struct ph_judge_canary *j, double seconds)
{
    j->last[j->n++ % PH_CANARY_WINDOW] = seconds;
    if (j->n != PH_CANARY_BASE || j->base_s > 0)
        return;
    j->base_s = ph_judge_canary_p99(j);
    if (j->base_s < least_base_s)
        j->base_s = least_base_s;
    j->n = 0; /* the window begins with what follows */
    j->share = first_share;
}

static void lower(struct ph_judge_canary *j, double now_s)
{
    /* what follows one trouble says nothing new about how much is too much */
    if (now_s - j->lowered_s > same_trouble_s)
        j->ceiling = j->share;
    j->lowered_s = now_s;
    j->share = j->share / 2 > PH_CANARY_LEAST ? j->share / 2 : PH_CANARY_LEAST;
}

static void lift(struct ph_judge_canary *j)
{
    double next = j->share * 2, careful = j->share * 1.05;
    if (j->ceiling > 0 && next > j->ceiling * well_below_ceiling)
        next =
            j->ceiling * well_below_ceiling > careful ? j->ceiling * well_below_ceiling : careful;
    j->share = next < 1 ? next : 1;
}

/* The times of day change. What answers take while hardly anything is done is what they take without us; the first of them may
 * still suffer from what was done before. */
static bool has_new_baseline(struct ph_judge_canary *j)
{
    static const unsigned aftermath = 20;
    j->still = j->share <= first_share ? j->still + 1 : 0;
    if (j->still < aftermath + PH_CANARY_WINDOW)
        return false;
    double base = ph_judge_canary_p99(j);
    j->base_s = base > least_base_s ? base : least_base_s;
    j->still = j->answers = j->slow = 0;
    j->ceiling = 0;
    return true;
}

double ph_judge_canary(struct ph_judge_canary *j, double seconds, double bound_s, double every_s,
                       double now_s)
{
    /* of so many answers a slow one may be chance: it takes more of them to say that all is well */
    static const unsigned enough = 20, more_for_one = 40;
    double late = seconds > bound_s ? (seconds - bound_s) / every_s : 0;
    if (has_new_baseline(j))
        return j->share; /* this one was measured by the old one */
    j->answers++;
    if (seconds > bound_s)
        j->slow += (seconds > 2 * bound_s ? 2u : 1u) + (late < 1000 ? (unsigned)late : 1000);
    if (j->slow >= 2)
        lower(j, now_s);
    else if (j->answers >= enough + more_for_one * j->slow)
        lift(j);
    else
        return j->share;
    j->answers = j->slow = 0;
    return j->share;
}
