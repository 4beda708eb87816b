/* How a run begins: the job is found in the ledger, or made; what stands there must be what this
 * command means; and this mover takes hold of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/num.h"
#include "haul/run.h"
#include "pg/tag.h"

enum { MAX_WARNINGS = 20, HOLD_WAIT_S = 5 };
static const uint64_t default_memory = (uint64_t)512 << 20;
/* What a worker needs besides rows in flight: batch, edges, libpq's buffers of two connections, its
 * stack; and what the program needs without any. Measured, rounded up. */
static const uint64_t worker_memory = (uint64_t)3 << 20, base_memory = (uint64_t)24 << 20;
/* and for files: the buffers of its ring, and what its encoder and decoder have in hand */
static const uint64_t files_memory = (uint64_t)3 << 20;

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

bool ph_run_refuse(const struct ph_run *run, const struct ph_plan *plan, struct ph_err *err)
{
    for (int i = 1; i < plan->n_obstacles; i++)
        ph_log(run->opts->log, PH_LOG_ERROR, "%s%s%s", plan->obstacles[i].text,
               plan->obstacles[i].hint ? "; hint: " : "",
               plan->obstacles[i].hint ? plan->obstacles[i].hint : "");
    if (plan->n_obstacles == 0)
        return true;
    ph_err_set(err, PH_WRONG, "%s", plan->obstacles[0].text);
    if (plan->obstacles[0].hint)
        ph_err_hint(err, "%s", plan->obstacles[0].hint);
    return false;
}

static uint64_t memory_limit(const struct ph_run *run)
{
    return run->opts->memory ? run->opts->memory : default_memory;
}

static uint64_t memory_of_worker(const struct ph_run *run)
{
    bool files =
        run->opts->spec->route != PH_ROUTE_COPY || run->opts->spill.when == PH_SPILL_ALWAYS;
    return worker_memory + (files ? files_memory : 0);
}

int ph_run_most_workers(const struct ph_run *run)
{
    uint64_t limit = memory_limit(run);
    uint64_t n = limit > base_memory ? (limit - base_memory) / memory_of_worker(run) : 1;
    return n < 1 ? 1 : n < PH_WORKERS_MAX ? (int)n : PH_WORKERS_MAX;
}

static bool check_memory(struct ph_run *run, struct ph_err *err)
{
    int workers = run->plan->jobs;
    uint64_t limit = memory_limit(run);
    uint64_t need = base_memory + (uint64_t)workers * memory_of_worker(run);
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

/* Who insists on a way of input and output is told at once where there is none. */
static bool check_io(const struct ph_run *run, struct ph_err *err)
{
    struct ph_place place = {0};
    ph_place_choose(&place, run->opts->spill.io, false);
    if (place.io == PH_IO_AUTO)
        return true;
    bool ok = ph_place_ready(&place, err);
    ph_place_fini(&place);
    if (!ok) {
        err->code = PH_WRONG;
        ph_err_hint(err, "--io auto takes what there is");
    }
    return ok;
}

bool ph_run_may_begin(struct ph_run *run, struct ph_err *err)
{
    if (!ph_run_refuse(run, run->plan, err))
        return false;
    tell_warnings(run);
    return check_memory(run, err) && ph_run_check_descriptors(run, err) && check_io(run, err);
}

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

/* Whether every number of `wanted` ("1,2,5") is in `list`. */
static bool has_numbers(const char *list, const char *wanted)
{
    char *end;
    for (const char *p = wanted; *p; p = *end ? end + 1 : end) {
        long number = strtol(p, &end, 10), other = 0;
        bool found = false;
        char *next;
        for (const char *q = list; *q && !found; q = *next ? next + 1 : next) {
            other = strtol(q, &next, 10);
            found = other == number;
        }
        if (!found)
            return false;
    }
    return true;
}

/* A job goes on only with the relations that it began with, column for column. */
bool ph_run_same_relations(struct ph_run *run, struct ph_err *err)
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
        if (t->target_oid != p->target_oid)
            return other_relation(t, "the target was made anew: the table", err);
        /* The plan may be older than the TRUNCATE of whoever began the job. Whether the file is still the job's own the
         * server says, to go_on() and whenever a shard lands. */
        if (!p->target_routes)
            ((struct ph_table *)p)->target_filenode = t->target_filenode;
        if (strcmp(t->select_list, p->select_list) != 0 ||
            strcmp(t->target_columns, p->target_columns) != 0 ||
            !has_numbers(p->source_attnums, t->source_attnums))
            return other_relation(t, "the columns have changed: the table", err);
    }
    return true;
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
    return (!run->opts->spec->fk_order ||
            ph_ledger_order(run->target, run->job, run->plan->tables, run->plan->n_tables, err)) &&
           (run->result->joined || (ph_ledger_reopen(run->target, run->job, err) &&
                                    ph_ledger_steps_reopen(run->target, run->job, err))) &&
           ph_ledger_register(run->target, run->job, run->host, (int)getpid(), run->spill.holder,
                              &run->mover, err) &&
           ph_ledger_commit(run->target, err);
}

static const struct ph_past_snapshot *past_snapshots(struct ph_run *run)
{
    const struct ph_archive *archive = run->opts->spec->archive;
    struct ph_past_snapshot *past =
        ph_arena_calloc(run->arena, archive ? (size_t)archive->n_snapshots : 0, sizeof *past);
    for (int i = 0; archive && i < archive->n_snapshots; i++)
        past[i] = (struct ph_past_snapshot){
            .no = archive->snapshots[i].no,
            .id = archive->snapshots[i].id,
            .pg_snapshot = archive->snapshots[i].pg_snapshot,
            .lsn = archive->snapshots[i].lsn,
            .taken_at = archive->snapshots[i].taken_at,
            .oldest = archive->snapshots[i].oldest,
        };
    return past;
}

static bool write_down(struct ph_run *run, const struct ph_snapshot *snapshot, bool again,
                       struct ph_err *err)
{
    const struct ph_plan *plan = run->plan;
    struct ph_ledger_job *other = NULL;
    if (!ph_run_begin_writing(run, err) ||
        !ph_ledger_find(run->target, run->arena, plan->job_name, &other, err))
        return false;
    if (other && !again) {
        run->job = other->id; /* go on with it, if it is not done already */
        return ph_err_set(err, PH_HELD, "job %s was begun by somebody else this very moment",
                          plan->job_name);
    }
    if (other && !ph_ledger_refuse_live(run->target, other->id, plan->job_name, err))
        return false;
    const struct ph_ledger_new what = {
        .name = plan->job_name,
        .set = run->set,
        .tag = run->tag,
        .mode = ph_mode_name(run->opts->spec->mode),
        .fingerprint = plan->fingerprint,
        .definition = plan->definition,
        .source = run->opts->spec->archive
                      ? ph_arena_printf(run->arena, "archive %s", run->opts->archive_dir)
                      : ph_conn_shown(run->source),
        .target = ph_conn_shown(run->target),
        .source_system = plan->source.system_id,
        .source_database = plan->source.database_oid,
        .tables = plan->tables,
        .n_tables = plan->n_tables,
        .shards = plan->shards,
        .lo = (const char *const *)plan->shard_lo,
        .hi = (const char *const *)plan->shard_hi,
        .n_shards = plan->n_shards,
        .nonempty = run->opts->spec->allow_nonempty,
        .steps = &run->steps,
        .replace = run->opts->spec->mode == PH_REPLACE,
        .fk_order = run->opts->spec->fk_order,
        .snapshot = snapshot,
        .past = past_snapshots(run),
        .n_past = run->opts->spec->archive ? run->opts->spec->archive->n_snapshots : 0,
        .host = run->host,
    };
    run->job = other ? other->id : 0;
    return ph_ledger_refuse_rivals(run->target, plan->job_name, plan->tables, plan->n_tables,
                                   err) &&
           ph_check_empty(run->plan, run->target, err) &&
           ph_objects_check(run->plan, run->source, run->target, err) &&
           ph_ledger_create(run->target, &what, &run->job, err) &&
           (!run->creation || ph_creation_adopt(run->target, run->creation->id, run->job, err)) &&
           ph_ledger_register(run->target, run->job, run->host, (int)getpid(), run->spill.holder,
                              &run->mover, err) &&
           ph_ledger_commit(run->target, err);
}

/* Our own TRUNCATE has given the targets new files. */
static bool adopt_emptied(struct ph_run *run, struct ph_err *err)
{
    if (!ph_run_load_tabs(run, err))
        return false;
    for (int i = 0; i < run->n_tabs; i++)
        ((struct ph_table *)planned_table(run->plan, run->tabs[i].source_oid))->target_filenode =
            run->tabs[i].target_filenode;
    return true;
}

/* From an archive: its shards lie in files, and were read under snapshots of the past. */
static bool begin_load(struct ph_run *run, bool again, struct ph_err *err)
{
    if (run->opts->spec->mode == PH_REPLACE && !ph_run_check_files(run, err))
        return ph_run_unchanged(err);
    if (write_down(run, NULL, again, err))
        return run->opts->spec->mode != PH_REPLACE || adopt_emptied(run, err);
    ph_conn_recover(run->target);
    return ph_run_unchanged(err);
}

static bool begin_job(struct ph_run *run, bool again, struct ph_err *err)
{
    struct ph_snapshot snapshot;
    if (!ph_run_plan_steps(run, err))
        return ph_run_unchanged(err);
    if (run->opts->spec->archive)
        return begin_load(run, again, err);
    if (!ph_run_start_keeper(run, &snapshot, err))
        return ph_run_unchanged(err);
    bool ok = ph_snapshot_import(run->source, snapshot.id, snapshot.pg_snapshot, err) &&
              (run->opts->spec->no_rows || ph_plan_cut(run->plan, run->source, err));
    if (ok && run->opts->sample.bytes > 0)
        ph_plan_thin(run->plan, run->opts->sample.bytes, run->opts->sample.least,
                     run->opts->sample.place);
    if (ok) /* the keeper is its own process by now: no fork comes after this */
        ph_run_connect_ahead(run);
    ok = ok && ph_conn_exec(run->source, "ROLLBACK", err) &&
         ph_run_await_flush(run, &snapshot, err) && write_down(run, &snapshot, again, err);
    if (ok) {
        ph_keeper_confirm(&snapshot);
    } else {
        ph_ahead_end(&run->ahead); /* the job may be somebody else's, and want another keeper */
        ph_conn_recover(run->target);
        ph_run_unchanged(err);
    }
    ph_snapshot_fini(&snapshot);
    return ok && (run->opts->spec->mode != PH_REPLACE || adopt_emptied(run, err));
}

/* Whether the snapshot in force can still be had; otherwise recovers. */
static bool have_snapshot(struct ph_run *run, struct ph_err *err)
{
    if (!ph_ledger_snapshot(run->target, run->arena, run->job, &run->snapshot, err))
        return false;
    if (!run->snapshot)
        return ph_err_set(err, PH_FAILED, "the ledger has no snapshot for the job");
    if (ph_run_is_read(run))
        return true; /* nothing is left for which the source would be needed */
    if (ph_snapshot_import(run->source, run->snapshot->id, run->snapshot->pg_snapshot, err))
        return ph_conn_exec(run->source, "ROLLBACK", err);
    return err->code == PH_SNAPSHOT_GONE && ph_run_recover(run, err);
}

/* Files of ours that the ledger has not heard of, since we died or it was out of reach; and those that are lost. */
static bool adopt_files(struct ph_run *run, struct ph_err *err)
{
    int64_t forgotten = 0;
    if (run->opts->spec->archive)
        return true;
    if (!ph_spill_adopt(&run->spill, run->target, run->job, run->mover, err) ||
        !ph_spill_forget_missing(&run->spill, run->target, run->job, NULL, err) ||
        (run->opts->forget_spill &&
         !ph_ledger_forget_spill(run->target, run->job, run->spill.holder, &forgotten, err)))
        return false;
    if (forgotten > 0)
        ph_log(run->opts->log, PH_LOG_WARN,
               "%" PRId64 " shards that were spilled elsewhere are read from the source again",
               forgotten);
    return ph_run_load_tabs(run, err);
}

static bool go_on(struct ph_run *run, struct ph_err *err)
{
    int64_t lost = 0;
    if (!take_hold(run, err) || !ph_run_load_tabs(run, err) || !ph_run_reopen_lost(run, &lost, err))
        return false;
    if (lost > 0)
        ph_log(
            run->opts->log, PH_LOG_WARN,
            "%" PRId64
            " shards of unlogged tables vanished with a crash of the target and are copied again",
            lost);
    if (!ph_run_load_tabs(run, err) || !ph_run_same_relations(run, err))
        return false;
    int other = 0;
    if (!ph_ledger_other_target(run->target, run->job, &other, err))
        return false;
    if (other)
        return other_relation(&run->tabs[other - 1],
                              "the target was truncated, rewritten or made anew: the table", err);
    adopt_cut(run);
    return adopt_files(run, err) && have_snapshot(run, err);
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
    if (!ph_run_load_tabs(run, err))
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

/* A round that goes on has its set, and its files; a new one has neither. */
static bool know_files(struct ph_run *run, const char *set, struct ph_err *err)
{
    run->set = run->opts->spec->archive ? run->opts->spec->archive->set
               : set                    ? set
                                        : ph_run_new_set(run);
    return ph_spill_init(&run->spill, &run->opts->spill, run->host, run->plan->job_name, run->tag,
                         run->set, run->opts->log, err);
}

/* --spill always cannot do without it, so it is known to be good before anything is changed. */
static bool make_directory(struct ph_run *run, struct ph_err *err)
{
    bool open = false;
    return run->opts->spill.when != PH_SPILL_ALWAYS || run->opts->spec->archive ||
           ph_spill_open(&run->spill, true, &open, err) || err->code == PH_NO_ROOM;
}

/* Somebody else began the job while we were planning it, and may have completed it since. */
static bool go_on_with_others(struct ph_run *run, bool *done, struct ph_err *err)
{
    struct ph_ledger_job *job = NULL;
    if (!ph_ledger_find(run->target, run->arena, run->plan->job_name, &job, err))
        return false;
    if (job && !same_definition(run, job, err))
        return false;
    *done = job && job->completed;
    return *done || go_on(run, err);
}

/* What --create has made holds the rows already. */
static bool refuse_to_create_again(const struct ph_run *run, struct ph_err *err)
{
    ph_err_set(err, PH_WRONG,
               "job %s has made its tables and filled them: --create cannot do it again",
               run->plan->job_name);
    return ph_err_hint(
        err,
        "leave out --create: --mode replace empties the tables and loads them anew, "
        "--mode upsert brings them up to date; or, to make all of it anew, drop it in "
        "the target and pghaul clean %s first",
        run->plan->job_name);
}

bool ph_run_begin(struct ph_run *run, bool *done, struct ph_err *err)
{
    bool present = false;
    struct ph_ledger_job *job = NULL;
    *done = false;
    if (!ph_ledger_present(run->target, &present, err) ||
        (present && !ph_ledger_find(run->target, run->arena, run->plan->job_name, &job, err)))
        return ph_run_unchanged(err);
    ph_tag_of_job(run->plan->job_name, run->plan->target.system_id, run->plan->target.database_oid,
                  run->tag);
    /* the control connections bear the job's tag from now on: the keeper looks for it */
    struct ph_buf sql = {0};
    ph_buf_addf(&sql, "SET application_name = 'pghaul/%s/main'", run->tag);
    bool ok = (!run->source || ph_conn_exec(run->source, sql.data, err)) &&
              ph_conn_exec(run->target, sql.data, err);
    ph_buf_fini(&sql);
    bool anew = !job || (job->completed && run->opts->again);
    if (!ok || !know_files(run, anew ? NULL : job->set, err))
        return false;
    if (job && !same_definition(run, job, err))
        return false;
    if (job && job->completed) {
        bool complete = true;
        run->job = job->id;
        if (!still_complete(run, &complete, err))
            return false;
        if (!run->opts->spec
                 ->archive) { /* of a mover that died between the end of the job and this */
            ph_run_end_keeper(run);
            ph_spill_end(&run->spill);
        }
        if (complete && !run->opts->again) {
            *done = true;
            return true;
        }
        if (complete && run->opts->spec->create)
            return refuse_to_create_again(run, err);
        if (complete)
            return ph_run_may_begin(run, err) && make_directory(run, err) &&
                   begin_job(run, true, err);
        if (!ph_ledger_uncomplete(run->target, run->job, err))
            return false;
    }
    if (!ph_run_may_begin(run, err) || !make_directory(run, err))
        return false;
    if (!job)
        return begin_job(run, false, err) || (err->code == PH_HELD && !run->mover && run->job &&
                                              go_on_with_others(run, done, err));
    run->job = job->id;
    return go_on(run, err);
}
