/* What is left when every shard has landed: sequences, the mark and the barrier, the result. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "haul/limit.h"
#include "haul/run.h"
#include "ledger/reject.h"
#include "pg/sql.h"

/* Sequences are not part of any snapshot, so they are read now, and set ahead of both the source's
 * present value and what was copied. What an archive knows of its source's was set before. An ascending one never goes back; a descending one never
 * forth. */
static bool set_one(struct ph_run *run, const struct ph_table *t, const char *column,
                    const char *target_sequence, const char *source_sequence, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool ok = true;
    if (source_sequence) {
        ph_sql_add(&sql, "SELECT last_value, is_called FROM %s", source_sequence);
        ok = ph_conn_query(run->source, sql.data, &rows, err);
        ph_buf_clear(&sql);
    }
    if (ok) {
        const char *value = rows ? ph_rows_text(rows, 0, 0) : "NULL";
        bool called = rows && ph_rows_bool(rows, 0, 1);
        ph_sql_add(&sql,
                   "SELECT pg_catalog.setval(%L::pg_catalog.regclass, v.v, v.called) FROM ("
                   "SELECT CASE WHEN p.seqincrement OPERATOR(pg_catalog.>) 0"
                   " THEN greatest(%s::pg_catalog.int8, m.hi, s.last_value)"
                   " ELSE least(%s::pg_catalog.int8, m.lo, s.last_value) END AS v,"
                   " %s OR s.is_called OR m.hi IS NOT NULL AS called"
                   " FROM %s s, pg_catalog.pg_sequence p,"
                   " (SELECT pg_catalog.max(%I)::pg_catalog.int8 AS hi,"
                   " pg_catalog.min(%I)::pg_catalog.int8 AS lo FROM %I.%I) m"
                   " WHERE p.seqrelid OPERATOR(pg_catalog.=) %L::pg_catalog.regclass) v",
                   target_sequence, value, value, called ? "true" : "false", target_sequence,
                   column, column, t->target_schema, t->target_name, target_sequence);
        ok = ph_conn_exec(run->target, sql.data, err);
    }
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok || ph_err_prefix(err, "setting sequence %s", target_sequence);
}

/* Name of the sequence that a column owns, in *rows; false on an error, an empty result where there
 * is none. */
static bool owned_sequence(struct ph_conn *conn, uint32_t table, const char *column,
                           struct ph_rows **rows, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_sql_add(&sql,
               "SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)"
               " FROM pg_catalog.pg_depend d"
               " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.objid"
               " AND c.relkind OPERATOR(pg_catalog.=) 'S'"
               " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
               " JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid"
               " AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid"
               " WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
               " AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
               " AND d.deptype IN ('a', 'i') AND a.attname OPERATOR(pg_catalog.=) %L"
               " AND d.refobjid OPERATOR(pg_catalog.=) ANY (SELECT %u::pg_catalog.oid UNION"
               " SELECT i.inhparent FROM pg_catalog.pg_inherits i"
               " WHERE i.inhrelid OPERATOR(pg_catalog.=) %u)",
               column, table, table);
    bool ok = ph_conn_query(conn, sql.data, rows, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool set_of_table(struct ph_run *run, const struct ph_table *t, struct ph_err *err)
{
    bool ok = true;
    for (int i = 0; i < t->n_columns && ok; i++) {
        const struct ph_plan_column *c = &t->columns[i];
        struct ph_rows *target = NULL, *source = NULL;
        if (c->is_expression || !strstr("smallint integer bigint", c->target_type))
            continue;
        ok = owned_sequence(run->target, t->target_oid, c->name, &target, err);
        if (ok && ph_rows_count(target) > 0 && run->source)
            ok = owned_sequence(run->source, t->source_oid, c->source, &source, err);
        if (ok && ph_rows_count(target) > 0 && (!run->source || ph_rows_count(source) > 0))
            ok = set_one(run, t, c->name, ph_rows_text(target, 0, 0),
                         source ? ph_rows_text(source, 0, 0) : NULL, err);
        ph_rows_free(target);
        ph_rows_free(source);
    }
    return ok;
}

/* Which targets have columns that own sequences, themselves or above them: the others need no look. Sorted. */
static bool find_owners(struct ph_run *run, struct ph_rows **rows, struct ph_err *err)
{
    return ph_conn_query(
        run->target,
        "WITH o AS (SELECT d.refobjid AS oid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c"
        " ON c.oid OPERATOR(pg_catalog.=) d.objid AND c.relkind OPERATOR(pg_catalog.=) 'S'"
        " WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
        " AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
        " AND d.deptype IN ('a', 'i') AND d.refobjsubid OPERATOR(pg_catalog.>) 0)"
        "SELECT oid FROM o UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i"
        " WHERE i.inhparent IN (SELECT oid FROM o) ORDER BY 1",
        rows, err);
}

static bool is_owner(const struct ph_rows *rows, uint32_t oid)
{
    int lo = 0, hi = ph_rows_count(rows);
    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (ph_rows_uint(rows, middle, 0) < oid)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < ph_rows_count(rows) && ph_rows_uint(rows, lo, 0) == oid;
}

static bool set_sequences(struct ph_run *run, struct ph_err *err)
{
    bool ok = (!run->opts->source || ph_run_reach(run, true, err)) &&
              (!run->creation || ph_create_sequences(run, err));
    struct ph_rows *owners = NULL;
    ok = ok && find_owners(run, &owners, err);
    for (int i = 0; i < run->n_tabs && ok; i++)
        if (is_owner(owners, run->tables[i]->target_oid))
            ok = set_of_table(run, run->tables[i], err);
    ph_rows_free(owners);
    return ok;
}

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
    if (ph_run_is_whole(run) && sequences && !set_sequences(run, err))
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
    return fill_rejects(run, err);
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
