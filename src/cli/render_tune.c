#include "cli/render.h"

#include <stdio.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/grid.h"

/* For people
 * ------------------------------------------------------------------------------------------------------
 */

const char *ph_render_gain(char out[static 48], const struct ph_estimate *gain)
{
    out[0] = '\0';
    if (gain->median > 0)
        snprintf(out, 48, "%+.0f %% (%+.0f to %+.0f)", (gain->median - 1) * 100,
                 (gain->low - 1) * 100, (gain->high - 1) * 100);
    return out;
}

static void add_settings(struct ph_buf *out, const struct ph_tune_result *r)
{
    struct ph_grid grid = {.align = "lllll"};
    static const char *const head[] = {"setting", "was", "best", "gain", "because"};
    char gain[48];
    for (int i = 0; i < 5; i++)
        ph_grid_cell(&grid, "%s", head[i]);
    for (int i = 0; i < r->n_settings; i++) {
        const struct ph_tune_setting *s = &r->settings[i];
        ph_grid_cell(&grid, "%s", s->name);
        ph_grid_cell(&grid, "%s", s->n_points ? s->points[s->start].label : "");
        ph_grid_cell(&grid, "%s", s->n_points ? s->points[s->best].label : "");
        ph_grid_cell(&grid, "%s", s->best != s->start ? ph_render_gain(gain, &s->gain) : "");
        ph_grid_cell(&grid, "%s", s->why ? s->why : "");
    }
    ph_grid_print(&grid, out, "  ");
}

static double fastest(const struct ph_tune_setting *s)
{
    double most = 0;
    for (int i = 0; i < s->n_points; i++)
        if (s->points[i].n > 0 && s->points[i].speed.median > most)
            most = s->points[i].speed.median;
    return most;
}

/* The places of the points by value, as a curve has them. */
static void order(const struct ph_tune_setting *s, int places[PH_TUNE_POINTS])
{
    for (int i = 0; i < s->n_points; i++) {
        int at = i;
        for (; at > 0 && s->number && s->points[places[at - 1]].value > s->points[i].value; at--)
            places[at] = places[at - 1];
        places[at] = i;
    }
}

static void add_curve(struct ph_buf *out, const struct ph_tune_setting *s,
                      const struct ph_term *term)
{
    int places[PH_TUNE_POINTS];
    double most = fastest(s);
    char speed[PH_NUM_TEXT];
    if (most <= 0)
        return;
    order(s, places);
    ph_buf_addf(out, "\n%s\n", s->name);
    for (int i = 0; i < s->n_points; i++) {
        const struct ph_tune_point *p = &s->points[places[i]];
        if (p->n == 0)
            continue;
        ph_buf_addf(out, "  %9s  ", p->label);
        ph_render_bar(out, term, p->speed.median / most, 30);
        ph_buf_addf(out, "  %9s/s  %d trial%s%s\n", ph_num_show_bytes(speed, p->speed.median), p->n,
                    p->n == 1 ? "" : "s",
                    places[i] == s->best    ? "  <- best"
                    : places[i] == s->start ? "  <- was"
                                            : "");
    }
}

static void add_moves(struct ph_buf *out, const struct ph_tune_result *r)
{
    char gain[48];
    if (r->n_moves == 0)
        return;
    ph_buf_add(out, "\nwhat the servers could do\n");
    for (int i = 0; i < r->n_moves; i++) {
        const struct ph_tune_move *m = &r->moves[i];
        ph_buf_addf(out, "  %s: %s \xe2\x86\x92 %s: %s\n    ", m->what, m->now, m->then,
                    m->measured ? ph_render_gain(gain, &m->gain) : "not measured");
        ph_term_safe(out, m->text);
        ph_buf_addc(out, '\n');
    }
}

static void add_speed(struct ph_buf *out, const struct ph_tune_result *r)
{
    char speed[PH_NUM_TEXT], low[PH_NUM_TEXT], high[PH_NUM_TEXT], gain[48];
    if (r->speed.median <= 0)
        return;
    ph_buf_addf(out, "\nspeed: %s/s as it was (%s to %s)",
                ph_num_show_bytes(speed, r->speed.median), ph_num_show_bytes(low, r->speed.low),
                ph_num_show_bytes(high, r->speed.high));
    if (r->gain.median > 0)
        ph_buf_addf(out, "; with the settings found %s", ph_render_gain(gain, &r->gain));
    ph_buf_addc(out, '\n');
}

void ph_render_tune(struct ph_buf *out, const struct ph_tune_result *r, const struct ph_term *term,
                    int verbose)
{
    char size[PH_NUM_TEXT], time[PH_NUM_TEXT], moved[PH_NUM_TEXT];
    ph_term_safe(out, r->source);
    ph_buf_addf(out, ", %s: %d trials in %s, %s moved\n\n",
                ph_num_show_bytes(size, (double)r->table_bytes), r->trials,
                ph_num_show_duration(time, r->seconds),
                ph_num_show_bytes(moved, (double)r->moved_bytes));
    add_settings(out, r);
    for (int i = 0; i < r->n_settings; i++)
        if (r->settings[i].n_points > 1 && (verbose || r->settings[i].number))
            add_curve(out, &r->settings[i], term);
    add_speed(out, r);
    add_moves(out, r);
    for (int i = 0; i < r->n_notes; i++) {
        ph_buf_add(out, i ? "  " : "\nnote: ");
        ph_term_safe(out, r->notes[i]);
        ph_buf_addc(out, '\n');
    }
}

/* For programs
 * ------------------------------------------------------------------------------------------------------
 */

static void set_estimate(json_t *object, const struct ph_estimate *e, int n)
{
    json_object_set_new(object, "median", n > 0 ? json_real(e->median) : json_null());
    json_object_set_new(object, "low", n > 0 ? json_real(e->low) : json_null());
    json_object_set_new(object, "high", n > 0 ? json_real(e->high) : json_null());
}

static json_t *gain_json(const struct ph_estimate *gain, int pairs)
{
    json_t *object = json_pack("{s:i}", "pairs", pairs);
    set_estimate(object, gain, pairs);
    return object;
}

/* Numbers as numbers, words as words. */
static json_t *value_json(const struct ph_tune_setting *s, int place)
{
    if (s->n_points == 0)
        return json_null();
    const struct ph_tune_point *p = &s->points[place];
    bool word = p->label[0] >= 'a' && p->label[0] <= 'z';
    return word ? ph_json_text(p->label) : json_integer((json_int_t)p->value);
}

static json_t *setting_json(const struct ph_tune_setting *s)
{
    int places[PH_TUNE_POINTS];
    json_t *curve = json_array();
    order(s, places);
    for (int i = 0; i < s->n_points; i++) {
        const struct ph_tune_point *p = &s->points[places[i]];
        json_t *point = json_pack("{s:o, s:i, s:o}", "value", value_json(s, places[i]), "trials",
                                  p->n, "failed", ph_json_text(p->failed));
        set_estimate(point, &p->speed, p->n);
        json_array_append_new(curve, point);
    }
    return json_pack("{s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "name", s->name, "was",
                     value_json(s, s->start), "best", value_json(s, s->best), "changed",
                     s->best != s->start, "challenger",
                     s->challenger < 0 ? json_null() : value_json(s, s->challenger), "gain",
                     gain_json(&s->gain, s->pairs), "why", ph_json_text(s->why), "curve", curve);
}

static json_t *move_json(const struct ph_tune_move *m)
{
    return json_pack("{s:s, s:o, s:o, s:b, s:o, s:o}", "what", m->what, "now", ph_json_text(m->now),
                     "then", ph_json_text(m->then), "measured", m->measured, "gain",
                     gain_json(&m->gain, m->measured ? m->pairs : 0), "text",
                     ph_json_text(m->text));
}

json_t *ph_render_tune_json(const struct ph_tune_result *r)
{
    json_t *settings = json_array(), *moves = json_array(), *facts = json_object(),
           *notes = json_array(), *speed = json_object();
    for (int i = 0; i < r->n_settings; i++)
        json_array_append_new(settings, setting_json(&r->settings[i]));
    for (int i = 0; i < r->n_moves; i++)
        json_array_append_new(moves, move_json(&r->moves[i]));
    for (int i = 0; i < r->n_facts; i++)
        json_object_set_new(facts, r->facts[i].name,
                            json_pack("{s:o, s:o}", "source", ph_json_text(r->facts[i].source),
                                      "target", ph_json_text(r->facts[i].target)));
    for (int i = 0; i < r->n_notes; i++)
        json_array_append_new(notes, ph_json_text(r->notes[i]));
    set_estimate(speed, &r->speed, r->speed.median > 0);
    return json_pack("{s:o, s:o, s:o, s:I, s:i, s:i, s:f, s:I, s:f, s:o, s:o, s:o, s:o, s:o, s:o, "
                     "s:I, s:i, s:i}",
                     "source", ph_json_text(r->source), "target", ph_json_text(r->target),
                     "scratch", ph_json_text(r->scratch), "table_bytes", (json_int_t)r->table_bytes,
                     "trials", r->trials, "held_back", r->held_back, "seconds", r->seconds, "bytes",
                     (json_int_t)r->moved_bytes, "cpu_seconds", r->cpu_s, "bytes_per_second", speed,
                     "gain", gain_json(&r->gain, r->gain_pairs), "settings", settings, "servers",
                     moves, "facts", facts, "notes", notes, "wal_bytes", (json_int_t)r->wal_bytes,
                     "checkpoints_requested", r->checkpoints_asked, "checkpoints_timed",
                     r->checkpoints_timed);
}
