#include "haul/build.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "haul/builder.h"
#include "haul/crew.h"

static const double look_s = 0.5, poll_s = 0.02;

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

void ph_builder_disconnect(struct ph_builder *b)
{
    ph_conn_close(b->conn);
    b->conn = NULL;
}

/* 0.1 s doubling up to 5 s, times 0.5 to 1.5. */
double ph_builder_back_off(struct ph_builder *b)
{
    double delay = 0.1;
    for (unsigned i = 0; i < b->failures && delay < 5; i++)
        delay *= 2;
    b->failures++;
    return (delay > 5 ? 5 : delay) * (0.5 + (double)rand_r(&b->seed) / RAND_MAX);
}

/* The target is lost. False when that has gone on for too long. */
bool ph_builder_bear_outage(struct ph_builder *b, struct ph_err *err)
{
    struct ph_crew *crew = b->build->crew;
    double now = ph_clock_s();
    ph_builder_disconnect(b);
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
    rest(b, ph_builder_back_off(b));
    return true;
}

static void all_is_well(struct ph_builder *b)
{
    if (b->outage_since > 0)
        atomic_store(&b->build->crew->outage, false);
    b->outage_since = 0;
    b->failures = 0;
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

static int steps_that_ended(struct ph_build *build)
{
    return atomic_load(&build->done) + atomic_load(&build->failed);
}

/* Till one of our steps has ended, which may let another begin; of other movers' we hear by asking now and then. */
static void rest_till_news(struct ph_builder *b, double seconds)
{
    int ended = steps_that_ended(b->build);
    double until = ph_clock_s() + seconds;
    do
        rest(b, poll_s);
    while (!is_halted(b) && steps_that_ended(b->build) == ended && ph_clock_s() < until);
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
    double wait = over ? poll_s : 5 * poll_s;
    rest_till_news(b,
                   wait > 5 * b->ask_s ? wait : 5 * b->ask_s); /* many take long to look through */
    return true;
}

static bool ask(struct ph_builder *b, struct ph_err *err)
{
    const struct ph_build_opts *o = &b->build->opts;
    if (!connect_builder(b, err))
        return false;
    double now = ph_clock_s();
    bool look = now - b->looked_at > look_s;
    if (!ph_step_claim(b->conn, o->job, o->mover, b->slot, look, &b->claim, err))
        return false;
    b->ask_s = ph_clock_s() - now;
    if (look)
        b->looked_at = ph_clock_s();
    return true;
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
        return ph_builder_bear_outage(b, &err);
    b->have_claim = false;
    all_is_well(b);
    if (b->claim.n == 0)
        return stand_by(b);
    b->empty = 0;
    bool go_on = ph_builder_work(b);
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
    ph_builder_disconnect(b);
    atomic_fetch_sub(&b->build->running, 1);
    ph_crew_ring(b->build->crew);
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
