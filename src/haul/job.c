/* A job from beginning to end.
 *
 *     connect ─► plan ─► find the job in the ledger ─┬─ none: keeper, cut, write it down ─┐
 *                                                    ├─ open: same relations? snapshot?  ─┼─► phases ─► finish
 *                                                    └─ completed: nothing to do          ┘
 *     phase:     crew at work until nothing is left, told to stop, or the snapshot is gone ─► recover ─► phase
 */
#include "haul/job.h"

#include <stdio.h>

#include "base/clock.h"
#include "haul/archive.h"
#include "haul/run.h"

/* At the beginning a server that cannot be reached is the environment's fault (exit 2), unless it
 * is just starting: then it is worth waiting for. */
static bool first_connect(struct ph_run *run, bool source, struct ph_err *err)
{
    double until =
        ph_clock_s() + (run->opts->max_outage_s > 0 ? run->opts->max_outage_s : PH_OUTAGE_S);
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

/* The source speaks the target's encoding; without a target, its own; and the target of an archive speaks the archive's. ahead:
 * where there is no ledger, it is being made from now on. */
static bool connect_both(struct ph_run *run, bool ahead, struct ph_err *err)
{
    if (run->opts->spec->route == PH_ROUTE_EXTRACT) {
        if (!first_connect(run, true, err))
            return false;
        snprintf(run->encoding, sizeof run->encoding, "%s", ph_conn_server_encoding(run->source));
        return true;
    }
    if (run->opts->spec->route == PH_ROUTE_LOAD) {
        const char *said = run->opts->spec->source_encoding;
        snprintf(run->encoding, sizeof run->encoding, "%s",
                 said ? said : run->opts->spec->archive->encoding);
        return first_connect(run, false, err) && (!ahead || ph_run_install_ahead(run, err));
    }
    if (run->opts->spec->source_encoding)
        snprintf(run->encoding, sizeof run->encoding, "%s", run->opts->spec->source_encoding);
    if (!first_connect(run, false, err)) {
        if (run->opts->spec->create && err->code == PH_WRONG)
            ph_err_hint(err, "--create makes what is in a database, and not the database itself:"
                             " createdb does; check the rest with psql");
        return false;
    }
    if (!*run->encoding)
        snprintf(run->encoding, sizeof run->encoding, "%s", ph_conn_server_encoding(run->target));
    return (!ahead || ph_run_install_ahead(run, err)) && first_connect(run, true, err);
}

bool ph_run_plan(struct ph_run *run, struct ph_err *err)
{
    const struct ph_job_spec *spec = run->opts->spec;
    bool creates = spec->create && spec->route != PH_ROUTE_EXTRACT;
    /* what creates needs the ledger before */
    if ((creates && spec->archive && !ph_create_open(run, err)) ||
        !connect_both(run, !creates, err))
        return false;
    return (!creates || ph_create_schema(run, err)) &&
           ((ph_plan_make(&run->plan, spec, run->source, run->target, err) &&
             (!spec->archive || ph_plan_adopt_shards(run->plan, spec->archive, err))) ||
            ph_run_unchanged(err));
}

/* What copy would refuse a new job for stands in the plan. */
static bool add_emptiness(struct ph_run *run, struct ph_err *err)
{
    struct ph_plan *plan = run->plan;
    struct ph_ledger_job *job = NULL;
    struct ph_err full;
    bool present = false;
    if (!run->target || plan->spec->to_be_made)
        return true;
    if (!ph_ledger_present(run->target, &present, err) ||
        (present && !ph_ledger_find(run->target, &plan->arena, plan->job_name, &job, err)))
        return false;
    if ((job && !run->opts->again) || (ph_check_empty(plan, run->target, &full) &&
                                       ph_objects_check(plan, run->source, run->target, &full)))
        return true;
    if (full.code != PH_WRONG) {
        *err = full;
        return false;
    }
    ph_plan_obstacle(plan, full.text, full.hint);
    return true;
}

/* Tables that --create will make are planned as if they were there. */
static bool plan_only(struct ph_run *run, struct ph_err *err)
{
    const struct ph_job_spec *spec = run->opts->spec;
    const char *counts = NULL;
    bool creates = spec->create && spec->route != PH_ROUTE_EXTRACT;
    if ((creates && spec->archive &&
         !(ph_run_open_archive(run, PH_DIR_EXISTS, err) && ph_create_open(run, err))) ||
        !connect_both(run, false, err) ||
        (creates && !ph_create_plan(run, &run->plan, &counts, err)) ||
        (!run->plan && !ph_plan_make(&run->plan, spec, run->source, run->target, err)) ||
        (spec->archive && !ph_plan_adopt_shards(run->plan, spec->archive, err)))
        return ph_run_unchanged(err);
    run->plan->creates = ph_arena_strdup(&run->plan->arena, counts);
    return true;
}

bool ph_job_plan(const struct ph_job_opts *opts, struct ph_plan **plan, struct ph_err *err)
{
    struct ph_job_result ignored = {0};
    struct ph_run run = {.opts = opts,
                         .result = &ignored,
                         .arena = &ignored.arena,
                         .archive_dir = {.fd = -1, .lock = -1},
                         .phase = "planning"};
    bool ok = plan_only(&run, err);
    /* a snapshot of our own, for the bounds only */
    ok = ok &&
         (((!run.source || opts->spec->no_rows ||
            (ph_conn_exec(run.source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) &&
             ph_plan_cut(run.plan, run.source, err))) &&
           add_emptiness(&run, err)) ||
          ph_run_unchanged(err));
    ph_conn_close(run.source);
    ph_conn_close(run.target);
    ph_testimony_free(run.answers);
    ph_dir_close(&run.archive_dir);
    ph_arena_fini(&ignored.arena);
    if (ok)
        run.plan->spec = opts->spec; /* and not what --create made of it */
    if (!ok) {
        ph_plan_free(run.plan);
        run.plan = NULL;
    }
    *plan = run.plan;
    return ok;
}

void ph_run_name(struct ph_run *run)
{
    run->result->job = ph_arena_strdup(run->arena, run->plan->job_name);
    ph_log_set_job(run->opts->log, run->result->job);
}

static bool work(struct ph_run *run, struct ph_err *err)
{
    bool ok = ph_run_prepare(run, err) && ph_run_count_steps(run, err);
    if (ok && (!ph_run_is_whole(run) || run->counts.planned > 0)) {
        ph_run_begin_control(run);
        ph_run_remember_facts(run);
        ph_sight_event(&run->crew, PH_LOG_INFO, "started", 0, 0, "job %s: %d worker%s",
                       run->result->job, run->result->workers,
                       run->result->workers == 1 ? "" : "s");
        ok = ph_run_phases(run, err);
    } else if (ok) {
        ok = ph_run_brief(run, err);
    }
    double begin_s = ph_clock_s();
    ok = ok && ph_run_finish(run, err);
    ph_run_passed(run, "finishing", begin_s);
    return ok;
}

bool ph_job_copy(const struct ph_job_opts *given, struct ph_job_result *result, struct ph_err *err)
{
    struct ph_job_opts opts = *given;
    if (opts.keep_snapshot_s <= 0)
        opts.keep_snapshot_s = PH_KEEP_S;
    *result = (struct ph_job_result){.state = "failed"};
    struct ph_run run;
    bool done = false, filled = false;
    const struct ph_job_spec *spec = opts.spec;
    double begin_s = ph_clock_s();
    ph_run_init(&run, &opts, result);
    bool ok = ph_run_know_guards(&run, err) &&
              (spec->route != PH_ROUTE_LOAD || ph_run_open_archive(&run, PH_DIR_EXISTS, err)) &&
              ph_run_plan(&run, err);
    if (ok)
        ph_run_name(&run);
    ph_run_passed(&run, "planning", begin_s + (run.n_passed ? run.passed[0].seconds : 0));
    begin_s = ph_clock_s();
    ok = ok && ph_run_begin(&run, &done, err);
    ph_run_passed(&run, "beginning", begin_s);
    result->was_complete = done;
    if (ok && !done)
        ok = work(&run, err);
    if (run.mover)
        ph_run_add_figures(&run);
    if (!ok && run.mover)
        ph_run_leave(&run, err);
    if (run.job && run.target && ph_conn_ok(run.target)) {
        struct ph_err ignored;
        ph_conn_set_interrupt(run.target, NULL, 2);
        filled = ph_conn_recover(run.target) && ph_run_fill_result(&run, ok ? err : &ignored);
        ok = ok && filled;
    }
    if (ok && result->parked > 0) {
        ok = ph_run_parked(&run, err);
        ph_run_leave(&run, err);
    }
    if (done && filled)
        result->shards_resumed = result->shards;
    if (!ok && !run.mover && ph_interrupt_at(opts.interrupt, 1))
        ph_err_set(err, PH_INTERRUPTED,
                   run.creation ? "interrupted while the schema was made; the same command goes on"
                                : "interrupted before the job began; nothing was changed");
    if (run.mover && !done)
        ph_run_remember_end(&run, ok, err);
    result->state = ok ? "completed" : err->code == PH_INTERRUPTED ? "pending" : "failed";
    ph_run_fini(&run);
    return ok;
}

void ph_job_result_free(struct ph_job_result *result)
{
    ph_buf_fini(&result->rejects);
    ph_arena_fini(&result->arena);
}
