/* The report's charts. Shapes are SVG, stretched to the page's width; words are HTML beside them, so that they stay readable on a
 * narrow screen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/report.h"

enum { WIDTH = 1000, HEIGHT = 200, BINS = 240, LABELS = 5, TITLES = 4000, LANES = 256, COLORS = 8 };

static void open_figure(struct ph_buf *out, const char *title, const char *aside)
{
    ph_buf_addf(out, "<figure><figcaption>%s<span>", title);
    ph_report_text(out, aside);
    ph_buf_add(out, "</span></figcaption>\n");
}

static void add_times(struct ph_buf *out, const struct ph_axis *axis)
{
    char text[PH_NUM_TEXT];
    ph_buf_add(out, "<div class=x>");
    for (int i = 0; i < LABELS; i++) {
        double time = ph_axis_time(axis, (double)i / (LABELS - 1));
        ph_buf_addf(out, "<span>%s</span>", ph_num_show_duration(text, time > 0 ? time : 0));
    }
    ph_buf_add(out, "</div>\n");
}

static double x_of(const struct ph_axis *axis, double time)
{
    return ph_axis_place(axis, time) * WIDTH;
}

/* Where one run ends and the next begins. */
static void add_gaps(struct ph_buf *out, const struct ph_axis *axis, int height)
{
    for (int i = 1; i < axis->n; i++) {
        double from = x_of(axis, axis->runs[i - 1].to), to = x_of(axis, axis->runs[i].from);
        char text[PH_NUM_TEXT];
        ph_buf_addf(out,
                    "<rect class=gap x=%.2f y=0 width=%.2f height=%d><title>nobody worked for"
                    " %s</title></rect>",
                    from, to > from ? to - from : 0.5, height,
                    ph_num_show_duration(text, axis->runs[i].from - axis->runs[i - 1].to));
    }
}

/* Episodes: from an event to the one that ends it. */
static const struct episode {
    const char *begins, *ends, *css, *words;
} episodes[] = {
    {"throttled", "unthrottled", "held", "held back"},
    {"paused", "resumed", "paused", "paused"},
    {"spilling", "unspilling", "spilling", "going by way of files"},
};

static void add_band(struct ph_buf *out, const struct ph_history *h, const struct ph_axis *axis,
                     const struct episode *e, int moment)
{
    const struct ph_history_moment *m = &h->moments[moment];
    double until = m->mover >= 0 ? h->movers[m->mover].end : h->now;
    for (int i = moment + 1; i < h->n_moments; i++)
        if (h->moments[i].mover == m->mover && !strcmp(h->moments[i].event, e->ends)) {
            until = h->moments[i].at;
            break;
        }
    double from = x_of(axis, m->at), to = x_of(axis, until);
    ph_buf_addf(out, "<rect class=%s x=%.2f y=0 width=%.2f height=%d><title>%s: ", e->css, from,
                to - from > 1 ? to - from : 1, HEIGHT, e->words);
    ph_report_text(out, m->text);
    ph_buf_add(out, "</title></rect>");
}

/* Bit i: episodes[i] occurs. */
static unsigned add_bands(struct ph_buf *out, const struct ph_history *h,
                          const struct ph_axis *axis)
{
    unsigned seen = 0;
    for (size_t k = 0; k < sizeof episodes / sizeof *episodes; k++)
        for (int i = 0; i < h->n_moments; i++)
            if (!strcmp(h->moments[i].event, episodes[k].begins)) {
                add_band(out, h, axis, &episodes[k], i);
                seen |= 1u << k;
            }
    return seen;
}

/* An amount that came evenly between two times, into the bins of the axis. */
static void spread(double *bins, const struct ph_axis *axis, double from, double to, double amount)
{
    double a = ph_axis_place(axis, from) * BINS, b = ph_axis_place(axis, to) * BINS;
    if (b < a + 0.01)
        b = a + 0.01;
    for (int i = a > 0 ? (int)a : 0; i < BINS && i < b; i++) {
        double lo = a > i ? a : i, hi = b < i + 1 ? b : i + 1;
        if (hi > lo)
            bins[i] += amount * (hi - lo) / (b - a);
    }
}

/* A mover that was sampled tells how its bytes came; of another we know what landed when. */
static void fill_throughput(const struct ph_history *h, const struct ph_axis *axis,
                            double landed[BINS], double files[BINS])
{
    bool *sampled = calloc((size_t)h->n_movers + 1, sizeof *sampled);
    for (int i = 1; i < h->n_points && sampled; i++) {
        const struct ph_history_point *p = &h->points[i], *before = p - 1;
        if (p->mover != before->mover)
            continue;
        if (!sampled[p->mover]) { /* what there was before the first sample */
            double start = h->movers[p->mover].start;
            spread(landed, axis, start, before->at, (double)before->bytes);
            spread(files, axis, start, before->at, (double)before->spilled);
        }
        sampled[p->mover] = true;
        if (p->bytes > before->bytes)
            spread(landed, axis, before->at, p->at, (double)(p->bytes - before->bytes));
        if (p->spilled > before->spilled)
            spread(files, axis, before->at, p->at, (double)(p->spilled - before->spilled));
    }
    for (int i = 0; i < h->n_bars && sampled; i++) {
        const struct ph_history_bar *b = &h->bars[i];
        if (!sampled[b->mover] && b->kind != PH_BAR_OPEN)
            spread(b->kind == PH_BAR_SPILLED ? files : landed, axis, b->from, b->to,
                   (double)b->bytes);
    }
    free(sampled);
}

static void add_area(struct ph_buf *out, const double *bins, double most, const char *css)
{
    ph_buf_addf(out, "<path class=%s d=\"M0 %d", css, HEIGHT);
    for (int i = 0; i < BINS; i++) {
        double y = HEIGHT - bins[i] / most * HEIGHT;
        ph_buf_addf(out, "L%.1f %.1fL%.1f %.1f", (double)i * WIDTH / BINS, y,
                    (double)(i + 1) * WIDTH / BINS, y);
    }
    ph_buf_addf(out, "L%d %dZ\"/>", WIDTH, HEIGHT);
}

static void add_key(struct ph_buf *out, const char *css, const char *words)
{
    ph_buf_addf(out, "<span><i class=%s></i>%s</span>", css, words);
}

static double highest(const double *bins)
{
    double most = 0;
    for (int i = 0; i < BINS; i++)
        most = bins[i] > most ? bins[i] : most;
    return most;
}

static void add_scale(struct ph_buf *out, double most)
{
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    ph_buf_addf(out, "<div class=y><span>%s/s</span><span>%s/s</span><span>0</span></div>",
                ph_num_show_bytes(a, most), ph_num_show_bytes(b, most / 2));
}

void ph_report_throughput(struct ph_buf *out, const struct ph_history *h,
                          const struct ph_axis *axis)
{
    double landed[BINS] = {0}, files[BINS] = {0};
    char peak[PH_NUM_TEXT], aside[80];
    fill_throughput(h, axis, landed, files);
    double most = highest(landed), most_files = highest(files), bin_s = axis->length / BINS;
    most = most_files > most ? most_files : most;
    if (!(most > 0))
        return;
    snprintf(aside, sizeof aside, "peak %s/s", ph_num_show_bytes(peak, most / bin_s));
    open_figure(out, "Throughput", aside);
    ph_buf_add(out, "<div class=plot>");
    add_scale(out, most / bin_s);
    ph_buf_addf(out,
                "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=none role=img"
                " aria-label=\"bytes a second over time\">",
                WIDTH, HEIGHT);
    unsigned seen = add_bands(out, h, axis);
    ph_buf_addf(out, "<path class=grid d=\"M0 0H%d M0 %dH%d\"/>", WIDTH, HEIGHT / 2, WIDTH);
    if (most_files > 0)
        add_area(out, files, most, "files");
    add_area(out, landed, most, "landed");
    add_gaps(out, axis, HEIGHT);
    ph_buf_add(out, "</svg></div>");
    add_times(out, axis);
    ph_buf_add(out, "<div class=keys>");
    add_key(out, "landed", "to the target");
    if (most_files > 0)
        add_key(out, "files", "into files");
    for (size_t k = 0; k < sizeof episodes / sizeof *episodes; k++)
        if (seen & (1u << k))
            add_key(out, episodes[k].css, episodes[k].words);
    ph_buf_add(out, "</div></figure>\n");
}

/* Workers' time. */

static const struct group {
    const char *css, *words;
    unsigned stages;
} groups[] = {
    {"source", "waiting for the source", 1u << PH_STAGE_SOURCE_WAIT},
    {"target", "waiting for the target", 1u << PH_STAGE_TARGET_WAIT | 1u << PH_STAGE_COMMIT_WAIT},
    {"files", "files on the way", 1u << PH_STAGE_SPILL_WRITE | 1u << PH_STAGE_SPILL_READ},
    {"mover", "working",
     1u << PH_STAGE_SOURCE_READ | 1u << PH_STAGE_FINGERPRINT | 1u << PH_STAGE_COMPRESS |
         1u << PH_STAGE_TARGET_WRITE},
    {"throttled", "held back", 1u << PH_STAGE_THROTTLED},
};

enum { GROUPS = sizeof groups / sizeof *groups };

static double time_of(const struct group *g, const double stages[PH_N_STAGES])
{
    double sum = 0;
    for (int i = 0; i < PH_N_STAGES; i++)
        sum += g->stages >> i & 1 ? stages[i] : 0;
    return sum;
}

void ph_report_sum_stages(const struct ph_history *h, double stages[PH_N_STAGES])
{
    for (int k = 0; k < PH_N_STAGES; k++)
        stages[k] = 0;
    for (int i = 0; i < h->n_points; i++) {
        bool last = i + 1 == h->n_points || h->points[i + 1].mover != h->points[i].mover;
        for (int k = 0; k < PH_N_STAGES && last; k++)
            stages[k] += h->points[i].stages[k];
    }
}

static void fill_groups(const struct ph_history *h, const struct ph_axis *axis,
                        double bins[GROUPS][BINS])
{
    for (int i = 1; i < h->n_points; i++) {
        const struct ph_history_point *p = &h->points[i], *before = p - 1;
        if (p->mover != before->mover)
            continue;
        for (int g = 0; g < GROUPS; g++) {
            double passed = time_of(&groups[g], p->stages) - time_of(&groups[g], before->stages);
            if (passed > 0)
                spread(bins[g], axis, before->at, p->at, passed);
        }
    }
}

/* One path for each group: a box for each bin, on top of the groups before. */
static void add_stack(struct ph_buf *out, double bins[GROUPS][BINS])
{
    for (int g = 0; g < GROUPS; g++) {
        ph_buf_addf(out, "<path class=%s d=\"", groups[g].css);
        for (int i = 0; i < BINS; i++) {
            double sum = 0, below = 0;
            for (int k = 0; k < GROUPS; k++) {
                sum += bins[k][i];
                below += k < g ? bins[k][i] : 0;
            }
            if (!(bins[g][i] > 0))
                continue;
            double w = (double)WIDTH / BINS, height = bins[g][i] / sum * HEIGHT;
            ph_buf_addf(out, "M%.2f %.1fh%.2fv%.1fh-%.2fz", i * w,
                        HEIGHT - below / sum * HEIGHT - height, w + 0.05, height, w + 0.05);
        }
        ph_buf_add(out, "\"/>");
    }
}

void ph_report_stages(struct ph_buf *out, const struct ph_history *h, const struct ph_axis *axis)
{
    static double bins[GROUPS][BINS];
    double stages[PH_N_STAGES], sum = 0;
    char keys[96];
    ph_report_sum_stages(h, stages);
    for (int k = 0; k < PH_N_STAGES; k++)
        sum += stages[k];
    if (!(sum > 0))
        return;
    memset(bins, 0, sizeof bins);
    fill_groups(h, axis, bins);
    open_figure(out, "What workers' time went into", "");
    ph_buf_addf(out,
                "<div class=plot><div class=y><span>100 %%</span><span>50 %%</span><span>0</span>"
                "</div><svg class=low viewBox=\"0 0 %d %d\" preserveAspectRatio=none role=img"
                " aria-label=\"shares of the workers' time over time\">",
                WIDTH, HEIGHT);
    add_stack(out, bins);
    add_gaps(out, axis, HEIGHT);
    ph_buf_add(out, "</svg></div>");
    add_times(out, axis);
    ph_buf_add(out, "<div class=keys>");
    for (int g = 0; g < GROUPS; g++) {
        double share = time_of(&groups[g], stages) / sum;
        if (share < 0.0005)
            continue;
        snprintf(keys, sizeof keys, "%s %.0f %%", groups[g].words, share * 100);
        add_key(out, groups[g].css, keys);
    }
    ph_buf_add(out, "</div></figure>\n");
}

/* Shards by worker. */

static void add_bar_title(struct ph_buf *out, const struct ph_status *st,
                          const struct ph_history_bar *b)
{
    static const char *const became[] = {"", ", into a file", ", never finished"};
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], time[PH_NUM_TEXT];
    ph_buf_addf(out, "<title>shard %lld of ", (long long)b->shard);
    ph_report_text(out, b->tab >= 0 && b->tab < st->n_tables ? st->tables[b->tab].source : "?");
    ph_buf_addf(out, "%s: ", became[b->kind]);
    if (b->kind != PH_BAR_OPEN)
        ph_buf_addf(out, "%s rows, %s in ", ph_num_show_count(rows, b->rows),
                    ph_num_show_bytes(bytes, (double)b->bytes));
    ph_buf_addf(out, "%s%s</title>",
                ph_num_show_duration(time, b->to > b->from ? b->to - b->from : 0),
                b->attempt > 1 ? ", not at the first attempt" : "");
}

/* Bars that would lie on top of one another are one. */
static void add_bars(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h,
                     const struct ph_axis *axis, int first, int end)
{
    static const char *const kinds[] = {"", " via", " open"};
    double drawn = -1;
    int color = -1;
    for (int i = first; i < end; i++) {
        const struct ph_history_bar *b = &h->bars[i];
        double from = x_of(axis, b->from), to = x_of(axis, b->to);
        int mine = b->tab % COLORS * 3 + b->kind;
        if (to < from + 0.5)
            to = from + 0.5;
        if (h->n_bars > TITLES && mine == color && to < drawn + 0.2)
            continue;
        ph_buf_addf(out, "<rect class=\"t%d%s\" x=%.2f y=1 width=%.2f height=8>", b->tab % COLORS,
                    kinds[b->kind], from, to - from > 0.9 ? to - from - 0.4 : to - from);
        if (h->n_bars <= TITLES)
            add_bar_title(out, st, b);
        ph_buf_add(out, "</rect>");
        drawn = to;
        color = mine;
    }
}

static void add_tables_key(struct ph_buf *out, const struct ph_status *st)
{
    ph_buf_add(out, "<div class=keys>");
    for (int i = 0; i < st->n_tables && i < COLORS; i++) {
        ph_buf_addf(out, "<span><i class=t%d></i>", i);
        ph_report_text(out, st->tables[i].source);
        ph_buf_add(out, "</span>");
    }
    if (st->n_tables > COLORS)
        ph_buf_addf(out, "<span>and %d more, in the same colours again</span>",
                    st->n_tables - COLORS);
    ph_buf_add(out, "</div>");
}

static bool same_lane(const struct ph_history_bar *a, const struct ph_history_bar *b)
{
    return a->mover == b->mover && a->slot == b->slot;
}

void ph_report_shards(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h,
                      const struct ph_axis *axis)
{
    int lanes = 0;
    if (h->n_bars == 0)
        return;
    open_figure(out, "Shards by worker", "each bar is a shard, from its claim to its receipt");
    ph_buf_add(out, "<div class=lanes>");
    for (int i = 0, end; i < h->n_bars; i = end) {
        for (end = i + 1; end < h->n_bars && same_lane(&h->bars[i], &h->bars[end]); end++)
            ;
        if (++lanes > LANES)
            continue;
        ph_buf_addf(out, "<div class=lane><b>");
        if (h->n_movers > 1)
            ph_buf_addf(out, "%d&#8202;/&#8202;", h->bars[i].mover + 1);
        ph_buf_addf(out, "%d</b><svg viewBox=\"0 0 %d 10\" preserveAspectRatio=none>",
                    h->bars[i].slot, WIDTH);
        add_bars(out, st, h, axis, i, end);
        add_gaps(out, axis, 10);
        ph_buf_add(out, "</svg></div>\n");
    }
    ph_buf_add(out, "</div>");
    add_times(out, axis);
    if (lanes > LANES)
        ph_buf_addf(out, "<p class=note>and %d workers more</p>", lanes - LANES);
    add_tables_key(out, st);
    ph_buf_add(out, "</figure>\n");
}
