/* What every stage of a run needs: its connections, where the tables stand, the snapshot's end. */
#include "haul/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "pg/sql.h"

void ph_run_init(struct ph_run *run, const struct ph_job_opts *opts, struct ph_job_result *result)
{
    *run = (struct ph_run){.opts = opts,
                           .result = result,
                           .arena = &result->arena,
                           .begin_s = ph_clock_s(),
                           .phase = "planning",
                           .archive_dir = {.fd = -1, .lock = -1},
                           .spill = {.dir = {.fd = -1, .lock = -1}}};
    ph_throttle_init(&run->throttle, &opts->rates, opts->timetable, opts->interrupt);
    if (gethostname(run->host, sizeof run->host - 1) != 0)
        snprintf(run->host, sizeof run->host, "unknown");
}

const char *ph_run_new_set(struct ph_run *run)
{
    uint64_t dice[2];
    if (getrandom(dice, sizeof dice, 0) != (ssize_t)sizeof dice)
        dice[0] = ph_clock_ns(), dice[1] = (uint64_t)getpid();
    return ph_arena_printf(run->arena, "%016" PRIx64 "%016" PRIx64, dice[0], dice[1]);
}

void ph_run_passed(struct ph_run *run, const char *phase, double begin_s)
{
    if (run->n_passed < (int)(sizeof run->passed / sizeof *run->passed))
        run->passed[run->n_passed++] = (struct ph_job_phase){phase, ph_clock_s() - begin_s};
}

/* Where the time of the run went, in order. */
static void keep_phases(struct ph_run *run)
{
    struct ph_job_phase *phases =
        ph_arena_calloc(run->arena, (size_t)run->n_passed, sizeof *phases);
    for (int i = 0; i < run->n_passed; i++)
        phases[i] = run->passed[i];
    run->result->phases = phases;
    run->result->n_phases = run->n_passed;
}

void ph_run_fini(struct ph_run *run)
{
    keep_phases(run);
    run->result->seconds = ph_clock_s() - run->begin_s;
    run->result->cpu_s = ph_clock_cpu_s();
    run->result->max_rss = ph_clock_max_rss();
    ph_control_end(&run->control);
    if (run->crew.workers)
        ph_crew_fini(&run->crew);
    ph_guards_fini(&run->guards);
    ph_throttle_fini(&run->throttle);
    if (run->gate.limit)
        ph_gate_fini(&run->gate);
    ph_dir_close(&run->archive_dir);
    if (run->set)
        ph_spill_fini(&run->spill);
    ph_roster_free(run->roster);
    ph_testimony_free(run->answers);
    ph_ahead_end(&run->ahead);
    ph_conn_close(run->source);
    ph_conn_close(run->target);
    ph_run_install_drop(run);
    ph_plan_free(run->plan);
}

struct ph_witness ph_run_witness(const struct ph_run *run)
{
    return (struct ph_witness){.conn = run->source, .answers = run->answers};
}

bool ph_run_know_guards(struct ph_run *run, struct ph_err *err)
{
    return ph_guards_init(&run->guards,
                          &(struct ph_guards_opts){.limits = run->opts->guards,
                                                   .source = run->opts->source,
                                                   .target = run->opts->target,
                                                   .throttle = &run->throttle,
                                                   .log = run->opts->log},
                          err);
}

void ph_run_begin_control(struct ph_run *run)
{
    const struct ph_job_opts *opts = run->opts;
    ph_control_begin(&run->control,
                     &(struct ph_control_opts){
                         .job = run->result->job,
                         .host = run->host,
                         .state_dir = opts->spill.state_dir,
                         .state_base = opts->spill.state_base,
                         .most_workers = ph_run_most_workers(run),
                         .journal = opts->spec->route == PH_ROUTE_EXTRACT ? &run->journal : NULL,
                         .throttle = &run->throttle,
                         .interrupt = opts->interrupt,
                         .log = opts->log,
                     });
}

bool ph_run_open_control(struct ph_run *run, bool source, struct ph_interrupt *interrupt,
                         struct ph_conn **conn, struct ph_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/main", *run->tag ? run->tag : "plan");
    struct ph_conn_opts how = {
        .dsn = source ? run->opts->source : run->opts->target,
        .application_name = name,
        .encoding = *run->encoding ? run->encoding : NULL,
        .read_only = source,
        .interrupt = interrupt,
        .interrupt_level = 1,
    };
    return ph_conn_open(conn, &how, err);
}

bool ph_run_connect(struct ph_run *run, bool source, struct ph_err *err)
{
    struct ph_conn **conn = source ? &run->source : &run->target;
    if (*conn && ph_conn_ok(*conn))
        return true;
    ph_conn_close(*conn);
    *conn = NULL;
    return ph_run_open_control(run, source, run->opts->interrupt, conn, err);
}

static bool is_alive(struct ph_conn *conn)
{
    struct ph_err ignored;
    if (!conn || !ph_conn_ok(conn))
        return false;
    ph_conn_set_interrupt(conn, NULL, 2);
    return ph_conn_recover(conn) && ph_conn_exec(conn, "SELECT", &ignored);
}

bool ph_run_reach(struct ph_run *run, bool source, struct ph_err *err)
{
    struct ph_conn **conn = source ? &run->source : &run->target;
    double patience = run->opts->max_outage_s > 0 ? run->opts->max_outage_s : PH_OUTAGE_S;
    double until = ph_clock_s() + patience;
    while (!is_alive(*conn)) {
        ph_conn_close(*conn);
        *conn = NULL;
        if (ph_run_open_control(run, source, NULL, conn, err)) {
            /* the lock that says we live went with the old connection */
            if (!source && run->mover && !ph_ledger_hold_again(*conn, run->mover, err))
                return false;
            continue;
        }
        if (err->code != PH_CONNECTION || ph_clock_s() > until ||
            !ph_interrupt_sleep(run->opts->interrupt, 1, 0.5))
            return false;
    }
    return true;
}

bool ph_run_start_keeper(struct ph_run *run, struct ph_snapshot *snapshot, struct ph_err *err)
{
    const struct ph_keeper_opts keeper = {
        .dsn = run->opts->source,
        .encoding = run->encoding,
        .tag = run->tag,
        .job = run->plan->job_name,
        .tables = run->plan->tables,
        .n_tables = run->plan->n_tables,
        .keep_s = run->opts->keep_snapshot_s,
        .interrupt = run->opts->interrupt,
    };
    return ph_keeper_start(&keeper, snapshot, err);
}

bool ph_run_await_flush(struct ph_run *run, const struct ph_snapshot *snapshot, struct ph_err *err)
{
    enum { ROUNDS = 3 };
    static const double longest_s = 60;
    double begin_s = ph_clock_s(), patience_s = 0;
    bool flushed = false, writing = false;
    do {
        struct ph_buf sql = {0};
        struct ph_rows *rows = NULL;
        ph_sql_add(&sql,
                   "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN true"
                   " ELSE pg_catalog.pg_current_wal_flush_lsn() OPERATOR(pg_catalog.>=)"
                   " %L::pg_catalog.pg_lsn END, pg_catalog.date_part('epoch',"
                   " pg_catalog.current_setting('wal_writer_delay')::pg_catalog.interval),"
                   " EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE backend_type"
                   " OPERATOR(pg_catalog.=) 'walwriter' AND wait_event_type"
                   " OPERATOR(pg_catalog.<>) 'Activity')",
                   snapshot->lsn);
        bool ok = ph_conn_query(run->source, sql.data, &rows, err);
        ph_buf_fini(&sql);
        if (!ok)
            return ph_err_prefix(err, "looking whether the source has flushed what it shows");
        flushed = ph_rows_bool(rows, 0, 0);
        patience_s = ROUNDS * ph_rows_double(rows, 0, 1);
        writing = ph_rows_bool(rows, 0, 2);
        ph_rows_free(rows);
        if (!flushed && !ph_interrupt_sleep(run->opts->interrupt, 1, 0.01))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    } while (!flushed && ph_clock_s() - begin_s < (writing ? longest_s : patience_s));
    return true;
}

/* Errors before anything has been changed are the environment's. */
bool ph_run_unchanged(struct ph_err *err)
{
    if (err->code == PH_FAILED || err->code == PH_CONNECTION || err->code == PH_BUSY ||
        err->code == PH_DAMAGED)
        err->code = PH_WRONG;
    return false;
}

bool ph_run_load_tabs(struct ph_run *run, struct ph_err *err)
{
    return ph_ledger_tabs(run->target, run->arena, run->job, &run->tabs, &run->n_tabs, err);
}

bool ph_run_is_whole(const struct ph_run *run)
{
    for (int i = 0; i < run->n_tabs; i++)
        if (run->tabs[i].landed < run->tabs[i].shards)
            return false;
    return true;
}

bool ph_run_is_read(const struct ph_run *run)
{
    for (int i = 0; i < run->n_tabs; i++)
        if (run->tabs[i].landed + run->tabs[i].spilled < run->tabs[i].shards)
            return false;
    return true;
}

/* Shards of unlogged targets that a crash of the target has taken back. */
bool ph_run_reopen_lost(struct ph_run *run, int64_t *lost, struct ph_err *err)
{
    bool unlogged = false;
    *lost = 0;
    for (int i = 0; i < run->n_tabs; i++)
        unlogged = unlogged || run->tabs[i].target_unlogged;
    return !unlogged || ph_ledger_lost(run->target, run->job, lost, err);
}

/* Lets the snapshot go: nobody needs the source any more. ago_s: it happened so long ago. target: the ledger can be told; else
 * only the keeper is ended. */
static void end_keeper(struct ph_run *run, double ago_s, bool target)
{
    struct ph_err ignored;
    struct ph_arena arena = {0};
    const struct ph_ledger_snapshot *s = run->snapshot;
    struct ph_ledger_snapshot *found = NULL;
    if (target && ph_ledger_snapshot(run->target, &arena, run->job, &found, &ignored) && found)
        s = found;
    if (s && !s->released) {
        if (!is_alive(run->source)) {
            ph_conn_close(run->source);
            run->source = NULL;
            ph_run_open_control(run, true, NULL, &run->source, &ignored);
        }
        if (run->source)
            ph_keeper_end(run->source, run->tag, s->keeper_backend, &ignored);
        else
            ph_keeper_kill(s->keeper_host, s->keeper_pid);
        if (target)
            ph_ledger_release_snapshot(run->target, run->job, ago_s, &ignored);
    }
    ph_arena_fini(&arena);
}

void ph_run_end_keeper(struct ph_run *run)
{
    end_keeper(run, 0, true);
}

void ph_run_let_go(void *run, double ago_s, bool target)
{
    end_keeper(run, ago_s, target);
}

/* Leaves a job that goes on, and says how it ended. */
void ph_run_leave(struct ph_run *run, const struct ph_err *why)
{
    struct ph_err err;
    if (!ph_run_reach(run, false, &err))
        return;
    ph_ledger_leave(run->target, run->job, run->mover,
                    why->code == PH_INTERRUPTED ? NULL : why->text, &err);
}
