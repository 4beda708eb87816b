#include <stdlib.h>
#include <string.h>

#include "archive/schema.h"
#include "haul/create.h"
#include "pg/catalog.h"
#include "pg/sql.h"

/* Options for pg_dump, growing. */
struct words {
    struct ph_arena *arena;
    const char **items;
    int n, room;
};

static void add(struct words *words, const char *option, const char *value)
{
    if (words->n + 2 > words->room) {
        int room = words->room ? words->room * 2 : 64;
        const char **more = ph_arena_calloc(words->arena, (size_t)room, sizeof *more);
        for (int i = 0; i < words->n; i++)
            more[i] = words->items[i];
        words->items = more;
        words->room = room;
    }
    words->items[words->n++] = option;
    words->items[words->n++] = value;
}

/* Single tables are named one by one, with what they are partitions of: pg_dump takes no trees. */
static bool name_tables(struct ph_run *run, const struct ph_plan *plan, struct words *words,
                        struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT DISTINCT format('%%s.%%s', quote_ident(n.nspname),"
                     " quote_ident(c.relname)), n.nspname, c.relname"
                     " FROM unnest('{");
    for (int i = 0, n = 0; i < plan->n_tables; i++)
        if (!plan->tables[i].objects)
            ph_sql_add(&sql, "%s%u", n++ ? "," : "", plan->tables[i].source_oid);
    ph_sql_add(&sql, "}'::oid[]) t, LATERAL (SELECT t AS relid UNION ALL"
                     " SELECT p.relid FROM pg_partition_ancestors(t) p) a"
                     " JOIN pg_class c ON c.oid = a.relid"
                     " JOIN pg_namespace n ON n.oid = c.relnamespace");
    bool ok = ph_catalog_query(run->source, sql.data, &rows, err);
    for (int i = 0; i < ph_rows_count(rows); i++) {
        ph_buf_clear(&sql);
        ph_sql_add(&sql, "%I.%I", ph_rows_text(rows, i, 1), ph_rows_text(rows, i, 2));
        add(words, "-t", ph_arena_strdup(run->arena, sql.data));
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

static bool select_objects(struct ph_run *run, const struct ph_plan *plan, struct words *words,
                           struct ph_err *err)
{
    const struct ph_job_spec *spec = run->opts->spec;
    if (!spec->all && !spec->n_schemas)
        return name_tables(run, plan, words, err);
    for (int i = 0; i < spec->n_schemas; i++)
        add(words, "-n", spec->schemas[i]);
    for (int i = 0; i < spec->n_exclude_schemas; i++)
        add(words, "-N", spec->exclude_schemas[i]);
    add(words, "-N", "pghaul"); /* of a source that was a target once */
    for (int i = 0; i < plan->n_left_out; i++)
        add(words, "-T", plan->left_out[i]);
    return true;
}

static bool plan_first(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct ph_job_spec *spec = ph_arena_alloc(run->arena, sizeof *spec);
    *spec = *run->opts->spec;
    spec->to_be_made = true;
    if (!spec->archive) {
        spec->route = PH_ROUTE_EXTRACT;
        spec->archive_shown = ph_conn_shown(run->target);
    }
    if (!ph_plan_make(&look->plan, spec, run->source, run->target, err))
        return false;
    look->first_warning = look->plan->n_warnings;
    return true;
}

bool ph_create_dump(struct ph_run *run, const struct ph_plan *plan, struct ph_create_look *look,
                    struct ph_err *err)
{
    struct words words = {.arena = run->arena};
    return select_objects(run, plan, &words, err) &&
           ph_dump_schema(&look->tools, run->opts->source, run->encoding, words.items, words.n,
                          &look->dump, err);
}

bool ph_create_tools(struct ph_run *run, int need, const char *side, struct ph_tools *out,
                     struct ph_err *err)
{
    const struct ph_job_opts *opts = run->opts;
    if ((run->tools.major == 0 || run->tools.major < need) &&
        !ph_tools_find(&run->tools, run->arena, opts->create.pg_bin, need, side, opts->interrupt,
                       err))
        return false;
    *out = run->tools;
    return true;
}

static bool have_dump(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    const struct ph_plan *plan = look->plan;
    const struct ph_archive *archive = run->opts->spec->archive;
    int theirs = archive ? archive->schema->major : plan->source.version / 10000;
    int need = plan->target.version / 10000;
    bool newer = theirs > need;
    const char *side = !newer ? "target" : archive ? "schema in the archive" : "source";
    return ph_create_tools(run, newer ? theirs : need, side, &look->tools, err) &&
           (archive ? ph_schema_read(archive->schema, PH_SCHEMA_DUMP, run->archive_dir.fd,
                                     run->archive_dir.shown, &look->dump, err)
                    : ph_create_dump(run, plan, look, err));
}

static bool list(struct ph_run *run, struct ph_create_look *look, const char *section,
                 const struct ph_toc_names *names, struct ph_toc *out, struct ph_err *err)
{
    struct ph_buf text = {0};
    const struct ph_dump_without without = ph_create_without(run);
    bool ok = ph_dump_list(&look->tools, &look->dump, &without, section, &text, err);
    if (ok)
        ph_toc_parse(out, run->arena, ph_buf_text(&text), names);
    ph_buf_fini(&text);
    return ok;
}

/* Grants come late: what they take from the owner would be missed while rows are loaded, and nobody
 * should read a table that is half there. What is there already is left out. */
static void sort_out(struct ph_run *run, struct ph_create_look *look, const bool *skip)
{
    const struct ph_toc pre = look->pre, post = look->post;
    size_t room = (size_t)pre.n + (size_t)post.n;
    look->pre = (struct ph_toc){.items = ph_arena_calloc(run->arena, room, sizeof *pre.items)};
    look->post = (struct ph_toc){.items = ph_arena_calloc(run->arena, room, sizeof *pre.items)};
    for (int now = 0; now < 3; now++) {
        for (int i = 0; i < pre.n; i++) {
            struct ph_toc *to = now == 0 ? &look->pre : &look->post;
            if (!skip[i] && ph_create_turn(&pre.items[i]) == now)
                to->items[to->n++] = pre.items[i];
        }
        for (int i = 0; i < post.n; i++)
            if (ph_create_turn(&post.items[i]) == now)
                look->post.items[look->post.n++] = post.items[i];
    }
}

/* What comes, but not as it might be thought. */
static void warn(struct ph_run *run, struct ph_create_look *look)
{
    for (int i = 0; i < look->pre.n; i++) {
        const struct ph_toc_entry *e = &look->pre.items[i];
        const char *shown = ph_toc_shown(run->arena, e);
        if (ph_toc_is(e, "FOREIGN TABLE"))
            ph_plan_warn(look->plan, "%s: its definition comes, its rows stay where they are",
                         shown);
        else if (ph_toc_is(e, "MATERIALIZED VIEW") && !run->opts->create.refresh)
            ph_plan_warn(look->plan, "%s comes without rows; --refresh-matviews fills it", shown);
    }
    for (int i = 0; i < look->post.n; i++)
        if (ph_toc_is(&look->post.items[i], "SUBSCRIPTION"))
            ph_plan_warn(look->plan, "%s comes disabled",
                         ph_toc_shown(run->arena, &look->post.items[i]));
}

bool ph_create_list(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct ph_toc_names names;
    return ph_create_names(run, &names, err) &&
           list(run, look, "pre-data", &names, &look->pre, err) &&
           list(run, look, "post-data", &names, &look->post, err);
}

void ph_create_count(struct ph_run *run, struct ph_create_look *look)
{
    const struct ph_toc *const both[] = {&look->pre, &look->post};
    char *counts = ph_toc_counts(both, 2);
    look->counts = ph_arena_strdup(run->arena, counts ? counts : "{}");
    free(counts);
}

bool ph_create_look(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    *look = (struct ph_create_look){0};
    if (!plan_first(run, look, err))
        return false;
    look->counts = "{}";
    if (!have_dump(run, look, err)) /* rights are told better by the plan than by pg_dump */
        return look->plan->n_obstacles > 0 && err->code != PH_INTERRUPTED;
    if (!ph_create_list(run, look, err))
        return false;
    bool *skip = ph_arena_calloc(run->arena, (size_t)look->pre.n + 1, sizeof *skip);
    if (!ph_create_check(run, look, skip, err))
        return false;
    sort_out(run, look, skip);
    warn(run, look);
    ph_create_count(run, look);
    return true;
}

void ph_create_look_fini(struct ph_create_look *look)
{
    ph_plan_free(look->plan);
    ph_buf_fini(&look->dump);
}

/* Cutting it. */

enum { CHUNK = 500, LEAST_CHUNK = 20 };

/* Which relations need which others: they themselves, their rows' types, defaults and checks. Foreign keys come
 * after the rows. */
static bool ask_needs(struct ph_run *run, struct ph_rows **rows, struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    return ph_witness_catalog(
        &source, "needs",
        "WITH part(catalog, oid, relation) AS (SELECT 1259, oid, oid FROM pg_class"
        " UNION ALL SELECT 2604, oid, adrelid FROM pg_attrdef"
        " UNION ALL SELECT 2606, oid, conrelid FROM pg_constraint WHERE contype = 'c'"
        " UNION ALL SELECT 1247, oid, typrelid FROM pg_type WHERE typrelid <> 0"
        " UNION ALL SELECT 1247, typarray, typrelid FROM pg_type"
        " WHERE typrelid <> 0 AND typarray <> 0)"
        " SELECT DISTINCT a.relation, b.relation, c.relispartition AND c.oid = d.objid"
        " AND d.classid = 1259 AND d.refclassid = 1259 FROM pg_depend d"
        " JOIN part a ON a.catalog = d.classid AND a.oid = d.objid"
        " JOIN part b ON b.catalog = d.refclassid AND b.oid = d.refobjid"
        " JOIN pg_class c ON c.oid = a.relation AND c.relkind IN ('r', 'p', 'S')"
        " WHERE a.relation <> b.relation",
        rows, err);
}

bool ph_create_ask_needs(struct ph_run *run, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    bool ok = ask_needs(run, &rows, err);
    ph_rows_free(rows);
    return ok;
}

static bool read_needs(struct ph_run *run, struct ph_wave_need **needs, int *n, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ask_needs(run, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *needs = ph_arena_calloc(run->arena, (size_t)*n + 1, sizeof **needs);
    for (int i = 0; i < *n; i++)
        (*needs)[i] = (struct ph_wave_need){.relation = (uint32_t)ph_rows_uint(rows, i, 0),
                                            .needs = (uint32_t)ph_rows_uint(rows, i, 1),
                                            .partition = ph_rows_bool(rows, i, 2)};
    ph_rows_free(rows);
    return true;
}

/* What is made at one time holds no more locks than one chunk alone may. */
bool ph_create_cut(struct ph_run *run, struct ph_create_look *look, struct ph_waves *out,
                   struct ph_err *err)
{
    struct ph_wave_need *needs;
    int n, beside = CHUNK / ph_create_makers(run, look);
    if (!read_needs(run, &needs, &n, err))
        return false;
    ph_waves_cut(out, run->arena, &look->pre, needs, n, CHUNK,
                 beside > LEAST_CHUNK ? beside : LEAST_CHUNK);
    return true;
}
