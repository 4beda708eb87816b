/* The phases of a run: the crew works until nothing is left, it is told to stop, or the snapshot is
 * gone; after a recovery there is another phase.
 */
#include <stdlib.h>

#include "haul/progress.h"
#include "haul/run.h"

bool ph_run_prepare(struct ph_run *run, struct ph_err *err)
{
    int open_shards = 0;
    if (!ph_run_load_tabs(run, err) || !ph_run_same_relations(run, err))
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
        .fire_triggers = run->opts->spec->triggers == PH_TRIGGERS_FIRE,
        .skip_triggers = run->opts->spec->triggers == PH_TRIGGERS_SKIP,
        .workers = workers,
        .max_outage_s = run->opts->max_outage_s > 0 ? run->opts->max_outage_s : PH_OUTAGE_S,
        .log = run->opts->log,
        .interrupt = run->opts->interrupt,
        .gate = &run->gate,
    };
    return ph_crew_init(&run->crew, &opts, err);
}

/* Tells the crew how far the tables are: at the beginning, and after a recovery has changed it. */
bool ph_run_brief(struct ph_run *run, struct ph_err *err)
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
    crew->pg_snapshot = run->snapshot->pg_snapshot;
    crew->snapshot_no = run->snapshot->no;
    return true;
}

static bool run_phase(struct ph_run *run, struct ph_err *err)
{
    struct ph_crew *crew = &run->crew;
    if (!ph_run_brief(run, err))
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

/* A crash of the target may have taken back what had landed: then there is another phase. */
static bool nothing_planned(const struct ph_run *run)
{
    for (int i = 0; i < run->n_tabs; i++)
        if (run->tabs[i].landed + run->tabs[i].parked < run->tabs[i].shards)
            return false;
    return true;
}

bool ph_run_phases(struct ph_run *run, struct ph_err *err)
{
    for (;;) {
        int64_t lost = 0;
        if (!run_phase(run, err))
            return false;
        if (atomic_load(&run->crew.snapshot_gone)) {
            run->phase = "recovering";
            if (!ph_run_reach(run, false, err) || !ph_run_load_tabs(run, err) ||
                !ph_run_recover(run, err))
                return false;
        } else if (!ph_run_reach(run, false, err) || !ph_run_reopen_lost(run, &lost, err)) {
            return false;
        }
        if (!ph_run_load_tabs(run, err))
            return false;
        if (!atomic_load(&run->crew.snapshot_gone) && lost == 0 && nothing_planned(run))
            return true;
    }
}
