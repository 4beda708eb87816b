/* Large objects: one table more in the plan, see pg/objects.h; and what stands in their way. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pg/objects.h"
#include "pg/sql.h"
#include "plan/make.h"

enum { METADATA_OID = 2995 }; /* of pg_largeobject_metadata, in every database */

static const struct ph_plan_column columns[] = {
    {.name = "loid", .source = "oid", .select = "oid", .source_type = "oid", .target_type = "oid"},
    {.name = "off",
     .source = "off",
     .select = "off",
     .source_type = "bigint",
     .target_type = "bigint"},
    {.name = "data",
     .source = "data",
     .select = "data",
     .source_type = "bytea",
     .target_type = "bytea"},
    {.name = "owner",
     .source = "owner",
     .select = "owner",
     .source_type = "text",
     .target_type = "text"},
    {.name = "acl", .source = "acl", .select = "acl", .source_type = "text", .target_type = "text"},
    {.name = "note",
     .source = "note",
     .select = "note",
     .source_type = "text",
     .target_type = "text"},
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static void fill_table(struct ph_make *make, struct ph_table *t, const struct ph_rows *facts)
{
    struct ph_arena *arena = &make->plan->arena;
    struct ph_plan_column *own = ph_arena_calloc(arena, N_COLUMNS, sizeof *own);
    for (int i = 0; i < N_COLUMNS; i++) {
        own[i] = columns[i];
        own[i].format = "binary";
        own[i].why = "large objects, in pieces";
    }
    *t = (struct ph_table){
        .objects = true,
        .source_schema = "pg_catalog",
        .source_name = "pg_largeobject_metadata",
        .source_oid = METADATA_OID,
        .source_kind = 'r',
        .target_schema = "pg_catalog",
        .target_name = "pg_largeobject_metadata",
        .target_oid = METADATA_OID,
        .root_source = "large objects",
        .root_target = "large objects",
        .columns = own,
        .n_columns = N_COLUMNS,
        .select_list = ph_objects_select,
        .target_columns = ph_objects_columns,
        .source_attnums = "1",
        .target_attnums = "1",
        .split = PH_SPLIT_KEY,
        .rows_estimate = ph_rows_double(facts, 0, 0),
        .bytes = ph_rows_int(facts, 0, 1),
        .blocks = ph_rows_int(facts, 0, 2),
        .source_filenode = (uint32_t)ph_rows_uint(facts, 0, 3),
    };
}

/* Owners that the target has not. */
static bool warn_of_owners(struct ph_make *make, struct ph_table *t, const char *owners,
                           struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT string_agg(quote_ident(o), ', ' ORDER BY o) FROM unnest(%L::text[]) o"
               " WHERE to_regrole(quote_ident(o)) IS NULL",
               owners);
    bool ok = ph_catalog_query(make->side[PH_TARGET].conn, sql.data, &rows, err);
    if (ok && ph_rows_get(rows, 0, 0))
        ph_make_table_warning(
            make, t, "the target has no role %s: large objects of theirs will be %s's",
            ph_rows_text(rows, 0, 0), ph_make_quote(make, make->side[PH_TARGET].server.role));
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

static bool refuse_spec(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    if (spec->route != PH_ROUTE_COPY && !spec->to_be_made) {
        ph_err_set(err, PH_WRONG, "large objects cannot go into an archive, or come out of one");
        return ph_err_hint(err, "copy them from server to server");
    }
    if (spec->mode != PH_UPSERT)
        return true;
    ph_err_set(err, PH_WRONG,
               "large objects have no key by which they could be brought up to date");
    return ph_err_hint(err, "copy them in a job of their own, without --mode upsert");
}

static const char facts_sql[] =
    "SELECT count(*), pg_relation_size('pg_largeobject'),"
    " pg_relation_size('pg_largeobject_metadata') / current_setting('block_size')::int,"
    " pg_relation_filenode('pg_largeobject_metadata'),"
    " array_agg(DISTINCT pg_get_userbyid(lomowner))::text,"
    " count(*) FILTER (WHERE NOT pg_has_role(lomowner, 'USAGE') AND NOT EXISTS (SELECT FROM"
    "  aclexplode(lomacl) a WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR"
    "  pg_has_role(a.grantee, 'USAGE'))) AND NOT current_setting('lo_compat_privileges')::bool),"
    " (SELECT pg_relation_filenode('pg_largeobject_metadata')) FROM pg_largeobject_metadata";

bool ph_objects_plan(struct ph_make *make, struct ph_err *err)
{
    struct ph_plan *plan = make->plan;
    struct ph_rows *rows = NULL;
    if (!plan->spec->large_objects || plan->spec->verify)
        return true;
    if (!refuse_spec(make, err) ||
        !ph_catalog_query(make->side[PH_SOURCE].conn, facts_sql, &rows, err))
        return false;
    struct ph_table *tables =
        ph_arena_calloc(&plan->arena, (size_t)plan->n_tables + 1, sizeof *tables);
    if (plan->n_tables)
        memcpy(tables, plan->tables, (size_t)plan->n_tables * sizeof *tables);
    plan->tables = tables;
    struct ph_table *t = &tables[plan->n_tables++];
    fill_table(make, t, rows);
    t->id = plan->n_tables;
    plan->bytes += t->bytes;
    int64_t lacking = ph_rows_int(rows, 0, 5);
    if (lacking)
        ph_make_obstacle(make, "connect to the source as their owner, or as a superuser",
                         "no permission to read %lld large objects in the source",
                         (long long)lacking);
    if (plan->spec->to_be_made) { /* what the target says is asked when its tables are there */
        ph_rows_free(rows);
        return true;
    }
    bool ok =
        ph_rows_int(rows, 0, 0) == 0 || warn_of_owners(make, t, ph_rows_text(rows, 0, 4), err);
    ph_rows_free(rows);
    if (!ok)
        return false;
    if (!ph_catalog_query(make->side[PH_TARGET].conn,
                          "SELECT pg_relation_filenode('pg_largeobject_metadata')", &rows, err))
        return false;
    t->target_filenode = (uint32_t)ph_rows_uint(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

static bool has_objects(const struct ph_plan *plan)
{
    return plan->n_tables > 0 && plan->tables[plan->n_tables - 1].objects;
}

bool ph_objects_check(struct ph_plan *plan, struct ph_conn *source, struct ph_conn *target,
                      struct ph_err *err)
{
    struct ph_rows *theirs = NULL, *both = NULL;
    struct ph_buf sql = {0};
    if (!has_objects(plan))
        return true;
    bool ok = ph_conn_query(target,
                            "SELECT pg_catalog.array_agg(oid) FROM"
                            " pg_catalog.pg_largeobject_metadata",
                            &theirs, err);
    if (ok && ph_rows_get(theirs, 0, 0)) {
        ph_sql_add(&sql,
                   "SELECT pg_catalog.count(*), pg_catalog.min(oid) FROM"
                   " pg_catalog.pg_largeobject_metadata"
                   " WHERE oid OPERATOR(pg_catalog.=) ANY (%L::pg_catalog.oid[])",
                   ph_rows_text(theirs, 0, 0));
        ok = ph_conn_query(source, sql.data, &both, err);
        if (ok && ph_rows_int(both, 0, 0) > 0) {
            ok = ph_err_set(err, PH_WRONG,
                            "%s large objects of the source are in the target already, the first"
                            " with OID %s",
                            ph_rows_text(both, 0, 0), ph_rows_text(both, 0, 1));
            ph_err_hint(err, "lo_unlink() takes them away there; or copy without --large-objects");
        }
    }
    ph_rows_free(theirs);
    ph_rows_free(both);
    ph_buf_fini(&sql);
    return ok;
}
