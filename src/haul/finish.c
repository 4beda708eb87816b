/* What is left when every shard has landed: sequences. */
#include <string.h>

#include "haul/run.h"
#include "pg/sql.h"

/* Sequences are not part of any snapshot, so they are read now, and set ahead of both the source's
 * present value and what was copied. An ascending one never goes back; a descending one never
 * forth. */
static bool set_one(struct ph_run *run, const struct ph_table *t, const char *column,
                    const char *target_sequence, const char *source_sequence, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT last_value, is_called FROM %s", source_sequence);
    bool ok = ph_conn_query(run->source, sql.data, &rows, err);
    ph_buf_clear(&sql);
    if (ok) {
        bool called = ph_rows_bool(rows, 0, 1);
        ph_sql_add(&sql,
                   "SELECT pg_catalog.setval(%L::pg_catalog.regclass, v.v, v.called) FROM ("
                   "SELECT CASE WHEN p.seqincrement OPERATOR(pg_catalog.>) 0"
                   " THEN greatest(%s::pg_catalog.int8, m.hi, s.last_value)"
                   " ELSE least(%s::pg_catalog.int8, m.lo, s.last_value) END AS v,"
                   " %s OR s.is_called OR m.hi IS NOT NULL AS called"
                   " FROM %s s, pg_catalog.pg_sequence p,"
                   " (SELECT pg_catalog.max(%I)::pg_catalog.int8 AS hi,"
                   " pg_catalog.min(%I)::pg_catalog.int8 AS lo FROM %I.%I) m"
                   " WHERE p.seqrelid OPERATOR(pg_catalog.=) %L::pg_catalog.regclass) v",
                   target_sequence, ph_rows_text(rows, 0, 0), ph_rows_text(rows, 0, 0),
                   called ? "true" : "false", target_sequence, column, column, t->target_schema,
                   t->target_name, target_sequence);
        ok = ph_conn_exec(run->target, sql.data, err);
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "setting sequence %s", target_sequence);
}

/* Name of the sequence that a column owns, in *rows; false on an error, an empty result where there
 * is none. */
static bool owned_sequence(struct ph_conn *conn, uint32_t table, const char *column,
                           struct ph_rows **rows, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)"
               " FROM pg_catalog.pg_depend d"
               " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.objid"
               " AND c.relkind OPERATOR(pg_catalog.=) 'S'"
               " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
               " JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid"
               " AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid"
               " WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
               " AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
               " AND d.deptype IN ('a', 'i') AND a.attname OPERATOR(pg_catalog.=) %L"
               " AND d.refobjid OPERATOR(pg_catalog.=) ANY (SELECT %u::pg_catalog.oid UNION"
               " SELECT i.inhparent FROM pg_catalog.pg_inherits i"
               " WHERE i.inhrelid OPERATOR(pg_catalog.=) %u)",
               column, table, table);
    bool ok = ph_conn_query(conn, sql.data, rows, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool set_of_table(struct ph_run *run, const struct ph_table *t, struct ph_err *err)
{
    bool ok = true;
    for (int i = 0; i < t->n_columns && ok; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        struct ph_rows *target = NULL, *source = NULL;
        if (c->is_expression || !strstr("smallint integer bigint", c->target_type))
            continue;
        ok = owned_sequence(run->target, t->target_oid, c->name, &target, err);
        if (ok && ph_rows_count(target) > 0)
            ok = owned_sequence(run->source, t->source_oid, c->source, &source, err);
        if (ok && ph_rows_count(source) > 0)
            ok = set_one(run, t, c->name, ph_rows_text(target, 0, 0), ph_rows_text(source, 0, 0),
                         err);
        ph_rows_free(target);
        ph_rows_free(source);
    }
    return ok;
}

bool ph_run_sequences(struct ph_run *run, struct ph_err *err)
{
    bool ok = ph_run_connect(run, true, err);
    for (int i = 0; i < run->n_tabs && ok; i++)
        ok = set_of_table(run, run->tables[i], err);
    return ok;
}
