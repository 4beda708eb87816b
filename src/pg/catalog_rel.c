/* The details of those relations that take part: one query per kind of detail, whatever their
 * number. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/feature.h"
#include "pg/catalog.h"
#include "pg/sql.h"

/* {1,2,3} as an array literal: numbers only, so there is nothing to quote. */
static void add_oids(struct ph_buf *sql, const uint32_t *oids, int n)
{
    ph_buf_add(sql, "'{");
    for (int i = 0; i < n; i++)
        ph_sql_add(sql, i ? ",%u" : "%u", oids[i]);
    ph_buf_add(sql, "}'::oid[]");
}

/* Runs `select` with %s standing for the set of OIDs as a table w(oid). */
static bool query_set(struct ph_catalog *catalog, const char *select, const uint32_t *oids, int n,
                      struct ph_rows **rows, struct ph_err *err)
{
    struct ph_buf set = {0}, sql = {0};
    ph_buf_add(&set, "unnest(");
    add_oids(&set, oids, n);
    ph_buf_add(&set, ") AS w(oid)");
    ph_sql_add(&sql, select, set.data);
    bool ok = ph_catalog_query(catalog->conn, sql.data, rows, err);
    ph_buf_fini(&set);
    ph_buf_fini(&sql);
    return ok;
}

/* Rows come sorted by the relation in column 0: the number of rows from `row` on that are of the
 * same one. */
static int run_length(const struct ph_rows *rows, int row)
{
    uint64_t oid = ph_rows_uint(rows, row, 0);
    int end = row;
    while (end < ph_rows_count(rows) && ph_rows_uint(rows, end, 0) == oid)
        end++;
    return end - row;
}

static const char *text(struct ph_catalog *catalog, const struct ph_rows *rows, int row, int col)
{
    return ph_arena_strdup(catalog->arena, ph_rows_get(rows, row, col));
}

/* Where a table was never analysed, its pages are taken for full of rows of this width. */
enum { UNKNOWN_ROW_BYTES = 80 };

static double estimate_rows(double tuples, double pages, int64_t heap, int64_t block)
{
    double blocks = (double)heap / (double)block;
    if (heap == 0)
        return 0;
    if (tuples >= 0 && pages > 0)
        return tuples / pages * blocks;
    return (double)heap / UNKNOWN_ROW_BYTES;
}

static bool read_facts(struct ph_catalog *catalog, const uint32_t *oids, int n, int what,
                       struct ph_err *err)
{
    static const char facts[] =
        " current_setting('block_size')::int,\n"
        " CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,\n"
        " CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,\n"
        " c.relrowsecurity AND row_security_active(c.oid),\n"
        " has_schema_privilege(c.relnamespace, 'USAGE'), has_table_privilege(c.oid, 'SELECT'),\n"
        " has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE'),\n"
        " has_table_privilege(c.oid, 'TRUNCATE')\n"
        "FROM %s JOIN pg_class c USING (oid)";
    struct ph_buf select = {0};
    ph_buf_add(&select, "SELECT c.oid, pg_relation_filenode(c.oid), c.reltuples, c.relpages, ");
    ph_buf_add(&select, what & PH_DETAIL_SIZES ? "heap.size, toast.size,\n" : "0, 0,\n");
    ph_buf_add(&select, facts);
    if (what & PH_DETAIL_SIZES) /* what has no rows has nothing in TOAST either */
        ph_buf_add(&select,
                   "\nCROSS JOIN LATERAL (SELECT CASE WHEN c.relkind = 'r'\n"
                   " THEN pg_relation_size(c.oid) END OFFSET 0) AS heap(size)\n"
                   "CROSS JOIN LATERAL (SELECT CASE WHEN heap.size > 0 AND c.reltoastrelid <> 0\n"
                   " THEN pg_relation_size(c.reltoastrelid) END) AS toast(size)");
    struct ph_rows *rows = NULL;
    bool ok = query_set(catalog, select.data, oids, n, &rows, err);
    ph_buf_fini(&select);
    if (!ok)
        return false;
    for (int i = 0; i < ph_rows_count(rows); i++) {
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        if (!r)
            continue;
        r->detailed = true;
        r->filenode = (uint32_t)ph_rows_uint(rows, i, 1);
        r->heap = ph_rows_int(rows, i, 4);
        r->toast = ph_rows_int(rows, i, 5);
        r->blocks = r->heap / ph_rows_int(rows, i, 6);
        r->rows = estimate_rows(ph_rows_double(rows, i, 2), ph_rows_double(rows, i, 3), r->heap,
                                ph_rows_int(rows, i, 6));
        r->bound = text(catalog, rows, i, 7);
        r->part_key = text(catalog, rows, i, 8);
        r->row_security = ph_rows_bool(rows, i, 9);
        r->may_use_schema = ph_rows_bool(rows, i, 10);
        r->may_select = ph_rows_bool(rows, i, 11);
        r->may_insert = ph_rows_bool(rows, i, 12);
        r->may_update = ph_rows_bool(rows, i, 13);
        r->may_truncate = ph_rows_bool(rows, i, 14);
    }
    ph_rows_free(rows);
    return true;
}

static bool read_columns(struct ph_catalog *catalog, const uint32_t *oids, int n,
                         struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!query_set(catalog,
                   "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,\n"
                   " a.attnotnull, a.atthasdef, a.attgenerated, a.attidentity\n"
                   "FROM %s JOIN pg_attribute a ON a.attrelid = w.oid\n"
                   "WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2",
                   oids, n, &rows, err))
        return false;
    for (int i = 0, run; i < ph_rows_count(rows); i += run) {
        run = run_length(rows, i);
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        if (!r)
            continue;
        r->columns = ph_arena_calloc(catalog->arena, (size_t)run, sizeof *r->columns);
        r->n_columns = run;
        for (int k = 0; k < run; k++)
            r->columns[k] = (struct ph_column){
                .number = (int)ph_rows_int(rows, i + k, 1),
                .name = text(catalog, rows, i + k, 2),
                .type = (uint32_t)ph_rows_uint(rows, i + k, 3),
                .typmod = (int)ph_rows_int(rows, i + k, 4),
                .not_null = ph_rows_bool(rows, i + k, 5),
                .has_default = ph_rows_bool(rows, i + k, 6),
                .generated = *ph_rows_text(rows, i + k, 7),
                .identity = *ph_rows_text(rows, i + k, 8),
            };
    }
    ph_rows_free(rows);
    return true;
}

/* Grants on single columns matter only where the table's own do not suffice, which is rare: those
 * tables alone are asked for them. */
static bool read_column_grants(struct ph_catalog *catalog, const uint32_t *oids, int n,
                               struct ph_err *err)
{
    uint32_t *lacking = malloc((size_t)n * sizeof *lacking);
    if (!lacking)
        return ph_err_nomem(err);
    int n_lacking = 0;
    for (int i = 0; i < n; i++) {
        const struct ph_relation *r = ph_catalog_relation(catalog, oids[i]);
        if (r && r->detailed && !(r->may_select && r->may_insert && r->may_update))
            lacking[n_lacking++] = oids[i];
    }
    struct ph_rows *rows = NULL;
    bool ok = n_lacking == 0 || query_set(catalog,
                                          "SELECT a.attrelid, a.attnum,\n"
                                          " has_column_privilege(a.attrelid, a.attnum, 'SELECT'),\n"
                                          " has_column_privilege(a.attrelid, a.attnum, 'INSERT'),\n"
                                          " has_column_privilege(a.attrelid, a.attnum, 'UPDATE')\n"
                                          "FROM %s JOIN pg_attribute a ON a.attrelid = w.oid\n"
                                          "WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2",
                                          lacking, n_lacking, &rows, err);
    free(lacking);
    for (int i = 0; i < ph_rows_count(rows); i++) {
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        int number = (int)ph_rows_int(rows, i, 1);
        for (int k = 0; r && k < r->n_columns; k++)
            if (r->columns[k].number == number) {
                r->columns[k].no_select = !ph_rows_bool(rows, i, 2);
                r->columns[k].no_insert = !ph_rows_bool(rows, i, 3);
                r->columns[k].no_update = !ph_rows_bool(rows, i, 4);
            }
    }
    ph_rows_free(rows);
    return ok;
}

/* int2vector: "1 3 0" */
static const int *read_numbers(struct ph_catalog *catalog, const char *vector, int n)
{
    int *numbers = ph_arena_calloc(catalog->arena, (size_t)n, sizeof *numbers);
    char *end = NULL;
    for (int i = 0; i < n; i++, vector = end)
        numbers[i] = (int)strtol(vector, &end, 10);
    return numbers;
}

static bool read_indexes(struct ph_catalog *catalog, const uint32_t *oids, int n,
                         struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!query_set(catalog,
                   "SELECT i.indrelid, c.relname, i.indisunique, i.indisprimary,\n"
                   " i.indisvalid AND i.indisready, i.indimmediate, i.indpred IS NOT NULL,\n"
                   " i.indexprs IS NOT NULL, i.indnkeyatts, i.indkey\n"
                   "FROM %s JOIN pg_index i ON i.indrelid = w.oid\n"
                   "JOIN pg_class c ON c.oid = i.indexrelid ORDER BY 1, i.indexrelid",
                   oids, n, &rows, err))
        return false;
    for (int i = 0, run; i < ph_rows_count(rows); i += run) {
        run = run_length(rows, i);
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        if (!r)
            continue;
        r->indexes = ph_arena_calloc(catalog->arena, (size_t)run, sizeof *r->indexes);
        r->n_indexes = run;
        for (int k = 0; k < run; k++) {
            int n_key = (int)ph_rows_int(rows, i + k, 8);
            r->indexes[k] = (struct ph_index){
                .name = text(catalog, rows, i + k, 1),
                .unique = ph_rows_bool(rows, i + k, 2),
                .primary = ph_rows_bool(rows, i + k, 3),
                .valid = ph_rows_bool(rows, i + k, 4),
                .immediate = ph_rows_bool(rows, i + k, 5),
                .partial = ph_rows_bool(rows, i + k, 6),
                .expression = ph_rows_bool(rows, i + k, 7),
                .n_key = n_key,
                .key = read_numbers(catalog, ph_rows_text(rows, i + k, 9), n_key),
            };
        }
    }
    ph_rows_free(rows);
    return true;
}

/* Copies of a partitioned table's row triggers on its partitions count; those that implement
 * constraints do not. */
static bool read_triggers(struct ph_catalog *catalog, const uint32_t *oids, int n,
                          struct ph_err *err)
{
    bool clones = ph_feature_has(ph_conn_server_version(catalog->conn), PH_HAS_TRIGGER_PARENTS);
    struct ph_buf select = {0};
    ph_buf_add(&select,
               "SELECT t.tgrelid, t.tgname, t.tgtype, t.tgenabled\n"
               "FROM %s JOIN pg_trigger t ON t.tgrelid = w.oid\nWHERE (NOT t.tgisinternal");
    if (clones)
        ph_buf_add(&select, " OR (t.tgparentid <> 0 AND t.tgconstraint = 0)");
    ph_buf_add(&select, ") AND t.tgenabled <> 'D' ORDER BY 1, 2");
    struct ph_rows *rows = NULL;
    bool ok = query_set(catalog, select.data, oids, n, &rows, err);
    ph_buf_fini(&select);
    if (!ok)
        return false;
    for (int i = 0, run; i < ph_rows_count(rows); i += run) {
        run = run_length(rows, i);
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        if (!r)
            continue;
        r->triggers = ph_arena_calloc(catalog->arena, (size_t)run, sizeof *r->triggers);
        r->n_triggers = run;
        for (int k = 0; k < run; k++)
            r->triggers[k] = (struct ph_trigger){
                .name = text(catalog, rows, i + k, 1),
                .type = (int)ph_rows_int(rows, i + k, 2),
                .enabled = *ph_rows_text(rows, i + k, 3),
            };
    }
    ph_rows_free(rows);
    return true;
}

static bool read_foreign_keys(struct ph_catalog *catalog, const uint32_t *oids, int n,
                              struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!query_set(
            catalog,
            "WITH w AS MATERIALIZED (SELECT w.oid FROM %s)\n"
            "SELECT f.rel, f.conname, f.incoming, f.other, n.nspname, c.relname\n"
            "FROM (SELECT k.conrelid AS rel, k.conname, false AS incoming, k.confrelid AS other\n"
            "      FROM pg_constraint k JOIN w ON k.conrelid = w.oid WHERE k.contype = 'f'\n"
            "      UNION ALL\n"
            "      SELECT k.confrelid, k.conname, true, k.conrelid\n"
            "      FROM pg_constraint k JOIN w ON k.confrelid = w.oid WHERE k.contype = 'f') f\n"
            "JOIN pg_class c ON c.oid = f.other JOIN pg_namespace n ON n.oid = c.relnamespace\n"
            "ORDER BY 1, 3, 2, 4",
            oids, n, &rows, err))
        return false;
    for (int i = 0, run; i < ph_rows_count(rows); i += run) {
        run = run_length(rows, i);
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        if (!r)
            continue;
        r->foreign_keys = ph_arena_calloc(catalog->arena, (size_t)run, sizeof *r->foreign_keys);
        r->n_foreign_keys = run;
        for (int k = 0; k < run; k++)
            r->foreign_keys[k] = (struct ph_foreign_key){
                .name = text(catalog, rows, i + k, 1),
                .incoming = ph_rows_bool(rows, i + k, 2),
                .other = (uint32_t)ph_rows_uint(rows, i + k, 3),
                .other_schema = text(catalog, rows, i + k, 4),
                .other_name = text(catalog, rows, i + k, 5),
            };
    }
    ph_rows_free(rows);
    return true;
}

/* Sequences that belong to a column: serial (a) and identity (i). */
static bool read_sequences(struct ph_catalog *catalog, const uint32_t *oids, int n,
                           struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!query_set(
            catalog,
            "SELECT d.refobjid, d.refobjsubid, n.nspname, c.relname,\n"
            " has_sequence_privilege(c.oid, 'SELECT'), has_sequence_privilege(c.oid, 'UPDATE')\n"
            "FROM %s JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = "
            "w.oid\n"
            " AND d.refobjsubid > 0 AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', "
            "'i')\n"
            "JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'\n"
            "JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2, c.oid",
            oids, n, &rows, err))
        return false;
    for (int i = 0, run; i < ph_rows_count(rows); i += run) {
        run = run_length(rows, i);
        struct ph_relation *r = ph_catalog_relation(catalog, (uint32_t)ph_rows_uint(rows, i, 0));
        if (!r)
            continue;
        r->sequences = ph_arena_calloc(catalog->arena, (size_t)run, sizeof *r->sequences);
        r->n_sequences = run;
        for (int k = 0; k < run; k++)
            r->sequences[k] = (struct ph_owned_sequence){
                .column = (int)ph_rows_int(rows, i + k, 1),
                .schema = text(catalog, rows, i + k, 2),
                .name = text(catalog, rows, i + k, 3),
                .may_select = ph_rows_bool(rows, i + k, 4),
                .may_update = ph_rows_bool(rows, i + k, 5),
            };
    }
    ph_rows_free(rows);
    return true;
}

bool ph_catalog_detail(struct ph_catalog *catalog, const uint32_t *oids, int n, int what,
                       struct ph_err *err)
{
    if (n == 0)
        return true;
    bool ok = read_facts(catalog, oids, n, what, err) && read_columns(catalog, oids, n, err) &&
              read_column_grants(catalog, oids, n, err) && read_indexes(catalog, oids, n, err);
    if (ok && what & PH_DETAIL_EFFECTS)
        ok = read_triggers(catalog, oids, n, err) && read_foreign_keys(catalog, oids, n, err);
    if (ok && what & (PH_DETAIL_EFFECTS | PH_DETAIL_SEQUENCES))
        ok = read_sequences(catalog, oids, n, err);
    return ok;
}

const char *ph_relation_kind_name(const struct ph_relation *relation)
{
    switch (relation->kind) {
    case 'r':
        return "table";
    case 'p':
        return "partitioned table";
    case 'v':
        return "view";
    case 'm':
        return "materialized view";
    case 'f':
        return "foreign table";
    case 'S':
        return "sequence";
    case 'c':
        return "composite type";
    case 'i':
    case 'I':
        return "index";
    default:
        return "relation of another kind";
    }
}

const struct ph_column *ph_relation_column(const struct ph_relation *relation, const char *name)
{
    for (int i = 0; i < relation->n_columns; i++)
        if (!strcmp(relation->columns[i].name, name))
            return &relation->columns[i];
    return NULL;
}

const struct ph_column *ph_relation_column_number(const struct ph_relation *relation, int number)
{
    for (int i = 0; i < relation->n_columns; i++)
        if (relation->columns[i].number == number)
            return &relation->columns[i];
    return NULL;
}
