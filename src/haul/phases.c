/* The phases of a run: the crew works until nothing is left, it is told to stop, or the snapshot is
 * gone; after a recovery there is another phase.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "haul/progress.h"
#include "haul/run.h"

/* So many workers that both sides can have theirs; no more than there is work. */
static int count_workers(const struct ph_run *run, int open_shards)
{
    const struct ph_job_opts *opts = run->opts;
    int n = run->plan->jobs, s = opts->source_jobs, t = opts->target_jobs;
    if (s && t)
        n = opts->spill.when == PH_SPILL_ALWAYS ? s + t : s > t ? s : t;
    else if (s || t)
        n = s + t > n ? s + t : n;
    n = n < open_shards ? n : open_shards;
    return n > 0 ? n : 1;
}

/* Not so many that others find no connection, and no more than there is work for: --jobs auto tries. */
static int climbs_to(const struct ph_run *run, int workers, int open_shards)
{
    int most = ph_run_most_workers(run), n = run->plan->most_jobs / 2;
    n = n < most ? n : most;
    n = n < open_shards ? n : open_shards;
    return !run->opts->climbs ? 0 : n > workers ? n : workers;
}

void ph_run_crew_opts(struct ph_run *run, int open_shards, struct ph_crew_opts *out)
{
    const struct ph_job_opts *opts = run->opts;
    int workers = count_workers(run, open_shards);
    run->result->workers = workers;
    *out = (struct ph_crew_opts){
        .source = opts->source,
        .target = opts->target,
        .encoding = run->encoding,
        .source_encoding = opts->spec->source_encoding,
        .target_encoding = opts->spec->route == PH_ROUTE_EXTRACT ? run->plan->source.encoding
                                                                 : run->plan->target.encoding,
        .max_rejects = opts->max_rejects,
        .tag = run->tag,
        .job = run->job,
        .mover = run->mover,
        .mode = opts->spec->mode,
        .fire_triggers = opts->spec->triggers == PH_TRIGGERS_FIRE,
        .skip_triggers = opts->spec->triggers == PH_TRIGGERS_SKIP,
        .workers = workers,
        .source_jobs = opts->source_jobs ? opts->source_jobs : PH_WORKERS_MAX,
        .target_jobs = opts->target_jobs ? opts->target_jobs : PH_WORKERS_MAX,
        .ahead = &run->ahead,
        .build = &run->build,
        .throttle = &run->throttle,
        .control = &run->control,
        .guards = &run->guards,
        .most_workers = ph_run_most_workers(run),
        .climbs_to = climbs_to(run, workers, open_shards),
        .let_go = ph_run_let_go,
        .let_go_arg = run,
        .max_outage_s = opts->max_outage_s > 0 ? opts->max_outage_s : PH_OUTAGE_S,
        .log = opts->log,
        .interrupt = opts->interrupt,
        .gate = &run->gate,
    };
}

/* What the job has to do with files: an archive that it loads, or a directory that it may spill to. */
static void add_files(struct ph_run *run, struct ph_crew_opts *opts)
{
    if (run->opts->spec->archive) {
        opts->load = true;
        opts->archive = run->opts->spec->archive;
        opts->place = run->place;
        return; /* the directory was opened when the run began */
    }
    /* who spills nothing still loads what others, or earlier runs, have left where it can read */
    if (run->spill.path)
        opts->spill = &run->spill;
}

/* What the crew knows by heart, anew for each phase: a recovery may have changed which shards there are. The ledger hears first of
 * what lies in files that only the old roster knew. */
static bool renew_roster(struct ph_run *run, struct ph_err *err)
{
    if (!run->crew.opts.spill)
        return true;
    bool ok = !run->roster ||
              ph_spill_note(&run->spill, run->roster, run->target, run->job, run->mover, err);
    ph_roster_free(run->roster);
    run->roster = NULL;
    ok = ok && ph_ledger_roster(run->target, run->job, &run->roster, err) &&
         ph_spill_recheck(&run->spill, run->roster, run->target, run->job, err);
    run->crew.opts.roster = run->roster;
    return ok;
}

bool ph_run_prepare(struct ph_run *run, struct ph_err *err)
{
    int open_shards = 0;
    struct ph_crew_opts opts;
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
    ph_run_crew_opts(run, open_shards, &opts);
    add_files(run, &opts);
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
        atomic_store(&c->weight_spilled, t->weight_spilled);
    }
    crew->snapshot = run->snapshot->id;
    crew->pg_snapshot = run->snapshot->pg_snapshot;
    crew->lsn = run->snapshot->lsn;
    crew->snapshot_no = run->snapshot->no;
    return true;
}

/* What is left lies in files of a host where nobody works. */
static bool stranded(struct ph_run *run, struct ph_err *err)
{
    const char *holder = NULL;
    long long n = (long long)atomic_load(&run->crew.stranded);
    if (!ph_run_reach(run, false, err) ||
        !ph_ledger_stranded(run->target, run->arena, run->job, &holder, err))
        return false;
    ph_err_set(err, PH_FAILED, "%lld shards are spilled in %s, where no mover works", n,
               holder ? holder : "a directory that is not here");
    return ph_err_hint(err, "run the same command there; or, if the files are lost, here with"
                            " --forget-spill: the shards are read from the source again");
}

static bool run_phase(struct ph_run *run, struct ph_err *err)
{
    struct ph_crew *crew = &run->crew;
    if (!renew_roster(run, err) || !ph_run_brief(run, err))
        return false;
    run->phase = "copying";
    ph_conn_set_interrupt(run->target, run->opts->interrupt, 2);
    /* what was to be kept, and who else shares the rates, is known before anybody works */
    struct ph_err ignored; /* the pulse tries again */
    if (run->control.heard < 0)
        ph_control_exchange(&run->control, run->target, run->job, run->mover, &ignored);
    if (!ph_run_count_steps(run, err) || !ph_crew_start(crew, &run->target, err))
        return false;
    if (!ph_run_start_builders(run, err))
        ph_crew_fail(crew, err);
    double begin_s = ph_clock_s();
    ph_progress_watch(run);
    ph_build_join(&run->build);
    ph_crew_join(crew);
    ph_run_passed(run, "copying", begin_s);
    if (crew->has_fatal) {
        *err = crew->fatal;
        return false;
    }
    if (ph_interrupt_at(run->opts->interrupt, 1))
        return ph_err_set(err, PH_INTERRUPTED, "interrupted; the job can go on");
    return !atomic_load(&crew->stranded) || stranded(run, err);
}

/* A crash of the target may have taken back what had landed: then there is another phase. What waits for parked shards
 * waits for another run. */
static bool nothing_planned(const struct ph_run *run)
{
    int parked = 0, planned = 0, waiting = 0;
    for (int i = 0; i < run->n_tabs; i++) {
        const struct ph_ledger_tab *t = &run->tabs[i];
        parked += t->parked;
        planned += t->shards - t->landed - t->parked;
        waiting += t->waiting;
    }
    return planned == 0 || (parked > 0 && planned == waiting);
}

/* Shards of an upsert that are parked because another row has a unique value of theirs: it may have had it only until that row's
 * shard landed. So they are tried again, for as long as anything lands. */
static bool reopen_crossed(struct ph_run *run, uint64_t landed, bool *again, struct ph_err *err)
{
    struct ph_crew *crew = &run->crew;
    *again = atomic_load(&crew->crossed) > 0 && atomic_load(&crew->run_shards) > landed;
    if (*again)
        ph_run_event(run, PH_LOG_INFO, "crossed",
                     "shards that met unique values of other rows are tried again");
    return !*again || ph_ledger_reopen(run->target, run->job, err);
}

bool ph_run_phases(struct ph_run *run, struct ph_err *err)
{
    for (;;) {
        int64_t lost = 0;
        bool again = false;
        uint64_t landed = atomic_load(&run->crew.run_shards);
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
        if (!reopen_crossed(run, landed, &again, err) || !ph_run_load_tabs(run, err))
            return false;
        if (!atomic_load(&run->crew.snapshot_gone) && lost == 0 && nothing_planned(run))
            return true;
    }
}
