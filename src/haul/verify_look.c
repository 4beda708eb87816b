/* How a verify looks at both sides: under snapshots of its own, and, while guards or a timetable hold
 * one of the two servers, not at all. A pause lets both snapshots go and closes the connections: what
 * was read stays, and the rest is read under other snapshots. So a verify that was paused saw each
 * part of a table at a moment of its own; what differs because of that is looked at again, both
 * sides at one moment, before it counts.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "haul/verify_run.h"
#include "pg/sql.h"

static const double nap_s = 0.1;
static const uint64_t smallest_chunk = (uint64_t)1 << 20, chunk_s = 8;
static const uint64_t silence_ns = 1000000000;

/* Snapshots. */

static void add_locks(const struct ph_verify *v, int side, struct ph_buf *sql)
{
    const struct ph_plan *plan = v->run.plan;
    int n = 0;
    for (int i = 0; i < plan->n_tables; i++) {
        const struct ph_table *t = &plan->tables[i];
        bool lockable = side == PH_READ_TARGET || t->source_kind == 'r';
        if (!lockable)
            continue;
        bool only = side == PH_READ_SOURCE;
        ph_sql_add(sql, "%s%s%I.%I", n++ ? ", " : "LOCK TABLE ", only ? "ONLY " : "",
                   only ? t->source_schema : t->target_schema,
                   only ? t->source_name : t->target_name);
    }
    if (n)
        ph_buf_add(sql, " IN ACCESS SHARE MODE;");
}

/* moment: a snapshot that somebody holds, or NULL. */
static bool look(struct ph_verify *v, int side, const char *moment, struct ph_err *err)
{
    struct ph_conn *conn = side == PH_READ_SOURCE ? v->run.source : v->run.target;
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_buf_add(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;");
    if (moment)
        ph_sql_add(&sql, "SET TRANSACTION SNAPSHOT %L;", moment);
    add_locks(v, side, &sql);
    ph_buf_add(&sql, "SELECT pg_catalog.pg_export_snapshot(),"
                     " pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()),"
                     " pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())");
    bool ok = ph_conn_query(conn, sql.data, &rows, err);
    if (ok) {
        if (!v->snapshot[0] && !v->snapshot[1])
            v->looks_since_s = ph_clock_s();
        v->snapshot[side] = strdup(ph_rows_text(rows, 0, 0));
        v->oldest[side] = ph_rows_uint(rows, 0, 1);
        v->next[side] = ph_rows_uint(rows, 0, 2);
        v->since[side] = v->since[side] ? v->since[side] : v->oldest[side];
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    if (!ok)
        return ph_err_prefix(err, "taking a snapshot of the %s", ph_conn_side(conn));
    return v->snapshot[side] || ph_err_nomem(err);
}

/* While a job holds its snapshot, the source is looked at as it was then: what has landed must be that,
 * whatever is written meanwhile. It may be let go at any time. */
bool ph_verify_look(struct ph_verify *v, int side, struct ph_err *err)
{
    struct ph_conn *conn = side == PH_READ_SOURCE ? v->run.source : v->run.target;
    if (v->snapshot[side])
        return true;
    if (side == PH_READ_SOURCE && v->moment) {
        if (look(v, side, v->moment, err))
            return true;
        v->moment = NULL;
        if (err->code == PH_INTERRUPTED || !ph_conn_recover(conn))
            return false;
    }
    return look(v, side, NULL, err);
}

void ph_verify_look_away(struct ph_verify *v)
{
    struct ph_conn *conn[2] = {v->run.source, v->run.target};
    for (int side = 0; side < 2; side++) {
        if (v->snapshot[side])
            ph_conn_recover(conn[side]);
        free(v->snapshot[side]);
        v->snapshot[side] = NULL;
    }
}

/* The session's path must come back as it was, which only a savepoint remembers. */
bool ph_verify_qualify(struct ph_conn *conn, bool on, struct ph_err *err)
{
    return ph_conn_exec(conn,
                        on ? "SAVEPOINT pghaul_q;SET LOCAL search_path = pg_catalog"
                           : "ROLLBACK TO SAVEPOINT pghaul_q;RELEASE SAVEPOINT pghaul_q",
                        err);
}

bool ph_verify_query(struct ph_verify *v, int side, bool qualify, const char *sql,
                     struct ph_rows **rows, struct ph_err *err)
{
    struct ph_conn *conn = side == PH_READ_SOURCE ? v->run.source : v->run.target;
    return (!qualify || ph_verify_qualify(conn, true, err)) &&
           ph_conn_query(conn, sql, rows, err) && (!qualify || ph_verify_qualify(conn, false, err));
}

/* With a rate, what a pause makes be read again must stay little. */
static uint64_t largest_chunk(const struct ph_rates *rates)
{
    uint64_t rate = rates->source_bytes;
    if (rates->target_bytes && (!rate || rates->target_bytes < rate))
        rate = rates->target_bytes;
    return rate && rate < smallest_chunk / chunk_s ? smallest_chunk : rate * chunk_s;
}

struct ph_readout_opts ph_verify_readout(struct ph_verify *v)
{
    return (struct ph_readout_opts){
        .dsn = {v->job.source, v->job.target},
        .snapshot = {v->snapshot[0], v->snapshot[1]},
        .encoding = v->run.encoding,
        .tag = v->run.tag,
        .jobs = v->result->jobs,
        .most_jobs = v->most_jobs,
        .gate = &v->run.gate,
        .interrupt = v->job.interrupt,
        .rows = &v->rows,
        .bytes = &v->bytes,
        .chunk = largest_chunk(&v->job.rates),
        .throttle = &v->run.throttle,
        .tick = ph_verify_tick,
        .tick_arg = v,
    };
}

/* Pauses. */

void ph_verify_attend(struct ph_verify *v)
{
    ph_guards_look(&v->run.guards);
    ph_throttle_settle(&v->run.throttle);
}

static bool wait(struct ph_verify *v, uint64_t quiet_ns, struct ph_err *err)
{
    struct ph_throttle *t = &v->run.throttle;
    char why[PH_REASON_TEXT], took[PH_NUM_TEXT];
    enum ph_hold_kind kind;
    bool hard = false, told = false;
    uint64_t begin = ph_clock_ns();
    ph_verify_attend(v);
    while (ph_throttle_held(t)) {
        uint64_t before = ph_clock_ns();
        if (!told && before - begin >= quiet_ns && ph_throttle_reason(t, why, &kind, &hard)) {
            ph_log(v->job.log, PH_LOG_NOTE, "paused: %s", why);
            told = true;
        }
        if (!ph_interrupt_sleep(v->job.interrupt, 1, nap_s))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        ph_throttle_rested(t, (ph_clock_ns() - before) *
                                  (uint64_t)(v->result->jobs > 0 ? v->result->jobs : 1));
        ph_verify_attend(v);
        ph_verify_tick(v, -1);
    }
    if (told)
        ph_log(v->job.log, PH_LOG_NOTE, "it goes on after %s",
               ph_num_show_duration(took, (double)(ph_clock_ns() - begin) / 1e9));
    return true;
}

bool ph_verify_wait(struct ph_verify *v, struct ph_err *err)
{
    return wait(v, silence_ns,
                err); /* what guards say before they have heard anything is no news */
}

bool ph_verify_may_go_on(struct ph_verify *v, struct ph_err *err)
{
    char why[PH_REASON_TEXT] = "";
    enum ph_hold_kind kind;
    bool hard;
    ph_verify_attend(v);
    if (!ph_throttle_held(&v->run.throttle))
        return true;
    ph_throttle_reason(&v->run.throttle, why, &kind, &hard);
    return ph_err_set(err, PH_PAUSED, "paused: %s", why);
}

bool ph_verify_rest(struct ph_verify *v, struct ph_err *err)
{
    const bool looked[2] = {v->snapshot[0] != NULL, v->snapshot[1] != NULL};
    ph_verify_look_away(v);
    ph_conn_close(v->run.source);
    ph_conn_close(v->run.target);
    v->run.source = v->run.target = NULL;
    if (!wait(v, 0, err))
        return false;
    for (int side = 0; side < 2; side++)
        if (!ph_run_connect(&v->run, side == PH_READ_SOURCE, err) ||
            (looked[side] && !ph_verify_look(v, side, err)))
            return false;
    return true;
}
