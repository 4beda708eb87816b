/* What the objects that are to be made need, and neither the dump brings nor the target has: who names tables gets no
 * types and no functions with them. Found here it is an obstacle; later it would be half a schema, or a trigger that
 * cannot be made when all rows are there.
 */
#include <stdlib.h>
#include <string.h>

#include "haul/create.h"
#include "pg/catalog.h"
#include "pg/sql.h"

/* What the table of contents tells, with the parts of tables and views that have no line of their own there; and the
 * types, functions and collations that these depend on. What an extension brings is looked at as a whole elsewhere. An array is its
 * elements, and the type of a table's rows comes with the table. */
static const char needs_sql[] =
    ", made AS (SELECT catalog, oid FROM told"
    " UNION SELECT 2604, d.oid FROM told JOIN pg_attrdef d ON catalog = 1259 AND adrelid = told.oid"
    " UNION SELECT 2606, c.oid FROM told JOIN pg_constraint c ON catalog = 1259 AND conrelid ="
    "  told.oid"
    " UNION SELECT 2618, r.oid FROM told JOIN pg_rewrite r ON catalog = 1259 AND ev_class ="
    "  told.oid)"
    ", needs AS (SELECT DISTINCT"
    "  CASE WHEN row_of.oid IS NULL THEN p.refclassid ELSE 1259 END AS catalog,"
    "  coalesce(row_of.oid, plain.oid, p.refobjid) AS oid"
    " FROM made JOIN pg_depend p ON p.classid = made.catalog AND p.objid = made.oid"
    "  AND p.deptype IN ('n', 'a') AND p.refclassid IN (1247, 1255, 3456)"
    " LEFT JOIN pg_type t ON p.refclassid = 1247 AND t.oid = p.refobjid"
    " LEFT JOIN pg_type plain ON plain.oid = CASE WHEN t.typcategory = 'A' THEN t.typelem"
    "  ELSE t.oid END"
    " LEFT JOIN pg_class row_of ON row_of.oid = plain.typrelid AND row_of.relkind <> 'c')"
    " SELECT i.type || ' ' || i.identity FROM needs n,"
    "  LATERAL pg_identify_object(n.catalog, n.oid, 0) i"
    " WHERE n.oid >= 16384 AND i.identity IS NOT NULL"
    "  AND (n.catalog, n.oid) NOT IN (SELECT catalog, oid FROM made)"
    "  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = n.catalog AND e.objid = n.oid"
    "   AND e.deptype IN ('e', 'i'))"
    " ORDER BY 1";

static const char have_sql[] =
    "SELECT x FROM unnest(ARRAY[%s]::text[]) x WHERE x NOT IN (SELECT i.type || ' ' || i.identity"
    " FROM (SELECT 1247::oid AS catalog, oid FROM pg_type WHERE oid >= 16384"
    "  UNION ALL SELECT 1255::oid, oid FROM pg_proc WHERE oid >= 16384"
    "  UNION ALL SELECT 3456::oid, oid FROM pg_collation WHERE oid >= 16384"
    "  UNION ALL SELECT 1259::oid, oid FROM pg_class WHERE oid >= 16384) o,"
    " LATERAL pg_identify_object(o.catalog, o.oid, 0) i WHERE i.identity IS NOT NULL)";

static void add_made(struct ph_buf *sql, const struct ph_create_look *look)
{
    const struct ph_toc *both[] = {&look->pre, &look->post};
    ph_buf_add(sql, "WITH told(catalog, oid) AS (VALUES (0::oid, 0::oid)");
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < both[t]->n; i++)
            if (both[t]->items[i].catalog && both[t]->items[i].oid)
                ph_buf_addf(sql, ", (%u, %u)", both[t]->items[i].catalog, both[t]->items[i].oid);
    ph_buf_add(sql, ")");
}

/* "type a, function b and 3 more" */
static const char *show(struct ph_run *run, const struct ph_rows *rows)
{
    enum { MOST = 5 };
    struct ph_buf text = {0};
    int n = ph_rows_count(rows);
    for (int i = 0; i < n && i < MOST; i++)
        ph_buf_addf(&text, "%s%s",
                    i == 0       ? ""
                    : i == n - 1 ? " and "
                                 : ", ",
                    ph_rows_text(rows, i, 0));
    if (n > MOST)
        ph_buf_addf(&text, " and %d more", n - MOST);
    const char *out = ph_arena_strdup(run->arena, ph_buf_text(&text));
    ph_buf_fini(&text);
    return out;
}

bool ph_create_check_needs(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct ph_buf sql = {0}, list = {0};
    struct ph_rows *needed = NULL, *lacking = NULL;
    if (!run->source) /* an archive: whoever extracted had the choice */
        return true;
    add_made(&sql, look);
    ph_buf_add(&sql, needs_sql);
    bool ok = ph_catalog_query(run->source, ph_buf_text(&sql), &needed, err);
    ph_buf_clear(&sql);
    for (int i = 0; i < ph_rows_count(needed); i++)
        ph_sql_add(&list, "%s%L", i ? ", " : "", ph_rows_text(needed, i, 0));
    if (ok && ph_rows_count(needed) > 0) {
        ph_buf_addf(&sql, have_sql, ph_buf_text(&list));
        ok = ph_catalog_query(run->target, ph_buf_text(&sql), &lacking, err);
    }
    if (ph_rows_count(lacking) > 0)
        ph_plan_obstacle(
            look->plan,
            ph_arena_printf(run->arena,
                            "what is to be made needs %s, which the target does not have",
                            show(run, lacking)),
            "make them there first, or take them along by --schema or --all");
    ph_rows_free(needed);
    ph_rows_free(lacking);
    ph_buf_fini(&sql);
    ph_buf_fini(&list);
    return ok;
}
