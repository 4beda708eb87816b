#include "cli/render.h"

#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/grid.h"

enum { MANY_TABLES = 40 };

/* For people
 * ------------------------------------------------------------------------------------------------------
 */

static void add_side(struct ph_buf *out, const char *word, const struct ph_side *side)
{
    ph_buf_addf(out, "%s ", word);
    ph_term_safe(out, side->shown ? side->shown : "?");
    if (!side->version) {
        ph_buf_addc(out, '\n'); /* an archive that is to be written */
        return;
    }
    ph_buf_addf(out, " (PostgreSQL %d.%d, %s, %s%s)\n", side->version / 10000,
                side->version % 10000, side->encoding ? side->encoding : "?",
                side->transport ? side->transport : "?", side->in_recovery ? ", a replica" : "");
}

static void add_head(struct ph_buf *out, const struct ph_plan *plan)
{
    char bytes[PH_NUM_TEXT];
    ph_buf_addf(out, "job %s: %d table%s, %s, mode %s\n", plan->job_name ? plan->job_name : "?",
                plan->n_tables, plan->n_tables == 1 ? "" : "s",
                ph_num_show_bytes(bytes, (double)plan->bytes), ph_mode_name(plan->spec->mode));
    add_side(out, "from", &plan->source);
    add_side(out, "to  ", &plan->target);
}

static const char *target_of(struct ph_plan *plan, const struct ph_table *t)
{
    return ph_plan_name(plan, t->target_schema, t->target_name);
}

static const char *source_of(struct ph_plan *plan, const struct ph_table *t)
{
    return ph_plan_name(plan, t->source_schema, t->source_name);
}

static void add_grid(struct ph_buf *out, struct ph_plan *plan, int shown)
{
    static const char *const heads[] = {"table",  "target", "rows", "bytes",
                                        "shards", "format", "split"};
    char bytes[PH_NUM_TEXT], rows[PH_NUM_TEXT];
    struct ph_grid grid = {.align = "llrrrll"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < shown; i++) {
        const struct ph_table *t = &plan->tables[i];
        const char *source = source_of(plan, t), *target = target_of(plan, t);
        ph_grid_cell(&grid, "%s", source);
        ph_grid_cell(&grid, "%s", strcmp(source, target) == 0 ? "same" : target);
        ph_grid_cell(
            &grid, "~%s",
            ph_num_show_count(rows, (uint64_t)(t->rows_estimate > 0 ? t->rows_estimate : 0)));
        ph_grid_cell(&grid, "%s", ph_num_show_bytes(bytes, (double)t->bytes));
        ph_grid_cell(&grid, "%d", t->n_shards);
        ph_grid_cell(&grid, "%s", t->format == PH_TEXT ? "text" : "binary");
        ph_grid_cell(&grid, "%s%s%s", ph_split_name(t->split), t->split_reason ? ": " : "",
                     t->split_reason ? t->split_reason : "");
    }
    ph_grid_print(&grid, out, "");
    if (shown < plan->n_tables)
        ph_buf_addf(out, "and %d smaller tables (-v lists them)\n", plan->n_tables - shown);
}

static bool is_plain(const struct ph_plan_column *c)
{
    return !c->is_expression && !strcmp(c->format, "binary");
}

static void add_columns(struct ph_buf *out, const struct ph_table *t, int verbose)
{
    struct ph_grid grid = {.align = "llll"};
    int plain = 0;
    for (int i = 0; i < t->n_columns; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        plain += is_plain(c);
        if (is_plain(c) && !verbose)
            continue;
        ph_grid_cell(&grid, "%s", c->name);
        ph_grid_cell(&grid, "%s", c->format);
        ph_grid_cell(&grid, "%s%s", c->is_expression ? "= " : "",
                     c->is_expression ? c->source : "");
        ph_grid_cell(&grid, "%s", c->why ? c->why : "");
    }
    ph_grid_print(&grid, out, "    ");
    if (plain && plain < t->n_columns && !verbose)
        ph_buf_addf(out, "    and %d column%s unchanged\n", plain, plain == 1 ? "" : "s");
}

static bool has_details(const struct ph_table *t, int verbose)
{
    bool plain = true;
    for (int i = 0; i < t->n_columns; i++)
        plain &= is_plain(&t->columns[i]);
    return verbose || !plain || t->n_warnings > 0 || t->filter || t->n_after > 0;
}

static void add_line(struct ph_buf *out, const char *head, const char *text)
{
    ph_buf_add(out, head);
    ph_term_safe(out, text);
    ph_buf_addc(out, '\n');
}

static void add_details(struct ph_buf *out, struct ph_plan *plan, const struct ph_table *t,
                        int verbose)
{
    if (!has_details(t, verbose))
        return;
    ph_buf_addc(out, '\n');
    add_line(out, "", source_of(plan, t));
    if (t->filter)
        add_line(out, "    only rows where ", t->filter);
    for (int i = 0; i < t->n_key && verbose; i++)
        ph_buf_addf(out, "%s%s%s", i ? ", " : "    cut along ", t->key[i].column,
                    i + 1 == t->n_key ? "\n" : "");
    for (int i = 0; i < t->n_conflict; i++)
        ph_buf_addf(out, "%s%s%s", i ? ", " : "    upsert by ", t->conflict[i],
                    i + 1 == t->n_conflict ? "\n" : "");
    for (int i = 0; i < t->n_after; i++)
        ph_buf_addf(out, "%s%s%s", i ? ", " : "    after ", t->after_names[i],
                    i + 1 == t->n_after ? "\n" : "");
    add_columns(out, t, verbose);
    for (int i = 0; i < t->n_warnings; i++)
        add_line(out, "    warning: ", t->warnings[i]);
}

static void add_obstacles(struct ph_buf *out, const struct ph_plan *plan)
{
    if (plan->n_obstacles > 0)
        ph_buf_add(out, "\nstands in the way:\n");
    for (int i = 0; i < plan->n_obstacles; i++) {
        add_line(out, "  - ", plan->obstacles[i].text);
        if (plan->obstacles[i].hint)
            add_line(out, "    hint: ", plan->obstacles[i].hint);
    }
}

static double rows_of(const struct ph_plan *plan)
{
    double rows = 0;
    for (int i = 0; i < plan->n_tables; i++)
        rows += plan->tables[i].rows_estimate > 0 ? plan->tables[i].rows_estimate : 0;
    return rows;
}

static int shards_of(const struct ph_plan *plan)
{
    int shards = 0;
    for (int i = 0; i < plan->n_tables; i++)
        shards += plan->tables[i].n_shards;
    return shards;
}

static void add_forecast(struct ph_buf *out, const struct ph_plan *plan)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], size[PH_NUM_TEXT], time[PH_NUM_TEXT];
    ph_buf_addf(out,
                "\nforecast: about %s rows and %s, in %d shard%s of up to %s, by %d worker%s\n",
                ph_num_show_count(rows, (uint64_t)rows_of(plan)),
                ph_num_show_bytes(bytes, (double)plan->bytes), shards_of(plan),
                shards_of(plan) == 1 ? "" : "s", ph_num_show_bytes(size, (double)plan->shard_size),
                plan->jobs, plan->jobs == 1 ? "" : "s");
    if (plan->bytes > 0)
        ph_buf_addf(out,
                    "          at 100 MiB/s, an assumption and nothing measured, that takes %s\n",
                    ph_num_show_duration(time, (double)plan->bytes / (100 * 0x1p20)));
}

void ph_render_counts(struct ph_buf *out, const char *before, const char *counts)
{
    json_t *json = counts ? json_loads(counts, 0, NULL) : NULL, *value;
    const char *key;
    json_object_foreach(json, key, value)
    {
        ph_buf_addf(out, "%s%lld %s", before, (long long)json_integer_value(value), key);
        before = ", ";
    }
    if (json_object_size(json) > 0)
        ph_buf_addc(out, '\n');
    json_decref(json);
}

void ph_render_plan(struct ph_buf *out, struct ph_plan *plan, const struct ph_term *term,
                    int verbose)
{
    (void)term;
    int shown = plan->n_tables > MANY_TABLES && !verbose ? MANY_TABLES : plan->n_tables;
    add_head(out, plan);
    ph_render_counts(out, "creates ", plan->creates);
    ph_buf_addc(out, '\n');
    add_grid(out, plan, shown);
    for (int i = 0; i < plan->n_tables; i++)
        add_details(out, plan, &plan->tables[i], verbose);
    if (plan->n_warnings > 0)
        ph_buf_addc(out, '\n');
    for (int i = 0; i < plan->n_warnings; i++)
        add_line(out, "warning: ", plan->warnings[i]);
    add_forecast(out, plan);
    add_obstacles(out, plan);
}

/* For programs
 * ----------------------------------------------------------------------------------------------------
 */

static json_t *texts(const char *const *item, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, ph_json_text(item[i]));
    return list;
}

static json_t *columns_json(const struct ph_table *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n_columns; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "name",
                                              ph_json_text(c->name), "format",
                                              ph_json_text(c->format), "why", ph_json_text(c->why),
                                              "source_type", ph_json_text(c->source_type),
                                              "target_type", ph_json_text(c->target_type)));
    }
    return list;
}

static json_t *table_json(struct ph_plan *plan, const struct ph_table *t)
{
    double rows = t->rows_estimate > 0 ? t->rows_estimate : 0;
    json_t *after = json_array();
    for (int i = 0; i < t->n_after; i++)
        json_array_append_new(after, ph_json_text(t->after_names[i]));
    return json_pack("{s:o, s:o, s:I, s:I, s:s, s:o, s:i, s:s, s:o, s:o, s:o, s:o}", "source",
                     ph_json_text(source_of(plan, t)), "target", ph_json_text(target_of(plan, t)),
                     "rows_estimate", (json_int_t)rows, "bytes", (json_int_t)t->bytes, "split",
                     ph_split_name(t->split), "split_reason", ph_json_text(t->split_reason),
                     "shards", t->n_shards, "format", t->format == PH_TEXT ? "text" : "binary",
                     "filter", ph_json_text(t->filter), "columns", columns_json(t), "warnings",
                     texts(t->warnings, t->n_warnings), "after", after);
}

json_t *ph_render_plan_json(struct ph_plan *plan)
{
    json_t *tables = json_array(), *obstacles = json_array();
    for (int i = 0; i < plan->n_tables; i++)
        json_array_append_new(tables, table_json(plan, &plan->tables[i]));
    for (int i = 0; i < plan->n_obstacles; i++)
        json_array_append_new(obstacles, json_pack("{s:o, s:o}", "message",
                                                   ph_json_text(plan->obstacles[i].text), "hint",
                                                   ph_json_text(plan->obstacles[i].hint)));
    json_t *forecast =
        json_pack("{s:I, s:I, s:i, s:i, s:I, s:n}", "rows", (json_int_t)rows_of(plan), "bytes",
                  (json_int_t)plan->bytes, "shards", shards_of(plan), "workers", plan->jobs,
                  "shard_size", (json_int_t)plan->shard_size, "seconds");
    json_t *creates = plan->creates ? json_loads(plan->creates, 0, NULL) : NULL;
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o*}", "job",
                     ph_json_text(plan->job_name), "mode", ph_mode_name(plan->spec->mode), "source",
                     ph_json_text(plan->source.shown), "target", ph_json_text(plan->target.shown),
                     "tables", tables, "warnings", texts(plan->warnings, plan->n_warnings),
                     "obstacles", obstacles, "forecast", forecast, "creates", creates);
}
