#include "cli/render.h"

#include "cli/cli.h"
#include "cli/grid.h"

void ph_render_queries(struct ph_buf *out, const struct ph_query *queries, int n,
                       const struct ph_queries_result *r)
{
    static const char *const heads[] = {"query", "rows", "source", "target", "verdict", ""};
    struct ph_grid grid = {.align = "lrrrll"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < n; i++) {
        const struct ph_query_verdict *v = &r->verdicts[i];
        int bad = v->differing + v->failed;
        ph_grid_cell(&grid, "%s", queries[i].name);
        ph_grid_cell(&grid, "%lld", (long long)v->rows[0]);
        ph_grid_cell(&grid, "%.1f ms", v->seconds[0] * 1000);
        ph_grid_cell(&grid, "%.1f ms", v->seconds[1] * 1000);
        ph_grid_cell(&grid, "%s", v->error ? "FAILED" : v->equal ? "equal" : "DIFFERENT");
        if (v->rounds > 1)
            ph_grid_cell(&grid, "%d of %d rounds differ", bad, v->rounds);
        else
            ph_grid_cell(&grid, "%s", v->error ? v->error : v->difference ? v->difference : "");
    }
    ph_grid_print(&grid, out, "");
}

json_t *ph_render_queries_json(const struct ph_query *queries, int n,
                               const struct ph_queries_result *r)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "equal", json_boolean(r->equal));
    json_object_set_new(o, "rounds", json_integer(r->rounds));
    for (int i = 0; i < n; i++) {
        const struct ph_query_verdict *v = &r->verdicts[i];
        json_t *one = json_object();
        json_object_set_new(one, "name", ph_json_text(queries[i].name));
        json_object_set_new(one, "equal", json_boolean(v->equal));
        json_object_set_new(one, "rounds", json_integer(v->rounds));
        json_object_set_new(one, "differing", json_integer(v->differing));
        json_object_set_new(one, "failed", json_integer(v->failed));
        json_object_set_new(one, "source_rows", json_integer((json_int_t)v->rows[0]));
        json_object_set_new(one, "target_rows", json_integer((json_int_t)v->rows[1]));
        json_object_set_new(one, "source_seconds", json_real(v->seconds[0]));
        json_object_set_new(one, "target_seconds", json_real(v->seconds[1]));
        json_object_set_new(one, "source_seconds_max", json_real(v->most[0]));
        json_object_set_new(one, "target_seconds_max", json_real(v->most[1]));
        json_object_set_new(one, "difference", ph_json_text(v->difference));
        json_object_set_new(one, "error", ph_json_text(v->error));
        json_array_append_new(list, one);
    }
    json_object_set_new(o, "pairs", list);
    return o;
}
