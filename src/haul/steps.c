/* What a new job has to do besides rows. */
#include "haul/run.h"

bool ph_run_plan_steps(struct ph_run *run, struct ph_err *err)
{
    run->steps = (struct ph_steps){.arena = run->arena};
    run->cover = (struct ph_index_cover){.arena = run->arena};
    const struct ph_witness source = ph_run_witness(run);
    if (run->creation)
        return ph_index_plan(run->plan, &source, run->target, &run->steps, &run->cover, err) &&
               ph_create_steps(run, err);
    return !run->opts->spec->defer_indexes ||
           ph_index_defer(run->plan, run->target, &run->steps, err);
}

bool ph_run_count_steps(struct ph_run *run, struct ph_err *err)
{
    return ph_ledger_steps_count(run->target, run->job, &run->counts, err);
}

bool ph_run_start_builders(struct ph_run *run, struct ph_err *err)
{
    const struct ph_job_opts *opts = run->opts;
    return ph_build_start(&run->build,
                          &(struct ph_build_opts){
                              .target = opts->target,
                              .encoding = run->encoding,
                              .tag = run->tag,
                              .job = run->job,
                              .mover = run->mover,
                              .jobs = run->plan->builders,
                              .memory = opts->index_memory,
                              .max_outage_s = run->crew.opts.max_outage_s,
                              .throttle = &run->throttle,
                              .log = opts->log,
                          },
                          &run->crew, &run->counts, err);
}

bool ph_run_steps_done(struct ph_run *run, struct ph_err *err)
{
    struct ph_step_failed *failed = NULL;
    int n = 0;
    if (!ph_run_count_steps(run, err) ||
        !ph_ledger_steps_failed(run->target, run->arena, run->job, 1, &failed, &n, err))
        return false;
    if (n == 0 && run->counts.planned == 0)
        return true;
    if (n == 0)
        return ph_err_set(err, PH_FAILED, "%d steps are left that nobody works on",
                          run->counts.planned);
    ph_err_set(err, PH_FAILED, "%s: %s", failed->object, failed->error);
    if (run->counts.failed > 1)
        ph_err_prefix(err, "%d steps have failed; the first is %s", run->counts.failed,
                      failed->kind);
    return ph_err_hint(err,
                       "mend the cause and run the same command again: it goes on with what is "
                       "left");
}
