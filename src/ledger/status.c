#include "ledger/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "ledger/control.h"
#include "ledger/creation.h"
#include "ledger/pg.h"
#include "ledger/query.h"
#include "pg/sql.h"

/* Names. */

bool ph_status_jobs(struct ph_conn *target, char ***names, int *n, struct ph_err *err)
{
    bool present = false;
    struct ph_rows *rows = NULL;
    *names = NULL;
    *n = 0;
    if (!ph_ledger_present(target, &present, err))
        return false;
    if (!present)
        return true;
    if (!ph_conn_query(target, "SELECT name FROM pghaul.job ORDER BY id DESC", &rows, err))
        return ph_err_prefix(err, "ledger");
    int count = ph_rows_count(rows);
    *names = calloc((size_t)count + 1, sizeof **names);
    if (!*names) {
        ph_rows_free(rows);
        return ph_err_nomem(err);
    }
    for (int i = 0; i < count; i++)
        (*names)[i] = strdup(ph_rows_text(rows, i, 0));
    *n = count;
    ph_rows_free(rows);
    return true;
}

void ph_status_jobs_free(char **names, int n)
{
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

static void hint_jobs(char *const *names, int n, struct ph_err *err)
{
    struct ph_buf list = {0};
    for (int i = 0; i < n && i < 8; i++)
        ph_buf_addf(&list, "%s%s", i ? ", " : "", names[i]);
    ph_err_hint(err, "the ledger has: %s%s", ph_buf_text(&list), n > 8 ? ", ..." : "");
    ph_buf_fini(&list);
}

/* Before there is a job there may be a schema in the making for one. */
static void say_none(struct ph_conn *target, struct ph_err *err)
{
    struct ph_creation_left left;
    struct ph_err ignored;
    if (!ph_creation_left(target, &left, &ignored) || left.n == 0) {
        ph_err_set(err, PH_WRONG, "the target has no pghaul job");
        ph_err_hint(err, "the ledger is where the data lands: is this the right target?");
        return;
    }
    ph_err_set(err, PH_WRONG,
               "the target has no pghaul job yet: its schema is in the making, %d of %d parts are "
               "there",
               left.done, left.parts);
    ph_err_hint(err, "the same copy --create goes on with it; pghaul clean forgets it");
}

/* Settles which job is meant: *job is malloc'ed. */
static bool choose_job(struct ph_conn *target, const char *asked, char **job, struct ph_err *err)
{
    char **names = NULL;
    int n = 0;
    *job = NULL;
    if (!ph_status_jobs(target, &names, &n, err))
        return false;
    for (int i = 0; i < n && asked; i++)
        if (!strcmp(names[i], asked))
            *job = strdup(names[i]);
    if (!asked && n == 1)
        *job = strdup(names[0]);
    if (!*job) {
        if (n == 0)
            say_none(target, err);
        else if (asked)
            ph_err_set(err, PH_WRONG, "no job %s in the target's ledger", asked);
        else
            ph_err_set(err, PH_WRONG, "the target's ledger has %d jobs: say which", n);
        if (n > 0)
            hint_jobs(names, n, err);
    }
    ph_status_jobs_free(names, n);
    return *job != NULL;
}

/* Reading. */

static const char *text(struct ph_status *s, const struct ph_rows *rows, int row, int col)
{
    return ph_arena_strdup(&s->arena, ph_rows_get(rows, row, col));
}

static bool read_job(struct ph_status *s, struct ph_conn *conn, const char *job, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(
        &sql,
        "SELECT j.id, j.name, CASE WHEN j.state OPERATOR(pg_catalog.=) 'completed' THEN 'completed'"
        " WHEN EXISTS (SELECT FROM pghaul.live l WHERE l.job OPERATOR(pg_catalog.=) j.id"
        " AND NOT l.paused) THEN 'running'"
        " WHEN EXISTS (SELECT FROM pghaul.live l WHERE l.job OPERATOR(pg_catalog.=) j.id)"
        " THEN 'paused'"
        " WHEN j.last_error IS NOT NULL OR EXISTS (SELECT FROM pghaul.shard s"
        "   WHERE s.job OPERATOR(pg_catalog.=) j.id AND s.state OPERATOR(pg_catalog.=) 'parked')"
        " THEN 'failed' ELSE 'pending' END,"
        " j.mode, j.round, j.source, j.target, j.definition,"
        " pg_catalog.to_char(j.created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " pg_catalog.to_char(j.completed_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), j.last_error, "
        "j.tag,"
        " (SELECT l.held FROM pghaul.live l WHERE l.job OPERATOR(pg_catalog.=) j.id"
        "  AND l.held IS NOT NULL ORDER BY l.paused DESC, l.id LIMIT 1)"
        " FROM pghaul.job j WHERE j.name OPERATOR(pg_catalog.=) %L",
        job);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    s->job_id = ph_rows_int(rows, 0, 0);
    s->job = text(s, rows, 0, 1);
    s->state = text(s, rows, 0, 2);
    s->mode = text(s, rows, 0, 3);
    s->round = (int)ph_rows_int(rows, 0, 4);
    s->source = text(s, rows, 0, 5);
    s->target = text(s, rows, 0, 6);
    s->definition = text(s, rows, 0, 7);
    s->created = text(s, rows, 0, 8);
    s->finished = text(s, rows, 0, 9);
    s->error = text(s, rows, 0, 10);
    s->tag = text(s, rows, 0, 11);
    s->held_by = text(s, rows, 0, 12);
    ph_rows_free(rows);
    return true;
}

static bool read_tables(struct ph_status *s, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(
        &sql,
        "SELECT pg_catalog.format('%%I.%%I', t.source_schema, t.source_name),"
        " pg_catalog.format('%%I.%%I', t.target_schema, t.target_name), t.split, r.rows, r.bytes,"
        " s.weight, s.done, s.planned, s.spilled, s.landed, s.verified, s.parked"
        " FROM pghaul.tab t LEFT JOIN (SELECT tab, pg_catalog.sum(weight) AS weight,"
        "  pg_catalog.sum(weight) FILTER (WHERE state IN ('landed', 'verified')) AS done");
    static const char *const states[] = {"planned", "spilled", "landed", "verified", "parked"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        ph_sql_add(&sql,
                   ", pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) %L) AS %I",
                   states[i], states[i]);
    ph_sql_add(
        &sql,
        "  FROM pghaul.shard WHERE job OPERATOR(pg_catalog.=) %D GROUP BY tab) s"
        " ON s.tab OPERATOR(pg_catalog.=) t.id"
        " LEFT JOIN (SELECT tab, pg_catalog.sum(rows) AS rows, pg_catalog.sum(bytes) AS bytes"
        "  FROM pghaul.all_receipts WHERE job OPERATOR(pg_catalog.=) %D GROUP BY tab) r"
        " ON r.tab OPERATOR(pg_catalog.=) t.id"
        " WHERE t.job OPERATOR(pg_catalog.=) %D ORDER BY t.id",
        s->job_id, s->job_id, s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    s->n_tables = ph_rows_count(rows);
    s->tables = ph_arena_calloc(&s->arena, (size_t)s->n_tables, sizeof *s->tables);
    for (int i = 0; i < s->n_tables; i++) {
        struct ph_status_table *t = &s->tables[i];
        t->source = text(s, rows, i, 0);
        t->target = text(s, rows, i, 1);
        t->split = text(s, rows, i, 2);
        t->mode = s->mode;
        t->rows = ph_rows_uint(rows, i, 3);
        t->bytes = ph_rows_uint(rows, i, 4);
        t->weight = ph_rows_int(rows, i, 5);
        t->weight_done = ph_rows_int(rows, i, 6);
        t->planned = (int)ph_rows_int(rows, i, 7);
        t->spilled = (int)ph_rows_int(rows, i, 8);
        t->landed = (int)ph_rows_int(rows, i, 9);
        t->verified = (int)ph_rows_int(rows, i, 10);
        t->parked = (int)ph_rows_int(rows, i, 11);
        s->rows += t->rows;
        s->bytes += t->bytes;
    }
    ph_rows_free(rows);
    return true;
}

static bool read_workers(struct ph_status *s, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT l.host, l.pid, s.id, CASE WHEN t.id IS NOT NULL THEN"
               " pg_catalog.format('%%I.%%I', t.source_schema, t.source_name) END,"
               " pg_catalog.to_char(coalesce(s.claimed_at, l.started_at), "
               "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
               " pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()"
               " OPERATOR(pg_catalog.-) coalesce(s.claimed_at, l.started_at))"
               " FROM pghaul.live l LEFT JOIN pghaul.shard s ON s.job OPERATOR(pg_catalog.=) l.job"
               " AND s.mover OPERATOR(pg_catalog.=) l.id AND s.state IN ('planned', 'spilled')"
               " LEFT JOIN pghaul.tab t ON t.job OPERATOR(pg_catalog.=) s.job"
               " AND t.id OPERATOR(pg_catalog.=) s.tab"
               " WHERE l.job OPERATOR(pg_catalog.=) %D ORDER BY l.id, s.slot",
               s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    s->n_workers = ph_rows_count(rows);
    s->workers = ph_arena_calloc(&s->arena, (size_t)s->n_workers, sizeof *s->workers);
    for (int i = 0; i < s->n_workers; i++)
        s->workers[i] = (struct ph_status_worker){
            .host = text(s, rows, i, 0),
            .pid = (int)ph_rows_int(rows, i, 1),
            .shard = ph_rows_int(rows, i, 2),
            .table = text(s, rows, i, 3),
            .since = text(s, rows, i, 4),
            .seconds = ph_rows_double(rows, i, 5),
        };
    ph_rows_free(rows);
    return true;
}

static bool read_spills(struct ph_status *s, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT s.holder, pg_catalog.count(*), pg_catalog.sum(p.stored) FROM pghaul.shard s"
               " JOIN pghaul.spill p ON p.job OPERATOR(pg_catalog.=) s.job"
               " AND p.shard OPERATOR(pg_catalog.=) s.id"
               " WHERE s.job OPERATOR(pg_catalog.=) %D AND s.holder IS NOT NULL"
               " GROUP BY s.holder ORDER BY s.holder",
               s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    s->n_spills = ph_rows_count(rows);
    s->spills = ph_arena_calloc(&s->arena, (size_t)s->n_spills, sizeof *s->spills);
    for (int i = 0; i < s->n_spills; i++)
        s->spills[i] = (struct ph_status_spill){.holder = text(s, rows, i, 0),
                                                .shards = (int)ph_rows_int(rows, i, 1),
                                                .bytes = ph_rows_uint(rows, i, 2)};
    ph_rows_free(rows);
    return true;
}

/* What landed within the last half minute says how fast it goes now. */
static bool read_pace(struct ph_status *s, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    s->eta_seconds = -1;
    if (strcmp(s->state, "running") != 0)
        return true;
    ph_sql_add(
        &sql,
        "SELECT pg_catalog.sum(s.weight), pg_catalog.date_part('epoch', "
        "pg_catalog.clock_timestamp()"
        " OPERATOR(pg_catalog.-) pg_catalog.min(r.landed_at))"
        " FROM pghaul.all_receipts r JOIN pghaul.shard s ON s.job OPERATOR(pg_catalog.=) r.job"
        " AND s.id OPERATOR(pg_catalog.=) r.shard WHERE r.job OPERATOR(pg_catalog.=) %D"
        " AND r.landed_at OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp()"
        " OPERATOR(pg_catalog.-) interval '30 seconds')",
        s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    double weight = ph_rows_double(rows, 0, 0), seconds = ph_rows_double(rows, 0, 1), left = 0;
    ph_rows_free(rows);
    for (int i = 0; i < s->n_tables; i++)
        left += (double)(s->tables[i].weight - s->tables[i].weight_done);
    if (weight > 0 && seconds > 0.2)
        s->eta_seconds = left * seconds / weight;
    return true;
}

static bool read_snapshot(struct ph_status *s, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql,
               "SELECT id, lsn, keeper_host, keeper_pid, keeper_backend, released_at IS NOT NULL,"
               " pg_catalog.sum(pg_catalog.date_part('epoch', coalesce(released_at,"
               " pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.-) taken_at)) OVER ()"
               " FROM pghaul.snapshot WHERE job OPERATOR(pg_catalog.=) %D ORDER BY no DESC LIMIT 1",
               s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    if (ph_rows_count(rows) == 1) {
        s->snapshot_id = text(s, rows, 0, 0);
        s->snapshot_lsn = text(s, rows, 0, 1);
        s->snapshot_released = ph_rows_bool(rows, 0, 5);
        s->snapshot_held_seconds = ph_rows_double(rows, 0, 6);
        if (!s->snapshot_released) {
            s->keeper_host = text(s, rows, 0, 2);
            s->keeper_pid = (int)ph_rows_int(rows, 0, 3);
            s->keeper_backend = (int)ph_rows_int(rows, 0, 4);
        }
    }
    ph_rows_free(rows);
    return true;
}

/* Bounds of a key cut are values of rows: a hash tells them apart and says nothing else. */
static const char *bound(struct ph_status *s, const char *value, bool is_data, bool show_data)
{
    if (!value || !is_data || show_data)
        return value;
    XXH64_hash_t h = XXH3_64bits(value, strlen(value));
    return ph_arena_printf(&s->arena, "#%08x", (unsigned)(h & 0xffffffffu));
}

static bool read_shards(struct ph_status *s, struct ph_conn *conn, bool show_data,
                        struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(
        &sql,
        "SELECT s.id, pg_catalog.format('%%I.%%I', t.source_schema, t.source_name), s.lo, s.hi,"
        " s.state, s.attempt, r.rows, r.bytes, s.error, t.split OPERATOR(pg_catalog.=) 'key'"
        " FROM pghaul.shard s JOIN pghaul.tab t ON t.job OPERATOR(pg_catalog.=) s.job"
        " AND t.id OPERATOR(pg_catalog.=) s.tab"
        " LEFT JOIN pghaul.all_receipts r ON r.job OPERATOR(pg_catalog.=) s.job"
        " AND r.shard OPERATOR(pg_catalog.=) s.id"
        " WHERE s.job OPERATOR(pg_catalog.=) %D ORDER BY s.id",
        s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    s->n_shards = ph_rows_count(rows);
    s->shards = ph_arena_calloc(&s->arena, (size_t)s->n_shards, sizeof *s->shards);
    for (int i = 0; i < s->n_shards; i++) {
        bool is_data = ph_rows_bool(rows, i, 9);
        s->shards[i] = (struct ph_status_shard){
            .shard = ph_rows_int(rows, i, 0),
            .table = text(s, rows, i, 1),
            .lo = bound(s, text(s, rows, i, 2), is_data, show_data),
            .hi = bound(s, text(s, rows, i, 3), is_data, show_data),
            .state = text(s, rows, i, 4),
            .attempt = (int)ph_rows_int(rows, i, 5),
            .rows = ph_rows_uint(rows, i, 6),
            .bytes = ph_rows_uint(rows, i, 7),
            .error = text(s, rows, i, 8),
        };
    }
    ph_rows_free(rows);
    return true;
}

static bool read_steps(struct ph_status *s, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    struct ph_step_counts counts;
    if (!ph_ledger_steps_count(conn, s->job_id, &counts, err))
        return false;
    s->steps_planned = counts.planned;
    s->steps_done = counts.done;
    s->steps_failed = counts.failed;
    ph_sql_add(&sql,
               "SELECT object, CASE WHEN state OPERATOR(pg_catalog.=) 'failed' THEN error END,"
               " pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)"
               " started_at) FROM pghaul.step WHERE job OPERATOR(pg_catalog.=) %D AND (state"
               " OPERATOR(pg_catalog.=) 'failed' OR state OPERATOR(pg_catalog.=) 'planned'"
               " AND mover IN (SELECT l.id FROM pghaul.live l)) ORDER BY state DESC, id LIMIT 20",
               s->job_id);
    if (!ph_ledger_query(conn, &sql, &rows, err))
        return false;
    s->n_steps = ph_rows_count(rows);
    s->steps = ph_arena_calloc(&s->arena, (size_t)s->n_steps, sizeof *s->steps);
    for (int i = 0; i < s->n_steps; i++)
        s->steps[i] = (struct ph_status_step){.object = text(s, rows, i, 0),
                                              .error = text(s, rows, i, 1),
                                              .seconds = ph_rows_double(rows, i, 2)};
    ph_rows_free(rows);
    return true;
}

bool ph_status_read(struct ph_status **out, struct ph_conn *target, const char *job, bool shards,
                    bool show_data, struct ph_err *err)
{
    char *name = NULL;
    if (!choose_job(target, job, &name, err))
        return false;
    struct ph_status *s = calloc(1, sizeof *s);
    /* one snapshot for all, so that the parts agree */
    bool ok =
        (s || ph_err_nomem(err)) &&
        ph_conn_exec(target, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) &&
        read_job(s, target, name, err) && read_tables(s, target, err) &&
        read_workers(s, target, err) && ph_ledger_verifies(target, s->job_id, &s->verifies, err) &&
        read_spills(s, target, err) && read_pace(s, target, err) && read_snapshot(s, target, err) &&
        read_steps(s, target, err) &&
        ph_answers_read(target, &s->arena, s->job_id, &s->answers, &s->n_answers, err) &&
        (!shards || read_shards(s, target, show_data, err)) && ph_conn_exec(target, "COMMIT", err);
    free(name);
    if (!ok) {
        ph_status_free(s);
        s = NULL;
    }
    *out = s;
    return ok;
}

void ph_status_free(struct ph_status *status)
{
    if (!status)
        return;
    ph_arena_fini(&status->arena);
    free(status);
}

/* Cleaning. */

/* With the last job the ledger itself goes, unless somebody has put something of their own into its
 * schema. */
bool ph_ledger_end_if_unused(struct ph_conn *target, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!ph_conn_query(target,
                       "SELECT EXISTS (SELECT FROM pghaul.job) OR"
                       " EXISTS (SELECT FROM pghaul.creation) OR"
                       " pg_catalog.to_regclass('pghaul.scratch') IS NOT NULL",
                       &rows, err))
        return ph_err_prefix(err, "ledger");
    bool used = ph_rows_bool(rows, 0, 0);
    ph_rows_free(rows);
    if (used)
        return true;
    return ph_conn_exec(
               target,
               "DROP FUNCTION pghaul.claim, pghaul.next_free, pghaul.land, pghaul.same_target,"
               " pghaul.fail, pghaul.reopen_lost, pghaul.spilled, pghaul.adopt, pghaul.unspill,"
               " pghaul.forget_spill, pghaul.step_look, pghaul.step_next, "
               "pghaul.step_claim,"
               " pghaul.step_done, pghaul.step_fail;"
               "DROP FUNCTION IF EXISTS pghaul.land_objects, pghaul.set_aside, pghaul.is_over,"
               " pghaul.is_in_force, pghaul.order_look;"
               "DROP TABLE IF EXISTS pghaul.reject, pghaul.answer;"
               "DROP TYPE pghaul.claimed, pghaul.step_claimed;"
               "DROP VIEW pghaul.live, pghaul.all_receipts;"
               "DROP TABLE pghaul.creation, pghaul.step, pghaul.verified, pghaul.receipt, "
               "pghaul.receipt_unlogged, "
               "pghaul.spill,"
               " pghaul.shard, pghaul.sample, pghaul.event, pghaul.control, pghaul.mover, "
               "pghaul.tab, "
               "pghaul.snapshot, pghaul.job;"
               "DROP SCHEMA pghaul",
               err) ||
           ph_err_prefix(err, "taking the ledger away");
}

/* The job is ours alone while what it has dropped is made again, which may take long. */
static bool restore(struct ph_conn *target, const char *name, int64_t job, int *restored,
                    struct ph_err *err)
{
    int mover = 0, open = 0;
    if (!ph_ledger_restores(target, job, &open, err))
        return false;
    if (open == 0)
        return true;
    if (!ph_ledger_register(target, job, "clean", (int)getpid(), NULL, &mover, err) ||
        !ph_ledger_commit(target, err))
        return false;
    if (ph_ledger_restore(target, job, restored, err))
        return ph_ledger_leave(target, job, mover, NULL, err) &&
               ph_ledger_release(target, mover, err) && ph_ledger_begin(target, false, err) &&
               ph_ledger_refuse_live(target, job, name, err);
    struct ph_err ignored;
    if (ph_conn_recover(target))
        ph_ledger_leave(target, job, mover, err->text, &ignored);
    return false;
}

bool ph_ledger_clean(struct ph_conn *target, const char *job, int *restored, struct ph_err *err)
{
    char *name = NULL;
    *restored = 0;
    struct ph_arena arena = {0};
    struct ph_ledger_job *found = NULL;
    struct ph_ledger_snapshot *snapshot = NULL;
    if (!choose_job(target, job, &name, err))
        return false;
    bool ok = ph_ledger_begin(target, false, err) &&
              ph_ledger_find(target, &arena, name, &found, err) &&
              (found || ph_err_set(err, PH_WRONG, "no job %s in the target's ledger", name)) &&
              ph_ledger_refuse_live(target, found->id, name, err) &&
              restore(target, name, found->id, restored, err) &&
              ph_ledger_snapshot(target, &arena, found->id, &snapshot, err);
    if (ok) {
        struct ph_buf sql = {0};
        ph_sql_add(&sql,
                   "DELETE FROM pghaul.receipt WHERE job OPERATOR(pg_catalog.=) %D;"
                   "DELETE FROM pghaul.receipt_unlogged WHERE job OPERATOR(pg_catalog.=) %D;"
                   "DELETE FROM pghaul.job WHERE id OPERATOR(pg_catalog.=) %D",
                   found->id, found->id, found->id);
        ok = ph_ledger_query(target, &sql, NULL, err) && ph_ledger_end_if_unused(target, err) &&
             ph_ledger_commit(target, err);
    }
    if (!ok)
        ph_conn_recover(target);
    if (ok && snapshot && !snapshot->released)
        ph_keeper_kill(snapshot->keeper_host, snapshot->keeper_pid);
    ph_arena_fini(&arena);
    free(name);
    return ok;
}
