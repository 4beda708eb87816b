/* The ledger is made while the job is planned.
 *
 * To make some forty relations and functions takes the target longer than to plan a table takes both servers, and neither
 * needs the other. So where there is no ledger yet, the first connection to the target begins at once the transaction that
 * writes the job down, and makes the ledger in it; the run plans by a second one. The first becomes the control connection
 * once the job is planned. If nothing comes of the job, it is closed, and nothing was changed.
 */
#include "haul/run.h"

bool ph_run_install_ahead(struct ph_run *run, struct ph_err *err)
{
    struct ph_err ignored;
    if (!ph_ledger_begin_ahead(run->target))
        return ph_run_connect(run, false, err);
    run->installer = run->target;
    run->target = NULL;
    if (ph_run_connect(run, false, &ignored))
        return true;
    /* there is no second connection to be had: one does both, in turn */
    bool usable = ph_conn_recover(run->installer);
    if (usable)
        run->target = run->installer, run->installer = NULL;
    else
        ph_run_install_drop(run);
    return ph_run_connect(run, false, err);
}

void ph_run_install_drop(struct ph_run *run)
{
    if (run->installer)
        ph_conn_recover(run->installer); /* or the server would go on with it for a moment */
    ph_conn_close(run->installer);
    run->installer = NULL;
}

/* Where the user has said how many may be at a server, the workers see to it who connects. */
void ph_run_connect_ahead(struct ph_run *run)
{
    const struct ph_job_opts *opts = run->opts;
    const struct ph_plan *plan = run->plan;
    if (opts->spec->route != PH_ROUTE_COPY || opts->source_jobs || opts->target_jobs)
        return;
    ph_ahead_begin(&run->ahead,
                   &(struct ph_ahead_opts){
                       .source = opts->source,
                       .target = opts->target,
                       .encoding = run->encoding,
                       .tag = run->tag,
                       .workers = plan->jobs < plan->n_shards ? plan->jobs : plan->n_shards,
                       .interrupt = opts->interrupt,
                   },
                   run->installer != NULL);
}

bool ph_run_begin_writing(struct ph_run *run, struct ph_err *err)
{
    if (run->installer)
        ph_run_ask_settings(run); /* the target is at it still */
    if (run->installer && ph_ledger_await_begin(run->installer, run->tag, err)) {
        ph_ahead_spare(&run->ahead, run->target);
        run->target = run->installer;
        run->installer = NULL;
        return true;
    }
    ph_run_install_drop(run); /* somebody else was faster, or it may not be: */
    return ph_ledger_begin(run->target, true, err);
}
