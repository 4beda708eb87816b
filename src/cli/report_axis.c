#include <stdlib.h>

#include "cli/report.h"

static int by_start(const void *a, const void *b)
{
    const struct ph_axis_run *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* Runs that overlap, or follow one another at once, are one. */
static int merge(struct ph_axis_run *runs, int n, double close)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        if (kept > 0 && runs[i].from <= runs[kept - 1].to + close) {
            if (runs[i].to > runs[kept - 1].to)
                runs[kept - 1].to = runs[i].to;
        } else {
            runs[kept++] = runs[i];
        }
    }
    return kept;
}

void ph_axis_init(struct ph_axis *axis, const struct ph_history *h)
{
    *axis = (struct ph_axis){0};
    axis->runs = ph_arena_calloc(&axis->arena, (size_t)h->n_movers + 1, sizeof *axis->runs);
    double active = 0;
    for (int i = 0; i < h->n_movers; i++) {
        double from = h->movers[i].start, to = h->movers[i].end;
        axis->runs[i] = (struct ph_axis_run){.from = from, .to = to > from ? to : from};
        active += axis->runs[i].to - from;
    }
    qsort(axis->runs, (size_t)h->n_movers, sizeof *axis->runs, by_start);
    axis->n = merge(axis->runs, h->n_movers, active * 0.03);
    for (int i = 0; i < axis->n; i++) {
        axis->runs[i].at = axis->length + (i ? active * 0.02 : 0);
        axis->length = axis->runs[i].at + axis->runs[i].to - axis->runs[i].from;
    }
    if (!(axis->length > 0))
        axis->length = 0.001;
}

void ph_axis_fini(struct ph_axis *axis)
{
    ph_arena_fini(&axis->arena);
}

double ph_axis_place(const struct ph_axis *axis, double time)
{
    double at = 0;
    for (int i = 0; i < axis->n && time >= axis->runs[i].from; i++) {
        double into = time < axis->runs[i].to ? time - axis->runs[i].from
                                              : axis->runs[i].to - axis->runs[i].from;
        at = axis->runs[i].at + into;
    }
    return at / axis->length;
}

double ph_axis_time(const struct ph_axis *axis, double place)
{
    double at = place * axis->length, time = 0;
    for (int i = 0; i < axis->n && at >= axis->runs[i].at; i++) {
        double length = axis->runs[i].to - axis->runs[i].from, into = at - axis->runs[i].at;
        time = axis->runs[i].from + (into < length ? into : length);
    }
    return time;
}
