/* Writing what happened. Reading it is history_read.c's. */
#include "ledger/history.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "pg/sql.h"

/* The server's clock is the only one: what happened so many seconds ago. */
static void add_when(struct ph_buf *sql, double at_s, double now_s)
{
    double age = now_s > at_s ? now_s - at_s : 0;
    ph_buf_addf(sql,
                "pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)"
                " pg_catalog.make_interval(secs => %.6f)",
                age);
}

static void add_samples(struct ph_buf *sql, int64_t job, int mover,
                        const struct ph_history_sample *samples, int n, double now_s)
{
    struct ph_buf stages = {0};
    ph_sql_add(sql, "INSERT INTO pghaul.sample (job, mover, at, rows, bytes, spilled, busy, stages,"
                    " waits)"
                    " VALUES ");
    for (int i = 0; i < n; i++) {
        const struct ph_history_sample *s = &samples[i];
        ph_buf_clear(&stages);
        for (int k = 0; k < PH_N_STAGES; k++)
            ph_buf_addf(&stages, "%s\"%s\":%.3f", k ? "," : "{", ph_stage_names[k], s->stages[k]);
        ph_buf_addc(&stages, '}');
        ph_sql_add(sql, "%s(%D, %d, ", i ? ", " : "", job, mover);
        add_when(sql, s->at_s, now_s);
        ph_sql_add(sql, ", %D, %D, %D, %d, %L, %L)", (int64_t)s->rows, (int64_t)s->bytes,
                   (int64_t)s->spilled, s->busy, stages.data, s->waits);
    }
    ph_sql_add(sql, " ON CONFLICT DO NOTHING;");
    ph_buf_fini(&stages);
}

static void add_events(struct ph_buf *sql, int64_t job, int mover,
                       const struct ph_history_event *events, int n, double now_s)
{
    ph_sql_add(sql, "INSERT INTO pghaul.event (job, mover, at, event, shard, tab, text) VALUES ");
    for (int i = 0; i < n; i++) {
        const struct ph_history_event *e = &events[i];
        ph_sql_add(sql, "%s(%D, %d, ", i ? ", " : "", job, mover);
        add_when(sql, e->at_s, now_s);
        ph_sql_add(sql, ", %L, ", e->event);
        if (e->shard)
            ph_sql_add(sql, "%D, %d", e->shard, e->tab);
        else
            ph_sql_add(sql, "NULL, NULL");
        ph_sql_add(sql, ", %L)", e->text);
    }
    ph_sql_add(sql, ";");
}

bool ph_history_write(struct ph_conn *conn, int64_t job, int mover,
                      const struct ph_history_sample *samples, int n_samples,
                      const struct ph_history_event *events, int n_events, struct ph_err *err)
{
    struct ph_buf sql = {0};
    double now_s = ph_clock_s();
    if (n_samples == 0 && n_events == 0)
        return true;
    ph_sql_add(&sql, "BEGIN;SET LOCAL synchronous_commit = off;");
    if (n_samples > 0)
        add_samples(&sql, job, mover, samples, n_samples, now_s);
    if (n_events > 0)
        add_events(&sql, job, mover, events, n_events, now_s);
    ph_sql_add(&sql, "COMMIT");
    bool ok = ph_conn_exec(conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "ledger");
}

bool ph_history_server(struct ph_conn *conn, struct ph_arena *arena, const char **json,
                       struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    *json = NULL;
    if (!ph_conn_query(
            conn,
            "SELECT pg_catalog.json_object_agg(s.name, pg_catalog.current_setting(s.name))"
            " FROM pg_catalog.unnest('{block_size, checkpoint_timeout, data_checksums,"
            " effective_io_concurrency, fsync, full_page_writes, max_connections, max_wal_size,"
            " server_encoding, server_version, shared_buffers, synchronous_commit, wal_buffers,"
            " wal_level}'::pg_catalog.text[]) s(name)",
            &rows, err))
        return ph_err_prefix(err, "looking at the server's settings");
    *json = ph_arena_strdup(arena, ph_rows_text(rows, 0, 0));
    ph_rows_free(rows);
    return true;
}

bool ph_history_facts(struct ph_conn *conn, int mover, const char *facts, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "UPDATE pghaul.mover SET facts = %L WHERE id OPERATOR(pg_catalog.=) %d", facts,
               mover);
    bool ok = ph_conn_exec(conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "ledger");
}
