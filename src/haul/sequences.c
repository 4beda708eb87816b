/* Where sequences stand after the rows: those that columns of the job own.
 *
 * Sequences are not part of any snapshot, so they are read now, and set ahead of both the source's
 * present value and what was copied. An ascending one never goes back; a descending one never forth.
 * Many at a time: a question for each would take longer than a thousand small tables do.
 */
#include <stdlib.h>
#include <string.h>

#include "haul/run.h"
#include "pg/sql.h"

enum { AT_ONCE = 200 };

/* Which column owns which, on one side. */
struct owner {
    uint32_t table;
    const char *column, *sequence; /* the latter quoted, with its schema */
    bool descends;
};

struct owners {
    struct owner *items;
    int n;
};

static int order_owners(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    int names = strcmp(x->column, y->column);
    return x->table != y->table ? (x->table < y->table ? -1 : 1)
           : names              ? names
                                : strcmp(x->sequence, y->sequence);
}

/* A child uses the sequence that its parent's column owns. */
static bool find_owners(struct ph_run *run, struct ph_conn *conn, struct owners *out,
                        struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(
            conn,
            "WITH o AS (SELECT d.refobjid AS oid, a.attname,"
            " pg_catalog.format('%I.%I', n.nspname, c.relname) AS sequence,"
            " s.seqincrement OPERATOR(pg_catalog.<) 0 AS descends"
            " FROM pg_catalog.pg_depend d"
            " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.objid"
            " AND c.relkind OPERATOR(pg_catalog.=) 'S'"
            " JOIN pg_catalog.pg_sequence s ON s.seqrelid OPERATOR(pg_catalog.=) c.oid"
            " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
            " JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid"
            " AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid"
            " WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
            " AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
            " AND d.deptype IN ('a', 'i') AND d.refobjsubid OPERATOR(pg_catalog.>) 0)"
            " SELECT oid, attname, sequence, descends FROM o UNION"
            " SELECT i.inhrelid, o.attname, o.sequence, o.descends FROM o JOIN "
            "pg_catalog.pg_inherits i"
            " ON i.inhparent OPERATOR(pg_catalog.=) o.oid",
            &rows, err))
        return false;
    out->n = ph_rows_count(rows);
    out->items = ph_arena_calloc(run->arena, (size_t)out->n, sizeof *out->items);
    for (int i = 0; i < out->n; i++)
        out->items[i] = (struct owner){
            .table = (uint32_t)ph_rows_uint(rows, i, 0),
            .column = ph_arena_strdup(run->arena, ph_rows_text(rows, i, 1)),
            .sequence = ph_arena_strdup(run->arena, ph_rows_text(rows, i, 2)),
            .descends = ph_rows_bool(rows, i, 3),
        };
    ph_rows_free(rows);
    if (out->n)
        qsort(out->items, (size_t)out->n, sizeof *out->items, order_owners);
    return true;
}

/* The first of that column's; NULL: it owns none. */
static const struct owner *sequence_of(const struct owners *owners, uint32_t table,
                                       const char *column)
{
    const struct owner key = {.table = table, .column = column, .sequence = ""};
    int lo = 0, hi = owners->n;
    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (order_owners(&owners->items[middle], &key) < 0)
            lo = middle + 1;
        else
            hi = middle;
    }
    const struct owner *found = &owners->items[lo];
    return lo < owners->n && found->table == table && !strcmp(found->column, column) ? found : NULL;
}

struct pair {
    const struct ph_table *table;
    const char *column, *source, *target; /* column of the target; sequences */
    bool descends;
};

/* Pairs that are to be set; *room of the arena's grows with them. */
static void add_pairs(struct ph_run *run, const struct ph_table *t, const struct owners *source,
                      const struct owners *target, struct pair **pairs, int *n, int *room)
{
    for (int i = 0; i < t->n_columns; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        if (c->is_expression || !strstr("smallint integer bigint", c->target_type))
            continue;
        const struct owner *to = sequence_of(target, t->target_oid, c->name);
        const struct owner *from = to ? sequence_of(source, t->source_oid, c->source) : NULL;
        if (!from)
            continue;
        if (*n == *room) {
            int wider = *room ? 2 * *room : 64;
            struct pair *more = ph_arena_calloc(run->arena, (size_t)wider, sizeof *more);
            if (*n)
                memcpy(more, *pairs, (size_t)*n * sizeof *more);
            *pairs = more;
            *room = wider;
        }
        (*pairs)[(*n)++] = (struct pair){.table = t,
                                         .column = c->name,
                                         .source = from->sequence,
                                         .target = to->sequence,
                                         .descends = to->descends};
    }
}

/* In the order in which they were named: what two tables share is set twice, and the second sees the first. One that we have made has
 * no value of its own yet. */
static void add_setting(struct ph_buf *sql, const struct pair *p, const char *value, bool called,
                        bool made)
{
    ph_sql_add(sql,
               "%sSELECT pg_catalog.setval(%L, %s(%s, m.v, %ss.last_value%s),"
               " %s OR s.is_called OR m.v IS NOT NULL) FROM %s s,"
               " (SELECT pg_catalog.%s(%I)::pg_catalog.int8 FROM %I.%I) m(v)",
               sql->len ? " UNION ALL " : "", p->target, p->descends ? "least" : "greatest", value,
               made ? "CASE WHEN s.is_called THEN " : "", made ? " END" : "",
               called ? "true" : "false", p->target, p->descends ? "min" : "max", p->column,
               p->table->target_schema, p->table->target_name);
}

static bool set_some(struct ph_run *run, const struct pair *pairs, int n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    for (int i = 0; i < n; i++)
        ph_sql_add(&sql, "%sSELECT %d AS nr, last_value, is_called FROM %s", i ? " UNION ALL " : "",
                   i, pairs[i].source);
    ph_sql_add(&sql, " ORDER BY nr");
    bool ok = ph_conn_query(run->source, sql.data, &rows, err);
    ph_buf_clear(&sql);
    for (int i = 0; i < ph_rows_count(rows); i++)
        add_setting(&sql, &pairs[i], ph_rows_text(rows, i, 1), ph_rows_bool(rows, i, 2),
                    run->creation != NULL);
    ok = ok && ph_conn_exec(run->target, sql.data, err);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "setting sequence%s %s%s", n > 1 ? "s" : "", pairs[0].target,
                               n > 1 ? " and others" : "");
}

/* --create has made others, too. */
static bool set_others(struct ph_run *run, const struct pair *pairs, int n, struct ph_err *err)
{
    struct ph_buf but = {0};
    ph_buf_add(&but, "ARRAY[");
    for (int i = 0; i < n; i++)
        ph_sql_add(&but, "%s%L", i ? ", " : "", pairs[i].source);
    ph_buf_add(&but, "]::text[]");
    bool ok = ph_create_sequences(run, but.data, err);
    ph_buf_fini(&but);
    return ok;
}

bool ph_run_set_sequences(struct ph_run *run, struct ph_err *err)
{
    struct owners source = {0}, target = {0};
    struct pair *pairs = NULL;
    int n = 0, room = 0;
    if (!ph_run_reach(run, true, err) || !find_owners(run, run->target, &target, err) ||
        (target.n && !find_owners(run, run->source, &source, err)))
        return false;
    for (int i = 0; i < run->n_tabs && source.n; i++)
        add_pairs(run, run->tables[i], &source, &target, &pairs, &n, &room);
    if (run->creation && !set_others(run, pairs, n, err))
        return false;
    for (int i = 0; i < n; i += AT_ONCE)
        if (!set_some(run, &pairs[i], n - i < AT_ONCE ? n - i : AT_ONCE, err))
            return false;
    return true;
}
