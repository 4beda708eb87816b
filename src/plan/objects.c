/* Large objects: one table more in the plan, see pg/objects.h; and what stands in their way. */
#include <stdlib.h>
#include <string.h>

#include "archive/manifest.h"
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

static void fill_table(struct ph_make *make, struct ph_table *t)
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
        .source_schema = PH_OBJECTS_SCHEMA,
        .source_name = PH_OBJECTS_TABLE,
        .source_oid = METADATA_OID,
        .source_kind = 'r',
        .target_schema = PH_OBJECTS_SCHEMA,
        .target_name = PH_OBJECTS_TABLE,
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
    };
}

static struct ph_table *add_table(struct ph_make *make)
{
    struct ph_plan *plan = make->plan;
    struct ph_table *tables =
        ph_arena_calloc(&plan->arena, (size_t)plan->n_tables + 1, sizeof *tables);
    if (plan->n_tables)
        memcpy(tables, plan->tables, (size_t)plan->n_tables * sizeof *tables);
    plan->tables = tables;
    struct ph_table *t = &tables[plan->n_tables++];
    fill_table(make, t);
    t->id = plan->n_tables;
    return t;
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

/* Where an extract's archive will be loaded nobody knows, and what --create has not made yet cannot be asked. */
static bool look_at_target(struct ph_make *make, struct ph_table *t, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (ph_make_invents(make))
        return true;
    if (!ph_catalog_query(make->side[PH_TARGET].conn,
                          "SELECT pg_relation_filenode('pg_largeobject_metadata')", &rows, err))
        return false;
    t->target_filenode = (uint32_t)ph_rows_uint(rows, 0, 0);
    ph_rows_free(rows);
    return true;
}

static bool plan_from_source(struct ph_make *make, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_catalog_query(make->side[PH_SOURCE].conn, facts_sql, &rows, err))
        return false;
    struct ph_table *t = add_table(make);
    t->rows_estimate = ph_rows_double(rows, 0, 0);
    t->bytes = ph_rows_int(rows, 0, 1);
    t->blocks = ph_rows_int(rows, 0, 2);
    t->source_filenode = (uint32_t)ph_rows_uint(rows, 0, 3);
    make->plan->bytes += t->bytes;
    int64_t lacking = ph_rows_int(rows, 0, 5);
    if (lacking)
        ph_make_obstacle(make, "connect to the source as their owner, or as a superuser",
                         "no permission to read %lld large objects in the source",
                         (long long)lacking);
    bool ok = ph_make_invents(make) || ph_rows_int(rows, 0, 0) == 0 ||
              warn_of_owners(make, t, ph_rows_text(rows, 0, 4), err);
    ph_rows_free(rows);
    return ok && look_at_target(make, t, err);
}

/* They are described by the archive and by ourselves, and must be the same thing both times. */
static bool plan_from_archive(struct ph_make *make, struct ph_err *err)
{
    const struct ph_archive_table *archived = make->objects.table;
    if (!archived) {
        ph_err_set(err, PH_WRONG, "the archive has no large objects");
        return ph_err_hint(err, "extract it with --large-objects, or leave that out here");
    }
    bool same = archived->format == PH_BINARY && archived->n_columns == N_COLUMNS;
    for (int i = 0; same && i < N_COLUMNS; i++)
        same = !strcmp(archived->columns[i], columns[i].name) &&
               !strcmp(archived->types[i], columns[i].source_type);
    if (!same)
        return ph_err_set(err, PH_FAILED,
                          "the archive contradicts itself: its large objects are none");
    struct ph_table *t = add_table(make);
    t->rows_estimate = (double)make->objects.rows;
    t->bytes = (int64_t)make->objects.bytes;
    make->plan->bytes += t->bytes;
    ph_make_table_warning(make, t,
                          "large objects of owners that the target does not have will be %s's",
                          ph_make_quote(make, make->side[PH_TARGET].server.role));
    return look_at_target(make, t, err);
}

bool ph_objects_plan(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    if (spec->verify)
        return true;
    if (!spec->large_objects) {
        if (make->objects.table)
            ph_make_warning(make, "the archive has large objects, too: --large-objects loads them");
        return true;
    }
    return refuse_spec(make, err) && (spec->route == PH_ROUTE_LOAD ? plan_from_archive(make, err)
                                                                   : plan_from_source(make, err));
}

static bool has_objects(const struct ph_plan *plan)
{
    return plan->n_tables > 0 && plan->tables[plan->n_tables - 1].objects;
}

/* Which OIDs an archive has is known to its rows only. */
static bool check_none(struct ph_conn *target, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(target, "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata",
                       &rows, err))
        return false;
    int64_t n = ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    if (n == 0)
        return true;
    ph_err_set(err, PH_WRONG, "the target has %lld large objects of its own", (long long)n);
    return ph_err_hint(err, "--allow-nonempty adds to them: where an OID is there already, its"
                            " shard fails and nothing of it is changed");
}

bool ph_objects_check(struct ph_plan *plan, struct ph_conn *source, struct ph_conn *target,
                      struct ph_err *err)
{
    struct ph_rows *theirs = NULL, *both = NULL;
    struct ph_buf sql = {0};
    if (!has_objects(plan))
        return true;
    if (!source)
        return plan->spec->allow_nonempty || check_none(target, err);
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
