#include "plan/cut_where.h"

#include <string.h>

#include "base/feature.h"
#include "pg/sql.h"

static void and_then(struct ph_buf *where, size_t begin)
{
    if (where->len > begin)
        ph_buf_add(where, " AND ");
}

void ph_cut_where_blocks(struct ph_buf *where, int64_t lo, int64_t hi)
{
    size_t begin = where->len;
    if (lo > 0)
        ph_sql_add(where, "ctid OPERATOR(pg_catalog.>=) '(%D,0)'::pg_catalog.tid", lo);
    if (hi < 0)
        return;
    and_then(where, begin);
    ph_sql_add(where, "ctid OPERATOR(pg_catalog.<) '(%D,0)'::pg_catalog.tid", hi);
}

void ph_cut_where_key(struct ph_buf *where, const struct ph_plan_key *key, int n_key)
{
    if (n_key > 1)
        ph_buf_add(where, "ROW(");
    for (int i = 0; i < n_key; i++)
        ph_sql_add(where, "%s%I", i ? ", " : "", key[i].column);
    if (n_key > 1)
        ph_buf_add(where, ")");
}

static void add_bound(struct ph_buf *where, const struct ph_plan_key *key, int n_key,
                      const char *const *bound)
{
    if (n_key > 1)
        ph_buf_add(where, "ROW(");
    for (int i = 0; i < n_key; i++)
        ph_sql_add(where, "%s%L::%s", i ? ", " : "", bound[i], key[i].type);
    if (n_key > 1)
        ph_buf_add(where, ")");
}

static bool one_schema(const struct ph_plan_key *key, int n_key)
{
    for (int i = 1; i < n_key; i++)
        if (strcmp(key[i].op_schema, key[0].op_schema) != 0)
            return false;
    return true;
}

/* key op bound, where op is "<" or ">=". A row comparison takes one operator name for all its
 * columns, so operators of several schemas need the long form, written with < and >= alone:
 *
 *     (a,b) <  (x,y)   is   x >= a AND (a < x OR b < y)
 *     (a,b) >= (x,y)   is   a >= x AND (x < a OR b >= y)
 *
 * The first conjunct says that the first columns are in order or equal, and lets an index on `a` be
 * used; what follows it is asked of equal ones only. */
static void compare(struct ph_buf *where, const struct ph_plan_key *key, int n_key, const char *op,
                    const char *const *bound)
{
    if (one_schema(key, n_key)) {
        ph_cut_where_key(where, key, n_key);
        ph_sql_add(where, " OPERATOR(%I.%s) ", key[0].op_schema, op);
        add_bound(where, key, n_key, bound);
        return;
    }
    bool less = strcmp(op, "<") == 0;
    for (int i = 0; i < n_key - 1; i++) {
        const char *schema = key[i].op_schema;
        ph_buf_add(where, i ? "(" : "");
        if (less)
            ph_sql_add(where, "%L::%s OPERATOR(%I.>=) %I AND (%I OPERATOR(%I.<) %L::%s OR ",
                       bound[i], key[i].type, schema, key[i].column, key[i].column, schema,
                       bound[i], key[i].type);
        else
            ph_sql_add(where, "%I OPERATOR(%I.>=) %L::%s AND (%L::%s OPERATOR(%I.<) %I OR ",
                       key[i].column, schema, bound[i], key[i].type, bound[i], key[i].type, schema,
                       key[i].column);
    }
    ph_sql_add(where, "%I OPERATOR(%I.%s) %L::%s", key[n_key - 1].column, key[n_key - 1].op_schema,
               op, bound[n_key - 1], key[n_key - 1].type);
    for (int i = 0; i < n_key - 1; i++)
        ph_buf_add(where, i ? "))" : ")");
}

void ph_cut_where_range(struct ph_buf *where, const struct ph_plan_key *key, int n_key,
                        const char *const *lo, const char *const *hi)
{
    size_t begin = where->len;
    if (lo)
        compare(where, key, n_key, ">=", lo);
    if (hi) {
        and_then(where, begin);
        compare(where, key, n_key, "<", hi);
    }
    /* Not implied by the comparisons: (1, NULL) < (2, 5) is true, and an open range compares
     * nothing. */
    for (int i = 0; i < n_key; i++) {
        if (!key[i].nullable)
            continue;
        and_then(where, begin);
        ph_sql_add(where, "%I IS DISTINCT FROM NULL", key[i].column);
    }
}

void ph_cut_where_is_null(struct ph_buf *where, const struct ph_plan_key *column)
{
    ph_sql_add(where, "%I IS NOT DISTINCT FROM NULL", column->column);
}

void ph_cut_where_null(struct ph_buf *where, const struct ph_plan_key *key, int n_key)
{
    bool first = true;
    ph_buf_add(where, "(");
    for (int i = 0; i < n_key; i++) {
        if (!key[i].nullable)
            continue;
        ph_buf_add(where, first ? "" : " OR ");
        ph_cut_where_is_null(where, &key[i]);
        first = false;
    }
    ph_buf_add(where, first ? "false)" : ")");
}

/* Clears the sign bit: the remainder of a negative number would be negative. */
#define NON_NEGATIVE " OPERATOR(pg_catalog.&) 9223372036854775807::pg_catalog.int8)"

void ph_cut_where_hash(struct ph_buf *where, const struct ph_plan_key *key, int n_key, int i, int n,
                       int version)
{
    bool as_record = ph_feature_has(version, PH_HAS_HASH_RECORD);
    for (int k = 0; k < n_key; k++)
        as_record = as_record && key[k].op_schema;
    ph_buf_add(where, "((");
    if (as_record)
        ph_buf_add(where, "pg_catalog.hash_record_extended(ROW(");
    else
        ph_buf_add(where, "pg_catalog.hashtextextended(ROW(");
    for (int k = 0; k < n_key; k++)
        ph_sql_add(where, "%s%I", k ? ", " : "", key[k].column);
    if (as_record)
        ph_buf_add(where, "), 0::pg_catalog.int8)");
    else
        ph_buf_add(where, ")::pg_catalog.text, 0::pg_catalog.int8)");
    ph_sql_add(where,
               NON_NEGATIVE " OPERATOR(pg_catalog.%%) %d::pg_catalog.int8)"
                            " OPERATOR(pg_catalog.=) %d::pg_catalog.int8",
               n, i);
}
