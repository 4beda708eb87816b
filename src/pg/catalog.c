#include "pg/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/feature.h"
#include "pg/internal.h"
#include "pg/sql.h"

bool ph_catalog_query(struct ph_conn *conn, const char *select, struct ph_rows **rows,
                      struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "BEGIN READ ONLY; SET LOCAL search_path TO pg_catalog, pg_temp; ");
    ph_buf_add(&sql, select);
    ph_buf_add(&sql, "; COMMIT");
    bool ok = ph_conn_query(conn, sql.data, rows, err);
    ph_buf_fini(&sql);
    if (ok)
        return true;
    ph_conn_recover(conn);
    return ph_err_prefix(err, "reading the catalog of the %s", ph_conn_side(conn));
}

/* The server. */

/* A role without rights on pg_control_system() is no reason to stop: the identity is then 0,
 * unknown. */
static void read_system_id(struct ph_catalog *catalog)
{
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    if (ph_catalog_query(catalog->conn, "SELECT system_identifier FROM pg_control_system()", &rows,
                         &ignored))
        catalog->server.system_id = ph_rows_uint(rows, 0, 0);
    ph_rows_free(rows);
}

/* The role's own path: the one question that must not be asked under ours. */
static bool read_path(struct ph_catalog *catalog, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(catalog->conn,
                       "SELECT s.name FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) "
                       "WITH ORDINALITY AS s(name, n) ORDER BY s.n",
                       &rows, err))
        return false;
    int n = ph_rows_count(rows);
    const char **path = ph_arena_calloc(catalog->arena, (size_t)n, sizeof *path);
    for (int i = 0; i < n; i++)
        path[i] = ph_arena_strdup(catalog->arena, ph_rows_text(rows, i, 0));
    catalog->server.path = path;
    catalog->server.n_path = n;
    ph_rows_free(rows);
    return true;
}

/* A superuser is not bound by the limits of role and database, and may use the reserved
 * connections. Sessions of others are counted by the columns that everybody may see. */
static const char server_sql[] =
    "WITH me AS (SELECT r.oid, r.rolsuper, r.rolconnlimit, r.rolname FROM pg_roles r WHERE "
    "r.rolname = current_user),\n"
    " db AS (SELECT d.oid, d.datconnlimit, d.datname FROM pg_database d WHERE d.datname = "
    "current_database()),\n"
    " used AS (SELECT count(*) AS all_of_them,\n"
    "   count(*) FILTER (WHERE a.usesysid = (SELECT oid FROM me)) AS role,\n"
    "   count(*) FILTER (WHERE a.datid = (SELECT oid FROM db)) AS database\n"
    "   FROM pg_stat_activity a WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL),\n"
    " lim AS (SELECT current_setting('max_connections')::int AS most,\n"
    "   current_setting('superuser_reserved_connections')::int\n"
    "   + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved),\n"
    " ledger AS (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'pghaul'),\n"
    " jobs AS (SELECT c.oid FROM pg_class c JOIN ledger l ON c.relnamespace = l.oid WHERE "
    "c.relname = 'job')\n"
    "SELECT db.datname, db.oid, me.rolname, me.rolsuper, pg_is_in_recovery(),\n"
    " coalesce((SELECT reset_val = 'on' FROM pg_settings WHERE name = "
    "'default_transaction_read_only'), false),\n"
    " %s,\n"
    " has_database_privilege(db.oid, 'CREATE'), has_database_privilege(db.oid, 'TEMPORARY'),\n"
    " EXISTS (SELECT FROM ledger),\n"
    " coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM ledger), false),\n"
    " coalesce((SELECT has_table_privilege(oid, 'INSERT') FROM jobs),\n"
    "          (SELECT has_schema_privilege(oid, 'CREATE') FROM ledger), false),\n"
    " current_setting('hot_standby_feedback')::bool, "
    "current_setting('max_standby_streaming_delay'),\n"
    " EXISTS (SELECT FROM pg_largeobject_metadata),\n"
    " least(lim.most - used.all_of_them - CASE WHEN me.rolsuper THEN 0 ELSE lim.reserved END,\n"
    "   CASE WHEN me.rolsuper OR me.rolconnlimit < 0 THEN NULL ELSE me.rolconnlimit - used.role "
    "END,\n"
    "   CASE WHEN me.rolsuper OR db.datconnlimit < 0 THEN NULL ELSE db.datconnlimit - "
    "used.database END),\n"
    " CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN "
    "current_setting('data_directory') "
    "END,\n"
    " current_setting('lc_monetary')\n"
    "FROM me, db, used, lim";

static bool read_server(struct ph_catalog *catalog, struct ph_err *err)
{
    bool grantable = ph_feature_has(ph_conn_server_version(catalog->conn), PH_HAS_PARAMETER_GRANTS);
    struct ph_buf sql = {0};
    ph_sql_add(&sql, server_sql,
               grantable ? "has_parameter_privilege('session_replication_role', 'SET')"
                         : "me.rolsuper");
    struct ph_rows *rows = NULL;
    bool ok = ph_catalog_query(catalog->conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (!ok)
        return false;
    struct ph_arena *arena = catalog->arena;
    int c = 0;
    catalog->server.shown = ph_arena_strdup(arena, ph_conn_shown(catalog->conn));
    catalog->server.version = ph_conn_server_version(catalog->conn);
    catalog->server.encoding = ph_arena_strdup(arena, ph_conn_server_encoding(catalog->conn));
    catalog->server.database = ph_arena_strdup(arena, ph_rows_text(rows, 0, c++));
    catalog->server.database_oid = (uint32_t)ph_rows_uint(rows, 0, c++);
    catalog->server.role = ph_arena_strdup(arena, ph_rows_text(rows, 0, c++));
    catalog->server.superuser = ph_rows_bool(rows, 0, c++);
    catalog->server.in_recovery = ph_rows_bool(rows, 0, c++);
    catalog->server.read_only_default = ph_rows_bool(rows, 0, c++);
    catalog->server.may_replica_role = ph_rows_bool(rows, 0, c++);
    catalog->server.may_create_schema = ph_rows_bool(rows, 0, c++);
    catalog->server.may_temp = ph_rows_bool(rows, 0, c++);
    catalog->server.has_ledger = ph_rows_bool(rows, 0, c++);
    catalog->server.may_use_ledger = ph_rows_bool(rows, 0, c++);
    catalog->server.may_write_ledger = ph_rows_bool(rows, 0, c++);
    catalog->server.hot_standby_feedback = ph_rows_bool(rows, 0, c++);
    catalog->server.standby_delay = ph_arena_strdup(arena, ph_rows_text(rows, 0, c++));
    catalog->server.has_large_objects = ph_rows_bool(rows, 0, c++);
    catalog->server.free_connections = (int)ph_rows_int(rows, 0, c++);
    catalog->server.data_directory = ph_arena_strdup(arena, ph_rows_get(rows, 0, c++));
    catalog->server.lc_monetary = ph_arena_strdup(arena, ph_rows_text(rows, 0, c++));
    ph_rows_free(rows);
    return true;
}

/* Names. */

static bool read_names(struct ph_catalog *catalog, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_catalog_query(
            catalog->conn,
            "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition,\n"
            " EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass\n"
            "         AND d.objid = c.oid AND d.deptype = 'e')\n"
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace\n"
            "WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pghaul')\n"
            " AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c', 'i', 'I')\n"
            "ORDER BY c.oid",
            &rows, err))
        return false;
    int n = ph_rows_count(rows);
    catalog->relations = ph_arena_calloc(catalog->arena, (size_t)n, sizeof *catalog->relations);
    catalog->n_relations = n;
    const char *schema = "";
    for (int i = 0; i < n; i++) {
        struct ph_relation *r = &catalog->relations[i];
        r->oid = (uint32_t)ph_rows_uint(rows, i, 0);
        if (strcmp(schema, ph_rows_text(rows, i, 1)) != 0) /* neighbours mostly share it */
            schema = ph_arena_strdup(catalog->arena, ph_rows_text(rows, i, 1));
        r->schema = schema;
        r->name = ph_arena_strdup(catalog->arena, ph_rows_text(rows, i, 2));
        r->kind = *ph_rows_text(rows, i, 3);
        r->persistence = *ph_rows_text(rows, i, 4);
        r->is_partition = ph_rows_bool(rows, i, 5);
        r->of_extension = ph_rows_bool(rows, i, 6);
    }
    ph_rows_free(rows);
    return true;
}

static int order_by_name(const void *a, const void *b)
{
    const struct ph_relation *x = *(struct ph_relation *const *)a;
    const struct ph_relation *y = *(struct ph_relation *const *)b;
    int c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->schema, y->schema);
}

static int order_by_child(const void *a, const void *b)
{
    const struct ph_inherit *x = a, *y = b;
    if (x->child != y->child)
        return x->child < y->child ? -1 : 1;
    return (x->parent > y->parent) - (x->parent < y->parent);
}

/* The two other orders in which names and parents are looked up. */
void ph_catalog_index(struct ph_catalog *catalog)
{
    int n = catalog->n_relations;
    catalog->by_name = ph_arena_calloc(catalog->arena, (size_t)n, sizeof *catalog->by_name);
    for (int i = 0; i < n; i++)
        catalog->by_name[i] = &catalog->relations[i];
    if (n)
        qsort(catalog->by_name, (size_t)n, sizeof *catalog->by_name, order_by_name);
    size_t size = (size_t)catalog->n_inherits * sizeof *catalog->by_child;
    catalog->by_child = ph_arena_alloc(catalog->arena, size);
    if (!size)
        return;
    memcpy(catalog->by_child, catalog->inherits, size);
    qsort(catalog->by_child, (size_t)catalog->n_inherits, sizeof *catalog->by_child,
          order_by_child);
}

static bool read_inherits(struct ph_catalog *catalog, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_catalog_query(catalog->conn,
                          "SELECT i.inhparent, i.inhrelid FROM pg_inherits i\n"
                          "JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')\n"
                          "ORDER BY 1, 2",
                          &rows, err))
        return false;
    int n = ph_rows_count(rows);
    catalog->inherits = ph_arena_calloc(catalog->arena, (size_t)n, sizeof *catalog->inherits);
    catalog->n_inherits = n;
    for (int i = 0; i < n; i++) {
        catalog->inherits[i].parent = (uint32_t)ph_rows_uint(rows, i, 0);
        catalog->inherits[i].child = (uint32_t)ph_rows_uint(rows, i, 1);
    }
    ph_rows_free(rows);
    return true;
}

bool ph_catalog_open(struct ph_catalog *catalog, struct ph_conn *conn, struct ph_arena *arena,
                     struct ph_err *err)
{
    *catalog = (struct ph_catalog){.arena = arena, .conn = conn};
    if (!ph_feature_has(ph_conn_server_version(conn), PH_HAS_ALL_THAT_IS_NEEDED)) {
        ph_err_set(err, PH_WRONG, "the %s is PostgreSQL %d, which is too old", ph_conn_side(conn),
                   ph_conn_server_version(conn) / 10000);
        return ph_err_hint(err, "pghaul works with PostgreSQL %d and newer",
                           ph_feature_since(PH_HAS_ALL_THAT_IS_NEEDED));
    }
    if (!read_path(catalog, err))
        return false;
    read_system_id(catalog);
    if (!read_server(catalog, err) || !read_names(catalog, err) || !read_inherits(catalog, err))
        return false;
    ph_catalog_index(catalog);
    return true;
}

struct ph_relation *ph_catalog_relation(const struct ph_catalog *catalog, uint32_t oid)
{
    int lo = 0, hi = catalog->n_relations;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (catalog->relations[mid].oid < oid)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool found = lo < catalog->n_relations && catalog->relations[lo].oid == oid;
    return found ? &catalog->relations[lo] : NULL;
}

static int compare_names(const char *a_name, const char *a_schema, const struct ph_relation *b)
{
    int c = strcmp(a_name, b->name);
    return c ? c : strcmp(a_schema, b->schema);
}

struct ph_relation *ph_catalog_named(const struct ph_catalog *catalog, const char *schema,
                                     const char *name)
{
    int lo = 0, hi = catalog->n_relations;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        int c = compare_names(name, schema, catalog->by_name[mid]);
        if (c == 0)
            return catalog->by_name[mid];
        if (c > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

struct ph_relation *ph_catalog_visible(const struct ph_catalog *catalog, const char *name)
{
    for (int i = 0; i < catalog->server.n_path; i++) {
        struct ph_relation *r = ph_catalog_named(catalog, catalog->server.path[i], name);
        if (r)
            return r;
    }
    return NULL;
}

const struct ph_inherit *ph_catalog_children(const struct ph_catalog *catalog, uint32_t oid, int *n)
{
    int lo = 0, hi = catalog->n_inherits;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (catalog->inherits[mid].parent < oid)
            lo = mid + 1;
        else
            hi = mid;
    }
    int end = lo;
    while (end < catalog->n_inherits && catalog->inherits[end].parent == oid)
        end++;
    *n = end - lo;
    return catalog->inherits + lo;
}

uint32_t ph_catalog_parent(const struct ph_catalog *catalog, uint32_t oid)
{
    int lo = 0, hi = catalog->n_inherits;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (catalog->by_child[mid].child < oid)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool found = lo < catalog->n_inherits && catalog->by_child[lo].child == oid;
    return found ? catalog->by_child[lo].parent : 0;
}
