/* Units: what is compared with what.
 *
 * Mostly a table with a table. Partitions that route otherwise on the other side make the whole
 * tree one unit: its rows are looked for wherever they are. The target's leaves are asked for now,
 * so that rows in a leaf that the source does not know are seen too.
 */
#include <string.h>

#include "base/buf.h"
#include "base/feature.h"
#include "haul/verify_run.h"
#include "pg/sql.h"

/* A leaf of a target, with the number of the plan's table that asked for it. */
struct leaf {
    int table;
    uint32_t root, oid;
    char root_kind;
    const char *schema, *name;
    char kind;
    int64_t blocks;
};

static const struct ph_plan *plan_of(const struct ph_verify *v)
{
    return v->run.plan;
}

static bool read_leaves(struct ph_verify *v, struct leaf **out, int *n, struct ph_err *err)
{
    const struct ph_plan *plan = plan_of(v);
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, "WITH asked(n, root) AS (VALUES ");
    for (int i = 0; i < plan->n_tables; i++)
        ph_sql_add(&sql, "%s(%d, pg_catalog.to_regclass(%L))", i ? ", " : "", i,
                   plan->tables[i].root_target);
    ph_buf_add(
        &sql,
        ") SELECT a.n, a.root::pg_catalog.oid, r.relkind, c.oid, s.nspname, c.relname, c.relkind,"
        " pg_catalog.pg_relation_size(c.oid) OPERATOR(pg_catalog./) 8192"
        " FROM asked a JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) a.root"
        " CROSS JOIN LATERAL (SELECT a.root::pg_catalog.oid AS relid WHERE r.relkind <> 'p'"
        "  UNION ALL SELECT p.relid FROM pg_catalog.pg_partition_tree(a.root) p"
        "  WHERE r.relkind OPERATOR(pg_catalog.=) 'p' AND p.isleaf) l"
        " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relid"
        " AND c.relkind OPERATOR(pg_catalog.<>) 'p'"
        " JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace"
        " ORDER BY a.n, c.oid");
    bool ok = plan->n_tables == 0 || ph_conn_query(v->run.target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    *n = ok ? ph_rows_count(rows) : 0;
    *out = ph_arena_calloc(v->arena, (size_t)*n, sizeof **out);
    for (int i = 0; i < *n; i++)
        (*out)[i] = (struct leaf){
            .table = (int)ph_rows_int(rows, i, 0),
            .root = (uint32_t)ph_rows_uint(rows, i, 1),
            .root_kind = *ph_rows_text(rows, i, 2),
            .oid = (uint32_t)ph_rows_uint(rows, i, 3),
            .schema = ph_arena_strdup(v->arena, ph_rows_text(rows, i, 4)),
            .name = ph_arena_strdup(v->arena, ph_rows_text(rows, i, 5)),
            .kind = *ph_rows_text(rows, i, 6),
            .blocks = ph_rows_int(rows, i, 7),
        };
    ph_rows_free(rows);
    return ok;
}

static bool has_tids(char kind, int version)
{
    return (kind == 'r' || kind == 'm') && ph_feature_has(version, PH_HAS_TID_RANGE_SCAN);
}

/* SELECT lists. */

static const struct ph_plan_column *column_of(const struct ph_table *table, const char *name)
{
    for (int i = 0; i < table->n_columns; i++)
        if (!strcmp(table->columns[i].name, name))
            return &table->columns[i];
    return NULL;
}

static const char *column_sql(const struct ph_unit *unit, const struct ph_table *table, int side,
                              int place)
{
    const struct ph_plan_column *c = column_of(table, unit->first->columns[place].name);
    if (!c)
        return "NULL";
    return side == PH_READ_SOURCE ? c->verify_source : c->verify_target;
}

static void write_lists(struct ph_verify *v, const struct ph_unit *unit, int side,
                        struct ph_unit_rel *rel)
{
    struct ph_buf sql = {0};
    for (int i = 0; i < unit->first->n_columns; i++)
        ph_sql_add(&sql, "%s%s", i ? ", " : "", column_sql(unit, rel->table, side, i));
    rel->select = ph_arena_strdup(v->arena, ph_buf_text(&sql));
    ph_buf_clear(&sql);
    for (int i = 0; i < unit->first->n_identity; i++)
        ph_sql_add(&sql, "%s%s", i ? ", " : "",
                   column_sql(unit, rel->table, side, unit->first->identity[i]));
    rel->keys = ph_arena_strdup(v->arena, ph_buf_text(&sql));
    ph_buf_fini(&sql);
    rel->back = rel->table->target_columns;
    for (int i = 0; i < rel->table->n_columns; i++)
        rel->n_back += !rel->table->columns[i].generated;
}

static const char *only(struct ph_verify *v, const char *schema, const char *name)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "ONLY %I.%I", schema, name);
    const char *text = ph_arena_strdup(v->arena, sql.data);
    ph_buf_fini(&sql);
    return text;
}

static void add_source_rels(struct ph_verify *v, struct ph_unit *unit)
{
    unit->n_rels[PH_READ_SOURCE] = unit->n_tables;
    unit->rels[PH_READ_SOURCE] =
        ph_arena_calloc(v->arena, (size_t)unit->n_tables, sizeof(struct ph_unit_rel));
    for (int i = 0; i < unit->n_tables; i++) {
        const struct ph_table *t = unit->tables[i];
        struct ph_unit_rel *rel = &unit->rels[PH_READ_SOURCE][i];
        *rel = (struct ph_unit_rel){
            .from = only(v, t->source_schema, t->source_name),
            .where = t->filter,
            .by_tid = has_tids(t->source_kind, plan_of(v)->source.version),
            .blocks = t->blocks,
            .qualify = t->qualify,
            .oid = t->source_oid,
            .table = t,
        };
        write_lists(v, unit, PH_READ_SOURCE, rel);
    }
}

/* Which of the unit's tables is loaded into this leaf; through the root: any of those. */
static const struct ph_table *loaded_into(const struct ph_unit *unit, uint32_t oid)
{
    const struct ph_table *routed = NULL;
    for (int i = 0; i < unit->n_tables; i++) {
        if (unit->tables[i]->target_oid == oid)
            return unit->tables[i];
        if (unit->tables[i]->target_routes && !routed)
            routed = unit->tables[i];
    }
    return routed ? routed : unit->first;
}

static void add_target_rel(struct ph_verify *v, struct ph_unit *unit, const struct leaf *leaf)
{
    struct ph_unit_rel *rel = &unit->rels[PH_READ_TARGET][unit->n_rels[PH_READ_TARGET]++];
    *rel = (struct ph_unit_rel){
        .from = only(v, leaf->schema, leaf->name),
        .by_tid = has_tids(leaf->kind, plan_of(v)->target.version),
        .blocks = leaf->blocks,
        .oid = leaf->oid,
        .table = loaded_into(unit, leaf->oid),
    };
    rel->qualify = rel->table->qualify;
    write_lists(v, unit, PH_READ_TARGET, rel);
}

/* The two integers or uuids are in the same order everywhere; texts are not. */
static enum ph_unit_order order_of(const struct ph_table *t)
{
    static const char *const integers[] = {"smallint", "integer", "bigint"};
    if (t->n_identity == 0)
        return PH_ORDER_NONE;
    const struct ph_plan_column *c = &t->columns[t->identity[0]];
    bool source = false, target = false;
    if (c->by_text || c->is_expression)
        return PH_ORDER_NONE;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        source = source || !strcmp(c->source_type, integers[i]);
        target = target || !strcmp(c->target_type, integers[i]);
    }
    if (source && target)
        return PH_ORDER_INTEGER;
    bool uuid = !strcmp(c->source_type, "uuid") && !strcmp(c->target_type, "uuid");
    return uuid ? PH_ORDER_UUID : PH_ORDER_NONE;
}

static void fill_result(struct ph_verify *v, struct ph_unit *unit, bool whole_tree)
{
    const struct ph_table *t = unit->first;
    struct ph_verify_table *r = unit->result;
    struct ph_plan *plan = v->run.plan;
    *r = (struct ph_verify_table){
        .source =
            whole_tree ? t->root_source : ph_plan_name(plan, t->source_schema, t->source_name),
        .target =
            whole_tree ? t->root_target : ph_plan_name(plan, t->target_schema, t->target_name),
        .source_rows = -1,
        .target_rows = -1,
        .level = v->opts->level,
        .coverage = 1,
        .only_source = t->only_source,
        .n_only_source = t->n_only_source,
        .only_target = t->only_target,
        .n_only_target = t->n_only_target,
    };
    const char **key = ph_arena_calloc(v->arena, (size_t)t->n_identity, sizeof *key);
    bool *number = ph_arena_calloc(v->arena, (size_t)t->n_identity, sizeof *number);
    for (int i = 0; i < t->n_identity; i++) {
        const struct ph_plan_column *c = &t->columns[t->identity[i]];
        key[i] = c->name;
        number[i] = !strcmp(c->target_type, "smallint") || !strcmp(c->target_type, "integer") ||
                    !strcmp(c->target_type, "bigint");
    }
    r->key = key;
    r->key_is_number = number;
    r->n_key = t->n_identity;
}

/* Grouping. */

static char root_kind(const struct leaf *leaves, int n, int table)
{
    for (int i = 0; i < n; i++)
        if (leaves[i].table == table)
            return leaves[i].root_kind;
    return 'r';
}

/* With parts left out, a tree is no whole: then leaf is compared with leaf. */
static bool is_tree(const struct ph_verify *v, const struct leaf *leaves, int n, int table)
{
    return root_kind(leaves, n, table) == 'p' && v->spec.n_exclude_tables == 0 &&
           v->spec.n_exclude_schemas == 0;
}

static bool belong_together(const struct ph_table *a, const struct ph_table *b, bool tree)
{
    return a->target_oid == b->target_oid || (tree && !strcmp(a->root_target, b->root_target) &&
                                              !strcmp(a->root_source, b->root_source));
}

static void take_loads(struct ph_verify *v, struct ph_unit *unit,
                       const struct ph_ledger_loads *loads)
{
    bool own_rows = v->spec.allow_nonempty;
    unit->loads = ph_arena_calloc(v->arena, (size_t)unit->n_tables, sizeof *unit->loads);
    for (int i = 0; i < unit->n_tables; i++)
        for (int k = 0; k < loads->n; k++) {
            const struct ph_ledger_load *load = &loads->items[k];
            bool same_target = load->target_oid == unit->tables[i]->target_oid;
            if (load->source_oid != unit->tables[i]->source_oid || (!same_target && unit->loads[i]))
                continue;
            unit->loads[i] = load;
            own_rows = own_rows || load->nonempty || !strcmp(load->mode, "upsert");
        }
    unit->ignore_extra = own_rows && !v->opts->exact;
    const char *proven_at = NULL;
    for (int i = 0; i < unit->n_tables; i++) {
        proven_at = unit->loads[i] ? unit->loads[i]->proven_at : NULL;
        if (!proven_at || strcmp(unit->loads[i]->stands, unit->loads[0]->stands) != 0)
            return;
    }
    unit->stands = unit->loads[0]->stands;
    unit->settled = unit->result->equal = true;
    unit->result->proof =
        ph_arena_printf(v->arena, "proven at %s UTC, before this verify was stopped", proven_at);
}

static void make_unit(struct ph_verify *v, int first, const struct leaf *leaves, int n_leaves,
                      bool *taken, const struct ph_ledger_loads *loads)
{
    struct ph_plan *plan = v->run.plan;
    struct ph_unit *unit = &v->units[v->n_units];
    bool tree = is_tree(v, leaves, n_leaves, first);
    unit->result = &v->result->tables[v->n_units++];
    unit->first = &plan->tables[first];
    unit->tables = ph_arena_calloc(v->arena, (size_t)plan->n_tables, sizeof *unit->tables);
    bool routes = false;
    for (int i = first; i < plan->n_tables; i++)
        if (!taken[i] && belong_together(&plan->tables[first], &plan->tables[i], tree)) {
            taken[i] = true;
            unit->tables[unit->n_tables++] = &plan->tables[i];
            routes = routes || plan->tables[i].target_routes;
        }
    for (int i = 0; i < unit->n_tables && routes; i++)
        if (unit->tables[i]->target_routes)
            unit->first = unit->tables[i];
    unit->order = order_of(unit->first);
    unit->key_leads = true;
    for (int i = 0; i < unit->first->n_identity; i++)
        unit->key_leads = unit->key_leads && unit->first->identity[i] == i;
    fill_result(v, unit, tree || unit->n_tables > 1);
    add_source_rels(v, unit);
    unit->rels[PH_READ_TARGET] =
        ph_arena_calloc(v->arena, (size_t)n_leaves + 1, sizeof(struct ph_unit_rel));
    for (int i = 0; i < n_leaves; i++)
        if (leaves[i].table == first &&
            (tree || routes || leaves[i].oid == plan->tables[first].target_oid))
            add_target_rel(v, unit, &leaves[i]);
    if (unit->n_rels[PH_READ_TARGET] == 0 && !tree && !routes) {
        /* a child of an inheritance tree */
        const struct ph_table *t = unit->first;
        const struct leaf own = {.oid = t->target_oid,
                                 .schema = t->target_schema,
                                 .name = t->target_name,
                                 .kind = 'r',
                                 .blocks = t->blocks};
        add_target_rel(v, unit, &own);
    }
    take_loads(v, unit, loads);
}

/* Where one job that is not complete loads all of them, its snapshot is the moment to compare with. */
static bool find_moment(struct ph_verify *v, struct ph_err *err)
{
    struct ph_ledger_snapshot *snapshot = NULL;
    int64_t job = 0;
    for (int i = 0; i < v->n_units; i++)
        for (int k = 0; k < v->units[i].n_tables; k++) {
            const struct ph_ledger_load *load = v->units[i].loads[k];
            if (!load || !load->open || (job && load->job != job))
                return true;
            job = load->job;
        }
    if (!job)
        return true;
    if (!ph_ledger_snapshot(v->run.target, v->arena, job, &snapshot, err))
        return false;
    if (snapshot && !snapshot->released)
        v->moment = snapshot->id;
    return true;
}

bool ph_unit_make(struct ph_verify *v, struct ph_err *err)
{
    struct ph_plan *plan = v->run.plan;
    struct ph_ledger_loads loads;
    struct leaf *leaves;
    int n_leaves = 0;
    const char *job = v->spec.job_name;
    if (!read_leaves(v, &leaves, &n_leaves, err) ||
        !ph_ledger_loads(v->run.target, v->arena, job, plan->source.system_id,
                         plan->source.database_oid, v->how, &loads, err))
        return false;
    size_t n = (size_t)plan->n_tables;
    bool *taken = ph_arena_calloc(v->arena, n, sizeof *taken);
    v->units = ph_arena_calloc(v->arena, n, sizeof *v->units);
    v->result->tables = ph_arena_calloc(v->arena, n + 1, sizeof *v->result->tables);
    for (int i = 0; i < plan->n_tables; i++)
        if (!taken[i])
            make_unit(v, i, leaves, n_leaves, taken, &loads);
    v->result->n_tables = v->n_units;
    for (int i = 0; i < v->n_units; i++) {
        struct ph_unit *unit = &v->units[i];
        for (int k = 0; k < unit->n_tables && !job; k++)
            if (unit->loads[k])
                v->result->job = unit->loads[k]->name;
    }
    return find_moment(v, err);
}

struct ph_readout_rel ph_unit_readout(struct ph_verify *v, const struct ph_unit *unit, int side,
                                      int rel, bool with_place)
{
    const struct ph_unit_rel *r = &unit->rels[side][rel];
    bool keys = !unit->key_leads && unit->first->n_identity > 0;
    const char *lead = with_place && keys ? ph_arena_printf(v->arena, "ctid, %s", r->keys)
                       : with_place       ? "ctid"
                       : keys             ? r->keys
                                          : "";
    return (struct ph_readout_rel){
        .side = side,
        .from = r->from,
        .where = r->where,
        .lead = lead,
        .select = r->select,
        .n_lead = with_place + (keys ? unit->first->n_identity : 0),
        .n_columns = unit->first->n_columns,
        .n_skip = with_place,
        .n_key = unit->first->n_identity,
        .by_tid = r->by_tid,
        .blocks = r->blocks,
        .qualify = r->qualify,
        .number = rel,
    };
}
