#include "ledger/scratch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "ledger/pg.h"
#include "ledger/status.h"
#include "ledger/query.h"
#include "pg/sql.h"

/* Class of the session lock by which a scratch is live; movers have the number before. */
#define LOCK_CLASS 1885825122

enum { PATIENCE_S = 5 };

static bool run(struct ph_conn *conn, struct ph_buf *sql, struct ph_rows **rows, struct ph_err *err)
{
    bool ok = ph_conn_query(conn, ph_buf_text(sql), rows, err);
    ph_buf_fini(sql);
    return ok || ph_err_prefix(err, "scratch table");
}

static bool give_up(struct ph_conn *conn)
{
    ph_conn_recover(conn);
    return false;
}

/* Making. */

/* Everything but the table itself, committed: from here on it will be found. The lock is the session's. */
static bool write_down(struct ph_conn *conn, const char *schema, const char *job, const char *tag,
                       int *id, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (!ph_ledger_begin(conn, true, err))
        return give_up(conn);
    ph_sql_add(
        &sql,
        "CREATE TABLE IF NOT EXISTS pghaul.scratch (id int GENERATED ALWAYS AS IDENTITY PRIMARY"
        " KEY, schema text NOT NULL, job text NOT NULL, tag text NOT NULL, made_at timestamptz NOT "
        "NULL DEFAULT"
        " pg_catalog.clock_timestamp());"
        "INSERT INTO pghaul.scratch (schema, job, tag) VALUES (%L, %L, %L) RETURNING id,"
        " pg_catalog.pg_advisory_lock(%d, id)",
        schema, job, tag, LOCK_CLASS);
    if (!run(conn, &sql, &rows, err))
        return give_up(conn);
    *id = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return ph_ledger_commit(conn, err) || give_up(conn);
}

/* What LIKE does not take over: persistence, tablespace, access method, storage parameters. */
static bool read_manner(struct ph_conn *conn, const char *schema, const char *name,
                        struct ph_rows **rows, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(
        &sql,
        "SELECT c.relpersistence OPERATOR(pg_catalog.=) 'u', t.spcname, a.amname,"
        " pg_catalog.array_to_string(c.reloptions, ', ') FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
        " LEFT JOIN pg_catalog.pg_tablespace t ON t.oid OPERATOR(pg_catalog.=) c.reltablespace"
        " LEFT JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam"
        " WHERE n.nspname OPERATOR(pg_catalog.=) %L AND c.relname OPERATOR(pg_catalog.=) %L",
        schema, name);
    if (!run(conn, &sql, rows, err))
        return false;
    if (ph_rows_count(*rows) == 1)
        return true;
    ph_rows_free(*rows);
    return ph_err_set(err, PH_WRONG, "the target table %s.%s is gone", schema, name);
}

/* A column that the source does not feed would draw from the target's own sequence: here it draws from one of the scratch. */
static void add_sequences(struct ph_buf *sql, const struct ph_scratch *s)
{
    ph_sql_add(
        sql,
        ";DO $do$ DECLARE c record; BEGIN FOR c IN SELECT a.attname, a.attnum FROM"
        " pg_catalog.pg_attribute a JOIN pg_catalog.pg_attrdef d"
        " ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=)"
        " a.attnum JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) a.attrelid JOIN"
        " pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace"
        " WHERE n.nspname OPERATOR(pg_catalog.=) %L AND r.relname OPERATOR(pg_catalog.=) %L"
        " AND a.attgenerated OPERATOR(pg_catalog.=) '' AND pg_catalog.strpos("
        "pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'nextval(') OPERATOR(pg_catalog.>) 0"
        " LOOP EXECUTE pg_catalog.format('CREATE SEQUENCE %%1$I.%%2$I OWNED BY %%1$I.%%3$I.%%4$I;"
        "ALTER TABLE %%1$I.%%3$I ALTER COLUMN %%4$I SET DEFAULT"
        " pg_catalog.nextval(''%%1$I.%%2$I'')', %L, %L OPERATOR(pg_catalog.||) c.attnum, %L,"
        " c.attname); END LOOP; END $do$",
        s->schema, s->name, s->schema, s->name, s->name);
}

static bool create(struct ph_conn *conn, const char *schema, const char *name, int without,
                   const struct ph_scratch *s, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *manner = NULL;
    if (!read_manner(conn, schema, name, &manner, err))
        return false;
    bool unlogged = ph_rows_bool(manner, 0, 0) || (without & PH_SCRATCH_UNLOGGED);
    ph_sql_add(&sql, "BEGIN;CREATE %sTABLE %I.%I (LIKE %I.%I INCLUDING ALL EXCLUDING STATISTICS%s)",
               unlogged ? "UNLOGGED " : "", s->schema, s->name, schema, name,
               without & PH_SCRATCH_NO_INDEXES ? " EXCLUDING INDEXES" : "");
    if (ph_rows_get(manner, 0, 2))
        ph_sql_add(&sql, " USING %I", ph_rows_text(manner, 0, 2));
    if (ph_rows_get(manner, 0, 3))
        ph_sql_add(&sql, " WITH (%s)", ph_rows_text(manner, 0, 3));
    if (ph_rows_get(manner, 0, 1))
        ph_sql_add(&sql, " TABLESPACE %I", ph_rows_text(manner, 0, 1));
    ph_rows_free(manner);
    add_sequences(&sql, s);
    ph_sql_add(&sql, ";COMMIT");
    return run(conn, &sql, NULL, err) || give_up(conn);
}

bool ph_scratch_make(struct ph_conn *conn, struct ph_arena *arena, const char *schema,
                     const char *name, const char *job, const char *tag, int without,
                     struct ph_scratch *out, struct ph_err *err)
{
    struct ph_err ignored;
    *out = (struct ph_scratch){.schema = ph_arena_strdup(arena, schema)};
    if (!write_down(conn, schema, job, tag, &out->id, err))
        return false;
    out->name = ph_arena_printf(arena, "pghaul_scratch_%d", out->id);
    if (PH_FAULT("scratch.make"))
        return ph_err_set(err, PH_FAILED, "fault point scratch.make");
    if (create(conn, schema, name, without, out, err))
        return true;
    if (!strcmp(err->sqlstate, "42501"))
        ph_err_hint(err, "a scratch table stands beside the target: GRANT CREATE ON SCHEMA, also on"
                         " its tablespace, or work as the target's owner");
    ph_scratch_drop(conn, out, &ignored);
    return false;
}

bool ph_scratch_truncate(struct ph_conn *conn, const struct ph_scratch *scratch, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "TRUNCATE ONLY %I.%I", scratch->schema, scratch->name);
    return run(conn, &sql, NULL, err);
}

/* Taking away. */

static void add_drop(struct ph_buf *sql, const char *schema, int id)
{
    char name[64];
    snprintf(name, sizeof name, "pghaul_scratch_%d", id);
    ph_sql_add(sql,
               "DROP TABLE IF EXISTS %I.%I;DELETE FROM pghaul.scratch WHERE id"
               " OPERATOR(pg_catalog.=) %d",
               schema, name, id);
}

/* With the last one the list goes, and with the last job the ledger. */
static bool end_list(struct ph_conn *conn, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(conn, "SELECT (SELECT pg_catalog.count(*) FROM pghaul.scratch)", &rows, err))
        return false;
    bool empty = ph_rows_int(rows, 0, 0) == 0;
    ph_rows_free(rows);
    return !empty || (ph_conn_exec(conn, "DROP TABLE pghaul.scratch", err) &&
                      ph_ledger_end_if_unused(conn, err));
}

bool ph_scratch_drop(struct ph_conn *conn, const struct ph_scratch *scratch, struct ph_err *err)
{
    struct ph_buf sql = {0};
    if (!ph_ledger_begin(conn, false, err))
        return give_up(conn);
    add_drop(&sql, scratch->schema, scratch->id);
    ph_sql_add(&sql, ";SELECT pg_catalog.pg_advisory_unlock(%d, %d)", LOCK_CLASS, scratch->id);
    return (run(conn, &sql, NULL, err) && end_list(conn, err) && ph_ledger_commit(conn, err)) ||
           give_up(conn);
}

bool ph_scratch_end_job(struct ph_conn *conn, const char *job, struct ph_err *err)
{
    int restored = 0; /* a scratch table's job drops no index */
    for (double until = ph_clock_s() + PATIENCE_S;;) {
        if (ph_ledger_clean(conn, job, &restored, err))
            return true;
        if (err->code != PH_HELD || ph_clock_s() > until)
            return false;
        usleep(5000);
    }
}

/* Those whose lock is free. */
static bool find_dead(struct ph_conn *conn, struct ph_arena *arena, struct ph_scratch_left **left,
                      int **ids, int *n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT s.id, s.schema, s.job, s.tag FROM pghaul.scratch s"
               " WHERE pg_catalog.pg_try_advisory_xact_lock(%d, s.id) ORDER BY s.id",
               LOCK_CLASS);
    if (!run(conn, &sql, &rows, err))
        return false;
    *n = ph_rows_count(rows);
    *left = ph_arena_calloc(arena, (size_t)*n + 1, sizeof **left);
    *ids = ph_arena_calloc(arena, (size_t)*n + 1, sizeof **ids);
    for (int i = 0; i < *n; i++) {
        (*ids)[i] = (int)ph_rows_int(rows, i, 0);
        (*left)[i] = (struct ph_scratch_left){
            .schema = ph_arena_strdup(arena, ph_rows_text(rows, i, 1)),
            .name = ph_arena_printf(arena, "pghaul_scratch_%d", (*ids)[i]),
            .job = ph_arena_strdup(arena, ph_rows_text(rows, i, 2)),
            .tag = ph_arena_strdup(arena, ph_rows_text(rows, i, 3)),
        };
    }
    ph_rows_free(rows);
    return true;
}

static bool drop_all(struct ph_conn *conn, const struct ph_scratch_left *left, const int *ids,
                     int n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    if (!ph_ledger_begin(conn, false, err))
        return false;
    for (int i = 0; i < n; i++) {
        add_drop(&sql, left[i].schema, ids[i]);
        ph_sql_add(&sql, ";");
    }
    return (n == 0 || run(conn, &sql, NULL, err)) && end_list(conn, err) &&
           ph_ledger_commit(conn, err);
}

/* Jobs first: as long as the scratch is written down, somebody will come back for its job. */
bool ph_scratch_sweep(struct ph_conn *conn, struct ph_arena *arena, struct ph_scratch_left **left,
                      int *n, struct ph_err *err)
{
    bool there = false;
    int *ids = NULL;
    *left = NULL;
    *n = 0;
    if (!ph_ledger_has(conn, "pghaul.scratch", &there, err))
        return false;
    if (!there)
        return true;
    if (!ph_ledger_begin(conn, false, err) || !find_dead(conn, arena, left, &ids, n, err))
        return give_up(conn);
    ph_conn_recover(conn);
    bool ok = true;
    for (int i = 0; i < *n && ok; i++)
        ok = ph_scratch_end_job(conn, (*left)[i].job, err) || err->code == PH_WRONG; /* gone */
    return ok && (drop_all(conn, *left, ids, *n, err) || give_up(conn));
}
