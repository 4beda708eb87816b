/* Reading what happened, for report. Times are the target's, in seconds since the round began. */
#include <stdlib.h>

#include "base/buf.h"
#include "ledger/history.h"
#include "ledger/query.h"
#include "pg/sql.h"

/* Seconds of a time since the round began; j is the job. */
#define SINCE(time) "pg_catalog.date_part('epoch', " time " OPERATOR(pg_catalog.-) j.started_at)"
#define ISO "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'"

static int index_of(const struct ph_history *h, int mover)
{
    for (int i = 0; i < h->n_movers; i++)
        if (h->movers[i].id == mover)
            return i;
    return -1;
}

static bool read_movers(struct ph_history *h, struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows;
    ph_sql_add(
        &sql,
        "SELECT m.id, m.pid, m.host, pg_catalog.to_char(m.started_at, " ISO
        "), " SINCE("m.started_at") ", " SINCE(
            "CASE WHEN m.ended_at IS NOT NULL THEN m.ended_at WHEN l.id IS NOT NULL"
            " THEN pg_catalog.clock_timestamp() ELSE m.beat_at END") ", l.id IS NOT NULL,"
                                                                     " m.ended_at IS NOT NULL, "
                                                                     "m.facts, "
                                                                     "pg_catalog.to_char(j.started_"
                                                                     "at, " ISO "), " SINCE(
                                                                         "pg_catalog.clock_"
                                                                         "timestamp()") " FROM "
                                                                                        "pghaul."
                                                                                        "job j "
                                                                                        "LEFT JOIN "
                                                                                        "pghaul."
                                                                                        "mover m "
                                                                                        "ON m.job "
                                                                                        "OPERATOR("
                                                                                        "pg_"
                                                                                        "catalog.=)"
                                                                                        " j.id"
                                                                                        " AND "
                                                                                        "m.started_"
                                                                                        "at "
                                                                                        "OPERATOR("
                                                                                        "pg_"
                                                                                        "catalog.>="
                                                                                        ") "
                                                                                        "j.started_"
                                                                                        "at"
                                                                                        " LEFT "
                                                                                        "JOIN "
                                                                                        "pghaul."
                                                                                        "live l ON "
                                                                                        "l.id "
                                                                                        "OPERATOR("
                                                                                        "pg_"
                                                                                        "catalog.=)"
                                                                                        " m.id"
                                                                                        " WHERE "
                                                                                        "j.id "
                                                                                        "OPERATOR("
                                                                                        "pg_"
                                                                                        "catalog.=)"
                                                                                        " %D ORDER "
                                                                                        "BY m.id",
        job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    int n = ph_rows_count(rows);
    h->movers = ph_arena_calloc(&h->arena, (size_t)n + 1, sizeof *h->movers);
    for (int i = 0; i < n; i++) {
        h->started = ph_arena_strdup(&h->arena, ph_rows_text(rows, i, 9));
        h->now = ph_rows_double(rows, i, 10);
        if (!ph_rows_get(rows, i, 0))
            continue;
        h->movers[h->n_movers++] = (struct ph_history_mover){
            .id = (int)ph_rows_int(rows, i, 0),
            .pid = (int)ph_rows_int(rows, i, 1),
            .host = ph_arena_strdup(&h->arena, ph_rows_text(rows, i, 2)),
            .started = ph_arena_strdup(&h->arena, ph_rows_text(rows, i, 3)),
            .start = ph_rows_double(rows, i, 4),
            .end = ph_rows_double(rows, i, 5),
            .live = ph_rows_bool(rows, i, 6),
            .ended = ph_rows_bool(rows, i, 7),
            .facts = ph_arena_strdup(&h->arena, ph_rows_get(rows, i, 8)),
        };
    }
    ph_rows_free(rows);
    return true;
}

static void heard_of(struct ph_history *h, int mover, double at)
{
    if (mover >= 0 && at > h->movers[mover].end)
        h->movers[mover].end = at;
}

static bool read_points(struct ph_history *h, struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows;
    ph_sql_add(&sql,
               "SELECT s.mover, " SINCE("s.at") ", s.rows, s.bytes, s.spilled, s.busy, s.waits");
    for (int i = 0; i < PH_N_STAGES; i++)
        ph_sql_add(&sql, ", s.stages OPERATOR(pg_catalog.->>) %L", ph_stage_names[i]);
    ph_sql_add(&sql,
               " FROM pghaul.sample s JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) s.job"
               " WHERE s.job OPERATOR(pg_catalog.=) %D ORDER BY s.mover, s.at",
               job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    int n = ph_rows_count(rows);
    h->points = ph_arena_calloc(&h->arena, (size_t)n + 1, sizeof *h->points);
    for (int i = 0; i < n; i++) {
        struct ph_history_point *p = &h->points[h->n_points];
        *p = (struct ph_history_point){.mover = index_of(h, (int)ph_rows_int(rows, i, 0)),
                                       .at = ph_rows_double(rows, i, 1),
                                       .rows = ph_rows_uint(rows, i, 2),
                                       .bytes = ph_rows_uint(rows, i, 3),
                                       .spilled = ph_rows_uint(rows, i, 4),
                                       .busy = (int)ph_rows_int(rows, i, 5),
                                       .waits =
                                           ph_arena_strdup(&h->arena, ph_rows_text(rows, i, 6))};
        for (int k = 0; k < PH_N_STAGES; k++)
            p->stages[k] = ph_rows_double(rows, i, 7 + k);
        heard_of(h, p->mover, p->at);
        h->n_points += p->mover >= 0;
    }
    ph_rows_free(rows);
    return true;
}

static bool read_moments(struct ph_history *h, struct ph_conn *conn, int64_t job,
                         struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows;
    ph_sql_add(
        &sql,
        "SELECT e.mover, " SINCE(
            "e.at") ", e.event, e.text, e.shard,"
                    " CASE WHEN t.id IS NOT NULL THEN pg_catalog.format('%%I.%%I', t.source_schema,"
                    " t.source_name) END"
                    " FROM pghaul.event e JOIN pghaul.job j ON j.id OPERATOR(pg_catalog.=) e.job"
                    " LEFT JOIN pghaul.tab t ON t.job OPERATOR(pg_catalog.=) e.job"
                    " AND t.id OPERATOR(pg_catalog.=) e.tab"
                    " WHERE e.job OPERATOR(pg_catalog.=) %D ORDER BY e.at",
        job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    h->n_moments = ph_rows_count(rows);
    h->moments = ph_arena_calloc(&h->arena, (size_t)h->n_moments + 1, sizeof *h->moments);
    for (int i = 0; i < h->n_moments; i++) {
        h->moments[i] = (struct ph_history_moment){
            .mover = index_of(h, (int)ph_rows_int(rows, i, 0)),
            .at = ph_rows_double(rows, i, 1),
            .event = ph_arena_strdup(&h->arena, ph_rows_text(rows, i, 2)),
            .text = ph_arena_strdup(&h->arena, ph_rows_text(rows, i, 3)),
            .shard = ph_rows_int(rows, i, 4),
            .table = ph_arena_strdup(&h->arena, ph_rows_get(rows, i, 5)),
        };
        heard_of(h, h->moments[i].mover, h->moments[i].at);
    }
    ph_rows_free(rows);
    return true;
}

/* What landed; what was read into a file, whether it has landed since or not; what is in hand, or was when its mover died. */
static void add_bars(struct ph_buf *sql, int64_t job)
{
    ph_sql_add(sql,
               "SELECT b.mover, b.slot, " SINCE("b.since") ", " SINCE(
                   "b.until") ", b.shard,"
                              " b.tab, b.rows, b.bytes, b.attempt, b.kind FROM pghaul.job j JOIN ("
                              "SELECT mover, slot, claimed_at AS since, landed_at AS until, shard, "
                              "tab, rows, bytes,"
                              " attempt, 0 AS kind FROM pghaul.all_receipts WHERE job "
                              "OPERATOR(pg_catalog.=) %D"
                              " AND landed_at IS NOT NULL AND claimed_at IS NOT NULL UNION ALL "
                              "SELECT read_mover, read_slot, read_at, sealed_at, shard, tab, rows, "
                              "bytes, attempt, 1"
                              " FROM pghaul.all_receipts WHERE job OPERATOR(pg_catalog.=) %D AND "
                              "read_at IS NOT NULL"
                              " UNION ALL "
                              "SELECT p.mover, p.slot, p.read_at, p.sealed_at, p.shard, s.tab, "
                              "p.rows, p.bytes, s.attempt,"
                              " 1 FROM pghaul.spill p JOIN pghaul.shard s ON s.job "
                              "OPERATOR(pg_catalog.=) p.job"
                              " AND s.id OPERATOR(pg_catalog.=) p.shard WHERE p.job "
                              "OPERATOR(pg_catalog.=) %D"
                              " AND p.read_at IS NOT NULL UNION ALL "
                              "SELECT mover, slot, claimed_at, NULL, id, tab, 0, 0, attempt, 2 "
                              "FROM pghaul.shard"
                              " WHERE job OPERATOR(pg_catalog.=) %D AND mover IS NOT NULL"
                              " AND state IN ('planned', 'spilled')) b ON true WHERE j.id "
                              "OPERATOR(pg_catalog.=) %D"
                              " ORDER BY b.mover, b.slot, b.since",
               job, job, job, job, job);
}

static bool read_bars(struct ph_history *h, struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows;
    add_bars(&sql, job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    int n = ph_rows_count(rows);
    h->bars = ph_arena_calloc(&h->arena, (size_t)n + 1, sizeof *h->bars);
    for (int i = 0; i < n; i++) {
        struct ph_history_bar *b = &h->bars[h->n_bars];
        int mover = index_of(h, (int)ph_rows_int(rows, i, 0));
        if (mover < 0)
            continue; /* of an earlier round */
        *b = (struct ph_history_bar){.mover = mover,
                                     .slot = (int)ph_rows_int(rows, i, 1),
                                     .from = ph_rows_double(rows, i, 2),
                                     .to = ph_rows_double(rows, i, 3),
                                     .shard = ph_rows_int(rows, i, 4),
                                     .tab = (int)ph_rows_int(rows, i, 5) - 1,
                                     .rows = ph_rows_uint(rows, i, 6),
                                     .bytes = ph_rows_uint(rows, i, 7),
                                     .attempt = (int)ph_rows_int(rows, i, 8),
                                     .kind = (int)ph_rows_int(rows, i, 9)};
        heard_of(h, mover, b->kind == PH_BAR_OPEN ? b->from : b->to);
        h->n_bars++;
    }
    ph_rows_free(rows);
    for (int i = 0; i < h->n_bars; i++)
        if (h->bars[i].kind == PH_BAR_OPEN)
            h->bars[i].to = h->movers[h->bars[i].mover].end;
    return true;
}

bool ph_history_read(struct ph_history **out, struct ph_conn *conn, int64_t job, struct ph_err *err)
{
    struct ph_history *h = calloc(1, sizeof *h);
    /* one snapshot for all, so that the parts agree */
    bool ok = (h || ph_err_nomem(err)) &&
              ph_conn_exec(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) &&
              read_movers(h, conn, job, err) && read_points(h, conn, job, err) &&
              read_moments(h, conn, job, err) && read_bars(h, conn, job, err) &&
              ph_conn_exec(conn, "COMMIT", err);
    if (!ok) {
        ph_history_free(h);
        h = NULL;
    }
    *out = h;
    return ok;
}

void ph_history_free(struct ph_history *history)
{
    if (!history)
        return;
    ph_arena_fini(&history->arena);
    free(history);
}
