/* What --create makes after the rows: the rest of the dump, materialized views' rows, statistics; and where sequences stand. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "haul/create.h"
#include "pg/catalog.h"
#include "pg/sql.h"

enum { GROUP = 200, SEQUENCES_PER_QUERY = 200 };

/* While the steps are planned. */
struct rest {
    struct ph_run *run;
    struct ph_tools tools;
    struct ph_buf dump;
    struct ph_toc toc;     /* what is left for later */
    const int64_t *before; /* steps that the next one comes after */
    int n_before;
};

static bool is_statistics(const struct ph_step *step)
{
    return !strcmp(step->kind, "analyze") || !strcmp(step->kind, "vacuum");
}

static const int64_t *one_id(struct ph_run *run, int64_t id)
{
    int64_t *ids = ph_arena_calloc(run->arena, 1, sizeof *ids);
    *ids = id;
    return ids;
}

/* All steps that there are now; without statistics that cannot be had the rest comes all the same. */
static void after_all(struct rest *rest)
{
    struct ph_steps *steps = &rest->run->steps;
    int64_t *ids = ph_arena_calloc(rest->run->arena, (size_t)steps->n, sizeof *ids);
    for (int i = 0; i < steps->n; i++)
        ids[i] = is_statistics(&steps->items[i]) ? -steps->items[i].id : steps->items[i].id;
    rest->before = ids;
    rest->n_before = steps->n;
}

/* A step behind those before it, and in front of the next. */
static void add_in_row(struct rest *rest, const char *kind, const char *object, const char *sql)
{
    struct ph_step *step = ph_steps_add(&rest->run->steps, kind, object, sql);
    step->after = rest->before;
    step->n_after = rest->n_before;
    step->alone = "post";
    step->weight = PH_STEP_TINY;
    rest->before = one_id(rest->run, step->id);
    rest->n_before = 1;
}

/* One step to stand for all that were planned before: whether a step can begin is asked often, and a
 * thousand that wait for a thousand would make a million answers. */
static void add_barrier(struct rest *rest)
{
    after_all(rest);
    if (rest->n_before > 1)
        add_in_row(rest, "barrier", "all that comes before", "SELECT");
}

/* The rest of the dump. */

static bool follows(const struct ph_toc_entry *e)
{
    return ph_toc_is(e, "COMMENT") || ph_toc_is(e, "SECURITY LABEL");
}

static const char *object_of(struct ph_run *run, const struct ph_toc_entry *first, int n)
{
    const char *shown = ph_toc_shown(run->arena, first);
    return n == 1 ? shown : ph_arena_printf(run->arena, "%s and %d more", shown, n - 1);
}

static bool add_group(struct rest *rest, int first, int end, struct ph_err *err)
{
    struct ph_run *run = rest->run;
    const struct ph_dump_without without = ph_create_without(run);
    struct ph_buf list = {0}, script = {0}, sql = {0};
    int n = 0;
    for (int i = first; i < end; i++) {
        const struct ph_toc_entry *e = &rest->toc.items[i];
        ph_buf_add(&list, e->line);
        ph_buf_addc(&list, '\n');
        n += !follows(e);
    }
    bool ok = ph_dump_script(&rest->tools, &rest->dump, &without, ph_buf_text(&list), &script, err);
    if (ok && script.len) {
        ph_buf_add(&sql, PH_DUMP_SETTINGS);
        ph_buf_add(&sql, script.data);
        add_in_row(rest, "post", object_of(run, &rest->toc.items[first], n > 0 ? n : 1),
                   ph_arena_strdup(run->arena, sql.data));
    }
    ph_buf_fini(&list);
    ph_buf_fini(&script);
    ph_buf_fini(&sql);
    return ok;
}

int ph_create_turn(const struct ph_toc_entry *entry)
{
    if (ph_toc_is(entry, "EVENT TRIGGER") ||
        (ph_toc_is(entry, "COMMENT") && !strncmp(entry->tag, "EVENT TRIGGER ", 14)))
        return 2;
    return ph_toc_is(entry, "ACL");
}

/* Entries of one kind that stand together make one step, with the comments on them. */
static bool add_groups(struct rest *rest, int first, int n, struct ph_err *err)
{
    const struct ph_toc *toc = &rest->toc;
    for (int end; first < n; first = end) {
        for (end = first + 1; end < n && end - first < GROUP; end++)
            if (!follows(&toc->items[end]) &&
                strcmp(toc->items[end].kind, toc->items[first].kind) != 0)
                break;
        if (!add_group(rest, first, end, err))
            return false;
    }
    return true;
}

static void leave_out_covered(struct rest *rest)
{
    int n = 0;
    for (int i = 0; i < rest->toc.n; i++) {
        const struct ph_toc_entry *e = &rest->toc.items[i];
        if (!ph_index_covers(&rest->run->cover, e->kind, e->schema ? e->schema : "", e->tag))
            rest->toc.items[n++] = *e;
    }
    rest->toc.n = n;
}

/* Materialized views that have rows, in the order in which they were made: one may read another. */
static bool ask_filled(struct ph_run *run, const struct ph_toc *made, struct ph_rows **rows,
                       struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT n.nspname, c.relname FROM unnest('{");
    for (int i = 0, n = 0; i < made->n; i++)
        if (ph_toc_is(&made->items[i], "MATERIALIZED VIEW"))
            ph_buf_addf(&sql, "%s%u", n++ ? "," : "", made->items[i].oid);
    ph_buf_add(&sql, "}'::oid[]) WITH ORDINALITY v(oid, nr) JOIN pg_class c ON c.oid = v.oid"
                     " JOIN pg_namespace n ON n.oid = c.relnamespace"
                     " WHERE c.relispopulated ORDER BY v.nr");
    bool ok = ph_witness_catalog(&source, "materialized views", sql.data, rows, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool add_refreshes(struct rest *rest, const struct ph_toc *made, struct ph_err *err)
{
    struct ph_run *run = rest->run;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool ok = ask_filled(run, made, &rows, err);
    for (int i = 0; i < ph_rows_count(rows); i++) {
        ph_buf_clear(&sql);
        ph_sql_add(&sql, "REFRESH MATERIALIZED VIEW %I.%I", ph_rows_text(rows, i, 0),
                   ph_rows_text(rows, i, 1));
        const char *name =
            ph_plan_name(run->plan, ph_rows_text(rows, i, 0), ph_rows_text(rows, i, 1));
        add_in_row(rest, "matview", ph_arena_printf(run->arena, "materialized view %s", name),
                   ph_arena_strdup(run->arena, sql.data));
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

/* Statistics of every table that was loaded, several at once. */
static void add_analyzes(struct rest *rest)
{
    struct ph_run *run = rest->run;
    const struct ph_create_opts *opts = &run->opts->create;
    struct ph_buf sql = {0};
    if (run->opts->spec->no_rows || (opts->no_analyze && !opts->vacuum))
        return;
    for (int i = 0; i < run->plan->n_tables; i++) {
        const struct ph_table *t = &run->plan->tables[i];
        const char *name = ph_plan_name(run->plan, t->target_schema, t->target_name);
        ph_buf_clear(&sql);
        ph_sql_add(&sql, "%s %I.%I",
                   !opts->vacuum      ? "ANALYZE"
                   : opts->no_analyze ? "VACUUM"
                                      : "VACUUM (ANALYZE)",
                   t->target_schema, t->target_name);
        struct ph_step *step = ph_steps_add(&run->steps, opts->vacuum ? "vacuum" : "analyze",
                                            ph_arena_printf(run->arena, "table %s", name),
                                            ph_arena_strdup(run->arena, sql.data));
        step->after = rest->before;
        step->n_after = rest->n_before;
        step->outside = opts->vacuum;
        step->weight = opts->vacuum ? t->bytes : t->bytes / 16;
    }
    ph_buf_fini(&sql);
}

/* The chunks' entries, all together. */
static void parse_made(struct ph_run *run, const struct ph_toc_names *names, struct ph_toc *out)
{
    struct ph_buf text = {0};
    for (int i = 0; i < run->creation->n_chunks; i++)
        ph_buf_add(&text, run->creation->chunks[i]);
    ph_toc_parse(out, run->arena, ph_buf_text(&text), names);
    ph_buf_fini(&text);
}

/* The first entry whose turn is not before this one's. */
static int first_of_turn(const struct ph_toc *toc, int turn)
{
    int i = 0;
    while (i < toc->n && ph_create_turn(&toc->items[i]) < turn)
        i++;
    return i;
}

/* Statistics come before grants: who owns a table may have none for a function that its indexes use.
 * Materialized views come after them: their owners may need some to read the tables. */
static bool add_all(struct rest *rest, const struct ph_toc_names *names, struct ph_err *err)
{
    int grants = first_of_turn(&rest->toc, 1), last = first_of_turn(&rest->toc, 2);
    struct ph_toc made;
    add_barrier(rest);
    if (!add_groups(rest, 0, grants, err))
        return false;
    add_analyzes(rest);
    add_barrier(rest);
    if (!add_groups(rest, grants, last, err))
        return false;
    parse_made(rest->run, names, &made);
    return (!rest->run->opts->create.refresh || add_refreshes(rest, &made, err)) &&
           add_groups(rest, last, rest->toc.n, err);
}

bool ph_create_steps(struct ph_run *run, struct ph_err *err)
{
    struct ph_toc_names names;
    struct rest rest = {.run = run};
    bool ok = ph_create_tools(run, run->creation->major, "dump in the ledger", &rest.tools, err) &&
              ph_creation_dump(run->target, run->creation->id, &rest.dump, err) &&
              ph_create_names(run, &names, err);
    if (ok) {
        ph_toc_parse(&rest.toc, run->arena, run->creation->rest, &names);
        leave_out_covered(&rest);
        ok = add_all(&rest, &names, err);
    }
    ph_buf_fini(&rest.dump);
    return ok || ph_err_prefix(err, "planning what comes after the rows");
}

/* Sequences. They are no part of any snapshot, so they are read now, or were read behind an archive's
 * snapshot; none goes back from where it is. */

static bool ask_sequences(struct ph_run *run, const struct ph_toc *made, struct ph_rows **names,
                          struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n"
                     " ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND c.oid = ANY ('{");
    for (int i = 0, n = 0; i < made->n; i++)
        if (made->items[i].catalog == PH_CATALOG_CLASS && ph_toc_is(&made->items[i], "SEQUENCE"))
            ph_buf_addf(&sql, "%s%u", n++ ? "," : "", made->items[i].oid);
    ph_buf_add(&sql, "}'::oid[])");
    bool ok = ph_witness_catalog(&source, "sequences", sql.data, names, err);
    ph_buf_fini(&sql);
    return ok;
}

/* Where some of them are: number, last value, whether that was given out. */
static bool ask_values(struct ph_run *run, const struct ph_rows *names, int first, int end,
                       struct ph_rows **values, struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    struct ph_buf sql = {0};
    char question[64];
    snprintf(question, sizeof question, "sequences from %d", first);
    for (int i = first; i < end; i++)
        ph_sql_add(&sql, "%sSELECT %d, last_value, is_called FROM %I.%I",
                   i > first ? " UNION ALL " : "", i, ph_rows_text(names, i, 0),
                   ph_rows_text(names, i, 1));
    bool ok = ph_witness_query(&source, question, sql.data, values, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool set_some(struct ph_run *run, const struct ph_rows *names, int first, int end,
                     struct ph_err *err)
{
    struct ph_buf sql = {0}, name = {0};
    struct ph_rows *rows = NULL;
    if (!ask_values(run, names, first, end, &rows, err))
        return false;
    ph_buf_add(&sql, "SELECT pg_catalog.setval(c.oid::pg_catalog.regclass, CASE WHEN p.seqincrement"
                     " OPERATOR(pg_catalog.>) 0"
                     " THEN greatest(x.v, pg_catalog.pg_sequence_last_value(c.oid))"
                     " ELSE least(x.v, pg_catalog.pg_sequence_last_value(c.oid)) END,"
                     " x.called OR pg_catalog.pg_sequence_last_value(c.oid) IS NOT NULL)"
                     " FROM (VALUES ");
    for (int i = 0; i < ph_rows_count(rows); i++) {
        int which = (int)ph_rows_int(rows, i, 0);
        ph_buf_clear(&name);
        ph_sql_add(&name, "%I.%I", ph_rows_text(names, which, 0), ph_rows_text(names, which, 1));
        ph_sql_add(&sql, "%s(%L, %L::pg_catalog.int8, %s)", i ? ", " : "", name.data,
                   ph_rows_text(rows, i, 1), ph_rows_bool(rows, i, 2) ? "true" : "false");
    }
    ph_buf_add(&sql, ") x(n, v, called), LATERAL (SELECT x.n::pg_catalog.regclass::pg_catalog.oid)"
                     " c(oid) JOIN pg_catalog.pg_sequence p"
                     " ON p.seqrelid OPERATOR(pg_catalog.=) c.oid");
    bool ok = ph_conn_exec(run->target, sql.data, err);
    ph_rows_free(rows);
    ph_buf_fini(&name);
    ph_buf_fini(&sql);
    return ok;
}

static int end_of(int first, int n)
{
    return first + SEQUENCES_PER_QUERY < n ? first + SEQUENCES_PER_QUERY : n;
}

bool ph_create_sequences(struct ph_run *run, struct ph_err *err)
{
    const struct ph_toc_names none = {0};
    struct ph_toc made;
    struct ph_rows *names = NULL;
    if (PH_FAULT("create.sequences"))
        return ph_err_set(err, PH_FAILED, "fault point create.sequences");
    parse_made(run, &none, &made);
    bool ok = ask_sequences(run, &made, &names, err);
    int n = ph_rows_count(names);
    for (int i = 0; ok && i < n; i += SEQUENCES_PER_QUERY)
        ok = set_some(run, names, i, end_of(i, n), err);
    ph_rows_free(names);
    return ok || ph_err_prefix(err, "setting sequences");
}

bool ph_create_ask_rest(struct ph_run *run, const struct ph_toc *made, struct ph_err *err)
{
    struct ph_rows *names = NULL, *rows = NULL;
    bool ok = ask_filled(run, made, &rows, err) && ask_sequences(run, made, &names, err);
    int n = ph_rows_count(names);
    for (int i = 0; ok && i < n; i += SEQUENCES_PER_QUERY) {
        ph_rows_free(rows);
        rows = NULL;
        ok = ask_values(run, names, i, end_of(i, n), &rows, err);
    }
    ph_rows_free(names);
    ph_rows_free(rows);
    return ok;
}
