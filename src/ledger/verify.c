#include "ledger/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/pg.h"
#include "ledger/query.h"
#include "pg/sql.h"

bool ph_ledger_may_read(struct ph_conn *conn, bool *yes, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    bool ok = ph_conn_query(
        conn,
        "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND coalesce("
        "(SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(c.oid, 'SELECT'))"
        " FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid"
        " AND c.relkind IN ('r', 'v')), false)"
        " FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'pghaul'",
        &rows, err);
    *yes = ok && ph_rows_bool(rows, 0, 0);
    ph_rows_free(rows);
    return ok && (!*yes || ph_ledger_present(conn, yes, err));
}

static void take_load(struct ph_arena *arena, const struct ph_rows *rows, int i,
                      struct ph_ledger_load *load)
{
    *load = (struct ph_ledger_load){
        .job = ph_rows_int(rows, i, 0),
        .name = ph_arena_strdup(arena, ph_rows_text(rows, i, 1)),
        .mode = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
        .nonempty = ph_rows_bool(rows, i, 3),
        .same_target = ph_rows_bool(rows, i, 4),
        .tab = (int)ph_rows_int(rows, i, 5),
        .source_oid = (uint32_t)ph_rows_uint(rows, i, 6),
        .source_filenode = (uint32_t)ph_rows_uint(rows, i, 7),
        .target_oid = (uint32_t)ph_rows_uint(rows, i, 8),
        .format = ph_arena_strdup(arena, ph_rows_text(rows, i, 9)),
        .select_list = ph_arena_strdup(arena, ph_rows_text(rows, i, 10)),
        .target_columns = ph_arena_strdup(arena, ph_rows_text(rows, i, 11)),
        .proven_at = ph_arena_strdup(arena, ph_rows_get(rows, i, 12)),
        .open = ph_rows_bool(rows, i, 14),
        .stands = ph_arena_strdup(arena, ph_rows_text(rows, i, 13)),
    };
}

/* One text for all tables of a job: it names every one of them. */
static bool share_definitions(struct ph_conn *conn, struct ph_arena *arena,
                              struct ph_ledger_loads *loads, struct ph_err *err)
{
    for (int i = 0; i < loads->n; i++) {
        struct ph_ledger_load *load = &loads->items[i];
        struct ph_buf sql = {0};
        struct ph_rows *rows = NULL;
        if (load->definition)
            continue;
        ph_sql_add(&sql, "SELECT definition FROM pghaul.job WHERE id OPERATOR(pg_catalog.=) %D",
                   load->job);
        if (!ph_ledger_query(conn, &sql, &rows, err))
            return false;
        const char *definition = ph_arena_strdup(arena, ph_rows_text(rows, 0, 0));
        ph_rows_free(rows);
        for (int k = i; k < loads->n; k++)
            if (loads->items[k].job == load->job)
                loads->items[k].definition = definition;
    }
    return true;
}

bool ph_ledger_loads(struct ph_conn *conn, struct ph_arena *arena, const char *job,
                     uint64_t source_system, uint32_t source_database, const char *how,
                     struct ph_ledger_loads *out, struct ph_err *err)
{
    bool present = false;
    char system[32];
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    *out = (struct ph_ledger_loads){0};
    if (!ph_ledger_may_read(conn, &present, err))
        return false;
    if (!present)
        return true;
    snprintf(system, sizeof system, "%llu", (unsigned long long)source_system);
    ph_sql_add(&sql,
               "SELECT DISTINCT ON (t.source_oid, t.target_oid) j.id, j.name, j.mode, j.nonempty,"
               " pghaul.same_target(j.id, t.id), t.id, t.source_oid, t.source_filenode,"
               " t.target_oid, t.format, t.select_list, t.target_columns,"
               " pg_catalog.to_char(p.verified_at, 'YYYY-MM-DD HH24:MI:SS'), p.stands,"
               " j.state OPERATOR(pg_catalog.<>) 'completed' FROM pghaul.tab t"
               " JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) t.job LEFT JOIN pghaul.verified p"
               " ON p.job OPERATOR(pg_catalog.=) t.job AND p.tab OPERATOR(pg_catalog.=) t.id"
               " AND p.how OPERATOR(pg_catalog.=) %L AND p.verified_at OPERATOR(pg_catalog.>)"
               " (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval)"
               " WHERE j.source_system OPERATOR(pg_catalog.=) %L"
               " AND j.source_database OPERATOR(pg_catalog.=) %u",
               how, system, source_database);
    if (job)
        ph_sql_add(&sql, " AND j.name OPERATOR(pg_catalog.=) %L", job);
    ph_buf_add(&sql, " ORDER BY t.source_oid, t.target_oid, j.started_at DESC, j.id DESC");
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    out->n = ph_rows_count(rows);
    out->items = ph_arena_calloc(arena, (size_t)out->n, sizeof *out->items);
    for (int i = 0; i < out->n; i++)
        take_load(arena, rows, i, &out->items[i]);
    ph_rows_free(rows);
    return share_definitions(conn, arena, out, err);
}

static void take_hash(const char *text, struct ph_tally *tally)
{
    char half[17] = {0};
    if (strlen(text) != 32)
        return;
    memcpy(half, text, 16);
    tally->hash_hi = strtoull(half, NULL, 16);
    tally->hash_lo = strtoull(text + 16, NULL, 16);
}

bool ph_ledger_receipts(struct ph_conn *conn, struct ph_arena *arena,
                        const struct ph_ledger_load *load, struct ph_ledger_receipt **out, int *n,
                        struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT s.id, s.pred, s.state, r.xid, r.rows, r.bytes, r.hash FROM pghaul.shard s"
               " LEFT JOIN pghaul.all_receipts r ON r.job OPERATOR(pg_catalog.=) s.job"
               " AND r.shard OPERATOR(pg_catalog.=) s.id WHERE s.job OPERATOR(pg_catalog.=) %D"
               " AND s.tab OPERATOR(pg_catalog.=) %d ORDER BY s.id",
               load->job, load->tab);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *out = ph_arena_calloc(arena, (size_t)*n, sizeof **out);
    for (int i = 0; i < *n; i++) {
        struct ph_ledger_receipt *r = &(*out)[i];
        const char *state = ph_rows_text(rows, i, 2);
        r->job = load->job;
        r->tab = load->tab;
        r->shard = ph_rows_int(rows, i, 0);
        r->where = ph_arena_strdup(arena, ph_rows_text(rows, i, 1));
        r->landed = (!strcmp(state, "landed") || !strcmp(state, "verified")) &&
                    ph_rows_get(rows, i, 6) != NULL;
        r->xid = ph_rows_uint(rows, i, 3);
        r->tally.rows = ph_rows_uint(rows, i, 4);
        r->tally.bytes = ph_rows_uint(rows, i, 5);
        take_hash(ph_rows_text(rows, i, 6), &r->tally);
    }
    ph_rows_free(rows);
    return true;
}

bool ph_ledger_mark_verified(struct ph_conn *conn, int64_t job, int tab, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "UPDATE pghaul.shard SET state = 'verified' WHERE job OPERATOR(pg_catalog.=) %D"
               " AND tab OPERATOR(pg_catalog.=) %d AND state OPERATOR(pg_catalog.=) 'landed'",
               job, tab);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_note_proven(struct ph_conn *conn, int64_t job, int tab, const char *how,
                           const char *stands, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "INSERT INTO pghaul.verified (job, tab, how, stands) VALUES (%D, %d, %L, %L)"
               " ON CONFLICT (job, tab) DO UPDATE SET how = excluded.how,"
               " stands = excluded.stands,"
               " verified_at = pg_catalog.clock_timestamp()",
               job, tab, how, stands);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_forget_proven(struct ph_conn *conn, int64_t job, int tab, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "DELETE FROM pghaul.verified WHERE job OPERATOR(pg_catalog.=) %D"
               " AND tab OPERATOR(pg_catalog.=) %d",
               job, tab);
    return ph_ledger_query(conn, &sql, NULL, err);
}

bool ph_ledger_definition(struct ph_conn *conn, struct ph_arena *arena, const char *job,
                          const char **definition, struct ph_err *err)
{
    bool present = false;
    struct ph_ledger_job *found = NULL;
    *definition = NULL;
    if (!ph_ledger_present(conn, &present, err) ||
        (present && !ph_ledger_find(conn, arena, job, &found, err)))
        return false;
    if (found)
        *definition = found->definition;
    return true;
}

bool ph_ledger_makes_objects(struct ph_conn *conn, bool *makes, bool *moving, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    *moving = false;
    if (!ph_ledger_may_read(conn, makes, err))
        return false;
    if (!*makes)
        return true;
    bool ok = ph_conn_query(
        conn,
        "SELECT pg_catalog.to_regprocedure('pghaul.land_objects()') IS NOT NULL,"
        " EXISTS (SELECT FROM pghaul.tab t JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) t.job"
        " WHERE t.target_oid OPERATOR(pg_catalog.=)"
        " 'pg_catalog.pg_largeobject_metadata'::pg_catalog.regclass"
        " AND j.state OPERATOR(pg_catalog.<>) 'completed')",
        &rows, err);
    *makes = ok && ph_rows_bool(rows, 0, 0);
    *moving = ok && ph_rows_bool(rows, 0, 1);
    ph_rows_free(rows);
    return ok;
}
