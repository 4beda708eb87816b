/* What is left when every shard has landed: the mark and the barrier, the result. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "haul/limit.h"
#include "haul/run.h"
#include "ledger/reject.h"
#include "pg/sql.h"

bool ph_run_finish(struct ph_run *run, struct ph_err *err)
{
    bool completed = false;
    run->phase = "finishing";
    if (!ph_run_load_tabs(run, err))
        return false;
    for (int i = 0; i < run->n_tabs; i++)
        run->result->parked += run->tabs[i].parked;
    if (run->result->parked > 0)
        return true; /* the caller reads their errors */
    bool sequences = run->opts->spec->sequences || run->opts->spec->create;
    if (ph_run_is_whole(run) && !ph_run_steps_done(run, err))
        return false;
    if (ph_run_is_whole(run) && sequences && !ph_run_set_sequences(run, err))
        return false;
    if (!ph_ledger_complete(run->target, run->job, run->mover, &completed, err))
        return false;
    if (PH_FAULT("job.completed"))
        return ph_err_set(err, PH_FAILED, "fault point job.completed");
    if (!completed)
        return ph_err_set(err, PH_FAILED, "shards are left that nobody works on");
    if (run->opts->spec->route == PH_ROUTE_LOAD)
        return true;
    ph_run_end_keeper(run);
    ph_spill_end(&run->spill); /* that was the barrier: what is in its files is safe elsewhere */
    return true;
}

static bool fill_rejects(struct ph_run *run, struct ph_err *err)
{
    struct ph_job_result *result = run->result;
    struct ph_ledger_rejected *rejected = NULL;
    int n = 0;
    const char *encoding = run->opts->spec->source_encoding ? run->opts->spec->source_encoding
                                                            : run->plan->source.encoding;
    bool ok =
        ph_ledger_rejected(run->target, run->job, &rejected, &n, err) &&
        (n == 0 || ph_ledger_reject_script(run->target, run->job, encoding, &result->rejects, err));
    for (int i = 0; ok && i < n; i++) {
        result->rejected += rejected[i].rows;
        if (rejected[i].tab <= result->n_tables)
            result->tables[rejected[i].tab - 1].rejected = rejected[i].rows;
    }
    free(rejected);
    return ok;
}

/* Nothing is wrong with them, but whoever reads them is told by an error. */
static bool find_unfilled(struct ph_run *run, struct ph_err *err)
{
    struct ph_job_result *result = run->result;
    struct ph_rows *rows = NULL;
    if (!result->created || !strstr(result->created, "materialized views"))
        return true;
    if (!ph_conn_query(run->target,
                       "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
                       " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=)"
                       " c.relnamespace WHERE c.relkind OPERATOR(pg_catalog.=) 'm'"
                       " AND NOT c.relispopulated ORDER BY 1, 2",
                       &rows, err))
        return false;
    const char **names =
        ph_arena_calloc(run->arena, (size_t)ph_rows_count(rows) + 1, sizeof *names);
    for (int i = 0; i < ph_rows_count(rows); i++)
        names[i] = ph_arena_strdup(run->arena, ph_plan_name(run->plan, ph_rows_text(rows, i, 0),
                                                            ph_rows_text(rows, i, 1)));
    result->unfilled = names;
    result->n_unfilled = ph_rows_count(rows);
    ph_rows_free(rows);
    return true;
}

/* What the result says, from the ledger: the job's totals, whoever moved them. */
bool ph_run_fill_result(struct ph_run *run, struct ph_err *err)
{
    struct ph_job_result *result = run->result;
    struct ph_ledger_snapshot *snapshot = NULL;
    struct ph_ledger_parked *parked = NULL;
    if (!ph_run_load_tabs(run, err) ||
        !ph_ledger_snapshot(run->target, run->arena, run->job, &snapshot, err) ||
        !ph_run_count_steps(run, err) ||
        !ph_ledger_parked(run->target, run->arena, run->job, 20, &parked, &result->n_parked_shards,
                          err))
        return false;
    result->steps_done = run->counts.done;
    result->steps_failed = run->counts.failed;
    result->steps = run->counts.planned + run->counts.done + run->counts.failed;
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
            .landed = t->landed,
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
    return fill_rejects(run, err) && find_unfilled(run, err);
}

void ph_run_add_figures(struct ph_run *run)
{
    struct ph_job_result *result = run->result;
    struct ph_crew *crew = &run->crew;
    struct ph_limit_shares shares;
    uint64_t ns[PH_N_STAGES] = {0};
    char busy[64] = "", words[160];
    result->run_rows = atomic_load(&crew->run_rows);
    result->run_bytes = atomic_load(&crew->run_bytes);
    result->retries = atomic_load(&crew->retries);
    result->spilled_bytes = atomic_load(&run->spill.written);
    for (int i = 0; i < PH_N_HOLDS; i++) {
        result->throttled_by_s[i] = (double)atomic_load(&run->throttle.slept_ns[i]) / 1e9;
        result->throttled_s += result->throttled_by_s[i];
    }
    for (int i = 0; crew->workers && i < atomic_load(&crew->hired); i++)
        ph_hop_stages(&crew->workers[i].gauge, 0, ns);
    for (int i = 0; i < PH_N_STAGES; i++)
        result->stages[i] = (double)ns[i] / 1e9;
    ph_limit_shares(result->stages, crew->opts.extract, crew->opts.load, &shares);
    result->source_share = shares.source;
    result->target_share = shares.target;
    result->self_share = shares.self;
    if (crew->sight)
        ph_sight_busy(crew->sight, busy, sizeof busy);
    ph_limit_words(result->stages, busy, words, sizeof words);
    result->limit = ph_arena_strdup(run->arena, words);
    uint64_t idle = atomic_load(&crew->first_idle_ns), last = atomic_load(&crew->last_landed_ns);
    uint64_t first = atomic_load(&run->build.first_ns), built = atomic_load(&run->build.last_ns);
    result->index_s = first && built > first ? (double)(built - first) / 1e9 : 0;
    result->tail_s = idle && last > idle ? (double)(last - idle) / 1e9 : 0;
}

bool ph_run_parked(struct ph_run *run, struct ph_err *err)
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
