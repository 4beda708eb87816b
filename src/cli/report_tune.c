/* The page of a tune: what was decided, and the curves that it was decided by. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "cli/render.h"
#include "cli/report.h"

enum { WIDTH = 1000, HEIGHT = 200, EDGE = 40 };

/* The points of a setting that were measured, as they are drawn. */
struct curve {
    const struct ph_tune_setting *s;
    int place[PH_TUNE_POINTS];
    double x[PH_TUNE_POINTS];
    int n;
    double most;
};

/* Twice as much is equally far everywhere; words stand side by side. */
static void lay_out(struct curve *c)
{
    const struct ph_tune_point *p = c->s->points;
    double least = 0, widest = 0;
    for (int i = 0; i < c->s->n_points; i++) {
        if (p[i].n == 0)
            continue;
        int at = c->n++;
        for (; at > 0 && c->s->number && p[c->place[at - 1]].value > p[i].value; at--)
            c->place[at] = c->place[at - 1];
        c->place[at] = i;
        c->most = p[i].speed.high > c->most ? p[i].speed.high : c->most;
    }
    for (int i = 0; i < c->n; i++)
        c->x[i] = c->s->number ? log(p[c->place[i]].value) : i;
    if (c->n > 0) {
        least = c->x[0];
        widest = c->x[c->n - 1] - least;
    }
    for (int i = 0; i < c->n; i++)
        c->x[i] = EDGE + (widest > 0 ? (c->x[i] - least) / widest : 0.5) * (WIDTH - 2 * EDGE);
}

static double y_of(const struct curve *c, double speed)
{
    return HEIGHT - speed / (c->most * 1.05) * HEIGHT;
}

static void add_point(struct ph_buf *out, const struct curve *c, int i)
{
    const struct ph_tune_setting *s = c->s;
    const struct ph_tune_point *p = &s->points[c->place[i]];
    char median[PH_NUM_TEXT], low[PH_NUM_TEXT], high[PH_NUM_TEXT];
    const char *css = c->place[i] == s->best ? "best" : c->place[i] == s->start ? "was" : "source";
    ph_buf_addf(out, "<path class=bar d=\"M%.1f %.1fV%.1f\"/>", c->x[i], y_of(c, p->speed.low),
                y_of(c, p->speed.high));
    ph_buf_addf(out, "<rect class=%s x=%.1f y=%.1f width=8 height=8><title>", css, c->x[i] - 4,
                y_of(c, p->speed.median) - 4);
    ph_report_text(out, p->label);
    ph_buf_addf(out, ": %s/s (%s to %s), %d trials</title></rect>",
                ph_num_show_bytes(median, p->speed.median), ph_num_show_bytes(low, p->speed.low),
                ph_num_show_bytes(high, p->speed.high), p->n);
}

static void add_labels(struct ph_buf *out, const struct curve *c)
{
    ph_buf_add(out, "<div class=keys>");
    for (int i = 0; i < c->n; i++) {
        const struct ph_tune_point *p = &c->s->points[c->place[i]];
        char speed[PH_NUM_TEXT];
        const char *css = c->place[i] == c->s->best    ? "best"
                          : c->place[i] == c->s->start ? "was"
                                                       : "source";
        ph_buf_addf(out, "<span><i class=%s></i>", css);
        ph_report_text(out, p->label);
        ph_buf_addf(out, ": %s/s</span>", ph_num_show_bytes(speed, p->speed.median));
    }
    ph_buf_add(out, "</div>");
}

static void add_curve(struct ph_buf *out, const struct ph_tune_setting *s)
{
    struct curve c = {.s = s};
    char top[PH_NUM_TEXT], mid[PH_NUM_TEXT];
    lay_out(&c);
    if (c.n < 2 || !(c.most > 0))
        return;
    ph_buf_addf(out, "<figure><figcaption>%s<span>", s->name);
    ph_report_text(out, s->why);
    ph_buf_addf(out,
                "</span></figcaption>\n<div class=plot><div class=y><span>%s/s</span><span>%s/s"
                "</span><span>0</span></div><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=none"
                " role=img aria-label=\"speed by %s\"><path class=grid d=\"M0 0H%d M0 %dH%d\"/>",
                ph_num_show_bytes(top, c.most * 1.05), ph_num_show_bytes(mid, c.most * 0.525),
                WIDTH, HEIGHT, s->name, WIDTH, HEIGHT / 2, WIDTH);
    if (s->number) {
        ph_buf_add(out, "<path class=curve d=\"");
        for (int i = 0; i < c.n; i++)
            ph_buf_addf(out, "%c%.1f %.1f", i ? 'L' : 'M', c.x[i],
                        y_of(&c, s->points[c.place[i]].speed.median));
        ph_buf_add(out, "\"/>");
    }
    for (int i = 0; i < c.n; i++)
        add_point(out, &c, i);
    ph_buf_add(out, "</svg></div>");
    add_labels(out, &c);
    ph_buf_add(out, "</figure>\n");
}

static void add_cell(struct ph_buf *out, const char *css, const char *text)
{
    ph_buf_addf(out, "<td class=%s>", css);
    ph_report_text(out, text);
    ph_buf_add(out, "</td>");
}

static void add_settings(struct ph_buf *out, const struct ph_tune_result *r)
{
    char gain[48];
    ph_buf_add(out, "<h2>Settings</h2><div class=\"card scroll\"><table><thead><tr><th>setting<th>"
                    "was<th>best<th>gain<th>because</tr></thead><tbody>\n");
    for (int i = 0; i < r->n_settings; i++) {
        const struct ph_tune_setting *s = &r->settings[i];
        ph_buf_add(out, "<tr>");
        add_cell(out, "key", s->name);
        add_cell(out, "soft", s->n_points ? s->points[s->start].label : "");
        add_cell(out, s->best != s->start ? "good" : "soft",
                 s->n_points ? s->points[s->best].label : "");
        add_cell(out, "soft", s->best != s->start ? ph_render_gain(gain, &s->gain) : "");
        add_cell(out, "words", s->why);
        ph_buf_add(out, "</tr>\n");
    }
    ph_buf_add(out, "</tbody></table></div>\n");
}

static void add_moves(struct ph_buf *out, const struct ph_tune_result *r)
{
    char gain[48];
    if (r->n_moves == 0)
        return;
    ph_buf_add(out,
               "<h2>What the servers could do</h2><div class=\"card scroll\"><table><thead><tr>"
               "<th>what<th>is<th>could be<th>speed<th>in words</tr></thead><tbody>\n");
    for (int i = 0; i < r->n_moves; i++) {
        const struct ph_tune_move *m = &r->moves[i];
        ph_buf_add(out, "<tr>");
        add_cell(out, "key", m->what);
        add_cell(out, "soft", m->now);
        add_cell(out, "soft", m->then);
        add_cell(out, "soft", m->measured ? ph_render_gain(gain, &m->gain) : "not measured");
        add_cell(out, "words", m->text);
        ph_buf_add(out, "</tr>\n");
    }
    ph_buf_add(out, "</tbody></table></div>\n");
}

static void add_facts(struct ph_buf *out, const struct ph_tune_result *r)
{
    if (r->n_facts == 0)
        return;
    ph_buf_add(out, "<h2>Servers</h2><div class=\"card scroll\"><table><thead><tr><th>setting"
                    "<th>source<th>target</tr></thead><tbody>\n");
    for (int i = 0; i < r->n_facts; i++) {
        ph_buf_add(out, "<tr>");
        add_cell(out, "key", r->facts[i].name);
        add_cell(out, "soft", r->facts[i].source);
        add_cell(out, "soft", r->facts[i].target);
        ph_buf_add(out, "</tr>\n");
    }
    ph_buf_add(out, "</tbody></table></div>\n");
}

static void add_tile(struct ph_buf *out, const char *value, const char *words)
{
    ph_buf_addf(out, "<div class=tile><b>%s</b><span>%s</span></div>\n", value, words);
}

static void add_tiles(struct ph_buf *out, const struct ph_tune_result *r)
{
    char text[PH_NUM_TEXT], both[64];
    ph_buf_add(out, "<div class=tiles>");
    if (r->speed.median > 0) {
        snprintf(both, sizeof both, "%s/s", ph_num_show_bytes(text, r->speed.median));
        add_tile(out, both, "as it was");
    }
    if (r->gain.median > 0) {
        snprintf(both, sizeof both, "%+.0f %%", (r->gain.median - 1) * 100);
        add_tile(out, both, "with the settings found");
    }
    add_tile(out, ph_num_show_count(text, (uint64_t)r->trials), "trials");
    add_tile(out, ph_num_show_duration(text, r->seconds), "of measuring");
    add_tile(out, ph_num_show_bytes(text, (double)r->moved_bytes), "moved into the scratch table");
    ph_buf_add(out, "</div>\n");
}

void ph_report_tune_html(struct ph_buf *out, const struct ph_tune_result *r, bool interrupted)
{
    char size[PH_NUM_TEXT];
    ph_report_begin(out, r->source);
    ph_report_text(out, r->source);
    ph_buf_addf(out, "<span class=\"pill %s\">%s</span></h1>\n<p>a tune of its copy to ",
                interrupted ? "bad" : "good", interrupted ? "interrupted" : "tuned");
    ph_report_text(out, r->target);
    ph_buf_addf(out, "; the table has %s</p></header>\n",
                ph_num_show_bytes(size, (double)r->table_bytes));
    add_tiles(out, r);
    add_settings(out, r);
    for (int i = 0; i < r->n_settings; i++)
        add_curve(out, &r->settings[i]);
    add_moves(out, r);
    add_facts(out, r);
    for (int i = 0; i < r->n_notes; i++) {
        ph_buf_add(out, "<p class=note>");
        ph_report_text(out, r->notes[i]);
        ph_buf_add(out, "</p>\n");
    }
    ph_buf_add(out, "<p class=note>Made by pghaul " PGHAUL_VERSION ". Points are medians, bars "
                    "hold 95 of 100 bootstrapped medians. Gains are of pairs of trials on the same "
                    "rows, turn by turn.</p></main></body></html>\n");
}
