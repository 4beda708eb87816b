#include "cli/render.h"

#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/grid.h"

enum { MANY_TABLES = 30 };

void ph_render_bar(struct ph_buf *out, const struct ph_term *term, double share, int width)
{
    static const char *const eighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                          "\u258c", "\u258b", "\u258a", "\u2589"};
    if (!(share >= 0))
        share = 0;
    int filled = (int)((share > 1 ? 1 : share) * width * 8), column = filled / 8;
    if (!term->utf8) {
        ph_buf_addc(out, '[');
        for (int i = 0; i < width - 2; i++)
            ph_buf_addc(out, i < (int)(share * (width - 2)) ? '#' : '.');
        ph_buf_addc(out, ']');
        return;
    }
    if (term->color)
        ph_buf_add(out, "\033[32m");
    for (int i = 0; i < column; i++)
        ph_buf_add(out, "\u2588");
    if (column < width)
        ph_buf_add(out, eighths[filled % 8]);
    if (term->color)
        ph_buf_add(out, "\033[0m\033[2m");
    for (int i = column + (filled % 8 > 0); i < width; i++)
        ph_buf_add(out, "\u2591");
    if (term->color)
        ph_buf_add(out, "\033[0m");
}

void ph_render_shares(struct ph_buf *out, double source, double target, double self)
{
    if (source + target + self > 0)
        ph_buf_addf(out, "source %.0f %%, target %.0f %%, mover %.0f %%", source * 100,
                    target * 100, self * 100);
}

/* For people
 * ------------------------------------------------------------------------------------------------------
 */

static double per_second(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds : 0;
}

void ph_render_throttled(struct ph_buf *out, double all_s, const double seconds[static PH_N_HOLDS])
{
    char text[PH_NUM_TEXT];
    ph_buf_addf(out, "%s of workers' time:", ph_num_show_duration(text, all_s));
    for (int i = 0, n = 0; i < PH_N_HOLDS; i++)
        if (seconds[i] > 0)
            ph_buf_addf(out, "%s %s %s", n++ ? "," : "", ph_hold_name((enum ph_hold_kind)i),
                        ph_num_show_duration(text, seconds[i]));
}

static void add_throttled(struct ph_grid *grid, const struct ph_job_result *r)
{
    struct ph_buf text = {0};
    ph_render_throttled(&text, r->throttled_s, r->throttled_by_s);
    ph_grid_cell(grid, "%s", ph_buf_text(&text));
    ph_buf_fini(&text);
}

static void add_facts(struct ph_buf *out, const struct ph_job_result *r)
{
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT], c[PH_NUM_TEXT];
    struct ph_grid grid = {.align = "ll"};
    struct ph_buf shares = {0};
    ph_grid_cell(&grid, "snapshot held");
    ph_grid_cell(&grid, "%s%s", ph_num_show_duration(a, r->snapshot_held_s),
                 r->snapshots > 1 ? "; more than one was needed" : "");
    ph_grid_cell(&grid, "rate");
    ph_grid_cell(&grid, "%s/s, %s rows/s: %s in %s by %d worker%s",
                 ph_num_show_bytes(a, per_second((double)r->run_bytes, r->seconds)),
                 ph_num_show_short(b, per_second((double)r->run_rows, r->seconds)),
                 ph_num_show_bytes((char[PH_NUM_TEXT]){0}, (double)r->run_bytes),
                 ph_num_show_duration(c, r->seconds), r->workers, r->workers == 1 ? "" : "s");
    ph_grid_cell(&grid, "tail");
    ph_grid_cell(&grid, "%s from the first idle worker to the end",
                 ph_num_show_duration(a, r->tail_s));
    if (r->steps) {
        ph_grid_cell(&grid, "indexes");
        ph_grid_cell(&grid, "%d of %d steps done%s; %s from the first that began to the last",
                     r->steps_done, r->steps, r->steps_failed ? ", some failed" : "",
                     ph_num_show_duration(a, r->index_s));
    }
    ph_render_shares(&shares, r->source_share, r->target_share, r->self_share);
    if (shares.len) {
        ph_grid_cell(&grid, "workers' time");
        ph_grid_cell(&grid, "%s", ph_buf_text(&shares));
    }
    if (r->limit && *r->limit) {
        ph_grid_cell(&grid, "bottleneck");
        ph_grid_cell(&grid, "%s", r->limit);
    }
    if (r->spilled_bytes) {
        ph_grid_cell(&grid, "files");
        ph_grid_cell(&grid, "%s written", ph_num_show_bytes(a, (double)r->spilled_bytes));
    }
    if (r->throttled_s > 0) {
        ph_grid_cell(&grid, "held back");
        add_throttled(&grid, r);
    }
    ph_grid_cell(&grid, "shards");
    ph_grid_cell(&grid, "%d, of which %d landed in earlier runs", r->shards, r->shards_resumed);
    ph_grid_cell(&grid, "retries");
    ph_grid_cell(&grid, "%d", r->retries);
    ph_grid_cell(&grid, "parked");
    ph_grid_cell(&grid, "%d", r->parked);
    if (r->rejected) {
        ph_grid_cell(&grid, "rejected");
        ph_grid_cell(&grid, "%s rows that do not fit the target's encoding",
                     ph_num_show_count(a, r->rejected));
    }
    ph_grid_cell(&grid, "mover");
    ph_grid_cell(&grid, "%s CPU, %s memory at most", ph_num_show_duration(a, r->cpu_s),
                 ph_num_show_bytes(b, (double)r->max_rss));
    ph_grid_print(&grid, out, "");
    ph_buf_fini(&shares);
}

/* The bytes are the job's, the seconds this run's: where earlier runs had a part they make no rate.
 */
static void table_row(struct ph_grid *grid, const struct ph_job_table *t, bool resumed)
{
    bool rated = t->seconds > 0 && !resumed;
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], time[PH_NUM_TEXT], rate[PH_NUM_TEXT];
    ph_grid_cell(grid, "%s", t->source);
    ph_grid_cell(grid, "%s", strcmp(t->source, t->target) == 0 ? "same" : t->target);
    ph_grid_cell(grid, "%s", ph_num_show_count(rows, t->rows));
    ph_grid_cell(grid, "%s", ph_num_show_bytes(bytes, (double)t->bytes));
    ph_grid_cell(grid, "%d", t->shards);
    ph_grid_cell(grid, "%s", t->seconds > 0 ? ph_num_show_duration(time, t->seconds) : "-");
    ph_grid_cell(grid, "%s%s", rated ? ph_num_show_bytes(rate, (double)t->bytes / t->seconds) : "-",
                 rated ? "/s" : "");
    if (t->parked)
        ph_grid_cell(grid, "%d parked", t->parked);
    else
        ph_grid_cell(grid, "%s", t->split ? t->split : "");
}

static void add_tables(struct ph_buf *out, const struct ph_job_result *r)
{
    static const char *const heads[] = {"table",  "target", "rows", "bytes",
                                        "shards", "time",   "rate", ""};
    struct ph_grid grid = {.align = "llrrrrrl"};
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], time[PH_NUM_TEXT], rate[PH_NUM_TEXT];
    int shown = r->n_tables > MANY_TABLES ? MANY_TABLES : r->n_tables;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < shown; i++)
        table_row(&grid, &r->tables[i], r->shards_resumed > 0);
    if (r->n_tables > shown) {
        ph_grid_cell(&grid, "and %d more", r->n_tables - shown);
        for (int i = 0; i < 7; i++)
            ph_grid_cell(&grid, "%s", "");
    }
    ph_grid_cell(&grid, "total");
    ph_grid_cell(&grid, "%s", "");
    ph_grid_cell(&grid, "%s", ph_num_show_count(rows, r->rows));
    ph_grid_cell(&grid, "%s", ph_num_show_bytes(bytes, (double)r->bytes));
    ph_grid_cell(&grid, "%d", r->shards);
    ph_grid_cell(&grid, "%s", ph_num_show_duration(time, r->seconds));
    ph_grid_cell(&grid, "%s/s",
                 ph_num_show_bytes(rate, per_second((double)r->run_bytes, r->seconds)));
    ph_grid_cell(&grid, "%s", "");
    ph_grid_print(&grid, out, "");
}

static void add_parked(struct ph_buf *out, const struct ph_job_result *r)
{
    if (r->n_parked_shards > 0)
        ph_buf_add(out, "\nparked after repeated failures; the next run tries them again:\n");
    for (int i = 0; i < r->n_parked_shards; i++) {
        ph_buf_addf(out, "  shard %lld of ", (long long)r->parked_shards[i].shard);
        ph_term_safe(out, r->parked_shards[i].table ? r->parked_shards[i].table : "?");
        ph_buf_add(out, ": ");
        ph_term_safe(out,
                     r->parked_shards[i].error ? r->parked_shards[i].error : "no error is known");
        ph_buf_addc(out, '\n');
    }
    if (r->parked > r->n_parked_shards && r->n_parked_shards > 0)
        ph_buf_addf(out, "  and %d more\n", r->parked - r->n_parked_shards);
}

/* Where the job is complete, to say it again with another option would do nothing. */
static void add_unfilled(struct ph_buf *out, const struct ph_job_result *r)
{
    enum { MOST = 8 };
    if (r->n_unfilled == 0)
        return;
    ph_buf_addf(out, "\n%d materialized view%s not populated: ", r->n_unfilled,
                r->n_unfilled == 1 ? " is" : "s are");
    for (int i = 0; i < r->n_unfilled && i < MOST; i++) {
        ph_buf_add(out, i ? ", " : "");
        ph_term_safe(out, r->unfilled[i]);
    }
    ph_buf_addf(out,
                "%s\nREFRESH MATERIALIZED VIEW fills %s; a copy with --refresh-matviews does"
                " so by itself\n",
                r->n_unfilled > MOST ? ", ..." : "", r->n_unfilled == 1 ? "it" : "them");
}

void ph_render_copy(struct ph_buf *out, const struct ph_job_result *r, const struct ph_term *term)
{
    (void)term;
    ph_buf_addf(out, "job %s: %s%s\n\n", r->job ? r->job : "?", r->state ? r->state : "?",
                r->joined ? " (this mover had joined a live run)" : "");
    add_facts(out, r);
    ph_buf_addc(out, '\n');
    if (r->n_tables > 0)
        add_tables(out, r);
    add_parked(out, r);
    add_unfilled(out, r);
}

/* For programs
 * ----------------------------------------------------------------------------------------------------
 */

static json_t *tables_json(const struct ph_job_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_tables; i++) {
        const struct ph_job_table *t = &r->tables[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:I, s:I, s:i, s:i, s:o, s:f, s:I}", "source",
                            ph_json_text(t->source), "target", ph_json_text(t->target), "rows",
                            (json_int_t)t->rows, "bytes", (json_int_t)t->bytes, "shards", t->shards,
                            "parked", t->parked, "split", ph_json_text(t->split), "seconds",
                            t->seconds, "rejected", (json_int_t)t->rejected));
    }
    return list;
}

static json_t *parked_json(const struct ph_job_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_parked_shards; i++)
        json_array_append_new(list, json_pack("{s:I, s:o, s:o}", "shard",
                                              (json_int_t)r->parked_shards[i].shard, "table",
                                              ph_json_text(r->parked_shards[i].table), "error",
                                              ph_json_text(r->parked_shards[i].error)));
    return list;
}

static json_t *stages_json(const double stages[PH_N_STAGES])
{
    json_t *o = json_object();
    for (int i = 0; i < PH_N_STAGES; i++)
        json_object_set_new(o, ph_stage_names[i], json_real(stages[i]));
    return o;
}

static json_t *phases_json(const struct ph_job_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_phases; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "name", r->phases[i].name, "seconds",
                                              r->phases[i].seconds));
    return list;
}

json_t *ph_render_throttled_json(const double seconds[static PH_N_HOLDS])
{
    json_t *throttled = json_object();
    for (int i = 0; i < PH_N_HOLDS; i++)
        if (seconds[i] > 0)
            json_object_set_new(throttled, ph_hold_name((enum ph_hold_kind)i),
                                json_real(seconds[i]));
    return throttled;
}

json_t *ph_render_copy_json(const struct ph_job_result *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "job", ph_json_text(r->job));
    json_object_set_new(o, "state", ph_json_text(r->state));
    json_object_set_new(o, "rows", json_integer((json_int_t)r->rows));
    json_object_set_new(o, "bytes", json_integer((json_int_t)r->bytes));
    json_object_set_new(o, "seconds", json_real(r->seconds));
    json_object_set_new(o, "rows_per_second",
                        json_real(per_second((double)r->run_rows, r->seconds)));
    json_object_set_new(o, "bytes_per_second",
                        json_real(per_second((double)r->run_bytes, r->seconds)));
    json_object_set_new(o, "run_rows", json_integer((json_int_t)r->run_rows));
    json_object_set_new(o, "run_bytes", json_integer((json_int_t)r->run_bytes));
    json_object_set_new(o, "was_complete", json_boolean(r->was_complete));
    json_object_set_new(o, "joined", json_boolean(r->joined));
    json_object_set_new(o, "workers", json_integer(r->workers));
    json_object_set_new(o, "shards", json_integer(r->shards));
    json_object_set_new(o, "shards_resumed", json_integer(r->shards_resumed));
    json_object_set_new(o, "retries", json_integer(r->retries));
    json_object_set_new(o, "parked", json_integer(r->parked));
    json_object_set_new(o, "parked_shards", parked_json(r));
    json_object_set_new(o, "rejected", json_integer((json_int_t)r->rejected));
    json_object_set_new(o, "snapshots", json_integer(r->snapshots));
    json_object_set_new(o, "snapshot_held_seconds", json_real(r->snapshot_held_s));
    json_object_set_new(o, "tail_seconds", json_real(r->tail_s));
    json_object_set_new(o, "steps",
                        json_pack("{s:i, s:i, s:i}", "planned",
                                  r->steps - r->steps_done - r->steps_failed, "done", r->steps_done,
                                  "failed", r->steps_failed));
    json_object_set_new(o, "index_seconds", json_real(r->index_s));
    json_object_set_new(o, "spilled_bytes", json_integer((json_int_t)r->spilled_bytes));
    json_object_set_new(o, "throttled_seconds", ph_render_throttled_json(r->throttled_by_s));
    json_object_set_new(o, "bottleneck",
                        json_pack("{s:f, s:f, s:f}", "source", r->source_share, "target",
                                  r->target_share, "self", r->self_share));
    json_object_set_new(o, "limit", ph_json_text(r->limit && *r->limit ? r->limit : NULL));
    json_object_set_new(o, "stages", stages_json(r->stages));
    json_object_set_new(o, "cpu_seconds", json_real(r->cpu_s));
    json_object_set_new(o, "max_rss", json_integer((json_int_t)r->max_rss));
    json_object_set_new(o, "tables", tables_json(r));
    if (r->created)
        json_object_set_new(o, "created", json_loads(r->created, 0, NULL));
    if (r->created) {
        json_t *list = json_array();
        for (int i = 0; i < r->n_unfilled; i++)
            json_array_append_new(list, ph_json_text(r->unfilled[i]));
        json_object_set_new(o, "unpopulated", list);
    }
    json_object_set_new(o, "phases", phases_json(r));
    return o;
}
