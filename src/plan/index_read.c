#include "plan/index_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pg/sql.h"

/* Everything here runs under search_path = pg_catalog, so that texts name all schemas. */
static bool ask(const struct ph_witness *witness, const char *question, struct ph_buf *sql,
                struct ph_rows **rows, struct ph_err *err)
{
    bool ok = ph_witness_query(witness, question, sql->data, rows, err);
    ph_buf_fini(sql);
    return ok || ph_err_prefix(err, "reading indexes and constraints of the %s",
                               ph_witness_shown(witness));
}

static const char *text(const struct ph_index_set *set, const struct ph_rows *rows, int row,
                        int col)
{
    return ph_arena_strdup(set->arena, ph_rows_get(rows, row, col));
}

static uint32_t oid(const struct ph_rows *rows, int row, int col)
{
    return (uint32_t)ph_rows_uint(rows, row, col);
}

static char letter(const struct ph_rows *rows, int row, int col)
{
    return *ph_rows_text(rows, row, col);
}

static void add_oids(struct ph_buf *sql, const uint32_t *oids, int n)
{
    ph_buf_add(sql, "'{");
    for (int i = 0; i < n; i++)
        ph_sql_add(sql, "%s%u", i ? "," : "", oids[i]);
    ph_buf_add(sql, "}'::oid[]");
}

static void add_tables(struct ph_buf *sql, const struct ph_index_set *set)
{
    ph_buf_add(sql, "'{");
    for (int i = 0; i < set->n_tables; i++)
        ph_sql_add(sql, "%s%u", i ? "," : "", set->tables[i].oid);
    ph_buf_add(sql, "}'::oid[]");
}

/* Tables. */

static bool read_tables(struct ph_index_set *set, const struct ph_witness *witness,
                        const uint32_t *oids, int n, bool downwards, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, "WITH RECURSIVE seed AS (SELECT unnest(");
    add_oids(&sql, oids, n);
    ph_buf_add(&sql, ") AS oid), up AS (SELECT oid FROM seed UNION SELECT i.inhparent FROM up"
                     " JOIN pg_inherits i ON i.inhrelid = up.oid"
                     " JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'),"
                     " down AS (SELECT oid FROM up UNION SELECT i.inhrelid FROM down"
                     " JOIN pg_class p ON p.oid = down.oid AND p.relkind = 'p'"
                     " JOIN pg_inherits i ON i.inhparent = down.oid)"
                     " SELECT c.oid, format('%I.%I', n.nspname, c.relname), n.nspname, c.relname,"
                     " c.relkind, CASE WHEN c.relispartition THEN (SELECT i.inhparent"
                     " FROM pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1) ELSE 0 END");
    ph_sql_add(&sql,
               " FROM %s s JOIN pg_class c ON c.oid = s.oid AND c.relkind IN ('r', 'p')"
               " JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY c.oid",
               downwards ? "down" : "up");
    if (!ask(witness, "tables", &sql, &rows, err))
        return false;
    set->n_tables = ph_rows_count(rows);
    set->tables = ph_arena_calloc(set->arena, (size_t)set->n_tables, sizeof *set->tables);
    for (int i = 0; i < set->n_tables; i++)
        set->tables[i] = (struct ph_index_table){
            .oid = oid(rows, i, 0),
            .name = text(set, rows, i, 1),
            .schema = text(set, rows, i, 2),
            .bare = text(set, rows, i, 3),
            .kind = letter(rows, i, 4),
            .parent = oid(rows, i, 5),
        };
    for (int i = 0; i < set->n_tables; i++)
        for (const struct ph_index_table *t = &set->tables[i]; t && t->parent;
             t = ph_index_find_table(set, t->parent))
            set->tables[i].depth++;
    ph_rows_free(rows);
    return true;
}

static int compare_oids(const void *key, const void *item)
{
    uint32_t a = *(const uint32_t *)key, b = ((const struct ph_index_table *)item)->oid;
    return (a > b) - (a < b);
}

struct ph_index_table *ph_index_find_table(const struct ph_index_set *set, uint32_t wanted)
{
    return set->n_tables ? bsearch(&wanted, set->tables, (size_t)set->n_tables, sizeof *set->tables,
                                   compare_oids)
                         : NULL;
}

/* Indexes. */

static const char indexes_sql[] =
    "SELECT i.indexrelid, coalesce(h.inhparent, 0), i.indrelid, xn.nspname, x.relname,"
    " format('%I.%I', xn.nspname, x.relname), pg_get_indexdef(i.indexrelid),"
    " (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k)"
    "  FROM generate_series(1, i.indnkeyatts) k),"
    " a.amname, coalesce(s.spcname, ''), i.indisunique, i.indisvalid, i.indisclustered,"
    " i.indisreplident, i.indexprs IS NOT NULL,"
    " (SELECT sum(CASE WHEN t.attbyval THEN 1 WHEN t.attlen > 0 THEN 1.5 ELSE 4 END)"
    "  FROM pg_attribute t WHERE t.attrelid = i.indexrelid AND t.attnum <= i.indnkeyatts),"
    " nullif(concat_ws(';', (SELECT string_agg(format('ALTER INDEX %I.%I ALTER COLUMN %s SET"
    "  STATISTICS %s', xn.nspname, x.relname, t.attnum, t.attstattarget), ';' ORDER BY t.attnum)"
    "  FROM pg_attribute t WHERE t.attrelid = i.indexrelid AND t.attstattarget >= 0),"
    " (SELECT string_agg(format('ALTER INDEX %I.%I DEPENDS ON EXTENSION %I', xn.nspname, x.relname,"
    "  e.extname), ';') FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid"
    "  WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid"
    "  AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'x')), ''),"
    " obj_description(i.indexrelid, 'pg_class'), c.contype, pg_get_constraintdef(c.oid),"
    " obj_description(c.oid, 'pg_constraint'), c.condeferrable, c.condeferred,"
    " coalesce((to_jsonb(c) ->> 'conperiod')::bool, false), (SELECT string_agg(format('%I = %L',"
    "  split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(x.reloptions) o),"
    " EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_constraint'::regclass"
    "  AND d.refobjid = c.oid AND d.deptype = 'n' AND d.classid <> 'pg_constraint'::regclass)"
    " FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
    " JOIN pg_namespace xn ON xn.oid = x.relnamespace JOIN pg_am a ON a.oid = x.relam"
    " LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace"
    " LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid"
    " LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid"
    " AND c.contype IN ('p', 'u', 'x')"
    " WHERE i.indislive AND i.indrelid = ANY (";

static void take_index(struct ph_index_set *set, const struct ph_rows *rows, int i)
{
    set->indexes[i] = (struct ph_index_def){
        .oid = oid(rows, i, 0),
        .parent = oid(rows, i, 1),
        .table = ph_index_find_table(set, oid(rows, i, 2)),
        .schema = text(set, rows, i, 3),
        .bare = text(set, rows, i, 4),
        .name = text(set, rows, i, 5),
        .sql = text(set, rows, i, 6),
        .shown_keys = text(set, rows, i, 7),
        .method = text(set, rows, i, 8),
        .space = text(set, rows, i, 9),
        .unique = ph_rows_bool(rows, i, 10),
        .valid = ph_rows_bool(rows, i, 11),
        .clustered = ph_rows_bool(rows, i, 12),
        .identity = ph_rows_bool(rows, i, 13),
        .expression = ph_rows_bool(rows, i, 14),
        .key_cost = ph_rows_double(rows, i, 15),
        .extras = text(set, rows, i, 16),
        .comment = text(set, rows, i, 17),
        .constraint = letter(rows, i, 18),
        .constraint_def = text(set, rows, i, 19),
        .constraint_comment = text(set, rows, i, 20),
        .deferrable = ph_rows_bool(rows, i, 21),
        .deferred = ph_rows_bool(rows, i, 22),
        .period = ph_rows_bool(rows, i, 23),
        .constraint_options = text(set, rows, i, 24),
        .needed = ph_rows_bool(rows, i, 25),
    };
}

/* Below comes first; what takes the strongest lock first among a table's. */
static int compare_indexes(const void *x, const void *y)
{
    const struct ph_index_def *a = x, *b = y;
    if (a->table->depth != b->table->depth)
        return b->table->depth - a->table->depth;
    if (a->table->oid != b->table->oid)
        return (a->table->oid > b->table->oid) - (a->table->oid < b->table->oid);
    if (!a->constraint != !b->constraint)
        return !a->constraint - !b->constraint;
    return (a->oid > b->oid) - (a->oid < b->oid);
}

static int compare_oid_of(const void *key, const void *item)
{
    uint32_t a = *(const uint32_t *)key, b = (*(struct ph_index_def *const *)item)->oid;
    return (a > b) - (a < b);
}

static int compare_by_oid(const void *a, const void *b)
{
    return compare_oid_of(&(*(struct ph_index_def *const *)a)->oid, b);
}

/* After the order has been settled. */
static void sort_by_oid(struct ph_index_set *set)
{
    set->by_oid =
        ph_arena_calloc(set->arena, (size_t)set->n_indexes, sizeof(struct ph_index_def *));
    for (int i = 0; i < set->n_indexes; i++)
        set->by_oid[i] = &set->indexes[i];
    if (set->n_indexes)
        qsort(set->by_oid, (size_t)set->n_indexes, sizeof *set->by_oid, compare_by_oid);
}

static bool read_indexes(struct ph_index_set *set, const struct ph_witness *witness,
                         struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, indexes_sql);
    add_tables(&sql, set);
    ph_buf_add(&sql, ")");
    if (!ask(witness, "indexes", &sql, &rows, err))
        return false;
    set->n_indexes = ph_rows_count(rows);
    set->indexes = ph_arena_calloc(set->arena, (size_t)set->n_indexes, sizeof *set->indexes);
    for (int i = 0; i < set->n_indexes; i++)
        take_index(set, rows, i);
    ph_rows_free(rows);
    if (set->n_indexes)
        qsort(set->indexes, (size_t)set->n_indexes, sizeof *set->indexes, compare_indexes);
    sort_by_oid(set);
    return true;
}

struct ph_index_def *ph_index_find(const struct ph_index_set *set, uint32_t wanted)
{
    struct ph_index_def **found = set->n_indexes
                                      ? bsearch(&wanted, set->by_oid, (size_t)set->n_indexes,
                                                sizeof *set->by_oid, compare_oid_of)
                                      : NULL;
    return found ? *found : NULL;
}

/* Foreign keys, and checks that were never validated. */

static bool read_keys(struct ph_index_set *set, const struct ph_witness *witness, bool incoming,
                      struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql,
               "SELECT c.conindid, c.contype, format('%I.%I', n.nspname, r.relname), n.nspname,"
               " r.relname, r.relkind, f.relkind, c.conrelid, c.confrelid,"
               " coalesce(quote_ident(fn.nspname) || '.' || quote_ident(f.relname), ''), c.conname,"
               " pg_get_constraintdef(c.oid), (SELECT string_agg(quote_ident(a.attname), ', '"
               " ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(k, n)"
               " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.k),"
               " obj_description(c.oid, 'pg_constraint'), c.convalidated, fn.nspname, f.relname"
               " FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid"
               " JOIN pg_namespace n ON n.oid = r.relnamespace"
               " LEFT JOIN pg_class f ON f.oid = c.confrelid"
               " LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace"
               " WHERE (c.contype = 'f' AND c.conparentid = 0"
               " OR c.contype = 'c' AND NOT c.convalidated AND c.conislocal)"
               " AND (c.conrelid = ANY (");
    add_tables(&sql, set);
    ph_buf_add(&sql, ")");
    if (incoming) {
        ph_buf_add(&sql, " OR c.confrelid = ANY (");
        add_tables(&sql, set);
        ph_buf_add(&sql, ")");
    }
    ph_buf_add(&sql, ") ORDER BY c.oid");
    if (!ask(witness, "foreign keys and checks", &sql, &rows, err))
        return false;
    set->n_keys = ph_rows_count(rows);
    set->keys = ph_arena_calloc(set->arena, (size_t)set->n_keys, sizeof *set->keys);
    for (int i = 0; i < set->n_keys; i++)
        set->keys[i] = (struct ph_index_key){
            .index = oid(rows, i, 0),
            .type = letter(rows, i, 1),
            .table = text(set, rows, i, 2),
            .schema = text(set, rows, i, 3),
            .bare_table = text(set, rows, i, 4),
            .table_kind = letter(rows, i, 5),
            .other_kind = letter(rows, i, 6),
            .table_oid = oid(rows, i, 7),
            .other_oid = oid(rows, i, 8),
            .other = text(set, rows, i, 9),
            .name = text(set, rows, i, 10),
            .def = text(set, rows, i, 11),
            .columns = text(set, rows, i, 12),
            .comment = text(set, rows, i, 13),
            .validated = ph_rows_bool(rows, i, 14),
            .other_schema = text(set, rows, i, 15),
            .bare_other = text(set, rows, i, 16),
        };
    ph_rows_free(rows);
    return true;
}

bool ph_index_read(struct ph_index_set *set, const struct ph_witness *witness, const uint32_t *oids,
                   int n, bool downwards, struct ph_err *err)
{
    struct ph_err ignored;
    if (witness->conn &&
        !ph_conn_exec(witness->conn, "BEGIN READ ONLY;SET LOCAL search_path = pg_catalog", err))
        return false;
    bool ok = read_tables(set, witness, oids, n, downwards, err) &&
              read_indexes(set, witness, err) && read_keys(set, witness, downwards, err);
    if (!witness->conn)
        return ok;
    return ph_conn_exec(witness->conn, "ROLLBACK", ok ? err : &ignored) && ok;
}
