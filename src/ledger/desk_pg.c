#include "ledger/desk_pg.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "pg/reject.h"
#include "pg/sql.h"

static const struct ph_desk_ops ops;

static struct ph_desk_pg *self_of(struct ph_desk *desk)
{
    return (struct ph_desk_pg *)desk;
}

void ph_desk_pg_init(struct ph_desk_pg *desk, const struct ph_desk_pg_opts *opts)
{
    *desk = (struct ph_desk_pg){.base = {.ops = &ops}, .opts = *opts};
}

void ph_desk_pg_fini(struct ph_desk_pg *desk)
{
    ph_desk_pg_disconnect(desk);
    ph_conn_close(desk->opts.ready);
    desk->opts.ready = NULL;
    for (int i = 0; i < PH_BUNDLE_MAX; i++) {
        free(desk->claims[i].where);
        free(desk->claims[i].file);
    }
    memset(desk->claims, 0, sizeof desk->claims);
}

/* A connection that was there takes the worker's name. */
static bool take_ready(struct ph_desk_pg *desk, struct ph_err *err)
{
    struct ph_buf sql = {0};
    desk->conn = desk->opts.ready;
    desk->opts.ready = NULL;
    desk->earlier_wait_ns -= ph_conn_wait_ns(desk->conn); /* what it waited was not for us */
    ph_sql_add(&sql, "SET application_name = %L", desk->opts.conn.application_name);
    bool ok = ph_conn_exec(desk->conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool knows_snapshot(const struct ph_desk_pg *desk, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    if (!desk->opts.moment)
        return true;
    ph_sql_add(&sql,
               "SELECT FROM pghaul.snapshot WHERE job OPERATOR(pg_catalog.=) %D"
               " AND no OPERATOR(pg_catalog.=) %d AND pg_snapshot OPERATOR(pg_catalog.=) %L",
               desk->opts.job, desk->opts.snapshot, desk->opts.moment);
    bool ok = ph_conn_query(desk->conn, sql.data, &rows, err);
    bool known = ok && ph_rows_count(rows) > 0;
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    if (ok && !known)
        ph_err_set(err, PH_SNAPSHOT_GONE, "the ledger does not have the run's snapshot any more");
    return known;
}

bool ph_desk_pg_connect(struct ph_desk_pg *desk, struct ph_err *err)
{
    if (desk->conn && !ph_conn_ok(desk->conn))
        ph_desk_pg_disconnect(desk);
    if (desk->conn)
        return true;
    /* synchronous_commit: rows, receipt and claim vanish together in a crash, so nothing is lost by
     * waiting only once, at the end of the job. lock_timeout: whatever holds a lock against us for
     * so long is worth a look. */
    return (ph_conn_ok(desk->opts.ready) ? take_ready(desk, err)
                                         : ph_conn_open(&desk->conn, &desk->opts.conn, err)) &&
           ph_conn_exec(desk->conn, "SET synchronous_commit = off;SET lock_timeout = '5s'", err) &&
           knows_snapshot(desk, err);
}

void ph_desk_pg_disconnect(struct ph_desk_pg *desk)
{
    desk->earlier_wait_ns = ph_desk_pg_wait_ns(desk);
    ph_conn_close(desk->conn);
    desk->conn = NULL;
    desk->have_claim = false; /* asked anew, the ledger gives the same shard again */
}

uint64_t ph_desk_pg_wait_ns(const struct ph_desk_pg *desk)
{
    return desk->earlier_wait_ns + (desk->conn ? ph_conn_wait_ns(desk->conn) : 0);
}

/* again: look first for a shard that we claimed without hearing of it. */
static void add_claim(const struct ph_desk_pg *desk, struct ph_buf *sql, bool again)
{
    static const char *const wants[] = {"p", "s", "sp", "f", "fs"};
    ph_sql_add(sql,
               "SELECT shard, tab, attempt, pred, weight, remaining, wait_s, redo_xid, redo_rows,"
               " unread, stranded, file, snapshot, rows, bytes, hash, to_file"
               " FROM pghaul.claim(%D, %d, %d, %s, %L, %L)",
               desk->opts.job, desk->opts.mover, desk->opts.slot, again ? "true" : "false",
               wants[desk->base.want], desk->opts.holder);
}

static void take_claim(struct ph_desk_pg *desk, const struct ph_rows *rows)
{
    desk->n_claims = ph_rows_count(rows) < PH_BUNDLE_MAX ? ph_rows_count(rows) : PH_BUNDLE_MAX;
    for (int i = 0; i < desk->n_claims; i++) {
        struct ph_claim *c = &desk->claims[i];
        const char *file = ph_rows_get(rows, i, 11);
        free(c->where);
        free(c->file);
        *c = (struct ph_claim){
            .shard = ph_rows_int(rows, i, 0),
            .tab = (int)ph_rows_int(rows, i, 1),
            .attempt = (int)ph_rows_int(rows, i, 2),
            .where = strdup(ph_rows_text(rows, i, 3)),
            .weight = ph_rows_int(rows, i, 4),
            .remaining = ph_rows_int(rows, i, 5),
            .wait_s = ph_rows_double(rows, i, 6),
            .redo_xid = ph_rows_int(rows, i, 7),
            .redo_rows = ph_rows_int(rows, i, 8),
            .unread = ph_rows_int(rows, i, 9),
            .stranded = ph_rows_int(rows, i, 10),
            .file = file ? strdup(file) : NULL,
            .snapshot = (int)ph_rows_int(rows, i, 12),
            .tally = {.rows = ph_rows_uint(rows, i, 13), .bytes = ph_rows_uint(rows, i, 14)},
            .to_file = ph_rows_bool(rows, i, 16),
        };
        ph_tally_read_hash(&c->tally, ph_rows_text(rows, i, 15));
    }
    desk->have_claim = desk->n_claims > 0;
}

static bool claim(struct ph_desk *base, const struct ph_claim **claims, int *n, struct ph_err *err)
{
    struct ph_desk_pg *desk = self_of(base);
    if (!ph_desk_pg_connect(desk, err))
        return false;
    if (!desk->have_claim) {
        struct ph_buf sql = {0};
        struct ph_rows *rows = NULL;
        add_claim(desk, &sql, true);
        bool ok = ph_conn_query(desk->conn, sql.data, &rows, err);
        ph_buf_fini(&sql);
        if (!ok)
            return ph_err_prefix(err, "claiming a shard");
        take_claim(desk, rows);
        ph_rows_free(rows);
    }
    desk->have_claim = false;
    if (PH_FAULT("desk.claimed")) {
        err->transient = true;
        return ph_err_set(err, PH_CONNECTION, "fault point desk.claimed");
    }
    *claims = desk->claims;
    *n = desk->n_claims;
    return true;
}

static const char *receipts_of(const struct ph_shard *shard)
{
    return shard->table->target_unlogged ? "receipt_unlogged" : "receipt";
}

void ph_desk_pg_sql_receipts(const struct ph_desk_pg *desk, struct ph_buf *sql,
                             const struct ph_shard *shards, int n)
{
    if (shards[0].redo_xid)
        ph_sql_add(sql,
                   "DELETE FROM pghaul.%s WHERE job OPERATOR(pg_catalog.=) %D"
                   " AND shard OPERATOR(pg_catalog.=) %D;",
                   receipts_of(shards), desk->opts.job, shards[0].id);
    ph_sql_add(sql,
               "INSERT INTO pghaul.%s (job, shard, tab, attempt, mover, snapshot, slot) VALUES ",
               receipts_of(shards));
    int64_t low = shards[0].id, high = shards[0].id;
    for (int i = 0; i < n; i++) {
        ph_sql_add(sql, "%s(%D, %D, %d, %d, %d, %d, %d)", i ? ", " : "", desk->opts.job,
                   shards[i].id, shards[i].tab, shards[i].attempt, desk->opts.mover,
                   shards[i].snapshot ? shards[i].snapshot : desk->opts.snapshot, desk->opts.slot);
        low = shards[i].id < low ? shards[i].id : low;
        high = shards[i].id > high ? shards[i].id : high;
    }
    ph_sql_add(sql,
               " ON CONFLICT DO NOTHING RETURNING"
               " pg_catalog.set_config('application_name', 'pghaul/%s/%D",
               desk->opts.tag, low);
    if (high > low)
        ph_sql_add(sql, "-%D", high);
    ph_sql_add(sql, "/%d', true);", shards[0].attempt);
}

/* Rejects of an earlier landing may be there when the shard is landed again under another snapshot. */
void ph_desk_pg_sql_set_aside(const struct ph_desk_pg *desk, struct ph_buf *sql,
                              const struct ph_shard *shard)
{
    static const struct ph_rejects none = {.most = INT64_MAX};
    const struct ph_rejects *r = shard->rejects ? shard->rejects : &none;
    if (!shard->rejects && !shard->redo_xid && !shard->table->target_unlogged)
        return;
    struct ph_buf places = {0}, keys = {0}, lines = {0};
    for (int i = 0; i < r->n; i++) {
        const char *comma = i ? ", " : "";
        ph_sql_add(&places, "%s%L", comma, r->item[i].place);
        ph_sql_add(&keys, "%s%L", comma, r->item[i].key);
        ph_sql_add(&lines, "%s%L", comma, r->item[i].line);
    }
    ph_sql_add(sql,
               "SELECT pghaul.set_aside(%D, %D, %d, %D, ARRAY[%s]::pg_catalog.text[],"
               " ARRAY[%s]::pg_catalog.text[], ARRAY[%s]::pg_catalog.text[]);",
               desk->opts.job, shard->id, shard->tab, r->most, ph_buf_text(&places),
               ph_buf_text(&keys), ph_buf_text(&lines));
    ph_buf_fini(&places);
    ph_buf_fini(&keys);
    ph_buf_fini(&lines);
}

/* The claim that rides on a commit. */
static void add_next_claim(const struct ph_desk_pg *desk, struct ph_buf *sql)
{
    if (desk->base.hold || ph_interrupt_at(desk->opts.conn.interrupt, 1))
        return;
    ph_buf_addc(sql, ';');
    add_claim(desk, sql, false);
}

void ph_desk_pg_sql_land(const struct ph_desk_pg *desk, struct ph_buf *sql,
                         const struct ph_shard *shards, const struct ph_tally *tallies, int n)
{
    char hash[PH_TALLY_HASH_TEXT];
    for (int i = 0; i < n; i++) {
        ph_sql_add(sql, "%spghaul.land(%D, %D, %d, %d, %s, %D, %D, %L)", i ? ", " : "SELECT ",
                   desk->opts.job, shards[i].id, shards[i].attempt, desk->opts.mover,
                   shards[i].table->target_unlogged ? "true" : "false", (int64_t)tallies[i].rows,
                   (int64_t)tallies[i].bytes, ph_tally_hash_text(&tallies[i], hash));
    }
    ph_sql_add(sql, ";COMMIT");
    add_next_claim(desk, sql);
}

static bool failed(struct ph_desk *base, const struct ph_shard *shard, bool counted, bool park,
                   const char *why, double delay_s, bool *parked, struct ph_err *err)
{
    struct ph_desk_pg *desk = self_of(base);
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    *parked = false;
    if (!ph_desk_pg_connect(desk, err))
        return false;
    ph_sql_add(&sql, "SELECT pghaul.fail(%D, %D, %d, %d, %s, %s, %L, ", desk->opts.job, shard->id,
               shard->attempt, desk->opts.mover, counted ? "true" : "false",
               park ? "true" : "false", why);
    ph_buf_addf(&sql, "%.3f)", delay_s);
    bool ok = ph_conn_query(desk->conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    *parked = ok && !strcmp(ph_rows_text(rows, 0, 0), "parked");
    ph_rows_free(rows);
    return ok || ph_err_prefix(err, "giving shard %lld back", (long long)shard->id);
}

/* Results of a transaction whose last answer is the next claim. Once COMMIT has been confirmed it is done, whatever becomes
 * of the claim behind it. */
bool ph_desk_pg_await_commit(struct ph_desk_pg *desk, struct ph_err *err)
{
    bool committed = false;
    for (enum ph_result kind = PH_RESULT_COMMAND; kind != PH_RESULT_NONE;) {
        struct ph_rows *rows = NULL;
        if (!ph_conn_next(desk->conn, &kind, &rows, err)) {
            ph_rows_free(rows);
            return committed;
        }
        if (committed && kind == PH_RESULT_ROWS)
            take_claim(desk, rows);
        if (kind == PH_RESULT_COMMAND && !strcmp(ph_rows_tag(rows), "COMMIT"))
            committed = true;
        ph_rows_free(rows);
    }
    return committed || ph_err_set(err, PH_FAILED, "the target did not commit");
}

/* That a shard is in a file must not be forgotten by a crash of the target: the source may have let go by then. */
static bool sealed(struct ph_desk *base, const struct ph_shard *shard,
                   const struct ph_spill_note *note, bool *known, struct ph_err *err)
{
    struct ph_desk_pg *desk = self_of(base);
    struct ph_buf sql = {0};
    char hash[PH_TALLY_HASH_TEXT];
    *known = false;
    if (!ph_desk_pg_connect(desk, err))
        return false;
    ph_sql_add(&sql,
               "BEGIN;SET LOCAL synchronous_commit = on;"
               "SELECT pghaul.spilled(%D, %D, %d, %d, %d, %L, %L, %D, %D, %L, %D);COMMIT",
               desk->opts.job, shard->id, shard->attempt, desk->opts.mover, note->snapshot,
               desk->opts.holder, note->file, (int64_t)note->tally.rows, (int64_t)note->tally.bytes,
               ph_tally_hash_text(&note->tally, hash), (int64_t)note->sealed.size);
    add_next_claim(desk, &sql);
    bool ok = ph_conn_send(desk->conn, sql.data, err) && ph_desk_pg_await_commit(desk, err);
    ph_buf_fini(&sql);
    if (!ok && !strcmp(err->sqlstate, "PH001"))
        err->code = PH_FENCED;
    if (!ok && !strcmp(err->sqlstate, "PH004"))
        err->code = PH_SNAPSHOT_GONE;
    if (!ok && !ph_conn_recover(desk->conn))
        ph_desk_pg_disconnect(desk);
    *known = ok;
    return ok || ph_err_prefix(err, "noting that shard %lld is spilled", (long long)shard->id);
}

static bool unsealed(struct ph_desk *base, const struct ph_shard *shard, const char *why,
                     struct ph_err *err)
{
    struct ph_desk_pg *desk = self_of(base);
    struct ph_buf sql = {0};
    if (!ph_desk_pg_connect(desk, err))
        return false;
    ph_sql_add(&sql, "SELECT pghaul.unspill(%D, %D, %d, %d, %L)", desk->opts.job, shard->id,
               shard->attempt, desk->opts.mover, why);
    bool ok = ph_conn_exec(desk->conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "giving shard %lld back", (long long)shard->id);
}

static bool usable(struct ph_desk *base)
{
    return ph_conn_ok(self_of(base)->conn);
}

static bool recover(struct ph_desk *base)
{
    struct ph_desk_pg *desk = self_of(base);
    if (ph_conn_recover(desk->conn))
        return true;
    ph_desk_pg_disconnect(desk);
    return false;
}

static const struct ph_desk_ops ops = {
    .claim = claim,
    .failed = failed,
    .sealed = sealed,
    .unsealed = unsealed,
    .usable = usable,
    .recover = recover,
};

bool ph_desk_pg_evict(struct ph_desk_pg *desk, const struct ph_shard *shard, int *n,
                      struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    *n = 0;
    if (!ph_desk_pg_connect(desk, err))
        return false;
    ph_sql_add(
        &sql,
        "SELECT count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(a.pid))"
        " FROM pg_catalog.pg_stat_activity a"
        " WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"
        " AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
        " AND a.application_name OPERATOR(pg_catalog.~) '^pghaul/%s/[0-9]+(-[0-9]+)?/[0-9]+$'"
        " AND %D BETWEEN"
        " pg_catalog.substring(a.application_name, '^pghaul/[^/]+/([0-9]+)')::pg_catalog.int8"
        " AND pg_catalog.substring(a.application_name, '([0-9]+)/[0-9]+$')::pg_catalog.int8"
        " AND pg_catalog.split_part(a.application_name, '/', 4)::pg_catalog.int4"
        " OPERATOR(pg_catalog.<) %d",
        desk->opts.tag, shard->id, shard->attempt);
    bool ok = ph_conn_query(desk->conn, sql.data, &rows, err);
    ph_buf_fini(&sql);
    *n = (int)ph_rows_int(rows, 0, 0);
    ph_rows_free(rows);
    return ok || ph_err_prefix(err, "ending backends that were left behind");
}
