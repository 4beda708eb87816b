/* One builder at its steps: under which settings, in which transaction, and what becomes of one that has failed. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/builder.h"
#include "haul/crew.h"
#include "pg/sql.h"

static const uint64_t most_memory = (uint64_t)1 << 30, remote_memory = (uint64_t)512 << 20,
                      least_memory = (uint64_t)1 << 20;

/* Settings of a step. */

static uint64_t all_memory(const struct ph_builder *b)
{
    uint64_t given = b->build->opts.memory;
    if (given)
        return given;
    if (!ph_conn_is_local(b->conn))
        return remote_memory;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t quarter = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 4 : remote_memory;
    return quarter < most_memory ? quarter : most_memory;
}

/* So many share cores and memory with this one: what is in hand, and what could begin at once. */
static int companions(const struct ph_builder *b)
{
    return b->claim.running + b->claim.ready + atomic_load(&b->build->opts.throttle->busy);
}

/* One that is more than a core's part of all that is left would be alone at the end, with one core: it gets more at once. */
static int workers_by_weight(const struct ph_builder *b, int jobs)
{
    double weight = 0, others = (double)b->claim.others;
    for (int i = 0; i < b->claim.n; i++)
        weight += (double)b->claim.steps[i].weight;
    double cores = weight > 0 ? (double)jobs * weight / (weight + others) : 1;
    return cores > 1.1 ? (int)(cores + 0.9) - 1 : 0;
}

/* Each has its part of the memory. Where fewer are left than there are jobs, they have parallel workers, rather too many than
 * too few: which of them ends last is not known, and it should not be alone with one core. */
static void add_settings(const struct ph_builder *b, struct ph_buf *sql, bool local)
{
    int jobs = b->build->opts.jobs, sharing = 1 + companions(b);
    int workers = (2 * jobs + sharing - 1) / sharing - 1;
    int heavy = workers_by_weight(b, jobs);
    workers = workers > heavy ? workers : heavy;
    workers = workers < jobs - 1 ? workers : jobs - 1;
    int parts = atomic_load(&b->build->crew->running) == 0 && sharing < jobs ? sharing : jobs;
    uint64_t memory = all_memory(b) / (uint64_t)parts;
    memory = memory > least_memory ? memory : least_memory;
    const struct ph_claimed_step *first = &b->claim.steps[0];
    ph_sql_add(sql,
               "SELECT pg_catalog.set_config('application_name', 'pghaul/%s/b%D/%d', %s),"
               " pg_catalog.set_config('maintenance_work_mem', '%DkB', %s),"
               " pg_catalog.set_config('max_parallel_maintenance_workers', '%d', %s);",
               b->build->opts.tag, first->id, first->attempt, local ? "true" : "false",
               (int64_t)(memory >> 10), local ? "true" : "false", workers > 0 ? workers : 0,
               local ? "true" : "false");
}

/* An earlier attempt's backend may be at work still, and its locks in our way. */
static void evict(struct ph_builder *b, const struct ph_claimed_step *step)
{
    struct ph_buf sql = {0};
    struct ph_err ignored;
    if (step->attempt <= 1)
        return;
    ph_sql_add(&sql,
               "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a"
               " WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"
               " AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
               " AND a.application_name OPERATOR(pg_catalog.~) '^pghaul/%s/b%D/[0-9]+$'"
               " AND pg_catalog.split_part(a.application_name, '/', 4)::pg_catalog.int4"
               " OPERATOR(pg_catalog.<) %d",
               b->build->opts.tag, step->id, step->attempt);
    ph_conn_exec(b->conn, sql.data, &ignored);
    ph_buf_fini(&sql);
}

/* Doing steps. */

/* Reads results to the end. Once the mark is made it is done, whatever becomes of the claim behind it. */
static bool await(struct ph_builder *b, const char *mark, struct ph_step_claim *next,
                  struct ph_err *err)
{
    bool done = false;
    for (enum ph_result kind = PH_RESULT_COMMAND; kind != PH_RESULT_NONE;) {
        struct ph_rows *rows = NULL;
        if (!ph_conn_next(b->conn, &kind, &rows, err)) {
            ph_rows_free(rows);
            return done;
        }
        if (done && kind == PH_RESULT_ROWS) {
            ph_step_take(next, rows);
            b->have_claim = true;
        }
        if (kind == PH_RESULT_COMMAND && !strcmp(ph_rows_tag(rows), mark))
            done = true;
        ph_rows_free(rows);
    }
    return done || ph_err_set(err, PH_FAILED, "the target did not commit");
}

/* Steps first to last in one transaction, with their marks. `next` gets the claim that comes along, if there is one. */
static bool do_together(struct ph_builder *b, int first, int last, struct ph_step_claim *next,
                        struct ph_err *err)
{
    const struct ph_build_opts *o = &b->build->opts;
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "BEGIN;");
    add_settings(b, &sql, true);
    for (int i = first; i <= last; i++)
        ph_sql_add(&sql, "%s\n;\n", b->claim.steps[i].sql);
    ph_step_sql_done(&sql, o->job, o->mover, &b->claim.steps[first], last - first + 1);
    ph_buf_add(&sql, ";COMMIT");
    if (next) {
        ph_buf_addc(&sql, ';');
        ph_step_sql_claim(&sql, o->job, o->mover, b->slot, false);
    }
    bool ok = ph_conn_send(b->conn, sql.data, err);
    if (ok && PH_FAULT("build.sent")) {
        ok = ph_err_set(err, PH_CONNECTION, "fault point build.sent");
        err->transient = true;
    }
    ok = ok && await(b, "COMMIT", next, err);
    ph_buf_fini(&sql);
    return ok;
}

/* A step that cannot be in a transaction, and its mark behind it. */
static bool do_outside(struct ph_builder *b, const struct ph_claimed_step *step, struct ph_err *err)
{
    const struct ph_build_opts *o = &b->build->opts;
    struct ph_buf sql = {0};
    add_settings(b, &sql, false);
    bool ok = ph_conn_exec(b->conn, sql.data, err) && ph_conn_exec(b->conn, step->sql, err);
    ph_buf_clear(&sql);
    ph_step_sql_done(&sql, o->job, o->mover, step, 1);
    ok = ok && ph_conn_exec(b->conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok;
}

static void count_done(struct ph_builder *b, int n)
{
    struct ph_build *build = b->build;
    atomic_fetch_add(&build->done, n);
    atomic_fetch_sub(&build->planned, n);
    atomic_store(&build->last_ns, ph_clock_ns());
}

static void give_up(struct ph_builder *b, const struct ph_claimed_step *step,
                    const struct ph_err *why)
{
    struct ph_build *build = b->build;
    atomic_fetch_add(&build->failed, 1);
    atomic_fetch_sub(&build->planned, 1);
    ph_sight_event(build->crew, PH_LOG_ERROR, "step_failed", 0, 0, "%s: %s%s%s", step->object,
                   why->text, *why->hint ? "; hint: " : "", why->hint);
}

/* Gives a step back after a failure; the table at the head of build.h. The connection can be used. */
static bool give_back(struct ph_builder *b, const struct ph_claimed_step *step,
                      const struct ph_err *why, struct ph_err *err)
{
    const struct ph_build_opts *o = &b->build->opts;
    bool failed = false, halted = why->code == PH_INTERRUPTED;
    bool lock = !strcmp(why->sqlstate, "55P03") || !strcmp(why->sqlstate, "40P01");
    bool again = halted || why->transient || why->code == PH_CONNECTION;
    if (!ph_step_fail(b->conn, o->job, o->mover, step, again && !halted && !lock, !again,
                      halted ? NULL : why->text, again && !halted ? ph_builder_back_off(b) : 0,
                      &failed, err))
        return false;
    if (failed)
        give_up(b, step, why);
    else if (!halted)
        ph_sight_event(b->build->crew, PH_LOG_WARN, "step_retry", 0, 0, "%s: %s; trying again",
                       step->object, why->text);
    return true;
}

/* What a failed step leaves behind: a connection that can be used, and a claim that is free; or neither: asked anew, the ledger
 * gives us the same step again. */
static void settle(struct ph_builder *b, const struct ph_claimed_step *step,
                   const struct ph_err *why)
{
    struct ph_err err;
    if (why->code == PH_INTERRUPTED)
        ph_conn_cancel(b->conn);
    ph_conn_set_interrupt(b->conn, NULL, 1);
    bool ok = ph_conn_recover(b->conn);
    if (ok && strcmp(why->sqlstate, "PH001") != 0)
        ok = give_back(b, step, why, &err);
    if (ok)
        ph_conn_set_interrupt(b->conn, &b->build->halt, 1);
    else
        ph_builder_disconnect(b);
}

static bool do_one(struct ph_builder *b, int i, struct ph_step_claim *next)
{
    struct ph_err err = {0};
    const struct ph_claimed_step *step = &b->claim.steps[i];
    double begin = ph_clock_s();
    ph_log_event(b->build->opts.log, PH_LOG_DEBUG, &(struct ph_log_fields){.event = "step"},
                 "%s, attempt %d", step->object, step->attempt);
    evict(b, step);
    if (step->outside ? do_outside(b, step, &err) : do_together(b, i, i, next, &err)) {
        count_done(b, 1);
        if (step->weight > PH_STEP_TINY)
            ph_sight_event(b->build->crew, PH_LOG_INFO, "built", 0, 0, "%s: %s, in %.1f s",
                           step->object, step->kind, ph_clock_s() - begin);
        return true;
    }
    if (err.code == PH_CONNECTION)
        return ph_builder_bear_outage(b, &err);
    settle(b, step, &err);
    return true;
}

/* All that was claimed. Tiny ones share a transaction; when that fails, each has one of its own. False: the builder ends. */
bool ph_builder_work(struct ph_builder *b)
{
    struct ph_err err = {0};
    struct ph_step_claim next = {0};
    bool go_on = true;
    uint64_t none = 0;
    int n = b->claim.n;
    atomic_compare_exchange_strong(&b->build->first_ns, &none, ph_clock_ns());
    bool statistics = n > 0 && (!strcmp(b->claim.steps[0].kind, "analyze") ||
                                !strcmp(b->claim.steps[0].kind, "vacuum"));
    atomic_fetch_add(&b->build->building, 1);
    atomic_fetch_add(&b->build->analyzing, statistics);
    if (PH_FAULT("build.claimed"))
        ph_builder_disconnect(b);
    bool together = n > 1 && b->conn && do_together(b, 0, n - 1, &next, &err);
    if (together) {
        count_done(b, n);
    } else if (n > 1 && b->conn) {
        ph_conn_cancel(b->conn);
        if (!ph_conn_recover(b->conn))
            ph_builder_disconnect(b);
    }
    for (int i = 0; i < n && !together && go_on && b->conn && !ph_interrupt_at(&b->build->halt, 1);
         i++)
        go_on = do_one(b, i, i + 1 == n ? &next : NULL);
    if (PH_FAULT("build.done"))
        ph_builder_disconnect(b);
    atomic_fetch_sub(&b->build->analyzing, statistics);
    atomic_fetch_sub(&b->build->building, 1);
    ph_step_claim_fini(&b->claim);
    b->claim = next;
    return go_on;
}
