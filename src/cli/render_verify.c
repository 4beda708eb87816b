#include "cli/render.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/grid.h"

enum { LISTED = 20 };

/* For people
 * ------------------------------------------------------------------------------------------------------
 */

static void add_key(struct ph_buf *out, const struct ph_verify_table *t,
                    const struct ph_difference *d)
{
    if (t->n_key == 0) {
        ph_buf_addf(out, "%" PRIu64 " of the row with hash %016" PRIx64, d->copies, d->content);
        return;
    }
    for (int i = 0; i < t->n_key; i++) {
        ph_buf_add(out, i ? ", " : "");
        ph_term_safe(out, t->key[i]);
        ph_buf_add(out, " = ");
        ph_term_safe(out, d->key && d->key[i] ? d->key[i] : "null");
    }
    if (d->copies > 1)
        ph_buf_addf(out, ", %" PRIu64 " times", d->copies);
}

static void add_columns(struct ph_buf *out, const struct ph_difference *d)
{
    for (int i = 0; i < d->n_columns; i++) {
        ph_buf_add(out, i ? ", " : ": ");
        ph_term_safe(out, d->columns[i]);
        if (!d->source)
            continue;
        ph_buf_add(out, " ");
        ph_term_safe(out, d->source[i] ? d->source[i] : "null");
        ph_buf_add(out, " \xe2\x86\x92 ");
        ph_term_safe(out, d->target[i] ? d->target[i] : "null");
    }
}

static void add_only(struct ph_buf *out, const char *where, const char *const *names, int n)
{
    if (n == 0)
        return;
    ph_buf_addf(out, "  column%s only in the %s: ", n == 1 ? "" : "s", where);
    for (int i = 0; i < n; i++) {
        ph_buf_add(out, i ? ", " : "");
        ph_term_safe(out, names[i]);
    }
    ph_buf_addc(out, '\n');
}

static void add_differences(struct ph_buf *out, const struct ph_verify_table *t)
{
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT], c[PH_NUM_TEXT];
    ph_buf_addc(out, '\n');
    ph_term_safe(out, t->source);
    ph_buf_addf(out, ": %s missing, %s extra, %s changed\n", ph_num_show_count(a, t->missing),
                ph_num_show_count(b, t->extra), ph_num_show_count(c, t->changed));
    add_only(out, "source", t->only_source, t->n_only_source);
    add_only(out, "target", t->only_target, t->n_only_target);
    int n = t->n_differences < LISTED ? t->n_differences : LISTED;
    for (int i = 0; i < n; i++) {
        const struct ph_difference *d = &t->differences[i];
        ph_buf_addf(out, "  %-8s", ph_difference_kind_name(d->kind));
        add_key(out, t, d);
        add_columns(out, d);
        ph_buf_addc(out, '\n');
    }
    uint64_t all = t->missing + t->extra + t->changed;
    if (all > (uint64_t)n)
        ph_buf_addf(out, "  and %s more; --json lists up to --max-differences\n",
                    ph_num_show_count(a, all - (uint64_t)n));
    if (t->repair_refused)
        ph_buf_addf(out, "  not mended: %s\n", t->repair_refused);
}

/* A long text shows where it begins to differ. */
static void add_text(struct ph_buf *out, const char *text, const char *other)
{
    enum { SHOWN = 100, BEFORE = 20 };
    size_t n = text ? strlen(text) : 0, same = 0;
    while (other && same < n && text[same] == other[same])
        same++;
    if (!text) {
        ph_buf_add(out, "none");
        return;
    }
    size_t from = n <= SHOWN || same <= BEFORE ? 0 : same - BEFORE;
    while (from > 0 && ((unsigned char)text[from] & 0xc0) == 0x80)
        from--; /* not within a character */
    struct ph_buf part = {0};
    ph_buf_addf(&part, "%s%.*s%s", from ? "..." : "", SHOWN, text + from,
                n - from > SHOWN ? "..." : "");
    ph_term_safe(out, ph_buf_text(&part));
    ph_buf_fini(&part);
}

static void add_definitions(struct ph_buf *out, const struct ph_verify_definitions *d)
{
    char a[PH_NUM_TEXT];
    ph_buf_addf(out, "\ndefinitions of %s objects: %s\n",
                ph_num_show_count(a, (uint64_t)d->objects), d->equal ? "equal" : "DIFFERENT");
    for (int i = 0; i < d->n_differences; i++) {
        const struct ph_definition *x = &d->differences[i];
        ph_buf_addf(out, "  %-8s%s ", ph_difference_kind_name(x->kind), x->type);
        ph_term_safe(out, x->object);
        ph_buf_addf(out, x->kind == PH_CHANGED ? ": %s " : " (%s ", x->property);
        add_text(out, x->kind == PH_EXTRA ? x->target : x->source, x->target);
        if (x->kind == PH_CHANGED) {
            ph_buf_add(out, " \xe2\x86\x92 ");
            add_text(out, x->target, x->source);
        }
        ph_buf_add(out, x->kind == PH_CHANGED ? "\n" : ")\n");
    }
    for (int i = 0; i < d->n_unfilled; i++) {
        ph_buf_add(out, "  materialized view ");
        ph_term_safe(out, d->unfilled[i]);
        ph_buf_add(out, " is not populated in the target: REFRESH MATERIALIZED VIEW fills it\n");
    }
}

static void add_sums(struct ph_buf *out, const struct ph_verify_sums *sums)
{
    ph_buf_addf(out, "\nsums: %d figures, %s\n", sums->n, sums->equal ? "equal" : "DIFFERENT");
    for (int i = 0; i < sums->n; i++) {
        const struct ph_verify_sum *s = &sums->items[i];
        if (s->equal)
            continue;
        ph_buf_add(out, "  ");
        ph_term_safe(out, s->table);
        if (s->column)
            ph_buf_addc(out, '.');
        ph_term_safe(out, s->column ? s->column : "");
        ph_buf_addf(out, ": %s ", s->property);
        if (s->hidden)
            ph_buf_add(out, "differs\n");
        else
            ph_buf_addf(out, "%s \xe2\x86\x92 %s\n", s->source ? s->source : "null",
                        s->target ? s->target : "null");
    }
}

/* A table that differs has no proof; receipts then say why it is none. */
static const char *proof_of(const struct ph_verify_table *t)
{
    return t->equal || t->level == PH_VERIFY_RECEIPT ? t->proof : NULL;
}

static void table_row(struct ph_grid *grid, const struct ph_verify_table *t)
{
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    ph_grid_cell(grid, "%s", t->source);
    ph_grid_cell(grid, "%s", strcmp(t->source, t->target) == 0 ? "same" : t->target);
    ph_grid_cell(grid, "%s",
                 t->source_rows < 0 ? "-" : ph_num_show_count(a, (uint64_t)t->source_rows));
    ph_grid_cell(grid, "%s",
                 t->target_rows < 0 ? "-" : ph_num_show_count(b, (uint64_t)t->target_rows));
    ph_grid_cell(grid, "%s", ph_verify_level_name(t->level));
    ph_grid_cell(grid, "%.0f %%", t->coverage * 100);
    ph_grid_cell(grid, "%s", t->equal ? "equal" : "DIFFERENT");
    ph_grid_cell(grid, "%s%s", proof_of(t) ? proof_of(t) : "",
                 t->extra_ignored ? "; rows of the target's own do not count" : "");
}

void ph_render_verify(struct ph_buf *out, const struct ph_verify_result *r,
                      const struct ph_term *term)
{
    static const char *const heads[] = {"table", "target",   "source rows", "target rows",
                                        "level", "coverage", "verdict",     ""};
    struct ph_grid grid = {.align = "llrrlrll"};
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT], c[PH_NUM_TEXT];
    (void)term;
    if (r->job)
        ph_buf_addf(out, "job %s: %s\n", r->job, r->equal ? "equal" : "different");
    if (r->definitions.compared)
        add_definitions(out, &r->definitions);
    if (r->n_tables == 0)
        return;
    ph_buf_addc(out, '\n');
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < r->n_tables; i++)
        table_row(&grid, &r->tables[i]);
    ph_grid_print(&grid, out, "");
    for (int i = 0; i < r->n_tables; i++) {
        const struct ph_verify_table *t = &r->tables[i];
        if (t->why) {
            ph_buf_addc(out, '\n');
            ph_term_safe(out, t->source);
            ph_buf_addf(out, " was compared with the source: %s\n", t->why);
        }
        if (!t->equal)
            add_differences(out, t);
        if (t->repaired)
            ph_buf_addf(out, "  mended: %s %s%s\n", ph_num_show_count(a, t->repaired),
                        !strcmp(t->source, "large objects") ? "object" : "row",
                        t->repaired == 1 ? "" : "s");
    }
    if (r->sums.compared)
        add_sums(out, &r->sums);
    ph_buf_addf(out, "\nread %s rows, %s in %s\n", ph_num_show_count(a, r->rows),
                ph_num_show_bytes(b, (double)r->bytes), ph_num_show_duration(c, r->seconds));
    if (r->throttled_s > 0) {
        ph_buf_add(out, "held back for ");
        ph_render_throttled(out, r->throttled_s, r->throttled_by_s);
        ph_buf_addc(out, '\n');
    }
}

/* For programs
 * ----------------------------------------------------------------------------------------------------
 */

static json_t *value_json(const char *text, bool number)
{
    return text && number ? json_integer(strtoll(text, NULL, 10)) : ph_json_text(text);
}

static json_t *difference_json(const struct ph_verify_table *t, const struct ph_difference *d)
{
    json_t *o = json_object(), *key = json_object();
    char hash[17];
    for (int i = 0; i < t->n_key; i++)
        json_object_set_new(key, t->key[i],
                            value_json(d->key ? d->key[i] : NULL, t->key_is_number[i]));
    json_object_set_new(o, "key", key);
    json_object_set_new(o, "kind", json_string(ph_difference_kind_name(d->kind)));
    if (d->copies != 1 || t->n_key == 0)
        json_object_set_new(o, "rows", json_integer((json_int_t)d->copies));
    if (t->n_key == 0) {
        snprintf(hash, sizeof hash, "%016" PRIx64, d->content);
        json_object_set_new(o, "content", json_string(hash));
    }
    if (d->kind != PH_CHANGED)
        return o;
    json_t *columns = json_array(), *here = json_object(), *there = json_object();
    for (int i = 0; i < d->n_columns; i++) {
        json_array_append_new(columns, ph_json_text(d->columns[i]));
        if (d->source) {
            json_object_set_new(here, d->columns[i], ph_json_text(d->source[i]));
            json_object_set_new(there, d->columns[i], ph_json_text(d->target[i]));
        }
    }
    json_object_set_new(o, "columns", columns);
    if (d->source) {
        json_object_set(o, "source", here);
        json_object_set(o, "target", there);
    }
    json_decref(here);
    json_decref(there);
    return o;
}

static json_t *names_json(const char *const *names, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, ph_json_text(names[i]));
    return list;
}

static json_t *count_json(int64_t n)
{
    return n < 0 ? json_null() : json_integer((json_int_t)n);
}

static json_t *table_json(const struct ph_verify_table *t)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "source", ph_json_text(t->source));
    json_object_set_new(o, "target", ph_json_text(t->target));
    json_object_set_new(o, "equal", json_boolean(t->equal));
    json_object_set_new(o, "level", json_string(ph_verify_level_name(t->level)));
    json_object_set_new(o, "why", ph_json_text(t->why));
    json_object_set_new(o, "proof", ph_json_text(proof_of(t)));
    json_object_set_new(o, "coverage", json_real(t->coverage * 100));
    json_object_set_new(o, "read_before", json_real(t->read_before * 100));
    json_object_set_new(o, "source_rows", count_json(t->source_rows));
    json_object_set_new(o, "target_rows", count_json(t->target_rows));
    json_object_set_new(o, "shards", json_integer(t->shards));
    json_object_set_new(o, "differing_shards", json_integer(t->differing_shards));
    json_object_set_new(o, "missing", json_integer((json_int_t)t->missing));
    json_object_set_new(o, "extra", json_integer((json_int_t)t->extra));
    json_object_set_new(o, "changed", json_integer((json_int_t)t->changed));
    json_object_set_new(o, "extra_ignored", json_integer((json_int_t)t->extra_ignored));
    json_object_set_new(o, "key", names_json(t->key, t->n_key));
    json_object_set_new(o, "columns_only_in_source", names_json(t->only_source, t->n_only_source));
    json_object_set_new(o, "columns_only_in_target", names_json(t->only_target, t->n_only_target));
    for (int i = 0; i < t->n_differences; i++)
        json_array_append_new(list, difference_json(t, &t->differences[i]));
    json_object_set_new(o, "differences", list);
    json_object_set_new(o, "repaired", json_integer((json_int_t)t->repaired));
    json_object_set_new(o, "deleted", json_integer((json_int_t)t->deleted));
    if (t->repair_refused)
        json_object_set_new(o, "repair_refused", ph_json_text(t->repair_refused));
    return o;
}

static json_t *definitions_json(const struct ph_verify_definitions *d)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "equal", json_boolean(d->equal));
    json_object_set_new(o, "objects", json_integer(d->objects));
    for (int i = 0; i < d->n_differences; i++) {
        const struct ph_definition *x = &d->differences[i];
        json_t *one = json_object();
        json_object_set_new(one, "object", ph_json_text(x->object));
        json_object_set_new(one, "type", ph_json_text(x->type));
        json_object_set_new(one, "kind", json_string(ph_difference_kind_name(x->kind)));
        json_object_set_new(one, "property", ph_json_text(x->property));
        json_object_set_new(one, "source", ph_json_text(x->source));
        json_object_set_new(one, "target", ph_json_text(x->target));
        json_array_append_new(list, one);
    }
    json_object_set_new(o, "differences", list);
    list = json_array();
    for (int i = 0; i < d->n_unfilled; i++)
        json_array_append_new(list, ph_json_text(d->unfilled[i]));
    json_object_set_new(o, "unpopulated", list);
    return o;
}

static json_t *sums_json(const struct ph_verify_sums *sums)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "equal", json_boolean(sums->equal));
    for (int i = 0; i < sums->n; i++) {
        const struct ph_verify_sum *s = &sums->items[i];
        json_t *one = json_object();
        json_object_set_new(one, "table", ph_json_text(s->table));
        json_object_set_new(one, "column", ph_json_text(s->column));
        json_object_set_new(one, "property", json_string(s->property));
        json_object_set_new(one, "equal", json_boolean(s->equal));
        if (!s->hidden) {
            json_object_set_new(one, "source", ph_json_text(s->source));
            json_object_set_new(one, "target", ph_json_text(s->target));
        }
        json_array_append_new(list, one);
    }
    json_object_set_new(o, "figures", list);
    return o;
}

json_t *ph_render_verify_json(const struct ph_verify_result *r)
{
    json_t *o = json_object(), *tables = json_array();
    json_object_set_new(o, "job", ph_json_text(r->job));
    json_object_set_new(o, "state", json_string(r->equal ? "equal" : "different"));
    json_object_set_new(o, "equal", json_boolean(r->equal));
    json_object_set_new(o, "level", json_string(ph_verify_level_name(r->level)));
    json_object_set_new(o, "in_server", json_boolean(r->in_server));
    for (int i = 0; i < r->n_tables; i++)
        json_array_append_new(tables, table_json(&r->tables[i]));
    json_object_set_new(o, "tables", tables);
    if (r->definitions.compared)
        json_object_set_new(o, "schema", definitions_json(&r->definitions));
    if (r->sums.compared)
        json_object_set_new(o, "sums", sums_json(&r->sums));
    if (r->rows_why_not)
        json_object_set_new(o, "rows_not_compared", ph_json_text(r->rows_why_not));
    json_object_set_new(o, "rows", json_integer((json_int_t)r->rows));
    json_object_set_new(o, "bytes", json_integer((json_int_t)r->bytes));
    json_object_set_new(o, "seconds", json_real(r->seconds));
    json_object_set_new(o, "workers", json_integer(r->jobs));
    json_object_set_new(o, "throttled_seconds", ph_render_throttled_json(r->throttled_by_s));
    if (r->seed)
        json_object_set_new(o, "seed", json_integer((json_int_t)r->seed));
    json_object_set_new(o, "cpu_seconds", json_real(r->cpu_s));
    json_object_set_new(o, "max_rss", json_integer((json_int_t)r->max_rss));
    return o;
}
