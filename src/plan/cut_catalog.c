#include "plan/cut_catalog.h"

#include <stdlib.h>
#include <string.h>

#include "pg/sql.h"

/* want(rel, tab): OIDs of the list's relations with their place in it, from 1. */
static void add_want(struct ph_buf *sql, const struct ph_plan *plan, const struct ph_cut_list *list)
{
    ph_buf_add(sql, "want(rel, tab) AS (SELECT rel, tab FROM pg_catalog.unnest('{");
    for (int i = 0; i < list->n; i++)
        ph_sql_add(sql, "%s%u", i ? "," : "", plan->tables[list->table[i]].source_oid);
    ph_buf_add(sql, "}'::pg_catalog.oid[]) WITH ORDINALITY AS u(rel, tab))");
}

bool ph_cut_read_sizes(const struct ph_plan *plan, const struct ph_cut_list *list,
                       struct ph_conn *source, struct ph_cut_size *out, struct ph_err *err)
{
    if (list->n == 0)
        return true;
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "WITH ");
    add_want(&sql, plan, list);
    ph_sql_add(&sql,
               " SELECT w.tab, pg_catalog.pg_relation_size(c.oid)"
               " / pg_catalog.current_setting('block_size')::pg_catalog.int8,"
               " pg_catalog.pg_relation_size(c.oid)"
               " + CASE WHEN c.reltoastrelid <> 0 THEN pg_catalog.pg_relation_size(c.reltoastrelid)"
               " ELSE 0 END, c.relkind IN ('r', 'm') AND"
               " EXISTS (SELECT FROM pg_catalog.pg_am a WHERE a.oid = c.relam AND"
               " a.amhandler = 'pg_catalog.heap_tableam_handler'::pg_catalog.regproc)"
               " FROM want w JOIN pg_catalog.pg_class c ON c.oid = w.rel");
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(source, sql.data, &rows, err);
    for (int r = 0; ok && r < ph_rows_count(rows); r++) {
        int64_t tab = ph_rows_int(rows, r, 0) - 1;
        out[tab] = (struct ph_cut_size){.blocks = ph_rows_int(rows, r, 1),
                                        .bytes = ph_rows_int(rows, r, 2),
                                        .heap = ph_rows_bool(rows, r, 3)};
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "reading sizes of the %s's tables", ph_conn_side(source));
}

/* Columns with what a key needs to know of their types. Domains are looked through: a literal of
 * the domain would run its checks, and its operators are the base type's anyway. The default
 * operator class is found as the server finds it (GetDefaultOpClass): exact, else over a
 * binary-coercible type, preferred types first; arrays by their elements. reg* types are cut as the
 * OIDs they are, since their names depend on search_path. */
static const char columns_sql[] =
    ", attr AS ("
    " SELECT w.tab, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull AND NOT EXISTS ("
    "  SELECT FROM pg_catalog.pg_constraint n WHERE n.conrelid = a.attrelid AND n.contype = 'n'"
    "  AND NOT n.convalidated AND a.attnum = ANY (n.conkey)) AS filled"
    " FROM want w JOIN pg_catalog.pg_attribute a ON a.attrelid = w.rel"
    " WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attname = ANY (%s) OR EXISTS ("
    "  SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid"
    "  AND a.attnum = ANY (i.indkey)))),"
    " base(typ, oid) AS ("
    " SELECT DISTINCT atttypid, atttypid FROM attr"
    " UNION ALL SELECT b.typ, t.typbasetype FROM base b"
    " JOIN pg_catalog.pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'),"
    " probe AS ("
    " SELECT b.typ, e.oid IS NOT NULL AS is_array, p.oid, p.typtype,"
    "  CASE WHEN n.nspname = 'pg_catalog' AND t.typname LIKE 'reg%%' AND t.typcategory = 'N'"
    "  THEN 'pg_catalog.oid' ELSE pg_catalog.format('%%I.%%I', n.nspname, t.typname) END AS name"
    " FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype <> 'd'"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
    " LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'"
    " JOIN pg_catalog.pg_type p ON p.oid = CASE WHEN e.typtype = 'd' THEN e.typbasetype"
    "  ELSE COALESCE(e.oid, t.oid) END),"
    " class AS ("
    " SELECT DISTINCT ON (p.typ, m.amname) p.typ, p.is_array, m.amname, o.opcfamily, o.opcintype"
    " FROM probe p JOIN pg_catalog.pg_opclass o ON o.opcdefault"
    " JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod AND m.amname IN ('btree', 'hash')"
    " JOIN pg_catalog.pg_type i ON i.oid = o.opcintype"
    " WHERE o.opcintype = p.oid OR o.opcintype = CASE p.typtype"
    "  WHEN 'e' THEN 'pg_catalog.anyenum'::pg_catalog.regtype"
    "  WHEN 'r' THEN 'pg_catalog.anyrange'::pg_catalog.regtype"
    "  WHEN 'm' THEN pg_catalog.to_regtype('pg_catalog.anymultirange')"
    "  WHEN 'c' THEN 'pg_catalog.record'::pg_catalog.regtype END"
    " OR EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = p.oid"
    "  AND c.casttarget = o.opcintype AND c.castmethod = 'b' AND c.castcontext = 'i')"
    " ORDER BY p.typ, m.amname, o.opcintype = p.oid DESC, i.typispreferred DESC, o.oid)"
    " SELECT a.tab, a.attnum, a.attname, a.filled, p.name, b.nspname, h.typ IS NOT NULL,"
    "  pg_catalog.format_type(a.atttypid, a.atttypmod)"
    " FROM attr a JOIN probe p ON p.typ = a.atttypid"
    " LEFT JOIN ("
    "  SELECT k.typ, CASE WHEN k.is_array THEN 'pg_catalog' ELSE n.nspname END AS nspname"
    "  FROM class k"
    "  JOIN pg_catalog.pg_amop lt ON lt.amopfamily = k.opcfamily AND lt.amoplefttype = k.opcintype"
    "   AND lt.amoprighttype = k.opcintype AND lt.amopstrategy = 1"
    "  JOIN pg_catalog.pg_operator lo ON lo.oid = lt.amopopr AND lo.oprname = '<'"
    "  JOIN pg_catalog.pg_amop ge ON ge.amopfamily = k.opcfamily AND ge.amoplefttype = k.opcintype"
    "   AND ge.amoprighttype = k.opcintype AND ge.amopstrategy = 4"
    "  JOIN pg_catalog.pg_operator go ON go.oid = ge.amopopr AND go.oprname = '>='"
    "   AND go.oprnamespace = lo.oprnamespace"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = go.oprnamespace"
    "  WHERE k.amname = 'btree') b ON b.typ = a.atttypid"
    " LEFT JOIN (SELECT k.typ FROM class k WHERE k.amname = 'hash' AND EXISTS ("
    "  SELECT FROM pg_catalog.pg_amproc f WHERE f.amprocfamily = k.opcfamily"
    "  AND f.amproclefttype = k.opcintype AND f.amprocrighttype = k.opcintype"
    "  AND f.amprocnum = 2)) h ON h.typ = a.atttypid"
    " ORDER BY a.tab, a.attnum";

/* The names as an array literal's text, ready to be quoted once more. */
static void add_name_array(struct ph_buf *sql, const char *const *names, int n)
{
    struct ph_buf array = {0};
    ph_buf_addc(&array, '{');
    for (int i = 0; i < n; i++) {
        ph_buf_add(&array, i ? ",\"" : "\"");
        for (const char *p = names[i]; *p; p++) {
            if (*p == '"' || *p == '\\')
                ph_buf_addc(&array, '\\');
            ph_buf_addc(&array, *p);
        }
        ph_buf_addc(&array, '"');
    }
    ph_buf_addc(&array, '}');
    ph_sql_add(sql, "%L::pg_catalog.name[]", array.data);
    ph_buf_fini(&array);
}

/* How many rows from `row` on have the same first column. */
static int run_length(const struct ph_rows *rows, int row)
{
    int n = 1;
    while (row + n < ph_rows_count(rows) &&
           ph_rows_int(rows, row + n, 0) == ph_rows_int(rows, row, 0))
        n++;
    return n;
}

static void take_columns(struct ph_plan *plan, const struct ph_rows *rows,
                         const struct ph_cut_list *list, struct ph_cut_facts *out)
{
    struct ph_arena *arena = &plan->arena;
    for (int r = 0; r < ph_rows_count(rows);) {
        int64_t tab = ph_rows_int(rows, r, 0) - 1;
        struct ph_cut_facts *facts = &out[tab];
        /* Views and foreign tables promise NOT NULL at most; nobody enforces it. */
        char kind = plan->tables[list->table[tab]].source_kind;
        bool enforced = kind == 'r' || kind == 'p';
        facts->n_columns = run_length(rows, r);
        facts->columns = ph_arena_calloc(arena, (size_t)facts->n_columns, sizeof *facts->columns);
        for (int i = 0; i < facts->n_columns; i++, r++) {
            const char *schema = ph_rows_get(rows, r, 5);
            facts->columns[i] = (struct ph_cut_column){
                .attnum = (int)ph_rows_int(rows, r, 1),
                .key = {.column = ph_arena_strdup(arena, ph_rows_text(rows, r, 2)),
                        .type = ph_arena_strdup(arena, ph_rows_text(rows, r, 4)),
                        .op_schema = ph_arena_strdup(arena, schema),
                        .nullable = !(enforced && ph_rows_bool(rows, r, 3))},
                .type_shown = ph_arena_strdup(arena, ph_rows_text(rows, r, 7)),
                .hashable = ph_rows_bool(rows, r, 6)};
        }
    }
}

static bool read_columns(struct ph_plan *plan, const struct ph_cut_list *list,
                         const char *const *names, int n_names, struct ph_conn *source,
                         struct ph_cut_facts *out, struct ph_err *err)
{
    struct ph_buf sql = {0}, array = {0};
    ph_buf_add(&sql, "WITH RECURSIVE ");
    add_want(&sql, plan, list);
    add_name_array(&array, names, n_names);
    ph_sql_add(&sql, columns_sql, array.data);
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(source, sql.data, &rows, err);
    if (ok)
        take_columns(plan, rows, list, out);
    ph_rows_free(rows);
    ph_buf_fini(&array);
    ph_buf_fini(&sql);
    return ok;
}

static const struct ph_cut_column *column_by_number(const struct ph_cut_facts *facts,
                                                    int64_t attnum)
{
    for (int i = 0; i < facts->n_columns; i++)
        if (facts->columns[i].attnum == attnum)
            return &facts->columns[i];
    return NULL;
}

/* One row per index; its columns are a text of numbers, 0 for an expression. */
static void take_index(struct ph_arena *arena, const struct ph_rows *rows, int r,
                       const struct ph_cut_facts *facts, struct ph_cut_index *index)
{
    *index = (struct ph_cut_index){.name = ph_arena_strdup(arena, ph_rows_text(rows, r, 1)),
                                   .primary = ph_rows_bool(rows, r, 2),
                                   .unique = ph_rows_bool(rows, r, 3),
                                   .valid = ph_rows_bool(rows, r, 4),
                                   .partial = ph_rows_bool(rows, r, 5),
                                   .expression = ph_rows_bool(rows, r, 6),
                                   .n_columns = (int)ph_rows_int(rows, r, 7)};
    index->columns = ph_arena_calloc(arena, (size_t)index->n_columns, sizeof *index->columns);
    const char *numbers = ph_rows_text(rows, r, 8);
    for (int i = 0; i < index->n_columns; i++) {
        char *end;
        index->columns[i] = column_by_number(facts, strtol(numbers, &end, 10));
        numbers = end;
    }
}

static bool read_indexes(struct ph_plan *plan, const struct ph_cut_list *list,
                         struct ph_conn *source, struct ph_cut_facts *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "WITH ");
    add_want(&sql, plan, list);
    ph_buf_add(
        &sql,
        " SELECT w.tab, c.relname, i.indisprimary, i.indisunique,"
        " i.indisvalid AND i.indisready, i.indpred IS NOT NULL, i.indexprs IS NOT NULL,"
        " i.indnkeyatts, i.indkey"
        " FROM want w JOIN pg_catalog.pg_index i ON i.indrelid = w.rel"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'"
        " ORDER BY w.tab, i.indisprimary DESC, i.indisunique DESC, i.indnkeyatts, i.indexrelid");
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(source, sql.data, &rows, err);
    for (int r = 0; ok && r < ph_rows_count(rows);) {
        struct ph_cut_facts *facts = &out[ph_rows_int(rows, r, 0) - 1];
        facts->n_indexes = run_length(rows, r);
        facts->indexes =
            ph_arena_calloc(&plan->arena, (size_t)facts->n_indexes, sizeof *facts->indexes);
        for (int i = 0; i < facts->n_indexes; i++, r++)
            take_index(&plan->arena, rows, r, facts, &facts->indexes[i]);
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_cut_read_keys(struct ph_plan *plan, const struct ph_cut_list *list,
                      const char *const *names, int n_names, struct ph_conn *source,
                      struct ph_cut_facts *out, struct ph_err *err)
{
    if (list->n == 0)
        return true;
    return (read_columns(plan, list, names, n_names, source, out, err) &&
            read_indexes(plan, list, source, out, err)) ||
           ph_err_prefix(err, "reading keys of the %s's tables", ph_conn_side(source));
}
