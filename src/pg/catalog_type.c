/* Types, and all that they are made of. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/feature.h"
#include "pg/catalog.h"
#include "pg/sql.h"

const struct ph_type *ph_types_find(const struct ph_types *types, uint32_t oid)
{
    int lo = 0, hi = types->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (types->items[mid].oid < oid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < types->n && types->items[lo].oid == oid ? &types->items[lo] : NULL;
}

static void add_oids(struct ph_buf *sql, const uint32_t *oids, int n)
{
    ph_buf_add(sql, "'{");
    for (int i = 0; i < n; i++)
        ph_sql_add(sql, i ? ",%u" : "%u", oids[i]);
    ph_buf_add(sql, "}'::oid[]");
}

/* An array is what array_in reads: the vectors of pg_catalog have an element type too, but input of
 * their own. */
static void add_closure(struct ph_buf *sql, int version, const uint32_t *oids, int n)
{
    bool multiranges = ph_feature_has(version, PH_HAS_MULTIRANGES);
    ph_buf_add(sql, "WITH RECURSIVE need(oid) AS (SELECT unnest(");
    add_oids(sql, oids, n);
    ph_buf_add(
        sql,
        ")\n UNION SELECT x.oid FROM need JOIN pg_type t ON t.oid = need.oid CROSS JOIN LATERAL (\n"
        "  SELECT t.typbasetype WHERE t.typtype = 'd'\n"
        "  UNION ALL SELECT t.typelem WHERE t.typinput = 'array_in'::regproc\n"
        "  UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c'\n"
        "   AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped\n"
        "  UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.typtype = 'r' AND r.rngtypid = "
        "t.oid\n");
    if (multiranges)
        ph_buf_add(sql, "  UNION ALL SELECT r.rngtypid FROM pg_range r WHERE t.typtype = 'm'"
                        " AND r.rngmultitypid = t.oid\n");
    ph_buf_add(sql, " ) AS x(oid))\n");
    ph_buf_add(sql, "SELECT t.oid, n.nspname, t.typname, t.typtype,\n"
                    " CASE WHEN t.typinput = 'array_in'::regproc THEN t.typelem ELSE 0 END,\n"
                    " t.typbasetype, t.typtypmod, ");
    ph_buf_add(sql,
               multiranges
                   ? "coalesce((SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid),"
                     " (SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid), 0)"
                   : "coalesce((SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid), 0)");
    ph_buf_add(sql, ",\n t.typlen, t.typbyval, t.typsend <> 0, t.typreceive <> 0, t.typnotnull,\n"
                    " t.typdefault IS NOT NULL, e.extname, e.extversion\n"
                    "FROM need JOIN pg_type t ON t.oid = need.oid JOIN pg_namespace n ON n.oid = "
                    "t.typnamespace\n"
                    "LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid\n"
                    " AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'\n"
                    "LEFT JOIN pg_extension e ON e.oid = d.refobjid ORDER BY t.oid");
}

static bool read_types(struct ph_catalog *catalog, const uint32_t *oids, int n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    add_closure(&sql, ph_conn_server_version(catalog->conn), oids, n);
    bool ok = ph_catalog_query(catalog->conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (!ok)
        return false;
    struct ph_types *types = &catalog->types;
    types->n = ph_rows_count(rows);
    types->items = ph_arena_calloc(catalog->arena, (size_t)types->n, sizeof *types->items);
    for (int i = 0; i < types->n; i++) {
        int c = 0;
        struct ph_type *t = &types->items[i];
        t->oid = (uint32_t)ph_rows_uint(rows, i, c++);
        t->schema = ph_arena_strdup(catalog->arena, ph_rows_text(rows, i, c++));
        t->name = ph_arena_strdup(catalog->arena, ph_rows_text(rows, i, c++));
        t->kind = *ph_rows_text(rows, i, c++);
        t->element = (uint32_t)ph_rows_uint(rows, i, c++);
        t->base = (uint32_t)ph_rows_uint(rows, i, c++);
        t->base_typmod = (int)ph_rows_int(rows, i, c++);
        t->subtype = (uint32_t)ph_rows_uint(rows, i, c++);
        t->length = (int)ph_rows_int(rows, i, c++);
        t->by_value = ph_rows_bool(rows, i, c++);
        t->has_send = ph_rows_bool(rows, i, c++);
        t->has_receive = ph_rows_bool(rows, i, c++);
        t->not_null = ph_rows_bool(rows, i, c++);
        t->has_default = ph_rows_bool(rows, i, c++);
        t->extension = ph_arena_strdup(catalog->arena, ph_rows_get(rows, i, c++));
        t->extension_version = ph_arena_strdup(catalog->arena, ph_rows_get(rows, i, c++));
    }
    ph_rows_free(rows);
    return true;
}

/* Calls take(type, first row, number of rows) for each run of rows with the same type in column 0.
 */
static void each_type(struct ph_catalog *catalog, const struct ph_rows *rows,
                      void (*take)(struct ph_catalog *, struct ph_type *, const struct ph_rows *,
                                   int, int))
{
    for (int i = 0, end; i < ph_rows_count(rows); i = end) {
        uint32_t oid = (uint32_t)ph_rows_uint(rows, i, 0);
        for (end = i; end < ph_rows_count(rows) && ph_rows_uint(rows, end, 0) == oid;)
            end++;
        const struct ph_type *found = ph_types_find(&catalog->types, oid);
        if (found)
            take(catalog, &catalog->types.items[found - catalog->types.items], rows, i, end - i);
    }
}

static void take_labels(struct ph_catalog *catalog, struct ph_type *type,
                        const struct ph_rows *rows, int first, int n)
{
    const char **labels = ph_arena_calloc(catalog->arena, (size_t)n, sizeof *labels);
    for (int i = 0; i < n; i++)
        labels[i] = ph_arena_strdup(catalog->arena, ph_rows_text(rows, first + i, 1));
    type->labels = labels;
    type->n_labels = n;
}

static void take_attributes(struct ph_catalog *catalog, struct ph_type *type,
                            const struct ph_rows *rows, int first, int n)
{
    struct ph_attribute *attributes =
        ph_arena_calloc(catalog->arena, (size_t)n, sizeof *attributes);
    for (int i = 0; i < n; i++)
        attributes[i] = (struct ph_attribute){
            .name = ph_arena_strdup(catalog->arena, ph_rows_text(rows, first + i, 1)),
            .type = (uint32_t)ph_rows_uint(rows, first + i, 2),
            .typmod = (int)ph_rows_int(rows, first + i, 3),
        };
    type->attributes = attributes;
    type->n_attributes = n;
}

/* Labels of enums and attributes of composites, for those that there are. */
static bool read_members(struct ph_catalog *catalog, char kind, const char *select,
                         void (*take)(struct ph_catalog *, struct ph_type *, const struct ph_rows *,
                                      int, int),
                         struct ph_err *err)
{
    struct ph_buf set = {0}, sql = {0};
    int n = 0;
    ph_buf_add(&set, "'{");
    for (int i = 0; i < catalog->types.n; i++)
        if (catalog->types.items[i].kind == kind)
            ph_sql_add(&set, n++ ? ",%u" : "%u", catalog->types.items[i].oid);
    ph_buf_add(&set, "}'::oid[]");
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, select, set.data);
    bool ok = n == 0 || ph_catalog_query(catalog->conn, sql.data, &rows, err);
    ph_buf_fini(&set);
    ph_buf_fini(&sql);
    if (ok)
        each_type(catalog, rows, take);
    ph_rows_free(rows);
    return ok;
}

bool ph_catalog_types(struct ph_catalog *catalog, const uint32_t *oids, int n, struct ph_err *err)
{
    if (n == 0)
        return true;
    return read_types(catalog, oids, n, err) &&
           read_members(catalog, 'e',
                        "SELECT enumtypid, enumlabel FROM pg_enum WHERE enumtypid = ANY (%s)\n"
                        "ORDER BY enumtypid, enumsortorder",
                        take_labels, err) &&
           read_members(catalog, 'c',
                        "SELECT t.oid, a.attname, a.atttypid, a.atttypmod FROM pg_type t\n"
                        "JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0\n"
                        " AND NOT a.attisdropped WHERE t.oid = ANY (%s) ORDER BY t.oid, a.attnum",
                        take_attributes, err);
}

static int order_shown(const void *a, const void *b)
{
    const struct ph_column_type *x = *(const struct ph_column_type *const *)a;
    const struct ph_column_type *y = *(const struct ph_column_type *const *)b;
    if (x->oid != y->oid)
        return x->oid < y->oid ? -1 : 1;
    return (x->typmod > y->typmod) - (x->typmod < y->typmod);
}

/* Thousands of columns have a few dozen different types: each is asked for once. */
bool ph_catalog_show_types(struct ph_catalog *catalog, const struct ph_column_type *types, int n,
                           const char **out, struct ph_err *err)
{
    if (n == 0)
        return true;
    const struct ph_column_type **sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted)
        return ph_err_nomem(err);
    for (int i = 0; i < n; i++)
        sorted[i] = &types[i];
    qsort(sorted, (size_t)n, sizeof *sorted, order_shown);
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT format_type(v.t::oid, v.m) FROM (VALUES ");
    int distinct = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || order_shown(&sorted[i - 1], &sorted[i]) != 0) {
            ph_sql_add(&sql, distinct ? ", (%d, %u, %d)" : "(%d, %u::bigint, %d)", distinct,
                       sorted[i]->oid, sorted[i]->typmod);
            distinct++;
        }
    ph_buf_add(&sql, ") AS v(n, t, m) ORDER BY v.n");
    struct ph_rows *rows = NULL;
    bool ok = ph_catalog_query(catalog->conn, sql.data, &rows, err);
    const char *shown = NULL;
    for (int i = 0, row = 0; ok && i < n; i++) {
        if (i == 0 || order_shown(&sorted[i - 1], &sorted[i]) != 0)
            shown = ph_arena_strdup(catalog->arena, ph_rows_text(rows, row++, 0));
        out[sorted[i] - types] = shown;
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    free(sorted);
    return ok;
}
