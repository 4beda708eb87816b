/* A job from beginning to end.
 *
 *     connect ─► plan ─► find the job in the ledger ─┬─ none: keeper, cut, write it down ─┐
 *                                                    ├─ open: same relations? snapshot?  ─┼─► phases ─► finish
 *                                                    └─ completed: nothing to do          ┘
 *     phase:     crew at work until nothing is left, told to stop, or the snapshot is gone ─► recover ─► phase
 */
#include "haul/job.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/num.h"
#include "haul/progress.h"
#include "haul/run.h"
#include "pg/tag.h"

enum { MAX_WARNINGS = 20, HOLD_WAIT_S = 5, DEFAULT_KEEP_S = 15 * 60, DEFAULT_OUTAGE_S = 30 * 60 };
static const uint64_t default_memory = (uint64_t)512 << 20;
/* What a worker needs besides rows in flight: batch, edges, libpq's buffers of two connections, its
 * stack; and what the program needs without any. Measured, rounded up. */
static const uint64_t worker_memory = (uint64_t)3 << 20, base_memory = (uint64_t)24 << 20;

/* Connections. */

bool ph_run_connect(struct ph_run *run, bool source, struct ph_err *err)
{
    struct ph_conn **conn = source ? &run->source : &run->target;
    if (*conn && ph_conn_ok(*conn))
        return true;
    ph_conn_close(*conn);
    *conn = NULL;
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/main", *run->tag ? run->tag : "plan");
    struct ph_conn_opts how = {
        .dsn = source ? run->opts->source : run->opts->target,
        .application_name = name,
        .encoding = source ? run->encoding : NULL,
        .read_only = source,
        .interrupt = run->opts->interrupt,
        .interrupt_level = 1,
    };
    return ph_conn_open(conn, &how, err);
}

/* At the beginning a server that cannot be reached is the environment's fault (exit 2), unless it
 * is just starting: then it is worth waiting for. */
static bool first_connect(struct ph_run *run, bool source, struct ph_err *err)
{
    double until =
        ph_clock_s() + (run->opts->max_outage_s > 0 ? run->opts->max_outage_s : DEFAULT_OUTAGE_S);
    while (!ph_run_connect(run, source, err)) {
        if (err->code != PH_CONNECTION)
            return false;
        if (!err->transient || ph_clock_s() > until) {
            err->code = PH_WRONG;
            return false;
        }
        if (!ph_interrupt_sleep(run->opts->interrupt, 1, 0.5))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    }
    return true;
}

static bool connect_both(struct ph_run *run, struct ph_err *err)
{
    if (!first_connect(run, false, err))
        return false;
    snprintf(run->encoding, sizeof run->encoding, "%s", ph_conn_server_encoding(run->target));
    return first_connect(run, true, err);
}

/* Errors before anything has been changed are the environment's. */
static bool nothing_changed(struct ph_err *err)
{
    if (err->code == PH_FAILED || err->code == PH_CONNECTION || err->code == PH_BUSY)
        err->code = PH_WRONG;
    return false;
}

/* Plan. */

static bool make_plan(struct ph_run *run, struct ph_err *err)
{
    return connect_both(run, err) &&
           (ph_plan_make(&run->plan, run->opts->spec, run->source, run->target, err) ||
            nothing_changed(err));
}

static void tell_warnings(const struct ph_run *run)
{
    const struct ph_plan *plan = run->plan;
    int told = 0;
    for (int i = 0; i < plan->n_warnings; i++)
        ph_log(run->opts->log, PH_LOG_WARN, "%s", plan->warnings[i]);
    for (int i = 0; i < plan->n_tables; i++)
        for (int k = 0; k < plan->tables[i].n_warnings; k++)
            if (told++ < MAX_WARNINGS)
                ph_log(run->opts->log, PH_LOG_WARN, "%s", plan->tables[i].warnings[k]);
    if (told > MAX_WARNINGS)
        ph_log(run->opts->log, PH_LOG_WARN, "and %d more warnings: pghaul plan shows them",
               told - MAX_WARNINGS);
}

static bool refuse_obstacles(const struct ph_run *run, struct ph_err *err)
{
    const struct ph_plan *plan = run->plan;
    for (int i = 1; i < plan->n_obstacles; i++)
        ph_log(run->opts->log, PH_LOG_ERROR, "%s%s%s", plan->obstacles[i].text,
               plan->obstacles[i].hint ? "; hint: " : "",
               plan->obstacles[i].hint ? plan->obstacles[i].hint : "");
    if (plan->n_obstacles == 0) {
        tell_warnings(run);
        return true;
    }
    ph_err_set(err, PH_WRONG, "%s", plan->obstacles[0].text);
    if (plan->obstacles[0].hint)
        ph_err_hint(err, "%s", plan->obstacles[0].hint);
    return false;
}

/* What copy would refuse a new job for stands in the plan. */
static bool add_emptiness(struct ph_run *run, struct ph_err *err)
{
    struct ph_plan *plan = run->plan;
    struct ph_ledger_job *job = NULL;
    struct ph_err full;
    bool present = false;
    if (!ph_ledger_present(run->target, &present, err) ||
        (present && !ph_ledger_find(run->target, &plan->arena, plan->job_name, &job, err)))
        return false;
    if ((job && !run->opts->again) || ph_check_empty(plan, run->target, &full))
        return true;
    if (full.code != PH_WRONG) {
        *err = full;
        return false;
    }
    int n = plan->n_obstacles;
    struct ph_obstacle *all = ph_arena_calloc(&plan->arena, (size_t)n + 1, sizeof *all);
    for (int i = 0; i < n; i++)
        all[i] = plan->obstacles[i];
    all[n].text = ph_arena_strdup(&plan->arena, full.text);
    all[n].hint = full.hint[0] ? ph_arena_strdup(&plan->arena, full.hint) : NULL;
    plan->obstacles = all;
    plan->n_obstacles = n + 1;
    return true;
}

bool ph_job_plan(const struct ph_job_opts *opts, struct ph_plan **plan, struct ph_err *err)
{
    struct ph_run run = {.opts = opts, .phase = "planning"};
    bool ok = make_plan(&run, err);
    /* a snapshot of our own, for the bounds only */
    ok = ok && (ph_conn_exec(run.source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) &&
                        ph_plan_cut(run.plan, run.source, err) && add_emptiness(&run, err)
                    ? true
                    : nothing_changed(err));
    ph_conn_close(run.source);
    ph_conn_close(run.target);
    if (!ok) {
        ph_plan_free(run.plan);
        run.plan = NULL;
    }
    *plan = run.plan;
    return ok;
}

/* Memory. */

static bool check_memory(struct ph_run *run, struct ph_err *err)
{
    int workers = run->plan->jobs;
    uint64_t limit = run->opts->memory ? run->opts->memory : default_memory;
    uint64_t need = base_memory + (uint64_t)workers * worker_memory;
    if (need > limit) {
        char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
        ph_err_set(err, PH_WRONG, "%d worker%s need%s %s, --memory allows %s", workers,
                   workers == 1 ? "" : "s", workers == 1 ? "s" : "",
                   ph_num_show_bytes(a, (double)need), ph_num_show_bytes(b, (double)limit));
        return ph_err_hint(err, "fewer --jobs, or more --memory");
    }
    ph_gate_init(&run->gate, limit);
    return true;
}

/* Finding the job. */

static void log_difference(struct ph_log *log, const char *ours, const char *theirs)
{
    ph_log(log, PH_LOG_ERROR, "in the ledger:   %s", theirs);
    ph_log(log, PH_LOG_ERROR, "by this command: %s", ours);
}

/* The first top-level key of the definitions that differs, for the sentence. */
static const char *differing_key(const char *ours, const char *theirs, char out[static 64])
{
    json_t *a = json_loads(ours, 0, NULL), *b = json_loads(theirs, 0, NULL);
    const char *key;
    json_t *value;
    snprintf(out, 64, "definition");
    json_object_foreach(a, key, value) if (!json_equal(value, json_object_get(b, key)))
    {
        snprintf(out, 64, "%s", key);
        break;
    }
    json_decref(a);
    json_decref(b);
    return out;
}

static bool same_definition(struct ph_run *run, const struct ph_ledger_job *job, struct ph_err *err)
{
    char key[64];
    if (!strcmp(job->fingerprint, run->plan->fingerprint))
        return true;
    log_difference(run->opts->log, run->plan->definition, job->definition);
    ph_err_set(err, PH_OTHER_JOB, "job %s is in the ledger with another definition (%s differs)",
               run->plan->job_name, differing_key(run->plan->definition, job->definition, key));
    return ph_err_hint(
        err, "give this job another --job name, or take the old one away: pghaul clean %s",
        run->plan->job_name);
}

static const struct ph_table *planned_table(const struct ph_plan *plan, uint32_t oid)
{
    for (int i = 0; i < plan->n_tables; i++)
        if (plan->tables[i].source_oid == oid)
            return &plan->tables[i];
    return NULL;
}

static bool other_relation(const struct ph_ledger_tab *t, const char *what, struct ph_err *err)
{
    ph_err_set(err, PH_OTHER_JOB, "%s of %s.%s since the job began", what, t->source_schema,
               t->source_name);
    return ph_err_hint(
        err, "the job cannot go on with it: take it away with pghaul clean, then begin again");
}

/* The job began when this leaf had to go through the target's root, and the target has got a leaf
 * of that name since. It goes on as it began; landing checks that the root is still the same. */
static void keep_routing(struct ph_table *table, const struct ph_ledger_tab *t)
{
    table->target_schema = t->target_schema;
    table->target_name = t->target_name;
    table->target_oid = t->target_oid;
    table->target_filenode = 0;
    table->target_routes = true;
}

/* A job goes on only with the relations that it began with, column for column. */
static bool same_relations(struct ph_run *run, struct ph_err *err)
{
    run->tables = ph_arena_calloc(run->arena, (size_t)run->n_tabs, sizeof(struct ph_table *));
    for (int i = 0; i < run->n_tabs; i++) {
        const struct ph_ledger_tab *t = &run->tabs[i];
        const struct ph_table *p = planned_table(run->plan, t->source_oid);
        run->tables[i] = p;
        if (!p)
            return other_relation(
                t, "the source table is no longer the one (dropped or made anew?)", err);
        if (t->source_filenode != p->source_filenode)
            return other_relation(t, "the source was truncated or rewritten: the table", err);
        if (t->target_filenode == 0 && !p->target_routes)
            keep_routing((struct ph_table *)p, t);
        if (t->target_oid != p->target_oid ||
            (!p->target_routes && t->target_filenode != p->target_filenode))
            return other_relation(t, "the target was truncated, rewritten or made anew: the table",
                                  err);
        if (strcmp(t->select_list, p->select_list) != 0 ||
            strcmp(t->target_columns, p->target_columns) != 0)
            return other_relation(t, "the columns have changed: the table", err);
    }
    return true;
}

static bool load_tabs(struct ph_run *run, struct ph_err *err)
{
    return ph_ledger_tabs(run->target, run->arena, run->job, &run->tabs, &run->n_tabs, err);
}

/* The cut of a planned table is the ledger's, not what today's options would choose. */
static void adopt_cut(struct ph_run *run)
{
    static const enum ph_split all[] = {PH_SPLIT_BLOCK, PH_SPLIT_KEY, PH_SPLIT_HASH, PH_SPLIT_NONE};
    for (int i = 0; i < run->n_tabs; i++)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (!strcmp(run->tabs[i].split, ph_split_name(all[k])))
                ((struct ph_table *)run->tables[i])->split = all[k];
}

/* Taking hold. */

static bool take_hold(struct ph_run *run, struct ph_err *err)
{
    for (double until = ph_clock_s() + HOLD_WAIT_S;;) {
        if (!ph_ledger_begin(run->target, false, err))
            return false;
        bool free_now = ph_ledger_refuse_live(run->target, run->job, run->plan->job_name, err);
        if (!free_now && err->code == PH_HELD && run->opts->join) {
            run->result->joined = true;
            free_now = true;
        }
        if (free_now)
            break;
        ph_conn_recover(run->target);
        if (err->code != PH_HELD || ph_clock_s() > until)
            return false;
        if (!ph_interrupt_sleep(run->opts->interrupt, 1, 0.1))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    }
    return (run->result->joined || ph_ledger_reopen(run->target, run->job, err)) &&
           ph_ledger_register(run->target, run->job, run->host, (int)getpid(), &run->mover, err) &&
           ph_ledger_commit(run->target, err);
}

/* A new job, or a new round of an old one. */

static bool write_down(struct ph_run *run, const struct ph_snapshot *snapshot, bool again,
                       struct ph_err *err)
{
    const struct ph_plan *plan = run->plan;
    struct ph_ledger_job *other = NULL;
    if (!ph_ledger_begin(run->target, true, err) ||
        !ph_ledger_find(run->target, run->arena, plan->job_name, &other, err))
        return false;
    if (other && !again && !other->completed) {
        run->job = other->id; /* go on with it, see find_job */
        return ph_err_set(err, PH_HELD, "job %s was begun by somebody else this very moment",
                          plan->job_name);
    }
    if (other && !ph_ledger_refuse_live(run->target, other->id, plan->job_name, err))
        return false;
    const struct ph_ledger_new what = {
        .name = plan->job_name,
        .mode = ph_mode_name(run->opts->spec->mode),
        .fingerprint = plan->fingerprint,
        .definition = plan->definition,
        .source = ph_dsn_shown(run->opts->source),
        .target = ph_dsn_shown(run->opts->target),
        .source_system = plan->source.system_id,
        .source_database = plan->source.database_oid,
        .tables = plan->tables,
        .n_tables = plan->n_tables,
        .shards = plan->shards,
        .lo = (const char *const *)plan->shard_lo,
        .hi = (const char *const *)plan->shard_hi,
        .n_shards = plan->n_shards,
        .replace = run->opts->spec->mode == PH_REPLACE,
        .snapshot = snapshot,
        .host = run->host,
    };
    run->job = other ? other->id : 0;
    return ph_ledger_refuse_rivals(run->target, plan->job_name, plan->tables, plan->n_tables,
                                   err) &&
           ph_check_empty(run->plan, run->target, err) &&
           ph_ledger_create(run->target, &what, &run->job, err) &&
           ph_ledger_register(run->target, run->job, run->host, (int)getpid(), &run->mover, err) &&
           ph_ledger_commit(run->target, err);
}

/* Our own TRUNCATE has given the targets new files. */
static bool adopt_emptied(struct ph_run *run, struct ph_err *err)
{
    if (!load_tabs(run, err))
        return false;
    for (int i = 0; i < run->n_tabs; i++)
        ((struct ph_table *)planned_table(run->plan, run->tabs[i].source_oid))->target_filenode =
            run->tabs[i].target_filenode;
    return true;
}

static bool begin_job(struct ph_run *run, bool again, struct ph_err *err)
{
    struct ph_snapshot snapshot;
    const struct ph_keeper_opts keeper = {
        .dsn = run->opts->source,
        .tag = run->tag,
        .job = run->plan->job_name,
        .tables = run->plan->tables,
        .n_tables = run->plan->n_tables,
        .keep_s = run->opts->keep_snapshot_s,
        .interrupt = run->opts->interrupt,
    };
    if (!ph_keeper_start(&keeper, &snapshot, err))
        return nothing_changed(err);
    bool ok = ph_snapshot_import(run->source, snapshot.id, snapshot.pg_snapshot, err) &&
              ph_plan_cut(run->plan, run->source, err) &&
              ph_conn_exec(run->source, "ROLLBACK", err) && write_down(run, &snapshot, again, err);
    if (ok) {
        ph_keeper_confirm(&snapshot);
    } else {
        ph_conn_recover(run->target);
        nothing_changed(err);
    }
    ph_snapshot_fini(&snapshot);
    return ok && (run->opts->spec->mode != PH_REPLACE || adopt_emptied(run, err));
}

/* Going on. */

static bool is_whole(const struct ph_run *run)
{
    for (int i = 0; i < run->n_tabs; i++)
        if (run->tabs[i].landed < run->tabs[i].shards)
            return false;
    return true;
}

/* Whether the snapshot in force can still be had; otherwise recovers. */
static bool have_snapshot(struct ph_run *run, struct ph_err *err)
{
    if (!ph_ledger_snapshot(run->target, run->arena, run->job, &run->snapshot, err))
        return false;
    if (!run->snapshot)
        return ph_err_set(err, PH_FAILED, "the ledger has no snapshot for the job");
    if (is_whole(run))
        return true; /* nothing is left to read */
    if (ph_snapshot_import(run->source, run->snapshot->id, run->snapshot->pg_snapshot, err))
        return ph_conn_exec(run->source, "ROLLBACK", err);
    return err->code == PH_SNAPSHOT_GONE && ph_run_recover(run, err);
}

/* Shards of unlogged targets that a crash of the target has taken back. */
static bool reopen_lost(struct ph_run *run, int64_t *lost, struct ph_err *err)
{
    bool unlogged = false;
    *lost = 0;
    for (int i = 0; i < run->n_tabs; i++)
        unlogged = unlogged || run->tabs[i].target_unlogged;
    return !unlogged || ph_ledger_lost(run->target, run->job, lost, err);
}

static bool go_on(struct ph_run *run, struct ph_err *err)
{
    int64_t lost = 0;
    if (!take_hold(run, err) || !load_tabs(run, err) || !reopen_lost(run, &lost, err))
        return false;
    if (lost > 0)
        ph_log(
            run->opts->log, PH_LOG_WARN,
            "%" PRId64
            " shards of unlogged tables vanished with a crash of the target and are copied again",
            lost);
    if (!load_tabs(run, err) || !same_relations(run, err))
        return false;
    adopt_cut(run);
    return have_snapshot(run, err);
}

/* A completed job whose unlogged rows have vanished is not complete any more. */
static bool still_complete(struct ph_run *run, bool *complete, struct ph_err *err)
{
    bool unlogged = false;
    *complete = true;
    for (int i = 0; i < run->plan->n_tables; i++)
        unlogged = unlogged || run->plan->tables[i].target_unlogged;
    if (!unlogged)
        return true;
    if (!load_tabs(run, err))
        return false;
    struct ph_rows *rows = NULL;
    struct ph_buf sql = {0};
    ph_buf_addf(&sql,
                "SELECT EXISTS (SELECT FROM pghaul.shard s JOIN pghaul.tab t ON t.job = s.job AND"
                " t.id = s.tab AND t.target_unlogged WHERE s.job = %" PRId64 " AND NOT EXISTS"
                " (SELECT FROM pghaul.receipt_unlogged r WHERE r.job = s.job AND r.shard = s.id))",
                run->job);
    bool ok = ph_conn_query(run->target, sql.data, &rows, err);
    *complete = ok && !ph_rows_bool(rows, 0, 0);
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

/* Lets the snapshot go: nobody needs the source any more. */
static void end_keeper(struct ph_run *run)
{
    struct ph_err ignored;
    struct ph_ledger_snapshot *s = NULL;
    if (!ph_ledger_snapshot(run->target, run->arena, run->job, &s, &ignored) || !s || s->released)
        return;
    ph_conn_set_interrupt(run->source, NULL, 2);
    if (run->source && ph_conn_ok(run->source) && ph_conn_recover(run->source))
        ph_keeper_end(run->source, run->tag, s->keeper_backend, &ignored);
    ph_ledger_release_snapshot(run->target, run->job, &ignored);
}

static bool find_job(struct ph_run *run, bool *done, struct ph_err *err)
{
    bool present = false;
    struct ph_ledger_job *job = NULL;
    *done = false;
    if (!ph_ledger_present(run->target, &present, err) ||
        (present && !ph_ledger_find(run->target, run->arena, run->plan->job_name, &job, err)))
        return nothing_changed(err);
    ph_tag_of_job(run->plan->job_name, run->plan->target.system_id, run->plan->target.database_oid,
                  run->tag);
    /* the control connections bear the job's tag from now on: the keeper looks for it */
    struct ph_buf sql = {0};
    ph_buf_addf(&sql, "SET application_name = 'pghaul/%s/main'", run->tag);
    bool ok = ph_conn_exec(run->source, sql.data, err) && ph_conn_exec(run->target, sql.data, err);
    ph_buf_fini(&sql);
    if (!ok)
        return false;
    if (job && !same_definition(run, job, err))
        return false;
    if (job && job->completed) {
        bool complete = true;
        run->job = job->id;
        if (!still_complete(run, &complete, err))
            return false;
        if (complete && !run->opts->again) {
            end_keeper(run); /* of a mover that died between the end of the job and this */
            *done = true;
            return true;
        }
        if (complete)
            return refuse_obstacles(run, err) && check_memory(run, err) &&
                   begin_job(run, true, err);
        if (!ph_ledger_uncomplete(run->target, run->job, err))
            return false;
    }
    if (!refuse_obstacles(run, err) || !check_memory(run, err))
        return false;
    if (job)
        run->job = job->id;
    else if (begin_job(run, false, err))
        return true;
    else if (err->code != PH_HELD || run->mover || !run->job)
        return false;
    return go_on(run, err);
}

/* Phases. */

static bool prepare_crew(struct ph_run *run, struct ph_err *err)
{
    int open_shards = 0;
    if (!load_tabs(run, err) || !same_relations(run, err))
        return false;
    if (!run->snapshot &&
        !ph_ledger_snapshot(run->target, run->arena, run->job, &run->snapshot, err))
        return false;
    for (int i = 0; i < run->n_tabs; i++) {
        open_shards += run->tabs[i].shards - run->tabs[i].landed;
        run->result->shards += run->tabs[i].shards;
        run->result->shards_resumed += run->tabs[i].landed;
    }
    int workers = run->plan->jobs < open_shards ? run->plan->jobs : open_shards;
    workers = workers > 0 ? workers : 1;
    run->result->workers = workers;
    const struct ph_crew_opts opts = {
        .source = run->opts->source,
        .target = run->opts->target,
        .encoding = run->encoding,
        .tag = run->tag,
        .job = run->job,
        .mover = run->mover,
        .mode = run->opts->spec->mode,
        .skip_triggers = run->opts->spec->triggers == PH_TRIGGERS_SKIP,
        .workers = workers,
        .max_outage_s = run->opts->max_outage_s > 0 ? run->opts->max_outage_s : DEFAULT_OUTAGE_S,
        .log = run->opts->log,
        .interrupt = run->opts->interrupt,
        .gate = &run->gate,
    };
    return ph_crew_init(&run->crew, &opts, err);
}

/* Tells the crew how far the tables are: at the beginning, and after a recovery has changed it. */
static bool brief_crew(struct ph_run *run, struct ph_err *err)
{
    struct ph_crew *crew = &run->crew;
    free(crew->tabs);
    crew->n_tabs = run->n_tabs;
    crew->tabs = calloc((size_t)(run->n_tabs ? run->n_tabs : 1), sizeof *crew->tabs);
    if (!crew->tabs)
        return ph_err_nomem(err);
    for (int i = 0; i < run->n_tabs; i++) {
        const struct ph_ledger_tab *t = &run->tabs[i];
        struct ph_crew_tab *c = &crew->tabs[i];
        c->table = run->tables[i];
        c->weight = t->weight;
        c->shards = t->shards;
        atomic_store(&c->rows, t->rows);
        atomic_store(&c->bytes, t->bytes);
        atomic_store(&c->weight_done, t->weight_done);
        atomic_store(&c->landed, t->landed);
        atomic_store(&c->parked, t->parked);
    }
    crew->snapshot = run->snapshot->id;
    crew->snapshot_no = run->snapshot->no;
    return true;
}

static bool run_phase(struct ph_run *run, struct ph_err *err)
{
    struct ph_crew *crew = &run->crew;
    if (!brief_crew(run, err))
        return false;
    run->phase = "copying";
    ph_conn_set_interrupt(run->target, run->opts->interrupt, 2);
    if (!ph_crew_start(crew, &run->target, err))
        return false;
    ph_progress_watch(run);
    ph_crew_join(crew);
    if (crew->has_fatal) {
        *err = crew->fatal;
        return false;
    }
    if (ph_interrupt_at(run->opts->interrupt, 1))
        return ph_err_set(err, PH_INTERRUPTED, "interrupted; the job can go on");
    return true;
}

static bool is_alive(struct ph_conn *conn)
{
    struct ph_err ignored;
    if (!conn || !ph_conn_ok(conn))
        return false;
    ph_conn_set_interrupt(conn, NULL, 2);
    return ph_conn_recover(conn) && ph_conn_exec(conn, "SELECT", &ignored);
}

/* The target's connection for the end: it must work although the user has asked to stop, and
 * although it may have been lost while the crew was at work. Who has been told to stop does not
 * wait for a lost server. */
static bool reach_target(struct ph_run *run, struct ph_err *err)
{
    double patience = run->opts->max_outage_s > 0 ? run->opts->max_outage_s : DEFAULT_OUTAGE_S;
    double until = ph_clock_s() + patience;
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/main", run->tag);
    const struct ph_conn_opts how = {.dsn = run->opts->target, .application_name = name};
    while (!is_alive(run->target)) {
        ph_conn_close(run->target);
        run->target = NULL;
        if (ph_conn_open(&run->target, &how, err))
            continue;
        if (err->code != PH_CONNECTION || ph_clock_s() > until ||
            !ph_interrupt_sleep(run->opts->interrupt, 1, 0.5))
            return false;
    }
    return true;
}

/* A crash of the target may have taken back what had landed: then there is another phase. */
static bool nothing_planned(const struct ph_run *run)
{
    for (int i = 0; i < run->n_tabs; i++)
        if (run->tabs[i].landed + run->tabs[i].parked < run->tabs[i].shards)
            return false;
    return true;
}

static bool phases(struct ph_run *run, struct ph_err *err)
{
    for (;;) {
        int64_t lost = 0;
        if (!run_phase(run, err))
            return false;
        if (atomic_load(&run->crew.snapshot_gone)) {
            run->phase = "recovering";
            if (!reach_target(run, err) || !load_tabs(run, err) || !ph_run_recover(run, err))
                return false;
        } else if (!reach_target(run, err) || !reopen_lost(run, &lost, err)) {
            return false;
        }
        if (!load_tabs(run, err))
            return false;
        if (!atomic_load(&run->crew.snapshot_gone) && lost == 0 && nothing_planned(run))
            return true;
    }
}

/* The end. */

static bool parked_error(struct ph_run *run, struct ph_err *err)
{
    struct ph_job_result *result = run->result;
    if (result->n_parked_shards)
        ph_err_set(err, PH_FAILED, "%d of %d shards are parked: shard %" PRId64 " of %s: %s",
                   result->parked, result->shards, result->parked_shards[0].shard,
                   result->parked_shards[0].table, result->parked_shards[0].error);
    else
        ph_err_set(err, PH_FAILED, "%d of %d shards are parked", result->parked, result->shards);
    return ph_err_hint(
        err, "mend the cause and run the same command again; pghaul status %s --shards lists them",
        result->job);
}

static bool finish(struct ph_run *run, struct ph_err *err)
{
    bool completed = false;
    run->phase = "finishing";
    if (!load_tabs(run, err))
        return false;
    for (int i = 0; i < run->n_tabs; i++)
        run->result->parked += run->tabs[i].parked;
    if (run->result->parked > 0)
        return true; /* the caller reads their errors */
    if (is_whole(run) && run->opts->spec->sequences && !ph_run_sequences(run, err))
        return false;
    if (!ph_ledger_complete(run->target, run->job, run->mover, &completed, err))
        return false;
    if (PH_FAULT("job.completed"))
        return ph_err_set(err, PH_FAILED, "fault point job.completed");
    if (!completed)
        return ph_err_set(err, PH_FAILED, "shards are left that nobody works on");
    end_keeper(run);
    return true;
}

/* What the result says, from the ledger: the job's totals, whoever moved them. */
static bool fill_result(struct ph_run *run, struct ph_err *err)
{
    struct ph_job_result *result = run->result;
    struct ph_ledger_snapshot *snapshot = NULL;
    struct ph_ledger_parked *parked = NULL;
    if (!load_tabs(run, err) ||
        !ph_ledger_snapshot(run->target, run->arena, run->job, &snapshot, err) ||
        !ph_ledger_parked(run->target, run->arena, run->job, 20, &parked, &result->n_parked_shards,
                          err))
        return false;
    result->snapshots = snapshot ? snapshot->no : 0;
    result->snapshot_held_s = snapshot ? snapshot->held_s : 0;
    result->tables = ph_arena_calloc(run->arena, (size_t)run->n_tabs, sizeof *result->tables);
    result->n_tables = run->n_tabs;
    result->parked_shards =
        ph_arena_calloc(run->arena, (size_t)result->n_parked_shards, sizeof *result->parked_shards);
    result->shards = result->parked = 0;
    result->rows = result->bytes = 0;
    for (int i = 0; i < run->n_tabs; i++) {
        const struct ph_ledger_tab *t = &run->tabs[i];
        const struct ph_crew_tab *c = run->crew.tabs ? &run->crew.tabs[i] : NULL;
        uint64_t first = c ? atomic_load(&c->first_ns) : 0, last = c ? atomic_load(&c->last_ns) : 0;
        result->tables[i] = (struct ph_job_table){
            .source = ph_arena_strdup(run->arena,
                                      ph_plan_name(run->plan, t->source_schema, t->source_name)),
            .target = ph_arena_strdup(run->arena,
                                      ph_plan_name(run->plan, t->target_schema, t->target_name)),
            .rows = t->rows,
            .bytes = t->bytes,
            .shards = t->shards,
            .parked = t->parked,
            .split = t->split,
            .seconds = last > first && first ? (double)(last - first) / 1e9 : 0,
        };
        result->rows += t->rows;
        result->bytes += t->bytes;
        result->shards += t->shards;
        result->parked += t->parked;
    }
    for (int i = 0; i < result->n_parked_shards; i++) {
        result->parked_shards[i].shard = parked[i].shard;
        result->parked_shards[i].table = result->tables[parked[i].tab - 1].source;
        result->parked_shards[i].error = parked[i].error;
    }
    return true;
}

static void add_run_figures(struct ph_run *run)
{
    struct ph_job_result *result = run->result;
    struct ph_crew *crew = &run->crew;
    uint64_t source = 0, target = 0, busy = 0;
    result->run_rows = atomic_load(&crew->run_rows);
    result->run_bytes = atomic_load(&crew->run_bytes);
    result->retries = atomic_load(&crew->retries);
    for (int i = 0; crew->workers && i < crew->opts.workers; i++) {
        source += atomic_load(&crew->workers[i].gauge.source_wait_ns);
        target += atomic_load(&crew->workers[i].gauge.sink_wait_ns);
        busy += crew->workers[i].busy_ns;
    }
    if (busy > 0) {
        result->source_share = (double)source / (double)busy;
        result->target_share = (double)target / (double)busy;
        result->self_share = 1 - result->source_share - result->target_share;
        if (result->self_share < 0)
            result->self_share = 0;
    }
    uint64_t idle = atomic_load(&crew->first_idle_ns), last = atomic_load(&crew->last_landed_ns);
    result->tail_s = idle && last > idle ? (double)(last - idle) / 1e9 : 0;
}

/* Leaves a job that goes on, and says how it ended. */
static void leave(struct ph_run *run, const struct ph_err *why)
{
    struct ph_err err;
    if (!reach_target(run, &err))
        return;
    ph_ledger_leave(run->target, run->job, run->mover,
                    why->code == PH_INTERRUPTED ? NULL : why->text, &err);
}

static bool work(struct ph_run *run, struct ph_err *err)
{
    bool ok = prepare_crew(run, err);
    if (ok && !is_whole(run)) {
        ph_log(run->opts->log, PH_LOG_INFO, "job %s: %d workers", run->result->job,
               run->result->workers);
        ok = phases(run, err);
    } else if (ok) {
        ok = brief_crew(run, err);
    }
    return ok && finish(run, err);
}

bool ph_job_copy(const struct ph_job_opts *given, struct ph_job_result *result, struct ph_err *err)
{
    struct ph_job_opts opts = *given;
    if (opts.keep_snapshot_s <= 0)
        opts.keep_snapshot_s = DEFAULT_KEEP_S;
    *result = (struct ph_job_result){.state = "failed"};
    struct ph_run run = {.opts = &opts,
                         .result = result,
                         .arena = &result->arena,
                         .begin_s = ph_clock_s(),
                         .phase = "planning"};
    bool done = false, filled = false;
    if (gethostname(run.host, sizeof run.host - 1) != 0)
        snprintf(run.host, sizeof run.host, "unknown");
    bool ok = make_plan(&run, err);
    if (ok)
        result->job = ph_arena_strdup(run.arena, run.plan->job_name);
    ok = ok && find_job(&run, &done, err);
    result->was_complete = done;
    if (ok && !done)
        ok = work(&run, err);
    if (run.mover)
        add_run_figures(&run);
    if (!ok && run.mover)
        leave(&run, err);
    if (run.job && run.target && ph_conn_ok(run.target)) {
        struct ph_err ignored;
        ph_conn_set_interrupt(run.target, NULL, 2);
        filled = ph_conn_recover(run.target) && fill_result(&run, ok ? err : &ignored);
        ok = ok && filled;
    }
    if (ok && result->parked > 0) {
        ok = parked_error(&run, err);
        leave(&run, err);
    }
    if (done && filled)
        result->shards_resumed = result->shards;
    if (!ok && !run.mover && ph_interrupt_at(opts.interrupt, 1))
        ph_err_set(err, PH_INTERRUPTED, "interrupted before the job began; nothing was changed");
    result->state = ok ? "completed" : err->code == PH_INTERRUPTED ? "pending" : "failed";
    result->seconds = ph_clock_s() - run.begin_s;
    result->cpu_s = ph_clock_cpu_s();
    result->max_rss = ph_clock_max_rss();
    if (run.mover) {
        ph_crew_fini(&run.crew);
        if (run.gate.limit)
            ph_gate_fini(&run.gate);
    }
    ph_conn_close(run.source);
    ph_conn_close(run.target);
    ph_plan_free(run.plan);
    return ok;
}

void ph_job_result_free(struct ph_job_result *result)
{
    ph_arena_fini(&result->arena);
}
