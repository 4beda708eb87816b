#include "haul/build.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/crew.h"
#include "pg/sql.h"

static const uint64_t most_memory = (uint64_t)1 << 30, remote_memory = (uint64_t)512 << 20,
                      least_memory = (uint64_t)1 << 20;
static const double look_s = 0.5, poll_s = 0.02;

struct ph_builder {
    struct ph_build *build;
    pthread_t thread;
    bool started;
    int slot;
    struct ph_conn *conn;
    struct ph_step_claim claim;
    bool have_claim; /* it came with the last commit */
    bool has_place;
    int empty;           /* times in a row that there was nothing, now or later */
    double looked_at;    /* when it was last found out what can begin */
    double outage_since; /* 0: all is well */
    unsigned failures;   /* in a row, for the back-off */
    unsigned seed;
};

void ph_build_halt(struct ph_build *build)
{
    if (build->n_builders > 0 && !ph_interrupt_at(&build->halt, 1))
        ph_interrupt_raise(&build->halt);
}

static bool is_halted(const struct ph_builder *b)
{
    return ph_interrupt_at(&b->build->halt, 1);
}

static void rest(struct ph_builder *b, double seconds)
{
    ph_interrupt_sleep(&b->build->halt, 1, seconds);
}

/* Places. */

int ph_build_leaves(const struct ph_build *build)
{
    int building = atomic_load(&build->building);
    if (building == 0)
        return INT_MAX;
    int wanted = ph_throttle_jobs(build->opts.throttle);
    int leaves = (wanted ? wanted : build->opts.jobs) - building;
    return leaves > 0 ? leaves : 0;
}

/* While there are rows to be claimed, half of the jobs at most are builders; then what workers leave; then all. */
static int places(const struct ph_build *build)
{
    const struct ph_crew *crew = build->crew;
    struct ph_throttle *throttle = build->opts.throttle;
    int wanted = ph_throttle_jobs(throttle), busy = atomic_load(&throttle->busy);
    wanted = wanted ? wanted : build->opts.jobs;
    if (ph_throttle_held(throttle) & PH_AT_TARGET)
        return 0;
    unsigned share = atomic_load(&throttle->share);
    int allowed = (int)((unsigned)wanted * share / 1000);
    allowed = allowed > 0 ? allowed : 1;
    if (atomic_load(&crew->running) == 0)
        return allowed;
    int idle = atomic_load(&crew->first_idle_ns) ? allowed - busy : 0;
    return idle > allowed / 2 ? idle : allowed / 2;
}

static bool take_place(struct ph_builder *b)
{
    struct ph_build *build = b->build;
    int taken = atomic_load(&build->places);
    while (!b->has_place && taken < places(build))
        b->has_place = atomic_compare_exchange_weak(&build->places, &taken, taken + 1);
    return b->has_place;
}

static void leave_place(struct ph_builder *b)
{
    if (b->has_place)
        atomic_fetch_sub(&b->build->places, 1);
    b->has_place = false;
}

/* Connections. */

static bool connect_builder(struct ph_builder *b, struct ph_err *err)
{
    const struct ph_build_opts *o = &b->build->opts;
    char name[64];
    if (b->conn && ph_conn_ok(b->conn))
        return true;
    ph_conn_close(b->conn);
    b->conn = NULL;
    snprintf(name, sizeof name, "pghaul/%s/b", o->tag);
    struct ph_conn_opts how = {.dsn = o->target,
                               .application_name = name,
                               .encoding = o->encoding,
                               .interrupt = &b->build->halt,
                               .interrupt_level = 1};
    /* synchronous_commit: what was built and its mark vanish together in a crash; the end of the job waits for all */
    return ph_conn_open(&b->conn, &how, err) &&
           ph_conn_exec(b->conn, "SET synchronous_commit = off;SET lock_timeout = '5s'", err);
}

static void disconnect(struct ph_builder *b)
{
    ph_conn_close(b->conn);
    b->conn = NULL;
}

/* 0.1 s doubling up to 5 s, times 0.5 to 1.5. */
static double back_off(struct ph_builder *b)
{
    double delay = 0.1;
    for (unsigned i = 0; i < b->failures && delay < 5; i++)
        delay *= 2;
    b->failures++;
    return (delay > 5 ? 5 : delay) * (0.5 + (double)rand_r(&b->seed) / RAND_MAX);
}

/* The target is lost. False when that has gone on for too long. */
static bool bear_outage(struct ph_builder *b, struct ph_err *err)
{
    struct ph_crew *crew = b->build->crew;
    double now = ph_clock_s();
    disconnect(b);
    if (err->code == PH_INTERRUPTED)
        return true; /* the loop ends by itself */
    if (err->code != PH_CONNECTION && !err->transient) {
        ph_crew_fail(crew, err);
        return false;
    }
    if (b->outage_since == 0) {
        b->outage_since = now;
        ph_sight_event(crew, atomic_exchange(&crew->outage, true) ? PH_LOG_INFO : PH_LOG_WARN,
                       "outage", 0, 0, "%s; trying again", err->text);
    }
    if (now - b->outage_since > b->build->opts.max_outage_s) {
        ph_err_prefix(err, "given up after %.0f s", now - b->outage_since);
        ph_err_hint(err, "run the same command again when the server is back: it goes on");
        err->code = PH_FAILED;
        ph_crew_fail(crew, err);
        return false;
    }
    rest(b, back_off(b));
    return true;
}

static void all_is_well(struct ph_builder *b)
{
    if (b->outage_since > 0)
        atomic_store(&b->build->crew->outage, false);
    b->outage_since = 0;
    b->failures = 0;
}

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

/* Each has its part of the memory. Where fewer are left than there are jobs, they have parallel workers, rather too many than
 * too few: which of them ends last is not known, and it should not be alone with one core. */
static void add_settings(const struct ph_builder *b, struct ph_buf *sql, bool local)
{
    int jobs = b->build->opts.jobs, sharing = 1 + companions(b);
    int workers = (2 * jobs + sharing - 1) / sharing - 1;
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
    for (int i = first; i <= last; i++) {
        ph_sql_add(&sql, "%s\n;\n", b->claim.steps[i].sql);
        ph_step_sql_done(&sql, o->job, o->mover, &b->claim.steps[i]);
        ph_buf_addc(&sql, ';');
    }
    ph_buf_add(&sql, "COMMIT");
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
    ph_step_sql_done(&sql, o->job, o->mover, step);
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
    all_is_well(b);
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
                      halted ? NULL : why->text, again && !halted ? back_off(b) : 0, &failed, err))
        return false;
    if (failed)
        give_up(b, step, why);
    else if (!halted)
        ph_sight_event(b->build->crew, PH_LOG_WARN, "step_retry", 0, 0, "%s: %s; trying again",
                       step->object, why->text);
    return true;
}

/* What a failed step leaves behind: a connection that can be used, and a claim that is free. False: the target is lost. */
static bool settle(struct ph_builder *b, const struct ph_claimed_step *step, struct ph_err *why)
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
        disconnect(b); /* asked anew, the ledger gives us the same step again */
    return ok;
}

static bool do_one(struct ph_builder *b, int i, struct ph_step_claim *next)
{
    struct ph_err err = {0};
    const struct ph_claimed_step *step = &b->claim.steps[i];
    ph_log_event(b->build->opts.log, PH_LOG_DEBUG, &(struct ph_log_fields){.event = "step"},
                 "%s, attempt %d", step->object, step->attempt);
    evict(b, step);
    if (step->outside ? do_outside(b, step, &err) : do_together(b, i, i, next, &err)) {
        count_done(b, 1);
        return true;
    }
    if (err.code == PH_CONNECTION)
        return bear_outage(b, &err);
    if (!settle(b, step, &err) && !is_halted(b))
        return bear_outage(b, &err);
    return true;
}

/* All that was claimed. Tiny ones share a transaction; when that fails, each has one of its own. False: the builder ends. */
static bool do_claim(struct ph_builder *b)
{
    struct ph_err err = {0};
    struct ph_step_claim next = {0};
    bool go_on = true;
    uint64_t none = 0;
    int n = b->claim.n;
    atomic_compare_exchange_strong(&b->build->first_ns, &none, ph_clock_ns());
    atomic_fetch_add(&b->build->building, 1);
    if (PH_FAULT("build.claimed"))
        disconnect(b);
    bool together = n > 1 && b->conn && do_together(b, 0, n - 1, &next, &err);
    if (together) {
        count_done(b, n);
    } else if (n > 1 && b->conn) {
        ph_conn_cancel(b->conn);
        if (!ph_conn_recover(b->conn))
            disconnect(b);
    }
    for (int i = 0; i < n && !together && go_on && b->conn && !is_halted(b); i++)
        go_on = do_one(b, i, i + 1 == n ? &next : NULL);
    if (PH_FAULT("build.done"))
        disconnect(b);
    atomic_fetch_sub(&b->build->building, 1);
    ph_step_claim_fini(&b->claim);
    b->claim = next;
    return go_on;
}

/* Steps that came with the last commit are free for whoever may work. */
static void give_claim_back(struct ph_builder *b)
{
    const struct ph_build_opts *o = &b->build->opts;
    struct ph_err ignored;
    bool failed;
    if (b->conn && ph_conn_ok(b->conn))
        ph_conn_set_interrupt(b->conn, NULL, 1);
    for (int i = 0; i < b->claim.n && ph_conn_ok(b->conn); i++)
        ph_step_fail(b->conn, o->job, o->mover, &b->claim.steps[i], false, false, NULL, 0, &failed,
                     &ignored);
    if (b->conn && ph_conn_ok(b->conn))
        ph_conn_set_interrupt(b->conn, &b->build->halt, 1);
    ph_step_claim_fini(&b->claim);
    b->have_claim = false;
}

/* Nothing can begin now. False: nor will it, so the builder ends. */
static bool stand_by(struct ph_builder *b)
{
    bool over =
        atomic_load(&b->build->crew->running) == 0 && b->claim.ready == 0 && b->claim.running == 0;
    leave_place(b);
    if (b->claim.undone == 0)
        return false;
    b->empty = over ? b->empty + 1 : 0;
    if (b->empty > 2) /* somebody else may just have been looking what can begin */
        return false;
    rest(b, over || atomic_load(&b->build->crew->running) == 0 ? poll_s : 5 * poll_s);
    return true;
}

static bool ask(struct ph_builder *b, struct ph_err *err)
{
    const struct ph_build_opts *o = &b->build->opts;
    double now = ph_clock_s();
    bool look = now - b->looked_at > look_s;
    if (!connect_builder(b, err))
        return false;
    if (look)
        b->looked_at = now;
    return ph_step_claim(b->conn, o->job, o->mover, b->slot, look, &b->claim, err);
}

/* False: the builder ends. */
static bool turn(struct ph_builder *b)
{
    struct ph_err err;
    if (!b->has_place && !take_place(b)) {
        rest(b, poll_s);
        return true;
    }
    if (!b->have_claim && !ask(b, &err))
        return bear_outage(b, &err);
    b->have_claim = false;
    if (b->claim.n == 0)
        return stand_by(b);
    b->empty = 0;
    bool go_on = do_claim(b);
    if (atomic_load(&b->build->places) > places(b->build)) {
        give_claim_back(b);
        leave_place(b);
    }
    return go_on;
}

static void *builder_main(void *arg)
{
    struct ph_builder *b = arg;
    while (!is_halted(b) && turn(b))
        continue;
    give_claim_back(b);
    leave_place(b);
    disconnect(b);
    atomic_fetch_sub(&b->build->running, 1);
    return NULL;
}

static bool start_builder(struct ph_build *build, int i)
{
    struct ph_builder *b = &build->builders[i];
    *b = (struct ph_builder){.build = build, .slot = i + 1, .seed = (unsigned)ph_clock_ns()};
    atomic_fetch_add(&build->running, 1);
    b->started = pthread_create(&b->thread, NULL, builder_main, b) == 0;
    if (!b->started)
        atomic_fetch_sub(&build->running, 1);
    return b->started;
}

bool ph_build_start(struct ph_build *build, const struct ph_build_opts *opts, struct ph_crew *crew,
                    const struct ph_step_counts *counts, struct ph_err *err)
{
    build->opts = *opts;
    build->crew = crew;
    atomic_store(&build->planned, counts->planned);
    atomic_store(&build->done, counts->done);
    atomic_store(&build->failed, counts->failed);
    int n = opts->jobs < counts->planned ? opts->jobs : counts->planned;
    if (n <= 0)
        return true;
    build->builders = calloc((size_t)n, sizeof *build->builders);
    if (!build->builders)
        return ph_err_nomem(err);
    build->n_builders = n;
    if (!ph_interrupt_init(&build->halt, err)) {
        ph_build_join(build);
        return false;
    }
    for (int i = 0; i < n; i++)
        if (!start_builder(build, i)) {
            ph_build_halt(build);
            ph_build_join(build);
            return ph_err_set(err, PH_FAILED, "cannot start a thread");
        }
    return true;
}

void ph_build_join(struct ph_build *build)
{
    if (build->n_builders == 0)
        return;
    for (int i = 0; i < build->n_builders; i++)
        if (build->builders[i].started)
            pthread_join(build->builders[i].thread, NULL);
    free(build->builders);
    build->builders = NULL;
    build->n_builders = 0;
    ph_interrupt_fini(&build->halt);
}
