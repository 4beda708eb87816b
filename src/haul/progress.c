#include "haul/progress.h"

#include <stdlib.h>

#include "base/clock.h"
#include "haul/limit.h"

static const double tell_s = 0.2;
enum { WINDOW = 25 }; /* samples that rates are taken over */

struct sample {
    double at_s;
    uint64_t rows, bytes;
    double stages[PH_N_STAGES]; /* seconds, the calls in hand included */
    int64_t weight;
};

struct watch {
    struct ph_run *run;
    struct ph_progress_table *tables;
    struct sample window[WINDOW];
    unsigned samples;
    int64_t weight_at_start;
    char limit[160];
    double start_s, snapshot_s; /* snapshot_s: how long it had been held then */
    bool holds;                 /* it was held when we began */
};

/* A shard in hand counts by the share of its bytes that have passed, as far as its weight tells. One that is on its way into a
 * file, or lies in one, counts half: it has one hop of two behind it. */
static int64_t in_hand(const struct ph_worker *w, uint64_t bytes)
{
    int64_t weight = atomic_load(&w->weight);
    int64_t passed = (int64_t)bytes < weight ? (int64_t)bytes : weight;
    bool halves = w->crew->opts.spill && atomic_load(&w->way) != PH_WAY_DIRECT;
    return halves ? passed / 2 : passed;
}

static void collect(struct watch *watch, struct ph_progress *now, struct sample *sample)
{
    struct ph_crew *crew = &watch->run->crew;
    uint64_t settled[PH_N_STAGES] = {0}, ns[PH_N_STAGES] = {0};
    for (int i = 0; i < crew->n_tabs; i++) {
        struct ph_crew_tab *tab = &crew->tabs[i];
        struct ph_progress_table *t = &watch->tables[i];
        t->source = tab->table->root_source;
        t->target = tab->table->root_target;
        t->rows = atomic_load(&tab->rows);
        t->bytes = atomic_load(&tab->bytes);
        t->weight = tab->weight;
        t->weight_spilled = atomic_load(&tab->weight_spilled);
        t->weight_done = atomic_load(&tab->weight_done) + t->weight_spilled / 2;
        t->shards = tab->shards;
        t->shards_landed = atomic_load(&tab->landed);
        t->shards_parked = atomic_load(&tab->parked);
    }
    for (int i = 0; i < atomic_load(&crew->hired); i++) {
        struct ph_worker *w = &crew->workers[i];
        int tab = atomic_load(&w->tab);
        ph_hop_stages(&w->gauge, 0, settled);
        ph_hop_stages(&w->gauge, ph_clock_ns(), ns);
        if (tab == 0)
            continue;
        uint64_t bytes = atomic_load(&w->gauge.bytes);
        /* what goes into a file is counted when it lands */
        bool lands = crew->opts.extract || atomic_load(&w->way) != PH_WAY_SPILL;
        watch->tables[tab - 1].rows += lands ? atomic_load(&w->gauge.rows) : 0;
        watch->tables[tab - 1].bytes += lands ? bytes : 0;
        watch->tables[tab - 1].weight_done += in_hand(w, bytes);
        now->workers_busy++;
    }
    for (int i = 0; i < PH_N_STAGES; i++) {
        now->stages[i] = (double)settled[i] / 1e9;
        sample->stages[i] = (double)ns[i] / 1e9;
    }
    for (int i = 0; i < crew->n_tabs; i++) {
        now->rows += watch->tables[i].rows;
        now->bytes += watch->tables[i].bytes;
        now->parked += watch->tables[i].shards_parked;
        sample->weight += watch->tables[i].weight_done;
    }
    sample->rows = now->rows;
    sample->bytes = now->bytes;
}

/* Where the time went between two samples. A wait that was counted while it lasted may have been shorter in the end. */
static void add_limit(struct watch *watch, struct ph_progress *now, const struct sample *sample,
                      const struct sample *old)
{
    struct ph_crew *crew = &watch->run->crew;
    struct ph_limit_shares shares;
    double lately[PH_N_STAGES];
    char busy[64];
    for (int i = 0; i < PH_N_STAGES; i++)
        lately[i] = sample->stages[i] > old->stages[i] ? sample->stages[i] - old->stages[i] : 0;
    ph_limit_shares(lately, crew->opts.extract, crew->opts.load, &shares);
    now->source_share = shares.source;
    now->target_share = shares.target;
    now->self_share = shares.self;
    ph_sight_busy(crew->sight, busy, sizeof busy);
    ph_limit_words(lately, busy, watch->limit, sizeof watch->limit);
    now->limit = watch->limit;
}

static void add_rates(struct watch *watch, struct ph_progress *now, const struct sample *sample)
{
    struct ph_crew *crew = &watch->run->crew;
    unsigned kept = watch->samples < WINDOW ? watch->samples : WINDOW;
    int64_t total = 0;
    now->eta_s = -1;
    for (int i = 0; i < crew->n_tabs; i++)
        total += crew->tabs[i].weight;
    if (kept > 0) {
        const struct sample *old = &watch->window[(watch->samples - kept) % WINDOW];
        double dt = sample->at_s - old->at_s;
        if (dt > 0 && sample->rows >= old->rows) {
            now->rate_rows = (double)(sample->rows - old->rows) / dt;
            now->rate_bytes = (double)(sample->bytes - old->bytes) / dt;
            add_limit(watch, now, sample, old);
        }
    }
    double done = (double)(sample->weight - watch->weight_at_start),
           dt = sample->at_s - watch->start_s;
    if (done > 0 && dt > 0.5)
        now->eta_s = (double)(total - sample->weight) / (done / dt);
    if (now->eta_s < 0 && done > 0)
        now->eta_s = total > sample->weight ? -1 : 0;
    watch->window[watch->samples++ % WINDOW] = *sample;
}

/* How long the source has had to keep it, up to now or until it was let go. */
static double snapshot_held(const struct watch *watch, double now_s)
{
    uint64_t released = atomic_load(&watch->run->crew.released_ns);
    double until = released ? (double)released / 1e9 : now_s;
    return watch->holds ? watch->snapshot_s + (until > watch->start_s ? until - watch->start_s : 0)
                        : watch->snapshot_s;
}

static const char *phase(const struct ph_run *run)
{
    const struct ph_crew *crew = &run->crew;
    if (atomic_load(&crew->target_down))
        return "target out of reach";
    if (ph_throttle_held(&run->throttle) && atomic_load(&run->throttle.busy) == 0)
        return "paused";
    if (atomic_load(&crew->outage))
        return "waiting for a server";
    if (atomic_load(&crew->running) > 0 || atomic_load(&run->build.running) == 0)
        return run->phase;
    int analyzing = atomic_load(&run->build.analyzing);
    return analyzing > 0 && analyzing == atomic_load(&run->build.building) ? "analyzing"
                                                                           : "building indexes";
}

static void tell(struct watch *watch)
{
    struct ph_run *run = watch->run;
    struct ph_crew *crew = &run->crew;
    struct sample sample = {.at_s = ph_clock_s()};
    char held_by[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused = false, held = ph_throttle_reason(&run->throttle, held_by, &kind, &paused);
    struct ph_progress now = {
        .job = run->result->job,
        .seconds = sample.at_s - run->begin_s,
        .tables = watch->tables,
        .n_tables = crew->n_tabs,
        .run_rows = atomic_load(&crew->run_rows),
        .run_bytes = atomic_load(&crew->run_bytes),
        .workers = atomic_load(&crew->hired),
        .retries = atomic_load(&crew->retries),
        .phase = phase(run),
        .snapshot_held_s = snapshot_held(watch, sample.at_s),
        .snapshot_released = !watch->holds || atomic_load(&crew->released_ns) > 0,
        .spilled_bytes = atomic_load(&crew->to_files.bytes),
        .throttled_by = held ? held_by : NULL,
        .paused = held && paused,
        .steps = atomic_load(&run->build.planned) + atomic_load(&run->build.done) +
                 atomic_load(&run->build.failed),
        .steps_done = atomic_load(&run->build.done),
        .steps_failed = atomic_load(&run->build.failed),
    };
    for (int i = 0; i < PH_N_HOLDS; i++)
        now.throttled_s += (double)atomic_load(&run->throttle.slept_ns[i]) / 1e9;
    collect(watch, &now, &sample);
    if (watch->samples == 0)
        watch->weight_at_start = sample.weight;
    add_rates(watch, &now, &sample);
    ph_control_saw(&run->control, &now);
    if (run->opts->progress)
        run->opts->progress(run->opts->arg, &now);
}

static bool is_at_work(const struct ph_run *run)
{
    return atomic_load(&run->crew.running) > 0 || atomic_load(&run->build.running) > 0;
}

/* Builders have no shard in hand that would soon be done: when the crew is to end, they end at once. */
static bool must_halt(const struct ph_run *run)
{
    return atomic_load(&run->crew.stop) || atomic_load(&run->crew.snapshot_gone) ||
           ph_interrupt_at(run->opts->interrupt, 1);
}

void ph_progress_watch(struct ph_run *run)
{
    struct ph_crew *crew = &run->crew;
    struct watch watch = {.run = run,
                          .start_s = ph_clock_s(),
                          .snapshot_s = run->snapshot ? run->snapshot->held_s : 0,
                          .holds = !run->snapshot || !run->snapshot->released};
    watch.tables = calloc((size_t)(crew->n_tabs ? crew->n_tabs : 1), sizeof *watch.tables);
    for (double told_s = watch.start_s; is_at_work(run); ph_crew_nap(crew)) {
        if (must_halt(run))
            ph_build_halt(&run->build);
        if (watch.tables && ph_clock_s() - told_s >= tell_s) {
            tell(&watch);
            told_s = ph_clock_s();
        }
    }
    free(watch.tables);
}
